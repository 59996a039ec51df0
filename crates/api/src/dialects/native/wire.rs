//! What `/api/v1` reads and writes: the JSON shapes, and the way between them and the domain.

use std::collections::BTreeMap;

use plumbline_domain::endpoint::{HIDDEN_VALUE, is_reserved_header};
use plumbline_domain::{Delivery, Endpoint, Event, JsonText, Subscription, Timestamp, Timing};
use plumbline_engine::catalogue::EventTypeRecord;
use plumbline_engine::deliveries::{Attempt, DeliveryDetail, Recovered};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::{optional_time, time};

/// JSON that goes out byte for byte as it came in.
fn raw(json: &str) -> Option<Box<RawValue>> {
    // It was valid when it was stored; should it not be now, the rest of the answer is still of use.
    RawValue::from_string(json.to_owned()).ok()
}

/// An endpoint to register.
#[derive(ToSchema)]
#[schema(as = NewWebhookEndpoint, rename_all = "camelCase", example = json!({
    "url": "https://hooks.example.com/bwp",
    "eventTypes": ["bid.accepted"],
    "description": "Notify sales when a bid is won"
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewEndpointDocument {
    /// A public https URL, on port 443 or 8443 unless the operator allows others.
    #[schema(max_length = 2048, format = "uri")]
    url: String,
    /// The event types to receive, from `GET /api/v1/webhook-event-types`.
    #[schema(min_items = 1, max_items = 200)]
    event_types: Vec<String>,
    /// What it is for.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// Requests per minute at most; without it there is no limit.
    #[schema(minimum = 1, maximum = 2147483647)]
    rate_limit: Option<i64>,
    /// Extra headers of every request to it: at most 20, and none that the sender sets itself. Their values are never
    /// shown again.
    headers: Option<BTreeMap<String, String>>,
}

/// What to change of an endpoint; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = WebhookEndpointChanges, rename_all = "camelCase", example = json!({"isActive": false}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct EndpointChangesDocument {
    /// A public https URL, on port 443 or 8443 unless the operator allows others.
    #[schema(max_length = 2048, format = "uri", required = false, nullable = false)]
    url: String,
    /// The event types to receive: they replace the present ones.
    #[schema(min_items = 1, max_items = 200, required = false, nullable = false)]
    event_types: Vec<String>,
    /// What it is for; null removes it.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// Requests per minute at most; null removes the limit.
    #[schema(minimum = 1, maximum = 2147483647)]
    rate_limit: Option<i64>,
    /// Extra headers of every request to it: they replace the present ones, all of them; `{}` removes them.
    #[schema(required = false, nullable = false)]
    headers: BTreeMap<String, String>,
    /// `false` pauses the endpoint; `true` enables it, which resets the failure count and sends nothing by itself.
    #[schema(required = false, nullable = false)]
    is_active: bool,
}

/// How to rotate a secret.
#[derive(ToSchema)]
#[schema(as = SecretRotation, rename_all = "camelCase", example = json!({"activateInSeconds": 3600}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct RotationDocument {
    /// Prepare the new secret: the old one signs until then, or until `activate-secret`. Without it, the new one
    /// signs from now on.
    #[schema(minimum = 1, maximum = 2592000)]
    activate_in_seconds: Option<i64>,
}

/// What to send again.
#[derive(ToSchema)]
#[schema(as = Recovery, rename_all = "camelCase", example = json!({"since": "2026-04-25T17:00:00Z", "dryRun": true}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct RecoveryDocument {
    /// From when on deliveries were recorded.
    #[schema(format = "date-time")]
    since: String,
    /// Until when; now, if it is left out.
    #[schema(format = "date-time")]
    until: Option<String>,
    /// Only count.
    dry_run: Option<bool>,
}

/// An event type to add to the tenant's catalogue.
#[derive(ToSchema)]
#[schema(as = NewWebhookEventType, rename_all = "camelCase", example = json!({
    "name": "invoice.paid", "description": "An invoice was paid in full.", "example": {"id": 7, "status": "paid"}
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewEventTypeDocument {
    /// Dotted lower-case words. Names that begin with `webhook.` or `endpoint.` are the service's own.
    #[schema(max_length = 128, pattern = "^[a-z0-9_]+(\\.[a-z0-9_]+)+$")]
    name: String,
    /// What it means.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// A JSON Schema of `data`, at most 64 KiB, which publishing enforces. Draft 2020-12 unless its `$schema` says
    /// otherwise; references stay within it.
    #[schema(value_type = Option<Object>)]
    schema: Option<()>,
    /// An example of `data`, at most 64 KiB, which satisfies the schema.
    #[schema(value_type = Option<Object>)]
    example: Option<()>,
}

/// What to change of an event type of the tenant's own; what is left out stays as it is, and null removes it.
#[derive(ToSchema)]
#[schema(as = WebhookEventTypeChanges, rename_all = "camelCase", example = json!({
    "description": "Use invoice.settled.", "deprecated": true
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct EventTypeChangesDocument {
    /// What it means.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// A JSON Schema of `data`, as at creation. What was accepted before is not checked again.
    #[schema(value_type = Option<Object>)]
    schema: Option<()>,
    /// An example of `data`, which satisfies the schema.
    #[schema(value_type = Option<Object>)]
    example: Option<()>,
    /// Whether new subscriptions to it are refused. It is published and delivered all the same.
    #[schema(required = false, nullable = false)]
    deprecated: bool,
}

/// An event to publish.
#[derive(ToSchema)]
#[schema(as = NewEvent, example = json!({"type": "bid.accepted", "data": {"id": 22, "status": "accepted"}}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewEventDocument {
    /// A type of the catalogue: any product's or the tenant's own.
    #[schema(rename = "type", example = "bid.accepted")]
    event_type: String,
    /// The resource as it is now. It is delivered byte for byte as it is sent here; nested at most 64 levels.
    #[schema(value_type = Object)]
    data: (),
    /// The prior values of what changed. Together with `data` at most 256 KiB unless configured.
    #[schema(value_type = Option<Object>)]
    previous_attributes: Option<()>,
    /// When it happened; now, if it is left out.
    #[schema(rename = "occurredAt", format = "date-time")]
    occurred_at: Option<String>,
}

/// Events to publish together: all of them or none.
#[derive(ToSchema)]
#[schema(as = NewEvents)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewEventsDocument {
    /// The events, in the order of their ids in the answer.
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<NewEventDocument>,
}

/// One event, or several to be published together.
#[derive(ToSchema)]
#[schema(as = Publication)]
#[serde(untagged)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) enum PublicationDocument {
    /// One event.
    One(NewEventDocument),
    /// Several.
    Many(NewEventsDocument),
}

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointWire {
    /// Its number.
    #[schema(example = 17)]
    id: i64,
    /// Its UUID, by which other dialects know it.
    #[schema(format = "uuid")]
    uid: String,
    /// Where events are sent.
    #[schema(example = "https://hooks.example.com/bwp")]
    url: String,
    /// What it receives. Empty, for endpoints of another dialect: everything that the tenant emits, now and later.
    #[schema(example = json!(["bid.accepted"]))]
    event_types: Vec<String>,
    /// What it is for.
    #[schema(required = true, example = "Notify sales when a bid is won")]
    description: Option<String>,
    /// Whether events are sent.
    is_active: bool,
    /// Why not: `manual`, `consecutive_failures` or `gone`.
    #[schema(required = true)]
    disabled_reason: Option<&'static str>,
    /// Since when not; null also for what was disabled before this was noted.
    #[serde(serialize_with = "optional_time")]
    #[schema(required = true, value_type = Option<String>, format = "date-time")]
    disabled_at: Option<Timestamp>,
    /// The product whose deliveries it understands.
    #[schema(example = "buildworkpro")]
    profile: &'static str,
    /// Requests per minute at most; null is no limit.
    #[schema(required = true)]
    rate_limit: Option<u32>,
    /// The names of the extra headers of every request to it. Their values, which may be credentials, are never shown.
    #[schema(example = json!(["Authorization"]))]
    header_names: Vec<String>,
    /// Failed attempts since the last success.
    consecutive_failures: u32,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<Endpoint> for EndpointWire {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id.0,
            uid: endpoint.uid.to_string(),
            url: endpoint.url.as_str().to_owned(),
            event_types: match &endpoint.subscription {
                Subscription::All => vec![],
                Subscription::Types(types) => types.iter().map(ToString::to_string).collect(),
            },
            is_active: endpoint.is_active(),
            description: endpoint.description,
            disabled_reason: endpoint.disabled.map(|reason| reason.as_str()),
            disabled_at: endpoint.disabled_at,
            profile: endpoint.profile.as_str(),
            rate_limit: endpoint.rate_limit.map(std::num::NonZeroU32::get),
            header_names: endpoint.header_names,
            consecutive_failures: endpoint.consecutive_failures,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint that was just registered, with the secret that is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedWebhookEndpoint)]
pub(super) struct CreatedEndpointWire {
    #[serde(flatten)]
    pub(super) endpoint: EndpointWire,
    /// Verifies deliveries. Save it now: it is never shown again, nor in a repetition by `Idempotency-Key`.
    #[serde(rename = "signingSecret", skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_5f3c1b2a…")]
    pub(super) signing_secret: Option<String>,
}

/// A rotated secret.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedSecret)]
#[serde(rename_all = "camelCase")]
pub(super) struct RotatedWire {
    /// The endpoint.
    #[schema(example = 17)]
    pub(super) id: i64,
    /// The new secret. Save it now: it is never shown again, nor in a repetition by `Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_5f3c1b2a…")]
    pub(super) signing_secret: Option<String>,
    /// From when on it signs.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    pub(super) activates_at: Timestamp,
}

/// A secret that took over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActivatedSecret)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActivatedWire {
    /// The endpoint.
    #[schema(example = 17)]
    pub(super) id: i64,
    /// From when on the prepared secret signs.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    pub(super) activates_at: Timestamp,
}

/// A test that was sent on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentTest)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentTestWire {
    /// The synthetic event.
    #[schema(example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub(super) event_id: String,
    /// Its delivery: follow it with `GET /api/v1/webhook-deliveries/{id}`.
    #[schema(example = "dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub(super) delivery_id: String,
}

/// What a recovery sends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recovered)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecoveredWire {
    /// Deliveries that are sent again, or would be.
    pub(super) deliveries: usize,
    /// When they were made: `GET /api/v1/webhook-stats` with this as `since` and with `kind=replay` says how they go.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    pub(super) started_at: Timestamp,
}

impl From<Recovered> for RecoveredWire {
    fn from(recovered: Recovered) -> Self {
        Self {
            deliveries: recovered.deliveries,
            started_at: recovered.started_at,
        }
    }
}

/// A delivery: one event to one endpoint, over all its attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryWire {
    /// Its id.
    #[schema(example = "dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    id: String,
    /// The event that it carries.
    #[schema(example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    event_id: String,
    /// The event's type.
    #[schema(example = "bid.accepted")]
    event_type: String,
    /// Where it goes.
    #[schema(example = 17)]
    endpoint_id: i64,
    #[schema(value_type = StatusDocument)]
    status: &'static str,
    /// Attempts made so far.
    attempt_count: u16,
    /// The last answer's status.
    #[schema(required = true)]
    response_status: Option<u16>,
    /// Why the last attempt, or the delivery itself, failed without an acceptable answer.
    #[schema(required = true, value_type = Option<FailureDocument>)]
    error: Option<&'static str>,
    /// When the next attempt is due; only while pending.
    #[serde(serialize_with = "optional_time")]
    #[schema(required = true, value_type = Option<String>, format = "date-time")]
    next_attempt_at: Option<Timestamp>,
    /// When it was recorded.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was settled.
    #[serde(serialize_with = "optional_time")]
    #[schema(required = true, value_type = Option<String>, format = "date-time")]
    completed_at: Option<Timestamp>,
    /// The delivery that it repeats.
    #[schema(required = true)]
    replay_of: Option<String>,
}

/// Where a delivery stands: `pending` also while it waits for a retry, `failed` when we stopped, `exhausted` when the
/// retry schedule ran out, `skipped` when the endpoint was disabled at the time.
#[derive(ToSchema)]
#[schema(as = WebhookDeliveryStatus, rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the names that the domain gives its statuses")]
pub(super) enum StatusDocument {
    Pending,
    Succeeded,
    Failed,
    Exhausted,
    Skipped,
}

/// Why an attempt or a delivery failed.
#[derive(ToSchema)]
#[schema(as = WebhookFailureCode, rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the names that the domain gives its failures")]
pub(super) enum FailureDocument {
    Timeout,
    ConnectFailed,
    DnsFailed,
    TlsFailed,
    Reset,
    AddressForbidden,
    BadResponse,
    EndpointDisabled,
    EndpointDeleted,
}

impl From<Delivery> for DeliveryWire {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            event_id: delivery.event.to_string(),
            event_type: delivery.event_type.to_string(),
            endpoint_id: delivery.endpoint.0,
            status: delivery.status.as_str(),
            attempt_count: delivery.attempt_count,
            response_status: delivery.response_status,
            error: delivery.error.map(|code| code.as_str()),
            next_attempt_at: delivery.next_attempt_at,
            created_at: delivery.created_at,
            completed_at: delivery.completed_at,
            replay_of: delivery.replay_of.map(|id| id.to_string()),
        }
    }
}

/// A delivery with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookDeliveryDetail)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryDetailWire {
    #[serde(flatten)]
    delivery: DeliveryWire,
    /// The body of its requests, byte for byte; null once the event is past retention.
    #[schema(required = true, value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// The endpoint's URL as it is now; null once the endpoint is deleted.
    #[schema(required = true)]
    endpoint_url: Option<String>,
    /// The product whose deliveries the endpoint understands.
    #[schema(required = true, example = "buildworkpro")]
    profile: Option<&'static str>,
    /// Its attempts, in order.
    attempts: Vec<AttemptWire>,
}

impl From<DeliveryDetail> for DeliveryDetailWire {
    fn from(detail: DeliveryDetail) -> Self {
        Self {
            delivery: detail.delivery.into(),
            payload: detail.body.and_then(|body| raw(&String::from_utf8_lossy(&body))),
            endpoint_url: detail.endpoint_url,
            profile: detail.profile.map(|profile| profile.as_str()),
            attempts: detail.attempts.into_iter().map(AttemptWire::from).collect(),
        }
    }
}

/// One POST.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptWire {
    /// 1 for the first.
    #[schema(minimum = 1)]
    number: u16,
    /// When it began.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    started_at: Timestamp,
    /// How long it took.
    duration_ms: u32,
    /// Where that time went; null for attempts that an earlier version recorded.
    #[schema(required = true)]
    timing: Option<TimingWire>,
    /// What was sent, besides the payload; `[hidden]` for the values of the endpoint's own headers.
    request_headers: BTreeMap<String, String>,
    /// The answer's status; null when there was no answer.
    #[schema(required = true)]
    response_status: Option<u16>,
    /// Some of the answer's headers.
    #[schema(required = true)]
    response_headers: Option<BTreeMap<String, String>>,
    /// The first 10 KB of the answer's body.
    #[schema(required = true)]
    response_body: Option<String>,
    /// Why there was no answer.
    #[schema(required = true)]
    error: Option<AttemptErrorWire>,
}

impl From<Attempt> for AttemptWire {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            timing: attempt.timing.map(TimingWire::from),
            request_headers: sent_headers(&attempt.request_headers),
            response_status: attempt.response_status,
            response_headers: attempt.response_headers.as_deref().map(headers),
            // A receiver's body may be anything, and may be cut within a character.
            response_body: attempt
                .response_body
                .map(|body| String::from_utf8_lossy(&body).into_owned()),
            error: attempt.error_code.map(|code| AttemptErrorWire {
                code: code.as_str(),
                message: attempt.error_message.unwrap_or_default(),
            }),
        }
    }
}

/// Where an attempt's time went, in milliseconds, to the microsecond. A part is null where the attempt did not come that
/// far, or did without: an address that was still known, a connection that was kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAttemptTiming)]
#[serde(rename_all = "camelCase")]
struct TimingWire {
    /// Looking up the name.
    #[schema(required = true)]
    dns_ms: Option<f64>,
    /// Until TCP was connected.
    #[schema(required = true)]
    connect_ms: Option<f64>,
    /// Until TLS was agreed on.
    #[schema(required = true)]
    tls_ms: Option<f64>,
    /// From the request to the last header of the answer.
    #[schema(required = true)]
    wait_ms: Option<f64>,
    /// Reading the body.
    #[schema(required = true)]
    read_ms: Option<f64>,
}

impl From<Timing> for TimingWire {
    fn from(timing: Timing) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an attempt lasts seconds")]
        let [dns_ms, connect_ms, tls_ms, wait_ms, read_ms] = timing
            .parts()
            .map(|part| part.map(|part| part.as_micros() as f64 / 1_000.0));
        Self {
            dns_ms,
            connect_ms,
            tls_ms,
            wait_ms,
            read_ms,
        }
    }
}

/// Stored headers: `[["Name", "value"], …]`. Should they not be readable, the rest of the log still is.
fn headers(stored: &str) -> BTreeMap<String, String> {
    let pairs: Vec<(String, String)> = serde_json::from_str(stored).unwrap_or_default();
    pairs.into_iter().collect()
}

/// What was sent, without the values of the customer's own headers: a version before V10 recorded them.
fn sent_headers(stored: &str) -> BTreeMap<String, String> {
    let mut sent = headers(stored);
    for (name, value) in &mut sent {
        if !is_reserved_header(name) {
            HIDDEN_VALUE.clone_into(value);
        }
    }
    sent
}

/// Why there was no answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAttemptError)]
struct AttemptErrorWire {
    #[schema(value_type = FailureDocument)]
    code: &'static str,
    /// The failure in words.
    message: String,
}

/// An event type of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEventType)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypeWire {
    /// Its name.
    #[schema(example = "bid.accepted")]
    name: String,
    /// What it means.
    #[schema(required = true)]
    description: Option<String>,
    /// A JSON Schema of `data`, which publishing enforces.
    #[schema(required = true, value_type = Option<Object>)]
    schema: Option<Box<RawValue>>,
    /// An example of `data`.
    #[schema(required = true, value_type = Option<Object>)]
    example: Option<Box<RawValue>>,
    /// Whether it is the tenant's own; the others are the product's.
    is_custom: bool,
    /// Whether new subscriptions to it are refused.
    deprecated: bool,
    /// When it was added.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

impl From<EventTypeRecord> for EventTypeWire {
    fn from(record: EventTypeRecord) -> Self {
        Self {
            name: record.name.to_string(),
            description: record.description,
            schema: record.schema.as_deref().and_then(raw),
            example: record.example.as_deref().and_then(raw),
            is_custom: record.own,
            deprecated: record.deprecated_at.is_some(),
            created_at: record.created_at,
        }
    }
}

/// An event that was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedEvent)]
pub(super) struct AcceptedWire {
    /// Its id, which every receiver sees in every delivery of it.
    #[schema(example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    pub(super) id: String,
}

/// What was accepted, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accepted)]
#[serde(untagged)]
pub(super) enum PublishedWire {
    /// The event of a request for one.
    One(AcceptedWire),
    /// The events of a request for several.
    Many(Vec<AcceptedWire>),
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventWire {
    /// Its id.
    #[schema(example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    id: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(example = "bid.accepted")]
    event_type: String,
    /// When it happened.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// The resource at that time, byte for byte as it was published.
    #[schema(required = true, value_type = Object)]
    data: Option<Box<RawValue>>,
    /// The prior values of what changed, byte for byte as they were published.
    #[schema(required = true, value_type = Option<Object>)]
    previous_attributes: Option<Box<RawValue>>,
}

impl From<Event> for EventWire {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            created_at: event.occurred_at,
            data: raw(event.data.as_str()),
            previous_attributes: event
                .previous_attributes
                .as_ref()
                .map(JsonText::as_str)
                .and_then(raw),
        }
    }
}

/// Who asks: an API key or a signed-in user, and what it may do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeWire {
    /// The tenant's number.
    #[schema(example = 17)]
    pub(super) tenant_id: i64,
    /// The tenant's name.
    #[schema(example = "Acme Builders")]
    pub(super) tenant_name: String,
    /// The key's number; null for a signed-in user.
    #[schema(required = true, example = 3)]
    pub(super) key_id: Option<i64>,
    /// The user's number; null for a key.
    #[schema(required = true)]
    pub(super) user_id: Option<i64>,
    /// The user's role, `company_admin` or `member`; null for a key.
    #[schema(required = true)]
    pub(super) role: Option<&'static str>,
    /// What a key may do; `*` is everything. For a user `*` when a `company_admin`, and empty when a `member`, who
    /// reads.
    #[schema(example = json!(["webhooks:manage", "events:write"]))]
    pub(super) scopes: Vec<&'static str>,
}
