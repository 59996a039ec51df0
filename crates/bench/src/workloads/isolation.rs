//! Isolation: what one customer's misfortune or haste costs another one.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plumbline_testkit::Api;

use super::Outcome;
use super::latency::CONNECTIONS;
use super::volley::{ARRIVAL_PATIENCE, register};
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::journal::Journal;
use crate::publish::{BATCH, Publisher};
use crate::receiver::{Behaviour, Receiver};
use crate::schedule::Schedule;
use crate::statistics::Latencies;

/// Of the healthy tenant.
const HEALTHY_RATE: u32 = 100;
/// Of the tenant whose receiver hangs.
const HANGING_RATE: u32 = 50;
const ALONE: Duration = Duration::from_secs(10);
/// Long enough for requests that hang to pile up until they time out.
const HANGING: Duration = Duration::from_secs(15);
const QUICK: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(2);
const BURST_EVENTS: usize = 100_000;
/// Connections that publish a burst's batches.
const BURST_CONNECTIONS: usize = 2;
/// The healthy tenant goes on at most so long: a burst that takes longer is not measured to its end.
const BURST_TIME_MAX: Duration = Duration::from_secs(90);
/// How much slower the healthy tenant may become.
const RATIO_MAX: f64 = 2.0;

/// While another tenant's receiver reads requests and never answers.
pub(super) async fn hanging(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let time = bed.scaled_time(HANGING, QUICK);
    let system = bed.system(Wish::default()).await?;
    let mut healthy = Healthy::start(&system, bed, time).await?;
    healthy.alone().await?;

    let other = system.stack.tenant("Hanging").await;
    let events = Schedule::per_second(HANGING_RATE).count_in(time);
    let journal = system.journal(events, 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Hang).await?;
    register(&other, &receiver, 0..1, "bid.accepted").await?;
    let publisher = Publisher::new(system.stack.listen(), &other, journal.clone());

    let before = system.meter.read()?;
    let stop = Arc::default();
    let (with, hung) = tokio::join!(
        healthy.beside(Arc::clone(&stop)),
        publisher.open(0..events, HANGING_RATE, CONNECTIONS, Arc::clone(&stop)),
    );
    hung?;
    let with = with?;
    let spent = system.meter.read()?.since(&before);
    let mut figures = healthy.figures(with)?;
    figures.push(Figure::count("requests that hung", journal.complete()));
    // What the hanging tenant is owed is retried for a day: only the healthy one's events can be counted.
    Ok(Outcome::new(figures, healthy.journal.audit(|_, _| true), spent))
}

/// While another tenant publishes as fast as it can.
pub(super) async fn burst(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let events = bed.scaled(BURST_EVENTS, BATCH);
    let system = bed.system(Wish::default()).await?;
    let mut healthy = Healthy::start(&system, bed, BURST_TIME_MAX).await?;
    healthy.alone().await?;

    let other = system.stack.tenant("Bursting").await;
    let journal = system.journal(events, 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(&other, &receiver, 0..1, "bid.accepted").await?;
    let publisher = Publisher::new(system.stack.listen(), &other, journal.clone());

    let before = system.meter.read()?;
    let stop = Arc::new(AtomicBool::new(false));
    let bursting = async {
        let published = publisher.batches(0..events, BURST_CONNECTIONS).await;
        let accepted_at = journal.clock().now();
        if published.is_ok() {
            journal.wait_complete(events, ARRIVAL_PATIENCE).await;
        }
        stop.store(true, Ordering::Relaxed);
        published.map(|()| accepted_at)
    };
    let (with, accepted_at) = tokio::join!(healthy.beside(stop.clone()), bursting);
    let (with, accepted_at) = (with?, accepted_at?);
    system.settle().await?;
    let spent = system.meter.read()?.since(&before);
    let mut figures = healthy.figures(with)?;
    let since_first = |at: u64| {
        let first = journal.first_due(0..events).unwrap_or_default();
        Duration::from_nanos(at.saturating_sub(first)).as_secs_f64()
    };
    let last = journal.arrivals(0..events).last().copied().unwrap_or(accepted_at);
    figures.push(Figure::new(
        "burst accepted",
        events as f64 / since_first(accepted_at),
        Unit::PerSecond,
    ));
    figures.push(Figure::new(
        "burst delivered",
        journal.complete() as f64 / since_first(last),
        Unit::PerSecond,
    ));
    let audit = healthy.journal.audit(|_, _| true).and(journal.audit(|_, _| true));
    Ok(Outcome::new(figures, audit, spent))
}

/// The tenant that has done nothing wrong.
struct Healthy {
    journal: Arc<Journal>,
    publisher: Publisher,
    _receiver: Receiver,
    warm_up: usize,
    alone: Range<usize>,
    beside: Range<usize>,
}

impl Healthy {
    /// Ready to publish alone, and then for so long beside somebody else.
    async fn start(system: &System, bed: Bed<'_>, beside: Duration) -> Result<Self, Failure> {
        let schedule = Schedule::per_second(HEALTHY_RATE);
        let warm_up = schedule.count_in(bed.scaled_time(WARM_UP, QUICK));
        let alone = warm_up..warm_up + schedule.count_in(bed.scaled_time(ALONE, QUICK));
        let beside = alone.end..alone.end + schedule.count_in(beside);
        let journal = system.journal(beside.end, 1, 1);
        let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
        let tenant: &Api = system.stack.api();
        register(tenant, &receiver, 0..1, "bid.accepted").await?;
        let publisher = Publisher::new(system.stack.listen(), tenant, journal.clone());
        Ok(Self {
            journal,
            publisher,
            _receiver: receiver,
            warm_up,
            alone,
            beside,
        })
    }

    async fn alone(&self) -> Result<(), Failure> {
        for numbers in [0..self.warm_up, self.alone.clone()] {
            let end = numbers.end;
            self.publish(numbers, Arc::default()).await?;
            self.journal.wait_complete(end, ARRIVAL_PATIENCE).await;
        }
        Ok(())
    }

    /// Publish until told to stop: which events these were.
    async fn beside(&mut self, stop: Arc<AtomicBool>) -> Result<Range<usize>, Failure> {
        let sent = self.publish(self.beside.clone(), stop).await?;
        self.journal.wait_complete(sent.end, ARRIVAL_PATIENCE).await;
        Ok(sent)
    }

    async fn publish(&self, numbers: Range<usize>, stop: Arc<AtomicBool>) -> Result<Range<usize>, Failure> {
        self.publisher
            .open(numbers, HEALTHY_RATE, CONNECTIONS, stop)
            .await
    }

    fn figures(&self, beside: Range<usize>) -> Result<Vec<Figure>, Failure> {
        let accepted = Latencies::of(self.journal.acceptance_latencies(beside.clone()));
        let sent = Latencies::of(self.journal.sending_latencies(beside.clone()));
        let latencies = |numbers| Latencies::of(self.journal.latencies(numbers));
        let (alone, beside) = (latencies(self.alone.clone()), latencies(beside));
        let (alone_p99, beside_p99) = (alone.at(0.99), beside.at(0.99));
        Ok(vec![
            Figure::new("p99, ratio", beside_p99 / alone_p99, Unit::Times).at_most(RATIO_MAX),
            Figure::new("p50 alone", alone.at(0.5), Unit::Milliseconds),
            Figure::new("p99 alone", alone_p99, Unit::Milliseconds),
            Figure::new("p50 beside", beside.at(0.5), Unit::Milliseconds),
            Figure::new("p99 beside", beside_p99, Unit::Milliseconds),
            Figure::new("longest beside", beside.max(), Unit::Milliseconds),
            Figure::new("p99 beside, until the 202", accepted.at(0.99), Unit::Milliseconds),
            Figure::new("p99 beside, until it was sent", sent.at(0.99), Unit::Milliseconds),
            Figure::count("events beside", usize::try_from(beside.count())?),
        ])
    }
}
