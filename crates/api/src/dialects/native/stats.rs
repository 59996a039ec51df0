//! How deliveries went over a time.

use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{DeliveryKind, Scope, Timestamp};
use plumbline_engine::Engine;
use plumbline_engine::stats::{AnswerTimes, Bucket, EndpointStats, Stats, StatsQuery, Tally};
use serde::Serialize;
use utoipa::ToSchema;

use super::deliveries::wanted_endpoint;
use super::envelope::{self, Envelope};
use super::openapi::{Common, Described, Scoped};
use super::wire::StatusDocument;
use crate::http::{Caller, Failure, Parameters, RequestId, time};

/// How deliveries went over a time, in all, in parts of it, and for each endpoint.
///
/// Counted by the time at which their events were accepted, or their replays asked for. At most 31 days, and the newest
/// 200,000 deliveries; answer times of more than 20,000 are those of a share of them. An answer may be two seconds old.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-stats",
    tag = "Deliveries",
    operation_id = "getWebhookStats",
    params(
        ("since" = Option<String>, Query, description = "From then on; a day before `until` unless given.", format = "date-time"),
        ("until" = Option<String>, Query, description = "Up to then; now unless given.", format = "date-time"),
        ("endpointId" = Option<i64>, Query, description = "Only deliveries to this endpoint.", example = 17),
        ("kind" = inline(Option<KindDocument>), Query, description = "Only deliveries of this kind; all but tests unless given.")
    ),
    responses(
        (status = 200, description = "The counts.", body = Envelope<StatsWire>),
        Described<(Common, Scoped)>
    )
)]
pub(super) async fn read(
    caller: Caller,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let query = StatsQuery {
        since: parameters.time("since"),
        until: parameters.time("until"),
        endpoint: wanted_endpoint(&mut parameters),
        kind: parameters.parsed("kind", DeliveryKind::parse, "must be event, replay or test"),
    };
    parameters.finish()?;

    let stats = engine.stats(tenant, query).await?;
    Ok(envelope::ok(id, StatsWire::from(&*stats)))
}

/// Why there is a delivery.
#[derive(ToSchema)]
#[schema(as = WebhookDeliveryKind, rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the names that the domain gives its kinds")]
enum KindDocument {
    Event,
    Replay,
    Test,
}

/// How deliveries went.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookStats)]
#[serde(rename_all = "camelCase")]
struct StatsWire {
    /// From then on: later than asked for when there were more deliveries than are counted.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    since: Timestamp,
    /// Up to then.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    until: Timestamp,
    /// The length of a bucket, in seconds; the first and the last may be shorter.
    bucket_seconds: i64,
    /// Whether all deliveries of the time asked for were counted.
    complete: bool,
    totals: TallyWire,
    /// How long receivers took to answer; null when nothing was answered.
    #[schema(required = true)]
    latency: Option<TimesWire>,
    /// In order, without gaps.
    buckets: Vec<BucketWire>,
    /// Those that had deliveries, the busiest first, at most 1,000.
    endpoints: Vec<EndpointStatsWire>,
}

/// Deliveries by status.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTally)]
struct TallyWire {
    succeeded: u64,
    failed: u64,
    exhausted: u64,
    /// What waits for a retry, too.
    pending: u64,
    skipped: u64,
}

/// How long receivers took to answer.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookLatency)]
#[serde(rename_all = "camelCase")]
struct TimesWire {
    /// Half took no longer.
    p50_ms: u32,
    /// 95 % took no longer.
    p95_ms: u32,
    /// 99 % took no longer.
    p99_ms: u32,
}

/// A part of the time.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookStatsBucket)]
#[serde(rename_all = "camelCase")]
struct BucketWire {
    /// When it begins.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    #[serde(flatten)]
    tally: TallyWire,
    /// Half of the answers took no longer, in milliseconds; null when there were none.
    #[schema(required = true)]
    p50_ms: Option<u32>,
    /// 95 % took no longer.
    #[schema(required = true)]
    p95_ms: Option<u32>,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointStats)]
#[serde(rename_all = "camelCase")]
struct EndpointStatsWire {
    #[schema(example = 17)]
    endpoint_id: i64,
    #[serde(flatten)]
    tally: TallyWire,
    /// Which share of those that were attempted to their end succeeded, 0 to 1; null when there were none.
    #[schema(required = true)]
    success_rate: Option<f64>,
    /// 95 % of the answers took no longer, in milliseconds.
    #[schema(required = true)]
    p95_ms: Option<u32>,
    /// When its newest delivery's event was accepted, or its replay asked for.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    last_delivery_at: Timestamp,
    #[schema(value_type = StatusDocument)]
    last_status: &'static str,
    /// Over time, in the same buckets.
    series: Vec<PointWire>,
}

/// An endpoint in a part of the time.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointPoint)]
#[serde(rename_all = "camelCase")]
struct PointWire {
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    succeeded: u64,
    /// Failed, exhausted and skipped.
    unsuccessful: u64,
    /// 95 % of the answers took no longer, in milliseconds.
    #[schema(required = true)]
    p95_ms: Option<u32>,
}

impl From<&Stats> for StatsWire {
    fn from(stats: &Stats) -> Self {
        Self {
            since: stats.since,
            until: stats.until,
            bucket_seconds: stats.bucket_seconds,
            complete: stats.is_complete,
            totals: stats.totals.into(),
            latency: stats.times.map(TimesWire::from),
            buckets: stats.buckets.iter().map(BucketWire::from).collect(),
            endpoints: stats.endpoints.iter().map(EndpointStatsWire::from).collect(),
        }
    }
}

impl From<Tally> for TallyWire {
    fn from(tally: Tally) -> Self {
        Self {
            succeeded: tally.succeeded,
            failed: tally.failed,
            exhausted: tally.exhausted,
            pending: tally.pending,
            skipped: tally.skipped,
        }
    }
}

impl From<AnswerTimes> for TimesWire {
    fn from(times: AnswerTimes) -> Self {
        Self {
            p50_ms: times.p50,
            p95_ms: times.p95,
            p99_ms: times.p99,
        }
    }
}

impl From<&Bucket> for BucketWire {
    fn from(bucket: &Bucket) -> Self {
        Self {
            at: bucket.at,
            tally: bucket.tally.into(),
            p50_ms: bucket.times.map(|times| times.p50),
            p95_ms: bucket.times.map(|times| times.p95),
        }
    }
}

impl From<&EndpointStats> for EndpointStatsWire {
    fn from(stats: &EndpointStats) -> Self {
        let series = stats.buckets.iter().map(|bucket| PointWire {
            at: bucket.at,
            succeeded: bucket.tally.succeeded,
            unsuccessful: bucket.tally.unsuccessful(),
            p95_ms: bucket.times.map(|times| times.p95),
        });
        Self {
            endpoint_id: stats.endpoint.0,
            tally: stats.tally.into(),
            success_rate: stats.tally.success_rate(),
            p95_ms: stats.times.map(|times| times.p95),
            last_delivery_at: stats.last_at,
            last_status: stats.last_status.as_str(),
            series: series.collect(),
        }
    }
}
