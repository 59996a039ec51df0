//! The store against a real PostgreSQL, one database a test.

mod accounts;
mod connections;
mod construction;
mod due;
mod emit;
mod endpoints;
mod events;
mod idempotency;
mod log;
mod migrations;
mod operating;
mod outbox;
mod partitions;
mod rates;
mod record;
mod recovery;
mod secrets;
mod sessions;
mod support;
