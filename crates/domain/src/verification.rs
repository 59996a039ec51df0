//! Whether a signature is right and, where it is not, why: for a developer whose own verifier says no.
//!
//! It tries what goes wrong in practice (another form of the secret, a body that was parsed and written again, a clock,
//! a cut header) until something fits, so that the answer names the mistake and not only that there is one.

mod body;
mod header;
mod search;

use std::fmt;
use std::time::Duration;

use self::header::Signed;
use crate::{Profile, Timestamp};

pub use self::body::Restoration;
pub use self::search::{ContentForm, KeyForm};

/// How far the published verifiers let the clocks differ.
pub const TOLERANCE: Duration = Duration::from_secs(300);
/// A timestamp of more than this many seconds (the year 5138) was written in milliseconds.
const SECONDS_MAX: i64 = 99_999_999_999;

/// What a receiver was sent, and the secret that it believes in.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The secret, as the developer has it.
    pub secret: &'a str,
    /// The request's headers, or those of them that belong to the signature; names in any case.
    pub headers: &'a [(String, String)],
    /// The body that was verified.
    pub body: &'a [u8],
    /// Whose delivery it should be; by the headers' names, where `None`.
    pub profile: Option<Profile>,
    /// The receiver's time.
    pub now: Timestamp,
    /// How far the clocks may differ.
    pub tolerance: Duration,
}

/// Holds a secret: shows nothing of it.
impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Claim({} headers, {} bytes)",
            self.headers.len(),
            self.body.len()
        )
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whose headers they are; `None` where no signature was found.
    pub profile: Option<Profile>,
    /// When it was signed, by its own account; `None` where that cannot be read.
    pub signed_at: Option<Timestamp>,
    /// Everything that is wrong; empty for a signature that is right.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether a verifier should believe the request.
    pub fn is_right(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Something that is wrong. Displayed, it says what; [`Fault::remedy`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no header that carries a signature.
    #[error("none of the headers carries a signature")]
    NoSignature,
    /// A header that belongs to the signature is not there.
    #[error("the header {0} is missing")]
    HeaderMissing(&'static str),
    /// The headers are another product's.
    #[error("the headers are {found}'s, not {asked}'s", found = .found.as_str(), asked = .asked.as_str())]
    OtherProfile {
        /// What was asked for.
        asked: Profile,
        /// What is there.
        found: Profile,
    },
    /// The value of one scheme under the name of another.
    #[error("the value of {name} has the form of {form}'s signatures", form = .form.as_str())]
    OtherForm {
        /// The header.
        name: &'static str,
        /// Whose values look so.
        form: Profile,
    },
    /// The value cannot be read.
    #[error("{name} cannot be read: {problem}")]
    Malformed {
        /// The header.
        name: &'static str,
        /// What of it.
        problem: &'static str,
    },
    /// The signature was cut.
    #[error("the signature in {name} is cut: it has {have} of {want} characters{}", if *.rest_fits { ", and these are right" } else { "" })]
    Truncated {
        /// The header.
        name: &'static str,
        /// Characters that are there.
        have: usize,
        /// Characters that should be.
        want: usize,
        /// Whether what is there is the beginning of the right one.
        rest_fits: bool,
    },
    /// The signature is written in the other encoding.
    #[error("the signature in {name} is written in {is}, and should be in {should}")]
    Encoding {
        /// The header.
        name: &'static str,
        /// What it is in.
        is: &'static str,
        /// What it should be in.
        should: &'static str,
    },
    /// The timestamp counts milliseconds.
    #[error("the timestamp counts milliseconds, and should count seconds since 1970")]
    Milliseconds,
    /// The receiver's clock and the timestamp are too far apart.
    #[error("the timestamp is {seconds} s {}, and {tolerance} s are tolerated", if *.is_past { "in the past" } else { "in the future" })]
    Clock {
        /// How far apart.
        seconds: u64,
        /// Whether it was signed before now.
        is_past: bool,
        /// What would do.
        tolerance: u64,
    },
    /// It fits the secret in another form.
    #[error("the secret is used in a wrong form: the signature fits {0}")]
    Secret(KeyForm),
    /// The secret has no key of the form that the profile needs.
    #[error("the secret is not base64, which {profile}'s secrets are", profile = .0.as_str())]
    SecretUndecodable(Profile),
    /// It fits other signed content.
    #[error("the signed content is wrong: the signature was made over {0}")]
    Content(ContentForm),
    /// It fits the body as it was before something changed it.
    #[error("the body was changed after it was signed: the signature fits {}", body::in_words(.0))]
    Body(Vec<Restoration>),
    /// Nothing that was tried fits.
    #[error("the signature fits neither this secret with this body, nor any common mistake")]
    Mismatch,
}

impl Fault {
    /// The kind of fault for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSignature => "no_signature",
            Self::HeaderMissing(_) => "header_missing",
            Self::OtherProfile { .. } => "other_profile",
            Self::OtherForm { .. } => "other_form",
            Self::Malformed { .. } => "malformed",
            Self::Truncated { .. } => "truncated",
            Self::Encoding { .. } => "encoding",
            Self::Milliseconds => "milliseconds",
            Self::Clock { .. } => "clock",
            Self::Secret(_) => "secret_form",
            Self::SecretUndecodable(_) => "secret_undecodable",
            Self::Content(_) => "signed_content",
            Self::Body(_) => "body_changed",
            Self::Mismatch => "mismatch",
        }
    }

    /// What to do about it. `profile` is whose delivery it is.
    pub fn remedy(&self, profile: Profile) -> String {
        match self {
            Self::NoSignature => format!(
                "give the request's headers as they came: {} for BuildWorkPro; svix-id, svix-timestamp and svix-signature for \
                 Buildr; webhook-id, webhook-timestamp and webhook-signature for Buildmarkets",
                header::BUILDWORKPRO
            ),
            Self::HeaderMissing(name) => {
                format!("give {name} too, as it came: it is part of what is signed")
            }
            Self::OtherProfile { found, .. } => format!(
                "verify as {} does, or look whether the request reached the right receiver",
                found.as_str()
            ),
            Self::OtherForm { .. } | Self::Malformed { .. } => format!(
                "it should look like {}: pass the header on as it came",
                header::example(profile)
            ),
            Self::Truncated { .. } => {
                "look for what cuts it: a log, a column, a proxy's limit on headers, a shell's quotes".to_owned()
            }
            Self::Encoding { should, .. } => format!("compare with the digest in {should}"),
            Self::Milliseconds => "use whole seconds (in JavaScript Math.floor(Date.now() / 1000))".to_owned(),
            Self::Clock { is_past: true, .. } => {
                "a saved request is too old to verify: say --tolerance; if it has just come, set the receiver's clock (NTP), \
                 and verify before the request waits in a queue"
                    .to_owned()
            }
            Self::Clock { is_past: false, .. } => "set the receiver's clock (NTP): it is slow".to_owned(),
            Self::Secret(_) | Self::SecretUndecodable(_) => search::key_rule(profile).to_owned(),
            Self::Content(_) => search::content_rule(profile).to_owned(),
            Self::Body(_) => {
                "verify the raw bytes of the request, before anything parses them (in Express express.raw(), in Next.js \
                 request.text(), in Flask request.get_data(), in Rails request.raw_post)"
                    .to_owned()
            }
            Self::Mismatch => {
                "look whether the secret is this endpoint's and its newest (rotate it if nobody knows), and whether the body \
                 is the request's raw bytes: parsing and writing JSON again changes numbers (499.50 becomes 499.5), escapes and \
                 the order of members for good"
                    .to_owned()
            }
        }
    }
}

/// Find out whether a signature is right, and if not, why.
pub fn examine(claim: &Claim<'_>) -> Report {
    let mut faults = vec![];
    let found = header::find(claim.headers, claim.profile, &mut faults);
    let Some(found) = found else {
        return Report {
            profile: None,
            signed_at: None,
            faults,
        };
    };
    if let Some(asked) = claim.profile
        && asked != found.profile
    {
        faults.push(Fault::OtherProfile {
            asked,
            found: found.profile,
        });
    }
    let signed = header::read(&found, &mut faults);
    let signed_at = signed
        .as_ref()
        .and_then(|signed| time(signed, claim, &mut faults));
    if let Some(signed) = &signed {
        search::compare(claim, &found, signed, &mut faults);
    }
    Report {
        profile: Some(found.profile),
        signed_at,
        faults,
    }
}

/// When it was signed, and whether that is near enough.
fn time(signed: &Signed<'_>, claim: &Claim<'_>, faults: &mut Vec<Fault>) -> Option<Timestamp> {
    let at = if signed.seconds > SECONDS_MAX {
        faults.push(Fault::Milliseconds);
        Timestamp::from_millisecond(signed.seconds).ok()?
    } else {
        Timestamp::from_second(signed.seconds).ok()?
    };
    let difference = claim.now.as_second() - at.as_second();
    let tolerance = claim.tolerance.as_secs();
    if difference.unsigned_abs() > tolerance {
        faults.push(Fault::Clock {
            seconds: difference.unsigned_abs(),
            is_past: difference > 0,
            tolerance,
        });
    }
    Some(at)
}

#[cfg(test)]
mod tests;
