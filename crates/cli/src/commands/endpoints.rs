//! `plumbline endpoints`: where events go, and how they fare there.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use plumbline_domain::{EndpointId, EventType, Timestamp};
use plumbline_runtime::config::positive_duration;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::delivery;
use crate::arguments::Access;
use crate::client::wire::{self, Endpoint, EndpointStats, Rotated, SentTest, Stats};
use crate::client::{Client, ClientError, Query};
use crate::outcome::Failure;
use crate::output::{BAD, BOLD, Cell, DIM, GOOD, Output, Table, WARN, age, count, paint, when};

/// Endpoints that are listed at most: more than a tenant has.
const ENDPOINTS_MAX: usize = 10_000;
/// A success rate below this is not well.
const WELL: f64 = 0.99;

/// List endpoints with how they fared in the last 24 hours, or work on one
///
/// Needs a key with the scope webhooks:manage.
///
/// With --json: {"endpoints":[{"id":17,"url":"…",…}],"stats":[{"endpointId":17,"succeeded":5,…}]}
#[derive(Args, Debug)]
pub(crate) struct EndpointsArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// What to do; without it, list them
    #[command(subcommand)]
    command: Option<EndpointsCommand>,
}

/// An endpoint's number.
#[derive(Args, Debug)]
struct Which {
    /// The endpoint's number
    #[arg(value_name = "ENDPOINT")]
    id: EndpointId,
}

#[derive(Debug, Subcommand)]
enum EndpointsCommand {
    /// Show an endpoint
    ///
    /// With --json: the endpoint as `GET /api/v1/webhook-endpoints/{id}` has it
    Show(Which),
    /// Create an endpoint of the profile buildworkpro, and show its signing secret this once
    ///
    /// With --json: the endpoint, with its signingSecret
    Create {
        /// Where events are sent: a public https URL; for a local receiver use `plumbline listen`
        #[arg(value_name = "ENDPOINT-URL")]
        url: String,
        /// The event types to receive, comma-separated
        #[arg(long, value_name = "TYPES", value_delimiter = ',', required = true)]
        events: Vec<EventType>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Requests per minute at most
        #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
        rate_limit: Option<u32>,
        /// A header of every request to it, such as 'X-Team: sales'; may be repeated
        #[arg(long = "header", value_name = "HEADER", value_parser = header)]
        headers: Vec<(String, String)>,
    },
    /// Enable an endpoint, which resets its failures and sends nothing by itself
    ///
    /// With --json: the endpoint
    Enable(Which),
    /// Disable an endpoint: its events are skipped, and `plumbline recover` sends them later
    ///
    /// With --json: the endpoint
    Disable(Which),
    /// Send a synthetic webhook.test event and wait for its result; exit code 1 when it did not succeed
    ///
    /// With --json: the delivery with its attempt
    Test {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// How long to wait at most
        #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = positive_duration)]
        timeout: Duration,
    },
    /// Replace an endpoint's signing secret, and show the new one this once
    ///
    /// With --json: {"id":17,"signingSecret":"whsec_…","activatesAt":"…"}
    Rotate {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Prepare it: the old one signs until then, or until `plumbline endpoints activate`
        #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
        activate_in: Option<Duration>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Let a prepared signing secret take over now
    ///
    /// With --json: {"id":17,"activatesAt":"…"}
    Activate(Which),
    /// Delete an endpoint; its deliveries stay in the log
    ///
    /// With --json: {"deleted":17}
    Delete {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Do what was asked for.
pub(super) async fn run(asked: EndpointsArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let Some(command) = asked.command else {
        list(&client, output).await?;
        return Ok(0);
    };
    match command {
        EndpointsCommand::Show(which) => {
            let json = client.get(&which.path(""), &Query::default()).await?;
            show(&json, output)?;
        }
        EndpointsCommand::Create {
            url,
            events,
            description,
            rate_limit,
            headers,
        } => {
            let events: Vec<&str> = events.iter().map(EventType::as_str).collect();
            let mut body = Map::from_iter([
                ("url".to_owned(), json!(url)),
                ("eventTypes".to_owned(), json!(events)),
            ]);
            let headers: BTreeMap<_, _> = headers.into_iter().collect();
            for (name, value) in [
                ("description", description.map(|text| json!(text))),
                ("rateLimit", rate_limit.map(|limit| json!(limit))),
                ("headers", (!headers.is_empty()).then(|| json!(headers))),
            ] {
                body.extend(value.map(|value| (name.to_owned(), value)));
            }
            let body = Value::Object(body).to_string();
            let json = client.change(Method::POST, "webhook-endpoints", body).await?;
            show(&json, output)?;
        }
        EndpointsCommand::Enable(which) => {
            let json = client.change(Method::POST, &which.path("/enable"), "").await?;
            let next = format!(
                "`plumbline recover {} --since …` sends what was skipped.",
                which.id
            );
            done(
                &json,
                &format!("Endpoint {} is enabled. {next}", which.id),
                output,
            )?;
        }
        EndpointsCommand::Disable(which) => {
            let body = json!({ "isActive": false }).to_string();
            let json = client.change(Method::PATCH, &which.path(""), body).await?;
            done(&json, &format!("Endpoint {} is disabled.", which.id), output)?;
        }
        EndpointsCommand::Test { which, timeout } => {
            let sent = client.change(Method::POST, &which.path("/test"), "").await?;
            let sent: SentTest = wire::read(&sent)?;
            return delivery::follow(&client, &sent.delivery_id, "Sent", Some(timeout), output).await;
        }
        EndpointsCommand::Rotate {
            which,
            activate_in,
            yes,
        } => {
            if activate_in.is_none() {
                confirm(
                    yes,
                    format!(
                        "endpoint {}'s deliveries would be signed with another secret from now on (--activate-in prepares it)",
                        which.id
                    ),
                    output,
                )?;
            }
            let body = match activate_in {
                Some(wait) => json!({ "activateInSeconds": wait.as_secs().max(1) }),
                None => json!({}),
            };
            let json = client
                .change(Method::POST, &which.path("/rotate-secret"), body.to_string())
                .await?;
            rotated(&json, output)?;
        }
        EndpointsCommand::Activate(which) => {
            let json = client
                .change(Method::POST, &which.path("/activate-secret"), "")
                .await?;
            let words = format!("The prepared secret of endpoint {} signs now.", which.id);
            done(&json, &words, output)?;
        }
        EndpointsCommand::Delete { which, yes } => {
            // Says whose it is before it asks; and what is not there is not asked about.
            let endpoint: Endpoint = client.read(&which.path(""), &Query::default()).await?;
            confirm(
                yes,
                format!("endpoint {} ({}) would be deleted", which.id, endpoint.url),
                output,
            )?;
            client.change(Method::DELETE, &which.path(""), "").await?;
            match output.is_json() {
                true => output.json(&json!({ "deleted": which.id.0 }))?,
                false => output.line(format!("Endpoint {} is deleted.", which.id))?,
            }
        }
    }
    Ok(0)
}

impl Which {
    fn path(&self, action: &str) -> String {
        format!("webhook-endpoints/{}{action}", self.id)
    }
}

fn confirm(yes: bool, what: String, output: &mut Output) -> Result<(), Failure> {
    if yes || output.ask(&format!("{what}. Go on?")) == Some(true) {
        return Ok(());
    }
    Err(Failure::Unconfirmed(what))
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let rows = client
        .list("webhook-endpoints", &Query::default(), ENDPOINTS_MAX)
        .await?;
    let stats = client.get("webhook-stats", &Query::default()).await?;
    if output.is_json() {
        #[derive(Serialize)]
        struct Listed<'a> {
            endpoints: &'a [Box<RawValue>],
            stats: Value,
        }
        let all: Value = wire::read(&stats)?;
        return output.json(&Listed {
            endpoints: &rows,
            stats: all["endpoints"].clone(),
        });
    }
    if rows.is_empty() {
        return output.line("There are no endpoints: create one with `plumbline endpoints create`.");
    }
    let stats: Stats = wire::read(&stats)?;
    let stats: HashMap<i64, EndpointStats> = stats
        .endpoints
        .into_iter()
        .map(|stats| (stats.endpoint_id, stats))
        .collect();
    let mut table = Table::new([
        "ENDPOINT",
        "STATE",
        "24 H",
        "FAILED",
        "PENDING",
        "P95",
        "LAST",
        "URL",
        "EVENT TYPES",
    ]);
    let now = Timestamp::now();
    for row in &rows {
        let endpoint: Endpoint = wire::read(row)?;
        let stats = stats.get(&endpoint.id);
        table.row([
            endpoint.id.to_string().into(),
            state(&endpoint),
            rate(stats.and_then(|stats| stats.success_rate)),
            number(
                stats.map(|stats| stats.totals.failed + stats.totals.exhausted),
                BAD,
            ),
            number(stats.map(|stats| stats.totals.pending), WARN),
            stats
                .and_then(|stats| stats.p95_ms)
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"))
                .into(),
            stats
                .and_then(|stats| stats.last_delivery_at.as_deref())
                .map_or_else(|| "-".to_owned(), |at| age(at, now))
                .into(),
            endpoint.url.clone().into(),
            types(&endpoint).into(),
        ]);
    }
    table.print(output)
}

fn state(endpoint: &Endpoint) -> Cell {
    match (
        endpoint.is_active,
        &endpoint.disabled_reason,
        endpoint.consecutive_failures,
    ) {
        (true, _, 0) => Cell::new("active", GOOD),
        (true, _, failures) => {
            let failures = count(usize::try_from(failures).unwrap_or(usize::MAX), "failure");
            Cell::new(format!("active, {failures}"), WARN)
        }
        (false, Some(reason), _) => Cell::new(format!("disabled: {}", reason.replace('_', " ")), BAD),
        (false, None, _) => Cell::new("disabled", BAD),
    }
}

fn rate(rate: Option<f64>) -> Cell {
    match rate {
        Some(rate) => {
            let style = if rate >= WELL { GOOD } else { BAD };
            // Never rounded up to all.
            Cell::new(format!("{:.1} %", (rate * 1_000.0).floor() / 10.0), style)
        }
        None => "-".into(),
    }
}

fn number(number: Option<u64>, style: anstyle::Style) -> Cell {
    match number {
        Some(0) | None => Cell::new("0", DIM),
        Some(number) => Cell::new(number.to_string(), style),
    }
}

fn types(endpoint: &Endpoint) -> String {
    match endpoint.event_types.as_slice() {
        [] => "all".to_owned(),
        types => types.join(", "),
    }
}

fn done(json: &RawValue, words: &str, output: &mut Output) -> Result<(), Failure> {
    match output.is_json() {
        true => output.line(json.get()),
        false => output.line(words),
    }
}

fn show(json: &RawValue, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.line(json.get());
    }
    let endpoint: Endpoint = wire::read(json)?;
    let mut facts = Table::new(["", ""]);
    let mut fact = |name: &str, value: Cell| facts.row([Cell::new(name, DIM), value]);
    fact("state", state(&endpoint));
    if let Some(at) = &endpoint.disabled_at {
        fact("disabled", format!("{} UTC", when(at)).into());
    }
    fact("event types", types(&endpoint).into());
    fact("profile", endpoint.profile.clone().into());
    if let Some(limit) = endpoint.rate_limit {
        fact("rate limit", format!("{limit} a minute").into());
    }
    if !endpoint.header_names.is_empty() {
        fact("headers", endpoint.header_names.join(", ").into());
    }
    if let Some(description) = &endpoint.description {
        fact("description", description.clone().into());
    }
    fact("created", format!("{} UTC", when(&endpoint.created_at)).into());
    if let Some(secret) = &endpoint.signing_secret {
        fact("secret", Cell::new(secret, BOLD));
    }
    output.line(paint(BOLD, format!("Endpoint {} {}", endpoint.id, endpoint.url)))?;
    facts.print_body(output)?;
    if endpoint.signing_secret.is_some() {
        output.line("The secret is not shown again.")?;
    }
    Ok(())
}

fn rotated(json: &RawValue, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.line(json.get());
    }
    let rotated: Rotated = wire::read(json)?;
    let secret = rotated
        .signing_secret
        .ok_or_else(|| ClientError::Unreadable("it has no signingSecret".to_owned()))?;
    output.line(format!(
        "{}\nIt signs from {} UTC on, and is not shown again.",
        paint(BOLD, secret),
        when(&rotated.activates_at)
    ))
}

/// `Name: value`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| "write a header as 'Name: value'".to_owned())?;
    match name.trim() {
        "" => Err("write a header as 'Name: value'".to_owned()),
        name => Ok((name.to_owned(), value.trim().to_owned())),
    }
}
