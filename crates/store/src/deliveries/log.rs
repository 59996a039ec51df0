//! The delivery log, as a customer reads it.

use std::time::Duration;

use bytes::Bytes;
use plumbline_domain::{
    Delivery, DeliveryId, DeliveryStatus, EndpointId, EventId, EventType, FailureCode, TenantId, Timestamp,
    Timing,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{columns, delivery, response_status};
use crate::row::{Columns, rows_max, same_millisecond, unmapped, uuid_floor};
use crate::{Session, StoreError};

/// How far the clocks of two processes may be apart.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// How long after its event a delivery is recorded at the latest, when it is looked for by the time of its record.
/// Ids carry the event's time: without a bound, a page of the last hour might read the whole log.
const RECORDED_WITHIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One POST, as it was logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number within the delivery, from 1.
    pub number: u16,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// Where that time went; `None` where it was recorded by an earlier version.
    pub timing: Option<Timing>,
    /// `[["Name", "value"], …]` as JSON.
    pub request_headers: String,
    /// The answer's status.
    pub response_status: Option<u16>,
    /// `[["Name", "value"], …]` as JSON, when there was an answer.
    pub response_headers: Option<String>,
    /// The first bytes of the answer's body.
    pub response_body: Option<Bytes>,
    /// Why there was no answer.
    pub error_code: Option<FailureCode>,
    /// The same in words.
    pub error_message: Option<String>,
}

/// Headers and bodies are a customer's: only what we made is shown.
impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("started_at", &self.started_at)
            .field("duration_ms", &self.duration_ms)
            .field("response_status", &self.response_status)
            .field("error_code", &self.error_code)
            .finish_non_exhaustive()
    }
}

/// One delivery.
///
/// # Errors
/// [`StoreError`].
pub async fn get(
    session: &Session,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM deliveries AS delivery
        WHERE tenant_id = $1 AND id = $2"
    );
    session
        .query_first(sql, &[&tenant.0, &id.0])
        .await?
        .map(|row| delivery(&row))
        .transpose()
}

/// A delivery's attempts, in order.
///
/// # Errors
/// [`StoreError`].
pub async fn attempts(
    session: &Session,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Vec<Attempt>, StoreError> {
    let sql = "
        SELECT number, started_at, duration_ms, timing, request_headers, response_status, response_headers,
            response_body, error_code, error_message
        FROM delivery_attempts
        WHERE tenant_id = $1 AND delivery_id = $2
        ORDER BY number";
    session
        .query(sql, &[&tenant.0, &id.0])
        .await?
        .iter()
        .map(attempt)
        .collect()
}

fn attempt(row: &Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        number: row.count("number")?,
        started_at: row.column("started_at")?,
        duration_ms: row.count("duration_ms")?,
        timing: row
            .column::<Option<Vec<Option<i32>>>>("timing")?
            .map(|parts| timing(&parts)),
        request_headers: row.column("request_headers")?,
        response_status: response_status(row)?,
        response_headers: row.column("response_headers")?,
        response_body: row
            .column::<Option<&[u8]>>("response_body")?
            .map(Bytes::copy_from_slice),
        error_code: row.named_or_null("error_code", FailureCode::parse)?,
        error_message: row.column("error_message")?,
    })
}

fn timing(parts: &[Option<i32>]) -> Timing {
    let part = |index: usize| {
        let micros = u64::try_from(parts.get(index).copied().flatten()?).ok()?;
        Some(Duration::from_micros(micros))
    };
    Timing {
        lookup: part(0),
        connect: part(1),
        handshake: part(2),
        wait: part(3),
        read: part(4),
    }
}

/// A place in an endpoint's history: a delivery, and the number of one of its attempts.
pub type AttemptPosition = (DeliveryId, u16);

/// One line of an endpoint's history: an attempt that was made, or the next one of a pending delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its event.
    pub event: EventId,
    /// The event's canonical type.
    pub event_type: EventType,
    /// The attempt's number, from 1.
    pub number: u16,
    /// When it was made; `None` for one that is still to come.
    pub started_at: Option<Timestamp>,
    /// The answer's status.
    pub response_status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<FailureCode>,
}

/// A page of an endpoint's history: the newest delivery first, of each delivery the latest attempt first, those after
/// `before`. Deliveries that no attempt was made for, such as skipped ones, are not in it.
///
/// # Errors
/// [`StoreError`].
pub async fn history(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    before: Option<AttemptPosition>,
    limit: usize,
) -> Result<Vec<HistoryEntry>, StoreError> {
    // Deliveries by the index deliveries_of_endpoint, read backwards; attempts by their primary key. Each delivery
    // has at least one line, so that `limit` deliveries are enough.
    let sql = "
        SELECT delivery.id, delivery.event_id, delivery.event_type, line.number, line.started_at,
            line.response_status, line.error_code
        FROM (
            SELECT tenant_id, id, event_id, event_type, status, attempt_count
            FROM deliveries
            WHERE tenant_id = $1 AND endpoint_id = $2 AND id <= $3
                AND (status = 'pending' OR attempt_count > 0)
            ORDER BY id DESC
            LIMIT $5) AS delivery
        CROSS JOIN LATERAL (
            SELECT number, started_at, response_status, error_code
            FROM delivery_attempts AS attempt
            WHERE attempt.tenant_id = delivery.tenant_id AND attempt.delivery_id = delivery.id
            UNION ALL
            SELECT delivery.attempt_count + 1, NULL, NULL, NULL
            WHERE delivery.status = 'pending') AS line
        WHERE delivery.id < $3 OR line.number < $4
        ORDER BY delivery.id DESC, line.number DESC
        LIMIT $6";
    let (id, number) = match before {
        Some((delivery, number)) => (delivery.0, i32::from(number)),
        None => (Uuid::max(), i32::MAX),
    };
    // The delivery of `before` may have no line left.
    let deliveries = rows_max(limit.saturating_add(1));
    let rows = session
        .query(
            sql,
            &[
                &tenant.0,
                &endpoint.0,
                &id,
                &number,
                &deliveries,
                &rows_max(limit),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(HistoryEntry {
                delivery: DeliveryId(row.column("id")?),
                event: row.event_id("event_id")?,
                event_type: row.event_type("event_type")?,
                number: row
                    .column::<i32>("number")?
                    .try_into()
                    .map_err(|_| unmapped("number"))?,
                started_at: row.column("started_at")?,
                response_status: response_status(row)?,
                error: row.named_or_null("error_code", FailureCode::parse)?,
            })
        })
        .collect()
}

/// Which deliveries to list; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Of this status.
    pub status: Option<DeliveryStatus>,
    /// Of this event type.
    pub event_type: Option<EventType>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Recorded at this moment or later.
    pub since: Option<Timestamp>,
    /// Recorded before this moment.
    pub until: Option<Timestamp>,
    /// Older than this one: the last of the page before.
    pub before: Option<DeliveryId>,
    /// At most so many.
    pub limit: usize,
}

/// A page of an endpoint's deliveries, newest first by id: by the time of their event, or of their replay.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    filter: &DeliveryFilter,
) -> Result<Vec<Delivery>, StoreError> {
    let (first, end) = id_range(filter);
    let event_type = filter.event_type.as_ref().map(EventType::as_str);
    let limit = rows_max(filter.limit);
    let rows = match filter.event {
        None => {
            let sql = list_sql(filter.status);
            session
                .query(
                    sql,
                    &[
                        &tenant.0,
                        &endpoint.0,
                        &first,
                        &end,
                        &event_type,
                        &filter.since,
                        &filter.until,
                        &limit,
                    ],
                )
                .await?
        }
        Some(event) => {
            let status = filter.status.map(DeliveryStatus::as_str);
            let own = DeliveryId::derive(event, endpoint).0;
            // Nothing of an event is older than the event.
            let first = first.max(same_millisecond(event.0).0);
            session
                .query(
                    LIST_OF_EVENT,
                    &[
                        &tenant.0,
                        &endpoint.0,
                        &first,
                        &end,
                        &event_type,
                        &filter.since,
                        &filter.until,
                        &limit,
                        &status,
                        &own,
                        &event.0,
                    ],
                )
                .await?
        }
    };
    rows.iter().map(delivery).collect()
}

/// The ids from, and up to but without, that a filter can mean. An id carries the time of its event or its replay,
/// which is never later than the time of its record but for the clocks' difference.
fn id_range(filter: &DeliveryFilter) -> (Uuid, Uuid) {
    let first = match filter.since {
        None => Uuid::nil(),
        Some(since) => uuid_floor(since.checked_sub(RECORDED_WITHIN).unwrap_or(Timestamp::MIN)),
    };
    let end = match filter.until {
        None => Uuid::max(),
        Some(until) => uuid_floor(until.checked_add(CLOCK_SKEW_MAX).unwrap_or(Timestamp::MAX)),
    };
    (first, filter.before.map_or(end, |before| end.min(before.0)))
}

macro_rules! list_sql {
    ($status:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM deliveries AS delivery
            WHERE tenant_id = $1 AND endpoint_id = $2 AND id >= $3 AND id < $4",
            $status,
            " AND ($5::text IS NULL OR event_type = $5)
                AND ($6::timestamptz IS NULL OR created_at >= $6)
                AND ($7::timestamptz IS NULL OR created_at < $7)
            ORDER BY id DESC
            LIMIT $8"
        )
    };
}

/// A statement for each status, which names it literally: a parameter would not match a partial index. By
/// deliveries_waiting, deliveries_to_recover or deliveries_of_endpoint, read backwards, the newest partition first.
pub(crate) fn list_sql(status: Option<DeliveryStatus>) -> &'static str {
    match status {
        None => list_sql!(""),
        Some(DeliveryStatus::Succeeded) => list_sql!(" AND status = 'succeeded'"),
        Some(DeliveryStatus::Pending) => list_sql!(" AND status = 'pending'"),
        Some(DeliveryStatus::Failed) => list_sql!(" AND status = 'failed'"),
        Some(DeliveryStatus::Exhausted) => list_sql!(" AND status = 'exhausted'"),
        Some(DeliveryStatus::Skipped) => list_sql!(" AND status = 'skipped'"),
    }
}

/// An event's own delivery, whose id follows from the event's, and its replays, by deliveries_replays.
pub(crate) const LIST_OF_EVENT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (
        SELECT *
        FROM deliveries
        WHERE tenant_id = $1 AND id = $10 AND endpoint_id = $2 AND event_id = $11
        UNION ALL
        SELECT *
        FROM deliveries
        WHERE tenant_id = $1 AND endpoint_id = $2 AND event_id = $11 AND replay_of IS NOT NULL AND id >= $3)
        AS delivery
    WHERE id >= $3 AND id < $4
        AND ($5::text IS NULL OR event_type = $5)
        AND ($6::timestamptz IS NULL OR created_at >= $6)
        AND ($7::timestamptz IS NULL OR created_at < $7)
        AND ($9::text IS NULL OR status = $9)
    ORDER BY id DESC
    LIMIT $8"
);

/// A page of the deliveries of all of a tenant's endpoints, also those that have been deleted, newest first by id.
///
/// # Errors
/// [`StoreError`].
pub async fn list_of_tenant(
    session: &Session,
    tenant: TenantId,
    filter: &DeliveryFilter,
) -> Result<Vec<Delivery>, StoreError> {
    let (first, end) = id_range(filter);
    let event_type = filter.event_type.as_ref().map(EventType::as_str);
    let limit = rows_max(filter.limit);
    let rows = match filter.event {
        None => {
            let sql = tenant_list_sql(filter.status);
            session
                .query(
                    sql,
                    &[
                        &tenant.0,
                        &first,
                        &end,
                        &event_type,
                        &filter.since,
                        &filter.until,
                        &limit,
                    ],
                )
                .await?
        }
        Some(event) => {
            let status = filter.status.map(DeliveryStatus::as_str);
            let (own_first, own_end) = same_millisecond(event.0);
            session
                .query(
                    TENANT_LIST_OF_EVENT,
                    &[
                        &tenant.0,
                        &first.max(own_first),
                        &end,
                        &event_type,
                        &filter.since,
                        &filter.until,
                        &limit,
                        &status,
                        &own_first,
                        &own_end,
                        &event.0,
                    ],
                )
                .await?
        }
    };
    rows.iter().map(delivery).collect()
}

macro_rules! tenant_filter {
    () => {
        " AND ($4::text IS NULL OR event_type = $4)
            AND ($5::timestamptz IS NULL OR created_at >= $5)
            AND ($6::timestamptz IS NULL OR created_at < $6)"
    };
}

/// By the primary key, read backwards. Most deliveries have this status.
macro_rules! tenant_list_sql {
    ($status:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM deliveries AS delivery
            WHERE tenant_id = $1 AND id >= $2 AND id < $3",
            $status,
            tenant_filter!(),
            " ORDER BY id DESC
            LIMIT $7"
        )
    };
}

/// By the partial indexes of each endpoint, read backwards: few deliveries have this status, so that the primary key
/// might have to be read to its end.
macro_rules! tenant_list_by_endpoint {
    ($status:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT id FROM endpoints WHERE tenant_id = $1) AS endpoint
            CROSS JOIN LATERAL (
                SELECT *
                FROM deliveries
                WHERE tenant_id = $1 AND endpoint_id = endpoint.id AND id >= $2 AND id < $3",
            $status,
            tenant_filter!(),
            " ORDER BY id DESC
                LIMIT $7) AS delivery
            ORDER BY delivery.id DESC
            LIMIT $7"
        )
    };
}

pub(crate) fn tenant_list_sql(status: Option<DeliveryStatus>) -> &'static str {
    match status {
        None => tenant_list_sql!(""),
        Some(DeliveryStatus::Succeeded) => tenant_list_sql!(" AND status = 'succeeded'"),
        Some(DeliveryStatus::Pending) => tenant_list_by_endpoint!(" AND status = 'pending'"),
        Some(DeliveryStatus::Failed) => tenant_list_by_endpoint!(" AND status = 'failed'"),
        Some(DeliveryStatus::Exhausted) => tenant_list_by_endpoint!(" AND status = 'exhausted'"),
        Some(DeliveryStatus::Skipped) => tenant_list_by_endpoint!(" AND status = 'skipped'"),
    }
}

/// An event's own deliveries, whose ids carry the event's millisecond, and its replays, by deliveries_replays.
pub(crate) const TENANT_LIST_OF_EVENT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (
        SELECT *
        FROM deliveries
        WHERE tenant_id = $1 AND id >= $9 AND id < $10 AND event_id = $11 AND replay_of IS NULL
        UNION ALL
        SELECT replay.*
        FROM (SELECT id FROM endpoints WHERE tenant_id = $1) AS endpoint
        CROSS JOIN LATERAL (
            SELECT *
            FROM deliveries
            WHERE tenant_id = $1 AND endpoint_id = endpoint.id AND event_id = $11 AND replay_of IS NOT NULL
                AND id >= $2) AS replay)
        AS delivery
    WHERE id >= $2 AND id < $3",
    tenant_filter!(),
    " AND ($8::text IS NULL OR status = $8)
    ORDER BY id DESC
    LIMIT $7"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_page_bounds_its_ids_by_time_and_cursor() {
        let filter = DeliveryFilter::default();
        assert_eq!(id_range(&filter), (Uuid::nil(), Uuid::max()));

        let filter = DeliveryFilter {
            until: Some(at(1_000_000)),
            ..filter
        };
        assert_eq!(id_range(&filter).1, uuid_floor(at(1_000_300)));

        let cursor = DeliveryId(uuid_floor(at(999_000)));
        let filter = DeliveryFilter {
            since: Some(at(900_000)),
            before: Some(cursor),
            ..filter
        };
        assert_eq!(id_range(&filter), (uuid_floor(at(295_200)), cursor.0));

        let filter = DeliveryFilter {
            since: Some(Timestamp::MIN),
            until: Some(Timestamp::MAX),
            ..DeliveryFilter::default()
        };
        assert_eq!(id_range(&filter).0, Uuid::nil());
    }
}
