//! The daily partitions of events, deliveries and attempts: made ahead, dropped when their days are over.

use plumbline_domain::Timestamp;

use crate::row::Columns;
use crate::{Session, StoreError, deletion, idempotency, secrets, sessions};

/// How many days ahead partitions are made.
const DAYS_AHEAD: i32 = 8;
/// Idempotency keys, or sessions, deleted in one statement.
const EXPIRED_KEYS_MAX: usize = 10_000;
/// Statements of that kind in one round of maintenance.
const EXPIRED_KEYS_ROUNDS_MAX: usize = 100;

/// What a round of maintenance did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// Partitions made.
    pub made: u32,
    /// Partitions dropped, by name.
    pub dropped: Vec<String>,
    /// Days beyond retention that stay for now, because a delivery is pending, an event is not fanned out yet, or
    /// the tables were busy; as `YYYY-MM-DD`.
    pub kept: Vec<String>,
    /// Idempotency keys deleted.
    pub expired_keys: u64,
    /// Replaced signing secrets deleted.
    pub expired_secrets: u64,
    /// Sessions deleted that were over.
    pub expired_sessions: u64,
}

/// Make the partitions of yesterday to eight days ahead; drop the days that ended more than `retention_days` ago,
/// except where a pending delivery or an event that is not fanned out lies in the day or refers to it; delete
/// expired idempotency keys, secrets and sessions. Not within a transaction.
///
/// # Errors
/// [`StoreError`]. What was done stays done; the next round goes on.
pub async fn maintain(
    session: &Session,
    now: Timestamp,
    retention_days: u32,
) -> Result<Maintenance, StoreError> {
    let mut done = Maintenance::default();
    let sql = "
        SELECT ensure_partitions(day - 1, day + $2::integer) AS made
        FROM (SELECT ($1::timestamptz AT TIME ZONE 'UTC')::date AS day) AS today";
    done.made = session
        .query_one(sql, &[&now, &DAYS_AHEAD])
        .await?
        .count("made")?;

    for day in days_over(session, now, retention_days).await? {
        deletion::delete_orphans(session, &day).await?;
        let sql = "SELECT drop_partitions($1::text::date) AS dropped";
        match session.query_one(sql, &[&day]).await {
            Ok(row) => done.dropped.extend(row.column::<Vec<String>>("dropped")?),
            // It waits only a moment for the tables, because everybody else waits behind it.
            Err(StoreError::Retry(cause)) => {
                tracing::info!(%day, %cause, "a partition was too busy to be dropped")
            }
            Err(error) => return Err(error),
        }
    }
    done.kept = days_over(session, now, retention_days).await?;

    for _ in 0..EXPIRED_KEYS_ROUNDS_MAX {
        let deleted = idempotency::delete_expired(session, EXPIRED_KEYS_MAX).await?;
        done.expired_keys += deleted;
        if deleted == 0 {
            break;
        }
    }
    done.expired_secrets = secrets::delete_expired(session, now).await?;
    for _ in 0..EXPIRED_KEYS_ROUNDS_MAX {
        let deleted = sessions::delete_expired(session, EXPIRED_KEYS_MAX).await?;
        done.expired_sessions += deleted;
        if deleted == 0 {
            break;
        }
    }
    Ok(done)
}

/// The days beyond retention that have partitions, the oldest first.
async fn days_over(
    session: &Session,
    now: Timestamp,
    retention_days: u32,
) -> Result<Vec<String>, StoreError> {
    let sql = "
        SELECT day::text AS day
        FROM partition_days() AS day
        WHERE day < ($1::timestamptz AT TIME ZONE 'UTC')::date - $2::integer
        ORDER BY day";
    // A century is for ever, and still a date.
    let retention = i32::try_from(retention_days).unwrap_or(i32::MAX).min(36_500);
    let rows = session.query(sql, &[&now, &retention]).await?;
    rows.iter().map(|row| row.column("day")).collect()
}
