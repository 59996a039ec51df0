//! The domain in PostgreSQL: one module an aggregate, plain SQL beside the function that runs it.
//!
//! [`Store`] is the pool; [`Session`] is a connection from it, in a transaction or not; everything else is a free
//! function that takes a session and, first of all, the tenant. Nothing outside this crate contains SQL.

pub mod api_keys;
pub mod construction;
pub mod deletion;
pub mod deliveries;
pub mod endpoints;
mod error;
pub mod event_types;
pub mod events;
pub mod idempotency;
pub mod inspection;
pub mod leadership;
pub mod listen;
mod migration;
pub mod outbox;
pub mod partitions;
#[cfg(test)]
mod plans;
pub mod rate_windows;
mod row;
pub mod secrets;
mod session;
pub mod sessions;
mod store;
pub mod tenants;
mod tls;
pub mod users;

// The tests' support, written for the tests outside, is used by those inside, too.
#[cfg(test)]
extern crate self as plumbline_store;

pub use error::{Cause, StoreError};
pub use session::Session;
pub use store::{PoolStatus, Store, StoreConfig};
