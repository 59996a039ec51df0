//! Retries that have come due: loaded from PostgreSQL, attempted like fresh deliveries, with permits of their own.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use plumbline_broker::{Incoming, Publisher, RetryMessage, Ticket};
use plumbline_domain::delay::{Wait, wait_for, wait_precisely};
use plumbline_domain::delivery::{DeliveryStatus, FailureCode};
use plumbline_domain::rate::{Held, Place};
use plumbline_domain::trace::{Span, SpanKind};
use plumbline_domain::{DeliveryId, EventId, TenantId, Timestamp, Tracer};
use plumbline_store::Store;
use plumbline_store::deliveries::{self, DueDelivery, RecordedAttempt};
use tokio::sync::OwnedMutexGuard;

use crate::attempt::{Attempts, Due, Share};
use crate::bodies::Bodies;
use crate::clock::Clock;
use crate::endpoints::Endpoints;
use crate::fanout::patiently;
use crate::metrics::Metrics;
use crate::recorder::{self, Outcome, Parked, Then, park};
use crate::work::Work;

/// How far a row's time may lie from its message's, which is the same but for the database's rounding.
const ROUNDING_MAX: std::time::Duration = std::time::Duration::from_millis(1);

/// Turns retry messages into attempts.
pub struct Retries {
    /// The truth.
    pub store: Store,
    /// For what is not due yet.
    pub publisher: Publisher,
    /// Opens endpoints' secrets.
    pub endpoints: Endpoints,
    /// Renders what they send.
    pub bodies: Arc<Bodies>,
    /// Makes the attempts.
    pub attempts: Arc<Attempts>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// By which slots are waited for.
    pub clock: Arc<Clock>,
    /// Where spans go.
    pub tracer: Tracer,
    /// Deliveries that this process is attempting now: a second message for one is a duplicate.
    pub busy: Mutex<HashSet<DeliveryId>>,
}

impl Retries {
    /// Deal with what the retries queue has handed over, down to the acknowledgements. The `turn` to load is over when these
    /// are loaded, or when they have to wait first.
    pub async fn take(self: Arc<Self>, incoming: Vec<Incoming>, turn: OwnedMutexGuard<()>) {
        let now = Timestamp::now();
        let mut wait = std::time::Duration::ZERO;
        let mut due: HashMap<(TenantId, DeliveryId), (RetryMessage, Ticket)> = HashMap::new();
        for incoming in incoming {
            let mut message = match RetryMessage::decode(&incoming.body) {
                Ok(message) => message,
                Err(error) => {
                    self.metrics.undecodable.inc();
                    crate::bury(&self.publisher, incoming, &error.reason()).await;
                    continue;
                }
            };
            if incoming.redelivered && message.slot().is_some() {
                // Whoever had it before us may have used the slot.
                message.held = Some(Held::Place(Place::FRONT));
            }
            match self.still_to_wait(&message, now).await {
                Wait::Park(_) => {
                    self.park_again(message, incoming.ticket);
                    continue;
                }
                // At most 50 ms, and this batch waits once.
                Wait::InProcess(rest) => wait = wait.max(rest),
                Wait::Over => {}
            }
            // What came a moment early is not late, and counts: a quantile is of all of them.
            self.metrics.lateness(now.duration_since(message.not_before));
            match due.entry((message.tenant, message.delivery)) {
                // Two messages for one delivery: the one for the earlier attempt is stale.
                Entry::Occupied(mut other) if other.get().0.attempt < message.attempt => {
                    let (_, stale) = other.insert((message, incoming.ticket));
                    stale.ack();
                }
                Entry::Occupied(_) => incoming.ticket.ack(),
                Entry::Vacant(vacant) => {
                    vacant.insert((message, incoming.ticket));
                }
            }
        }
        if due.is_empty() {
            return;
        }
        let mut turn = Some(turn);
        if !wait.is_zero() {
            // Not to be had again: whoever waits for the next messages holds it.
            turn = None;
            tokio::time::sleep(wait).await;
        }
        let ids: Vec<_> = due.keys().copied().collect();
        let known_at = Instant::now();
        let loaded = patiently("due deliveries could not be loaded yet", || async {
            deliveries::load_due(&self.store.session().await?, &ids).await
        })
        .await;
        drop(turn);
        for delivery in loaded {
            if let Some((message, ticket)) = due.remove(&(delivery.delivery.tenant, delivery.delivery.id)) {
                self.clone().one(delivery, message, ticket, known_at).await;
            }
        }
        // What has no row (or no event) any more is past its retention.
        for (_, (message, ticket)) in due {
            tracing::debug!(delivery.id = %message.delivery, "a retry without a delivery was dropped");
            ticket.ack();
        }
    }

    async fn still_to_wait(&self, message: &RetryMessage, now: Timestamp) -> Wait {
        match message.slot() {
            Some(slot) => {
                let opens = self.clock.pass(slot).await.opens;
                wait_precisely(opens.saturating_duration_since(Instant::now()))
            }
            None => wait_for(
                std::time::Duration::try_from(message.not_before.duration_since(now)).unwrap_or_default(),
            ),
        }
    }

    async fn one(
        self: Arc<Self>,
        found: DueDelivery,
        message: RetryMessage,
        ticket: Ticket,
        known_at: Instant,
    ) {
        let DueDelivery {
            delivery,
            event,
            payload,
            endpoint,
        } = found;
        let stale =
            delivery.status != DeliveryStatus::Pending || delivery.attempt_count + 1 != message.attempt;
        let Some(next_attempt_at) = delivery.next_attempt_at.filter(|_| !stale) else {
            self.metrics.stale.inc();
            return ticket.ack();
        };
        if next_attempt_at > message.not_before + ROUNDING_MAX {
            // The row was put off after this message was sent.
            let later = RetryMessage {
                trace: message.trace,
                ..RetryMessage::due(message.tenant, message.delivery, message.attempt, next_attempt_at)
            };
            return self.park_again(later, ticket);
        }
        let Some(endpoint) = endpoint else {
            let record = ended(&delivery, FailureCode::EndpointDeleted);
            let then = Then::Settle(Work::single(ticket, None));
            let outcome = Outcome {
                record,
                health: None,
                gone: false,
                held: None,
                span: None,
                then,
            };
            return self
                .attempts
                .recorder()
                .write(recorder::Entry::Outcome(Box::new(outcome)))
                .await;
        };
        if !self.busy.lock().insert(delivery.id) {
            self.metrics.stale.inc();
            return ticket.ack();
        }
        let trace = self.span(&message, event.id).map(|span| {
            let context = span.context();
            span.finish(Timestamp::now());
            context
        });
        let target = Arc::new(self.endpoints.open_one(endpoint));
        let due = Due {
            body: self.bodies.body(&event, payload, &target),
            event: Arc::new(event),
            target,
            delivery: delivery.id,
            kind: delivery.kind,
            replay_of: delivery.replay_of,
            number: message.attempt,
            created_at: delivery.created_at,
            known_at,
            held: message.held,
            trace: trace.or(message.trace),
            place: None,
        };
        tokio::spawn(async move {
            let _busy = Busy {
                retries: &self,
                delivery: delivery.id,
            };
            self.attempts
                .make(due, Share::Retries, Work::single(ticket, None))
                .await;
        });
    }

    /// A retry's coming back as a span, where its trace is recorded. What the sweep published begins a trace of its own, by
    /// the event's id.
    fn span(&self, message: &RetryMessage, event: EventId) -> Option<Span> {
        let mut span = match message.trace {
            Some(parent) => self
                .tracer
                .child(parent, "retry", SpanKind::Consumer, crate::now()),
            None if message.republished && self.tracer.is_on() => {
                self.tracer
                    .root(event.into(), "retry", SpanKind::Consumer, crate::now())
            }
            None => None,
        }?;
        span.note("messaging.system", "rabbitmq");
        span.note("messaging.operation.type", "process");
        span.note("plumbline.event.id", event.to_string());
        span.note("plumbline.delivery.id", message.delivery.to_string());
        span.note("plumbline.attempt", message.attempt);
        let late = Timestamp::now().duration_since(message.not_before);
        span.note("plumbline.late_ms", late.as_secs_f64() * 1_000.0);
        Some(span)
    }

    fn park_again(self: &Arc<Self>, message: RetryMessage, ticket: Ticket) {
        let retries = self.clone();
        let part = Work::single(ticket, None);
        tokio::spawn(async move {
            park(
                &retries.publisher,
                &retries.clock,
                &retries.metrics,
                vec![Parked::again(message, part)],
            )
            .await;
        });
    }
}

/// A delivery that ends without another attempt.
fn ended(delivery: &plumbline_domain::Delivery, code: FailureCode) -> RecordedAttempt {
    RecordedAttempt {
        delivery: delivery.id,
        tenant: delivery.tenant,
        event: delivery.event,
        event_type: delivery.event_type.clone(),
        endpoint: delivery.endpoint,
        kind: delivery.kind,
        replay_of: delivery.replay_of,
        number: delivery.attempt_count + 1,
        status: DeliveryStatus::Failed,
        next_attempt_at: None,
        response_status: delivery.response_status,
        error: Some(code),
        created_at: delivery.created_at,
        attempt: None,
    }
}

/// Marks a delivery as being attempted, until it is dropped.
struct Busy<'a> {
    retries: &'a Retries,
    delivery: DeliveryId,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.retries.busy.lock().remove(&self.delivery);
    }
}
