//! What the API answers, as far as it is read here. What is only passed on stays as it was written.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::ClientError;

/// Read an answer, or a part of one.
pub(crate) fn read<T: DeserializeOwned>(json: &RawValue) -> Result<T, ClientError> {
    serde_json::from_str(json.get()).map_err(|error| ClientError::Unreadable(error.to_string()))
}

pub(super) fn read_bytes<T: DeserializeOwned>(json: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(json).map_err(|error| ClientError::Unreadable(error.to_string()))
}

#[derive(Deserialize)]
pub(super) struct Envelope {
    pub(super) data: Box<RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<Box<RawValue>>,
    pub(super) meta: PageMeta,
}

#[derive(Deserialize)]
pub(super) struct PageMeta {
    pub(super) pagination: Pagination,
}

#[derive(Deserialize)]
pub(super) struct Pagination {
    pub(super) cursor: Option<String>,
}

/// A problem (RFC 9457).
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) detail: String,
    pub(super) code: String,
    #[serde(default)]
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) errors: Vec<FieldProblem>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FieldProblem {
    pub(super) field: String,
    pub(super) message: String,
}

/// Who asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    pub(crate) tenant_id: i64,
    pub(crate) tenant_name: String,
}

/// The tenant's settings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) resource_url_template: Option<String>,
}

/// An event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) created_at: String,
    pub(crate) data: Box<RawValue>,
    pub(crate) previous_attributes: Option<Box<RawValue>>,
}

/// An event that was accepted.
#[derive(Deserialize)]
pub(crate) struct Accepted {
    pub(crate) id: String,
}

/// An event type of the catalogue.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventType {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) schema: Option<Box<RawValue>>,
    pub(crate) example: Option<Box<RawValue>>,
    pub(crate) is_custom: bool,
    pub(crate) deprecated: bool,
}

/// An endpoint.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    pub(crate) id: i64,
    pub(crate) url: String,
    pub(crate) event_types: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) is_active: bool,
    pub(crate) disabled_reason: Option<String>,
    #[serde(default)]
    pub(crate) disabled_at: Option<String>,
    pub(crate) profile: String,
    pub(crate) rate_limit: Option<u32>,
    #[serde(default)]
    pub(crate) header_names: Vec<String>,
    pub(crate) consecutive_failures: u32,
    pub(crate) created_at: String,
    pub(crate) signing_secret: Option<String>,
}

/// A secret that was rotated, or took over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rotated {
    pub(crate) signing_secret: Option<String>,
    pub(crate) activates_at: String,
}

/// A test that was sent on its way.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentTest {
    pub(crate) delivery_id: String,
}

/// What a recovery sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recovered {
    pub(crate) deliveries: u64,
    #[serde(default)]
    pub(crate) started_at: Option<String>,
}

/// A delivery.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) endpoint_id: i64,
    pub(crate) status: String,
    pub(crate) attempt_count: u32,
    pub(crate) response_status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) next_attempt_at: Option<String>,
    pub(crate) created_at: String,
    pub(crate) completed_at: Option<String>,
    pub(crate) replay_of: Option<String>,
}

/// What is known of a delivery besides.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryDetail {
    pub(crate) payload: Option<Box<RawValue>>,
    pub(crate) attempts: Vec<Attempt>,
    #[serde(default)]
    pub(crate) endpoint_url: Option<String>,
}

/// One POST.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) started_at: String,
    pub(crate) duration_ms: u64,
    pub(crate) response_status: Option<u16>,
    pub(crate) response_body: Option<String>,
    pub(crate) error: Option<AttemptError>,
    #[serde(default)]
    pub(crate) timing: Option<Timing>,
}

/// Why there was no answer.
#[derive(Deserialize)]
pub(crate) struct AttemptError {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Where an attempt's time went, in milliseconds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timing {
    pub(crate) dns_ms: Option<f64>,
    pub(crate) connect_ms: Option<f64>,
    pub(crate) tls_ms: Option<f64>,
    pub(crate) wait_ms: Option<f64>,
    pub(crate) read_ms: Option<f64>,
}

/// How deliveries fare.
#[derive(Deserialize)]
pub(crate) struct Stats {
    pub(crate) totals: Totals,
    #[serde(default)]
    pub(crate) endpoints: Vec<EndpointStats>,
}

/// Deliveries by their status.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) exhausted: u64,
    pub(crate) pending: u64,
    pub(crate) skipped: u64,
}

/// How an endpoint's deliveries fare.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointStats {
    pub(crate) endpoint_id: i64,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    pub(crate) success_rate: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) last_delivery_at: Option<String>,
}
