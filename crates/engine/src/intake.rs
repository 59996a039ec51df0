//! Group commit: concurrent publications share a transaction, and a lone one waits for nobody.
//!
//! While one batch commits, the next gathers; then one statement inserts the events with their outbox rows, and
//! every waiter gets its answer. A second commit beside the first starts only where it makes sense: among few events,
//! where nobody gains by waiting for company, or among so many that the next batch is large anyway. Publication to the
//! broker follows the commit, off the request's path: an accepted
//! event never depends on the broker.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_broker::wire::EventMessage;
use plumbline_broker::{PublishError, Publisher};
use plumbline_domain::lane::{FairShare, Lane, Pace};
use plumbline_domain::trace::{Span, SpanKind};
use plumbline_domain::{Event, EventId, TenantId, Timestamp, Tracer};
use plumbline_store::events::{KeyedPublish, NewEvent};
use plumbline_store::idempotency::{self, Claim};
use plumbline_store::{Store, StoreError, events, outbox};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::events::{KeyedAnswer, Published};
use crate::{Error, StoredResponse, trace};

/// Events in one commit at most.
const BATCH_EVENTS_MAX: usize = 512;
/// Payload bytes in one commit at most; a single request may exceed it alone.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// With no more events than this on their way to the disk, the next ones follow at once: there is no crowd to share a
/// commit with.
const FEW_EVENTS: usize = 4;
/// So many events are a batch worth a commit of its own, whatever else is on its way.
const MANY_EVENTS: usize = 128;
/// A request with so many events is committed by itself, one at a time, beside the others: who publishes one event does
/// not wait for somebody's thousand.
const LARGE_EVENTS: usize = 100;
/// Large requests together are never held back below so many events per second, however long the others wait.
const LARGE_RATE_MIN: u32 = 2_000;
/// Requests that have been taken from the queue and wait for a commit at most.
const GATHERED_MAX: usize = 1_024;
/// Requests that wait for a commit at most; more wait at the door, which slows their clients down.
const QUEUE_MAX: usize = 4_096;
/// How often a batch is tried again when the database chose it as a deadlock's victim.
const TRIES_MAX: u32 = 3;
/// Payload bytes, and something for each event, that wait for the broker at most; the rest is left to the relay.
const PUBLISHING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an event counts for beside its payload, in bytes.
const EVENT_BYTES: usize = 512;
/// Tenants whose fair share is remembered before full buckets are forgotten.
const SHARES_MAX: usize = 10_000;

/// What the intake has done since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct IntakeFigures {
    /// Events committed.
    pub accepted_total: u64,
    /// Commits.
    pub batches_total: u64,
    /// Events whose publication failed or was left to the relay.
    pub unsent_total: u64,
    /// Time spent in commits, in seconds.
    pub commit_seconds_sum: f64,
    /// Requests that wait for a commit now.
    pub waiting: usize,
    /// Requests that may; beyond, they wait at the door.
    pub waiting_max: usize,
    /// Payload bytes, and something for each event, that wait for the broker now.
    pub publishing_bytes: usize,
    /// How many may; beyond, events are left to the relay.
    pub publishing_bytes_max: usize,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    batches: AtomicU64,
    unsent: AtomicU64,
    commit_micros: AtomicU64,
    publishing_bytes: AtomicUsize,
    /// Requests that were taken from the queue and wait for a commit.
    gathered: AtomicUsize,
}

/// The door through which every event comes in. Cloning is cheap.
#[derive(Clone)]
pub struct Intake {
    requests: mpsc::Sender<Request>,
    committer: Arc<Committer>,
}

/// How events that somebody else's transaction accepts will travel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passage {
    /// The queue that carries them.
    pub(crate) lane: Lane,
    /// Whether they are published right after the commit; else the relay will.
    pub(crate) sent: bool,
}

struct Request {
    tenant: TenantId,
    events: Vec<Event>,
    keyed: Option<Keyed>,
    arrived: Instant,
    /// Its wait and its commit, where its trace is recorded.
    span: Option<Span>,
    answer: oneshot::Sender<Result<Published, Error>>,
}

struct Keyed {
    key: String,
    request_hash: [u8; 32],
    response: StoredResponse,
}

impl Request {
    fn bytes(&self) -> usize {
        self.events.iter().map(Event::payload_bytes).sum()
    }

    fn idempotency(&self) -> Option<(TenantId, String)> {
        self.keyed.as_ref().map(|keyed| (self.tenant, keyed.key.clone()))
    }
}

impl Intake {
    /// Start with this many commits in flight at once at most.
    pub(crate) fn spawn(store: Store, publisher: Publisher, commits_max: usize, tracer: Tracer) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE_MAX);
        let tasks = TaskTracker::new();
        let committer = Arc::new(Committer {
            store,
            publisher,
            tracer,
            counters: Arc::new(Counters::default()),
            tasks: tasks.clone(),
            shares: Mutex::new(HashMap::new()),
            pace: Mutex::new(Pace::new(LARGE_RATE_MIN, Instant::now())),
        });
        tasks.spawn(gather(committer.clone(), inbox, commits_max.max(1)));
        Self { requests, committer }
    }

    /// How this many events of a tenant, which a transaction of its own accepts, will travel.
    pub(crate) fn passage(&self, tenant: TenantId, events: usize) -> Passage {
        Passage {
            lane: self.committer.lanes(&[(tenant, events)])[0],
            sent: self.committer.publishes_at_once(),
        }
    }

    /// Publish events that a transaction of its own has committed, with their tenant's version of its endpoints.
    pub(crate) fn committed(&self, events: Vec<Event>, passage: Passage) {
        self.committer
            .counters
            .accepted
            .fetch_add(events.len() as u64, Ordering::Relaxed);
        let span = trace::current().and_then(|request| {
            self.committer
                .tracer
                .child(request, "publish", SpanKind::Producer, trace::now())
        });
        let mut handover = Handover::default();
        handover.add(events, passage.lane, span);
        self.committer.hand_over(handover, passage.sent);
    }

    /// Commit events of one tenant, all or none, and hand them to the dispatchers.
    pub(crate) async fn accept(
        &self,
        tenant: TenantId,
        events: Vec<Event>,
        keyed: Option<KeyedAnswer>,
    ) -> Result<Published, Error> {
        let keyed = keyed.map(|KeyedAnswer { idempotency, render }| {
            let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
            Keyed {
                key: idempotency.key,
                request_hash: idempotency.request_hash,
                response: render(&ids),
            }
        });
        let span = trace::current().and_then(|request| {
            self.committer
                .tracer
                .child(request, "commit", SpanKind::Internal, trace::now())
        });
        let (answer, answered) = oneshot::channel();
        let request = Request {
            tenant,
            events,
            keyed,
            arrived: Instant::now(),
            span,
            answer,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| Error::Internal("the intake has stopped"))?;
        answered
            .await
            .map_err(|_| Error::Internal("the intake dropped a request"))?
    }

    /// What it has done so far.
    pub fn figures(&self) -> IntakeFigures {
        let counters = &self.committer.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IntakeFigures {
            accepted_total: read(&counters.accepted),
            batches_total: read(&counters.batches),
            unsent_total: read(&counters.unsent),
            commit_seconds_sum: Duration::from_micros(read(&counters.commit_micros)).as_secs_f64(),
            waiting: QUEUE_MAX - self.requests.capacity() + counters.gathered.load(Ordering::Relaxed),
            waiting_max: QUEUE_MAX + GATHERED_MAX,
            publishing_bytes: counters.publishing_bytes.load(Ordering::Relaxed),
            publishing_bytes_max: PUBLISHING_BYTES_MAX,
        }
    }

    /// Wait until what was committed has been published or left to the relay. Call when no request is running.
    pub async fn settled(&self) {
        while self.committer.counters.publishing_bytes.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Gather what arrives and commit it; while commits are in flight, the next batch gathers by itself.
async fn gather(committer: Arc<Committer>, mut inbox: mpsc::Receiver<Request>, commits_max: usize) {
    let (mut gathered, mut large) = (Gathered::default(), VecDeque::new());
    let mut open = true;
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (mut commits, mut events_in_flight, mut large_in_flight) = (0, 0, false);
    let commit = |batch: Vec<Request>, end: Ended| {
        let (committer, ended) = (committer.clone(), ended.clone());
        committer.tasks.clone().spawn(async move {
            if let Ended::Large = end {
                committer.take_turn(&batch).await;
            }
            committer.commit(batch).await;
            // Refused only when the intake has stopped.
            let _ = ended.send(end);
        });
    };
    while open || !gathered.requests.is_empty() || !large.is_empty() {
        let waiting = gathered.requests.len() + large.len();
        committer.counters.gathered.store(waiting, Ordering::Relaxed);
        let mut arrived = tokio::select! {
            Some(end) = ends.recv() => {
                match end {
                    Ended::Shared { events } => {
                        commits -= 1;
                        events_in_flight -= events;
                    }
                    Ended::Large => large_in_flight = false,
                }
                None
            }
            request = inbox.recv(), if open && waiting < GATHERED_MAX => {
                open = request.is_some();
                request
            }
        };
        while let Some(request) = arrived {
            if request.events.len() < LARGE_EVENTS {
                gathered.add(request);
            } else {
                large.push_back(request);
            }
            let has_room = gathered.requests.len() + large.len() < GATHERED_MAX;
            arrived = has_room.then(|| inbox.try_recv().ok()).flatten();
        }
        while is_time(commits, commits_max, events_in_flight, gathered.events) {
            let batch = gathered.fill();
            let events = count(&batch);
            commits += 1;
            events_in_flight += events;
            commit(batch, Ended::Shared { events });
        }
        if !large_in_flight && let Some(request) = large.pop_front() {
            large_in_flight = true;
            commit(vec![request], Ended::Large);
        }
    }
}

/// Which commit has ended.
enum Ended {
    /// One that requests shared.
    Shared { events: usize },
    /// That of a large request.
    Large,
}

/// Whether what has gathered is committed now.
fn is_time(commits: usize, commits_max: usize, events_in_flight: usize, waiting: usize) -> bool {
    waiting > 0
        && (commits == 0
            || commits < commits_max && (events_in_flight <= FEW_EVENTS || waiting >= MANY_EVENTS))
}

fn count(requests: &[Request]) -> usize {
    requests.iter().map(|request| request.events.len()).sum()
}

/// What waits for a commit, in the order in which it came.
#[derive(Default)]
struct Gathered {
    requests: VecDeque<Request>,
    events: usize,
}

impl Gathered {
    fn add(&mut self, request: Request) {
        self.events += request.events.len();
        self.requests.push_back(request);
    }

    /// The next batch, within the bounds: at least one request. One idempotency key appears once in a batch: a second
    /// request with it waits, so that it finds the first one's answer.
    fn fill(&mut self) -> Vec<Request> {
        let (mut events, mut bytes) = (0, 0);
        let mut keys: HashSet<(TenantId, String)> = HashSet::new();
        let (mut batch, mut later) = (vec![], VecDeque::new());
        while events < BATCH_EVENTS_MAX
            && bytes < BATCH_BYTES_MAX
            && let Some(request) = self.requests.pop_front()
        {
            if !batch.is_empty() && events + request.events.len() > BATCH_EVENTS_MAX {
                later.push_back(request);
                break;
            }
            if request.idempotency().is_some_and(|key| !keys.insert(key)) {
                later.push_back(request);
                continue;
            }
            events += request.events.len();
            bytes += request.bytes();
            batch.push(request);
        }
        // What was passed over came before what was not looked at.
        later.append(&mut self.requests);
        self.requests = later;
        self.events -= events;
        batch
    }
}

struct Committer {
    store: Store,
    publisher: Publisher,
    tracer: Tracer,
    counters: Arc<Counters>,
    tasks: TaskTracker,
    /// Each busy tenant's share of the fast lane.
    shares: Mutex<HashMap<TenantId, FairShare>>,
    /// The pace of large requests beside the others.
    pace: Mutex<Pace>,
}

impl Committer {
    /// Wait until it is a large request's turn.
    async fn take_turn(&self, batch: &[Request]) {
        let wait = {
            let (now, mut pace) = (Instant::now(), self.pace.lock());
            for request in batch {
                pace.burst_of(request.tenant, now);
            }
            pace.wait(count(batch), now)
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Note how long requests took that shared a commit.
    fn note_delays(&self, requests: &[Request]) {
        let (now, mut pace) = (Instant::now(), self.pace.lock());
        for request in requests
            .iter()
            .filter(|request| request.events.len() < LARGE_EVENTS)
        {
            pace.took(
                request.tenant,
                now.duration_since(request.arrived).as_secs_f64(),
                now,
            );
        }
    }

    /// Commit a batch, answer its requests and publish its events.
    async fn commit(&self, requests: Vec<Request>) {
        let started = Instant::now();
        let sent = self.publishes_at_once();
        let sizes: Vec<_> = requests
            .iter()
            .map(|request| (request.tenant, request.events.len()))
            .collect();
        let lanes = self.lanes(&sizes);
        let (mut new, mut keyed) = (vec![], vec![]);
        for (request, lane) in requests.iter().zip(&lanes) {
            let first = new.len();
            new.extend(request.events.iter().map(|event| NewEvent {
                event: event.clone(),
                lane: *lane,
                sent,
            }));
            if let Some(Keyed {
                key,
                request_hash,
                response,
            }) = &request.keyed
            {
                keyed.push(KeyedPublish {
                    tenant: request.tenant,
                    key: key.clone(),
                    request_hash: *request_hash,
                    status: response.status,
                    body: response.body.clone(),
                    event_indexes: (first..new.len()).collect(),
                });
            }
        }
        let inserted = match self.insert(&new, &keyed).await {
            Ok(inserted) => inserted,
            Err(error) => return refuse(requests, error),
        };
        let commit_time = started.elapsed();
        let micros = u64::try_from(commit_time.as_micros()).unwrap_or(u64::MAX);
        self.counters.commit_micros.fetch_add(micros, Ordering::Relaxed);
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        self.note_delays(&requests);

        let mut handover = Handover::default();
        handover.messages.reserve(new.len());
        let mut keys = 0..;
        for (request, lane) in requests.into_iter().zip(lanes) {
            let Request {
                tenant,
                events,
                keyed,
                span,
                answer,
                ..
            } = request;
            if let Some(keyed) = keyed
                && keys
                    .next()
                    .is_some_and(|index| inserted.not_taken.contains(&index))
            {
                let _ = answer.send(self.answer_before(tenant, &keyed).await);
                continue;
            }
            let Some(version) = inserted.versions.get(&tenant).copied() else {
                let _ = answer.send(Err(Error::NotFound("tenant")));
                continue;
            };
            let publish = span.map(|mut span| {
                span.note("plumbline.tenant.id", tenant.0);
                span.note("plumbline.commit.events", new.len());
                span.note("plumbline.commit.ms", commit_time.as_secs_f64() * 1_000.0);
                let publish = span.sibling("publish", SpanKind::Producer, trace::now());
                span.finish(Timestamp::now());
                publish
            });
            self.counters
                .accepted
                .fetch_add(events.len() as u64, Ordering::Relaxed);
            // The client may be gone; what is committed is delivered all the same.
            let _ = answer.send(Ok(Published::Accepted(
                events.iter().map(|event| event.id).collect(),
            )));
            let events = events.into_iter().map(|event| Event {
                endpoints_version: version,
                ..event
            });
            handover.add(events, lane, publish);
        }
        self.hand_over(handover, sent);
    }

    /// Whether what commits now can be published right after; else it is left to the relay.
    fn publishes_at_once(&self) -> bool {
        self.publisher.is_ready()
            && self.counters.publishing_bytes.load(Ordering::Acquire) < PUBLISHING_BYTES_MAX
    }

    /// Publish what was committed as sent, or count what is left to the relay.
    fn hand_over(&self, handover: Handover, sent: bool) {
        if sent {
            self.publish(handover);
        } else {
            self.counters
                .unsent
                .fetch_add(handover.messages.len() as u64, Ordering::Relaxed);
            handover
                .publications
                .into_iter()
                .for_each(|publication| publication.finish(&[]));
        }
    }

    async fn insert(
        &self,
        new: &[NewEvent],
        keyed: &[KeyedPublish],
    ) -> Result<events::InsertedBatch, StoreError> {
        let mut tries = 1;
        loop {
            let result = async { events::insert_batch(&self.store.session().await?, new, keyed).await }.await;
            match result {
                Err(StoreError::Retry(_)) if tries < TRIES_MAX => tries += 1,
                result => return result,
            }
        }
    }

    /// The answer of the request that used the key before.
    async fn answer_before(&self, tenant: TenantId, keyed: &Keyed) -> Result<Published, Error> {
        let session = self.store.session().await?;
        match idempotency::read(&session, tenant, &keyed.key, &keyed.request_hash).await? {
            Claim::Done(response) => Ok(Published::Replay(response)),
            Claim::Mismatch => Err(Error::IdempotencyKeyReused),
            Claim::Fresh => Err(Error::Internal("an idempotency key expired while it was read")),
        }
    }

    /// So many events of a tenant, beyond its fair rate, travel in the bulk lane, as a whole.
    fn lanes(&self, sizes: &[(TenantId, usize)]) -> Vec<Lane> {
        let now = Timestamp::now();
        let mut shares = self.shares.lock();
        if shares.len() > SHARES_MAX {
            shares.retain(|_, share| !share.is_full(now));
        }
        let lane_of = |&(tenant, events): &(TenantId, usize)| {
            let share = shares.entry(tenant).or_insert_with(|| FairShare::new(now));
            // The last event decides: a batch stays together.
            (0..events).map(|_| share.lane(now)).last().unwrap_or(Lane::Fast)
        };
        sizes.iter().map(lane_of).collect()
    }

    /// Publish off the request's path. What fails is marked, so that the relay need not wait for a quiet queue.
    fn publish(&self, handover: Handover) {
        let Handover {
            messages,
            publications,
        } = handover;
        let bytes = messages
            .iter()
            .map(|message| EVENT_BYTES + message.event.payload_bytes())
            .sum();
        self.counters.publishing_bytes.fetch_add(bytes, Ordering::AcqRel);
        let (store, publisher, counters) =
            (self.store.clone(), self.publisher.clone(), self.counters.clone());
        self.tasks.spawn(async move {
            let ids: Vec<EventId> = messages.iter().map(|message| message.event.id).collect();
            let results = publisher.publish_events(messages).await;
            publications
                .into_iter()
                .for_each(|publication| publication.finish(&results));
            let failed: Vec<(EventId, i32)> = ids
                .into_iter()
                .zip(&results)
                .filter(|(_, result)| result.is_err())
                .map(|(id, _)| (id, 0))
                .collect();
            if !failed.is_empty() {
                counters.unsent.fetch_add(failed.len() as u64, Ordering::Relaxed);
                tracing::warn!(
                    events = failed.len(),
                    "events were not published; the relay will publish them"
                );
                if let Err(error) = mark_unsent(&store, &failed).await {
                    // They stay 'sent': the relay publishes them when the queues are quiet.
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "events could not be marked as not published"
                    );
                }
            }
            counters.publishing_bytes.fetch_sub(bytes, Ordering::AcqRel);
        });
    }
}

/// What has been committed and is to be published.
#[derive(Default)]
struct Handover {
    messages: Vec<EventMessage>,
    /// Of the requests whose traces are recorded.
    publications: Vec<Publication>,
}

/// The publication of one request's events, as a span.
struct Publication {
    span: Span,
    messages: std::ops::Range<usize>,
}

impl Handover {
    /// Add a request's events, which carry this span with them.
    fn add(&mut self, events: impl IntoIterator<Item = Event>, lane: Lane, span: Option<Span>) {
        let first = self.messages.len();
        let trace = span.as_ref().map(Span::context);
        self.messages.extend(events.into_iter().map(|event| EventMessage {
            trace,
            ..EventMessage::new(event, lane)
        }));
        if let Some(mut span) = span {
            let events = &self.messages[first..];
            span.note("messaging.system", "rabbitmq");
            span.note("messaging.operation.type", "send");
            span.note("messaging.batch.message_count", events.len());
            if let [only] = events {
                span.note("plumbline.event.id", only.event.id.to_string());
                span.note("plumbline.event.type", only.event.event_type.to_string());
            }
            self.publications.push(Publication {
                span,
                messages: first..self.messages.len(),
            });
        }
    }
}

impl Publication {
    /// It is over, with these results; without any, it is left to the relay.
    fn finish(mut self, results: &[Result<(), PublishError>]) {
        match results.get(self.messages) {
            Some(results) if results.iter().all(Result::is_ok) => {}
            Some(_) => self.span.fail("not confirmed"),
            None => self.span.fail("left to the relay"),
        }
        self.span.finish(Timestamp::now());
    }
}

async fn mark_unsent(store: &Store, failed: &[(EventId, i32)]) -> Result<(), StoreError> {
    outbox::mark_unsent(&store.session().await?, failed).await
}

/// Tell every request of a batch that failed. A store error cannot be cloned: each gets its kind.
fn refuse(requests: Vec<Request>, error: StoreError) {
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        requests = requests.len(),
        "a batch of events could not be committed"
    );
    let transient = error.is_transient();
    let mut original = Some(error);
    for request in requests {
        let error = match (original.take(), transient) {
            (Some(error), _) => Error::from(error),
            (None, true) => Error::Unavailable(StoreError::unavailable("the batch could not be committed")),
            (None, false) => Error::Internal("the batch could not be committed"),
        };
        let _ = request.answer.send(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::JsonText;

    fn request(tenant: i64, events: usize, bytes: usize, key: Option<&str>) -> Request {
        let event = Event {
            id: EventId::new(Timestamp::UNIX_EPOCH, [0; 10]),
            tenant: TenantId(tenant),
            event_type: "bid.created".parse().unwrap(),
            data: JsonText::from_valid("x".repeat(bytes)),
            previous_attributes: None,
            occurred_at: Timestamp::UNIX_EPOCH,
            endpoints_version: 0,
        };
        let response = StoredResponse {
            status: 202,
            body: String::new(),
        };
        Request {
            tenant: TenantId(tenant),
            events: vec![event; events],
            keyed: key.map(|key| Keyed {
                key: key.to_owned(),
                request_hash: [0; 32],
                response,
            }),
            arrived: Instant::now(),
            span: None,
            answer: oneshot::channel().0,
        }
    }

    /// Fill a batch; what is in it and what is left, as event counts.
    fn filled(requests: Vec<Request>) -> (Vec<usize>, Vec<usize>) {
        let mut gathered = Gathered::default();
        requests.into_iter().for_each(|request| gathered.add(request));
        let batch = gathered.fill();
        let sizes = |requests: &mut dyn Iterator<Item = &Request>| -> Vec<usize> {
            requests.map(|request| request.events.len()).collect()
        };
        let left = sizes(&mut gathered.requests.iter());
        assert_eq!(gathered.events, left.iter().sum::<usize>());
        (sizes(&mut batch.iter()), left)
    }

    #[test]
    fn a_commit_starts_where_waiting_gains_nothing() {
        for (commits, in_flight, waiting, starts) in [
            (0, 0, 0, false),
            (0, 0, 1, true),
            (1, 1, 1, true),
            (1, FEW_EVENTS, 1, true),
            (1, FEW_EVENTS + 1, 1, false),
            (1, 20, MANY_EVENTS - 1, false),
            (1, 20, MANY_EVENTS, true),
            (2, 2, MANY_EVENTS, false),
        ] {
            assert_eq!(
                is_time(commits, 2, in_flight, waiting),
                starts,
                "{commits} {in_flight} {waiting}"
            );
        }
    }

    #[test]
    fn a_batch_takes_what_is_waiting_within_its_bounds() {
        assert_eq!(filled(vec![request(1, 1, 10, None)]), (vec![1], vec![]));
        let many = vec![
            request(1, 300, 10, None),
            request(1, 200, 10, None),
            request(1, 13, 10, None),
        ];
        assert_eq!(
            filled(many),
            (vec![300, 200], vec![13]),
            "never more events than the bound"
        );
        let large = vec![request(1, 1, BATCH_BYTES_MAX, None), request(1, 1, 10, None)];
        assert_eq!(filled(large), (vec![1], vec![1]), "a large one goes alone");
        assert_eq!(
            filled(vec![request(1, 1_000, 10, None)]),
            (vec![1_000], vec![]),
            "one request is never split"
        );
    }

    #[test]
    fn a_repeated_idempotency_key_waits_for_the_next_batch() {
        let same = vec![
            request(1, 1, 1, Some("k")),
            request(1, 2, 1, Some("k")),
            request(1, 3, 1, Some("l")),
        ];
        assert_eq!(filled(same), (vec![1, 3], vec![2]));
        let tenants = vec![request(1, 1, 1, Some("k")), request(2, 2, 1, Some("k"))];
        assert_eq!(filled(tenants), (vec![1, 2], vec![]), "keys are per tenant");
    }
}
