//! The people of a tenant.

use plumbline_domain::{Role, TenantId, UserId};

use crate::row::Columns;
use crate::{Session, StoreError};

/// Make a user. The address is lower case already.
///
/// # Errors
/// [`StoreError::Conflict`] when the address is taken, in whatever tenant.
pub async fn create(
    session: &Session,
    tenant: TenantId,
    email: &str,
    role: Role,
    password_hash: &str,
) -> Result<UserId, StoreError> {
    let sql = "
        INSERT INTO users (tenant_id, email, role, password_hash)
        VALUES ($1, $2, $3, $4)
        RETURNING id";
    let row = session
        .query_one(sql, &[&tenant.0, &email, &role.as_str(), &password_hash])
        .await?;
    Ok(UserId(row.column("id")?))
}
