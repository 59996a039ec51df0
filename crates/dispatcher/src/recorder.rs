//! The recorder: outcomes of many attempts, one statement.
//!
//! While one statement runs, the next batch gathers; a small one gathers longer, because nobody waits for the record
//! but the broker, and a statement costs as much as many rows: each of several dispatchers would write many small ones
//! where one alone writes few. After the commit, deliveries that are still pending are parked
//! in a delay queue, and only when that is confirmed is their message settled: record, publish, acknowledge. Each
//! step may be repeated without harm.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plumbline_broker::{Publisher, RetryMessage};
use plumbline_domain::health::HealthRun;
use plumbline_domain::rate::{Held, Place};
use plumbline_domain::trace::{Span, SpanKind};
use plumbline_domain::{DeliveryStatus, EndpointId, TenantId, Timestamp};
use plumbline_runtime::backoff::Backoff;
use plumbline_store::deliveries::{self, Disabled, RecordBatch, Recorded, RecordedAttempt, RecordedBatch};
use plumbline_store::{Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::work::Part;

/// Outcomes in one statement at most.
const BATCH_MAX: usize = 256;
/// A batch of so many does not wait for more.
const BATCH_WORTHWHILE: usize = 64;
/// How long a smaller one gathers. A retry is parked so much later, which its delay makes up for, and a process that
/// is killed repeats so much more of what it had done.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// How often a batch that gathers is looked at: to be woken for each outcome would cost more than it gains.
const GATHER_STEP: Duration = Duration::from_millis(10);
/// Of what may be in flight, how much makes a batch worthwhile where few are: their messages are unacknowledged until
/// they are written, and the broker sends no more meanwhile.
const WORTHWHILE_SHARE: usize = 32;
/// Outcomes that wait for a statement at most.
const QUEUE_MAX: usize = 4_096;
/// How often a parking is tried before its message goes back to the queue.
const PARK_TRIES_MAX: u32 = 20;

/// What the recorder is asked to write.
pub enum Entry {
    /// Where a delivery stands now, and what its attempt says of its endpoint.
    Outcome(Box<Outcome>),
    /// The message has nothing (more) to deliver: its outbox row may go.
    Complete(Part),
}

/// A delivery's new state.
pub struct Outcome {
    /// The row.
    pub record: RecordedAttempt,
    /// Whether the attempt succeeded, where it counts for the endpoint's health.
    pub health: Option<bool>,
    /// The endpoint answered that it is gone for ever.
    pub gone: bool,
    /// What the delivery holds of its endpoint's rate limit while it waits.
    pub held: Option<Held>,
    /// Its way to the record, where its trace is recorded.
    pub span: Option<Span>,
    /// The message's part; given back through the channel for one that is still being attempted.
    pub then: Then,
}

/// What follows the commit.
pub enum Then {
    /// Park it if it is still pending, and settle.
    Settle(Part),
    /// The attempt is still running: give the part back.
    Continue(Part, tokio::sync::oneshot::Sender<Part>),
}

impl Then {
    fn part(&self) -> &Part {
        match self {
            Self::Settle(part) | Self::Continue(part, _) => part,
        }
    }
}

impl Entry {
    fn part(&self) -> &Part {
        match self {
            Self::Outcome(outcome) => outcome.then.part(),
            Self::Complete(part) => part,
        }
    }
}

/// The recorder's door. Cloning is cheap; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct Recorder {
    entries: mpsc::Sender<Entry>,
}

impl Recorder {
    /// Start it; it runs on `tasks` until the last clone is dropped and everything is written.
    pub fn spawn(
        store: Store,
        publisher: Publisher,
        clock: Arc<Clock>,
        disable_after: u32,
        in_flight_max: usize,
        metrics: Arc<Metrics>,
        tasks: &TaskTracker,
    ) -> Self {
        let (entries, inbox) = mpsc::channel(QUEUE_MAX);
        let scribe = Scribe {
            store,
            publisher,
            clock,
            disable_after,
            worthwhile: (in_flight_max / WORTHWHILE_SHARE).clamp(1, BATCH_WORTHWHILE),
            metrics,
            tasks: tasks.clone(),
        };
        tasks.spawn(scribe.run(inbox));
        Self { entries }
    }

    /// Entries that wait for a statement, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let max = self.entries.max_capacity();
        (max - self.entries.capacity(), max)
    }

    /// Hand over an entry; waits while too many are waiting.
    pub async fn write(&self, entry: Entry) {
        // Refused only when the recorder is gone: then the entry's part is dropped and its message goes back.
        let _ = self.entries.send(entry).await;
    }
}

/// What is left to do for an entry when it is written.
enum Duty {
    Outcome {
        tenant: TenantId,
        held: Option<Held>,
        span: Option<Span>,
        then: Then,
    },
    Complete(Part),
}

struct Scribe {
    store: Store,
    publisher: Publisher,
    clock: Arc<Clock>,
    disable_after: u32,
    worthwhile: usize,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
}

impl Scribe {
    async fn run(self, mut inbox: mpsc::Receiver<Entry>) {
        let mut entries = vec![];
        while inbox.recv_many(&mut entries, BATCH_MAX).await > 0 {
            let began = Instant::now();
            while entries.len() < self.worthwhile && began.elapsed() < GATHER_TIME && !inbox.is_closed() {
                tokio::time::sleep(GATHER_STEP).await;
                while entries.len() < BATCH_MAX
                    && let Ok(entry) = inbox.try_recv()
                {
                    entries.push(entry);
                }
            }
            self.write(std::mem::take(&mut entries)).await;
        }
    }

    async fn write(&self, entries: Vec<Entry>) {
        let count = entries.len();
        let (batch, duties) = self.batch(entries);
        let started = Instant::now();
        let outcome = self.record(&batch).await;
        self.metrics.recorded(count, started.elapsed());
        let RecordedBatch { outcomes, disabled } = outcome;
        for Disabled { endpoint, reason, .. } in disabled {
            self.metrics.endpoints_disabled.inc();
            tracing::warn!(endpoint.id = %endpoint, reason = reason.as_str(), "endpoint disabled");
        }
        let mut recorded = outcomes.into_iter();
        let mut to_park = vec![];
        for duty in duties {
            match duty {
                Duty::Complete(mut part) => {
                    part.recorded();
                    part.settle();
                }
                Duty::Outcome {
                    tenant,
                    held,
                    span,
                    then,
                } => {
                    let row = recorded.next();
                    let parking = span.map(|mut span| {
                        span.note("plumbline.record.outcomes", count);
                        let parking = span.sibling("park", SpanKind::Producer, crate::now());
                        span.finish(Timestamp::now());
                        parking
                    });
                    match then {
                        Then::Settle(mut part) => {
                            part.recorded();
                            match row.and_then(|row| retry_of(tenant, &row, held)) {
                                Some(message) => to_park.push(Parked::new(message, part, parking)),
                                None => part.settle(),
                            }
                        }
                        Then::Continue(mut part, back) => {
                            part.recorded();
                            // The attempt may have been cancelled: then the part goes back with its message.
                            let _ = back.send(part);
                        }
                    }
                }
            }
        }
        if !to_park.is_empty() {
            let (publisher, clock, metrics) =
                (self.publisher.clone(), self.clock.clone(), self.metrics.clone());
            self.tasks
                .spawn(async move { park(&publisher, &clock, &metrics, to_park).await });
        }
    }

    /// What is written, and what is to do afterwards, in the order of the entries.
    fn batch(&self, entries: Vec<Entry>) -> (RecordBatch, Vec<Duty>) {
        let mut unrecorded: HashMap<usize, usize> = HashMap::new();
        for entry in &entries {
            if entry.part().is_unrecorded() {
                *unrecorded.entry(entry.part().work()).or_default() += 1;
            }
        }
        let mut batch = RecordBatch {
            disable_after: self.disable_after,
            outcomes: Vec::with_capacity(entries.len()),
            ..RecordBatch::default()
        };
        let mut duties = Vec::with_capacity(entries.len());
        let mut health: HashMap<(TenantId, EndpointId), HealthRun> = HashMap::new();
        for entry in entries {
            let part = entry.part();
            if let Some(count) = unrecorded.remove(&part.work())
                && let Some(key) = part.completes(count)
            {
                batch.completed.push(key);
            }
            let outcome = match entry {
                Entry::Complete(part) => {
                    duties.push(Duty::Complete(part));
                    continue;
                }
                Entry::Outcome(outcome) => *outcome,
            };
            let endpoint = (outcome.record.tenant, outcome.record.endpoint);
            if let Some(success) = outcome.health {
                health.entry(endpoint).or_default().push(success);
            }
            if outcome.gone {
                batch.gone.push(endpoint);
            }
            duties.push(Duty::Outcome {
                tenant: outcome.record.tenant,
                held: outcome.held,
                span: outcome.span,
                then: outcome.then,
            });
            batch.outcomes.push(outcome.record);
        }
        batch.health = health
            .into_iter()
            .map(|((tenant, endpoint), run)| (tenant, endpoint, run))
            .collect();
        (batch, duties)
    }

    /// Write until it is written. Meanwhile the messages stay unacknowledged and their number bounds what waits.
    async fn record(&self, batch: &RecordBatch) -> RecordedBatch {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        loop {
            let result = async { deliveries::record(&self.store.session().await?, batch).await }.await;
            match result {
                Ok(outcome) => return outcome,
                Err(error) if error.is_transient() || matches!(error, StoreError::Retry(_)) => {
                    self.metrics.record_unavailable.inc();
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        outcomes = batch.outcomes.len(),
                        "outcomes could not be recorded yet"
                    );
                }
                Err(error) => {
                    self.metrics.record_faults.inc();
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        outcomes = batch.outcomes.len(),
                        "outcomes cannot be recorded: this is a fault of ours"
                    );
                }
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

/// The message that brings a pending delivery back when it is due.
fn retry_of(tenant: TenantId, row: &Recorded, held: Option<Held>) -> Option<RetryMessage> {
    match (row.status, row.next_attempt_at) {
        (DeliveryStatus::Pending, Some(due)) => Some(RetryMessage {
            // One that was put off for longer meanwhile does not come back in time for a slot.
            held: held.filter(|held| row.applied || matches!(held, Held::Place(_))),
            ..RetryMessage::due(tenant, row.delivery, row.attempt_count + 1, due)
        }),
        _ => None,
    }
}

/// A retry that is to be parked, and what is settled then.
pub(crate) struct Parked {
    message: RetryMessage,
    part: Part,
    span: Option<Span>,
}

impl Parked {
    /// A retry that its message's trace, if there is one, hears of.
    fn new(message: RetryMessage, part: Part, span: Option<Span>) -> Self {
        let trace = span.as_ref().map(Span::context);
        let span = span.map(|mut span| {
            span.note("messaging.system", "rabbitmq");
            span.note("messaging.operation.type", "send");
            span.note("plumbline.delivery.id", message.delivery.to_string());
            span.note("plumbline.attempt", message.attempt);
            let wait = message.not_before.duration_since(Timestamp::now());
            span.note("plumbline.wait_ms", wait.as_secs_f64() * 1_000.0);
            span
        });
        let message = RetryMessage { trace, ..message };
        Self { message, part, span }
    }

    /// One that was parked before: it belongs where it did.
    pub(crate) fn again(message: RetryMessage, part: Part) -> Self {
        Self {
            message,
            part,
            span: None,
        }
    }

    fn settle(self) {
        if let Some(span) = self.span {
            span.finish(Timestamp::now());
        }
        self.part.settle();
    }
}

/// Park each until it is confirmed, then settle it.
pub(crate) async fn park(publisher: &Publisher, clock: &Clock, metrics: &Metrics, mut waiting: Vec<Parked>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    for _ in 0..PARK_TRIES_MAX {
        let mut refused = vec![];
        let (slots, others): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|parked| parked.message.slot().is_some());
        for (group, now) in [(slots, clock.estimate()), (others, Timestamp::now())] {
            if group.is_empty() {
                continue;
            }
            let messages = group.iter().map(|parked| parked.message).collect();
            let results = publisher.park_all(messages, now).await;
            for (mut parked, result) in group.into_iter().zip(results) {
                match result {
                    Ok(()) => {
                        metrics.retries_parked.inc();
                        parked.settle();
                    }
                    Err(_) => {
                        metrics.parkings_refused.inc();
                        // It may be in a queue all the same, and two messages must not use one slot.
                        if parked.message.slot().is_some() {
                            parked.message.held = Some(Held::Place(Place::FRONT));
                        }
                        refused.push(parked);
                    }
                }
            }
        }
        if refused.is_empty() {
            return;
        }
        waiting = refused;
        tokio::time::sleep(backoff.next()).await;
    }
    tracing::warn!(
        deliveries = waiting.len(),
        "retries could not be parked; their messages go back to the queue"
    );
    for parked in waiting {
        parked.part.give_up();
    }
}
