//! Publishing, confirmed: `Ok` means that the broker has the message on disk in a queue.
//!
//! Nothing is tried again here: whoever publishes knows whether it still matters. Callers may share one
//! publisher; their messages share a connection and its window of outstanding confirms.

mod reply;
mod task;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::types::{AMQPValue, FieldTable};
use plumbline_domain::delay::{Wait, wait_for, wait_precisely};
use plumbline_domain::{Timestamp, TraceContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::topology::{self, DEAD, Topology, WORK};
use crate::wire::Bundle;
use crate::{BrokerConfig, BrokerState, EventMessage, Incoming, RetryMessage, WorkQueue, dead, state};

use reply::{Reply, Results};
use task::PublisherTask;

/// How many kibibytes may wait for their confirms, each message counting for at least one: callers wait when
/// this is used up.
const OUTSTANDING_KIB_MAX: u32 = 64 * 1024;
/// The header that names a message's trace, as W3C Trace Context for AMQP has it.
const TRACEPARENT: &str = "traceparent";

/// Why a message is not known to be in a queue. It may be there all the same: only `Ok` says something certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, or it was lost before the confirm.
    #[error("no connection to the broker")]
    Disconnected,
    /// The broker accepts no messages at present, and the time limit passed.
    #[error("the broker accepts no messages")]
    Blocked,
    /// The time limit passed before the confirm.
    #[error("no confirm in time")]
    TimedOut,
    /// No queue wanted it: something was deleted in the broker. It is being declared again.
    #[error("the message matched no queue")]
    Unroutable,
    /// The broker refused it, as it does when a queue is full.
    #[error("the broker refused the message")]
    Nacked,
    /// The publisher is being shut down.
    #[error("the publisher is shutting down")]
    ShuttingDown,
}

/// Publishes through one supervised connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Publisher {
    input: mpsc::UnboundedSender<Input>,
    room: Arc<Semaphore>,
    state: watch::Receiver<BrokerState>,
    topology: Arc<Topology>,
    publish_timeout: Duration,
    shutdown: CancellationToken,
    task: TaskTracker,
}

/// What a publisher hands to its task. Bounded by the semaphore, not by the channel.
#[derive(Debug)]
enum Input {
    One(Job),
    Many(Vec<Job>),
}

/// One message on its way.
#[derive(Debug)]
struct Job {
    message: Message,
    deadline: Instant,
    reply: Reply,
    room: OwnedSemaphorePermit,
}

/// What is published.
#[derive(Debug)]
struct Message {
    route: Route,
    id: String,
    body: Vec<u8>,
    headers: Option<FieldTable>,
}

/// Where to.
#[derive(Debug, Clone, Copy)]
enum Route {
    Work(WorkQueue),
    /// To the retries queue, after so many milliseconds.
    Retries {
        after_ms: u64,
    },
    Dead,
}

impl Publisher {
    /// Start the task that connects, declares and publishes, until `shutdown`: then it takes nothing new, waits
    /// for the confirms of what it has, and closes.
    pub fn spawn(config: BrokerConfig, shutdown: CancellationToken) -> Self {
        let (input, jobs) = mpsc::unbounded_channel();
        let (state_sender, state) = state::starting();
        let task = TaskTracker::new();
        let publisher = Self {
            input,
            room: Arc::new(Semaphore::new(OUTSTANDING_KIB_MAX as usize)),
            state,
            topology: Arc::new(config.topology.clone()),
            publish_timeout: config.publish_timeout,
            shutdown: shutdown.clone(),
            task: task.clone(),
        };
        task.spawn(PublisherTask::new(config, jobs, state_sender, shutdown).run());
        task.close();
        publisher
    }

    /// Publish an accepted event for fan-out, in its lane.
    pub async fn publish_event(&self, message: &EventMessage) -> Result<(), PublishError> {
        self.publish(self.event(message)).await
    }

    /// Publish many events in one go, those of a lane together in as few messages as the bounds of [`crate::wire`] allow:
    /// a message costs the broker as much as writing its event down costs the database. A result for each event, in
    /// their order.
    pub async fn publish_events(&self, messages: Vec<EventMessage>) -> Vec<Result<(), PublishError>> {
        let bundles = Bundle::of(&messages);
        let counts: Vec<usize> = bundles.iter().map(|bundle| bundle.count).collect();
        let results = self
            .publish_all(bundles.into_iter().map(|bundle| self.bundle(bundle)))
            .await;
        std::iter::zip(results, counts)
            .flat_map(|(result, count)| std::iter::repeat_n(result, count))
            .collect()
    }

    /// Publish a chunk of a large fan-out.
    pub async fn publish_chunk(&self, message: &EventMessage) -> Result<(), PublishError> {
        self.publish(chunk(message)).await
    }

    /// Publish many chunks in one go; a result for each, in their order.
    pub async fn publish_chunks(&self, messages: Vec<EventMessage>) -> Vec<Result<(), PublishError>> {
        self.publish_all(messages.iter().map(chunk)).await
    }

    /// Publish a retry that is due, or will be in a moment.
    pub async fn publish_retry(&self, message: RetryMessage) -> Result<(), PublishError> {
        self.publish(retry(message, Route::Work(WorkQueue::Retries)))
            .await
    }

    /// Publish many due retries in one go; a result for each, in their order.
    pub async fn publish_retries(&self, messages: Vec<RetryMessage>) -> Vec<Result<(), PublishError>> {
        let route = Route::Work(WorkQueue::Retries);
        self.publish_all(messages.into_iter().map(|message| retry(message, route)))
            .await
    }

    /// Have a retry wait in the broker until about its `not_before`. It may come back early, to be parked again;
    /// what is due, or will be in a moment, goes straight to the retries queue. What holds a slot is late by less.
    pub async fn park(&self, message: RetryMessage, now: Timestamp) -> Result<(), PublishError> {
        self.publish(retry(message, waiting_room(&message, now))).await
    }

    /// Park many in one go; a result for each, in their order.
    pub async fn park_all(
        &self,
        messages: Vec<RetryMessage>,
        now: Timestamp,
    ) -> Vec<Result<(), PublishError>> {
        let parked = |message: RetryMessage| retry(message, waiting_room(&message, now));
        self.publish_all(messages.into_iter().map(parked)).await
    }

    /// Put what nobody can process among the dead letters, with the reason and the queue that it was in.
    pub async fn dead(&self, body: Bytes, reason: &str, source: WorkQueue) -> Result<(), PublishError> {
        let message = Message {
            route: Route::Dead,
            // Its own, so that two letters that are equal otherwise can be told apart.
            id: format!("dead_{:032x}", rand::random::<u128>()),
            body: body.into(),
            headers: Some(dead::headers(reason, source, Timestamp::now())),
        };
        self.publish(message).await
    }

    /// Put a body as it is into a work queue: for what was taken out of one and cannot be read here.
    pub(crate) async fn publish_raw(&self, queue: WorkQueue, body: Bytes) -> Result<(), PublishError> {
        let message = Message {
            route: Route::Work(queue),
            id: format!("raw_{:032x}", rand::random::<u128>()),
            body: body.into(),
            headers: None,
        };
        self.publish(message).await
    }

    /// Move a message among the dead letters: it leaves its queue once the broker has confirmed the copy. If
    /// that fails it goes back to its queue.
    pub async fn bury(&self, incoming: Incoming, reason: &str) -> Result<(), PublishError> {
        let Incoming {
            body, queue, ticket, ..
        } = incoming;
        match self.dead(body, reason, queue).await {
            Ok(()) => {
                ticket.ack();
                Ok(())
            }
            Err(error) => {
                ticket.requeue();
                Err(error)
            }
        }
    }

    /// Whether the connection is up and not blocked.
    pub fn is_ready(&self) -> bool {
        !self.input.is_closed() && self.state.borrow().is_ready()
    }

    /// The state of the connection, now and whenever it changes.
    pub fn on_state_change(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Wait until the publisher is ready; false if it is shut down instead.
    pub async fn ready(&self) -> bool {
        state::ready(self.state.clone()).await
    }

    /// Wait until the publisher has shut down, every publish resolved and the connection closed.
    pub async fn closed(&self) {
        self.task.wait().await;
    }

    fn event(&self, message: &EventMessage) -> Message {
        Message {
            route: Route::Work(self.topology.events_queue(message.lane, message.event.id)),
            id: message.message_id(),
            body: message.encode(),
            headers: traceparent(message.trace),
        }
    }

    fn bundle(&self, bundle: Bundle) -> Message {
        Message {
            route: Route::Work(self.topology.events_queue(bundle.lane, bundle.first)),
            id: bundle.message_id(),
            headers: traceparent(bundle.trace),
            body: bundle.encode(),
        }
    }

    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let deadline = Instant::now() + self.publish_timeout;
        let room = self.room(&message, deadline).await?;
        let (reply, result) = Reply::one();
        let job = Job {
            message,
            deadline,
            reply,
            room,
        };
        self.input
            .send(Input::One(job))
            .map_err(|_| PublishError::ShuttingDown)?;
        result.await
    }

    async fn publish_all(&self, messages: impl Iterator<Item = Message>) -> Vec<Result<(), PublishError>> {
        let deadline = Instant::now() + self.publish_timeout;
        let (results, outcome) = Results::new();
        let mut gathered = Vec::new();
        for message in messages {
            // A batch beyond the room there is goes in parts, so that it makes its own room.
            if !self.has_room(&message) && !gathered.is_empty() {
                self.send(&mut gathered);
            }
            let reply = results.slot();
            match self.room(&message, deadline).await {
                Ok(room) => gathered.push(Job {
                    message,
                    deadline,
                    reply,
                    room,
                }),
                Err(error) => reply.resolve(Err(error)),
            }
        }
        self.send(&mut gathered);
        drop(results);
        outcome.await
    }

    /// Jobs that the task no longer takes resolve by being dropped.
    fn send(&self, gathered: &mut Vec<Job>) {
        if !gathered.is_empty() {
            let _ = self.input.send(Input::Many(std::mem::take(gathered)));
        }
    }

    fn has_room(&self, message: &Message) -> bool {
        self.room.available_permits() >= kibibytes(message) as usize
    }

    /// Wait for room, which is the back-pressure; not at all if there is no connection.
    async fn room(&self, message: &Message, deadline: Instant) -> Result<OwnedSemaphorePermit, PublishError> {
        if self.shutdown.is_cancelled() {
            return Err(PublishError::ShuttingDown);
        }
        if self.state.borrow().is_disconnected() {
            return Err(PublishError::Disconnected);
        }
        let wanted = kibibytes(message);
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(wanted) {
            return Ok(room);
        }
        match timeout_at(deadline, Arc::clone(&self.room).acquire_many_owned(wanted)).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(PublishError::ShuttingDown),
            Err(_) if self.is_ready() => Err(PublishError::TimedOut),
            Err(_) => Err(PublishError::Blocked),
        }
    }
}

impl Route {
    fn exchange(self) -> String {
        match self {
            Self::Work(_) => WORK.into(),
            Self::Retries { after_ms } => topology::delay_name(after_ms),
            Self::Dead => DEAD.into(),
        }
    }

    fn routing_key(self) -> String {
        match self {
            Self::Work(queue) => queue.name(),
            // Kept by the delay queue, and what leads the message to the retries when its time has come.
            Self::Retries { .. } => WorkQueue::Retries.name(),
            Self::Dead => String::new(),
        }
    }
}

fn chunk(message: &EventMessage) -> Message {
    Message {
        route: Route::Work(WorkQueue::Fanout),
        id: message.message_id(),
        body: message.encode(),
        headers: traceparent(message.trace),
    }
}

fn retry(message: RetryMessage, route: Route) -> Message {
    Message {
        route,
        id: message.message_id(),
        body: message.encode(),
        headers: traceparent(message.trace),
    }
}

/// The header by which whoever looks at the broker finds a message's trace. Ours read what the body says, which has one
/// for each event of a bundle.
fn traceparent(trace: Option<TraceContext>) -> Option<FieldTable> {
    let mut headers = FieldTable::default();
    headers.insert(
        TRACEPARENT.into(),
        AMQPValue::LongString(trace?.to_string().into()),
    );
    Some(headers)
}

/// Where a retry waits until `not_before`.
fn waiting_room(message: &RetryMessage, now: Timestamp) -> Route {
    // A time that is past leaves nothing to wait.
    let remaining = Duration::try_from(message.not_before.duration_since(now)).unwrap_or_default();
    let wait = match message.slot() {
        Some(_) => wait_precisely(remaining),
        None => wait_for(remaining),
    };
    match wait {
        Wait::Park(after_ms) => Route::Retries { after_ms },
        Wait::Over | Wait::InProcess(_) => Route::Work(WorkQueue::Retries),
    }
}

fn kibibytes(message: &Message) -> u32 {
    let kibibytes = message.body.len() / 1024 + 1;
    u32::try_from(kibibytes)
        .unwrap_or(u32::MAX)
        .min(OUTSTANDING_KIB_MAX)
}
