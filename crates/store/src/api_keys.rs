//! API keys: stored as hashes, found by them.

use plumbline_domain::network::{network_text, parse_network};
use plumbline_domain::{ApiKeyId, Scopes, TenantId, Timestamp};
use tokio_postgres::Row;

pub use plumbline_domain::AllowedIps;

use crate::row::{Columns, rows_max, unmapped};
use crate::{Session, StoreError};

/// An API key to make.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// From where it may be used.
    pub allowed_ips: AllowedIps,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// What its owner may see again of it.
    pub hint: String,
}

/// What a valid API key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its number.
    pub id: ApiKeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// From where it may be used.
    pub allowed_ips: AllowedIps,
    /// Whether its use was last noted more than a minute ago, or never.
    pub is_use_unnoted: bool,
}

/// An API key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its number.
    pub id: ApiKeyId,
    /// What its owner calls it.
    pub name: String,
    /// The prefix and the last four characters.
    pub hint: String,
    /// What it may do.
    pub scopes: Scopes,
    /// From where it may be used.
    pub allowed_ips: AllowedIps,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last, to a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// The columns that [`api_key`] maps. The networks as text, because the driver's own type for `inet` drops the length.
macro_rules! columns {
    () => {
        "id, name, hint, scopes, allowed_ips::text[] AS allowed_ips, created_at, last_used_at, revoked_at"
    };
}

fn api_key(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: ApiKeyId(row.column("id")?),
        name: row.column("name")?,
        hint: row.column("hint")?,
        scopes: scopes(row)?,
        allowed_ips: allowed_ips(row)?,
        created_at: row.column("created_at")?,
        last_used_at: row.column("last_used_at")?,
        revoked_at: row.column("revoked_at")?,
    })
}

fn scopes(row: &Row) -> Result<Scopes, StoreError> {
    Scopes::parse(row.column::<Vec<&str>>("scopes")?).map_err(|_| unmapped("scopes"))
}

fn allowed_ips(row: &Row) -> Result<AllowedIps, StoreError> {
    let networks: Vec<&str> = row.column("allowed_ips")?;
    let networks: Result<_, _> = networks.into_iter().map(parse_network).collect();
    Ok(AllowedIps(networks.map_err(|_| unmapped("allowed_ips"))?))
}

/// Make an API key.
///
/// # Errors
/// [`StoreError`].
pub async fn create(session: &Session, tenant: TenantId, new: &NewApiKey) -> Result<ApiKey, StoreError> {
    let sql = concat!(
        "
        INSERT INTO api_keys (tenant_id, name, hint, hash, scopes, allowed_ips)
        VALUES ($1, $2, $3, $4, $5, $6::text[]::inet[])
        RETURNING ",
        columns!()
    );
    let networks: Vec<String> = new.allowed_ips.0.iter().map(network_text).collect();
    let row = session
        .query_one(
            sql,
            &[
                &tenant.0,
                &new.name,
                &new.hint,
                &&new.hash[..],
                &new.scopes.names(),
                &networks,
            ],
        )
        .await?;
    api_key(&row)
}

/// The key of this hash, unless it is revoked.
///
/// # Errors
/// [`StoreError`].
pub async fn by_hash(session: &Session, hash: &[u8; 32]) -> Result<Option<ApiKeyRecord>, StoreError> {
    let sql = "
        SELECT id, tenant_id, scopes, allowed_ips::text[] AS allowed_ips,
            last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS is_use_unnoted
        FROM api_keys
        WHERE hash = $1 AND revoked_at IS NULL";
    let Some(row) = session.query_first(sql, &[&&hash[..]]).await? else {
        return Ok(None);
    };
    Ok(Some(ApiKeyRecord {
        id: ApiKeyId(row.column("id")?),
        tenant: row.tenant()?,
        scopes: scopes(&row)?,
        allowed_ips: allowed_ips(&row)?,
        is_use_unnoted: row.column("is_use_unnoted")?,
    }))
}

/// Note that a key is used, unless somebody did within the last minute.
///
/// # Errors
/// [`StoreError`].
pub async fn note_use(session: &Session, tenant: TenantId, key: ApiKeyId) -> Result<(), StoreError> {
    let sql = "
        UPDATE api_keys
        SET last_used_at = now()
        WHERE tenant_id = $1 AND id = $2
            AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')";
    session.execute(sql, &[&tenant.0, &key.0]).await?;
    Ok(())
}

/// One key, revoked or not.
///
/// # Errors
/// [`StoreError`].
pub async fn get(session: &Session, tenant: TenantId, key: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM api_keys
        WHERE tenant_id = $1 AND id = $2"
    );
    let row = session.query_first(sql, &[&tenant.0, &key.0]).await?;
    row.as_ref().map(api_key).transpose()
}

/// A page of a tenant's keys, the revoked ones too, newest first, older than `before`.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    session: &Session,
    tenant: TenantId,
    before: Option<ApiKeyId>,
    limit: usize,
) -> Result<Vec<ApiKey>, StoreError> {
    // By the index api_keys_of_tenant.
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM api_keys
        WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id < $2)
        ORDER BY id DESC
        LIMIT $3"
    );
    let before = before.map(|key| key.0);
    let rows = session
        .query(sql, &[&tenant.0, &before, &rows_max(limit)])
        .await?;
    rows.iter().map(api_key).collect()
}

/// How many keys of a tenant are not revoked.
///
/// # Errors
/// [`StoreError`].
pub async fn count_valid(session: &Session, tenant: TenantId) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) AS keys FROM api_keys WHERE tenant_id = $1 AND revoked_at IS NULL";
    session.query_one(sql, &[&tenant.0]).await?.count("keys")
}

/// Revoke a key; one that is revoked stays revoked since then. `false` for no such key.
///
/// # Errors
/// [`StoreError`].
pub async fn revoke(session: &Session, tenant: TenantId, key: ApiKeyId) -> Result<bool, StoreError> {
    let sql = "
        UPDATE api_keys
        SET revoked_at = coalesce(revoked_at, now())
        WHERE tenant_id = $1 AND id = $2";
    Ok(session.execute(sql, &[&tenant.0, &key.0]).await? > 0)
}
