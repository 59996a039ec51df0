//! `plumbline delivery` and `plumbline replay`: one delivery, closely, and once more.

mod advice;

use std::time::Duration;

use clap::Args;
use hyper::Method;
use plumbline_domain::{DeliveryId, Timestamp};
use plumbline_runtime::config::positive_duration;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::arguments::Access;
use crate::client::wire::{self, Attempt, Delivery, DeliveryDetail};
use crate::client::{Client, Query};
use crate::outcome::Failure;
use crate::output::{
    BAD, BOLD, Cell, DIM, GOOD, Output, Table, WARN, age, answer_style, paint, status_style, until, when,
};

/// How often a delivery is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How much of an answer's body is shown, in characters.
const BODY_CHARS_MAX: usize = 200;

/// Look at a delivery: its attempts, what went wrong, and what to do
///
/// Needs a key with the scope webhooks:manage.
///
/// With --json: the delivery as `GET /api/v1/webhook-deliveries/{id}` has it, with its payload and attempts
#[derive(Args, Debug)]
pub(crate) struct DeliveryArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// Its id, dlv_…
    #[arg(value_name = "DELIVERY")]
    id: DeliveryId,

    /// Show the payload, too
    #[arg(long)]
    payload: bool,
}

/// Send a delivery's event to its endpoint again, as a new delivery with the same event id
///
/// Needs a key with the scope webhooks:manage.
///
/// With --json: {"deliveryId":"dlv_…"}; with --wait the new delivery with its attempts
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// The delivery to repeat, dlv_…
    #[arg(value_name = "DELIVERY")]
    id: DeliveryId,

    /// Wait for its result; exit code 1 when it did not succeed
    #[arg(long)]
    wait: bool,

    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = positive_duration)]
    timeout: Duration,
}

/// Look at one.
pub(super) async fn show(asked: DeliveryArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let json = client
        .get(&path(&asked.id.to_string()), &Query::default())
        .await?;
    print(&json, asked.payload, output)?;
    Ok(0)
}

/// Send one again.
pub(super) async fn replay(asked: ReplayArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let path = format!("{}/replay", path(&asked.id.to_string()));
    let made: Delivery = wire::read(&client.change(Method::POST, &path, "").await?)?;
    let wait = asked.wait.then_some(asked.timeout);
    follow(&client, &made.id, "Sent again", wait, output).await
}

fn path(id: &str) -> String {
    format!("webhook-deliveries/{id}")
}

/// Say that a delivery was made, or wait for what comes of it.
pub(super) async fn follow(
    client: &Client,
    id: &str,
    what: &str,
    wait: Option<Duration>,
    output: &mut Output,
) -> Result<u8, Failure> {
    let Some(patience) = wait else {
        match output.is_json() {
            true => output.json(&super::deliveries::made(id))?,
            false => output.line(format!("{what}: {}", paint(BOLD, id)))?,
        }
        return Ok(0);
    };
    let deadline = Instant::now() + patience;
    let ends_at = Timestamp::now() + patience;
    loop {
        // It may take a moment until it is recorded.
        let json = match client.get(&path(id), &Query::default()).await {
            Err(error) if error.is_not_found() && Instant::now() < deadline => None,
            answer => Some(answer?),
        };
        if let Some(json) = json {
            let delivery: Delivery = wire::read(&json)?;
            let next = delivery.next_attempt_at.as_deref().and_then(|at| at.parse().ok());
            let is_late = delivery.attempt_count > 0 && next.is_some_and(|next: Timestamp| next > ends_at);
            if delivery.status != "pending" || is_late || Instant::now() >= deadline {
                print(&json, false, output)?;
                return Ok(u8::from(delivery.status != "succeeded"));
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

fn print(json: &RawValue, with_payload: bool, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.line(json.get());
    }
    let delivery: Delivery = wire::read(json)?;
    let detail: DeliveryDetail = wire::read(json)?;
    let now = Timestamp::now();
    let mut facts = Table::new(["", ""]);
    let mut fact = |name: &str, value: Cell| facts.row([Cell::new(name, DIM), value]);
    let status = match (&delivery.next_attempt_at, &delivery.completed_at) {
        (Some(next), _) => format!("{}, next attempt {}", delivery.status, until(next, now)),
        (None, Some(done)) => format!("{}, {}", delivery.status, age(done, now)),
        (None, None) => delivery.status.clone(),
    };
    fact("status", Cell::new(status, status_style(&delivery.status)));
    fact(
        "event",
        format!("{} {}", delivery.event_type, delivery.event_id).into(),
    );
    let place = detail.endpoint_url.as_deref().map(|url| format!(" {url}"));
    fact(
        "endpoint",
        format!("{}{}", delivery.endpoint_id, place.unwrap_or_default()).into(),
    );
    fact("recorded", format!("{} UTC", when(&delivery.created_at)).into());
    if let Some(original) = &delivery.replay_of {
        fact("replay of", original.clone().into());
    }
    output.line(paint(BOLD, &delivery.id))?;
    facts.print_body(output)?;

    if !detail.attempts.is_empty() {
        output.line("")?;
        attempts(&detail.attempts).print(output)?;
    }
    let last = detail.attempts.last();
    if let Some(said) = last.and_then(said) {
        output.line(format!("\n{} {said}", paint(DIM, "it said")))?;
    }
    if let Some(advice) = advice::of(&delivery, last) {
        output.line(format!("\n{} {}", paint(WARN, "why"), advice.why))?;
        output.line(format!("{}  {}", paint(GOOD, "do"), advice.remedy))?;
    }
    if with_payload {
        match &detail.payload {
            Some(payload) => output.line(format!("\n{}", payload.get()))?,
            None => output.line(paint(DIM, "\nThe payload is past its retention."))?,
        }
    }
    Ok(())
}

fn attempts(attempts: &[Attempt]) -> Table<5> {
    let mut table = Table::new(["TRY", "TIME (UTC)", "ANSWER", "TOOK", "OF WHICH"]);
    for attempt in attempts {
        let answer = match (attempt.response_status, &attempt.error) {
            (Some(status), None) => Cell::new(status.to_string(), answer_style(Some(status))),
            (status, Some(error)) => {
                let status = status.map(|status| format!("{status} ")).unwrap_or_default();
                Cell::new(format!("{status}{}: {}", error.code, error.message), BAD)
            }
            (None, None) => "-".into(),
        };
        let timing = attempt.timing.as_ref().map(|timing| {
            let parts = [
                ("dns", timing.dns_ms),
                ("connect", timing.connect_ms),
                ("tls", timing.tls_ms),
                ("wait", timing.wait_ms),
                ("read", timing.read_ms),
            ];
            let parts = parts
                .into_iter()
                .filter_map(|(name, ms)| Some(format!("{name} {:.1}", ms?)));
            parts.collect::<Vec<_>>().join(", ")
        });
        table.row([
            attempt.number.to_string().into(),
            when(&attempt.started_at).into(),
            answer,
            format!("{} ms", attempt.duration_ms).into(),
            Cell::new(timing.unwrap_or_default(), DIM),
        ]);
    }
    table
}

/// What a receiver that did not say yes said, on one line.
fn said(attempt: &Attempt) -> Option<String> {
    if matches!(attempt.response_status, Some(200..=299) | None) {
        return None;
    }
    let body = attempt.response_body.as_deref()?.trim();
    let line: String = body
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(BODY_CHARS_MAX)
        .collect();
    let rest = if body.chars().count() > BODY_CHARS_MAX {
        "…"
    } else {
        ""
    };
    (!line.is_empty()).then(|| format!("{line}{rest}"))
}
