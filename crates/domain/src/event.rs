//! An event: an immutable fact of a tenant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{EventId, JsonText, TenantId, Timestamp};

/// The longest name of an event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

/// The largest payload that an event carries along, in bytes. A larger one stays in the database until it is needed: what
/// waits in memory is bounded by its number then.
pub const CARRIED_BYTES_MAX: usize = 16 * 1024;

/// The type of the synthetic test event; nobody can subscribe to it (G20).
pub const WEBHOOK_TEST: &str = "webhook.test";

/// A canonical, dotted event type such as `bid.accepted` (S1-04).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Arc<str>);

/// The text is not the name of an event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an event type name: use dotted lower-case words such as `invoice.paid`, at most {EVENT_TYPE_BYTES_MAX} bytes"
)]
pub struct InvalidEventType;

impl EventType {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the synthetic test event's type.
    pub fn is_test(&self) -> bool {
        &*self.0 == WEBHOOK_TEST
    }

    /// Whether the name is Plumbline's own: tenants can neither define nor publish it.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("webhook.") || self.0.starts_with("endpoint.")
    }
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        };
        let dotted = text.contains('.') && text.split('.').all(word);
        if text.len() > EVENT_TYPE_BYTES_MAX || !dotted {
            return Err(InvalidEventType);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An accepted event. Cloning is cheap: the payload is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, which every receiver sees in every delivery of it.
    pub id: EventId,
    /// Whose fact it is.
    pub tenant: TenantId,
    /// Its canonical type.
    pub event_type: EventType,
    /// The resource snapshot, exactly as published.
    pub data: JsonText,
    /// The prior values of what changed, exactly as published.
    pub previous_attributes: Option<JsonText>,
    /// When it happened: constant over retries and replays (S1-05).
    pub occurred_at: Timestamp,
    /// The version of the tenant's endpoints at the moment of acceptance: only endpoints that existed then
    /// receive the event, however late it is fanned out.
    pub endpoints_version: i64,
}

/// Where the payload of an event on its way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// With the event.
    Carried,
    /// In the database alone. The event at hand has `null` for it, and no previous attributes.
    Stored {
        /// Its size.
        bytes: u32,
    },
}

impl Event {
    /// The size of its payload, previous attributes included.
    pub fn payload_bytes(&self) -> usize {
        let previous = self.previous_attributes.as_ref();
        self.data.as_str().len() + previous.map_or(0, |json| json.as_str().len())
    }

    /// The event as it travels, and where its payload is meanwhile: one of more than [`CARRIED_BYTES_MAX`] stays behind.
    pub fn travelling(self) -> (Self, Payload) {
        let bytes = self.payload_bytes();
        if bytes <= CARRIED_BYTES_MAX {
            return (self, Payload::Carried);
        }
        let bare = Self {
            data: JsonText::from_valid("null"),
            previous_attributes: None,
            ..self
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        (bare, Payload::Stored { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_payload_stays_behind_and_its_size_is_known() {
        for (data, previous, stored) in [
            (2, None, None),
            (CARRIED_BYTES_MAX, None, None),
            (CARRIED_BYTES_MAX - 10, Some(10), None),
            (CARRIED_BYTES_MAX - 10, Some(11), Some(16_385)),
            (256 * 1024, None, Some(262_144)),
        ] {
            let text = |bytes: usize| JsonText::from_valid("1".repeat(bytes));
            let event = Event {
                id: EventId::new(Timestamp::UNIX_EPOCH, [1; 10]),
                tenant: TenantId(1),
                event_type: "bid.created".parse().expect("a name"),
                data: text(data),
                previous_attributes: previous.map(text),
                occurred_at: Timestamp::UNIX_EPOCH,
                endpoints_version: 3,
            };
            let (travelling, payload) = event.clone().travelling();
            match stored {
                None => assert_eq!((travelling, payload), (event, Payload::Carried)),
                Some(bytes) => {
                    assert_eq!(payload, Payload::Stored { bytes });
                    assert_eq!(travelling.payload_bytes(), 4);
                    assert_eq!(travelling.id, event.id);
                }
            }
        }
    }

    #[test]
    fn s1_04_event_types_are_dotted_names() {
        for name in ["bid.accepted", "pay_app.submitted", "a.b.c", "x1.y_2"] {
            assert_eq!(
                name.parse::<EventType>().map(|t| t.to_string()),
                Ok(name.to_owned())
            );
        }
        let long = format!("a.{}", "b".repeat(127));
        for name in [
            "",
            "bid",
            "bid.",
            ".bid",
            "bid..x",
            "Bid.created",
            "bid created",
            "bid.\n",
            "bid.é",
            &long,
        ] {
            assert_eq!(name.parse::<EventType>(), Err(InvalidEventType), "{name}");
        }
    }

    #[test]
    fn plumblines_own_names_are_reserved() {
        for (name, reserved) in [
            ("webhook.test", true),
            ("endpoint.disabled", true),
            ("bid.created", false),
        ] {
            assert_eq!(
                name.parse::<EventType>().map(|t| t.is_reserved()),
                Ok(reserved),
                "{name}"
            );
        }
    }
}
