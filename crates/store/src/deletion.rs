//! A tenant's end: everything that is its own, in batches, so that nobody else waits for it.

use plumbline_domain::TenantId;
use uuid::Uuid;

use crate::row::{Columns, rows_max};
use crate::{Session, StoreError};

/// What a tenant holds, in the order in which it can be deleted: what refers to something goes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// What is accepted and not completely recorded.
    Outbox,
    /// The log of attempts.
    Attempts,
    /// Deliveries.
    Deliveries,
    /// Events.
    Events,
    /// Answers that are kept for repetitions.
    IdempotencyKeys,
    /// Construction records and the rest: a table of plain rows.
    Rows(&'static str),
}

impl Holding {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::Outbox,
        Self::Attempts,
        Self::Deliveries,
        Self::Events,
        Self::IdempotencyKeys,
        Self::Rows("change_order_items"),
        Self::Rows("change_orders"),
        Self::Rows("pay_apps"),
        Self::Rows("bid_items"),
        Self::Rows("bids"),
        Self::Rows("projects"),
        Self::Rows("opportunities"),
        Self::Rows("companies"),
        Self::Rows("contacts"),
        Self::Rows("endpoints"),
    ];

    /// Those that no foreign key ties to the tenant: rows that were being written when it was deleted are found here.
    pub const UNTIED: [Self; 4] = [Self::Outbox, Self::Attempts, Self::Deliveries, Self::Events];

    /// The table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Attempts => "delivery_attempts",
            Self::Deliveries => "deliveries",
            Self::Events => "events",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::Rows(table) => table,
        }
    }
}

/// Let nobody in any more: delete the tenant's API keys, users and sessions. Returns how many keys and users there
/// were.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_out(session: &Session, tenant: TenantId) -> Result<u64, StoreError> {
    let sql = "
        WITH keys AS (
            DELETE FROM api_keys
            WHERE tenant_id = $1
            RETURNING id),
        people AS (
            DELETE FROM users
            WHERE tenant_id = $1
            RETURNING id)
        SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM people) AS deleted";
    session.query_one(sql, &[&tenant.0]).await?.count("deleted")
}

/// Send nothing any more: mark every endpoint of the tenant as deleted, and wipe their secrets. Call it in a
/// transaction that bumps the version of the tenant's endpoints. Returns how many there were.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_endpoints(session: &Session, tenant: TenantId) -> Result<u64, StoreError> {
    let sql = "
        WITH wiped AS (
            DELETE FROM endpoint_secrets
            WHERE tenant_id = $1)
        UPDATE endpoints
        SET deleted_at = now()
        WHERE tenant_id = $1 AND deleted_at IS NULL";
    session.execute(sql, &[&tenant.0]).await
}

/// Delete about `limit` rows of what a tenant holds; 0 when nothing is left.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_some(
    session: &Session,
    tenant: TenantId,
    holding: Holding,
    limit: usize,
) -> Result<u64, StoreError> {
    let table = holding.table();
    let id = match holding {
        Holding::Attempts => "delivery_id",
        Holding::Deliveries | Holding::Events => "id",
        Holding::Outbox | Holding::IdempotencyKeys | Holding::Rows(_) => {
            let sql = format!(
                "DELETE FROM {table}
                WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE tenant_id = $1 LIMIT $2))"
            );
            return session.execute(&sql, &[&tenant.0, &rows_max(limit)]).await;
        }
    };
    // By the primary key, of the oldest partitions first: up to the id after so many rows, or all.
    let sql = format!("SELECT {id} AS id FROM {table} WHERE tenant_id = $1 ORDER BY {id} OFFSET $2 LIMIT 1");
    let end = session
        .query_first(&sql, &[&tenant.0, &rows_max(limit.max(1))])
        .await?;
    let end = match end {
        Some(row) => row.column("id")?,
        None => Uuid::max(),
    };
    let sql = format!("DELETE FROM {table} WHERE tenant_id = $1 AND {id} < $2");
    session.execute(&sql, &[&tenant.0, &end]).await
}

/// Delete the tenant itself, with what little is left of it; `false` when there is none. Delete its [`Holding`]s first.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_tenant(session: &Session, tenant: TenantId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM tenants WHERE id = $1";
    Ok(session.execute(sql, &[&tenant.0]).await? > 0)
}

/// Delete what is left of a day that belongs to no tenant any more and would keep the day's partitions for ever: an
/// attempt that was being recorded when its tenant was deleted may leave a pending delivery. Returns how many rows.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn delete_orphans(session: &Session, day: &str) -> Result<u64, StoreError> {
    let sql = "
        WITH unsent AS (
            DELETE FROM outbox
            WHERE event_id >= uuid_floor($1::text::date::timestamp AT TIME ZONE 'UTC')
                AND event_id < uuid_floor(($1::text::date + 1)::timestamp AT TIME ZONE 'UTC')
                AND NOT EXISTS (SELECT FROM tenants WHERE tenants.id = outbox.tenant_id)
            RETURNING event_id),
        waiting AS (
            DELETE FROM deliveries
            WHERE id >= uuid_floor($1::text::date::timestamp AT TIME ZONE 'UTC')
                AND id < uuid_floor(($1::text::date + 1)::timestamp AT TIME ZONE 'UTC')
                AND status = 'pending'
                AND NOT EXISTS (SELECT FROM tenants WHERE tenants.id = deliveries.tenant_id)
            RETURNING id)
        SELECT (SELECT count(*) FROM unsent) + (SELECT count(*) FROM waiting) AS deleted";
    session.query_one(sql, &[&day]).await?.count("deleted")
}
