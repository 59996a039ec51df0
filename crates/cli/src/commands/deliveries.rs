//! `plumbline deliveries`: the delivery log of all endpoints, and what is added to it.

use clap::Args;
use plumbline_domain::{DeliveryStatus, EndpointId, EventId, EventType, Timestamp};
use plumbline_runtime::shutdown::Shutdown;
use serde_json::json;
use serde_json::value::RawValue;

use crate::arguments::Access;
use crate::client::wire::{self, Delivery};
use crate::client::{Client, Happening, Live, Query, Start};
use crate::outcome::Failure;
use crate::output::{Cell, DIM, Output, Table, WARN, answer_style, moment, paint, status_style, until, when};

/// The most that are listed at once.
const LIMIT_MAX: u32 = 10_000;

/// List deliveries, newest first
///
/// A delivery is one event to one endpoint, over all its attempts. `plumbline delivery ID` looks at one closely. Needs a key
/// with the scope webhooks:manage.
///
/// With --json: {"deliveries":[{"id":"dlv_…","eventId":"evt_…","eventType":"…","endpointId":17,"status":"failed",
/// "attemptCount":1,"responseStatus":500,"error":null,"nextAttemptAt":null,"createdAt":"…","completedAt":"…",
/// "replayOf":null}]}; with --follow one such delivery a line
#[derive(Args, Debug)]
pub(crate) struct DeliveriesArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// Only those that stand so: pending, succeeded, failed, exhausted or skipped
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<DeliveryStatus>,

    /// Only those to this endpoint
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<EndpointId>,

    /// Only those of events of this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<EventType>,

    /// Only those of this event
    #[arg(long, value_name = "EVENT")]
    event: Option<EventId>,

    /// Only those recorded since then: how long ago, such as 1h, or a time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Timestamp>,

    /// Only those recorded before then
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,

    /// How many at most
    #[arg(long, value_name = "DELIVERIES", default_value = "25", value_parser = clap::value_parser!(u32).range(1..=i64::from(LIMIT_MAX)))]
    limit: u32,

    /// Go on with what is new or changes, until Ctrl-C
    #[arg(long, conflicts_with_all = ["since", "until"])]
    follow: bool,
}

/// List them.
pub(super) async fn run(asked: DeliveriesArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let query = Query::default()
        .with("status", asked.status.map(DeliveryStatus::as_str))
        .with("endpointId", asked.endpoint)
        .with("eventType", asked.event_type.as_ref())
        .with("eventId", asked.event)
        .with("since", asked.since)
        .with("until", asked.until);
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    if asked.follow {
        return follow(client, query, limit, output).await;
    }
    let rows = client.list("webhook-deliveries", &query, limit).await?;
    if output.is_json() {
        output.json(&Listed { deliveries: &rows })?;
        return Ok(0);
    }
    if rows.is_empty() {
        output.line("There are no such deliveries.")?;
        return Ok(0);
    }
    table(&parsed(&rows)?, Timestamp::now()).print(output)?;
    if rows.len() == limit {
        output.notice(paint(DIM, format!("The newest {limit}; --limit shows more.")));
    }
    Ok(0)
}

#[derive(serde::Serialize)]
struct Listed<'a> {
    deliveries: &'a [Box<RawValue>],
}

fn parsed(rows: &[Box<RawValue>]) -> Result<Vec<Delivery>, Failure> {
    let rows = rows.iter().map(|row| wire::read(row).map_err(Failure::from));
    rows.collect()
}

/// Deliveries as a table.
pub(super) fn table(deliveries: &[Delivery], now: Timestamp) -> Table<8> {
    let mut table = Table::new([
        "TIME (UTC)",
        "DELIVERY",
        "EVENT TYPE",
        "ENDPOINT",
        "STATUS",
        "TRIES",
        "ANSWER",
        "NEXT",
    ]);
    for delivery in deliveries {
        table.row([
            when(&delivery.created_at).into(),
            delivery.id.clone().into(),
            delivery.event_type.clone().into(),
            delivery.endpoint_id.to_string().into(),
            Cell::new(&delivery.status, status_style(&delivery.status)),
            delivery.attempt_count.to_string().into(),
            answer(delivery),
            next(delivery, now).into(),
        ]);
    }
    table
}

fn answer(delivery: &Delivery) -> Cell {
    let style = answer_style(delivery.response_status);
    match (delivery.response_status, &delivery.error) {
        (Some(status), _) => Cell::new(status.to_string(), style),
        (None, Some(code)) => Cell::new(code, style),
        (None, None) => "-".into(),
    }
}

fn next(delivery: &Delivery, now: Timestamp) -> String {
    match (&delivery.next_attempt_at, &delivery.replay_of) {
        (Some(at), _) => until(at, now),
        (None, Some(_)) => "a replay".to_owned(),
        (None, None) => String::new(),
    }
}

/// Show the newest, oldest of them first, then each as it changes.
async fn follow(client: Client, query: Query, limit: usize, output: &mut Output) -> Result<u8, Failure> {
    let mut live = Live::open(
        client.clone(),
        "webhook-deliveries/stream",
        query.clone(),
        Start::Anew,
    );
    let shutdown = Shutdown::on_interrupt();
    // What was shown of each of the newest, so that a page that is read again shows only what is new.
    let mut shown: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    let mut show = |row: &RawValue, output: &mut Output| -> Result<(), Failure> {
        let delivery: Delivery = wire::read(row)?;
        if shown.len() > 4 * usize::try_from(LIMIT_MAX).unwrap_or(usize::MAX) {
            shown.clear();
        }
        let before = shown.insert(delivery.id.clone(), row.get().to_owned());
        if before.is_some_and(|before| before == row.get()) {
            return Ok(());
        }
        match output.is_json() {
            true => output.line(row.get()),
            false => output.line(line(&delivery, Timestamp::now())),
        }
    };
    loop {
        let happening = tokio::select! {
            () = shutdown.requested() => return Ok(0),
            happening = live.next() => happening,
        };
        match happening {
            Happening::Connected => {
                let rows = client.list("webhook-deliveries", &query, limit).await?;
                for row in rows.iter().rev() {
                    show(row, output)?;
                }
            }
            Happening::Message(message) if message.event == "delivery" => {
                let row = RawValue::from_string(message.data)
                    .map_err(|error| crate::client::ClientError::Unreadable(error.to_string()))?;
                show(&row, output)?;
            }
            Happening::Message(_) => {}
            Happening::Lost { why, wait } => output.notice(paint(
                WARN,
                format!(
                    "The connection is lost: {why}. Again in {:.1} s.",
                    wait.as_secs_f64()
                ),
            )),
            Happening::Failed(error) => return Err(error.into()),
        }
    }
}

fn line(delivery: &Delivery, now: Timestamp) -> String {
    let status = paint(status_style(&delivery.status), format!("{:<9}", delivery.status));
    let answer = match (delivery.response_status, &delivery.error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.clone().unwrap_or_default(),
    };
    let next = next(delivery, now);
    format!(
        "{}  {}  {:<24}  {:>6}  {status}  {answer:<16}  {}",
        paint(DIM, when(&delivery.created_at)),
        delivery.id,
        delivery.event_type,
        delivery.endpoint_id,
        paint(DIM, next),
    )
    .trim_end()
    .to_owned()
}

fn status(text: &str) -> Result<DeliveryStatus, String> {
    DeliveryStatus::parse(text).ok_or_else(|| {
        let all = DeliveryStatus::ALL.map(DeliveryStatus::as_str);
        format!("write one of {}", all.join(", "))
    })
}

/// What a command that made a delivery says of it.
pub(super) fn made(id: &str) -> serde_json::Value {
    json!({ "deliveryId": id })
}
