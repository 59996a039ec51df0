//! Buildmarkets' shapes.

use plumbline_domain::{Endpoint, Subscription, Timestamp};
use plumbline_engine::deliveries::HistoryEntry;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{optional_time, time};

/// A webhook to register.
#[derive(ToSchema)]
#[schema(as = NewWebhook, example = json!({"url": "https://example.com/webhooks", "events": ["order.filled"]}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewWebhookDocument {
    /// A public https URL, on port 443 or 8443 unless the operator allows others.
    #[schema(max_length = 2048, format = "uri")]
    url: String,
    /// The event types to receive; none at all is every type, also those that are added later.
    #[schema(max_items = 200)]
    events: Vec<String>,
}

/// What to change of a webhook; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = WebhookChanges, example = json!({"status": "disabled"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct WebhookChangesDocument {
    /// A public https URL, on port 443 or 8443 unless the operator allows others.
    #[schema(max_length = 2048, format = "uri", required = false, nullable = false)]
    url: String,
    /// The event types to receive: they replace the present ones; none at all is every type.
    #[schema(max_items = 200, required = false, nullable = false)]
    events: Vec<String>,
    /// `disabled` pauses the webhook, `active` resumes it.
    #[schema(required = false, nullable = false)]
    status: Status,
}

/// Whether events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookStatus)]
#[serde(rename_all = "snake_case")]
enum Status {
    Active,
    Disabled,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookWire {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// Where events are sent.
    url: String,
    /// What it receives; empty is every type, also those that are added later.
    events: Vec<String>,
    /// Whether events are sent.
    status: Status,
    /// When it was registered.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

/// A status as customers write it.
pub(super) fn is_active(status: &str) -> Option<bool> {
    match status {
        "active" => Some(true),
        "disabled" => Some(false),
        _ => None,
    }
}

impl From<Endpoint> for WebhookWire {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.uid.to_string(),
            url: endpoint.url.as_str().to_owned(),
            events: match &endpoint.subscription {
                Subscription::All => vec![],
                Subscription::Types(types) => types.iter().map(ToString::to_string).collect(),
            },
            status: if endpoint.is_active() {
                Status::Active
            } else {
                Status::Disabled
            },
            created_at: endpoint.created_at,
        }
    }
}

/// A webhook that was just registered, with the secret that is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhook)]
pub(super) struct CreatedWire {
    #[serde(flatten)]
    pub(super) webhook: WebhookWire,
    /// Verifies deliveries. Save it now: it is never shown again, nor in a repetition by `Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_…")]
    pub(super) secret: Option<String>,
}

/// A list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed<T> {
    /// The elements, newest first.
    pub(super) data: Vec<T>,
}

/// A test event on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentTest)]
pub(super) struct SentTestWire {
    /// The synthetic event.
    #[schema(example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub(super) id: String,
    /// Always `webhook.test`.
    #[schema(example = "webhook.test")]
    pub(super) event_type: String,
    /// Its delivery.
    #[schema(example = "dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub(super) delivery_id: String,
}

/// One attempt, or the next one of a delivery that is not done yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(super) struct AttemptWire {
    /// Its id: the delivery's and the attempt's number.
    #[schema(example = "dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b-1")]
    id: String,
    /// The event.
    event_id: String,
    /// The event's type.
    #[schema(example = "order.filled")]
    event_type: String,
    /// How it went; `pending` is still to come.
    status: AttemptStatus,
    /// Its number within the delivery, from 1.
    #[schema(minimum = 1)]
    attempt: u16,
    /// The receiver's answer, if there was one.
    #[schema(required = true)]
    response_status: Option<u16>,
    /// Why there was no answer.
    #[schema(required = true)]
    error: Option<&'static str>,
    /// When it was made.
    #[serde(serialize_with = "optional_time")]
    #[schema(value_type = Option<String>, format = "date-time", required = true)]
    attempted_at: Option<Timestamp>,
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AttemptStatus)]
#[serde(rename_all = "snake_case")]
enum AttemptStatus {
    Succeeded,
    Failed,
    Pending,
}

impl From<HistoryEntry> for AttemptWire {
    fn from(entry: HistoryEntry) -> Self {
        let succeeded = entry
            .response_status
            .is_some_and(|status| (200..300).contains(&status));
        Self {
            id: format!("{}-{}", entry.delivery, entry.number),
            event_id: entry.event.to_string(),
            event_type: entry.event_type.to_string(),
            status: match (entry.started_at, succeeded) {
                (None, _) => AttemptStatus::Pending,
                (Some(_), true) => AttemptStatus::Succeeded,
                (Some(_), false) => AttemptStatus::Failed,
            },
            attempt: entry.number,
            response_status: entry.response_status,
            error: entry.error.map(plumbline_domain::FailureCode::as_str),
            attempted_at: entry.started_at,
        }
    }
}
