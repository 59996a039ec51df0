//! The API through the front door: a real socket, a real PostgreSQL. The names begin with the checklist's rows.

mod api_keys;
mod buildmarkets;
mod buildr;
mod catalogue;
mod endpoints;
mod events;
mod hostile;
mod idempotency;
mod isolation;
mod limits;
mod operation;
mod pages;
mod people;
mod permissions;
mod records;
mod sessions;
mod settings;
mod support;
mod users;
