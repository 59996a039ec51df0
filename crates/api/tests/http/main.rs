//! `/api/v1` through the front door: a real socket, a real PostgreSQL. The names begin with the checklist's rows.

mod api_keys;
mod endpoints;
mod events;
mod idempotency;
mod limits;
mod operation;
mod pages;
mod people;
mod permissions;
mod sessions;
mod settings;
mod support;
mod users;
