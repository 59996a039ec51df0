//! Consuming: what arrives is handed out in batches, each message with a ticket to settle it.
//!
//! The messages of a lost connection are delivered again by the broker, and the tickets of the first delivery
//! do nothing any more: a message may be handed out twice, and must be safe to process twice.

mod mailbox;
mod settling;
mod task;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::FutureExt;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::{BrokerConfig, BrokerState, WorkQueue, state};

use mailbox::Mailbox;
use task::ConsumerTask;

/// The header in which a quorum queue counts how often it has delivered a message before.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// What to consume, and how greedily.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// The queue.
    pub queue: WorkQueue,
    /// How many messages may be unsettled: handed out, or buffered to be. Zero means no limit, so do not.
    pub prefetch: u16,
    /// How many messages a batch has at most. Zero counts as one.
    pub batch_max: usize,
}

/// Consumes one queue on its own connection.
#[derive(Debug)]
pub struct Consumer {
    inbox: Inbox,
}

/// Consumes several queues on one connection, each on its own channel.
#[derive(Debug)]
pub struct ConsumerGroup;

/// Where the messages of one queue arrive.
///
/// Dropping it stops the consumption of its queue; what it handed out can still be settled.
#[derive(Debug)]
pub struct Inbox {
    spec: ConsumerSpec,
    index: usize,
    mailbox: Arc<Mailbox>,
    feed: Option<Feed>,
    orders: mpsc::UnboundedSender<Order>,
    handle: ConsumerHandle,
}

/// Watches and ends a consumer or a group of them.
#[derive(Debug, Clone)]
pub struct ConsumerHandle {
    state: watch::Receiver<BrokerState>,
    shutdown: CancellationToken,
    close: CancellationToken,
    task: TaskTracker,
}

/// A message that was handed out.
#[derive(Debug)]
pub struct Incoming {
    /// The message.
    pub body: Bytes,
    /// Whether the broker may have handed it out before.
    pub redelivered: bool,
    /// How often it was handed out before, where the broker counts.
    pub delivery_count: Option<u64>,
    /// Where it was.
    pub queue: WorkQueue,
    /// To settle it with.
    pub ticket: Ticket,
}

/// The duty to settle one message. Dropped, it puts the message back into its queue.
#[derive(Debug)]
#[must_use = "dropping a ticket puts the message back into its queue"]
pub struct Ticket {
    session: Arc<Session>,
    tag: u64,
    orders: mpsc::UnboundedSender<Order>,
    settled: bool,
}

/// What inboxes and tickets ask of the connection's task. Their number is bounded by the prefetch.
#[derive(Debug)]
enum Order {
    Settle {
        session: Arc<Session>,
        tag: u64,
        verdict: Verdict,
    },
    /// The broker delivers no more.
    Ended(Arc<Session>),
    /// Nobody receives any more.
    Unwanted { index: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ack,
    Requeue,
}

/// One queue's consumption on one connection.
#[derive(Debug)]
struct Session {
    index: usize,
    generation: u64,
    gate: Mutex<Gate>,
}

/// Whether messages may be handed out, and how many were: delivery tags count from one.
#[derive(Debug)]
struct Gate {
    open: bool,
    lost: bool,
    handed_out: u64,
}

/// What the task gives an inbox to receive from.
#[derive(Debug)]
struct Feed {
    stream: lapin::Consumer,
    session: Arc<Session>,
}

impl Consumer {
    /// Start the task that connects and consumes until `shutdown`: then nothing more is handed out, and the
    /// connection stays until every ticket is settled, or [`Inbox::close`].
    pub fn spawn(config: BrokerConfig, spec: ConsumerSpec, shutdown: CancellationToken) -> Self {
        let mut inboxes = ConsumerGroup::spawn(config, vec![spec], shutdown);
        let inbox = inboxes.pop().expect("an inbox for each spec");
        Self { inbox }
    }

    /// See [`Inbox::recv_batch`].
    pub async fn recv_batch(&mut self) -> Option<Vec<Incoming>> {
        self.inbox.recv_batch().await
    }

    /// See [`Inbox::handle`].
    pub fn handle(&self) -> ConsumerHandle {
        self.inbox.handle()
    }

    /// The inbox itself.
    pub fn into_inbox(self) -> Inbox {
        self.inbox
    }
}

impl ConsumerGroup {
    /// Start one task for all these queues; returns an inbox for each spec, in their order.
    pub fn spawn(config: BrokerConfig, specs: Vec<ConsumerSpec>, shutdown: CancellationToken) -> Vec<Inbox> {
        let (orders, received_orders) = mpsc::unbounded_channel();
        let (state_sender, state) = state::starting();
        let handle = ConsumerHandle {
            state,
            shutdown: shutdown.clone(),
            close: CancellationToken::new(),
            task: TaskTracker::new(),
        };
        let inboxes: Vec<Inbox> = specs
            .iter()
            .enumerate()
            .map(|(index, &spec)| Inbox {
                spec,
                index,
                mailbox: Arc::default(),
                feed: None,
                orders: orders.clone(),
                handle: handle.clone(),
            })
            .collect();
        let mailboxes = inboxes.iter().map(|inbox| Arc::clone(&inbox.mailbox)).collect();
        let task = ConsumerTask::new(
            config,
            specs,
            mailboxes,
            received_orders,
            state_sender,
            shutdown,
            handle.close.clone(),
        );
        handle.task.spawn(task.run());
        handle.task.close();
        inboxes
    }
}

impl Inbox {
    /// Everything that has arrived, at most [`ConsumerSpec::batch_max`]; waits only for the first. None once
    /// nothing more is handed out. Cancel-safe.
    pub async fn recv_batch(&mut self) -> Option<Vec<Incoming>> {
        let shutdown = self.handle.shutdown.clone();
        loop {
            let first = tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                feed = self.mailbox.next() => {
                    self.feed = Some(feed?);
                    continue;
                }
                first = next(self.feed.as_mut()) => first,
            };
            let feed = self.feed.as_mut().expect("what came, came from it");
            let batch = match first {
                Some(first) => hand_out(feed, first, self.spec, &self.orders),
                None => Vec::new(),
            };
            if batch.is_empty() {
                // The stream has ended, or its connection has.
                let Feed { session, .. } = self.feed.take().expect("what ended, was there");
                let _ = self.orders.send(Order::Ended(session));
                continue;
            }
            return Some(batch);
        }
    }

    /// The queue that it receives from.
    pub fn queue(&self) -> WorkQueue {
        self.spec.queue
    }

    /// To watch and to end it with, while it is in use elsewhere.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// See [`ConsumerHandle::close`].
    pub fn close(&self) {
        self.handle.close();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Unwanted { index: self.index });
    }
}

impl ConsumerHandle {
    /// Whether the connection is up and consuming.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_ready()
    }

    /// The state of the connection, now and whenever it changes.
    pub fn on_state_change(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Wait until the queues are being consumed; false if it is shut down instead.
    pub async fn ready(&self) -> bool {
        state::ready(self.state.clone()).await
    }

    /// End the connection, shared by the whole group, at once: unsettled messages go back to their queues.
    pub fn close(&self) {
        self.close.cancel();
    }

    /// Wait until the connection has ended for good.
    pub async fn closed(&self) {
        self.task.wait().await;
    }
}

impl Ticket {
    /// The message is dealt with: remove it from its queue.
    pub fn ack(mut self) {
        self.settle(Verdict::Ack);
    }

    /// Put the message back into its queue, to be handed out again at once. It counts as a delivery.
    pub fn requeue(mut self) {
        self.settle(Verdict::Requeue);
    }

    fn settle(&mut self, verdict: Verdict) {
        self.settled = true;
        // When the task is gone, so is the connection, and the broker delivers the message again.
        let _ = self.orders.send(Order::Settle {
            session: Arc::clone(&self.session),
            tag: self.tag,
            verdict,
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.settled || self.session.is_lost() {
            return;
        }
        warn!("a message was dropped without being settled; it goes back to its queue");
        self.settle(Verdict::Requeue);
    }
}

impl Session {
    fn new(index: usize, generation: u64) -> Self {
        Self {
            index,
            generation,
            gate: Mutex::new(Gate {
                open: true,
                lost: false,
                handed_out: 0,
            }),
        }
    }

    /// Hand out nothing more; returns how many were.
    fn shut(&self) -> u64 {
        let mut gate = self.gate();
        gate.open = false;
        gate.handed_out
    }

    fn lose(&self) {
        let mut gate = self.gate();
        gate.open = false;
        gate.lost = true;
    }

    fn is_lost(&self) -> bool {
        self.gate().lost
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next delivery; none when the stream has ended or failed; never without a feed.
async fn next(feed: Option<&mut Feed>) -> Option<Delivery> {
    match feed {
        Some(feed) => feed.stream.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}

/// The first delivery and those behind it that are here already; nothing if the gate is shut.
fn hand_out(
    feed: &mut Feed,
    first: Delivery,
    spec: ConsumerSpec,
    orders: &mpsc::UnboundedSender<Order>,
) -> Vec<Incoming> {
    let mut gate = feed.session.gate();
    if !gate.open {
        return Vec::new();
    }
    let mut batch = Vec::new();
    let mut delivery = Some(first);
    while let Some(one) = delivery.take() {
        gate.handed_out = gate.handed_out.max(one.delivery_tag);
        batch.push(Incoming {
            redelivered: one.redelivered,
            delivery_count: delivery_count(&one),
            queue: spec.queue,
            ticket: Ticket {
                session: Arc::clone(&feed.session),
                tag: one.delivery_tag,
                orders: orders.clone(),
                settled: false,
            },
            body: one.data.into(),
        });
        if batch.len() < spec.batch_max {
            // An end or an error here is found again by the next call.
            delivery = feed.stream.next().now_or_never().flatten().and_then(Result::ok);
        }
    }
    batch
}

fn delivery_count(delivery: &Delivery) -> Option<u64> {
    let headers = delivery.properties.headers().as_ref()?;
    let count = match headers.inner().get(DELIVERY_COUNT)? {
        AMQPValue::ShortShortInt(n) => i64::from(*n),
        AMQPValue::ShortShortUInt(n) => i64::from(*n),
        AMQPValue::ShortInt(n) => i64::from(*n),
        AMQPValue::ShortUInt(n) => i64::from(*n),
        AMQPValue::LongInt(n) => i64::from(*n),
        AMQPValue::LongUInt(n) => i64::from(*n),
        AMQPValue::LongLongInt(n) => *n,
        _ => return None,
    };
    u64::try_from(count).ok()
}
