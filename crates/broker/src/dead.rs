//! What nobody could process, why, and where it came from; and what an operator does with it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use plumbline_domain::{DeliveryId, EventId, TenantId, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::connection::Link;
use crate::topology::DEAD;
use crate::{BrokerConfig, EventMessage, LinkError, PublishError, Publisher, RetryMessage, WorkQueue};

/// The header with the reason that we give.
const REASON: &str = "x-plumbline-reason";
/// The header with the queue that we took it from.
const QUEUE: &str = "x-plumbline-queue";
/// The header with the moment at which we buried it, in milliseconds since 1970.
const BURIED_AT: &str = "x-plumbline-buried-at";
/// The longest reason, in bytes; what is longer is cut.
const REASON_BYTES_MAX: usize = 512;
/// Hex digits of an id: enough for millions of letters.
const ID_DIGITS: usize = 16;
/// Events of one letter that are named.
const EVENTS_NAMED_MAX: usize = 64;
/// How long the broker may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Acknowledgements that one question to the queue lets it take notice of; see `consumer::task`.
const ACKS_PER_QUESTION: usize = 16;

/// A message in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it: the same each time that it is looked at. Letters that are equal in every respect share one.
    pub id: String,
    /// The message, as it arrived.
    pub body: Bytes,
    /// Why it is here.
    pub reason: DeadReason,
    /// The name of the queue that it was in; none if it was put here by hand.
    pub queue: Option<String>,
    /// Since when it is here, if anybody noted it.
    pub died_at: Option<Timestamp>,
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

/// What a dead letter is about, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// The events that it carries, 64 at most.
    pub events: Vec<EventId>,
    /// The delivery that it was to bring back.
    pub delivery: Option<DeliveryId>,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All that are there when it begins.
    All,
    /// Those with these ids.
    These(BTreeSet<String>),
}

/// What to do with dead letters.
#[derive(Debug, Clone, Copy)]
pub enum Deed<'a> {
    /// Put each back into the queue that it came from, and only then take it from here.
    Requeue(&'a Publisher),
    /// Forget them for ever.
    Drop,
}

/// What became of a dead letter.
#[derive(Debug)]
pub struct Settled {
    /// Its id.
    pub id: String,
    /// The queue that it came from.
    pub queue: Option<String>,
    /// Done; or why it is still among the dead.
    pub result: Result<(), RequeueError>,
}

/// Why a dead letter was not put back. It is still among the dead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequeueError {
    /// Nobody noted where it came from, or it is no queue of ours.
    #[error("it is not known which queue it came from")]
    NoQueue,
    /// The broker did not take the copy.
    #[error("the copy could not be published")]
    Publish(#[from] PublishError),
}

/// Look at the oldest dead letters, at most `limit`, and leave them where they are.
///
/// # Errors
/// [`LinkError`]; [`LinkError::Amqp`] also when there is no such queue, because no process ever declared it.
pub async fn peek(config: &BrokerConfig, limit: usize) -> Result<Vec<DeadLetter>, LinkError> {
    let mut link = Link::connect(config, "dead letters").await?;
    let channel = link.channel().await?;
    let mut letters = Vec::new();
    let mut last_tag = None;
    while letters.len() < limit
        && let Some((tag, letter)) = take(&channel).await?
    {
        last_tag = Some(tag);
        letters.push(letter);
    }
    give_back(&channel, last_tag).await?;
    link.close().await;
    Ok(letters)
}

/// How many dead letters there are.
///
/// # Errors
/// [`LinkError`], as [`peek`].
pub async fn count(config: &BrokerConfig) -> Result<u64, LinkError> {
    let mut link = Link::connect(config, "dead letters").await?;
    let channel = link.channel().await?;
    let count = ready(&channel).await?;
    link.close().await;
    Ok(count)
}

/// Requeue or drop dead letters. Each that was there at the beginning is looked at once, so that one that comes back
/// dead is not taken again. What is not meant, and what cannot be requeued, stays. Broken off at any point, nothing
/// is lost: a letter leaves only when its copy is confirmed.
///
/// # Errors
/// [`LinkError`], as [`peek`]. What was settled stays settled.
pub async fn settle(
    config: &BrokerConfig,
    selection: &Selection,
    deed: Deed<'_>,
) -> Result<Vec<Settled>, LinkError> {
    let mut link = Link::connect(config, "dead letters").await?;
    let channel = link.channel().await?;
    let mut settled = Vec::new();
    let (mut last_tag, mut acknowledged) = (None, 0);
    for _ in 0..ready(&channel).await? {
        let Some((tag, letter)) = take(&channel).await? else {
            break;
        };
        let is_meant = match selection {
            Selection::All => true,
            Selection::These(ids) => ids.contains(&letter.id),
        };
        if !is_meant {
            last_tag = Some(tag);
            continue;
        }
        let result = match deed {
            Deed::Requeue(publisher) => letter.requeue(publisher).await,
            Deed::Drop => Ok(()),
        };
        if result.is_ok() {
            channel.basic_ack(tag, BasicAckOptions::default()).await?;
            acknowledged += 1;
        } else {
            last_tag = Some(tag);
        }
        settled.push(Settled {
            id: letter.id,
            queue: letter.queue,
            result,
        });
    }
    give_back(&channel, last_tag).await?;
    // A goodbye overtakes the last acknowledgements, unless the queue is asked something first.
    for _ in 0..=acknowledged / ACKS_PER_QUESTION {
        ready(&channel).await?;
    }
    link.close().await;
    Ok(settled)
}

/// The next letter, to be acknowledged or given back.
async fn take(channel: &Channel) -> Result<Option<(u64, DeadLetter)>, LinkError> {
    let taken = in_time(channel.basic_get(DEAD.into(), BasicGetOptions::default())).await?;
    Ok(taken.map(|message| {
        let delivery = message.delivery;
        let letter = DeadLetter::read(delivery.data.into(), &delivery.properties);
        (delivery.delivery_tag, letter)
    }))
}

/// Give back what was taken up to this one and is not acknowledged.
async fn give_back(channel: &Channel, last_tag: Option<u64>) -> Result<(), LinkError> {
    if let Some(tag) = last_tag {
        let all = BasicNackOptions {
            multiple: true,
            requeue: true,
        };
        channel.basic_nack(tag, all).await?;
    }
    Ok(())
}

async fn ready(channel: &Channel) -> Result<u64, LinkError> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let queue = in_time(channel.queue_declare(DEAD.into(), passive, FieldTable::default())).await?;
    Ok(queue.message_count().into())
}

async fn in_time<T>(answer: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, LinkError> {
    Ok(timeout(ANSWER_TIMEOUT, answer)
        .await
        .map_err(|_| LinkError::AnswerTimeout(ANSWER_TIMEOUT))??)
}

impl DeadLetter {
    fn read(body: Bytes, properties: &BasicProperties) -> Self {
        let headers = properties.headers().as_ref().map(FieldTable::inner);
        let header = |name: &str| headers.and_then(|headers| headers.get(name));
        let ours = (header(REASON).and_then(text), header(QUEUE).and_then(text));
        let deaths = match header("x-death") {
            Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice(),
            _ => &[],
        };
        // The latest death comes first: one that waited for its retry has died of that, too, earlier.
        let death = match deaths.first() {
            Some(AMQPValue::FieldTable(death)) => Some(death.inner()),
            _ => None,
        };
        let died = |name: &str| death.and_then(|death| death.get(name));
        let buried_at = match header(BURIED_AT) {
            Some(AMQPValue::LongLongInt(millis)) => Timestamp::from_millisecond(*millis).ok(),
            _ => None,
        };
        let died_at = match died("time") {
            Some(AMQPValue::Timestamp(seconds)) => i64::try_from(*seconds)
                .ok()
                .and_then(|seconds| Timestamp::from_second(seconds).ok()),
            _ => None,
        };
        let of_broker = died("reason")
            .or_else(|| header("x-first-death-reason"))
            .and_then(text);
        let queue_of_broker = died("queue")
            .or_else(|| header("x-first-death-queue"))
            .and_then(text);
        let id = id(properties, &ours, &queue_of_broker, died_at, &body);
        let (reason, queue) = ours;
        Self {
            id,
            body,
            queue: queue.or(queue_of_broker),
            reason: reason
                .map(DeadReason::Consumer)
                .or(of_broker.map(DeadReason::Broker))
                .unwrap_or(DeadReason::Unknown),
            died_at: buried_at.or(died_at),
        }
    }

    /// What it is about, as far as it can be read: a message of another version, or one that lacks something, may still
    /// say whose it is.
    pub fn about(&self) -> About {
        serde_json::from_slice::<Hints>(&self.body)
            .map(Hints::about)
            .unwrap_or_default()
    }

    /// Put a copy into the queue that it came from. What can be read is marked as published before, so that whoever
    /// receives it looks up what exists already.
    async fn requeue(&self, publisher: &Publisher) -> Result<(), RequeueError> {
        let queue = self.queue.as_deref().and_then(WorkQueue::parse);
        let queue = queue.ok_or(RequeueError::NoQueue)?;
        let raw = || async { Ok(publisher.publish_raw(queue, self.body.clone()).await?) };
        if let WorkQueue::Retries = queue {
            return match RetryMessage::decode(&self.body) {
                Ok(message) => {
                    let again = RetryMessage {
                        republished: true,
                        // Its slot is past.
                        held: None,
                        ..message
                    };
                    Ok(publisher.publish_retry(again).await?)
                }
                Err(_) => raw().await,
            };
        }
        let Ok(mut messages) = EventMessage::decode_all(&self.body) else {
            return raw().await;
        };
        for message in &mut messages {
            message.republished = true;
        }
        let results = match queue {
            WorkQueue::Fanout => publisher.publish_chunks(messages).await,
            WorkQueue::Events { .. } | WorkQueue::Retries => publisher.publish_events(messages).await,
        };
        Ok(results.into_iter().collect::<Result<_, PublishError>>()?)
    }
}

/// What distinguishes a letter from others, and does not change when somebody looks at it: the broker counts that.
fn id(
    properties: &BasicProperties,
    ours: &(Option<String>, Option<String>),
    queue: &Option<String>,
    died_at: Option<Timestamp>,
    body: &[u8],
) -> String {
    let mut digest = Sha256::new();
    let message_id = properties.message_id().as_ref().map(|id| id.as_str().to_owned());
    let died_at = died_at.map(|at| at.to_string());
    for part in [&message_id, &ours.0, &ours.1, queue, &died_at] {
        let part = part.as_deref().unwrap_or_default();
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.update(body);
    let mut id = String::with_capacity(ID_DIGITS);
    for byte in &digest.finalize()[..ID_DIGITS / 2] {
        use std::fmt::Write as _;
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

/// The members of our messages that say what they are about. Others are skipped unread.
#[derive(Deserialize)]
struct Hints {
    #[serde(default)]
    tenant: Option<serde_json::Value>,
    #[serde(default)]
    id: Option<serde_json::Value>,
    #[serde(default)]
    delivery: Option<serde_json::Value>,
    #[serde(default)]
    events: Vec<Hints>,
}

impl Hints {
    fn about(self) -> About {
        fn parsed<T: std::str::FromStr>(value: &Option<serde_json::Value>) -> Option<T> {
            value.as_ref()?.as_str()?.parse().ok()
        }
        let first_tenant = self.events.first().and_then(|event| event.tenant.as_ref());
        let tenant = self.tenant.as_ref().or(first_tenant);
        let bundled = self.events.iter().filter_map(|event| parsed(&event.id));
        About {
            tenant: tenant.and_then(serde_json::Value::as_i64).map(TenantId),
            events: parsed(&self.id)
                .into_iter()
                .chain(bundled)
                .take(EVENTS_NAMED_MAX)
                .collect(),
            delivery: parsed(&self.delivery),
        }
    }
}

/// The headers of a message that we bury ourselves.
pub(crate) fn headers(reason: &str, queue: WorkQueue, now: Timestamp) -> FieldTable {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut headers = FieldTable::default();
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    headers.insert(QUEUE.into(), AMQPValue::LongString(queue.name().into()));
    headers.insert(BURIED_AT.into(), AMQPValue::LongLongInt(now.as_millisecond()));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &str) -> DeadLetter {
        DeadLetter::read(body.as_bytes().to_vec().into(), &BasicProperties::default())
    }

    #[test]
    fn what_a_letter_is_about_is_read_from_whatever_can_be_read() {
        let event = EventId::new(Timestamp::UNIX_EPOCH, [1; 10]);
        let delivery = DeliveryId(event.0);
        let about = |body: String| letter(&body).about();
        let one = About {
            tenant: Some(TenantId(17)),
            events: vec![event],
            delivery: None,
        };
        assert_eq!(
            about(format!(r#"{{"v":9,"id":"{event}","tenant":17,"new":[]}}"#)),
            one
        );
        let two = about(format!(
            r#"{{"v":2,"events":[{{"id":"{event}","tenant":17,"data":{{"id":"x"}}}},{{"id":"{event}"}}]}}"#
        ));
        assert_eq!((two.events.len(), two.tenant), (2, one.tenant));
        assert_eq!(
            about(format!(r#"{{"v":1,"tenant":"no","delivery":"{delivery}"}}"#)),
            About {
                delivery: Some(delivery),
                ..About::default()
            }
        );
        for body in [
            "",
            "no JSON",
            "[]",
            r#"{"id":5,"events":7}"#,
            r#"{"id":"evt_zz"}"#,
        ] {
            assert_eq!(about(body.to_owned()), About::default(), "{body}");
        }
    }

    #[test]
    fn an_id_stays_when_the_broker_counts_and_differs_where_a_letter_does() {
        let read = |count: i64, reason: &str, id: &str| {
            let mut headers = headers(reason, WorkQueue::Retries, Timestamp::UNIX_EPOCH);
            headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(count));
            let properties = BasicProperties::default()
                .with_headers(headers)
                .with_message_id(id.into());
            DeadLetter::read(Bytes::from_static(b"{}"), &properties)
        };
        let one = read(0, "not JSON", "a");
        assert_eq!(
            (one.id.len(), one.died_at),
            (ID_DIGITS, Some(Timestamp::UNIX_EPOCH))
        );
        assert_eq!(one.queue.as_deref(), Some("plumbline.retries"));
        assert_eq!(one.id, read(7, "not JSON", "a").id);
        assert_ne!(one.id, read(0, "not UTF-8", "a").id);
        assert_ne!(one.id, read(0, "not JSON", "b").id);
        assert_ne!(one.id, letter("{}").id);
    }
}
