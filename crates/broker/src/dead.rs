//! What nobody could process, why, and where it came from.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::connection::Link;
use crate::topology::DEAD;
use crate::{BrokerConfig, LinkError, WorkQueue};

/// The header with the reason that we give.
const REASON: &str = "x-plumbline-reason";
/// The header with the queue that we took it from.
const QUEUE: &str = "x-plumbline-queue";
/// The longest reason, in bytes; what is longer is cut.
const REASON_BYTES_MAX: usize = 512;

/// A message in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message, as it arrived.
    pub body: Bytes,
    /// Why it is here.
    pub reason: DeadReason,
    /// The name of the queue that it was in; none if it was put here by hand.
    pub queue: Option<String>,
}

/// Why a message was buried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadReason {
    /// What the consumer said that gave it up.
    Consumer(String),
    /// The broker's word: `delivery_limit` for a message whose consumers kept crashing.
    Broker(String),
    /// Nobody said.
    Unknown,
}

/// Look at the oldest dead letters, at most `limit`, and leave them where they are.
pub async fn peek(config: &BrokerConfig, limit: usize) -> Result<Vec<DeadLetter>, LinkError> {
    let mut link = Link::open(config, "dead letters").await?;
    let channel = link.channel().await?;
    let mut letters = Vec::new();
    let mut last_tag = None;
    while letters.len() < limit {
        let Some(message) = channel.basic_get(DEAD.into(), BasicGetOptions::default()).await? else {
            break;
        };
        last_tag = Some(message.delivery.delivery_tag);
        letters.push(DeadLetter::read(
            message.delivery.data.into(),
            &message.delivery.properties,
        ));
    }
    if let Some(tag) = last_tag {
        let all = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        channel.basic_nack(tag, all).await?;
    }
    link.close().await;
    Ok(letters)
}

impl DeadLetter {
    fn read(body: Bytes, properties: &BasicProperties) -> Self {
        let text = |name: &str| {
            let headers = properties.headers().as_ref()?;
            match headers.inner().get(name)? {
                AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
                AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
                _ => None,
            }
        };
        // RabbitMQ notes the first time that it dead-lettered a message, under these names.
        let broker = text("x-first-death-reason").map(DeadReason::Broker);
        Self {
            body,
            queue: text(QUEUE).or_else(|| text("x-first-death-queue")),
            reason: text(REASON)
                .map(DeadReason::Consumer)
                .or(broker)
                .unwrap_or(DeadReason::Unknown),
        }
    }
}

/// The headers of a message that we bury ourselves.
pub(crate) fn headers(reason: &str, queue: WorkQueue) -> FieldTable {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut headers = FieldTable::default();
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    headers.insert(QUEUE.into(), AMQPValue::LongString(queue.name().into()));
    headers
}
