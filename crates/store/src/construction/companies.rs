//! Companies.

use plumbline_domain::construction::{Company, CompanyDetails};
use plumbline_domain::{CompanyId, TenantId};
use tokio_postgres::Row;

use super::Stored;
use crate::row::Columns;
use crate::{Session, StoreError};

impl Stored for Company {
    type Id = CompanyId;
    type Details = CompanyDetails;

    const LOCK: &'static str = "SELECT id FROM companies WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = "
        SELECT record.tenant_id, record.id, record.name, record.email, record.phone, record.website,
            record.created_at, record.updated_at
        FROM companies AS record
        WHERE record.tenant_id = $1";

    fn map(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: CompanyId(row.column("id")?),
            tenant: row.tenant()?,
            details: CompanyDetails {
                name: row.column("name")?,
                email: row.column("email")?,
                phone: row.column("phone")?,
                website: row.column("website")?,
            },
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(
        session: &Session,
        tenant: TenantId,
        details: &CompanyDetails,
    ) -> Result<CompanyId, StoreError> {
        let sql = "
            INSERT INTO companies (tenant_id, name, email, phone, website)
            VALUES ($1, $2, $3, $4, $5)
            RETURNING id";
        let CompanyDetails {
            name,
            email,
            phone,
            website,
        } = details;
        let row = session
            .query_one(sql, &[&tenant.0, name, email, phone, website])
            .await?;
        Ok(CompanyId(row.column("id")?))
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: CompanyId,
        details: &CompanyDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE companies
            SET name = $3, email = $4, phone = $5, website = $6, updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        let CompanyDetails {
            name,
            email,
            phone,
            website,
        } = details;
        session
            .execute(sql, &[&tenant.0, &id.0, name, email, phone, website])
            .await
            .map(drop)
    }
}
