//! `plumbline events` and `plumbline event-types`: what happened, and what can.

use clap::Args;
use plumbline_domain::{EventId, EventType, Profile};
use serde_json::value::RawValue;

use crate::arguments::Access;
use crate::client::{Client, Query, segment, wire};
use crate::outcome::Failure;
use crate::output::{BOLD, Cell, DIM, Output, Table, WARN, paint, when};

/// Event types that are listed at most.
const TYPES_MAX: usize = 10_000;
/// How much of an event's data is shown in a list, in characters.
const DATA_CHARS_MAX: usize = 60;

/// List events, newest first, or show one
///
/// Needs a key with the scope events:read.
///
/// With --json: {"events":[{"id":"evt_…","type":"…","createdAt":"…","data":{…},"previousAttributes":null}]}, for one event
/// the event itself
#[derive(Args, Debug)]
pub(crate) struct EventsArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// Show this event, evt_…, whole
    #[arg(value_name = "EVENT")]
    id: Option<EventId>,

    /// Only events of this type
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "id")]
    event_type: Option<EventType>,

    /// How many at most
    #[arg(long, value_name = "EVENTS", default_value = "25", value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "id")]
    limit: u32,
}

/// List the event types that can be subscribed to, or show one with its example and its schema
///
/// Needs a key with the scope webhooks:manage.
///
/// With --json: {"eventTypes":[{"name":"…","description":"…","schema":{…},"example":{…},"isCustom":false,
/// "deprecated":false,"createdAt":"…"}]}, for one type the type itself
#[derive(Args, Debug)]
pub(crate) struct EventTypesArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// Show this type
    #[arg(value_name = "TYPE")]
    name: Option<EventType>,

    /// Whose types: buildworkpro, buildr or buildmarkets, each with the tenant's own, or plumbline
    #[arg(long, value_name = "PROFILE", default_value = "buildworkpro", value_parser = shelf, conflicts_with = "name")]
    profile: String,
}

#[derive(serde::Serialize)]
struct Events<'a> {
    events: &'a [Box<RawValue>],
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct EventTypes<'a> {
    event_types: &'a [Box<RawValue>],
}

/// List events.
pub(super) async fn events(asked: EventsArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    if let Some(id) = asked.id {
        let json = client.get(&format!("events/{id}"), &Query::default()).await?;
        if output.is_json() {
            output.line(json.get())?;
            return Ok(0);
        }
        let event: wire::Event = wire::read(&json)?;
        output.line(paint(BOLD, &event.id))?;
        output.line(format!("{} at {} UTC", event.event_type, when(&event.created_at)))?;
        output.line(event.data.get())?;
        if let Some(previous) = &event.previous_attributes {
            output.line(format!("{} {}", paint(DIM, "before"), previous.get()))?;
        }
        output.line(paint(
            DIM,
            format!("`plumbline deliveries --event {id}` shows where it went."),
        ))?;
        return Ok(0);
    }
    let query = Query::default().with("type", asked.event_type.as_ref());
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let rows = client.list("events", &query, limit).await?;
    if output.is_json() {
        output.json(&Events { events: &rows })?;
        return Ok(0);
    }
    if rows.is_empty() {
        output.line("There are no such events.")?;
        return Ok(0);
    }
    let mut table = Table::new(["TIME (UTC)", "EVENT", "EVENT TYPE", "DATA"]);
    for row in &rows {
        let event: wire::Event = wire::read(row)?;
        let data: String = event.data.get().split_whitespace().collect::<Vec<_>>().join(" ");
        let rest = if data.chars().count() > DATA_CHARS_MAX {
            "…"
        } else {
            ""
        };
        let data: String = data.chars().take(DATA_CHARS_MAX).collect();
        table.row([
            when(&event.created_at).into(),
            event.id.into(),
            event.event_type.into(),
            Cell::new(format!("{data}{rest}"), DIM),
        ]);
    }
    table.print(output)?;
    Ok(0)
}

/// List event types.
pub(super) async fn event_types(asked: EventTypesArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    if let Some(name) = &asked.name {
        let path = format!("webhook-event-types/{}", segment(name.as_str()));
        let json = client.get(&path, &Query::default()).await?;
        if output.is_json() {
            output.line(json.get())?;
            return Ok(0);
        }
        let found: wire::EventType = wire::read(&json)?;
        output.line(paint(BOLD, &found.name))?;
        output.line(found.description.unwrap_or_default())?;
        for (title, json) in [("example", &found.example), ("schema", &found.schema)] {
            match json {
                Some(json) => output.line(format!("\n{}\n{}", paint(DIM, title), pretty(json)))?,
                None => output.line(paint(DIM, format!("\nno {title}")))?,
            }
        }
        return Ok(0);
    }
    let query = Query::default().with("profile", Some(&asked.profile));
    let rows = client.list("webhook-event-types", &query, TYPES_MAX).await?;
    if output.is_json() {
        output.json(&EventTypes { event_types: &rows })?;
        return Ok(0);
    }
    let mut table = Table::new(["EVENT TYPE", "", "DESCRIPTION"]);
    for row in &rows {
        let found: wire::EventType = wire::read(row)?;
        let mark = match (found.deprecated, found.is_custom) {
            (true, _) => Cell::new("deprecated", WARN),
            (false, true) => Cell::new("own", DIM),
            (false, false) => "".into(),
        };
        table.row([
            found.name.into(),
            mark,
            found.description.unwrap_or_default().into(),
        ]);
    }
    table.print(output)?;
    Ok(0)
}

/// Indented; as it came, where its numbers are too large to be written anew.
fn pretty(json: &RawValue) -> String {
    let value = serde_json::from_str::<serde_json::Value>(json.get());
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    text.unwrap_or_else(|_| json.get().to_owned())
}

fn shelf(text: &str) -> Result<String, String> {
    let is_known = text == "plumbline" || Profile::parse(text).is_some();
    is_known
        .then(|| text.to_owned())
        .ok_or_else(|| "write buildworkpro, buildr, buildmarkets or plumbline".to_owned())
}
