//! `plumbline trigger`: publish an event, and see what becomes of it.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use plumbline_domain::{EventType, Timestamp};
use plumbline_runtime::config::positive_duration;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::deliveries;
use super::input;
use crate::arguments::Access;
use crate::client::wire::{self, Accepted, Delivery, Endpoint};
use crate::client::{Client, Query, segment};
use crate::outcome::Failure;
use crate::output::{BOLD, DIM, Output, WARN, count, paint};

/// How often deliveries are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Deliveries of one event that are looked at: as many as a tenant has endpoints.
const DELIVERIES_MAX: usize = 1_000;

/// Publish an event: the catalogue's example of its type, or data of your own
///
/// It is an event like any other, and goes to every endpoint that wants its type. Needs the scope events:write; for the
/// example and for --wait webhooks:manage, too.
///
/// With --json: {"eventId":"evt_…"}, with --wait besides "complete":true and "deliveries":[…]
#[derive(Args, Debug)]
pub(crate) struct TriggerArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// The event's type, such as bid.accepted; `plumbline event-types` lists them
    #[arg(value_name = "TYPE")]
    event_type: EventType,

    /// Its data: a JSON object, @file, or @- for standard input; the catalogue's example unless given
    #[arg(long, value_name = "JSON")]
    data: Option<String>,

    /// The prior values of what changed, in the same forms
    #[arg(long, value_name = "JSON")]
    previous_attributes: Option<String>,

    /// Wait for its deliveries and show what each came to; exit code 1 when one did not succeed
    #[arg(long)]
    wait: bool,

    /// How long to wait at most
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = positive_duration)]
    timeout: Duration,
}

/// Publish it.
pub(super) async fn run(asked: TriggerArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let data = match &asked.data {
        Some(text) => input::json("--data", text)?,
        None => example(&client, &asked.event_type).await?,
    };
    let previous = asked
        .previous_attributes
        .as_deref()
        .map(|text| input::json("--previous-attributes", text))
        .transpose()?;
    // Who wants it is asked before it is sent, so that nobody is waited for who came later.
    let expected = match asked.wait {
        true => expected(&client, &asked.event_type).await?,
        false => vec![],
    };

    let mut body = format!(r#"{{"type":"{}","data":{}"#, asked.event_type, data.get());
    if let Some(previous) = previous {
        body.push_str(&format!(r#","previous_attributes":{}"#, previous.get()));
    }
    body.push('}');
    let accepted: Accepted = wire::read(&client.change(Method::POST, "events", body).await?)?;
    if !asked.wait {
        match output.is_json() {
            true => output.json(&json!({ "eventId": accepted.id }))?,
            false => output.line(format!(
                "{} is published: {}",
                asked.event_type,
                paint(BOLD, accepted.id)
            ))?,
        }
        return Ok(0);
    }

    if !output.is_json() {
        output.line(format!(
            "{} is published: {}",
            asked.event_type,
            paint(BOLD, &accepted.id)
        ))?;
        if expected.is_empty() {
            output.line(paint(
                WARN,
                format!(
                    "No endpoint wants {}: create one with `plumbline endpoints create`.",
                    asked.event_type
                ),
            ))?;
            return Ok(0);
        }
    }
    let (rows, is_complete) = settle(&client, &accepted.id, &expected, asked.timeout).await?;
    let mut all_well = is_complete;
    let mut parsed: Vec<Delivery> = vec![];
    for row in &rows {
        let delivery: Delivery = wire::read(row)?;
        all_well &= delivery.status == "succeeded";
        parsed.push(delivery);
    }
    if output.is_json() {
        #[derive(serde::Serialize)]
        struct Result<'a> {
            #[serde(rename = "eventId")]
            event_id: &'a str,
            complete: bool,
            deliveries: &'a [Box<RawValue>],
        }
        output.json(&Result {
            event_id: &accepted.id,
            complete: is_complete,
            deliveries: &rows,
        })?;
    } else {
        deliveries::table(&parsed, Timestamp::now()).print(output)?;
        if !is_complete {
            output.line(paint(
                DIM,
                format!(
                    "{} settled: it has not arrived, or waits for its next attempt. Follow with `plumbline deliveries --event {} \
                     --follow`.",
                    match expected.len() - parsed.iter().filter(|delivery| is_settled(delivery)).count() {
                        1 => "1 delivery is not".to_owned(),
                        open => format!("{} are not", count(open, "delivery")),
                    },
                    accepted.id
                ),
            ))?;
        }
    }
    Ok(u8::from(!all_well))
}

async fn example(client: &Client, event_type: &EventType) -> Result<Box<RawValue>, Failure> {
    let path = format!("webhook-event-types/{}", segment(event_type.as_str()));
    let found: wire::EventType = client
        .read(&path, &Query::default())
        .await
        .map_err(|error| match error.is_not_found() {
            true => Failure::Argument(format!(
                "{event_type} is not in the catalogue: `plumbline event-types` lists what is"
            )),
            false => error.into(),
        })?;
    found.example.ok_or_else(|| {
        Failure::Argument(format!(
            "{event_type} has no example in the catalogue: give --data"
        ))
    })
}

/// The endpoints that will have a delivery of such an event: also the disabled ones, which skip it.
async fn expected(client: &Client, event_type: &EventType) -> Result<Vec<i64>, Failure> {
    let rows = client
        .list("webhook-endpoints", &Query::default(), DELIVERIES_MAX)
        .await?;
    let mut expected = vec![];
    for row in &rows {
        let endpoint: Endpoint = wire::read(row)?;
        // None are all.
        if endpoint.event_types.is_empty()
            || endpoint
                .event_types
                .iter()
                .any(|name| name == event_type.as_str())
        {
            expected.push(endpoint.id);
        }
    }
    Ok(expected)
}

/// Wait until every expected delivery is settled, or will not be before the wait is over: the rows, and whether all are.
async fn settle(
    client: &Client,
    event: &str,
    expected: &[i64],
    patience: Duration,
) -> Result<(Vec<Box<RawValue>>, bool), Failure> {
    let deadline = Instant::now() + patience;
    let ends_at = Timestamp::now() + patience;
    let query = Query::default().with("eventId", Some(event));
    loop {
        let rows = client.list("webhook-deliveries", &query, DELIVERIES_MAX).await?;
        let mut known = HashMap::new();
        for row in &rows {
            let delivery: Delivery = wire::read(row)?;
            known.insert(delivery.endpoint_id, delivery);
        }
        let is_settled = expected.iter().all(|id| known.get(id).is_some_and(is_settled));
        // A retry that is due only after the wait is over is not waited for.
        let is_decided = expected.iter().all(|id| {
            known.get(id).is_some_and(|delivery| {
                let next = delivery.next_attempt_at.as_deref().and_then(|at| at.parse().ok());
                self::is_settled(delivery)
                    || (delivery.attempt_count > 0 && next.is_some_and(|next: Timestamp| next > ends_at))
            })
        });
        if is_decided || Instant::now() >= deadline {
            return Ok((rows, is_settled));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn is_settled(delivery: &Delivery) -> bool {
    delivery.status != "pending"
}
