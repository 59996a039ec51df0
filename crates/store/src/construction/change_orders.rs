//! Change orders and their items.

use plumbline_domain::construction::{ChangeOrder, ChangeOrderDetails, ChangeOrderStatus, Item};
use plumbline_domain::{BidId, ChangeOrderId, ProjectId, TenantId};
use tokio_postgres::Row;

use super::items::{append, items, items_of_record};
use super::{Staged, Stored};
use crate::row::Columns;
use crate::{Session, StoreError};

impl Stored for ChangeOrder {
    type Id = ChangeOrderId;
    type Details = ChangeOrderDetails;

    const LOCK: &'static str =
        "SELECT id FROM change_orders WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = concat!(
        "
        SELECT record.tenant_id, record.id, record.project_id, record.title, record.status, record.submitted_at,
            record.approved_at, record.applied_to_bid, record.created_at, record.updated_at,
            items.descriptions, items.quantities, items.unit_prices
        FROM change_orders AS record",
        items_of_record!("change_order_items", "change_order_id"),
        "WHERE record.tenant_id = $1"
    );

    fn map(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ChangeOrderId(row.column("id")?),
            tenant: row.tenant()?,
            details: ChangeOrderDetails {
                project: ProjectId(row.column("project_id")?),
                title: row.column("title")?,
                items: items(row)?,
            },
            status: row.named("status", ChangeOrderStatus::parse)?,
            submitted_at: row.column("submitted_at")?,
            approved_at: row.column("approved_at")?,
            applied_to: row.column::<Option<i64>>("applied_to_bid")?.map(BidId),
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(
        session: &Session,
        tenant: TenantId,
        details: &ChangeOrderDetails,
    ) -> Result<ChangeOrderId, StoreError> {
        let sql = "
            INSERT INTO change_orders (tenant_id, project_id, title, status)
            VALUES ($1, $2, $3, 'draft')
            RETURNING id";
        let row = session
            .query_one(sql, &[&tenant.0, &details.project.0, &details.title])
            .await?;
        let id = ChangeOrderId(row.column("id")?);
        append_items(session, tenant, id, 0, &details.items).await?;
        Ok(id)
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: ChangeOrderId,
        details: &ChangeOrderDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE change_orders
            SET project_id = $3, title = $4, updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        session
            .execute(sql, &[&tenant.0, &id.0, &details.project.0, &details.title])
            .await?;
        let clear = "DELETE FROM change_order_items WHERE tenant_id = $1 AND change_order_id = $2";
        session.execute(clear, &[&tenant.0, &id.0]).await?;
        append_items(session, tenant, id, 0, &details.items).await
    }
}

impl Staged for ChangeOrder {
    type Status = ChangeOrderStatus;

    const MOVE: &'static str = "
        UPDATE change_orders
        SET status = $3, updated_at = now(),
            submitted_at = CASE WHEN $3 = 'submitted' THEN now() ELSE submitted_at END,
            approved_at = CASE WHEN $3 = 'approved' THEN now() END
        WHERE tenant_id = $1 AND id = $2";
}

/// Append items to a locked change order that has this many.
///
/// # Errors
/// [`StoreError`].
pub async fn append_items(
    session: &Session,
    tenant: TenantId,
    order: ChangeOrderId,
    present: usize,
    new: &[Item],
) -> Result<(), StoreError> {
    let sql = "
        WITH changed AS (
            UPDATE change_orders
            SET updated_at = now()
            WHERE tenant_id = $1 AND id = $2)
        INSERT INTO change_order_items
            (tenant_id, change_order_id, position, description, quantity_thousandths, unit_price_cents)
        SELECT $1, $2, $3::bigint + new.position, new.description, new.quantity, new.unit_price
        FROM unnest($4::text[], $5::bigint[], $6::bigint[]) WITH ORDINALITY
            AS new (description, quantity, unit_price, position)";
    append(session, sql, tenant, order.0, present, new).await
}

/// Note which bid the items of an approved change order were appended to.
///
/// # Errors
/// [`StoreError`].
pub async fn applied(
    session: &Session,
    tenant: TenantId,
    order: ChangeOrderId,
    bid: BidId,
) -> Result<(), StoreError> {
    let sql = "UPDATE change_orders SET applied_to_bid = $3 WHERE tenant_id = $1 AND id = $2";
    session
        .execute(sql, &[&tenant.0, &order.0, &bid.0])
        .await
        .map(drop)
}
