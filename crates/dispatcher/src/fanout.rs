//! Fan-out: from an accepted event to the endpoints that it is for, attempted straight away.
//!
//! The unacknowledged message and the outbox row cover a crash, so a delivery need not exist in PostgreSQL before
//! its first outcome. A message that may be a repetition looks up what exists before it acts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_broker::wire::BUNDLE_EVENTS_MAX;
use plumbline_broker::{Chunk, EventMessage, Incoming, Publisher, RetryMessage, WorkQueue};
use plumbline_domain::delivery::{DeliveryKind, DeliveryStatus};
use plumbline_domain::lane::{Lane, Pace};
use plumbline_domain::trace::{Span, SpanKind};
use plumbline_domain::{DeliveryId, EndpointId, Event, Profile, Timestamp, TraceContext, Tracer};
use plumbline_runtime::backoff::Backoff;
use plumbline_store::deliveries::{self, Existing};
use plumbline_store::{Store, StoreError, outbox};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::{self, Attempts, Due};
use crate::bodies::{Bodies, Body};
use crate::clock::Clock;
use crate::endpoints::{Endpoints, Target};
use crate::metrics::Metrics;
use crate::recorder::{self, Entry, Parked};
use crate::work::{Share, Work};

/// Endpoints that one message is fanned out to; an event with more is split, so that several dispatchers share it.
pub const CHUNK_MAX: usize = 100;
/// The bulk lane is never held back below so many events per second, however long the fast lane waits.
pub const BULK_RATE_MIN: u32 = 2_000;

/// Turns event messages into attempts.
pub struct FanOut {
    /// The truth.
    pub store: Store,
    /// For chunks and for what must wait.
    pub publisher: Publisher,
    /// The tenants' endpoints.
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
    /// The pace of the bulk lane beside the fast one.
    pub pace: Mutex<Pace>,
}

impl FanOut {
    /// Deal with one message of the events or fan-out queues, down to its acknowledgement. Waits until there is `room`
    /// for its events, and gives it back to the queue when `stop` comes first; the rest runs on `tasks`.
    pub async fn take(
        self: &Arc<Self>,
        incoming: Incoming,
        room: &Room,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let messages = match EventMessage::decode_all(&incoming.body) {
            Ok(messages) => messages,
            Err(error) => {
                self.metrics.undecodable.inc();
                return crate::bury(&self.publisher, incoming, &error.reason()).await;
            }
        };
        let Some(mut places) = stop.run_until_cancelled(room.places(messages.len())).await else {
            return incoming.ticket.requeue();
        };
        if let WorkQueue::Events { lane: Lane::Bulk, .. } = incoming.queue {
            let wait = self.bulk_wait(&messages);
            if !wait.is_zero() && stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return incoming.ticket.requeue();
            }
        }
        let redelivered = incoming.redelivered;
        let shares = Share::of(incoming.ticket, messages.len());
        for (message, share) in messages.into_iter().zip(shares) {
            let (fan_out, room, place) = (self.clone(), room.clone(), places.split());
            tasks.spawn(async move { fan_out.one(message, redelivered, share, place, &room).await });
        }
    }

    /// Deal with one event, down to the settlement of its share of the message.
    async fn one(
        self: Arc<Self>,
        mut message: EventMessage,
        redelivered: bool,
        share: Share,
        place: Place,
        room: &Room,
    ) {
        let repeated = redelivered || message.republished;
        let key = (
            message.event.id,
            message.chunk.as_ref().map_or(0, |chunk| chunk.number),
        );
        if message.chunk.is_none() {
            self.metrics.taken_up(message.event.id.timestamp());
        }
        let known_at = Instant::now();
        let mut span = self.span(&message);
        if let Some(span) = &span {
            message.trace = Some(span.context());
        }
        let targets = self.targets(&message).await;
        if let Some(span) = &mut span {
            span.note("plumbline.endpoints", targets.len());
        }
        if message.chunk.is_none() && targets.len() > CHUNK_MAX {
            self.split(message, &targets, repeated, share).await;
            return finish(span);
        }
        if message.chunk.is_none() {
            self.metrics.fanned_out.inc();
        }
        let (event, payload, trace) = (Arc::new(message.event), message.payload, message.trace);
        let mut due: Vec<(DeliveryId, Arc<Target>)> = targets
            .into_iter()
            .map(|target| (DeliveryId::derive(event.id, target.endpoint.id), target))
            .collect();
        let mut waiting = vec![];
        if repeated && !due.is_empty() {
            let ids: Vec<DeliveryId> = due.iter().map(|(id, _)| *id).collect();
            let existing = self.existing(&event, &ids).await;
            due.retain(|(id, _)| !existing.contains_key(id));
            waiting = existing
                .into_values()
                .filter_map(|row| waits(&event, &row, trace))
                .collect();
        }

        // With nothing left to attempt, one more part stands for the outbox row that may go.
        let nothing_due = due.is_empty();
        let mut parts = Work::parts(
            share,
            Some(key),
            due.len() + waiting.len() + usize::from(nothing_due),
        );
        let to_park: Vec<_> = waiting
            .into_iter()
            .zip(parts.split_off(due.len() + usize::from(nothing_due)))
            .map(|(message, mut part)| {
                part.recorded();
                Parked::again(message, part)
            })
            .collect();
        if !to_park.is_empty() {
            let fan_out = self.clone();
            tokio::spawn(async move {
                recorder::park(&fan_out.publisher, &fan_out.clock, &fan_out.metrics, to_park).await;
            });
        }
        if nothing_due {
            finish(span);
            for part in parts {
                self.attempts.recorder().write(Entry::Complete(part)).await;
            }
            return;
        }
        if message.lane == Lane::Fast && !repeated && message.chunk.is_none() {
            self.note_delay(&event);
        }
        // The event's own place is given back before it asks for one for each delivery: nobody waits with something in
        // hand that others wait for.
        drop(place);
        let mut places = room.places(due.len()).await;
        let mut rendered = Rendered::default();
        let mut dues = due.into_iter().zip(parts).map(|((delivery, target), part)| {
            let body = rendered.of(&target, || self.bodies.body(&event, payload, &target));
            let due = Due {
                event: event.clone(),
                body,
                target,
                delivery,
                kind: DeliveryKind::Event,
                replay_of: None,
                number: 1,
                created_at: Timestamp::now(),
                known_at,
                held: None,
                trace,
                place: Some(places.split()),
            };
            (due, part)
        });
        finish(span);
        // The first one needs no task of its own: most events have one endpoint.
        let first = dues.next();
        for (due, part) in dues {
            let attempts = self.attempts.clone();
            tokio::spawn(async move { attempts.make(due, attempt::Share::Fresh, part).await });
        }
        if let Some((due, part)) = first {
            self.attempts.make(due, attempt::Share::Fresh, part).await;
        }
    }

    /// The fan-out of this message as a span, where its trace is recorded. What the relay published begins a trace of its
    /// own, by the event's id.
    fn span(&self, message: &EventMessage) -> Option<Span> {
        let mut span = match message.trace {
            Some(parent) => self
                .tracer
                .child(parent, "fan-out", SpanKind::Consumer, crate::now()),
            None if message.republished && self.tracer.is_on() => {
                let trace = message.event.id.into();
                self.tracer
                    .root(trace, "fan-out", SpanKind::Consumer, crate::now())
            }
            None => None,
        }?;
        span.note("messaging.system", "rabbitmq");
        span.note("messaging.operation.type", "process");
        span.note("plumbline.event.id", message.event.id.to_string());
        span.note("plumbline.event.type", message.event.event_type.to_string());
        span.note("plumbline.tenant.id", message.event.tenant.0);
        span.note("plumbline.lane", message.lane.as_str());
        if let Some(chunk) = &message.chunk {
            span.note("plumbline.chunk", i64::from(chunk.number));
        }
        Some(span)
    }

    /// How long these events of the bulk lane have to wait for their turn.
    fn bulk_wait(&self, messages: &[EventMessage]) -> Duration {
        let (now, mut pace) = (Instant::now(), self.pace.lock());
        for message in messages {
            pace.burst_of(message.event.tenant, now);
        }
        pace.wait(messages.len(), now)
    }

    /// Note how long an event of the fast lane has taken since it was accepted.
    fn note_delay(&self, event: &Event) {
        let millis = Timestamp::now().as_millisecond() - event.id.timestamp().as_millisecond();
        #[expect(clippy::cast_precision_loss, reason = "a delay of a few milliseconds")]
        let seconds = millis as f64 / 1_000.0;
        self.pace.lock().took(event.tenant, seconds, Instant::now());
    }

    /// The endpoints that a message is for; asks until the database answers.
    async fn targets(&self, message: &EventMessage) -> Vec<Arc<Target>> {
        let event = &message.event;
        let set = patiently("the tenant's endpoints could not be loaded yet", || {
            self.endpoints.at_least(event.tenant, event.endpoints_version)
        })
        .await;
        let mut targets = set.matching(&event.event_type, event.endpoints_version);
        if let Some(Chunk { after, upto, .. }) = message.chunk {
            targets.retain(|target| target.endpoint.id.0 > after && target.endpoint.id.0 <= upto);
        }
        targets
    }

    async fn existing(&self, event: &Event, ids: &[DeliveryId]) -> HashMap<DeliveryId, Existing> {
        let rows = patiently("existing deliveries could not be looked up yet", || async {
            deliveries::existing(&self.store.session().await?, event.tenant, event.id, ids).await
        })
        .await;
        rows.into_iter().map(|row| (row.delivery, row)).collect()
    }

    /// Replace the event's outbox row by one for each chunk, and publish the chunks. A repetition publishes the
    /// chunks that are still there.
    async fn split(&self, message: EventMessage, targets: &[Arc<Target>], repeated: bool, share: Share) {
        let mut after = EndpointId(0);
        let chunks: Vec<outbox::Chunk> = targets
            .chunks(CHUNK_MAX)
            .zip(1..)
            .map(|(targets, number)| {
                let upto = targets.last().map_or(after, |target| target.endpoint.id);
                let chunk = outbox::Chunk { number, after, upto };
                after = upto;
                chunk
            })
            .collect();
        let event = &message.event;
        let standing = patiently("an event could not be split yet", || async {
            outbox::split(&self.store.session().await?, event.id, &chunks).await
        })
        .await;
        self.metrics.fanned_out.inc();
        let rows: Vec<_> = standing.iter().map(|chunk| (event.id, chunk.number)).collect();
        let messages = standing
            .into_iter()
            .map(|chunk| EventMessage {
                event: event.clone(),
                payload: message.payload,
                lane: message.lane,
                chunk: Some(Chunk {
                    number: chunk.number,
                    after: chunk.after.0,
                    upto: chunk.upto.0,
                }),
                republished: repeated,
                trace: message.trace,
            })
            .collect();
        let results = self.publisher.publish_chunks(messages).await;
        let failed: Vec<_> = rows
            .into_iter()
            .zip(&results)
            .filter(|(_, result)| result.is_err())
            .map(|(row, _)| row)
            .collect();
        if !failed.is_empty() {
            // The relay publishes them when the broker takes them again. Given back to the queue, the message would come
            // at once: each round leaves a copy of every chunk that may have arrived all the same, and after fifty the
            // broker buries it.
            patiently("chunks could not be left to the relay yet", || async {
                outbox::mark_unsent(&self.store.session().await?, &failed).await
            })
            .await;
        }
        share.settle();
    }
}

/// Bounds the deliveries of one queue that this process has in hand. Whoever finds no room leaves its message in the
/// broker: what would wait too long here could be another dispatcher's. Cloning is cheap.
#[derive(Clone)]
pub struct Room {
    places: Arc<Semaphore>,
    until: Until,
}

/// When a delivery gives its place back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When it is sent: what is in flight is bounded by the permits.
    Sent,
    /// When its attempt is over: a queue that takes only what others leave.
    Answered,
}

/// Places in a [`Room`], given back when dropped.
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    until: Until,
}

impl Room {
    /// Room for this many deliveries, and at least for those of one message.
    pub fn new(deliveries_max: usize, until: Until) -> Self {
        let places = deliveries_max.max(CHUNK_MAX).max(BUNDLE_EVENTS_MAX);
        Self {
            places: Arc::new(Semaphore::new(places)),
            until,
        }
    }

    /// Wait for this many places, in turn.
    async fn places(&self, count: usize) -> Place {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // It is never closed.
        Place {
            permit: self.places.clone().acquire_many_owned(count).await.ok(),
            until: self.until,
        }
    }
}

impl Place {
    /// One of them by itself.
    fn split(&mut self) -> Self {
        Self {
            permit: self.permit.as_mut().and_then(|places| places.split(1)),
            until: self.until,
        }
    }

    /// The request leaves.
    pub fn sent(&mut self) {
        if self.until == Until::Sent {
            self.permit = None;
        }
    }
}

fn finish(span: Option<Span>) {
    if let Some(span) = span {
        span.finish(Timestamp::now());
    }
}

/// Bodies rendered once for each profile.
#[derive(Default)]
struct Rendered(Vec<(Profile, Body)>);

impl Rendered {
    /// The targets are all of one tenant.
    fn of(&mut self, target: &Target, render: impl FnOnce() -> Body) -> Body {
        let profile = target.endpoint.profile;
        if let Some((_, body)) = self.0.iter().find(|(known, _)| *known == profile) {
            return body.clone();
        }
        let body = render();
        self.0.push((profile, body.clone()));
        body
    }
}

/// The retry that a delivery of a repeated message waits for: its first publication may have been lost.
fn waits(event: &Event, row: &Existing, trace: Option<TraceContext>) -> Option<RetryMessage> {
    match (row.status, row.next_attempt_at) {
        (DeliveryStatus::Pending, Some(due)) => Some(RetryMessage {
            trace,
            ..RetryMessage::due(event.tenant, row.delivery, row.attempt_count + 1, due)
        }),
        _ => None,
    }
}

/// Ask the database until it answers; the message that is waiting for it stays unacknowledged.
pub(crate) async fn patiently<T, F>(complaint: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "{complaint}"),
        }
        tokio::time::sleep(backoff.next()).await;
    }
}
