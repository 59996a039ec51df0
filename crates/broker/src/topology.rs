//! What exists in the broker, as data: exchanges, queues, bindings and their arguments.
//!
//! Names are a contract, and so are the arguments: RabbitMQ refuses to declare an existing queue differently, so
//! a changed argument needs a new name. The arguments hold on RabbitMQ 3.10 and 4.x.

use std::fmt;
use std::num::NonZeroU16;

use futures_util::future::try_join_all;
use lapin::Channel;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use plumbline_domain::EventId;
use plumbline_domain::delay::BUCKETS_MS;
use plumbline_domain::lane::Lane;

/// The exchange that all work passes through.
pub(crate) const WORK: &str = "plumbline.work";
/// The exchange, and its queue, of what nobody could process.
pub(crate) const DEAD: &str = "plumbline.dead";

/// A work queue hands a message out this often before it is buried. Explicit, because 3.10 would never stop and
/// 4.x would after 20, which a few crashing consumers with a deep prefetch reach.
pub const DELIVERY_LIMIT: i64 = 50;

/// As good as no limit, on versions where `-1` is refused. Someone looks at a dead letter by taking it and
/// putting it back, and looking must not destroy it.
const DELIVERY_LIMIT_NEVER: i64 = 1_000_000_000;

/// A queue that dispatchers consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkQueue {
    /// Accepted events, whole.
    Events {
        /// How urgent they are.
        lane: Lane,
        /// Which of the [`Topology::event_shards`].
        shard: u16,
    },
    /// Chunks of large fan-outs.
    Fanout,
    /// Due retries and deferrals.
    Retries,
}

impl WorkQueue {
    /// The queue's name, which is also its routing key.
    pub fn name(self) -> String {
        self.to_string()
    }

    /// The queue of this name, if it is a work queue's.
    pub fn parse(name: &str) -> Option<Self> {
        match name.strip_prefix("plumbline.")? {
            "fanout" => Some(Self::Fanout),
            "retries" => Some(Self::Retries),
            other => {
                let (lane, shard) = other.strip_prefix("events.")?.split_once('.')?;
                Some(Self::Events {
                    lane: Lane::parse(lane)?,
                    shard: shard.parse().ok()?,
                })
            }
        }
    }
}

impl fmt::Display for WorkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events { lane, shard } => write!(f, "plumbline.events.{}.{shard}", lane.as_str()),
            Self::Fanout => f.write_str("plumbline.fanout"),
            Self::Retries => f.write_str("plumbline.retries"),
        }
    }
}

/// Everything that must exist in the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Over how many queues a lane's events are spread.
    pub event_shards: NonZeroU16,
    /// The exchanges, all durable.
    pub exchanges: Vec<Exchange>,
    /// The queues, all durable.
    pub queues: Vec<Queue>,
    /// Which queue an exchange sends what to.
    pub bindings: Vec<Binding>,
}

/// A durable exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// By equal routing key.
    Direct,
    /// To every bound queue, whatever the key.
    Fanout,
}

/// A durable queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its arguments, which RabbitMQ never lets anyone change.
    pub arguments: Vec<(&'static str, Argument)>,
}

/// The value of a queue's argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A word or a name.
    Text(&'static str),
    /// A count or a number of milliseconds.
    Number(i64),
}

/// A queue bound to an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// From where.
    pub exchange: String,
    /// To where.
    pub queue: String,
    /// For which key. Meaningless at a fanout exchange.
    pub routing_key: String,
}

impl Topology {
    /// The topology with this many queues for each lane of events.
    pub fn new(event_shards: NonZeroU16) -> Self {
        let mut topology = Self {
            event_shards,
            exchanges: vec![Exchange {
                name: WORK.into(),
                kind: ExchangeKind::Direct,
            }],
            queues: Vec::new(),
            bindings: Vec::new(),
        };
        for queue in topology.work_queues() {
            topology.bind(WORK, queue.name(), queue.name());
            topology.queues.push(Queue {
                name: queue.name(),
                arguments: work_arguments(),
            });
        }
        for ms in BUCKETS_MS {
            topology.fanout_pair(delay_name(ms), delay_arguments(ms));
        }
        topology.fanout_pair(DEAD.into(), dead_arguments());
        topology
    }

    /// Every queue that dispatchers consume.
    pub fn work_queues(&self) -> Vec<WorkQueue> {
        let mut queues = self.events_queues();
        queues.extend([WorkQueue::Fanout, WorkQueue::Retries]);
        queues
    }

    /// Every queue of accepted events.
    pub fn events_queues(&self) -> Vec<WorkQueue> {
        Lane::ALL
            .into_iter()
            .flat_map(|lane| (0..self.event_shards.get()).map(move |shard| WorkQueue::Events { lane, shard }))
            .collect()
    }

    /// The queue of an event in this lane. An event always hashes to the same shard.
    pub fn events_queue(&self, lane: Lane, event: EventId) -> WorkQueue {
        // The last bytes of a UUIDv7 are random: they are the hash.
        let [.., a, b, c, d] = *event.0.as_bytes();
        let shard = u32::from_be_bytes([a, b, c, d]) % u32::from(self.event_shards.get());
        WorkQueue::Events {
            lane,
            shard: u16::try_from(shard).expect("the remainder of a u16"),
        }
    }

    /// Declare everything. What exists stays as it is; what is missing is created.
    ///
    /// On an error the channel is closed and, on RabbitMQ 3.10, its connection may be too: use a channel of a
    /// connection on which nothing else happens yet.
    pub async fn declare(&self, channel: &Channel) -> Result<(), DeclareError> {
        // Three volleys, each pipelined: answers come in order, so the first error names its culprit.
        try_join_all(self.exchanges.iter().map(|exchange| exchange.declare(channel))).await?;
        try_join_all(self.queues.iter().map(|queue| queue.declare(channel))).await?;
        try_join_all(self.bindings.iter().map(|binding| binding.declare(channel))).await?;
        Ok(())
    }

    /// A fanout exchange and its only queue, of the same name: the routing key is free to be kept for later.
    fn fanout_pair(&mut self, name: String, arguments: Vec<(&'static str, Argument)>) {
        self.bind(&name, name.clone(), String::new());
        self.exchanges.push(Exchange {
            name: name.clone(),
            kind: ExchangeKind::Fanout,
        });
        self.queues.push(Queue { name, arguments });
    }

    fn bind(&mut self, exchange: &str, queue: String, routing_key: String) {
        self.bindings.push(Binding {
            exchange: exchange.into(),
            queue,
            routing_key,
        });
    }
}

/// The name of the exchange, and of its queue, that holds a message for so many milliseconds.
pub(crate) fn delay_name(ms: u64) -> String {
    format!("plumbline.delay.{ms}")
}

fn work_arguments() -> Vec<(&'static str, Argument)> {
    vec![
        ("x-queue-type", Argument::Text("quorum")),
        ("x-dead-letter-exchange", Argument::Text(DEAD)),
        // Any other strategy lost messages when the broker was killed; it demands reject-publish.
        ("x-dead-letter-strategy", Argument::Text("at-least-once")),
        ("x-overflow", Argument::Text("reject-publish")),
        ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)),
    ]
}

fn delay_arguments(ms: u64) -> Vec<(&'static str, Argument)> {
    let ttl = i64::try_from(ms).expect("the longest delay is a day");
    vec![
        ("x-queue-type", Argument::Text("quorum")),
        // Of the queue, never of a message: what is short would wait behind what is long.
        ("x-message-ttl", Argument::Number(ttl)),
        // Without a dead-letter routing key: the message keeps its own, which leads it back.
        ("x-dead-letter-exchange", Argument::Text(WORK)),
        ("x-dead-letter-strategy", Argument::Text("at-least-once")),
        ("x-overflow", Argument::Text("reject-publish")),
    ]
}

fn dead_arguments() -> Vec<(&'static str, Argument)> {
    vec![
        ("x-queue-type", Argument::Text("quorum")),
        ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT_NEVER)),
    ]
}

/// The broker refused to have something as we need it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not declare {what}")]
pub struct DeclareError {
    what: String,
    #[source]
    source: lapin::Error,
}

impl DeclareError {
    /// What could not be declared: "queue plumbline.retries", for example.
    pub fn what(&self) -> &str {
        &self.what
    }

    pub(crate) fn cause(&self) -> &lapin::Error {
        &self.source
    }
}

impl Exchange {
    async fn declare(&self, channel: &Channel) -> Result<(), DeclareError> {
        let kind = match self.kind {
            ExchangeKind::Direct => lapin::ExchangeKind::Direct,
            ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        };
        let options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .exchange_declare(self.name.as_str().into(), kind, options, FieldTable::default())
            .await
            .map_err(|source| DeclareError {
                what: format!("exchange {}", self.name),
                source,
            })
    }
}

impl Queue {
    pub(crate) async fn declare(&self, channel: &Channel) -> Result<(), DeclareError> {
        let mut arguments = FieldTable::default();
        for (name, value) in &self.arguments {
            let value = match value {
                Argument::Text(text) => AMQPValue::LongString((*text).into()),
                Argument::Number(number) => AMQPValue::LongLongInt(*number),
            };
            arguments.insert((*name).into(), value);
        }
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(self.name.as_str().into(), options, arguments)
            .await
            .map(|_| ())
            .map_err(|source| DeclareError {
                what: format!("queue {}", self.name),
                source,
            })
    }
}

impl Binding {
    async fn declare(&self, channel: &Channel) -> Result<(), DeclareError> {
        channel
            .queue_bind(
                self.queue.as_str().into(),
                self.exchange.as_str().into(),
                self.routing_key.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(|source| DeclareError {
                what: format!("binding of queue {} to exchange {}", self.queue, self.exchange),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::Timestamp;

    fn shards(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).expect("not zero")
    }

    #[test]
    fn a_name_reads_back_as_its_queue() {
        for queue in Topology::new(shards(3)).work_queues() {
            assert_eq!(WorkQueue::parse(&queue.name()), Some(queue));
        }
        for name in [
            "",
            "plumbline.dead",
            "plumbline.events.slow.0",
            "plumbline.events.fast.x",
            "retries",
        ] {
            assert_eq!(WorkQueue::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_queue_is_a_quorum_queue_that_something_is_bound_to() {
        let topology = Topology::new(shards(2));
        assert_eq!(topology.queues.len(), 2 * 2 + 2 + BUCKETS_MS.len() + 1);
        for queue in &topology.queues {
            assert!(
                queue
                    .arguments
                    .contains(&("x-queue-type", Argument::Text("quorum"))),
                "{queue:?}"
            );
            let bound = topology
                .bindings
                .iter()
                .filter(|binding| binding.queue == queue.name)
                .count();
            assert_eq!(bound, 1, "{queue:?}");
        }
        for binding in &topology.bindings {
            assert!(
                topology
                    .exchanges
                    .iter()
                    .any(|exchange| exchange.name == binding.exchange),
                "{binding:?}"
            );
        }
    }

    #[test]
    fn events_spread_over_the_shards_and_stay_there() {
        let topology = Topology::new(shards(4));
        let mut counts = [0_u32; 4];
        for n in 0..1_000_u64 {
            let mut random = [0_u8; 10];
            random[2..].copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
            let event = EventId::new(Timestamp::UNIX_EPOCH, random);
            let queue = topology.events_queue(Lane::Fast, event);
            assert_eq!(queue, topology.events_queue(Lane::Fast, event));
            let WorkQueue::Events { shard, .. } = queue else {
                panic!("an events queue")
            };
            counts[usize::from(shard)] += 1;
        }
        assert!(
            counts.iter().all(|count| (150..350).contains(count)),
            "{counts:?}"
        );
    }
}
