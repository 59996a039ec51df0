//! `plumbline recover`: send again what an endpoint did not take while it was down.

use std::time::Duration;

use clap::Args;
use hyper::Method;
use plumbline_domain::{EndpointId, Timestamp};
use plumbline_runtime::shutdown::Shutdown;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::arguments::Access;
use crate::client::wire::{self, Recovered, Stats, Totals};
use crate::client::{Client, Query};
use crate::outcome::Failure;
use crate::output::{BAD, DIM, GOOD, Output, Progress, WARN, count, moment, paint};

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Progress that rests for this long waits for retries, which may take hours.
const REST_MAX: Duration = Duration::from_secs(15);

/// Send again what an endpoint did not take: its failed, exhausted and skipped deliveries since a time
///
/// What has arrived by another delivery meanwhile, or is on its way, is left out. Counts them first and asks; then shows how far they are until all are settled, or those that are left wait for retries.
/// Ctrl-C ends the showing, not the sending. Exit code 1 when some did not succeed. Needs a key with the scope
/// webhooks:manage.
///
/// With --json: {"deliveries":42,"dryRun":false,"succeeded":40,"failed":1,"pending":1}; with --dry-run or --no-wait only the
/// first two
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    /// The API.
    #[command(flatten)]
    access: Access,

    /// The endpoint's number
    #[arg(value_name = "ENDPOINT")]
    endpoint: EndpointId,

    /// From when on deliveries were recorded: how long ago, such as 2h, or a time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Timestamp,

    /// Until when; now unless given
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,

    /// Only count
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Do not wait for the results
    #[arg(long)]
    no_wait: bool,
}

/// Recover.
pub(super) async fn run(asked: RecoverArgs, output: &mut Output) -> Result<u8, Failure> {
    let client = Client::new(&asked.access)?;
    let endpoint = asked.endpoint;
    // What the count covers is what is sent, however long the question waits for its answer.
    let until = asked.until.unwrap_or_else(Timestamp::now);
    let recover = async |is_dry: bool| -> Result<Recovered, Failure> {
        let body = json!({
            "since": asked.since.to_string(), "until": until.to_string(), "dryRun": is_dry,
        });
        let path = format!("webhook-endpoints/{endpoint}/recover");
        let answer = client.change(Method::POST, &path, body.to_string()).await?;
        Ok(wire::read(&answer)?)
    };
    let found = recover(true).await?.deliveries;
    let deliveries = count(usize::try_from(found).unwrap_or(usize::MAX), "delivery");
    if asked.dry_run || found == 0 {
        match output.is_json() {
            true => output.json(&json!({ "deliveries": found, "dryRun": asked.dry_run }))?,
            false if found == 0 => output.line(format!("Endpoint {endpoint} has nothing to recover."))?,
            false => output.line(format!(
                "{deliveries} would be sent to endpoint {endpoint} again."
            ))?,
        }
        return Ok(0);
    }
    if !asked.yes {
        let question = format!("{deliveries} would be sent to endpoint {endpoint} again");
        match output.ask(&format!("{question}. Go on?")) {
            Some(true) => {}
            Some(false) => {
                output.notice("Nothing was sent.");
                return Ok(1);
            }
            None => return Err(Failure::Unconfirmed(question)),
        }
    }
    let started = recover(false).await?;
    if asked.no_wait {
        match output.is_json() {
            true => output.json(&json!({ "deliveries": started.deliveries, "dryRun": false }))?,
            false => output.line(format!(
                "{deliveries} are being sent again: follow with `plumbline deliveries --endpoint {endpoint} --follow`."
            ))?,
        }
        return Ok(0);
    }
    let since = started.started_at.unwrap_or_else(|| until.to_string());
    let totals = watch(&client, endpoint, &since, started.deliveries, output).await?;
    report(endpoint, started.deliveries, totals, output)
}

/// Look until all are settled, or nothing moves any more.
async fn watch(
    client: &Client,
    endpoint: EndpointId,
    since: &str,
    all: u64,
    output: &mut Output,
) -> Result<Totals, Failure> {
    let query = Query::default()
        .with("endpointId", Some(endpoint))
        .with("since", Some(since))
        .with("kind", Some("replay"));
    let shutdown = Shutdown::on_interrupt();
    let bar = Progress::new(all);
    let (mut last, mut moved_at) = (Totals::default(), Instant::now());
    loop {
        let stats: Stats = client.read("webhook-stats", &query).await?;
        let totals = stats.totals;
        if totals != last {
            (last, moved_at) = (totals, Instant::now());
        }
        let done = settled(&totals);
        bar.set(
            done,
            format!("{} succeeded, {} failed", totals.succeeded, unsuccessful(&totals)),
        );
        if done >= all || moved_at.elapsed() > REST_MAX {
            return Ok(last);
        }
        tokio::select! {
            () = shutdown.requested() => {
                output.notice("The sending goes on.");
                return Ok(last);
            }
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

fn unsuccessful(totals: &Totals) -> u64 {
    totals.failed + totals.exhausted + totals.skipped
}

fn settled(totals: &Totals) -> u64 {
    totals.succeeded + unsuccessful(totals)
}

fn report(endpoint: EndpointId, all: u64, totals: Totals, output: &mut Output) -> Result<u8, Failure> {
    let failed = unsuccessful(&totals);
    let open = all.saturating_sub(settled(&totals));
    if output.is_json() {
        output.json(&json!({
            "deliveries": all, "dryRun": false, "succeeded": totals.succeeded, "failed": failed, "pending": open,
        }))?;
    } else {
        let mut parts = vec![
            paint(GOOD, format!("{} succeeded", totals.succeeded)),
            paint(if failed > 0 { BAD } else { DIM }, format!("{failed} failed")),
        ];
        if open > 0 {
            parts.push(paint(WARN, format!("{open} pending")));
        }
        let deliveries = count(usize::try_from(all).unwrap_or(usize::MAX), "delivery");
        output.line(format!("{deliveries}: {}.", parts.join(", ")))?;
        if open > 0 {
            output.line(paint(
                DIM,
                format!(
                    "What is pending is tried again by itself: `plumbline deliveries --endpoint {endpoint} --status pending`."
                ),
            ))?;
        }
    }
    Ok(u8::from(failed + open > 0))
}
