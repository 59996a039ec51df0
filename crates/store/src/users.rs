//! The people of a tenant.

use plumbline_domain::{Role, TenantId, Timestamp, UserId};
use tokio_postgres::Row;

use crate::row::{Columns, rows_max};
use crate::{Session, StoreError};

/// A person of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their number.
    pub id: UserId,
    /// What they sign in with; lower case.
    pub email: String,
    /// What they are.
    pub role: Role,
    /// When they were added.
    pub created_at: Timestamp,
}

/// What a sign-in needs to know. Its `Debug` shows no hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whose they are.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// The password, hashed with argon2id, in PHC form.
    pub password_hash: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} of {})", self.user, self.tenant)
    }
}

/// What to change of a user; `None` stays as it is.
#[derive(Clone, Default)]
pub struct UserChanges {
    /// Another address, lower case.
    pub email: Option<String>,
    /// Another role.
    pub role: Option<Role>,
    /// Another password, hashed.
    pub password_hash: Option<String>,
}

/// The columns that [`user`] maps.
macro_rules! columns {
    () => {
        "id, email, role, created_at"
    };
}

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(row.column("id")?),
        email: row.column("email")?,
        role: row.named("role", Role::parse)?,
        created_at: row.column("created_at")?,
    })
}

fn known(row: &Row) -> Result<Credentials, StoreError> {
    Ok(Credentials {
        tenant: row.tenant()?,
        user: UserId(row.column("id")?),
        password_hash: row.column("password_hash")?,
    })
}

/// Make a user. The address is lower case already.
///
/// # Errors
/// [`StoreError::Conflict`] when the address is taken, in whatever tenant. It leaves a transaction usable.
pub async fn create(
    session: &Session,
    tenant: TenantId,
    email: &str,
    role: Role,
    password_hash: &str,
) -> Result<User, StoreError> {
    let sql = concat!(
        "
        INSERT INTO users (tenant_id, email, role, password_hash)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (email) DO NOTHING
        RETURNING ",
        columns!()
    );
    let row = session
        .query_first(sql, &[&tenant.0, &email, &role.as_str(), &password_hash])
        .await?;
    match row {
        Some(row) => user(&row),
        None => Err(StoreError::Conflict {
            constraint: "users_email_key".to_owned(),
        }),
    }
}

/// One user.
///
/// # Errors
/// [`StoreError`].
pub async fn get(session: &Session, tenant: TenantId, id: UserId) -> Result<Option<User>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM users
        WHERE tenant_id = $1 AND id = $2"
    );
    let row = session.query_first(sql, &[&tenant.0, &id.0]).await?;
    row.as_ref().map(user).transpose()
}

/// A page of a tenant's users, newest first, older than `before`.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    session: &Session,
    tenant: TenantId,
    before: Option<UserId>,
    limit: usize,
) -> Result<Vec<User>, StoreError> {
    // By the index users_of_tenant.
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM users
        WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id < $2)
        ORDER BY id DESC
        LIMIT $3"
    );
    let before = before.map(|user| user.0);
    let rows = session
        .query(sql, &[&tenant.0, &before, &rows_max(limit)])
        .await?;
    rows.iter().map(user).collect()
}

/// How many users a tenant has, and how many of them have a role.
///
/// # Errors
/// [`StoreError`].
pub async fn count(session: &Session, tenant: TenantId, role: Role) -> Result<(u64, u64), StoreError> {
    let sql = "
        SELECT count(*) AS users, count(*) FILTER (WHERE role = $2) AS of_role
        FROM users
        WHERE tenant_id = $1";
    let row = session.query_one(sql, &[&tenant.0, &role.as_str()]).await?;
    Ok((row.count("users")?, row.count("of_role")?))
}

/// What a user must know to sign in; the address is lower case.
///
/// # Errors
/// [`StoreError`].
pub async fn credentials_by_email(session: &Session, email: &str) -> Result<Option<Credentials>, StoreError> {
    // The one query here without a tenant: it is what finds the tenant.
    let sql = "SELECT id, tenant_id, password_hash FROM users WHERE email = $1";
    let row = session.query_first(sql, &[&email]).await?;
    row.as_ref().map(known).transpose()
}

/// The same for a user who is known.
///
/// # Errors
/// [`StoreError`].
pub async fn credentials(
    session: &Session,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<Credentials>, StoreError> {
    let sql = "SELECT id, tenant_id, password_hash FROM users WHERE tenant_id = $1 AND id = $2";
    let row = session.query_first(sql, &[&tenant.0, &user.0]).await?;
    row.as_ref().map(known).transpose()
}

/// Change a user. `None` for no such user.
///
/// # Errors
/// [`StoreError::Conflict`] when the address is taken, in whatever tenant.
pub async fn update(
    session: &Session,
    tenant: TenantId,
    id: UserId,
    changes: &UserChanges,
) -> Result<Option<User>, StoreError> {
    let sql = concat!(
        "
        UPDATE users
        SET email = coalesce($3, email), role = coalesce($4, role), password_hash = coalesce($5, password_hash)
        WHERE tenant_id = $1 AND id = $2
        RETURNING ",
        columns!()
    );
    let role = changes.role.map(Role::as_str);
    let row = session
        .query_first(
            sql,
            &[&tenant.0, &id.0, &changes.email, &role, &changes.password_hash],
        )
        .await?;
    row.as_ref().map(user).transpose()
}

/// Replace a password that was known to be `old_hash`. `false` when it is not any more, or there is no such user.
///
/// # Errors
/// [`StoreError`].
pub async fn replace_password(
    session: &Session,
    tenant: TenantId,
    id: UserId,
    old_hash: &str,
    new_hash: &str,
) -> Result<bool, StoreError> {
    let sql = "
        UPDATE users
        SET password_hash = $4
        WHERE tenant_id = $1 AND id = $2 AND password_hash = $3";
    let changed = session
        .execute(sql, &[&tenant.0, &id.0, &old_hash, &new_hash])
        .await?;
    Ok(changed > 0)
}

/// Delete a user, and with them their sessions. `false` for no such user.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(session: &Session, tenant: TenantId, id: UserId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM users WHERE tenant_id = $1 AND id = $2";
    Ok(session.execute(sql, &[&tenant.0, &id.0]).await? > 0)
}
