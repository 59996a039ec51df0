//! Identifiers: each its own type, so that an endpoint's number never travels as a tenant's.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::Timestamp;

/// The text is not an identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: expected {form}")]
pub struct InvalidId {
    kind: &'static str,
    form: &'static str,
}

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // One id, one text: the number's parser also takes `+42` and `042`.
                text.parse::<i64>()
                    .ok()
                    .filter(|_| text.starts_with(|first: char| matches!(first, '1'..='9')))
                    .map(Self)
                    .ok_or(InvalidId { kind: $kind, form: "a positive integer" })
            }
        }
    };
}

numeric_id!(
    /// A customer of the product that runs Plumbline.
    TenantId,
    "tenant"
);
numeric_id!(
    /// An endpoint's public number.
    EndpointId,
    "endpoint"
);
numeric_id!(
    /// An API key (its number, never its secret).
    ApiKeyId,
    "API key"
);
numeric_id!(
    /// A person of a tenant.
    UserId,
    "user"
);
numeric_id!(
    /// A person or firm that a tenant knows.
    ContactId,
    "contact"
);
numeric_id!(
    /// A firm that a tenant sells to.
    CompanyId,
    "company"
);
numeric_id!(
    /// A sale that may come about.
    OpportunityId,
    "opportunity"
);
numeric_id!(
    /// A construction project.
    ProjectId,
    "project"
);
numeric_id!(
    /// A bid (its id, not its `BID-001`).
    BidId,
    "bid"
);
numeric_id!(
    /// A pay application.
    PayAppId,
    "pay application"
);
numeric_id!(
    /// A change order.
    ChangeOrderId,
    "change order"
);
numeric_id!(
    /// A sign-in of a user (its number, never its token).
    SessionId,
    "session"
);

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id for this moment: UUIDv7, so that ids sort by time and name their day's partition.
            /// `random` must be ten fresh random bytes.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(unix_millis(now), &random).into_uuid())
            }

            /// The moment that the id carries, to the millisecond.
            pub fn timestamp(self) -> Timestamp {
                Timestamp::from_millisecond(i64::try_from(id_millis(self.0)).unwrap_or(i64::MAX))
                    .unwrap_or(Timestamp::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                self.0.as_simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(InvalidId { kind: $kind, form: concat!($prefix, " and 32 hex digits") })
            }
        }
    };
}

prefixed_id!(
    /// An event: `evt_` and 32 hex digits (S1-03).
    EventId,
    "event",
    "evt_"
);
prefixed_id!(
    /// A delivery: `dlv_` and 32 hex digits.
    DeliveryId,
    "delivery",
    "dlv_"
);

impl DeliveryId {
    /// The id of an event's first delivery to an endpoint.
    ///
    /// Derived, not drawn: whoever fans the same event out again, in another process or after a crash, arrives
    /// at the same id, so nothing is inserted twice. It keeps the event's time prefix, so that a delivery lies
    /// in the same day's partition as its event.
    pub fn derive(event: EventId, endpoint: EndpointId) -> Self {
        let mut digest = Sha256::new();
        digest.update(event.0.as_bytes());
        digest.update(endpoint.0.to_be_bytes());
        let digest = digest.finalize();
        let mut random = [0_u8; 10];
        random.copy_from_slice(&digest[..10]);
        Self(Builder::from_unix_timestamp_millis(id_millis(event.0), &random).into_uuid())
    }
}

fn unix_millis(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(0)
}

fn id_millis(id: Uuid) -> u64 {
    let b = id.as_bytes();
    u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).expect("in range")
    }

    #[test]
    fn s1_03_an_event_id_is_evt_and_hex_and_reads_back() {
        let id = EventId::new(at(1_700_000_000_123), [7; 10]);
        let text = id.to_string();
        assert!(text.starts_with("evt_") && text.len() == 36, "{text}");
        assert_eq!(text.parse::<EventId>(), Ok(id));
        assert_eq!(id.timestamp(), at(1_700_000_000_123));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "evt_",
            "evt_zz",
            "dlv_00000000000000000000000000000000",
            "evt_0000000000000000000000000000000G",
        ] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
        for text in ["0", "-1", "+1", "01", "x", "9223372036854775808", "1.0"] {
            assert!(text.parse::<EndpointId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_derived_id_is_stable_distinct_and_of_the_events_day(ms in 0_i64..4_000_000_000_000, random: [u8; 10], a in 1_i64.., b in 1_i64..) {
            let event = EventId::new(at(ms), random);
            let first = DeliveryId::derive(event, EndpointId(a));
            prop_assert_eq!(first, DeliveryId::derive(event, EndpointId(a)));
            prop_assert_eq!(first.timestamp(), event.timestamp());
            prop_assert_eq!(first == DeliveryId::derive(event, EndpointId(b)), a == b);
        }
    }
}
