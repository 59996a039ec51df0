//! Who is signed in: sessions, stored as hashes, found by them.
//!
//! A [`crate::Session`] is a connection to the database; what a person has is a [`SignIn`] here.

use std::time::Duration;

use plumbline_domain::{Role, SessionId, TenantId, Timestamp, UserId};

use crate::row::{Columns, rows_max};
use crate::{Session, StoreError};

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without being used.
    pub idle: Duration,
    /// In any case.
    pub absolute: Duration,
}

/// What a valid session stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its number.
    pub id: SessionId,
    /// The user's tenant.
    pub tenant: TenantId,
    /// Who is signed in.
    pub user: UserId,
    /// What they are now.
    pub role: Role,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
    /// Whether its use was last noted more than a minute ago.
    pub is_use_unnoted: bool,
}

/// Begin a session of a user whose password was found to have this hash. `None` when it has not any more, or the user
/// is gone: whoever changes a password ends the sessions, and must not miss one that is just being made.
///
/// # Errors
/// [`StoreError`].
pub async fn create(
    session: &Session,
    tenant: TenantId,
    user: UserId,
    password_hash: &str,
    hash: &[u8; 32],
    lifetimes: Lifetimes,
) -> Result<Option<Timestamp>, StoreError> {
    // The lock waits for a change of the password that is under way, and then looks again.
    let sql = "
        INSERT INTO sessions (tenant_id, user_id, hash, expires_at)
        SELECT tenant_id, id, $4, now() + make_interval(secs => $5)
        FROM users
        WHERE tenant_id = $1 AND id = $2 AND password_hash = $3
        FOR SHARE
        RETURNING expires_at";
    let first = lifetimes.idle.min(lifetimes.absolute).as_secs_f64();
    let row = session
        .query_first(sql, &[&tenant.0, &user.0, &password_hash, &&hash[..], &first])
        .await?;
    row.map(|row| row.column("expires_at")).transpose()
}

/// The session of this hash, unless it is over.
///
/// # Errors
/// [`StoreError`].
pub async fn by_hash(session: &Session, hash: &[u8; 32]) -> Result<Option<SignIn>, StoreError> {
    let sql = "
        SELECT session.id, session.tenant_id, session.user_id, users.role, session.expires_at,
            session.seen_at < now() - interval '1 minute' AS is_use_unnoted
        FROM sessions AS session
        JOIN users ON users.tenant_id = session.tenant_id AND users.id = session.user_id
        WHERE session.hash = $1 AND session.expires_at > now()";
    let row = session.query_first(sql, &[&&hash[..]]).await?;
    row.map(|row| {
        Ok(SignIn {
            id: SessionId(row.column("id")?),
            tenant: row.tenant()?,
            user: UserId(row.column("user_id")?),
            role: row.named("role", Role::parse)?,
            expires_at: row.column("expires_at")?,
            is_use_unnoted: row.column("is_use_unnoted")?,
        })
    })
    .transpose()
}

/// Note that a session is used: its idle time begins anew, within its absolute life.
///
/// # Errors
/// [`StoreError`].
pub async fn note_use(
    session: &Session,
    tenant: TenantId,
    id: SessionId,
    lifetimes: Lifetimes,
) -> Result<(), StoreError> {
    let sql = "
        UPDATE sessions
        SET seen_at = now(),
            expires_at = least(now() + make_interval(secs => $3), created_at + make_interval(secs => $4))
        WHERE tenant_id = $1 AND id = $2 AND expires_at > now()";
    let (idle, absolute) = (lifetimes.idle.as_secs_f64(), lifetimes.absolute.as_secs_f64());
    session
        .execute(sql, &[&tenant.0, &id.0, &idle, &absolute])
        .await?;
    Ok(())
}

/// End one session.
///
/// # Errors
/// [`StoreError`].
pub async fn end(session: &Session, tenant: TenantId, id: SessionId) -> Result<(), StoreError> {
    let sql = "DELETE FROM sessions WHERE tenant_id = $1 AND id = $2";
    session.execute(sql, &[&tenant.0, &id.0]).await?;
    Ok(())
}

/// End every session of a user, but for `kept`.
///
/// # Errors
/// [`StoreError`].
pub async fn end_all(
    session: &Session,
    tenant: TenantId,
    user: UserId,
    kept: Option<SessionId>,
) -> Result<u64, StoreError> {
    let sql = "
        DELETE FROM sessions
        WHERE tenant_id = $1 AND user_id = $2 AND ($3::bigint IS NULL OR id <> $3)";
    let kept = kept.map(|session| session.0);
    session.execute(sql, &[&tenant.0, &user.0, &kept]).await
}

/// End a user's sessions beyond the newest `kept`.
///
/// # Errors
/// [`StoreError`].
pub async fn end_oldest(
    session: &Session,
    tenant: TenantId,
    user: UserId,
    kept: usize,
) -> Result<u64, StoreError> {
    // By the index sessions_of_user.
    let sql = "
        DELETE FROM sessions
        WHERE tenant_id = $1 AND user_id = $2 AND id < (
            SELECT min(id)
            FROM (
                SELECT id
                FROM sessions
                WHERE tenant_id = $1 AND user_id = $2
                ORDER BY id DESC
                LIMIT $3) AS newest)";
    session.execute(sql, &[&tenant.0, &user.0, &rows_max(kept)]).await
}

/// Delete sessions that are over, the oldest first. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_expired(session: &Session, limit: usize) -> Result<u64, StoreError> {
    // By the index sessions_by_expiry.
    let sql = "
        DELETE FROM sessions
        WHERE id IN (
            SELECT id
            FROM sessions
            WHERE expires_at <= now()
            ORDER BY expires_at
            LIMIT $1
            FOR UPDATE SKIP LOCKED)";
    session.execute(sql, &[&rows_max(limit)]).await
}
