//! Sending again: replays, recovery of what an endpoint missed, and test deliveries.

use plumbline_domain::{Delivery, DeliveryId, EndpointId, Event, TenantId, Timestamp};

use super::{columns, delivery};
use crate::row::{Columns, rows_max, uuid_floor};
use crate::{Session, StoreError};

/// How far the clocks of two processes may be apart.
const CLOCK_SKEW_MAX: std::time::Duration = std::time::Duration::from_secs(5 * 60);

/// Insert a replay of a delivery, due now. `None` when there is no such delivery, or its event is past retention.
///
/// # Errors
/// [`StoreError::Conflict`] when `new_id` exists.
pub async fn insert_replay(
    session: &Session,
    tenant: TenantId,
    original: DeliveryId,
    new_id: DeliveryId,
    now: Timestamp,
) -> Result<Option<Delivery>, StoreError> {
    let sql = concat!(
        "
        INSERT INTO deliveries AS delivery
            (tenant_id, id, event_id, event_type, endpoint_id, kind, status, next_attempt_at, created_at, replay_of)
        SELECT original.tenant_id, $3, original.event_id, original.event_type, original.endpoint_id, 'replay',
            'pending', $4, $4, original.id
        FROM deliveries AS original
        WHERE original.tenant_id = $1 AND original.id = $2
            AND (SELECT true FROM events WHERE tenant_id = $1 AND id = original.event_id)
        RETURNING ",
        columns!()
    );
    let row = session
        .query_first(sql, &[&tenant.0, &original.0, &new_id.0, &now])
        .await?;
    row.map(|row| delivery(&row)).transpose()
}

/// Insert the only delivery of a test event, due now.
///
/// # Errors
/// [`StoreError::Conflict`] when it exists.
pub async fn insert_test(
    session: &Session,
    tenant: TenantId,
    event: &Event,
    endpoint: EndpointId,
    id: DeliveryId,
    now: Timestamp,
) -> Result<Delivery, StoreError> {
    let sql = concat!(
        "
        INSERT INTO deliveries AS delivery
            (tenant_id, id, event_id, event_type, endpoint_id, kind, status, next_attempt_at, created_at)
        VALUES ($1, $2, $3, $4, $5, 'test', 'pending', $6, $6)
        RETURNING ",
        columns!()
    );
    let row = session
        .query_one(
            sql,
            &[
                &tenant.0,
                &id.0,
                &event.id.0,
                &event.event_type.as_str(),
                &endpoint.0,
                &now,
            ],
        )
        .await?;
    delivery(&row)
}

/// One delivery for each event that the endpoint missed: the newest that failed, was exhausted or was skipped, and
/// was recorded from `$3` to before `$4`. Test events, and events that are on their way or have arrived by another
/// delivery, are not missed.
///
/// By deliveries_to_recover and deliveries_replays. The subqueries are scalar on purpose: they are looked up row by
/// row with the partition known, where a join would visit every partition.
macro_rules! missed {
    () => {
        "
        handled AS MATERIALIZED (
            SELECT event_id
            FROM deliveries
            WHERE tenant_id = $1 AND endpoint_id = $2 AND replay_of IS NOT NULL
                AND status IN ('pending', 'succeeded')),
        missed AS MATERIALIZED (
            SELECT DISTINCT ON (delivery.event_id) delivery.event_id, delivery.event_type, delivery.id
            FROM deliveries AS delivery
            WHERE delivery.tenant_id = $1 AND delivery.endpoint_id = $2
                AND delivery.status IN ('failed', 'exhausted', 'skipped') AND delivery.kind <> 'test'
                AND delivery.created_at >= $3 AND delivery.created_at < $4 AND delivery.id < $5
                AND NOT EXISTS (SELECT FROM handled WHERE handled.event_id = delivery.event_id)
                -- The event's own delivery has the event's first 48 bits.
                AND (delivery.kind = 'event' OR (
                    SELECT count(*)
                    FROM deliveries AS own
                    WHERE own.tenant_id = $1 AND own.endpoint_id = $2
                        AND own.id >= (left(delivery.event_id::text, 13) || '-0000-0000-000000000000')::uuid
                        AND own.id <= (left(delivery.event_id::text, 13) || '-ffff-ffff-ffffffffffff')::uuid
                        AND own.event_id = delivery.event_id AND own.replay_of IS NULL
                        AND own.status IN ('pending', 'succeeded')) = 0)
                AND (SELECT true FROM events WHERE tenant_id = $1 AND id = delivery.event_id)
            ORDER BY delivery.event_id, delivery.id DESC
            LIMIT $6)"
    };
}

/// Insert a replay, due now, for each event that an endpoint missed and whose failure was recorded in
/// `since..until`; the oldest events first, at most `limit`. Two recoveries of one endpoint happen one after the
/// other: call it in a transaction, so that the second sees what the first has inserted.
///
/// # Errors
/// [`StoreError`].
pub async fn recover(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    since: Timestamp,
    until: Timestamp,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<DeliveryId>, StoreError> {
    // Not the endpoint's row: whoever records its failures would wait, and everybody in that batch.
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended('plumbline recover ' || $1::bigint, 0))";
    session.query(sql, &[&endpoint.0]).await?;
    let sql = concat!(
        "WITH ",
        missed!(),
        "
        INSERT INTO deliveries
            (tenant_id, id, event_id, event_type, endpoint_id, kind, status, next_attempt_at, created_at, replay_of)
        SELECT $1, uuid_v7(), event_id, event_type, $2, 'replay', 'pending', $7, $7, id
        FROM missed
        RETURNING id"
    );
    let last = last_id(until);
    let rows = session
        .query(
            sql,
            &[
                &tenant.0,
                &endpoint.0,
                &since,
                &until,
                &last,
                &rows_max(limit),
                &now,
            ],
        )
        .await?;
    rows.iter().map(|row| Ok(DeliveryId(row.column("id")?))).collect()
}

/// How many deliveries [`recover`] would insert.
///
/// # Errors
/// [`StoreError`].
pub async fn count_recoverable(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    since: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let sql = concat!("WITH ", missed!(), " SELECT count(*) AS deliveries FROM missed");
    let last = last_id(until);
    let row = session
        .query_one(
            sql,
            &[&tenant.0, &endpoint.0, &since, &until, &last, &rows_max(limit)],
        )
        .await?;
    row.count("deliveries")
}

/// No delivery that was recorded before `until` has an id from here on.
fn last_id(until: Timestamp) -> uuid::Uuid {
    uuid_floor(until.checked_add(CLOCK_SKEW_MAX).unwrap_or(Timestamp::MAX))
}
