//! Bids and their items.

use plumbline_domain::construction::{Bid, BidDetails, BidNumber, BidStatus, Item};
use plumbline_domain::{BidId, ProjectId, TenantId};
use tokio_postgres::Row;

use super::items::{append, items, items_of_record};
use super::{Numbered, Staged, Stored, one_at_a_time};
use crate::row::Columns;
use crate::{Session, StoreError};

impl Stored for Bid {
    type Id = BidId;
    type Details = BidDetails;

    const LOCK: &'static str = "SELECT id FROM bids WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = concat!(
        "
        SELECT record.tenant_id, record.id, record.number, record.project_id, record.title, record.status,
            record.sent_at, record.viewed_at, record.decided_at, record.created_at, record.updated_at,
            items.descriptions, items.quantities, items.unit_prices
        FROM bids AS record",
        items_of_record!("bid_items", "bid_id"),
        "WHERE record.tenant_id = $1"
    );

    fn map(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: BidId(row.column("id")?),
            tenant: row.tenant()?,
            number: BidNumber(row.count("number")?),
            details: BidDetails {
                project: row.column::<Option<i64>>("project_id")?.map(ProjectId),
                title: row.column("title")?,
                items: items(row)?,
            },
            status: row.named("status", BidStatus::parse)?,
            sent_at: row.column("sent_at")?,
            viewed_at: row.column("viewed_at")?,
            decided_at: row.column("decided_at")?,
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(session: &Session, tenant: TenantId, details: &BidDetails) -> Result<BidId, StoreError> {
        one_at_a_time(session, tenant, Numbered::Bids).await?;
        // The greatest number by the index of the unique rule.
        let sql = "
            INSERT INTO bids (tenant_id, number, project_id, title, status)
            SELECT $1, coalesce(max(number), 0) + 1, $2, $3, 'draft'
            FROM bids
            WHERE tenant_id = $1
            RETURNING id";
        let row = session
            .query_one(sql, &[&tenant.0, &details.project.map(|id| id.0), &details.title])
            .await?;
        let id = BidId(row.column("id")?);
        append_items(session, tenant, id, 0, &details.items).await?;
        Ok(id)
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: BidId,
        details: &BidDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE bids
            SET project_id = $3, title = $4, updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        let project = details.project.map(|id| id.0);
        session
            .execute(sql, &[&tenant.0, &id.0, &project, &details.title])
            .await?;
        let clear = "DELETE FROM bid_items WHERE tenant_id = $1 AND bid_id = $2";
        session.execute(clear, &[&tenant.0, &id.0]).await?;
        append_items(session, tenant, id, 0, &details.items).await
    }
}

impl Staged for Bid {
    type Status = BidStatus;

    const MOVE: &'static str = "
        UPDATE bids
        SET status = $3, updated_at = now(),
            sent_at = CASE WHEN $3 = 'sent' THEN now() ELSE sent_at END,
            viewed_at = CASE WHEN $3 = 'viewed' THEN now() ELSE viewed_at END,
            decided_at = CASE WHEN $3 IN ('accepted', 'rejected') THEN now() END
        WHERE tenant_id = $1 AND id = $2";
}

/// Append items to a locked bid that has this many.
///
/// # Errors
/// [`StoreError`].
pub async fn append_items(
    session: &Session,
    tenant: TenantId,
    bid: BidId,
    present: usize,
    new: &[Item],
) -> Result<(), StoreError> {
    let sql = "
        WITH changed AS (
            UPDATE bids
            SET updated_at = now()
            WHERE tenant_id = $1 AND id = $2)
        INSERT INTO bid_items (tenant_id, bid_id, position, description, quantity_thousandths, unit_price_cents)
        SELECT $1, $2, $3::bigint + new.position, new.description, new.quantity, new.unit_price
        FROM unnest($4::text[], $5::bigint[], $6::bigint[]) WITH ORDINALITY
            AS new (description, quantity, unit_price, position)";
    append(session, sql, tenant, bid.0, present, new).await
}

/// The newest accepted bid of a project, locked until the transaction ends. No bid stops being accepted.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_accepted(
    session: &Session,
    tenant: TenantId,
    project: ProjectId,
) -> Result<Option<Bid>, StoreError> {
    // By the index bids_accepted, read backwards.
    let sql = "
        SELECT id
        FROM bids
        WHERE tenant_id = $1 AND project_id = $2 AND status = 'accepted'
        ORDER BY decided_at DESC, id DESC
        LIMIT 1
        FOR NO KEY UPDATE";
    match session.query_first(sql, &[&tenant.0, &project.0]).await? {
        None => Ok(None),
        Some(row) => super::get(session, tenant, BidId(row.column("id")?)).await,
    }
}
