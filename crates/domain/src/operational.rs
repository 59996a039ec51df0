//! What the service itself tells a tenant: the event types that it emits and nobody else.
//!
//! They are code and not rows of the catalogue, because code emits them: a type that is listed is one that this very
//! release emits.

use crate::EventType;

/// The type of the event that tells of an endpoint that was disabled, because of failures or because it is gone.
pub const ENDPOINT_DISABLED: &str = "endpoint.disabled";
/// The type of the event that tells of an endpoint half-way to being disabled.
pub const ENDPOINT_FAILING: &str = "endpoint.failing";

/// An event type of the service's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationalType {
    /// Its name.
    pub name: &'static str,
    /// When it is emitted.
    pub description: &'static str,
    /// JSON Schema of its data.
    pub schema: &'static str,
    /// An example of its data.
    pub example: &'static str,
}

/// Every one, in the order of their names.
pub const OPERATIONAL_TYPES: [OperationalType; 2] = [
    OperationalType {
        name: ENDPOINT_DISABLED,
        description: "An endpoint was disabled by itself: too many attempts failed in a row, or it answered 410 Gone. \
                      Its events are skipped until it is enabled.",
        schema: ENDPOINT_SCHEMA,
        example: r#"{"id": 17, "uid": "5d2a8c1e-6f0b-4f43-9a57-0f6f0c1b7d11", "url": "https://example.com/webhook", "description": "Billing", "profile": "buildworkpro", "isActive": false, "reason": "consecutive_failures", "consecutiveFailures": 20, "disableAfter": 20, "failingSince": "2026-04-25T17:42:01.812Z", "lastResponseStatus": 503, "lastError": null}"#,
    },
    OperationalType {
        name: ENDPOINT_FAILING,
        description: "An endpoint is half-way to being disabled: so many attempts have failed in a row. Told once, until \
                      an attempt succeeds.",
        schema: ENDPOINT_SCHEMA,
        example: r#"{"id": 17, "uid": "5d2a8c1e-6f0b-4f43-9a57-0f6f0c1b7d11", "url": "https://example.com/webhook", "description": null, "profile": "buildworkpro", "isActive": true, "reason": "consecutive_failures", "consecutiveFailures": 10, "disableAfter": 20, "failingSince": "2026-04-25T17:42:01.812Z", "lastResponseStatus": null, "lastError": "timeout"}"#,
    },
];

/// Both tell of an endpoint as it is then.
const ENDPOINT_SCHEMA: &str = r#"{"type": "object", "required": ["id", "uid", "url", "profile", "isActive", "reason", "consecutiveFailures"], "properties": {"id": {"type": "integer"}, "uid": {"type": "string", "format": "uuid"}, "url": {"type": "string"}, "description": {"type": ["string", "null"]}, "profile": {"type": "string"}, "isActive": {"type": "boolean"}, "reason": {"enum": ["consecutive_failures", "gone"]}, "consecutiveFailures": {"type": "integer", "minimum": 0}, "disableAfter": {"type": "integer", "minimum": 0}, "failingSince": {"type": ["string", "null"], "format": "date-time"}, "lastResponseStatus": {"type": ["integer", "null"]}, "lastError": {"type": ["string", "null"]}}}"#;

/// The operational type of this name.
pub fn operational_type(name: &EventType) -> Option<&'static OperationalType> {
    OPERATIONAL_TYPES.iter().find(|known| known.name == name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_names_that_nobody_else_may_use_in_the_order_of_a_list() {
        let names = OPERATIONAL_TYPES.map(|known| known.name);
        assert!(names.is_sorted());
        for name in names {
            let parsed: EventType = name.parse().expect("a name");
            assert!(parsed.is_reserved());
            assert_eq!(operational_type(&parsed).map(|known| known.name), Some(name));
        }
        let test: EventType = crate::event::WEBHOOK_TEST.parse().expect("a name");
        assert_eq!(operational_type(&test), None, "nobody subscribes to it");
    }
}
