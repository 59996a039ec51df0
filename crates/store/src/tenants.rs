//! Tenants, and the version of each tenant's endpoints.

use plumbline_domain::{ResourceUrls, TenantId, Timestamp};

use crate::row::Columns;
use crate::{Session, StoreError};

/// A customer of the product that runs Plumbline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub id: TenantId,
    /// Its name.
    pub name: String,
    /// Where a thin event's resource lives, when its data does not say.
    pub resource_url_template: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Make a tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn create(session: &Session, name: &str) -> Result<TenantId, StoreError> {
    let row = session
        .query_one("INSERT INTO tenants (name) VALUES ($1) RETURNING id", &[&name])
        .await?;
    Ok(TenantId(row.column("id")?))
}

/// One tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn get(session: &Session, tenant: TenantId) -> Result<Option<Tenant>, StoreError> {
    let sql = "
        SELECT id, name, resource_url_template, created_at
        FROM tenants
        WHERE id = $1";
    let row = session.query_first(sql, &[&tenant.0]).await?;
    row.map(|row| {
        Ok(Tenant {
            id: TenantId(row.column("id")?),
            name: row.column("name")?,
            resource_url_template: row.column("resource_url_template")?,
            created_at: row.column("created_at")?,
        })
    })
    .transpose()
}

/// Hold the tenant's row until the end of the transaction, so that changes that count its records happen one after the
/// other; `false` for no such tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(session: &Session, tenant: TenantId) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE";
    Ok(session.query_first(sql, &[&tenant.0]).await?.is_some())
}

/// Set where a thin event's resource lives.
///
/// # Errors
/// [`StoreError`].
pub async fn set_resource_url_template(
    session: &Session,
    tenant: TenantId,
    template: Option<&ResourceUrls>,
) -> Result<(), StoreError> {
    let sql = "
        UPDATE tenants
        SET resource_url_template = $2
        WHERE id = $1";
    let template = template.map(ResourceUrls::as_str);
    session.execute(sql, &[&tenant.0, &template]).await?;
    Ok(())
}

/// Say that the tenant's endpoints change in this transaction. Locks the tenant's row, so that such changes happen
/// one after the other; returns the version that this change makes, `None` for no such tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn bump_endpoints_version(session: &Session, tenant: TenantId) -> Result<Option<i64>, StoreError> {
    let sql = "
        UPDATE tenants
        SET endpoints_version = endpoints_version + 1
        WHERE id = $1
        RETURNING endpoints_version";
    let row = session.query_first(sql, &[&tenant.0]).await?;
    row.map(|row| row.column("endpoints_version")).transpose()
}

/// The current versions of several tenants' endpoints; tenants that do not exist are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn endpoints_versions(
    session: &Session,
    tenants: &[TenantId],
) -> Result<Vec<(TenantId, i64)>, StoreError> {
    let ids: Vec<i64> = tenants.iter().map(|tenant| tenant.0).collect();
    let rows = session
        .query(
            "SELECT id, endpoints_version FROM tenants WHERE id = ANY ($1)",
            &[&ids],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((TenantId(row.column("id")?), row.column("endpoints_version")?)))
        .collect()
}
