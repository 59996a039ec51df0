//! The domain on RabbitMQ: the only crate that names an exchange or a queue.
//!
//! * [`topology`]: what exists in the broker, as data.
//! * [`wire`]: what travels through it.
//! * [`Publisher`]: publishes, and says so only when the broker has confirmed.
//! * [`Consumer`] and [`ConsumerGroup`]: hand out what arrives, with a [`Ticket`] to settle each message.
//! * [`Depths`] and [`QuietWatch`]: how deep the queues are, and whether "empty" can be believed.
//! * [`dead`]: what nobody could process, and why; and what an operator does with it.
//! * [`inspect`]: what an operator asks of a broker.
//! * [`purge`]: emptying all of it.
//!
//! Every connection is owned by one task, which drops it on any error and builds it again for as long as it
//! takes; `lapin`'s own recovery stays off, because it hung silently in one recovery of eight.
//!
//! TLS (`amqps`) uses the process's default rustls provider, which the process installs.
//! `lapin` logs the body of a message that the broker returns: keep its target (`lapin`) switched off in
//! production. Whatever matters in it is logged here, without bodies.

mod config;
mod connection;
pub mod consumer;
pub mod dead;
pub mod depth;
pub mod inspect;
pub mod publisher;
pub mod purge;
mod state;
pub mod topology;
pub mod wire;

pub use config::{AmqpUrl, BrokerConfig, InvalidAmqpUrl};
pub use connection::LinkError;
pub use consumer::{Consumer, ConsumerGroup, ConsumerHandle, ConsumerSpec, Inbox, Incoming, Ticket};
pub use dead::{DeadLetter, DeadReason};
pub use depth::{DepthError, Depths, QuietWatch, Scope};
pub use publisher::{PublishError, Publisher};
pub use state::{BrokerState, Disconnection};
pub use topology::{Topology, WorkQueue};
pub use wire::{Chunk, EventMessage, RetryMessage, Undecodable};
