//! Retries: whether they leave on time, and what it costs to wait for them.

use std::time::Duration;

use tokio::time::sleep;

use super::volley::{ARRIVAL_PATIENCE, CONNECTIONS, publisher, register};
use super::{Outcome, cpu_figures};
use crate::accounting::Kind;
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::receiver::{Behaviour, Receiver};
use crate::statistics::Latencies;

const EVENTS: usize = 10_000;
/// The first step of the default schedule.
const DELAY: Duration = Duration::from_secs(30);
/// PostgreSQL's processes tell what they have done at the latest so long after it, when they are idle.
const STATISTICS_ARE_LATE_BY: Duration = Duration::from_secs(11);
/// Of the wait, what is looked at for transactions.
const QUIET: Duration = Duration::from_secs(8);
/// After the first attempts, until memory is looked at.
const CALM_PATIENCE: Duration = Duration::from_secs(10);
/// What a recorded failure costs Svix, for comparison.
const SVIX_CPU: f64 = 3_175.0;
/// The processes renew caches and take samples of their health, some a second: more is polling.
const TRANSACTIONS_PER_SECOND_MAX: f64 = 10.0;
/// A kilobyte for each: with its payload and headers, a delivery that is held takes more. What the first failures make a
/// process allocate once is less.
const MEMORY_GROWTH_MAX: f64 = 10.0;
const MEGABYTE: f64 = 1e6;

/// Every first attempt gets a 500, every second one a 200.
pub(super) async fn parked(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let events = bed.scaled(EVENTS, 500);
    let wish = Wish {
        settings: vec![
            ("RETRY_SCHEDULE", format!("{}s", DELAY.as_secs())),
            ("RETRY_JITTER", "0".to_owned()),
            ("DISABLE_AFTER", "0".to_owned()),
        ],
        ..Wish::default()
    };
    let system = bed.system(wish).await?;
    // As many deliveries that need no retry: a process that has worked is larger than a fresh one, parked or not.
    let easy = system.journal(events, 1, 1);
    let easy_receiver = Receiver::start(easy.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &easy_receiver, 0..1, "project.created").await?;
    publisher(&system, &easy)
        .types(&["project.created"])
        .closed(0..events, CONNECTIONS)
        .await?;
    easy.wait_complete(events, ARRIVAL_PATIENCE).await;

    let journal = system.journal(events, 1, 2);
    let receiver = Receiver::start(journal.clone(), Behaviour::FailFirst(1)).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    system.settle().await?;

    let memory = |system: &System| -> Result<f64, Failure> {
        Ok(system.meter.memory(Kind::Dispatcher)?.resident as f64 / MEGABYTE)
    };
    let memory_before = memory(&system)?;
    let before = system.meter.read()?;
    let publisher = publisher(&system, &journal);
    publisher.closed(0..events, CONNECTIONS).await?;
    journal.wait_requests(events, 1, ARRIVAL_PATIENCE).await;
    system.wait_recorded().await?;
    system.meter.wait_calm(CALM_PATIENCE).await?;
    let memory_parked = memory(&system)?;
    let pending = system.recorded("pending").await?;
    let transactions = transactions_per_second(&system, STATISTICS_ARE_LATE_BY, QUIET).await?;
    let is_waiting_still = system.recorded("pending").await? == pending;

    journal.wait_complete(events, DELAY + ARRIVAL_PATIENCE).await;
    system.settle().await?;
    let spent = system.meter.read()?.since(&before);
    let (late, early) = journal.lateness(1, DELAY);
    let lateness = Latencies::of(late);
    let mut figures = vec![
        Figure::new("lateness, p50", lateness.at(0.5), Unit::Milliseconds),
        Figure::new("lateness, p99", lateness.at(0.99), Unit::Milliseconds).at_most(200.0),
        Figure::new("lateness, longest", lateness.max(), Unit::Milliseconds),
        Figure::count("too early", early).at_most(0.0),
    ];
    figures.extend(cpu_figures(&spent, events));
    figures.push(Figure::new("Svix, for comparison", SVIX_CPU, Unit::Microseconds).part());
    figures.push(Figure::count("parked", pending));
    figures.push(Figure::new(
        "dispatcher memory, before",
        memory_before,
        Unit::Megabytes,
    ));
    figures.push(Figure::new(
        "dispatcher memory, while parked",
        memory_parked,
        Unit::Megabytes,
    ));
    figures.push(
        Figure::new("grown by", memory_parked - memory_before, Unit::Megabytes)
            .at_most(MEMORY_GROWTH_MAX)
            .part(),
    );
    // What has not become less since cannot have been the parked deliveries.
    figures.push(Figure::new(
        "dispatcher memory, afterwards",
        memory(&system)?,
        Unit::Megabytes,
    ));
    if is_waiting_still {
        figures.push(
            Figure::new("transactions, while parked", transactions, Unit::PerSecond)
                .at_most(TRANSACTIONS_PER_SECOND_MAX),
        );
    } else {
        eprintln!("    the machine is so slow that retries came due while their wait was looked at");
    }
    let mut audit = journal.audit(|_, _| true);
    let recorded = system.recorded("succeeded").await?;
    audit = audit.and(easy.audit(|_, _| true));
    audit.lost = audit.lost.max(audit.owed.saturating_sub(recorded));
    Ok(Outcome::new(figures, audit, spent))
}

/// Transactions of all sessions but ours in this database, after a pause.
async fn transactions_per_second(system: &System, pause: Duration, window: Duration) -> Result<f64, Failure> {
    sleep(pause).await;
    let first = transactions(system).await?;
    sleep(window).await;
    let last = transactions(system).await?;
    // Our own question is one of them.
    Ok((last - first - 1).max(0) as f64 / window.as_secs_f64())
}

async fn transactions(system: &System) -> Result<i64, Failure> {
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    Ok(system.database.query_one(sql, &[]).await?.get(0))
}
