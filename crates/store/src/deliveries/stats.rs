//! How deliveries went, counted over a time.

use plumbline_domain::{DeliveryId, DeliveryKind, DeliveryStatus, EndpointId, TenantId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::row::{Columns, rows_max, uuid_floor};
use crate::{Session, StoreError};

/// Which deliveries to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsFilter {
    /// Where the buckets begin, in order; the last one is where the last bucket ends. At least two.
    pub bounds: Vec<plumbline_domain::Timestamp>,
    /// Only to this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Only of this kind; `None` is all but tests.
    pub kind: Option<DeliveryKind>,
    /// Count no more than so many, the newest.
    pub rows_max: usize,
}

/// How many deliveries of one bucket, endpoint and status there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The bucket, from 0.
    pub bucket: usize,
    /// To this endpoint.
    pub endpoint: EndpointId,
    /// Standing so.
    pub status: DeliveryStatus,
    /// How many.
    pub deliveries: u64,
    /// The newest of them.
    pub newest: DeliveryId,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The counts that are not zero.
    pub counts: Vec<Count>,
    /// How many deliveries were counted.
    pub deliveries: u64,
    /// The oldest one that was counted.
    pub oldest: Option<DeliveryId>,
}

/// One answer of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTime {
    /// The bucket of its delivery, from 0.
    pub bucket: usize,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// How long the attempt took, in milliseconds.
    pub millis: u32,
}

/// Those of a tenant, or of one of its endpoints: `$1` tenant, `$2` and `$3` the ids from, and up to but without,
/// `$4` the kind, `$5` the most rows, and `$6` the endpoint where there is one. By the primary key or by
/// deliveries_of_endpoint, read backwards.
macro_rules! newest {
    ($endpoint:literal) => {
        concat!(
            "
            SELECT id, endpoint_id, status, attempt_count
            FROM deliveries
            WHERE tenant_id = $1 AND id >= $2 AND id < $3",
            $endpoint,
            " AND (kind = $4 OR $4::text IS NULL AND kind <> 'test')
            ORDER BY id DESC
            LIMIT $5"
        )
    };
}

macro_rules! count_sql {
    ($endpoint:literal, $bounds:literal) => {
        concat!(
            "
        SELECT width_bucket(id, ",
            $bounds,
            "::uuid[]) - 1 AS bucket, endpoint_id, status, count(*) AS deliveries,
            max(id::text) AS newest, min(id::text) AS oldest
        FROM (",
            newest!($endpoint),
            ") AS newest
        GROUP BY 1, 2, 3"
        )
    };
}

/// Count deliveries by the time that their ids carry: of their event, or of their replay.
///
/// # Errors
/// [`StoreError`].
pub async fn count(session: &Session, tenant: TenantId, filter: &StatsFilter) -> Result<Counts, StoreError> {
    let (bounds, first, end) = filter.ids();
    let kind = filter.kind.map(DeliveryKind::as_str);
    let limit = rows_max(filter.rows_max);
    let rows = match filter.endpoint {
        None => {
            let sql = count_sql!("", "$6");
            session
                .query(sql, &[&tenant.0, &first, &end, &kind, &limit, &bounds])
                .await?
        }
        Some(endpoint) => {
            let sql = count_sql!(" AND endpoint_id = $6", "$7");
            session
                .query(
                    sql,
                    &[&tenant.0, &first, &end, &kind, &limit, &endpoint.0, &bounds],
                )
                .await?
        }
    };
    let mut oldest: Option<Uuid> = None;
    let mut counts = Vec::with_capacity(rows.len());
    for row in &rows {
        let of_row = id(row, "oldest")?;
        oldest = Some(oldest.map_or(of_row, |oldest| oldest.min(of_row)));
        counts.push(Count {
            bucket: row.count("bucket")?,
            endpoint: EndpointId(row.column("endpoint_id")?),
            status: row.named("status", DeliveryStatus::parse)?,
            deliveries: row.count("deliveries")?,
            newest: DeliveryId(id(row, "newest")?),
        });
    }
    Ok(Counts {
        deliveries: counts.iter().map(|count| count.deliveries).sum(),
        oldest: oldest.map(DeliveryId),
        counts,
    })
}

/// PostgreSQL 14 has no `max(uuid)`.
fn id(row: &Row, name: &str) -> Result<Uuid, StoreError> {
    row.named(name, |text| Uuid::try_parse(text).ok())
}

macro_rules! answer_times_sql {
    ($endpoint:literal, $bounds:literal, $share:literal) => {
        concat!(
            "
        SELECT width_bucket(delivery.id, ",
            $bounds,
            "::uuid[]) - 1 AS bucket, delivery.endpoint_id, attempt.duration_ms
        FROM (",
            newest!($endpoint),
            ") AS delivery
        CROSS JOIN LATERAL (
            SELECT duration_ms
            FROM delivery_attempts
            WHERE tenant_id = $1 AND delivery_id = delivery.id AND response_status IS NOT NULL
            OFFSET 0) AS attempt
        WHERE delivery.attempt_count > 0 AND get_byte(uuid_send(delivery.id), 15) < ",
            $share
        )
    };
}

/// How long receivers took to answer, of a share of the same deliveries: `share` of 256, chosen by their ids' random
/// part.
///
/// # Errors
/// [`StoreError`].
pub async fn answer_times(
    session: &Session,
    tenant: TenantId,
    filter: &StatsFilter,
    share: u16,
) -> Result<Vec<AnswerTime>, StoreError> {
    let (bounds, first, end) = filter.ids();
    let kind = filter.kind.map(DeliveryKind::as_str);
    let limit = rows_max(filter.rows_max);
    let share = i32::from(share);
    let rows = match filter.endpoint {
        None => {
            let sql = answer_times_sql!("", "$6", "$7");
            session
                .query(sql, &[&tenant.0, &first, &end, &kind, &limit, &bounds, &share])
                .await?
        }
        Some(endpoint) => {
            let sql = answer_times_sql!(" AND endpoint_id = $6", "$7", "$8");
            session
                .query(
                    sql,
                    &[
                        &tenant.0,
                        &first,
                        &end,
                        &kind,
                        &limit,
                        &endpoint.0,
                        &bounds,
                        &share,
                    ],
                )
                .await?
        }
    };
    rows.iter()
        .map(|row| {
            Ok(AnswerTime {
                bucket: row.count("bucket")?,
                endpoint: EndpointId(row.column("endpoint_id")?),
                millis: row.count("duration_ms")?,
            })
        })
        .collect()
}

impl StatsFilter {
    /// The bounds as ids, the first and the last.
    fn ids(&self) -> (Vec<Uuid>, Uuid, Uuid) {
        let bounds: Vec<Uuid> = self.bounds.iter().copied().map(uuid_floor).collect();
        let first = bounds.first().copied().unwrap_or(Uuid::nil());
        let end = bounds.last().copied().unwrap_or(Uuid::nil());
        (bounds, first, end)
    }
}
