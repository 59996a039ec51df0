//! Many events as fast as the API takes them: rates, CPU, and whether all arrived.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use plumbline_testkit::Api;

use crate::accounting::Spent;
use crate::bed::System;
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::journal::{Audit, Journal};
use crate::publish::Publisher;
use crate::receiver::Receiver;
use crate::workloads::cpu_figures;

/// What has not arrived so long after the last arrival is lost.
pub(crate) const ARRIVAL_PATIENCE: Duration = Duration::from_secs(30);
/// Connections of a host application under load.
pub(crate) const CONNECTIONS: usize = 32;
/// Endpoints are registered over so many connections.
const REGISTERING: usize = 16;

/// How many events, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Volley {
    /// The number of the first event: above 0 when others came before on the same journal.
    pub(crate) first: usize,
    /// Events before the measured ones, so that connections, caches and plans are there.
    pub(crate) warm_up: usize,
    pub(crate) events: usize,
    pub(crate) connections: usize,
}

/// What a volley came to.
#[derive(Debug)]
pub(crate) struct Volleyed {
    /// Until the last 202.
    pub(crate) accepting_seconds: f64,
    /// Until the last arrival.
    pub(crate) delivering_seconds: f64,
    /// Until all but the last twentieth have arrived: much less than all, when a few come late.
    pub(crate) nearly_delivering_seconds: f64,
    pub(crate) events: usize,
    /// What came, not what was owed.
    pub(crate) deliveries: usize,
    pub(crate) spent: Spent,
    /// Bytes that PostgreSQL wrote ahead.
    pub(crate) wal: u64,
    pub(crate) audit: Audit,
}

impl Volley {
    /// The number after the last event's: as many as a journal must hold.
    pub(crate) fn end(&self) -> usize {
        self.first + self.warm_up + self.events
    }

    /// Fire it: every event is for every endpoint that `wants` it.
    pub(crate) async fn fire(
        &self,
        system: &System,
        publisher: &Publisher,
        journal: &Journal,
        wants: impl Fn(usize, usize) -> bool + Copy,
    ) -> Result<Volleyed, Failure> {
        let owed = |numbers: Range<usize>| {
            let endpoints = journal.size().endpoints;
            numbers
                .map(|number| (0..endpoints).filter(|&endpoint| wants(endpoint, number)).count())
                .sum::<usize>()
        };
        let measured = self.first + self.warm_up..self.end();
        publisher
            .closed(self.first..measured.start, self.connections)
            .await?;
        journal
            .wait_complete(owed(0..measured.start), ARRIVAL_PATIENCE)
            .await;
        system.settle().await?;

        let (before, wal_before) = (system.meter.read()?, system.wal_bytes().await?);
        publisher.closed(measured.clone(), self.connections).await?;
        let accepted_at = journal.clock().now();
        journal.wait_complete(owed(0..self.end()), ARRIVAL_PATIENCE).await;
        system.settle().await?;
        let spent = system.meter.read()?.since(&before);
        let wal = system.wal_bytes().await?.saturating_sub(wal_before);

        let first = journal.first_due(measured.clone()).unwrap_or_default();
        let since_first = |at: u64| Duration::from_nanos(at.saturating_sub(first)).as_secs_f64();
        let arrivals = journal.arrivals(measured.clone());
        let last = arrivals.last().copied().unwrap_or(accepted_at);
        let nearly_last = arrivals.get(arrivals.len() * 95 / 100).copied().unwrap_or(last);
        let mut audit = journal.audit(wants);
        // Delivered and not recorded would be a loss, too: a customer would be told otherwise.
        let recorded = system.recorded("succeeded").await?;
        audit.lost = audit.lost.max(audit.owed.saturating_sub(recorded));
        Ok(Volleyed {
            accepting_seconds: since_first(accepted_at),
            delivering_seconds: since_first(last),
            nearly_delivering_seconds: since_first(nearly_last),
            events: journal.accepted(measured.clone()),
            deliveries: arrivals.len() / usize::from(journal.size().requests),
            spent,
            wal,
            audit,
        })
    }
}

impl Volleyed {
    /// Events accepted in a second.
    pub(crate) fn accepted_per_second(&self) -> f64 {
        rate(self.events, self.accepting_seconds)
    }

    /// Deliveries in a second, from the first publication to the last arrival.
    pub(crate) fn delivered_per_second(&self) -> f64 {
        rate(self.deliveries, self.delivering_seconds)
    }

    /// What it cost: the sums and their parts.
    pub(crate) fn cpu(&self) -> Vec<Figure> {
        let mut figures = cpu_figures(&self.spent, self.deliveries);
        let wal = self.wal as f64 / self.deliveries.max(1) as f64;
        figures.push(Figure::new("PostgreSQL's log", wal, Unit::Bytes).part());
        figures
    }

    /// How fast it was, without a goal.
    pub(crate) fn rates(&self) -> Vec<Figure> {
        vec![
            Figure::new("accepted", self.accepted_per_second(), Unit::PerSecond),
            Figure::new("delivered", self.delivered_per_second(), Unit::PerSecond),
            Figure::new(
                "without the last 5 %",
                rate(self.deliveries, self.nearly_delivering_seconds) * 0.95,
                Unit::PerSecond,
            )
            .part(),
        ]
    }
}

fn rate(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// Register a receiver's endpoints for one event type.
pub(crate) async fn register(
    tenant: &Api,
    receiver: &Receiver,
    endpoints: Range<usize>,
    event_type: &str,
) -> Result<(), Failure> {
    let register = |endpoint: usize| {
        let (url, tenant) = (receiver.url(endpoint), tenant.clone());
        async move { tenant.create_endpoint(&url, &[event_type]).await }
    };
    stream::iter(endpoints.map(register))
        .buffer_unordered(REGISTERING)
        .for_each(|_| async {})
        .await;
    Ok(())
}

/// A publisher of the stack's first tenant.
pub(crate) fn publisher(system: &System, journal: &Arc<Journal>) -> Publisher {
    Publisher::new(system.stack.listen(), system.stack.api(), journal.clone())
}
