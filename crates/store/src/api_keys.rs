//! API keys: stored as hashes, found by them.

use std::net::IpAddr;

use ipnet::IpNet;
use plumbline_domain::{ApiKeyId, Scopes, TenantId};

use crate::row::{Columns, unmapped};
use crate::{Session, StoreError};

/// An API key to make.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
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
}

/// The networks that a key may be used from; empty is anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedIps(pub Vec<IpNet>);

impl AllowedIps {
    /// Whether there is no restriction.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address lies in one of the networks.
    pub fn contains(&self, address: &IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Make an API key.
///
/// # Errors
/// [`StoreError`].
pub async fn create(session: &Session, tenant: TenantId, new: &NewApiKey) -> Result<ApiKeyId, StoreError> {
    let sql = "
        INSERT INTO api_keys (tenant_id, name, hint, hash, scopes)
        VALUES ($1, $2, $3, $4, $5)
        RETURNING id";
    let row = session
        .query_one(
            sql,
            &[
                &tenant.0,
                &new.name,
                &new.hint,
                &&new.hash[..],
                &new.scopes.names(),
            ],
        )
        .await?;
    Ok(ApiKeyId(row.column("id")?))
}

/// The key of this hash, unless it is revoked.
///
/// # Errors
/// [`StoreError`].
pub async fn by_hash(session: &Session, hash: &[u8; 32]) -> Result<Option<ApiKeyRecord>, StoreError> {
    // As text, because the driver's own type for `inet` drops the network's length.
    let sql = "
        SELECT id, tenant_id, scopes, allowed_ips::text[] AS allowed_ips
        FROM api_keys
        WHERE hash = $1 AND revoked_at IS NULL";
    let Some(row) = session.query_first(sql, &[&&hash[..]]).await? else {
        return Ok(None);
    };
    let scopes: Vec<&str> = row.column("scopes")?;
    let networks: Vec<&str> = row.column("allowed_ips")?;
    let networks = networks.into_iter().map(network).collect::<Option<_>>();
    Ok(Some(ApiKeyRecord {
        id: ApiKeyId(row.column("id")?),
        tenant: row.tenant()?,
        scopes: Scopes::parse(scopes).map_err(|_| unmapped("scopes"))?,
        allowed_ips: AllowedIps(networks.ok_or_else(|| unmapped("allowed_ips"))?),
    }))
}

/// PostgreSQL writes a whole network with its length, and a single address without.
fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
