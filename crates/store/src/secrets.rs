//! Signing secrets: encrypted by the [`Vault`], several to an endpoint while one replaces another.
//!
//! Of an endpoint's secrets the *current* one is the newest that has been activated; a *prepared* one activates in
//! the future, and there is at most one. The current one expires when its successor activates (later, where a
//! profile's verifiers read several signatures), so that at every moment something signs.

pub mod sealed;
mod vault;

use std::time::Duration;

use plumbline_domain::{EndpointId, KeyDerivation, SecretVersion, TenantId, Timestamp};
use tokio_postgres::Row;

pub use vault::{MasterKey, Sealed, SealedKind, Vault, VaultError};

use crate::row::Columns;
use crate::{Session, StoreError};

/// A stored secret, still encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// The row's number.
    pub id: i64,
    /// The encrypted text.
    pub sealed: Sealed,
    /// How the text becomes a key.
    pub derivation: KeyDerivation,
    /// From when it signs.
    pub activates_at: Timestamp,
    /// Until when it still signs beside its successor.
    pub expires_at: Option<Timestamp>,
}

impl SealedSecret {
    /// Decrypt it.
    ///
    /// # Errors
    /// [`VaultError`] when its master key is missing, or it was sealed for another endpoint.
    pub fn open(
        &self,
        vault: &Vault,
        tenant: TenantId,
        endpoint: EndpointId,
    ) -> Result<SecretVersion, VaultError> {
        Ok(SecretVersion {
            secret: vault.open(&self.sealed, tenant, endpoint)?,
            derivation: self.derivation,
            activates_at: self.activates_at,
            expires_at: self.expires_at,
        })
    }
}

/// Map the columns that a query names `secret_id`, `master_key_id`, `ciphertext`, `derivation`, `activates_at` and
/// `expires_at`.
pub(crate) fn sealed_secret(row: &Row) -> Result<SealedSecret, StoreError> {
    Ok(SealedSecret {
        id: row.column("secret_id")?,
        sealed: Sealed {
            master_key_id: row.column("master_key_id")?,
            ciphertext: row.column("ciphertext")?,
        },
        derivation: row.named("derivation", KeyDerivation::parse)?,
        activates_at: row.column("activates_at")?,
        expires_at: row.column("expires_at")?,
    })
}

/// Add a secret.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    sealed: &Sealed,
    derivation: KeyDerivation,
    activates_at: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let sql = "
        INSERT INTO endpoint_secrets
            (tenant_id, endpoint_id, master_key_id, ciphertext, derivation, activates_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    session
        .execute(
            sql,
            &[
                &tenant.0,
                &endpoint.0,
                &sealed.master_key_id,
                &sealed.ciphertext,
                &derivation.as_str(),
                &activates_at,
                &expires_at,
            ],
        )
        .await?;
    Ok(())
}

/// An endpoint's secrets in order of activation, the expired ones included until maintenance deletes them.
///
/// # Errors
/// [`StoreError`].
pub async fn of_endpoint(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
) -> Result<Vec<SealedSecret>, StoreError> {
    let sql = "
        SELECT id AS secret_id, master_key_id, ciphertext, derivation, activates_at, expires_at
        FROM endpoint_secrets
        WHERE tenant_id = $1 AND endpoint_id = $2
        ORDER BY activates_at, id";
    let rows = session.query(sql, &[&tenant.0, &endpoint.0]).await?;
    rows.iter().map(sealed_secret).collect()
}

/// The secret that is prepared to take over after `now`.
///
/// # Errors
/// [`StoreError`].
pub async fn prepared(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<Option<SealedSecret>, StoreError> {
    let secrets = of_endpoint(session, tenant, endpoint).await?;
    Ok(secrets.into_iter().rfind(|secret| secret.activates_at > now))
}

/// Drop the prepared secret, if there is one. Follow it with [`set_expiry`]: the current one was to expire when the
/// prepared one took over.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_prepared(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "
        DELETE FROM endpoint_secrets
        WHERE tenant_id = $1 AND endpoint_id = $2 AND activates_at > $3";
    Ok(session.execute(sql, &[&tenant.0, &endpoint.0, &now]).await? > 0)
}

/// Let the newest secret expire at `at`: exactly then, so that a takeover that is put off leaves no gap. Older ones,
/// which still overlap from an earlier rotation, keep their moment or expire with it.
///
/// # Errors
/// [`StoreError`].
pub async fn set_expiry(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    at: Timestamp,
) -> Result<(), StoreError> {
    // A secret that a faster clock activated after `at` expires at once.
    let sql = "
        WITH newest AS (
            SELECT id
            FROM endpoint_secrets
            WHERE tenant_id = $1 AND endpoint_id = $2
            ORDER BY activates_at DESC, id DESC
            LIMIT 1)
        UPDATE endpoint_secrets AS secret
        SET expires_at = greatest(secret.activates_at, $3)
        FROM newest
        WHERE secret.id = newest.id";
    session.execute(sql, &[&tenant.0, &endpoint.0, &at]).await?;
    Ok(())
}

/// Take an endpoint's secrets away: nothing signs any more.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_all(session: &Session, tenant: TenantId, endpoint: EndpointId) -> Result<(), StoreError> {
    let sql = "DELETE FROM endpoint_secrets WHERE tenant_id = $1 AND endpoint_id = $2";
    session.execute(sql, &[&tenant.0, &endpoint.0]).await?;
    Ok(())
}

/// Let the prepared secret take over now; the one that it replaces still signs beside it for `overlap`.
/// `false` when none is prepared.
///
/// # Errors
/// [`StoreError`].
pub async fn activate_prepared(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    now: Timestamp,
    overlap: Duration,
) -> Result<bool, StoreError> {
    let sql = "
        WITH activated AS (
            UPDATE endpoint_secrets
            SET activates_at = $3
            WHERE tenant_id = $1 AND endpoint_id = $2 AND activates_at > $3
            RETURNING id),
        replaced AS (
            SELECT id
            FROM endpoint_secrets
            WHERE tenant_id = $1 AND endpoint_id = $2 AND activates_at <= $3
            ORDER BY activates_at DESC, id DESC
            LIMIT 1),
        expiring AS (
            UPDATE endpoint_secrets AS secret
            SET expires_at = $4
            FROM replaced
            WHERE secret.id = replaced.id AND EXISTS (SELECT FROM activated))
        SELECT id
        FROM activated";
    let expires_at = now + overlap;
    let row = session
        .query_first(sql, &[&tenant.0, &endpoint.0, &now, &expires_at])
        .await?;
    Ok(row.is_some())
}

/// Let a new secret sign from `at` on: at once when `at` is `now`, else prepared, in the place of one prepared
/// earlier. The current one expires `overlap` after that. Hold the endpoint's lock.
///
/// # Errors
/// [`StoreError`].
#[expect(
    clippy::too_many_arguments,
    reason = "a row's columns and the two moments of a rotation"
)]
pub async fn replace_active(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    sealed: &Sealed,
    derivation: KeyDerivation,
    now: Timestamp,
    at: Timestamp,
    overlap: Duration,
) -> Result<(), StoreError> {
    delete_prepared(session, tenant, endpoint, now).await?;
    set_expiry(session, tenant, endpoint, at + overlap).await?;
    insert(session, tenant, endpoint, sealed, derivation, at, None).await
}

/// Delete secrets that expired more than a day ago. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_expired(session: &Session, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "
        DELETE FROM endpoint_secrets
        WHERE expires_at < $1::timestamptz - interval '1 day'";
    session.execute(sql, &[&now]).await
}
