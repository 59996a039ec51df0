//! Contacts.

use plumbline_domain::construction::{Contact, ContactDetails, ContactType};
use plumbline_domain::{ContactId, TenantId};
use tokio_postgres::Row;

use super::Stored;
use crate::row::Columns;
use crate::{Session, StoreError};

impl Stored for Contact {
    type Id = ContactId;
    type Details = ContactDetails;

    const LOCK: &'static str = "SELECT id FROM contacts WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";

    const READ: &'static str = "
        SELECT record.tenant_id, record.id, record.first_name, record.last_name, record.company_name, record.email,
            record.phone, record.type, record.created_at, record.updated_at
        FROM contacts AS record
        WHERE record.tenant_id = $1";

    fn map(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ContactId(row.column("id")?),
            tenant: row.tenant()?,
            details: ContactDetails {
                first_name: row.column("first_name")?,
                last_name: row.column("last_name")?,
                company_name: row.column("company_name")?,
                email: row.column("email")?,
                phone: row.column("phone")?,
                contact_type: row.named("type", ContactType::parse)?,
            },
            created_at: row.column("created_at")?,
            updated_at: row.column("updated_at")?,
        })
    }

    async fn insert(
        session: &Session,
        tenant: TenantId,
        details: &ContactDetails,
    ) -> Result<ContactId, StoreError> {
        let sql = "
            INSERT INTO contacts (tenant_id, first_name, last_name, company_name, email, phone, type)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            RETURNING id";
        let row = session
            .query_one(
                sql,
                &[
                    &tenant.0,
                    &details.first_name,
                    &details.last_name,
                    &details.company_name,
                    &details.email,
                    &details.phone,
                    &details.contact_type.as_str(),
                ],
            )
            .await?;
        Ok(ContactId(row.column("id")?))
    }

    async fn write(
        session: &Session,
        tenant: TenantId,
        id: ContactId,
        details: &ContactDetails,
    ) -> Result<(), StoreError> {
        let sql = "
            UPDATE contacts
            SET first_name = $3, last_name = $4, company_name = $5, email = $6, phone = $7, type = $8,
                updated_at = now()
            WHERE tenant_id = $1 AND id = $2";
        session
            .execute(
                sql,
                &[
                    &tenant.0,
                    &id.0,
                    &details.first_name,
                    &details.last_name,
                    &details.company_name,
                    &details.email,
                    &details.phone,
                    &details.contact_type.as_str(),
                ],
            )
            .await
            .map(drop)
    }
}
