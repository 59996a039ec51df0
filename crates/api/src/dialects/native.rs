//! `/api/v1`: BuildWorkPro's API, and what we add to it.

mod account_wire;
mod api_keys;
mod deliveries;
mod endpoints;
mod envelope;
mod event_types;
mod events;
mod listening;
mod me;
pub(crate) mod openapi;
pub(crate) mod problem;
mod records;
pub(crate) mod routes;
mod sessions;
mod settings;
mod stats;
mod users;
mod wire;

pub(crate) use self::events::asked as publication;
