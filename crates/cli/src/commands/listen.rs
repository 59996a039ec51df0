//! `plumbline listen`: the tenant's events, forwarded to a developer's machine as the dispatcher would send them.

mod forward;

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use clap::Args;
use hyper::Uri;
use plumbline_domain::{EventType, Profile, ResourceUrls, SigningSecret, TenantId, Timestamp};
use plumbline_runtime::config::{Sensitive, positive_duration};
use plumbline_runtime::shutdown::Shutdown;
use serde_json::json;
use tokio::task::JoinSet;

use self::forward::{Ended, Forwarded, Forwarder};
use crate::arguments::{Access, profile};
use crate::client::wire::{self, Me, Settings};
use crate::client::{Client, Happening, Live, Query, Start};
use crate::outcome::Failure;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, answer_style, clock, count, paint};

/// Events that are forwarded at once.
const IN_FLIGHT_MAX: usize = 16;
/// Ids of events that are remembered, to tell those that come twice around a reconnection.
const REMEMBERED_MAX: usize = 10_000;

/// Stream the tenant's events to this machine
///
/// Each event that is accepted from now on is rendered and signed as the dispatcher would for the profile, and sent to the
/// URL; one line says what it answered. The connection comes back by itself and goes on where it broke off. Ctrl-C ends it
/// with a summary and exit code 0. Nothing of it is recorded as a delivery. Needs a key with the scope events:read.
///
/// With --json: {"listening":{"forwardTo":"…","profile":"…","secret":"whsec_…"}} first, then for each answer {"at":"…",
/// "eventType":"…","eventId":"evt_…","deliveryId":"dlv_…","attempt":1,"status":200,"error":null,"ms":12}, then {"summary":
/// {"events":5,"succeeded":4,"failed":1}}
#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// Where to send events, such as http://localhost:3000/hook; http is allowed here
    #[arg(long, value_name = "URL", value_parser = target)]
    forward_to: Uri,

    /// Only events of these types, comma-separated, such as bid.accepted,bid.rejected
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    events: Vec<EventType>,

    /// Whose deliveries to imitate: buildworkpro, buildr or buildmarkets
    #[arg(long, value_name = "PROFILE", default_value = "buildworkpro", value_parser = profile)]
    profile: Profile,

    /// Sign with this secret; without it one is made for the session and printed
    #[arg(
        long,
        env = "PLUMBLINE_LISTEN_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    secret: Option<Sensitive>,

    /// How often to try again what was not answered with 2xx: after 1 s, 2 s, 4 s and so on, signed anew
    #[arg(long, value_name = "TIMES", default_value = "0", num_args = 0..=1, default_missing_value = "3", value_parser = clap::value_parser!(u32).range(0..=10))]
    retry: u32,

    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = positive_duration)]
    timeout: Duration,

    /// End after this many events; then the exit code is 1 when one of them failed
    #[arg(long, value_name = "EVENTS")]
    count: Option<usize>,
}

/// What was forwarded.
#[derive(Default)]
struct Tally {
    events: usize,
    succeeded: usize,
    failed: usize,
}

/// Listen until Ctrl-C, or until there were enough.
pub(super) async fn run(asked: ListenArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let me: Me = client.read("me", &Query::default()).await?;
    let urls = urls(&client, asked.profile, output).await?;
    let secret = match &asked.secret {
        Some(secret) => SigningSecret::from_text(secret.expose().to_owned()),
        None => asked.profile.generate_secret(rand::random()),
    };
    let forwarder = Forwarder::new(
        TenantId(me.tenant_id),
        asked.forward_to.clone(),
        asked.profile,
        &secret,
        urls,
        asked.timeout,
        asked.retry,
    )?;
    introduce(&asked, &me, &secret, output)?;

    let types: Vec<&str> = asked.events.iter().map(EventType::as_str).collect();
    let types = (!types.is_empty()).then(|| types.join(","));
    let query = Query::default().with("types", types);
    let mut live = Live::open(client, "events/stream", query, Start::Event);
    let shutdown = Shutdown::on_interrupt();
    let (mut tally, mut seen, mut in_flight) = (Tally::default(), Seen::default(), JoinSet::new());
    let (results, mut answers) = tokio::sync::mpsc::channel::<Forwarded>(IN_FLIGHT_MAX);
    let wanted = asked.count.unwrap_or(usize::MAX);
    while tally.succeeded + tally.failed < wanted {
        tokio::select! {
            () = shutdown.requested() => break,
            // What each attempt came to, as it comes.
            Some(answer) = answers.recv() => {
                tally.count(&answer);
                show(&answer, output)?;
            }
            Some(_) = in_flight.join_next() => {}
            happening = live.next(), if in_flight.len() < IN_FLIGHT_MAX && tally.events < wanted => match happening {
                Happening::Connected => output.notice(paint(DIM, match tally.events {
                    0 => "Connected. Waiting for events; Ctrl-C ends.",
                    _ => "Connected.",
                })),
                Happening::Lost { why, wait } => output.notice(paint(WARN, format!(
                    "The connection is lost: {why}. It goes on where it broke off, in {:.1} s.", wait.as_secs_f64()
                ))),
                Happening::Failed(error) => return Err(error.into()),
                Happening::Message(message) => {
                    let event = serde_json::from_str::<wire::Event>(&message.data)
                        .map_err(|error| error.to_string())
                        .and_then(|event| forwarder.event(&event));
                    match event {
                        Ok(event) if seen.is_new(&event.id.to_string()) => {
                            tally.events += 1;
                            in_flight.spawn(forwarder.clone().forward(event, results.clone()));
                        }
                        Ok(_) => {}
                        Err(why) => output.notice(paint(BAD, format!("An event cannot be read: {why}"))),
                    }
                }
            },
        }
    }
    drop(live);
    in_flight.shutdown().await;
    tally.summarise(asked.count.is_some(), output)
}

/// Where the tenant's resources live, for the profile that points to them.
async fn urls(client: &Client, profile: Profile, output: &mut Output) -> Result<ResourceUrls, Failure> {
    let default = ResourceUrls::below(Some(client.base()));
    if profile != Profile::Buildr {
        return Ok(default);
    }
    match client
        .read::<Settings>("webhook-settings", &Query::default())
        .await
    {
        Ok(settings) => Ok(settings.resource_url_template.map_or(default, ResourceUrls::new)),
        Err(error) if error.is_forbidden() => {
            output.notice(paint(WARN, format!(
                "The key may not read the tenant's settings: the events' url leads below {} unless their data has one.",
                client.base()
            )));
            Ok(default)
        }
        Err(error) => Err(error.into()),
    }
}

fn introduce(
    asked: &ListenArgs,
    me: &Me,
    secret: &SigningSecret,
    output: &mut Output,
) -> Result<(), Failure> {
    let profile = asked.profile.as_str();
    let target = asked.forward_to.to_string();
    // One that was given need not be seen by who looks over a shoulder.
    let shown = asked.secret.is_none().then(|| secret.expose());
    if output.is_json() {
        return output.json(&json!({
            "listening": { "forwardTo": target, "profile": profile, "secret": shown }
        }));
    }
    output.line(format!(
        "Events of {} go to {}, as {profile} sends them.",
        paint(BOLD, &me.tenant_name),
        paint(BOLD, target)
    ))?;
    match shown {
        Some(secret) => output.line(format!("Signing secret of this session: {}", paint(BOLD, secret))),
        None => output.line("Signed with the secret that was given."),
    }
}

fn show(answer: &Forwarded, output: &mut Output) -> Result<(), Failure> {
    let Forwarded {
        event_type,
        event,
        delivery,
        attempt,
        ended,
        took,
        retry_in,
    } = answer;
    let (status, error) = match ended {
        Ended::Answered(status) => (Some(*status), None),
        Ended::Failed(why) => (None, Some(why)),
    };
    let ms = took.as_millis();
    if output.is_json() {
        return output.json(&json!({
            "at": Timestamp::now().to_string(), "eventType": event_type, "eventId": event, "deliveryId": delivery,
            "attempt": attempt, "status": status, "error": error, "ms": u64::try_from(ms).unwrap_or(u64::MAX),
        }));
    }
    let ended = match (status, error) {
        (Some(status @ 300..=399), _) => format!("{status}, and redirects are not followed"),
        (Some(status), _) => status.to_string(),
        (None, error) => error.cloned().unwrap_or_default(),
    };
    let again = match (retry_in, attempt) {
        (Some(wait), _) => format!("  again in {} s", wait.as_secs()),
        (None, 1) => String::new(),
        (None, attempt) => format!("  attempt {attempt}"),
    };
    output.line(format!(
        "{}  {event_type:<24}  {event}  {}  {}",
        paint(DIM, clock(Timestamp::now())),
        paint(answer_style(status), ended),
        paint(DIM, format!("{ms} ms{again}"))
    ))
}

impl Tally {
    fn count(&mut self, answer: &Forwarded) {
        if answer.is_success() {
            self.succeeded += 1;
        } else if answer.retry_in.is_none() {
            self.failed += 1;
        }
    }

    fn summarise(&self, decides: bool, output: &mut Output) -> Result<u8, Failure> {
        let Self {
            events,
            succeeded,
            failed,
        } = self;
        if output.is_json() {
            output.json(&json!({"summary": {"events": events, "succeeded": succeeded, "failed": failed}}))?;
        } else {
            let open = events - succeeded - failed;
            let mut parts = vec![
                paint(GOOD, format!("{succeeded} succeeded")),
                paint(if *failed > 0 { BAD } else { DIM }, format!("{failed} failed")),
            ];
            if open > 0 {
                parts.push(paint(WARN, format!("{open} without an answer yet")));
            }
            output.line(format!("\n{}: {}.", count(*events, "event"), parts.join(", ")))?;
        }
        Ok(u8::from(decides && *failed > 0))
    }
}

/// Events that came already.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether this one has not come before; it has from now on.
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

fn target(text: &str) -> Result<Uri, String> {
    let remedy = || "write where your receiver listens, such as http://localhost:3000/hook".to_owned();
    let url = url::Url::parse(text).map_err(|_| remedy())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(remedy());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not contain a user name or password".to_owned());
    }
    // What follows a `#` is never sent.
    url.as_str()
        .split('#')
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|_| remedy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a") && !seen.is_new("a"));
        for number in 0..REMEMBERED_MAX {
            assert!(seen.is_new(&number.to_string()));
        }
        assert_eq!(
            (seen.ids.len(), seen.order.len()),
            (REMEMBERED_MAX, REMEMBERED_MAX)
        );
        assert!(seen.is_new("a"), "the oldest is forgotten");
    }

    #[test]
    fn a_target_is_any_web_address() {
        for (text, uri) in [
            ("http://localhost:3000/hook", "http://localhost:3000/hook"),
            ("http://localhost:3000", "http://localhost:3000/"),
            ("https://a.example/x?y=1#z", "https://a.example/x?y=1"),
            ("http://[::1]:80/", "http://[::1]/"),
        ] {
            assert_eq!(target(text).expect(text).to_string(), uri);
        }
        for text in [
            "localhost:3000",
            "/hook",
            "ftp://a.example",
            "http://u:p@localhost/",
            "",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
