//! `/api/v1` through the front door: a real socket, a real PostgreSQL. The names begin with the checklist's rows.

mod catalogue;
mod endpoints;
mod events;
mod idempotency;
mod operation;
mod pages;
mod permissions;
mod support;
