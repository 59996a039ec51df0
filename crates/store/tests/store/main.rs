//! The store against a real PostgreSQL, one database a test.

mod accounts;
mod connections;
mod due;
mod emit;
mod endpoints;
mod events;
mod idempotency;
mod log;
mod outbox;
mod partitions;
mod record;
mod recovery;
mod secrets;
mod support;
