//! The API through the front door: a real socket, a real PostgreSQL. The names begin with the checklist's rows.

mod buildmarkets;
mod buildr;
mod endpoints;
mod events;
mod idempotency;
mod operation;
mod pages;
mod permissions;
mod records;
mod support;
