//! What a webhook is: every decision that needs no I/O.
//!
//! Nothing here reads a clock, a socket or a random source: time and chance come in as values, so that each
//! decision can be tested as a table. See `docs/ARCHITECTURE.md` for who may depend on whom.

pub mod address;
pub mod construction;
pub mod delay;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod gate;
pub mod health;
pub mod ids;
pub mod json;
pub mod lane;
pub mod network;
pub mod operational;
pub mod outcome;
pub mod permission;
pub mod profile;
pub mod quota;
pub mod rate;
pub mod resource;
pub mod retry;
pub mod secret;
pub mod signing;
pub mod trace;
pub mod verification;

pub use address::{AddressPolicy, EndpointUrl, ForbiddenAddress};
pub use delivery::{Delivery, DeliveryKind, DeliveryStatus, FailureCode};
pub use endpoint::{CustomHeaders, DisabledReason, Endpoint, Subscription};
pub use event::{Event, EventType, Payload};
pub use ids::{
    ApiKeyId, BidId, ChangeOrderId, CompanyId, ContactId, DeliveryId, EndpointId, EventId, OpportunityId,
    PayAppId, ProjectId, SessionId, TenantId, UserId,
};
pub use json::JsonText;
pub use lane::Lane;
pub use network::{AllowedIps, TrustedProxies};
pub use outcome::{Answer, AttemptOutcome, StatusCode, Timing, Unreachable, Verdict};
pub use permission::{Principal, Role, Scope, Scopes};
pub use profile::Profile;
pub use resource::ResourceUrls;
pub use retry::{Next, RetrySchedule};
pub use secret::{KeyDerivation, SecretVersion, SigningSecret};
pub use trace::{TraceContext, Tracer};

/// A point in time, to the nanosecond, in UTC.
pub use jiff::Timestamp;
/// A day of the calendar.
pub use jiff::civil::Date;
