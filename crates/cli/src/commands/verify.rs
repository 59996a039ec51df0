//! `plumbline verify`: whether a signature is right, and if not, why. Works offline.

use std::time::Duration;

use clap::Args;
use plumbline_domain::verification::{Claim, Fault, Report, TOLERANCE, examine};
use plumbline_domain::{Profile, Timestamp};
use plumbline_runtime::config::{Sensitive, duration};
use serde_json::json;

use super::endpoints::header;
use super::input;
use crate::arguments::profile;
use crate::outcome::Failure;
use crate::output::{BAD, BOLD, GOOD, Output, paint};

/// Say whether a signature is right, and if not, why; the body is read from standard input
///
/// Tries what goes wrong in practice: the secret in another form (without whsec_, decoded or not), a body that was parsed and
/// written again (spacing, escapes, order of members, line ends), a clock that is off, milliseconds for seconds, a cut
/// header, another product's headers. Talks to nobody. Exit code 1 when it is wrong.
///
///   plumbline verify --header 'BuildWorkPro-Signature: t=…,v1=…' < body
///
/// with the secret in PLUMBLINE_SIGNING_SECRET.
///
/// With --json: {"valid":false,"profile":"buildworkpro","signedAt":"…","faults":[{"code":"body_changed","explanation":"…",
/// "remedy":"…"}]}
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The endpoint's signing secret, as it was shown
    #[arg(
        long,
        env = "PLUMBLINE_SIGNING_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    secret: Sensitive,

    /// A header of the request, as it came; repeat it for each one that belongs to the signature
    #[arg(long = "header", value_name = "HEADER", value_parser = header, required = true)]
    headers: Vec<(String, String)>,

    /// How far the clocks may differ
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    tolerance: Option<Duration>,

    /// Whose delivery it should be: buildworkpro, buildr or buildmarkets; by the headers' names unless given
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    profile: Option<Profile>,

    /// Verify as if it were then: a time such as 2026-04-25T17:42:01Z; now unless given
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// Verify.
pub(super) fn run(asked: &VerifyArgs, output: &mut Output) -> Result<u8, Failure> {
    let body = input::standard_input()?;
    let report = examine(&Claim {
        secret: asked.secret.expose(),
        headers: &asked.headers,
        body: &body,
        profile: asked.profile,
        now: asked.at.unwrap_or_else(Timestamp::now),
        tolerance: asked.tolerance.unwrap_or(TOLERANCE),
    });
    let of = report.profile.or(asked.profile).unwrap_or(Profile::BuildWorkPro);
    match output.is_json() {
        true => output.json(&json(&report, of))?,
        false => words(&report, of, body.len(), output)?,
    }
    Ok(u8::from(!report.is_right()))
}

fn json(report: &Report, of: Profile) -> serde_json::Value {
    let fault = |fault: &Fault| json!({ "code": fault.code(), "explanation": fault.to_string(), "remedy": fault.remedy(of) });
    json!({
        "valid": report.is_right(),
        "profile": report.profile.map(Profile::as_str),
        "signedAt": report.signed_at.map(|at| at.to_string()),
        "faults": report.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn words(report: &Report, of: Profile, bytes: usize, output: &mut Output) -> Result<(), Failure> {
    let signed = match report.signed_at {
        Some(at) => format!(", signed at {at}"),
        None => String::new(),
    };
    let about = match report.profile {
        Some(profile) => format!(" ({}{signed}, a body of {bytes} bytes)", profile.as_str()),
        None => String::new(),
    };
    if report.is_right() {
        return output.line(format!("{}{about}", paint(GOOD, "The signature is right.")));
    }
    output.line(format!("{}{about}", paint(BAD, "The signature is wrong.")))?;
    for fault in &report.faults {
        output.line(format!("\n{} {fault}", paint(BOLD, "why")))?;
        output.line(format!("{}  {}", paint(BOLD, "do"), fault.remedy(of)))?;
    }
    Ok(())
}
