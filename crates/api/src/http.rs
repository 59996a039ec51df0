//! What every dialect needs to speak HTTP, before any of them says a word.
//!
//! Nothing here knows a product: requests are read into values, and what goes wrong is a [`Failure`] that the
//! dialect of the path turns into a response at the [`edge`].

mod body;
mod caller;
mod change;
mod connections;
mod cookie;
mod cursor;
mod door;
mod edge;
mod failure;
mod fields;
mod query;
mod request_id;
mod rfc3339;
mod stream;
mod time;

pub(crate) use self::body::{Body, BodyBudget, Incoming, Mutation};
pub(crate) use self::caller::{Caller, Uncounted};
pub(crate) use self::change::{Answer, change, replay, respond};
pub(crate) use self::connections::Connections;
pub(crate) use self::cookie::{SESSION_COOKIE, SessionCookie};
pub(crate) use self::cursor::{Cursors, ListKind};
pub(crate) use self::door::{Door, whole_seconds};
pub(crate) use self::edge::{Edge, Measured, edge};
pub(crate) use self::failure::Failure;
pub(crate) use self::fields::{Fields, FromJson, elements, invalid_type, shown, word};
pub(crate) use self::query::Parameters;
pub(crate) use self::request_id::RequestId;
pub(crate) use self::rfc3339::parse as parse_time;
pub(crate) use self::stream::{Found, Message, Source, Streams, stream};
pub(crate) use self::time::{optional_time, time};
