//! Memory: whether what waits, or comes all at once, stays out of it. Each takes minutes, and runs only when it is named.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::latency::CONNECTIONS;
use super::volley::{ARRIVAL_PATIENCE, Volley, publisher, register};
use super::{Outcome, cpu_figures};
use crate::accounting::{Kind, Spent};
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::journal::Audit;
use crate::proc::Memory;
use crate::publish::Publisher;
use crate::receiver::{Behaviour, Receiver};
use crate::schedule::Schedule;
use crate::statistics::Latencies;

/// What a service may take at its peak, whatever it is given.
const API_MEMORY_MAX: f64 = 256.0;
const DISPATCHER_MEMORY_MAX: f64 = 256.0;
const EVENTS: usize = 100_000;
const PARKED: usize = 1_000_000;
/// Of the receivers that hang: more bodies than permits, if each is held by itself.
const HANGING_EVENTS: usize = 3_000;
const HANGING_ENDPOINTS: usize = 12;
/// Every type that a new tenant may publish, so that as few endpoints as possible share a body.
const TYPES: [&str; 10] = [
    "bid.created",
    "bid.accepted",
    "bid.rejected",
    "change_order.approved",
    "change_order.submitted",
    "contact.created",
    "pay_app.approved",
    "pay_app.submitted",
    "project.created",
    "project.status_changed",
];
/// Events a second of somebody else while receivers hang.
const NEIGHBOUR_RATE: u32 = 50;
/// Longer than an attempt may take.
const NEIGHBOUR_TIME: Duration = Duration::from_secs(15);
const MANY_ENDPOINTS: usize = 10_000;
const MANY_ENDPOINTS_EVENTS: usize = 3;
/// Each of a receiver that pours an endless answer back: more than may be in flight at once.
const ANSWERED_ENDPOINTS: usize = 2_000;
const ANSWERED_EVENTS: usize = 3;
/// Connections that publish batches of a thousand events: more would only wait for each other.
const BATCH_CONNECTIONS: usize = 8;
const LARGE_EVENTS: usize = 4_000;
/// The largest payload that the API takes by default.
const LARGE_BYTES: usize = 256 * 1024;
const LARGE_CONNECTIONS: usize = 64;
const WARM_UP: usize = 64;
/// Until as many deliveries are recorded: a slow machine makes some hundred a second.
const RECORD_PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MEGABYTE: f64 = 1e6;

/// The largest payloads, as fast as many connections get them accepted.
pub(super) async fn payloads(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let system = bed.system(Wish::default()).await?;
    let volley = Volley {
        first: 0,
        warm_up: WARM_UP,
        events: bed.scaled(LARGE_EVENTS, 400),
        connections: LARGE_CONNECTIONS,
    };
    let journal = system.journal(volley.end(), 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    let publisher = publisher(&system, &journal).bytes(LARGE_BYTES);
    let idle = figures(&system, "before", |memory| memory.resident)?;
    let volleyed = volley.fire(&system, &publisher, &journal, |_, _| true).await?;
    let mut figures = bounded(&system, idle)?;
    figures.extend(volleyed.rates());
    Ok(Outcome::new(figures, volleyed.audit, volleyed.spent))
}

/// The largest payloads to a dozen receivers that hang, all of them there when the dispatcher comes; and a neighbour.
pub(super) async fn hanging(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let mut system = bed.system(Wish::default()).await?;
    let events = bed.scaled(HANGING_EVENTS, 300);
    let journal = system.journal(events, HANGING_ENDPOINTS, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Hang).await?;
    for endpoint in 0..HANGING_ENDPOINTS {
        let event_type = TYPES[endpoint % TYPES.len()];
        register(system.stack.api(), &receiver, endpoint..endpoint + 1, event_type).await?;
    }
    let neighbour = system.stack.tenant("Neighbour").await;
    let time = bed.scaled_time(NEIGHBOUR_TIME, Duration::from_secs(2));
    let healthy = system.journal(Schedule::per_second(NEIGHBOUR_RATE).count_in(time), 1, 1);
    let healthy_receiver = Receiver::start(healthy.clone(), Behaviour::Accept).await?;
    register(&neighbour, &healthy_receiver, 0..1, "bid.accepted").await?;

    let idle = figures(&system, "before", |memory| memory.resident)?;
    system.stack.dispatcher(0).stop().await;
    system.meter.dispatchers.clear();
    let before = system.meter.read()?;
    publisher(&system, &journal)
        .types(&TYPES)
        .bytes(LARGE_BYTES)
        .closed(0..events, LARGE_CONNECTIONS)
        .await?;
    system.stack.dispatcher(0).start().await;
    system.meter.dispatchers = vec![system.stack.dispatcher(0).pid()];
    journal.wait_requests(1, 1, ARRIVAL_PATIENCE).await;

    let numbers = 0..healthy.size().events;
    Publisher::new(system.stack.listen(), &neighbour, healthy.clone())
        .open(
            numbers.clone(),
            NEIGHBOUR_RATE,
            CONNECTIONS,
            std::sync::Arc::default(),
        )
        .await?;
    healthy.wait_complete(numbers.len(), ARRIVAL_PATIENCE).await;
    // Tried, or put off: each is known to the database.
    wait_known(&system, events).await?;
    let spent = system.meter.read()?.since(&before);
    let mut figures = bounded(&system, idle)?;
    let latencies = Latencies::of(healthy.latencies(numbers));
    figures.push(Figure::new(
        "neighbour, p50",
        latencies.at(0.5),
        Unit::Milliseconds,
    ));
    figures.push(Figure::new(
        "neighbour, p99",
        latencies.at(0.99),
        Unit::Milliseconds,
    ));
    Ok(Outcome::new(figures, healthy.audit(|_, _| true), spent))
}

/// The largest payloads, each to ten thousand endpoints.
pub(super) async fn endpoints(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let count = bed.scaled(MANY_ENDPOINTS, 1_000);
    let (figures, audit, spent) = fan_out(bed, count, MANY_ENDPOINTS_EVENTS, Behaviour::Accept).await?;
    Ok(Outcome::new(figures, audit, spent))
}

/// The largest payloads to receivers whose answers never end, compressed.
pub(super) async fn answers(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let count = bed.scaled(ANSWERED_ENDPOINTS, 200);
    let (figures, audit, spent) = fan_out(bed, count, ANSWERED_EVENTS, Behaviour::Endless).await?;
    Ok(Outcome::new(figures, audit, spent))
}

async fn fan_out(
    bed: Bed<'_>,
    endpoints: usize,
    events: usize,
    behaviour: Behaviour,
) -> Result<(Vec<Figure>, Audit, Spent), Failure> {
    let wish = Wish {
        settings: vec![("MAX_ENDPOINTS_PER_TENANT", endpoints.to_string())],
        ..Wish::default()
    };
    let system = bed.system(wish).await?;
    let journal = system.journal(events, endpoints, 1);
    let receiver = Receiver::start(journal.clone(), behaviour).await?;
    register(system.stack.api(), &receiver, 0..endpoints, "bid.accepted").await?;
    let idle = figures(&system, "before", |memory| memory.resident)?;
    let before = system.meter.read()?;
    publisher(&system, &journal)
        .bytes(LARGE_BYTES)
        .closed(0..events, events)
        .await?;
    journal.wait_complete(events * endpoints, ARRIVAL_PATIENCE).await;
    wait_recorded(&system, "succeeded", events * endpoints).await?;
    let spent = system.meter.read()?.since(&before);
    let mut figures = bounded(&system, idle)?;
    figures.push(Figure::new(
        "delivered",
        (events * endpoints) as f64 / spent.wall,
        Unit::PerSecond,
    ));
    Ok((figures, journal.audit(|_, _| true), spent))
}

/// Events that wait in the broker until a dispatcher comes, which then finds all of them at once.
pub(super) async fn backlog(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let mut system = bed.system(Wish::default()).await?;
    let events = bed.scaled(EVENTS, 2_000);
    let journal = system.journal(events, 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    let idle = figures(&system, "before", |memory| memory.resident)?;
    system.stack.dispatcher(0).stop().await;
    // What reads the meter below must not look for the process that has ended.
    system.meter.dispatchers.clear();
    let before = system.meter.read()?;
    publisher(&system, &journal)
        .batches(0..events, BATCH_CONNECTIONS)
        .await?;

    system.stack.dispatcher(0).start().await;
    system.meter.dispatchers = vec![system.stack.dispatcher(0).pid()];
    let began = Instant::now();
    journal.wait_complete(events, ARRIVAL_PATIENCE).await;
    wait_recorded(&system, "succeeded", events).await?;
    let seconds = began.elapsed().as_secs_f64();
    let spent = system.meter.read()?.since(&before);
    let mut figures = bounded(&system, idle)?;
    figures.push(Figure::new(
        "worked off",
        events as f64 / seconds,
        Unit::PerSecond,
    ));
    let mut audit = journal.audit(|_, _| true);
    audit.lost = audit
        .lost
        .max(audit.owed.saturating_sub(system.recorded("succeeded").await?));
    Ok(Outcome::new(figures, audit, spent))
}

/// Deliveries that have failed once and wait for a retry that is far away.
pub(super) async fn parked(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let wish = Wish {
        settings: vec![
            ("RETRY_SCHEDULE", "1h".to_owned()),
            ("DISABLE_AFTER", "0".to_owned()),
        ],
        ..Wish::default()
    };
    let system = bed.system(wish).await?;
    let events = bed.scaled(PARKED, 2_000);
    let journal = system.journal(events, 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::FailFirst(u8::MAX)).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    let idle = figures(&system, "before", |memory| memory.resident)?;
    let before = system.meter.read()?;
    publisher(&system, &journal)
        .batches(0..events, BATCH_CONNECTIONS)
        .await?;
    journal.wait_complete(events, ARRIVAL_PATIENCE).await;
    wait_recorded(&system, "pending", events).await?;
    system.settle().await?;
    let spent = system.meter.read()?.since(&before);
    let mut figures = bounded(&system, idle)?;
    figures.push(Figure::count("parked", system.recorded("pending").await?));
    figures.extend(cpu_figures(&spent, events));
    Ok(Outcome::new(figures, journal.audit(|_, _| true), spent))
}

async fn wait_recorded(system: &System, status: &str, count: usize) -> Result<(), Failure> {
    wait(count, || system.recorded(status)).await
}

/// Wait until so many deliveries are in the database, whatever became of them.
async fn wait_known(system: &System, count: usize) -> Result<(), Failure> {
    wait(count, async || {
        let sql = "SELECT count(*) FROM plumbline.deliveries";
        let known: i64 = system.database.query_one(sql, &[]).await?.get(0);
        Ok(usize::try_from(known)?)
    })
    .await
}

async fn wait(count: usize, recorded: impl AsyncFn() -> Result<usize, Failure>) -> Result<(), Failure> {
    let deadline = Instant::now() + RECORD_PATIENCE;
    loop {
        let recorded = recorded().await?;
        if recorded >= count {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(format!(
                "after {RECORD_PATIENCE:?} only {recorded} of {count} deliveries are recorded"
            )));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Memory of each service, by what is looked at of it.
fn figures(system: &System, when: &str, look: fn(Memory) -> u64) -> Result<Vec<Figure>, Failure> {
    let mut figures = vec![];
    for kind in [Kind::Api, Kind::Dispatcher] {
        let memory = system.meter.memory(kind)?;
        let megabytes = look(memory) as f64 / MEGABYTE;
        figures.push(Figure::new(
            format!("{} memory, {when}", kind.name()),
            megabytes,
            Unit::Megabytes,
        ));
    }
    Ok(figures)
}

/// The peaks against their bounds, and beside them what there was before and is left.
fn bounded(system: &System, idle: Vec<Figure>) -> Result<Vec<Figure>, Failure> {
    let maxima = [API_MEMORY_MAX, DISPATCHER_MEMORY_MAX];
    let peaks = figures(system, "peak", |memory| memory.peak)?;
    let mut all: Vec<Figure> = peaks
        .into_iter()
        .zip(maxima)
        .map(|(peak, max)| peak.at_most(max))
        .collect();
    all.extend(idle.into_iter().map(Figure::part));
    all.extend(
        figures(system, "afterwards", |memory| memory.resident)?
            .into_iter()
            .map(Figure::part),
    );
    let broker = system.meter.memory(Kind::RabbitMq)?.peak as f64 / MEGABYTE;
    all.push(Figure::new("RabbitMQ memory, peak", broker, Unit::Megabytes).part());
    Ok(all)
}
