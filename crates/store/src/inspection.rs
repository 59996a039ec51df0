//! What an operator asks of a database: is it the right one, does the work go on, does everything open.

use std::collections::BTreeMap;
use std::time::Duration;

use plumbline_domain::{DisabledReason, EndpointId, TenantId, Timestamp};
use tokio_postgres::Row;

use crate::leadership::Duty;
use crate::migration::{self, LOCK_CLASS};
use crate::row::{Columns, int, rows_max, unmapped};
use crate::secrets::{SealedKind, Vault, sealed};
use crate::{Session, StoreError};

/// The oldest PostgreSQL that it works with, as the server counts: 15.
pub const SERVER_VERSION_MIN: i32 = 150_000;
/// Rows that are counted one by one; what is more is told as "at least so many".
pub const COUNT_MAX: u64 = 100_000;
/// Secrets opened at once.
const SECRETS_PAGE: usize = 1_000;

/// The server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its version as people write it.
    pub version: String,
    /// The same as a number: 150_004 is 15.4.
    pub version_number: i32,
    /// Whether it is a standby, which takes no writes.
    pub is_standby: bool,
}

/// Ask the server what it is.
///
/// # Errors
/// [`StoreError`].
pub async fn server(session: &Session) -> Result<Server, StoreError> {
    let sql = "
        SELECT current_setting('server_version') AS version,
            current_setting('server_version_num')::integer AS version_number, pg_is_in_recovery() AS is_standby";
    let row = session.query_one(sql, &[]).await?;
    Ok(Server {
        version: row.column("version")?,
        version_number: row.column("version_number")?,
        is_standby: row.column("is_standby")?,
    })
}

/// How the schema compares with what this program brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema {
    /// Migrations that are not applied, in their order.
    pub missing: Vec<String>,
    /// Applied migrations that this program does not know: it is older than the schema.
    pub unknown: usize,
}

/// Compare the schema with what this program brings.
///
/// # Errors
/// [`StoreError`].
pub async fn schema(session: &Session) -> Result<Schema, StoreError> {
    let exists = session
        .query_one(
            "SELECT to_regclass('plumbline.refinery_schema_history') IS NOT NULL AS exists",
            &[],
        )
        .await?;
    let mut applied: Vec<i32> = vec![];
    if exists.column("exists")? {
        let rows = session
            .query(
                "SELECT version::integer AS version FROM plumbline.refinery_schema_history",
                &[],
            )
            .await?;
        for row in &rows {
            applied.push(row.column("version")?);
        }
    }
    let known = migration::known();
    Ok(Schema {
        unknown: applied
            .iter()
            .filter(|version| !known.iter().any(|(known, _)| known == *version))
            .count(),
        missing: known
            .into_iter()
            .filter(|(version, _)| !applied.contains(version))
            .map(|(_, name)| name)
            .collect(),
    })
}

/// What has been accepted and is not completely recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many, up to [`COUNT_MAX`].
    pub count: u64,
    /// Of those, the ones that no queue is believed to have; up to [`COUNT_MAX`].
    pub unsent: u64,
    /// The age of the oldest.
    pub oldest: Option<Duration>,
    /// The age of the oldest of those that are unsent.
    pub oldest_unsent: Option<Duration>,
}

/// Look at the outbox.
///
/// # Errors
/// [`StoreError`].
pub async fn outbox(session: &Session) -> Result<Backlog, StoreError> {
    // The oldest by the primary key and by outbox_unsent: ids begin with the time.
    let sql = "
        SELECT
            (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS counted) AS messages,
            (SELECT count(*) FROM (SELECT FROM outbox WHERE state = 'unsent' LIMIT $1) AS counted) AS unsent,
            (SELECT event_id FROM outbox ORDER BY event_id LIMIT 1) AS oldest,
            (SELECT event_id FROM outbox WHERE state = 'unsent' ORDER BY event_id, chunk LIMIT 1) AS oldest_unsent,
            now() AS now";
    let row = session.query_one(sql, &[&count_max()]).await?;
    let now: Timestamp = row.column("now")?;
    let age = |name: &str| -> Result<Option<Duration>, StoreError> {
        let id: Option<uuid::Uuid> = row.column(name)?;
        Ok(id.map(|id| since(plumbline_domain::EventId(id).timestamp(), now)))
    };
    Ok(Backlog {
        count: row.count("messages")?,
        unsent: row.count("unsent")?,
        oldest: age("oldest")?,
        oldest_unsent: age("oldest_unsent")?,
    })
}

/// Pending deliveries whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overdue {
    /// How many, up to [`COUNT_MAX`].
    pub count: u64,
    /// For how long the first has been due.
    pub longest: Option<Duration>,
}

/// Look at what is due by this much or more.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue(session: &Session, by: Duration) -> Result<Overdue, StoreError> {
    // By deliveries_due of each partition.
    let sql = "
        SELECT count(*) AS deliveries, min(next_attempt_at) AS first, now() AS now
        FROM (
            SELECT next_attempt_at
            FROM deliveries
            WHERE status = 'pending' AND next_attempt_at < now() - $1::bigint * interval '1 millisecond'
            ORDER BY next_attempt_at
            LIMIT $2) AS due";
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let row = session.query_one(sql, &[&by, &count_max()]).await?;
    let now = row.column("now")?;
    let first: Option<Timestamp> = row.column("first")?;
    Ok(Overdue {
        count: row.count("deliveries")?,
        longest: first.map(|first| since(first, now)),
    })
}

/// How full the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fullness {
    /// Bytes of the database on disk.
    pub bytes: u64,
    /// Connections of clients to the server, to whichever database.
    pub connections: u64,
    /// Connections that clients without special rights may have.
    pub connections_max: u64,
}

/// Look how full the server is.
///
/// # Errors
/// [`StoreError`].
pub async fn fullness(session: &Session) -> Result<Fullness, StoreError> {
    let sql = "
        SELECT pg_database_size(current_database()) AS bytes,
            (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
            (current_setting('max_connections')::integer
                - current_setting('superuser_reserved_connections')::integer)::bigint AS connections_max";
    let row = session.query_one(sql, &[]).await?;
    Ok(Fullness {
        bytes: row.count("bytes")?,
        connections: row.count("connections")?,
        connections_max: row.count("connections_max")?,
    })
}

/// How many endpoints fail now, and how many are disabled by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointsTroubled {
    /// Active, and the last attempt failed.
    pub failing: u64,
    /// Disabled for their failures, or because they answered that they are gone.
    pub disabled: u64,
}

/// Count the endpoints in trouble. Reads all of them.
///
/// # Errors
/// [`StoreError`].
pub async fn endpoints_troubled(session: &Session) -> Result<EndpointsTroubled, StoreError> {
    let sql = "
        SELECT count(*) FILTER (WHERE disabled_reason IS NULL AND consecutive_failures > 0) AS failing,
            count(*) FILTER (WHERE disabled_reason IN ('consecutive_failures', 'gone')) AS disabled
        FROM endpoints
        WHERE deleted_at IS NULL";
    let row = session.query_one(sql, &[]).await?;
    Ok(EndpointsTroubled {
        failing: row.count("failing")?,
        disabled: row.count("disabled")?,
    })
}

/// Who leads the relay, or the sweep: what its process calls itself, or nothing where this user may not see it.
/// `None` when nobody leads.
///
/// # Errors
/// [`StoreError`].
pub async fn leader(session: &Session, duty: Duty) -> Result<Option<String>, StoreError> {
    let sql = "
        SELECT coalesce(activity.application_name, '') AS application_name
        FROM pg_locks AS held
        LEFT JOIN pg_stat_activity AS activity ON activity.pid = held.pid
        WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 2
            AND held.classid::bigint = $1::integer AND held.objid::bigint = $2::integer
            AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        LIMIT 1";
    let row = session.query_first(sql, &[&LOCK_CLASS, &duty.lock()]).await?;
    row.map(|row| row.column("application_name")).transpose()
}

/// An endpoint in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Troubled {
    /// Whose it is.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Failed attempts in a row.
    pub consecutive_failures: u32,
    /// Why it was disabled; `None` while it only fails.
    pub reason: Option<DisabledReason>,
}

/// How many endpoints are in trouble, and some of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TroubledEndpoints {
    /// How many.
    pub count: u64,
    /// The latest, or the worst, at most as many as were asked for.
    pub some: Vec<Troubled>,
}

/// Endpoints that were disabled by themselves within this time.
///
/// # Errors
/// [`StoreError`].
pub async fn disabled_within(
    session: &Session,
    within: Duration,
    limit: usize,
) -> Result<TroubledEndpoints, StoreError> {
    let sql = "
        SELECT tenant_id, id, consecutive_failures, disabled_reason, count(*) OVER () AS endpoints
        FROM endpoints
        WHERE deleted_at IS NULL AND disabled_reason IN ('consecutive_failures', 'gone')
            AND disabled_at > now() - $1::bigint * interval '1 second'
        ORDER BY disabled_at DESC, id
        LIMIT $2";
    let within = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    troubled(&session.query(sql, &[&within, &rows_max(limit)]).await?)
}

/// Active endpoints with this many failed attempts in a row or more.
///
/// # Errors
/// [`StoreError`].
pub async fn failing_from(
    session: &Session,
    failures: u32,
    limit: usize,
) -> Result<TroubledEndpoints, StoreError> {
    let sql = "
        SELECT tenant_id, id, consecutive_failures, disabled_reason, count(*) OVER () AS endpoints
        FROM endpoints
        WHERE deleted_at IS NULL AND disabled_reason IS NULL AND consecutive_failures >= $1
        ORDER BY consecutive_failures DESC, id
        LIMIT $2";
    troubled(&session.query(sql, &[&int(failures), &rows_max(limit)]).await?)
}

fn troubled(rows: &[Row]) -> Result<TroubledEndpoints, StoreError> {
    Ok(TroubledEndpoints {
        count: rows.first().map_or(Ok(0), |row| row.count("endpoints"))?,
        some: rows
            .iter()
            .map(|row| {
                Ok(Troubled {
                    tenant: row.tenant()?,
                    endpoint: EndpointId(row.column("id")?),
                    consecutive_failures: row.count("consecutive_failures")?,
                    reason: row.named_or_null("disabled_reason", DisabledReason::parse)?,
                })
            })
            .collect::<Result<_, StoreError>>()?,
    })
}

/// The days that have partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// Whether all of today's are there: without them nothing is accepted.
    pub today: bool,
    /// Complete days after today without a gap.
    pub days_ahead: u32,
    /// Days that ended more than the retention ago and are still there.
    pub days_over: u32,
}

/// Look at the partitions.
///
/// # Errors
/// [`StoreError`].
pub async fn partitions(session: &Session, retention_days: u32) -> Result<Partitions, StoreError> {
    let sql = "
        WITH present AS (
            SELECT to_date(right(part.relname, 8), 'YYYYMMDD') AS day, count(*) AS tables
            FROM pg_inherits AS inheritance
            JOIN pg_class AS part ON part.oid = inheritance.inhrelid
            WHERE inheritance.inhparent IN
                ('events'::regclass, 'deliveries'::regclass, 'delivery_attempts'::regclass)
            GROUP BY 1),
        today AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day),
        gap AS (
            SELECT min(of.day - today.day) AS days
            FROM today, generate_series(today.day, today.day + 30, interval '1 day') AS wanted (moment),
                LATERAL (SELECT wanted.moment::date AS day) AS of
            WHERE NOT EXISTS (SELECT FROM present WHERE present.day = of.day AND tables = 3))
        SELECT coalesce(gap.days, 31)::integer AS complete_days,
            (SELECT count(*) FROM present, today WHERE present.day < today.day - $1::integer) AS over
        FROM gap";
    // As the maintenance counts.
    let row = session
        .query_one(sql, &[&int(retention_days.min(36_500))])
        .await?;
    let complete: i32 = row.column("complete_days")?;
    let complete = u32::try_from(complete).map_err(|_| unmapped("complete_days"))?;
    Ok(Partitions {
        today: complete > 0,
        days_ahead: complete.saturating_sub(1),
        days_over: row.count("over")?,
    })
}

/// Which master keys the stored secrets need, and whether they open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// How many secrets each master key has sealed, by its name.
    pub by_key: BTreeMap<String, u64>,
    /// Of those, the ones that do not open, by the name of the key that has sealed them.
    pub unopened: BTreeMap<String, u64>,
    /// An endpoint whose secret does not open.
    pub example: Option<(TenantId, EndpointId)>,
}

/// Open everything that is sealed: signing secrets and custom headers.
///
/// # Errors
/// [`StoreError`].
pub async fn secrets(session: &Session, vault: &Vault) -> Result<Secrets, StoreError> {
    let mut found = Secrets::default();
    for kind in SealedKind::ALL {
        let mut after = 0;
        loop {
            let page = sealed::page(session, kind, None, after, SECRETS_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for row in &page {
                let key = &row.sealed.master_key_id;
                *found.by_key.entry(key.clone()).or_default() += 1;
                if !vault.opens(kind, &row.sealed, row.tenant, row.endpoint) {
                    *found.unopened.entry(key.clone()).or_default() += 1;
                    found.example.get_or_insert((row.tenant, row.endpoint));
                }
            }
        }
    }
    Ok(found)
}

fn count_max() -> i64 {
    i64::try_from(COUNT_MAX).unwrap_or(i64::MAX)
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    // A clock that is ahead of the database's makes no age.
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}
