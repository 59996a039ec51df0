//! Opportunities.

use plumbline_domain::construction::{Money, Opportunity, OpportunityDetails};
use plumbline_domain::{CompanyId, OpportunityId, TenantId};
use tokio_postgres::Row;

use super::Stored;
use crate::row::{Columns, unmapped};
use crate::{Session, StoreError};

impl Stored for Opportunity {
    type Id = OpportunityId;
    type Details = OpportunityDetails;

    const LOCK: &'static str =
        "SELECT id FROM opportunities WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = "
        SELECT record.tenant_id, record.id, record.name, record.stage, record.value_cents, record.company_id,
            record.created_at, record.updated_at
        FROM opportunities AS record
        WHERE record.tenant_id = $1";

    fn map(row: &Row) -> Result<Self, StoreError> {
        let value = match row.column::<Option<i64>>("value_cents")? {
            None => None,
            Some(cents) => Some(Money::from_cents(cents).ok_or_else(|| unmapped("value_cents"))?),
        };
        Ok(Self {
            id: OpportunityId(row.column("id")?),
            tenant: row.tenant()?,
            details: OpportunityDetails {
                name: row.column("name")?,
                stage: row.column("stage")?,
                value,
                company: row.column::<Option<i64>>("company_id")?.map(CompanyId),
            },
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(
        session: &Session,
        tenant: TenantId,
        details: &OpportunityDetails,
    ) -> Result<OpportunityId, StoreError> {
        let sql = "
            INSERT INTO opportunities (tenant_id, name, stage, value_cents, company_id)
            VALUES ($1, $2, $3, $4, $5)
            RETURNING id";
        let (value, company) = (details.value.map(Money::cents), details.company.map(|id| id.0));
        let row = session
            .query_one(sql, &[&tenant.0, &details.name, &details.stage, &value, &company])
            .await?;
        Ok(OpportunityId(row.column("id")?))
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: OpportunityId,
        details: &OpportunityDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE opportunities
            SET name = $3, stage = $4, value_cents = $5, company_id = $6, updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        let (value, company) = (details.value.map(Money::cents), details.company.map(|id| id.0));
        session
            .execute(
                sql,
                &[&tenant.0, &id.0, &details.name, &details.stage, &value, &company],
            )
            .await
            .map(drop)
    }
}
