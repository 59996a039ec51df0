//! Latency: from the moment that an event was due to its arrival, at a steady rate and for one event alone.

use std::sync::Arc;
use std::time::Duration;

use super::volley::{ARRIVAL_PATIENCE, publisher, register};
use super::{Outcome, cpu_figures};
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::journal::Journal;
use crate::publish::Publisher;
use crate::receiver::{Behaviour, Receiver};
use crate::schedule::Schedule;
use crate::statistics::Latencies;

/// An event finds a free connection among so many, or waits for one.
pub(super) const CONNECTIONS: usize = 64;
/// Before what counts, at the same rate: connections, caches and plans come to be.
const WARM_UP: Duration = Duration::from_secs(2);
const QUICK: Duration = Duration::from_secs(1);
/// A system is idle again so long after a single event.
const LONE_DISTANCE: Duration = Duration::from_millis(300);
const LONE_EVENTS: usize = 30;

/// 300 events a second.
pub(super) async fn at_300(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let (latencies, mut outcome) = steady(bed, 300, Duration::from_secs(10)).await?;
    let goals = [
        Figure::new("p50", latencies.at(0.5), Unit::Milliseconds).at_most(2.0),
        Figure::new("p99", latencies.at(0.99), Unit::Milliseconds).at_most(5.0),
    ];
    outcome.figures.splice(0..0, goals);
    Ok(outcome)
}

/// 3,000 events a second.
pub(super) async fn at_3000(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let (latencies, mut outcome) = steady(bed, 3_000, Duration::from_secs(6)).await?;
    let goals = [
        Figure::new("p50", latencies.at(0.5), Unit::Milliseconds),
        Figure::new("p99", latencies.at(0.99), Unit::Milliseconds).at_most(30.0),
    ];
    outcome.figures.splice(0..0, goals);
    Ok(outcome)
}

/// One event at a time, each on a system that has nothing else to do.
pub(super) async fn lone(bed: Bed<'_>) -> Result<Outcome, Failure> {
    const WARM_UP_EVENTS: usize = 5;
    let measured = WARM_UP_EVENTS..WARM_UP_EVENTS + bed.scaled(LONE_EVENTS, 5);
    let system = bed.system(Wish::default()).await?;
    let (journal, publisher, _receiver) = one_endpoint(&system, measured.end).await?;
    publisher.closed(0..WARM_UP_EVENTS, 1).await?;
    journal.wait_complete(WARM_UP_EVENTS, ARRIVAL_PATIENCE).await;
    system.settle().await?;
    let before = system.meter.read()?;
    publisher.spaced(measured.clone(), LONE_DISTANCE).await?;
    journal.wait_complete(measured.end, ARRIVAL_PATIENCE).await;
    system.settle().await?;
    let spent = system.meter.read()?.since(&before);
    let latencies = Latencies::of(journal.latencies(measured.clone()));
    let accepted = Latencies::of(journal.acceptance_latencies(measured));
    let figures = vec![
        Figure::new("median", latencies.at(0.5), Unit::Milliseconds).at_most(3.0),
        Figure::new("longest", latencies.max(), Unit::Milliseconds).at_most(3.0),
        Figure::new("median until the 202", accepted.at(0.5), Unit::Milliseconds),
    ];
    Ok(Outcome::new(figures, journal.audit(|_, _| true), spent))
}

async fn steady(bed: Bed<'_>, rate: u32, time: Duration) -> Result<(Latencies, Outcome), Failure> {
    let schedule = Schedule::per_second(rate);
    let warm_up = schedule.count_in(bed.scaled_time(WARM_UP, QUICK));
    let measured = warm_up..warm_up + schedule.count_in(bed.scaled_time(time, QUICK));
    let system = bed.system(Wish::default()).await?;
    let (journal, publisher, _receiver) = one_endpoint(&system, measured.end).await?;
    publisher
        .open(0..warm_up, rate, CONNECTIONS, Arc::default())
        .await?;
    journal.wait_complete(warm_up, ARRIVAL_PATIENCE).await;
    system.settle().await?;
    let before = system.meter.read()?;
    publisher
        .open(measured.clone(), rate, CONNECTIONS, Arc::default())
        .await?;
    journal.wait_complete(measured.end, ARRIVAL_PATIENCE).await;
    system.settle().await?;
    let spent = system.meter.read()?.since(&before);
    let latencies = Latencies::of(journal.latencies(measured.clone()));
    let accepted = Latencies::of(journal.acceptance_latencies(measured.clone()));
    let sent = Latencies::of(journal.sending_latencies(measured.clone()));
    let mut figures = vec![
        Figure::new("p99.9", latencies.at(0.999), Unit::Milliseconds),
        Figure::new("longest", latencies.max(), Unit::Milliseconds),
        Figure::new("p50 until the 202", accepted.at(0.5), Unit::Milliseconds),
        Figure::new("p99 until the 202", accepted.at(0.99), Unit::Milliseconds),
        Figure::new("p99 until it was sent", sent.at(0.99), Unit::Milliseconds),
        Figure::count("events", usize::try_from(latencies.count())?),
    ];
    figures.extend(cpu_figures(&spent, measured.len()));
    Ok((
        latencies,
        Outcome::new(figures, journal.audit(|_, _| true), spent),
    ))
}

/// A tenant with one endpoint that accepts everything.
async fn one_endpoint(
    system: &System,
    events: usize,
) -> Result<(Arc<Journal>, Publisher, Receiver), Failure> {
    let journal = system.journal(events, 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    let publisher = publisher(system, &journal);
    Ok((journal, publisher, receiver))
}
