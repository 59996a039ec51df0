//! Construction records: one module a record, and here what is the same for all of them.
//!
//! A record is read by its [`Stored::READ`], to which the functions here add which rows they want. It is locked by a
//! statement of its own before it is read: a single statement that waits for a lock reads the newest version of the
//! row that it locks, but everything beside it, such as a bid's items, as it was before the wait.

mod bids;
mod change_orders;
mod companies;
mod contacts;
mod items;
mod opportunities;
mod pay_apps;
mod projects;

pub use bids::{append_items as append_to_bid, lock_accepted as lock_accepted_bid};
pub use change_orders::{append_items as append_to_change_order, applied as applied_to_bid};

use plumbline_domain::TenantId;
use plumbline_domain::construction::Lifecycle;
use tokio_postgres::Row;

use crate::row::rows_max;
use crate::{Session, StoreError};

/// A record that is stored.
pub trait Stored: Sized + Send + Sync {
    /// Its id.
    type Id: Copy + Into<i64> + Send + Sync;
    /// What its client says of it.
    type Details: Send + Sync;

    /// Locks the row of tenant `$1` and id `$2` until the transaction ends.
    const LOCK: &'static str;
    /// Reads the rows, called `record`, of tenant `$1`. It ends within its WHERE clause.
    const READ: &'static str;

    /// Map a row of [`Stored::READ`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it does not map.
    fn map(row: &Row) -> Result<Self, StoreError>;

    /// Insert a new record. Its references must be of the tenant.
    fn insert(
        session: &Session,
        tenant: TenantId,
        details: &Self::Details,
    ) -> impl Future<Output = Result<Self::Id, StoreError>> + Send;

    /// Write what its client says of a record that is locked. Its references must be of the tenant.
    fn write(
        session: &Session,
        tenant: TenantId,
        id: Self::Id,
        details: &Self::Details,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A record that moves by steps.
pub trait Staged: Stored {
    /// Its states.
    type Status: Lifecycle + Send;

    /// Moves the row of tenant `$1` and id `$2` to the status `$3`, and notes when.
    const MOVE: &'static str;
}

/// One record.
///
/// # Errors
/// [`StoreError`].
pub async fn get<R: Stored>(session: &Session, tenant: TenantId, id: R::Id) -> Result<Option<R>, StoreError> {
    let sql = format!("{} AND record.id = $2", R::READ);
    let row = session.query_first(&sql, &[&tenant.0, &id.into()]).await?;
    row.map(|row| R::map(&row)).transpose()
}

/// One record, locked until the transaction ends. Who refers to it need not wait.
///
/// # Errors
/// [`StoreError`].
pub async fn lock<R: Stored>(
    session: &Session,
    tenant: TenantId,
    id: R::Id,
) -> Result<Option<R>, StoreError> {
    if session
        .query_first(R::LOCK, &[&tenant.0, &id.into()])
        .await?
        .is_none()
    {
        return Ok(None);
    }
    get(session, tenant, id).await
}

/// A page of a tenant's records, newest first, older than `before`.
///
/// # Errors
/// [`StoreError`].
pub async fn list<R: Stored>(
    session: &Session,
    tenant: TenantId,
    before: Option<R::Id>,
    limit: usize,
) -> Result<Vec<R>, StoreError> {
    // By the primary key, read backwards.
    let sql = format!("{} AND record.id < $2 ORDER BY record.id DESC LIMIT $3", R::READ);
    let before = before.map_or(i64::MAX, Into::into);
    let rows = session
        .query(&sql, &[&tenant.0, &before, &rows_max(limit)])
        .await?;
    rows.iter().map(R::map).collect()
}

/// Insert a record and read it back.
///
/// # Errors
/// [`StoreError`].
pub async fn insert<R: Stored>(
    session: &Session,
    tenant: TenantId,
    details: &R::Details,
) -> Result<R, StoreError> {
    let id = R::insert(session, tenant, details).await?;
    present(session, tenant, id).await
}

/// Write what its client says of a locked record, and read it back.
///
/// # Errors
/// [`StoreError`].
pub async fn update<R: Stored>(
    session: &Session,
    tenant: TenantId,
    id: R::Id,
    details: &R::Details,
) -> Result<R, StoreError> {
    R::write(session, tenant, id, details).await?;
    present(session, tenant, id).await
}

/// Move a locked record to another state, and read it back.
///
/// # Errors
/// [`StoreError`].
pub async fn advance<R: Staged>(
    session: &Session,
    tenant: TenantId,
    id: R::Id,
    to: R::Status,
) -> Result<R, StoreError> {
    session
        .execute(R::MOVE, &[&tenant.0, &id.into(), &to.as_str()])
        .await?;
    present(session, tenant, id).await
}

/// A record that this transaction has inserted or locked.
async fn present<R: Stored>(session: &Session, tenant: TenantId, id: R::Id) -> Result<R, StoreError> {
    get(session, tenant, id)
        .await?
        .ok_or_else(|| StoreError::Corrupt("a record vanished within a transaction".to_owned()))
}

/// Which records of a tenant are numbered one after the other: each is a class of advisory locks.
#[derive(Clone, Copy)]
enum Numbered {
    Projects = 1,
    Bids = 2,
}

/// Let nobody else number the tenant's records of this kind until the transaction ends. The statement that takes the
/// number comes after it, so that it sees what the one before has committed.
async fn one_at_a_time(session: &Session, tenant: TenantId, numbered: Numbered) -> Result<(), StoreError> {
    let class = crate::migration::LOCK_CLASS + numbered as i32;
    let sql = "SELECT pg_advisory_xact_lock($1, hashint8($2))";
    session.query(sql, &[&class, &tenant.0]).await.map(drop)
}
