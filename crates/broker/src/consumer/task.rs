//! The task behind a group of consumers: it owns the connection, gives the inboxes their feeds, and settles.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::mailbox::Mailbox;
use super::settling::{Frame, Settling};
use super::{ConsumerSpec, Feed, Order, Session};
use crate::connection::{Backoff, Link, LinkEvent, log_connected, log_lost};
use crate::{BrokerConfig, BrokerState, Disconnection, LinkError, WorkQueue};

const PURPOSE: &str = "consumer";

/// How many orders one wake-up takes: what it settles is acknowledged together.
const ORDERS_MAX: usize = 1_024;
/// How long the broker may take to begin or to cancel a consumer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many commands of low priority a quorum queue takes at a time.
const FRAMES_PER_QUESTION: usize = 16;
/// How often it is asked at most before a goodbye.
const QUESTIONS_MAX: usize = 64;
/// A channel's only consumer.
const CONSUMER_TAG: &str = "plumbline";

pub(super) struct ConsumerTask {
    config: BrokerConfig,
    specs: Vec<ConsumerSpec>,
    mailboxes: Vec<Arc<Mailbox>>,
    orders: mpsc::UnboundedReceiver<Order>,
    state: watch::Sender<BrokerState>,
    shutdown: CancellationToken,
    close: CancellationToken,
    /// Which inboxes still exist.
    wanted: Vec<bool>,
    generation: u64,
}

/// One queue's channel on the present connection.
struct Subscription {
    queue: WorkQueue,
    channel: Channel,
    session: Arc<Session>,
    settling: Settling,
    /// Once nothing more is handed out: how many messages were.
    handed_out: Option<u64>,
    /// How many frames have settled something since then.
    last_frames: usize,
}

/// Why a connection is no longer used.
enum End {
    Closed,
    Lost(Arc<LinkError>),
}

impl ConsumerTask {
    pub(super) fn new(
        config: BrokerConfig,
        specs: Vec<ConsumerSpec>,
        mailboxes: Vec<Arc<Mailbox>>,
        orders: mpsc::UnboundedReceiver<Order>,
        state: watch::Sender<BrokerState>,
        shutdown: CancellationToken,
        close: CancellationToken,
    ) -> Self {
        Self {
            wanted: vec![true; specs.len()],
            config,
            specs,
            mailboxes,
            orders,
            state,
            shutdown,
            close,
            generation: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        while !self.is_over() {
            let config = self.config.clone();
            let error = match self.unless_over(Link::open(&config, PURPOSE)).await {
                None => break,
                Some(Err(error)) => self.lost(error),
                Some(Ok(mut link)) => {
                    let end = self.serve(&mut link).await;
                    backoff.after(&link);
                    match end {
                        End::Closed => {
                            link.close().await;
                            break;
                        }
                        End::Lost(error) => error,
                    }
                }
            };
            let wait = backoff.next();
            log_lost(&self.config, PURPOSE, &error, wait);
            self.unless_over(sleep(wait)).await;
        }
        self.mailboxes.iter().for_each(|mailbox| mailbox.close());
        self.state
            .send_replace(BrokerState::Disconnected(Disconnection::ShutDown));
    }

    fn is_over(&self) -> bool {
        self.shutdown.is_cancelled() || self.close.is_cancelled() || !self.wanted.contains(&true)
    }

    /// Wait for something while there is no connection, and so nothing to settle.
    async fn unless_over<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(wait);
        while !self.is_over() {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {}
                () = self.close.cancelled() => {}
                done = &mut wait => return Some(done),
                Some(order) = self.orders.recv() => {
                    if let Order::Unwanted { index } = order {
                        self.wanted[index] = false;
                    }
                }
            }
        }
        None
    }

    async fn serve(&mut self, link: &mut Link) -> End {
        self.generation += 1;
        let mut subscriptions = Vec::new();
        let end = self.consume(link, &mut subscriptions).await;
        subscriptions
            .iter()
            .for_each(|subscription| subscription.session.lose());
        match end {
            Ok(()) => End::Closed,
            Err(error) => End::Lost(self.lost(error)),
        }
    }

    /// Consume through this connection until it is lost, or everything is settled after a shutdown.
    async fn consume(
        &mut self,
        link: &mut Link,
        subscriptions: &mut Vec<Subscription>,
    ) -> Result<(), LinkError> {
        for index in (0..self.specs.len()).filter(|index| self.wanted[*index]) {
            let subscription = timeout(ANSWER_TIMEOUT, self.subscribe(link, index))
                .await
                .map_err(|_| LinkError::AnswerTimeout(ANSWER_TIMEOUT))??;
            subscriptions.push(subscription);
        }
        log_connected(link, PURPOSE);
        self.state.send_replace(BrokerState::Connected);

        let mut orders = Vec::with_capacity(ORDERS_MAX);
        loop {
            if self.is_over() {
                for subscription in subscriptions.iter_mut() {
                    subscription.cancel().await?;
                }
            }
            if subscriptions.iter().all(Subscription::is_settled) {
                for subscription in subscriptions.iter() {
                    subscription.settle_for_good().await;
                }
                return Ok(());
            }
            let draining = self.shutdown.is_cancelled();
            tokio::select! {
                biased;
                () = self.close.cancelled() => return Ok(()),
                () = self.shutdown.cancelled(), if !draining => {}
                event = link.event() => match event {
                    // Only publishing is blocked, and nothing is published here.
                    LinkEvent::Blocked | LinkEvent::Unblocked => {}
                    LinkEvent::Lost(error) => return Err(error),
                },
                _ = self.orders.recv_many(&mut orders, ORDERS_MAX) => {
                    for order in orders.drain(..) {
                        self.obey(order, subscriptions).await?;
                    }
                    for subscription in subscriptions.iter_mut() {
                        subscription.flush()?;
                    }
                }
            }
        }
    }

    async fn subscribe(&self, link: &mut Link, index: usize) -> Result<Subscription, LinkError> {
        let ConsumerSpec { queue, prefetch, .. } = self.specs[index];
        let channel = link.channel().await?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let stream = channel
            .basic_consume(
                queue.name().into(),
                CONSUMER_TAG.into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let session = Arc::new(Session::new(index, self.generation));
        self.mailboxes[index].put(Feed {
            stream,
            session: Arc::clone(&session),
        });
        Ok(Subscription {
            queue,
            channel,
            session,
            settling: Settling::default(),
            handed_out: None,
            last_frames: 0,
        })
    }

    async fn obey(&mut self, order: Order, subscriptions: &mut [Subscription]) -> Result<(), LinkError> {
        match order {
            Order::Settle { session, .. } | Order::Ended(session)
                if session.generation != self.generation =>
            {
                // Of a connection that is gone: the broker has taken the message back already.
            }
            Order::Settle {
                session,
                tag,
                verdict,
            } => {
                if let Some(subscription) = find(subscriptions, session.index)
                    && let Some(frame) = subscription.settling.settle(tag, verdict)
                {
                    subscription.send(frame)?;
                }
            }
            Order::Ended(session) => {
                // What we cancelled ourselves ends too.
                if let Some(subscription) = find(subscriptions, session.index)
                    && subscription.handed_out.is_none()
                {
                    return Err(LinkError::ConsumerEnded(subscription.queue));
                }
            }
            Order::Unwanted { index } => {
                self.wanted[index] = false;
                if let Some(subscription) = find(subscriptions, index) {
                    subscription.cancel().await?;
                }
            }
        }
        Ok(())
    }

    fn lost(&self, error: LinkError) -> Arc<LinkError> {
        let error = Arc::new(error);
        let failed = Disconnection::Failed(Arc::clone(&error));
        self.state.send_replace(BrokerState::Disconnected(failed));
        error
    }
}

fn find(subscriptions: &mut [Subscription], index: usize) -> Option<&mut Subscription> {
    subscriptions
        .iter_mut()
        .find(|subscription| subscription.session.index == index)
}

impl Subscription {
    /// Hand out nothing more, and have the broker send nothing more.
    async fn cancel(&mut self) -> Result<(), LinkError> {
        if self.handed_out.is_some() {
            return Ok(());
        }
        self.handed_out = Some(self.session.shut());
        let cancelled = self
            .channel
            .basic_cancel(CONSUMER_TAG.into(), BasicCancelOptions::default());
        timeout(ANSWER_TIMEOUT, cancelled)
            .await
            .map_err(|_| LinkError::AnswerTimeout(ANSWER_TIMEOUT))??;
        Ok(())
    }

    /// Whether nothing is handed out any more and every ticket is settled.
    fn is_settled(&self) -> bool {
        self.handed_out
            .is_some_and(|handed_out| self.settling.settled() >= handed_out)
    }

    /// Wait until the queue has taken notice of the last acknowledgements.
    ///
    /// They have a low priority in a quorum queue, the end of a channel has not: a goodbye right behind them
    /// overtakes them, and the messages are delivered again. Every question to the queue lets it take notice of
    /// some more of what came before.
    async fn settle_for_good(&self) {
        let questions = (self.last_frames / FRAMES_PER_QUESTION + 1).min(QUESTIONS_MAX);
        let asking = async {
            for _ in 0..questions {
                let passive = QueueDeclareOptions {
                    passive: true,
                    ..Default::default()
                };
                let name = self.queue.name().into();
                self.channel
                    .queue_declare(name, passive, FieldTable::default())
                    .await?;
            }
            Ok::<_, lapin::Error>(())
        };
        // It only saves a second delivery: what goes wrong here goes wrong without consequence.
        let _ = timeout(ANSWER_TIMEOUT, asking).await;
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        for frame in self.settling.flush() {
            self.send(frame)?;
        }
        Ok(())
    }

    /// Queue a frame for writing. The first poll does that; whether it was written, nobody waits for: a
    /// connection that cannot write is lost, and then the broker takes the messages back.
    fn send(&mut self, frame: Frame) -> Result<(), LinkError> {
        self.last_frames += usize::from(self.handed_out.is_some());
        let refused = match frame {
            Frame::Ack { tag, multiple } => self
                .channel
                .basic_ack(tag, BasicAckOptions { multiple })
                .now_or_never(),
            Frame::Requeue { tag } => {
                let options = BasicNackOptions {
                    multiple: false,
                    requeue: true,
                };
                self.channel.basic_nack(tag, options).now_or_never()
            }
        };
        match refused {
            Some(Err(error)) => Err(error.into()),
            Some(Ok(())) | None => Ok(()),
        }
    }
}
