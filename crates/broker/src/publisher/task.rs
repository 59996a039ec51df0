//! The task behind a publisher: it owns the connection, sends what comes in, and resolves every publish.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, Stream};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::window::{Outstanding, Waiting, Window};
use super::{Input, Job, Message, PublishError};
use crate::connection::{Backoff, Link, LinkEvent, log_connected, log_lost};
use crate::{BrokerConfig, BrokerState, Disconnection, LinkError};

const PURPOSE: &str = "publisher";

/// How many publishes may await their confirms. More than this is hardly faster, and `lapin` searches all of
/// them on every confirm.
const WINDOW_MAX: usize = 1_000;
/// How much of the input one wake-up takes.
const INPUT_MAX: usize = 256;
const PERSISTENT: u8 = 2;

pub(super) struct PublisherTask {
    config: BrokerConfig,
    input: mpsc::UnboundedReceiver<Input>,
    state: watch::Sender<BrokerState>,
    shutdown: CancellationToken,
}

/// One publish that the broker has answered, or the connection failed.
type Answer = (u64, Result<Confirmation, lapin::Error>);

/// Why a connection is no longer used.
enum End {
    ShutDown,
    Lost(Arc<LinkError>),
}

impl PublisherTask {
    pub(super) fn new(
        config: BrokerConfig,
        input: mpsc::UnboundedReceiver<Input>,
        state: watch::Sender<BrokerState>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            config,
            input,
            state,
            shutdown,
        }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        while !self.shutdown.is_cancelled() {
            let error = match self.connect().await {
                None => break,
                Some(Err(error)) => self.lost(error),
                Some(Ok(mut link)) => {
                    let end = self.serve(&mut link).await;
                    backoff.after(&link);
                    match end {
                        End::ShutDown => {
                            link.close().await;
                            break;
                        }
                        End::Lost(error) => error,
                    }
                }
            };
            let wait = backoff.next();
            log_lost(&self.config, PURPOSE, &error, wait);
            self.refuse_during(sleep(wait), PublishError::Disconnected).await;
        }
        self.state
            .send_replace(BrokerState::Disconnected(Disconnection::ShutDown));
        self.input.close();
        while let Some(input) = self.input.recv().await {
            refuse(input, PublishError::ShuttingDown);
        }
    }

    /// A connection; none when shut down.
    async fn connect(&mut self) -> Option<Result<Link, LinkError>> {
        let config = self.config.clone();
        self.refuse_during(Link::open(&config, PURPOSE), PublishError::Disconnected)
            .await
    }

    /// Wait for something while there is no connection: whoever publishes meanwhile is told at once.
    async fn refuse_during<T>(&mut self, wait: impl Future<Output = T>, error: PublishError) -> Option<T> {
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                done = &mut wait => return Some(done),
                Some(input) = self.input.recv() => refuse(input, error),
            }
        }
    }

    /// Publish through this connection for as long as it lasts.
    async fn serve(&mut self, link: &mut Link) -> End {
        let limit = self.config.connect_timeout;
        let channel = match timeout(limit, confirming_channel(link)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return End::Lost(self.lost(error.into())),
            Err(_) => return End::Lost(self.lost(LinkError::AnswerTimeout(limit))),
        };
        log_connected(link, PURPOSE);
        self.state.send_replace(if link.is_blocked() {
            BrokerState::Blocked
        } else {
            BrokerState::Connected
        });

        let mut waiting = Waiting::default();
        let mut window = Window::default();
        let mut in_flight = FuturesUnordered::new();
        let mut inputs = Vec::with_capacity(INPUT_MAX);
        let mut answers = Vec::with_capacity(WINDOW_MAX);
        let mut ticks = interval(tick(self.config.publish_timeout));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut draining = false;

        let end = loop {
            let blocked = link.is_blocked();
            while !blocked
                && in_flight.len() < WINDOW_MAX
                && let Some(job) = waiting.next(&window)
            {
                let is_bulk = job.is_bulk();
                let Job {
                    message,
                    deadline,
                    reply,
                    room,
                } = job;
                let message_id = message.id.clone();
                let number = window.add(Outstanding {
                    message_id,
                    deadline,
                    reply,
                    is_bulk,
                });
                in_flight.push(publish(channel.clone(), message, room).map(move |result| (number, result)));
            }
            let idle = waiting.is_empty() && window.is_empty();
            if draining && idle {
                break Ok(());
            }

            tokio::select! {
                biased;
                event = link.event() => match event {
                    LinkEvent::Blocked => {
                        warn!("the broker accepts no messages");
                        self.state.send_replace(BrokerState::Blocked);
                    }
                    LinkEvent::Unblocked => {
                        warn!("the broker accepts messages again");
                        self.state.send_replace(BrokerState::Connected);
                    }
                    LinkEvent::Lost(error) => break Err(error),
                },
                () = self.shutdown.cancelled(), if !draining => {
                    self.input.close();
                    while let Ok(input) = self.input.try_recv() {
                        inputs.push(input);
                    }
                    draining = true;
                }
                () = answered(&channel, &mut in_flight, &mut answers), if !in_flight.is_empty() => {
                    if let Err(error) = resolve(&mut window, answers.drain(..)) {
                        break Err(error);
                    }
                }
                // Nothing comes when every publisher was dropped: as good as a shutdown.
                taken = self.input.recv_many(&mut inputs, INPUT_MAX), if !draining => draining = taken == 0,
                _ = ticks.tick(), if !idle => {
                    if let Err(error) = self.expire(link, &mut waiting, &mut window) {
                        break Err(error);
                    }
                }
            }
            for input in inputs.drain(..) {
                match input {
                    Input::One(job) => waiting.add(job),
                    Input::Many(jobs) => jobs.into_iter().for_each(|job| waiting.add(job)),
                }
            }
        };
        match end {
            Ok(()) => End::ShutDown,
            // Jobs that are still here resolve as disconnected by being dropped, after the news.
            Err(error) => End::Lost(self.lost(error)),
        }
    }

    fn lost(&self, error: LinkError) -> Arc<LinkError> {
        let error = Arc::new(error);
        let failed = Disconnection::Failed(Arc::clone(&error));
        self.state.send_replace(BrokerState::Disconnected(failed));
        error
    }

    /// Resolve what has waited too long. A connection that is not blocked and does not answer is given up.
    fn expire(&self, link: &Link, waiting: &mut Waiting, window: &mut Window) -> Result<(), LinkError> {
        let now = Instant::now();
        let blocked = link.is_blocked();
        let verdict = Err(if blocked {
            PublishError::Blocked
        } else {
            PublishError::TimedOut
        });
        let mut unanswered = 0;
        while let Some(overdue) = window.take_overdue(now) {
            overdue.reply.resolve(verdict);
            unanswered += 1;
        }
        while let Some(overdue) = waiting.take_overdue(now) {
            overdue.reply.resolve(verdict);
        }
        if unanswered > 0 && !blocked {
            return Err(LinkError::ConfirmTimeout(self.config.publish_timeout));
        }
        Ok(())
    }
}

fn refuse(input: Input, error: PublishError) {
    match input {
        Input::One(job) => job.reply.resolve(Err(error)),
        Input::Many(jobs) => jobs.into_iter().for_each(|job| job.reply.resolve(Err(error))),
    }
}

async fn confirming_channel(link: &mut Link) -> Result<Channel, lapin::Error> {
    let channel = link.channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Send one message and wait for its confirm. It keeps its room until then: `lapin` holds a copy.
async fn publish(
    channel: Channel,
    message: Message,
    room: OwnedSemaphorePermit,
) -> Result<Confirmation, lapin::Error> {
    let Message {
        route,
        id,
        body,
        headers,
    } = message;
    // Always fresh: with an inbound message's headers, RabbitMQ 3.10 takes a retry for a cycle and drops it.
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(id.into());
    if let Some(headers) = headers {
        properties = properties.with_headers(headers);
    }
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let (exchange, key): (ShortString, ShortString) = (route.exchange().into(), route.routing_key().into());
    let written = channel
        .basic_publish(exchange, key, options, &body, properties)
        .await;
    drop(body);
    let confirmation = written?.await;
    drop(room);
    confirmation
}

/// Wait for an answer, and take all that have come and all that belong to them.
async fn answered<F>(channel: &Channel, in_flight: &mut FuturesUnordered<F>, answers: &mut Vec<Answer>)
where
    F: Future<Output = Answer>,
{
    poll_fn(|context| {
        take_ready(in_flight, answers, context);
        if answers.is_empty() {
            return Poll::Pending;
        }
        finish_confirm_frame(channel);
        take_ready(in_flight, answers, context);
        Poll::Ready(())
    })
    .await;
}

fn take_ready<F>(in_flight: &mut FuturesUnordered<F>, answers: &mut Vec<Answer>, context: &mut Context<'_>)
where
    F: Future<Output = Answer>,
{
    while let Poll::Ready(Some(answer)) = Pin::new(&mut *in_flight).poll_next(context) {
        answers.push(answer);
    }
}

/// Let `lapin` finish the confirm frame that it is working on.
///
/// The broker returns an unroutable message and then confirms it, maybe together with others. `lapin` hangs the
/// returned message on whichever confirm it resolves first, in no particular order. So a message may look
/// confirmed while the news that it was returned hangs on another one of the same frame: only once the whole
/// frame is resolved do we know. This call takes the lock that is held meanwhile, and waits for nothing else.
fn finish_confirm_frame(channel: &Channel) {
    let _ = channel.wait_for_confirms().now_or_never();
}

/// Tell the publishers what the broker said. Returned messages go by their id, see [`finish_confirm_frame`].
fn resolve(window: &mut Window, answers: impl Iterator<Item = Answer>) -> Result<(), LinkError> {
    let mut verdicts: Vec<(Outstanding, Result<(), PublishError>)> = Vec::new();
    let mut returned = Vec::new();
    let mut failure = None;
    for (number, answer) in answers {
        let (verdict, message) = match answer {
            Ok(Confirmation::Ack(message)) => (Ok(()), message),
            Ok(Confirmation::Nack(message)) => (Err(PublishError::Nacked), message),
            Ok(Confirmation::NotRequested) => {
                failure.get_or_insert(LinkError::Ended);
                (Err(PublishError::Disconnected), None)
            }
            Err(error) => {
                failure.get_or_insert(error.into());
                (Err(PublishError::Disconnected), None)
            }
        };
        if let Some(message) = message {
            error!(
                broker.exchange = message.exchange.as_str(),
                broker.routing_key = message.routing_key.as_str(),
                "a message matched no queue; the topology will be declared again"
            );
            returned.push(
                message
                    .delivery
                    .properties
                    .message_id()
                    .as_ref()
                    .map(ToString::to_string),
            );
            failure.get_or_insert(LinkError::Unroutable);
        }
        if let Some(outstanding) = window.take(number) {
            verdicts.push((outstanding, verdict));
        }
    }
    for id in returned.into_iter().flatten() {
        if let Some((_, verdict)) = verdicts
            .iter_mut()
            .find(|(outstanding, verdict)| outstanding.message_id == id && verdict.is_ok())
        {
            *verdict = Err(PublishError::Unroutable);
        } else if let Some(outstanding) = window.take_message(&id) {
            outstanding.reply.resolve(Err(PublishError::Unroutable));
        }
    }
    for (outstanding, verdict) in verdicts {
        outstanding.reply.resolve(verdict);
    }
    failure.map_or(Ok(()), Err)
}

/// How often to look for what has waited too long.
fn tick(limit: Duration) -> Duration {
    (limit / 40).clamp(Duration::from_millis(5), Duration::from_millis(250))
}
