//! One attempt, from the gate to its record.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use plumbline_domain::delay::IN_PROCESS_WAIT_MAX;
use plumbline_domain::delivery::{DeliveryKind, DeliveryStatus, FailureCode};
use plumbline_domain::gate::{self, Gate, Passage};
use plumbline_domain::rate::{Held, Place, Turn};
use plumbline_domain::retry::{self, Next, RetrySchedule};
use plumbline_domain::trace::{Moment, Span, SpanKind};
use plumbline_domain::{
    AttemptOutcome, DeliveryId, EndpointId, Event, Timestamp, Timing, TraceContext, Tracer,
};
use plumbline_store::PoolStatus;
use plumbline_store::deliveries::{AttemptRow, RecordedAttempt};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::bodies::{Bodies, Body, NoBody};
use crate::clock::Pass;
use crate::endpoints::{Endpoints, Target};
use crate::fanout::{self, patiently};
use crate::limiter::{BrokenOff, Limiter};
use crate::metrics::{Headroom, Metrics};
use crate::recorder::{Entry, Outcome, Recorder, Then};
use crate::top::TopTenants;
use crate::transport::{AttemptRequest, Attempted, Missed, Transport};
use crate::work::Part;

/// An attempt that takes longer is written down as pending before it has an outcome.
const SLOW: Duration = Duration::from_secs(1);
/// How much later than its deadline such an attempt counts as lost.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How long to wait before trying an endpoint whose secrets cannot be opened again.
const UNSIGNABLE_PAUSE: Duration = Duration::from_secs(60);
/// How long a delivery is put off whose body finds no room in memory.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(2);
/// How long after it was looked up an endpoint may be called without looking again; with the age of what was looked
/// up, less than the second that a deletion waits for.
const KNOWN_FRESH: Duration = Duration::from_millis(100);
/// Gates remembered before idle ones are forgotten.
const GATES_MAX: usize = 10_000;
/// The longest failure message that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Which share of the permits an attempt takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Events that have just been accepted.
    Fresh,
    /// Retries, replays and deferrals: a storm of them does not delay fresh events.
    Retries,
}

/// A delivery that is due now.
pub struct Due {
    /// Its event.
    pub event: Arc<Event>,
    /// The body, rendered once for all endpoints of a profile.
    pub body: Body,
    /// Where it goes.
    pub target: Arc<Target>,
    /// Its id.
    pub delivery: DeliveryId,
    /// What caused it.
    pub kind: DeliveryKind,
    /// The delivery that it repeats.
    pub replay_of: Option<DeliveryId>,
    /// The attempt to make: 1 is the first.
    pub number: u16,
    /// When the delivery was recorded; now, for one that is not yet.
    pub created_at: Timestamp,
    /// When the endpoint was looked up.
    pub known_at: Instant,
    /// What it holds of its endpoint's rate limit.
    pub held: Option<Held>,
    /// The span that made it due, where its trace is recorded.
    pub trace: Option<TraceContext>,
    /// Its place among those in hand; given back when it is sent or answered, as its queue says.
    pub place: Option<fanout::Place>,
}

/// Makes attempts and hands their outcomes to the recorder.
pub struct Attempts {
    transport: Transport,
    endpoints: Endpoints,
    bodies: Arc<Bodies>,
    limiter: Arc<Limiter>,
    recorder: Recorder,
    schedule: RetrySchedule,
    timeout: Duration,
    fresh: Semaphore,
    fresh_max: usize,
    retries: Semaphore,
    retries_max: usize,
    gates: Mutex<HashMap<EndpointId, Turnstile>>,
    metrics: Arc<Metrics>,
    top_tenants: TopTenants,
    tracer: Tracer,
}

impl Attempts {
    /// `in_flight_max` attempts at once, a quarter of them set aside for retries.
    #[expect(clippy::too_many_arguments, reason = "called once, where each is made")]
    pub fn new(
        transport: Transport,
        endpoints: Endpoints,
        bodies: Arc<Bodies>,
        limiter: Arc<Limiter>,
        recorder: Recorder,
        schedule: RetrySchedule,
        timeout: Duration,
        in_flight_max: usize,
        metrics: Arc<Metrics>,
        top_tenants: TopTenants,
        tracer: Tracer,
    ) -> Self {
        let retries_max = (in_flight_max / 4).max(1);
        let fresh_max = in_flight_max.saturating_sub(retries_max).max(1);
        Self {
            transport,
            endpoints,
            bodies,
            limiter,
            recorder,
            schedule,
            timeout,
            fresh: Semaphore::new(fresh_max),
            fresh_max,
            retries: Semaphore::new(retries_max),
            retries_max,
            gates: Mutex::default(),
            metrics,
            top_tenants,
            tracer,
        }
    }

    /// The recorder that outcomes go to.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// How close the process is to its limits, with what others know of theirs.
    pub fn headroom(&self, pool: PoolStatus, open_connections: usize) -> Headroom {
        let in_use = |permits: &Semaphore, max: usize| (max.saturating_sub(permits.available_permits()), max);
        Headroom {
            pool,
            open_connections,
            fresh_permits: in_use(&self.fresh, self.fresh_max),
            retry_permits: in_use(&self.retries, self.retries_max),
            unrecorded: self.recorder.waiting(),
        }
    }

    /// Attempt a delivery, or put it off, and have it recorded.
    pub async fn make(&self, mut due: Due, share: Share, part: Part) {
        let Some(part) = self.turn_away(&due, part).await else {
            return;
        };
        let id = due.target.endpoint.id;
        if let Err(wait) = self.enter(id).await {
            self.metrics.deferred.inc();
            return self.defer(&due, wait, part).await;
        }
        let mut gate = InGate {
            attempts: self,
            endpoint: id,
            passage: Passage::FailedFast,
            entered: Instant::now(),
        };
        let Ok(permit) = self.permit(share).await else {
            return part.give_up();
        };
        let body = match self.bodies.read(&due.body, &due.target, share).await {
            Ok(body) => body,
            Err(NoBody::NoRoom) => {
                self.metrics.deferred.inc();
                drop((permit, gate));
                return self.defer(&due, NO_ROOM_PAUSE, part).await;
            }
            // With its tenant: then nothing of it is found when the message comes again.
            Err(NoBody::Gone) => return part.give_up(),
        };
        if let Some(place) = &mut due.place {
            place.sent();
        }
        gate.entered = Instant::now();
        // What had to wait for a slot says nothing about our own speed.
        let mut is_first = due.number == 1 && due.kind == DeliveryKind::Event && due.held.is_none();
        let (mut part, mut pass) = (part, None);
        loop {
            if due.known_at.elapsed() > KNOWN_FRESH {
                // It waited: by now the endpoint may be another one, or none, and a deletion may have been answered.
                let looked_up_at = Instant::now();
                let set = patiently("an endpoint could not be looked up again yet", || {
                    self.endpoints.at_least(due.event.tenant, due.target.as_of)
                })
                .await;
                match set.get(id) {
                    Some(target) => due.target = target.clone(),
                    None => return self.end(&due, FailureCode::EndpointDeleted, part).await,
                }
                due.known_at = looked_up_at;
            }
            let Some(mine) = self.turn_away(&due, part).await else {
                return;
            };
            part = mine;
            let limit = due.target.endpoint.rate_limit;
            if let Some(limit) = limit
                && pass.is_none_or(|pass: Pass| Instant::now() >= pass.closes)
            {
                match self.pass(&mut due, limit).await {
                    // That may have taken a while: look once more whether the endpoint is still the same.
                    Ok(granted) => {
                        pass = Some(granted);
                        continue;
                    }
                    Err(NoPass::BrokenOff) => return part.give_up(),
                    Err(NoPass::Until(turn)) => {
                        drop((permit, gate));
                        return self.wait_for_turn(&due, turn, part).await;
                    }
                }
            }
            let Some(mut request) = request(&due, &body) else {
                return part.give_up();
            };
            request.not_after = limit.and(pass).map(|pass| pass.closes.into());
            if std::mem::take(&mut is_first) {
                self.metrics.first_attempt(due.event.id.timestamp());
            }
            let (attempted, mine) = self.post(&due, request, part).await;
            part = mine;
            match attempted {
                Ok(attempted) => {
                    gate.leave(&attempted.outcome);
                    return self.record(due, attempted, part).await;
                }
                // The connection took longer than the slot. It is ready now, for the next one.
                Err(Missed) => {
                    self.metrics.slots_missed.inc();
                    due.held = Some(Held::Place(Place::FRONT));
                    pass = None;
                }
            }
        }
    }

    /// Leave to send now, by the endpoint's rate limit. What the delivery holds afterwards is in `due.held`.
    async fn pass(&self, due: &mut Due, limit: NonZeroU32) -> Result<Pass, NoPass> {
        loop {
            let place = match due.held {
                Some(Held::Slot(slot)) => {
                    let pass = self.limiter.pass(slot).await;
                    let now = Instant::now();
                    if now < pass.closes {
                        if pass.opens > now + IN_PROCESS_WAIT_MAX {
                            return Err(NoPass::Until(slot.opens_at()));
                        }
                        tokio::time::sleep_until(pass.opens.into()).await;
                        return Ok(pass);
                    }
                    self.metrics.slots_missed.inc();
                    Some(Place::FRONT)
                }
                Some(Held::Place(place)) => Some(place),
                None => None,
            };
            match self.limiter.turn(&due.target.endpoint, limit, place).await {
                Ok(Turn::Slot(slot)) => due.held = Some(Held::Slot(slot)),
                Ok(Turn::Later { place, ask_again_at }) => {
                    due.held = Some(Held::Place(place));
                    return Err(NoPass::Until(ask_again_at));
                }
                Err(BrokenOff) => return Err(NoPass::BrokenOff),
            }
        }
    }

    /// Deal with a delivery whose endpoint receives nothing now; gives the part back for one that may go ahead.
    async fn turn_away(&self, due: &Due, part: Part) -> Option<Part> {
        if !due.target.endpoint.is_active() && due.kind != DeliveryKind::Test {
            if due.number == 1 && due.kind == DeliveryKind::Event {
                self.metrics.skipped.inc();
                let record = self.row(due, DeliveryStatus::Skipped, None);
                self.write(record, None, false, None, due.trace, Then::Settle(part))
                    .await;
            } else {
                self.end(due, FailureCode::EndpointDisabled, part).await;
            }
            return None;
        }
        if !due.target.is_ready_to_sign(Timestamp::now()) {
            self.defer(due, UNSIGNABLE_PAUSE, part).await;
            return None;
        }
        Some(part)
    }

    /// POST; what takes longer than [`SLOW`] is written down as pending meanwhile.
    async fn post(
        &self,
        due: &Due,
        request: AttemptRequest,
        part: Part,
    ) -> (Result<Attempted, Missed>, Part) {
        let in_flight = self.metrics.in_flight();
        let post = self.transport.post(request);
        tokio::pin!(post);
        let attempted = tokio::time::timeout(SLOW, &mut post).await;
        let result = match attempted {
            Ok(attempted) => (attempted, part),
            // A retry has its row already: it waits in the message that we hold.
            Err(_) if due.number > 1 || due.kind != DeliveryKind::Event => (post.await, part),
            Err(_) => {
                let lease = Timestamp::now() + self.timeout + LEASE_MARGIN;
                let (back, returned) = oneshot::channel();
                let record = self.row(due, DeliveryStatus::Pending, Some(lease));
                self.write(record, None, false, None, due.trace, Then::Continue(part, back))
                    .await;
                let (attempted, part) = tokio::join!(post, returned);
                match part {
                    Ok(part) => (attempted, part),
                    // Only a recorder that has stopped loses a part; its message goes back to the queue.
                    Err(_) => std::future::pending().await,
                }
            }
        };
        drop(in_flight);
        result
    }

    async fn record(&self, due: Due, attempted: Attempted, part: Part) {
        let Attempted {
            outcome,
            started_at,
            duration,
            timing,
            request_headers,
        } = attempted;
        let verdict = outcome.verdict(due.target.endpoint.profile);
        let next = match due.kind {
            DeliveryKind::Test => retry::once(verdict),
            DeliveryKind::Event | DeliveryKind::Replay => {
                self.schedule.after(due.number, verdict, rand::random())
            }
        };
        self.metrics.attempted(&outcome, next, duration);
        self.top_tenants.attempted(due.event.tenant, duration);
        let (status, next_attempt_at) = match next {
            Next::Succeeded => (DeliveryStatus::Succeeded, None),
            Next::Retry { after } => (DeliveryStatus::Pending, Some(Timestamp::now() + after)),
            Next::Exhausted => (DeliveryStatus::Exhausted, None),
            Next::Abandoned { .. } => (DeliveryStatus::Failed, None),
        };
        log(&due, &outcome, status, duration);
        let trace = self.trace(&due, &outcome, status, started_at, duration, timing);
        let mut record = self.row(&due, status, next_attempt_at);
        let failure = outcome.failure();
        record.response_status = outcome.status().map(|status| status.0);
        record.error = failure.as_ref().map(|(code, _)| *code);
        let (response_headers, response_body) = match outcome {
            AttemptOutcome::Answered(answer) => (Some(pairs_json(&answer.headers)), Some(answer.body)),
            AttemptOutcome::Unreachable(_) | AttemptOutcome::Forbidden(_) => (None, None),
        };
        record.attempt = Some(AttemptRow {
            started_at,
            duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
            timing: Some(timing),
            request_headers: pairs_json(&request_headers),
            response_headers,
            response_body,
            error_code: failure.as_ref().map(|(code, _)| *code),
            error_message: failure.map(|(_, message)| message.chars().take(MESSAGE_CHARS_MAX).collect()),
        });
        // What tells of failures must not cause more of them to be told.
        let counts = due.kind.counts_for_health() && !due.event.event_type.is_reserved();
        let health = counts.then_some(next == Next::Succeeded);
        let gone = next == Next::Abandoned { gone: true };
        self.write(record, health, gone, None, trace, Then::Settle(part))
            .await;
    }

    /// Tell of an attempt as a span, where its trace is recorded; what follows it is part of that.
    fn trace(
        &self,
        due: &Due,
        outcome: &AttemptOutcome,
        status: DeliveryStatus,
        started_at: Timestamp,
        duration: Duration,
        timing: Timing,
    ) -> Option<TraceContext> {
        let parent = due.trace?;
        let began = Moment::new(started_at, rand::random());
        let mut span = self.tracer.child(parent, "attempt", SpanKind::Client, began)?;
        span.note("plumbline.event.id", due.event.id.to_string());
        span.note("plumbline.event.type", due.event.event_type.to_string());
        span.note("plumbline.tenant.id", due.event.tenant.0);
        span.note("plumbline.endpoint.id", due.target.endpoint.id.0);
        span.note("plumbline.delivery.id", due.delivery.to_string());
        span.note("plumbline.delivery.status", status.as_str());
        span.note("plumbline.attempt", due.number);
        span.note("http.request.method", "POST");
        if let Some(status) = outcome.status() {
            span.note("http.response.status_code", status.0);
        }
        let answer = outcome.status().filter(|status| !status.is_success());
        let failure = match outcome.failure() {
            Some((code, _)) => Some(code.as_str().to_owned()),
            None => answer.map(|status| status.to_string()),
        };
        if let Some(failure) = failure {
            span.note("error.type", failure.clone());
            span.fail(failure);
        }
        let parts = [
            "plumbline.lookup_ms",
            "plumbline.connect_ms",
            "plumbline.handshake_ms",
            "plumbline.wait_ms",
            "plumbline.read_ms",
        ];
        for (key, part) in parts.into_iter().zip(timing.parts()) {
            if let Some(part) = part {
                span.note(key, part.as_secs_f64() * 1_000.0);
            }
        }
        let context = span.context();
        span.finish(started_at + duration);
        Some(context)
    }

    /// End it without another attempt.
    pub async fn end(&self, due: &Due, code: FailureCode, part: Part) {
        let mut record = self.row(due, DeliveryStatus::Failed, None);
        record.error = Some(code);
        self.write(record, None, false, None, due.trace, Then::Settle(part))
            .await;
    }

    /// Put it off without using up an attempt.
    async fn defer(&self, due: &Due, wait: Duration, part: Part) {
        // Spread, so that what was put off together does not come back together.
        let wait = wait.mul_f64(1.0 + rand::random::<f64>() * 0.5);
        let record = self.row(due, DeliveryStatus::Pending, Some(Timestamp::now() + wait));
        self.write(record, None, false, None, due.trace, Then::Settle(part))
            .await;
    }

    /// Let it wait for its slot, or for its turn to ask for one, without using up an attempt.
    async fn wait_for_turn(&self, due: &Due, turn: Timestamp, part: Part) {
        self.metrics.rate_limited.inc();
        let record = self.row(due, DeliveryStatus::Pending, Some(turn));
        self.write(record, None, false, due.held, due.trace, Then::Settle(part))
            .await;
    }

    fn row(&self, due: &Due, status: DeliveryStatus, next_attempt_at: Option<Timestamp>) -> RecordedAttempt {
        RecordedAttempt {
            delivery: due.delivery,
            tenant: due.event.tenant,
            event: due.event.id,
            event_type: due.event.event_type.clone(),
            endpoint: due.target.endpoint.id,
            kind: due.kind,
            replay_of: due.replay_of,
            number: due.number,
            status,
            next_attempt_at,
            response_status: None,
            error: None,
            created_at: due.created_at,
            attempt: None,
        }
    }

    async fn write(
        &self,
        record: RecordedAttempt,
        health: Option<bool>,
        gone: bool,
        held: Option<Held>,
        trace: Option<TraceContext>,
        then: Then,
    ) {
        let span = trace.and_then(|trace| self.record_span(trace));
        self.recorder
            .write(Entry::Outcome(Box::new(Outcome {
                record,
                health,
                gone,
                held,
                span,
                then,
            })))
            .await;
    }

    fn record_span(&self, trace: TraceContext) -> Option<Span> {
        self.tracer
            .child(trace, "record", SpanKind::Internal, crate::now())
    }

    async fn permit(&self, share: Share) -> Result<SemaphorePermit<'_>, tokio::sync::AcquireError> {
        match share {
            Share::Fresh => self.fresh.acquire().await,
            Share::Retries => self.retries.acquire().await,
        }
    }

    /// Take a place at the endpoint's gate.
    ///
    /// # Errors
    /// How long to put the delivery off, when no place is to be had soon.
    async fn enter(&self, endpoint: EndpointId) -> Result<(), Duration> {
        let queued = {
            let mut gates = self.gates.lock();
            if gates.len() > GATES_MAX {
                gates.retain(|_, turnstile| !turnstile.gate.is_idle());
            }
            let turnstile = gates.entry(endpoint).or_default();
            match turnstile.gate.enter() {
                gate::Entry::Admitted => return Ok(()),
                gate::Entry::Deferred(wait) => return Err(wait),
                gate::Entry::Queued => {
                    let (admit, admitted) = oneshot::channel();
                    turnstile.queue.push_back(admit);
                    admitted
                }
            }
        };
        tokio::pin!(queued);
        if tokio::time::timeout(gate::WAIT_MAX, &mut queued).await.is_ok() {
            return Ok(());
        }
        let mut gates = self.gates.lock();
        // Under the lock nobody admits: either the place has come after all, or it never will.
        queued.close();
        if queued.try_recv().is_ok() {
            return Ok(());
        }
        Err(gates.entry(endpoint).or_default().gate.give_up())
    }
}

/// Why a request may not leave now.
enum NoPass {
    /// Its slot opens, or its turn to ask comes, at this time.
    Until(Timestamp),
    /// A fault of ours.
    BrokenOff,
}

/// The request, signed now; `None` when the endpoint has no keys that we can open.
fn request(due: &Due, body: &Bytes) -> Option<AttemptRequest> {
    let endpoint = &due.target.endpoint;
    let signer = due.target.signer.as_ref()?;
    let now = Timestamp::now();
    Some(AttemptRequest {
        url: endpoint.url.clone(),
        user_agent: endpoint.profile.user_agent(),
        headers: endpoint
            .profile
            .headers(&due.event, due.delivery, signer, body, now),
        custom: due.target.headers.clone(),
        body: body.clone(),
        not_after: None,
    })
}

/// An endpoint's gate and who waits before it.
#[derive(Default)]
struct Turnstile {
    gate: Gate,
    queue: VecDeque<oneshot::Sender<()>>,
}

impl Turnstile {
    /// Give a place back, and let in who waits for it.
    fn leave(&mut self, passage: Passage, taken: Duration) {
        let mut places = self.gate.leave(passage, taken);
        while places > 0 {
            let Some(waiting) = self.queue.pop_front() else {
                return;
            };
            // Who has given up waiting has told the gate so: that place in the queue is void.
            if waiting.send(()).is_ok() {
                places -= 1;
            }
        }
    }
}

/// One wide line for each attempt; a success is worth one only to who is looking.
fn log(due: &Due, outcome: &AttemptOutcome, status: DeliveryStatus, duration: Duration) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                delivery.id = %due.delivery,
                event.id = %due.event.id,
                event.type = %due.event.event_type,
                tenant.id = %due.event.tenant,
                endpoint.id = %due.target.endpoint.id,
                attempt = due.number,
                status = outcome.status().map(|status| status.0),
                error = outcome.failure().map(|(code, _)| code.as_str()),
                duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                delivery = status.as_str(),
                "attempt"
            )
        };
    }
    if status == DeliveryStatus::Succeeded {
        line!(debug)
    } else {
        line!(info)
    }
}

/// A place in an endpoint's gate; given back when dropped, whatever happens.
struct InGate<'a> {
    attempts: &'a Attempts,
    endpoint: EndpointId,
    passage: Passage,
    entered: Instant,
}

impl InGate<'_> {
    fn leave(mut self, outcome: &AttemptOutcome) {
        self.passage = match outcome {
            AttemptOutcome::Answered(_) => Passage::Answered,
            AttemptOutcome::Unreachable(unreachable) if unreachable.code == FailureCode::Timeout => {
                Passage::TimedOut
            }
            AttemptOutcome::Unreachable(_) | AttemptOutcome::Forbidden(_) => Passage::FailedFast,
        };
    }
}

impl Drop for InGate<'_> {
    fn drop(&mut self) {
        if let Some(turnstile) = self.attempts.gates.lock().get_mut(&self.endpoint) {
            turnstile.leave(self.passage, self.entered.elapsed());
        }
    }
}

/// Name and value pairs as the delivery log keeps them: `[["Name","value"],…]`.
fn pairs_json(pairs: &[(String, String)]) -> String {
    use plumbline_domain::json::push_string;
    let mut out = String::with_capacity(
        2 + pairs
            .iter()
            .map(|(name, value)| name.len() + value.len() + 8)
            .sum::<usize>(),
    );
    out.push('[');
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('[');
        push_string(&mut out, name);
        out.push(',');
        push_string(&mut out, value);
        out.push(']');
    }
    out.push(']');
    out
}
