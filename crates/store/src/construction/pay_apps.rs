//! Pay applications.

use plumbline_domain::construction::{PayApp, PayAppDetails, PayAppStatus};
use plumbline_domain::{PayAppId, ProjectId, TenantId};
use tokio_postgres::Row;

use super::items::money;
use super::{Staged, Stored};
use crate::row::Columns;
use crate::{Session, StoreError};

impl Stored for PayApp {
    type Id = PayAppId;
    type Details = PayAppDetails;

    const LOCK: &'static str = "SELECT id FROM pay_apps WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = "
        SELECT record.tenant_id, record.id, record.project_id, record.amount_cents, record.period_end,
            record.status, record.submitted_at, record.approved_at, record.created_at, record.updated_at
        FROM pay_apps AS record
        WHERE record.tenant_id = $1";

    fn map(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: PayAppId(row.column("id")?),
            tenant: row.tenant()?,
            details: PayAppDetails {
                project: ProjectId(row.column("project_id")?),
                amount: money(row, "amount_cents")?,
                period_end: row.column("period_end")?,
            },
            status: row.named("status", PayAppStatus::parse)?,
            submitted_at: row.column("submitted_at")?,
            approved_at: row.column("approved_at")?,
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(
        session: &Session,
        tenant: TenantId,
        details: &PayAppDetails,
    ) -> Result<PayAppId, StoreError> {
        let sql = "
            INSERT INTO pay_apps (tenant_id, project_id, amount_cents, period_end, status)
            VALUES ($1, $2, $3, $4, 'draft')
            RETURNING id";
        let row = session
            .query_one(
                sql,
                &[
                    &tenant.0,
                    &details.project.0,
                    &details.amount.cents(),
                    &details.period_end,
                ],
            )
            .await?;
        Ok(PayAppId(row.column("id")?))
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: PayAppId,
        details: &PayAppDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE pay_apps
            SET project_id = $3, amount_cents = $4, period_end = $5, updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        session
            .execute(
                sql,
                &[
                    &tenant.0,
                    &id.0,
                    &details.project.0,
                    &details.amount.cents(),
                    &details.period_end,
                ],
            )
            .await
            .map(drop)
    }
}

impl Staged for PayApp {
    type Status = PayAppStatus;

    const MOVE: &'static str = "
        UPDATE pay_apps
        SET status = $3, updated_at = now(),
            submitted_at = CASE WHEN $3 = 'submitted' THEN now() ELSE submitted_at END,
            approved_at = CASE WHEN $3 = 'approved' THEN now() END
        WHERE tenant_id = $1 AND id = $2";
}
