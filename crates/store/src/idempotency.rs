//! Idempotency keys: a repeated request gets the first one's answer.
//!
//! A key belongs to a tenant and to one of two scopes. Changes claim theirs in the transaction that makes the
//! change, which may last as long as a customer's DNS; publications take theirs in the group commit that all
//! tenants share. Were the scopes one, a tenant could hold up everybody's publications by holding a key.

use plumbline_domain::TenantId;
use tokio_postgres::Row;

use crate::row::{Columns, rows_max, small};
use crate::{Session, StoreError};

/// What is answered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// A 2xx status.
    pub status: u16,
    /// The body; holds no secret.
    pub body: String,
}

/// What a key turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// New, or older than a day: now the caller's.
    Fresh,
    /// The same request was answered before.
    Done(StoredResponse),
    /// The key belongs to a different request.
    Mismatch,
}

/// How often a key may disappear between two looks before we give up.
const LOOKS_MAX: usize = 3;

/// Claim a key in a transaction that makes a change. A concurrent claim of the same key waits for this transaction;
/// then it sees its answer, or gets the key if there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(
    session: &Session,
    tenant: TenantId,
    key: &str,
    request_hash: &[u8; 32],
) -> Result<Claim, StoreError> {
    let sql = "
        INSERT INTO idempotency_keys AS stored (tenant_id, scope, key, request_hash)
        VALUES ($1, 'change', $2, $3)
        ON CONFLICT (tenant_id, scope, key) DO UPDATE
        SET request_hash = EXCLUDED.request_hash, status = NULL, body = NULL, created_at = EXCLUDED.created_at
        WHERE stored.created_at < now() - interval '24 hours'
        RETURNING key";
    for _ in 0..LOOKS_MAX {
        if session
            .query_first(sql, &[&tenant.0, &key, &&request_hash[..]])
            .await?
            .is_some()
        {
            return Ok(Claim::Fresh);
        }
        // A new statement sees what the one that we waited for has committed.
        match stored(session, tenant, "change", key, request_hash).await? {
            Claim::Fresh => {} // Expired and deleted in between: try again.
            taken => return Ok(taken),
        }
    }
    Err(StoreError::Retry(crate::Cause::new(
        "an idempotency key kept disappearing",
    )))
}

/// Keep the answer to the request that claimed the key, in the same transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn complete(
    session: &Session,
    tenant: TenantId,
    key: &str,
    response: &StoredResponse,
) -> Result<(), StoreError> {
    let sql = "
        UPDATE idempotency_keys
        SET status = $3, body = $4
        WHERE tenant_id = $1 AND scope = 'change' AND key = $2";
    session
        .execute(sql, &[&tenant.0, &key, &small(response.status), &response.body])
        .await?;
    Ok(())
}

/// What became of a key that [`crate::events::insert_batch`] did not take. [`Claim::Fresh`] when nobody has it any
/// more: publish again.
///
/// # Errors
/// [`StoreError`].
pub async fn read(
    session: &Session,
    tenant: TenantId,
    key: &str,
    request_hash: &[u8; 32],
) -> Result<Claim, StoreError> {
    stored(session, tenant, "publish", key, request_hash).await
}

async fn stored(
    session: &Session,
    tenant: TenantId,
    scope: &str,
    key: &str,
    request_hash: &[u8; 32],
) -> Result<Claim, StoreError> {
    let sql = "
        SELECT request_hash, status, body
        FROM idempotency_keys
        WHERE tenant_id = $1 AND scope = $2 AND key = $3";
    let Some(row) = session.query_first(sql, &[&tenant.0, &scope, &key]).await? else {
        return Ok(Claim::Fresh);
    };
    if row.column::<&[u8]>("request_hash")? != request_hash {
        return Ok(Claim::Mismatch);
    }
    Ok(Claim::Done(response(&row)?))
}

fn response(row: &Row) -> Result<StoredResponse, StoreError> {
    Ok(StoredResponse {
        status: row.count("status")?,
        body: row.column("body")?,
    })
}

/// Delete keys that are older than a day, the oldest first. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_expired(session: &Session, limit: usize) -> Result<u64, StoreError> {
    // By the index on created_at; who is just taking an expired key over is left alone.
    let sql = "
        DELETE FROM idempotency_keys
        WHERE (tenant_id, scope, key) IN (
            SELECT tenant_id, scope, key
            FROM idempotency_keys
            WHERE created_at < now() - interval '24 hours'
            ORDER BY created_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED)";
    session.execute(sql, &[&rows_max(limit)]).await
}
