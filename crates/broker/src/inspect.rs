//! What an operator asks of a broker by AMQP alone: can it be used, is everything there, does anybody consume.
//!
//! Nothing that is missing is made: what should exist is looked for first, and compared only where it is there.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::protocol::AMQPError;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, ErrorKind};
use tokio::time::timeout;

use crate::connection::{Link, LinkEvent};
use crate::topology::{DEAD, Queue};
use crate::{AmqpUrl, BrokerConfig, LinkError, WorkQueue};

/// How long the broker may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A routing key that nobody binds: what is published to it goes nowhere, and is confirmed.
const NOWHERE: &str = "plumbline.nowhere";

/// A broker as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether it confirms what is published.
    pub publishing: Publishing,
    /// Exchanges that should be there and are not.
    pub missing_exchanges: Vec<String>,
    /// The queues that should be there.
    pub queues: Vec<InspectedQueue>,
}

/// Whether messages can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publishing {
    /// Yes.
    Confirmed,
    /// The broker has blocked the connection: an alarm of its memory or its disk.
    Blocked,
    /// It took the message, and did not confirm it in time.
    Unconfirmed,
}

/// A queue that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedQueue {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// How it was found.
    pub found: Found,
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Dispatchers consume it.
    Work(WorkQueue),
    /// Retries wait in it.
    Delay,
    /// What nobody could process lies in it.
    Dead,
}

/// How a queue was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is not there.
    Missing,
    /// It is there.
    Present {
        /// Messages that wait; those in delivery are not counted.
        ready: u64,
        /// Who consumes it.
        consumers: u32,
        /// How its arguments differ from ours, in the broker's words.
        difference: Option<String>,
    },
    /// The broker did not say, and why.
    Unknown(String),
}

/// Why a broker could not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// The user or the password.
    Credentials,
    /// There is no such virtual host, or this user may not use it.
    VirtualHost,
    /// Nobody answers there, or not in time, or not in AMQP.
    Network,
}

impl Unreachable {
    /// What an error of [`inspect`] comes down to.
    pub fn of(error: &LinkError) -> Self {
        match error {
            LinkError::Amqp(error) => match refusal(error).map(AMQPError::get_id) {
                Some(403) => Self::Credentials,
                Some(530 | 404) => Self::VirtualHost,
                _ => Self::Network,
            },
            _ => Self::Network,
        }
    }
}

/// Look at a broker. What is there is left as it is, and what is missing stays missing.
///
/// # Errors
/// [`LinkError`] when it cannot be reached or its connection is lost half-way; see [`Unreachable::of`].
pub async fn inspect(config: &BrokerConfig) -> Result<Inspection, LinkError> {
    let mut link = Link::connect(config, "inspection").await?;
    let publishing = publishing(&mut link).await?;
    let mut inspector = Inspector { config, link };
    let mut missing_exchanges = vec![];
    for exchange in &config.topology.exchanges {
        let passive = ExchangeDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let channel = inspector.channel().await?;
        let kind = lapin::ExchangeKind::Direct;
        let asked = channel.exchange_declare(
            exchange.name.as_str().into(),
            kind,
            passive,
            FieldTable::default(),
        );
        match timeout(ANSWER_TIMEOUT, asked).await {
            Err(_) => return Err(LinkError::AnswerTimeout(ANSWER_TIMEOUT)),
            Ok(Ok(())) => close(&channel).await,
            Ok(Err(error)) if refusal(&error).is_some() => missing_exchanges.push(exchange.name.clone()),
            Ok(Err(error)) => return Err(error.into()),
        }
    }
    let mut queues = vec![];
    for queue in &config.topology.queues {
        let purpose = match WorkQueue::parse(&queue.name) {
            Some(work) => Purpose::Work(work),
            None if queue.name == DEAD => Purpose::Dead,
            None => Purpose::Delay,
        };
        queues.push(InspectedQueue {
            name: queue.name.clone(),
            purpose,
            found: inspector.find(queue).await?,
        });
    }
    inspector.link.close().await;
    Ok(Inspection {
        publishing,
        missing_exchanges,
        queues,
    })
}

/// Reach for every node by itself; nothing when only one address is known. The nodes' addresses in the order in which
/// they were given, each with why it was not reached, if it was not.
pub async fn nodes(config: &BrokerConfig) -> Vec<(AmqpUrl, Option<LinkError>)> {
    if !config.amqp_url.is_of_several() {
        return vec![];
    }
    let reached = config.amqp_url.each().map(async |address| {
        let config = BrokerConfig {
            amqp_url: address.clone(),
            ..config.clone()
        };
        match Link::connect(&config, "inspection").await {
            Ok(link) => {
                link.close().await;
                (address, None)
            }
            Err(error) => (address, Some(error)),
        }
    });
    join_all(reached).await
}

/// Publish to nobody. Only who publishes is told of an alarm.
async fn publishing(link: &mut Link) -> Result<Publishing, LinkError> {
    let channel = link.channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let publish = async {
        channel
            .basic_publish(
                "".into(),
                NOWHERE.into(),
                BasicPublishOptions::default(),
                b"",
                BasicProperties::default(),
            )
            .await?
            .await
    };
    let confirmed = tokio::select! {
        confirmed = timeout(ANSWER_TIMEOUT, publish) => confirmed,
        event = async {
            loop {
                match link.event().await {
                    LinkEvent::Unblocked => {}
                    event => return event,
                }
            }
        } => match event {
            LinkEvent::Lost(error) => return Err(error),
            LinkEvent::Blocked | LinkEvent::Unblocked => return Ok(Publishing::Blocked),
        },
    };
    match confirmed {
        Ok(confirmation) => {
            confirmation?;
            close(&channel).await;
            // The first message may pass beside the alarm that it made the broker tell us of.
            Ok(if link.is_blocked() {
                Publishing::Blocked
            } else {
                Publishing::Confirmed
            })
        }
        Err(_) if link.is_blocked() => Ok(Publishing::Blocked),
        Err(_) => Ok(Publishing::Unconfirmed),
    }
}

struct Inspector<'a> {
    config: &'a BrokerConfig,
    link: Link,
}

impl Inspector<'_> {
    /// A channel of a connection that lives: a refusal ends the channel, and on RabbitMQ 3.10 sometimes more.
    async fn channel(&mut self) -> Result<Channel, LinkError> {
        if let Ok(Ok(channel)) = timeout(ANSWER_TIMEOUT, self.link.channel()).await {
            return Ok(channel);
        }
        self.link = Link::connect(self.config, "inspection").await?;
        Ok(self.link.channel().await?)
    }

    async fn find(&mut self, queue: &Queue) -> Result<Found, LinkError> {
        let channel = self.channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let asked = channel.queue_declare(queue.name.as_str().into(), passive, FieldTable::default());
        let state = match timeout(ANSWER_TIMEOUT, asked).await {
            // One that has no leader does not answer.
            Err(_) => return Ok(Found::Unknown(format!("no answer within {ANSWER_TIMEOUT:?}"))),
            Ok(Ok(state)) => state,
            Ok(Err(error)) => {
                return match refusal(&error) {
                    Some(refusal) if refusal.get_id() == 404 => Ok(Found::Missing),
                    Some(refusal) => Ok(Found::Unknown(refusal.get_message().to_string())),
                    None => Err(error.into()),
                };
            }
        };
        close(&channel).await;
        // A passive declaration compares nothing; an active one changes nothing where all is equal.
        let channel = self.channel().await?;
        let difference = match timeout(ANSWER_TIMEOUT, queue.declare(&channel)).await {
            Err(_) => return Ok(Found::Unknown(format!("no answer within {ANSWER_TIMEOUT:?}"))),
            Ok(Ok(())) => {
                close(&channel).await;
                None
            }
            Ok(Err(error)) => match refusal(error.cause()) {
                Some(refusal) => Some(refusal.get_message().to_string()),
                None => return Err(error.into()),
            },
        };
        Ok(Found::Present {
            ready: state.message_count().into(),
            consumers: state.consumer_count(),
            difference,
        })
    }
}

/// What the broker said, if it was the broker that refused.
fn refusal(error: &lapin::Error) -> Option<&AMQPError> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => Some(refusal),
        _ => None,
    }
}

async fn close(channel: &Channel) {
    // It served its purpose; what goes wrong here shows at the next question.
    let _ = timeout(ANSWER_TIMEOUT, channel.close(200, "seen".into())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_of_the_broker_is_the_networks_fault() {
        let limit = Duration::from_secs(1);
        assert_eq!(
            Unreachable::of(&LinkError::AnswerTimeout(limit)),
            Unreachable::Network
        );
        assert_eq!(Unreachable::of(&LinkError::Ended), Unreachable::Network);
    }
}
