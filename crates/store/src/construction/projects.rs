//! Projects.

use plumbline_domain::construction::{Project, ProjectDetails, ProjectNumber, ProjectStatus};
use plumbline_domain::{ContactId, ProjectId, TenantId};
use tokio_postgres::Row;

use super::items::money;
use super::{Numbered, Stored, one_at_a_time};
use crate::row::Columns;
use crate::{Session, StoreError};

impl Stored for Project {
    type Id = ProjectId;
    type Details = ProjectDetails;

    const LOCK: &'static str = "SELECT id FROM projects WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = "
        SELECT record.tenant_id, record.id, record.number, record.name, record.contact_id,
            record.contract_value_cents, record.status, record.created_at, record.updated_at
        FROM projects AS record
        WHERE record.tenant_id = $1";

    fn map(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ProjectId(row.column("id")?),
            tenant: row.tenant()?,
            number: ProjectNumber(row.count("number")?),
            details: ProjectDetails {
                name: row.column("name")?,
                contact: row.column::<Option<i64>>("contact_id")?.map(ContactId),
                contract_value: money(row, "contract_value_cents")?,
                status: row.named("status", ProjectStatus::parse)?,
            },
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(
        session: &Session,
        tenant: TenantId,
        details: &ProjectDetails,
    ) -> Result<ProjectId, StoreError> {
        one_at_a_time(session, tenant, Numbered::Projects).await?;
        // The greatest number by the index of the unique rule.
        let sql = "
            INSERT INTO projects (tenant_id, number, name, contact_id, contract_value_cents, status)
            SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5
            FROM projects
            WHERE tenant_id = $1
            RETURNING id";
        let row = session
            .query_one(
                sql,
                &[
                    &tenant.0,
                    &details.name,
                    &details.contact.map(|id| id.0),
                    &details.contract_value.cents(),
                    &details.status.as_str(),
                ],
            )
            .await?;
        Ok(ProjectId(row.column("id")?))
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: ProjectId,
        details: &ProjectDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE projects
            SET name = $3, contact_id = $4, contract_value_cents = $5, status = $6, updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        session
            .execute(
                sql,
                &[
                    &tenant.0,
                    &id.0,
                    &details.name,
                    &details.contact.map(|id| id.0),
                    &details.contract_value.cents(),
                    &details.status.as_str(),
                ],
            )
            .await
            .map(drop)
    }
}
