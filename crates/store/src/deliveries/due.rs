//! What is pending: loading it for its next attempt, and finding what was forgotten.

use std::collections::HashMap;
use std::time::Duration;

use plumbline_domain::event::CARRIED_BYTES_MAX;
use plumbline_domain::{
    Delivery, DeliveryId, DeliveryStatus, EndpointId, Event, EventId, Payload, TenantId, Timestamp,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{columns, delivery};
use crate::endpoints::{EndpointWithSecrets, with_secrets};
use crate::events::event;
use crate::row::{Columns, rows_max, same_millisecond, small, unmapped};
use crate::{Session, StoreError};

/// What is known of a delivery that a redelivered message asks for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts made so far.
    pub attempt_count: u16,
    /// When the next one is due.
    pub next_attempt_at: Option<Timestamp>,
}

/// Those of an event's own deliveries that exist. The ids are of [`DeliveryId::derive`] from this event.
///
/// # Errors
/// [`StoreError`].
pub async fn existing(
    session: &Session,
    tenant: TenantId,
    event: EventId,
    deliveries: &[DeliveryId],
) -> Result<Vec<Existing>, StoreError> {
    // The bounds say what the ids cannot say to the planner: that they lie in one partition.
    let sql = "
        SELECT id, status, attempt_count, next_attempt_at
        FROM deliveries
        WHERE tenant_id = $1 AND id >= $2 AND id < $3 AND id = ANY ($4)";
    let ids: Vec<Uuid> = deliveries.iter().map(|delivery| delivery.0).collect();
    let (first, next) = same_millisecond(event.0);
    let rows = session.query(sql, &[&tenant.0, &first, &next, &ids]).await?;
    rows.iter()
        .map(|row| {
            Ok(Existing {
                delivery: DeliveryId(row.column("id")?),
                status: row.named("status", DeliveryStatus::parse)?,
                attempt_count: row.count("attempt_count")?,
                next_attempt_at: row.column("next_attempt_at")?,
            })
        })
        .collect()
}

/// A pending delivery with everything that its next attempt needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// Its event; without its payload if that is left where it is stored, because it is large.
    pub event: Event,
    /// Where its payload is.
    pub payload: Payload,
    /// Its endpoint, which may be disabled; `None` when it is deleted.
    pub endpoint: Option<EndpointWithSecrets>,
}

/// Load those of `deliveries` that are pending; the others have moved on.
///
/// # Errors
/// [`StoreError`].
pub async fn load_due(
    session: &Session,
    deliveries: &[(TenantId, DeliveryId)],
) -> Result<Vec<DueDelivery>, StoreError> {
    let (tenants, ids): (Vec<i64>, Vec<Uuid>) = deliveries
        .iter()
        .map(|(tenant, delivery)| (tenant.0, delivery.0))
        .unzip();
    let carried_max = i32::try_from(CARRIED_BYTES_MAX).unwrap_or(i32::MAX);
    let rows = session.query(LOAD_DUE, &[&tenants, &ids, &carried_max]).await?;
    let due = rows
        .iter()
        .map(|row| Ok((delivery(row)?, event(row)?, payload(row)?)))
        .collect::<Result<Vec<_>, StoreError>>()?;

    let mut wanted: Vec<(TenantId, EndpointId)> = due
        .iter()
        .map(|(delivery, ..)| (delivery.tenant, delivery.endpoint))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let endpoints: HashMap<EndpointId, EndpointWithSecrets> = if wanted.is_empty() {
        HashMap::new()
    } else {
        let found = with_secrets(session, &wanted).await?;
        found
            .into_iter()
            .map(|found| (found.endpoint.id, found))
            .collect()
    };
    let due = due.into_iter().map(|(delivery, event, payload)| {
        let endpoint = endpoints.get(&delivery.endpoint).cloned();
        DueDelivery {
            delivery,
            event,
            payload,
            endpoint,
        }
    });
    Ok(due.collect())
}

fn payload(row: &Row) -> Result<Payload, StoreError> {
    let stored: Option<i32> = row.column("stored_bytes")?;
    Ok(match stored {
        None => Payload::Carried,
        Some(bytes) => Payload::Stored {
            bytes: u32::try_from(bytes).map_err(|_| unmapped("stored_bytes"))?,
        },
    })
}

/// By both primary keys; partitions are pruned row by row. The size of a payload is known without reading it.
pub(crate) const LOAD_DUE: &str = concat!(
    "SELECT ",
    columns!(),
    ", CASE WHEN size.bytes <= $3 THEN event.data ELSE 'null' END AS data,
            CASE WHEN size.bytes <= $3 THEN event.previous_attributes END AS previous_attributes,
            CASE WHEN size.bytes > $3 THEN size.bytes END AS stored_bytes,
            event.occurred_at, event.endpoints_version
        FROM unnest($1::bigint[], $2::uuid[]) AS wanted (tenant_id, id)
        JOIN deliveries AS delivery ON delivery.tenant_id = wanted.tenant_id AND delivery.id = wanted.id
        JOIN events AS event ON event.tenant_id = delivery.tenant_id AND event.id = delivery.event_id
        CROSS JOIN LATERAL (
            SELECT octet_length(event.data) + coalesce(octet_length(event.previous_attributes), 0) AS bytes) AS size
        WHERE delivery.status = 'pending'"
);

/// An overdue delivery: its tenant, its id, the number of its next attempt, and when that was due.
pub type Overdue = (TenantId, DeliveryId, u16, Timestamp);

/// Pending deliveries that were due before `before`, the longest overdue first.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(session: &Session, before: Timestamp, limit: usize) -> Result<Vec<Overdue>, StoreError> {
    let rows = session.query(OVERDUE, &[&before, &rows_max(limit)]).await?;
    rows.iter()
        .map(|row| {
            let attempts: u16 = row.count("attempt_count")?;
            Ok((
                row.tenant()?,
                DeliveryId(row.column("id")?),
                attempts.saturating_add(1),
                row.column("next_attempt_at")?,
            ))
        })
        .collect()
}

/// By the partial index deliveries_due of each partition, merged.
pub(crate) const OVERDUE: &str = "
    SELECT tenant_id, id, attempt_count, next_attempt_at
    FROM deliveries
    WHERE status = 'pending' AND next_attempt_at < $1
    ORDER BY next_attempt_at
    LIMIT $2";

/// Remember that these were re-queued, so that the next sweep leaves them alone until `next_attempt_at`. What has
/// moved on stays as it is.
///
/// # Errors
/// [`StoreError`].
pub async fn touch_overdue(
    session: &Session,
    deliveries: &[Overdue],
    next_attempt_at: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "
        UPDATE deliveries AS delivery
        SET next_attempt_at = $4
        FROM unnest($1::bigint[], $2::uuid[], $3::smallint[]) AS touched (tenant_id, id, number)
        WHERE delivery.tenant_id = touched.tenant_id AND delivery.id = touched.id AND delivery.status = 'pending'
            AND delivery.attempt_count = touched.number - 1 AND delivery.next_attempt_at < $4";
    let mut sorted = deliveries.to_vec();
    sorted.sort_unstable_by_key(|(_, id, ..)| *id);
    let tenants: Vec<i64> = sorted.iter().map(|(tenant, ..)| tenant.0).collect();
    let ids: Vec<Uuid> = sorted.iter().map(|(_, id, ..)| id.0).collect();
    let numbers: Vec<i16> = sorted.iter().map(|(_, _, number, _)| small(*number)).collect();
    session
        .execute(sql, &[&tenants, &ids, &numbers, &next_attempt_at])
        .await
}

/// Figures of what is pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PendingStats {
    /// How long the longest overdue delivery has been due; `None` when none is.
    pub oldest_overdue: Option<Duration>,
}

/// How late the deliveries are.
///
/// # Errors
/// [`StoreError`].
pub async fn pending_stats(session: &Session) -> Result<PendingStats, StoreError> {
    let sql = "
        SELECT next_attempt_at, now() AS now
        FROM deliveries
        WHERE status = 'pending' AND next_attempt_at < now()
        ORDER BY next_attempt_at
        LIMIT 1";
    let Some(row) = session.query_first(sql, &[]).await? else {
        return Ok(PendingStats::default());
    };
    let late = row
        .column::<Timestamp>("now")?
        .duration_since(row.column("next_attempt_at")?);
    Ok(PendingStats {
        oldest_overdue: Some(Duration::try_from(late).unwrap_or_default()),
    })
}
