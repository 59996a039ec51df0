//! Big tables, made by SQL: what a customer has after years, in seconds.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_postgres::Client;

use crate::bed::System;
use crate::failure::Failure;

/// Endpoints of one of the other tenants: as many as a tenant may have by default.
const ENDPOINTS_OF_A_TENANT: usize = 100;
/// Sessions that write at once: as many as there are cores, usually.
const SESSIONS: usize = 2;
/// Rows in one statement: small enough that sessions share the work evenly.
const ROWS_OF_A_STATEMENT: usize = 125_000;
/// Days over which the log is spread, today included.
const DAYS: usize = 5;

/// Other tenants with so many endpoints together, all for the events that are published here.
pub(crate) async fn other_endpoints(database: &Client, count: usize) -> Result<(), Failure> {
    // The secrets cannot be opened, and nobody will want to: no event is theirs.
    let sql = "
        WITH tenant AS (
            INSERT INTO plumbline.tenants (name, endpoints_version)
            SELECT 'Other ' || number, 1 FROM generate_series(1, $1::bigint) AS number
            RETURNING id
        ), endpoint AS (
            INSERT INTO plumbline.endpoints (tenant_id, profile, url, event_types, since_version)
            SELECT tenant.id, 'buildworkpro', 'http://127.0.0.1:9/' || number, '{bid.accepted}', 1
            FROM tenant, generate_series(1, $2::bigint) AS number
            RETURNING id, tenant_id
        )
        INSERT INTO plumbline.endpoint_secrets
            (tenant_id, endpoint_id, master_key_id, ciphertext, derivation, activates_at)
        SELECT tenant_id, id, 'none', decode(repeat('00', 78), 'hex'), 'literal', now() FROM endpoint";
    let (tenants, rest) = (count / ENDPOINTS_OF_A_TENANT, count % ENDPOINTS_OF_A_TENANT);
    for (tenants, endpoints) in [(tenants, ENDPOINTS_OF_A_TENANT), (usize::from(rest > 0), rest)] {
        if tenants > 0 && endpoints > 0 {
            let (tenants, endpoints) = (i64::try_from(tenants)?, i64::try_from(endpoints)?);
            database.execute(sql, &[&tenants, &endpoints]).await?;
        }
    }
    database
        .batch_execute(
            "ANALYZE plumbline.tenants; ANALYZE plumbline.endpoints; ANALYZE plumbline.endpoint_secrets",
        )
        .await?;
    Ok(())
}

/// So many deliveries of one endpoint, each with one attempt, over the last days; the tables are as if they had grown.
/// Every hundredth has failed.
///
/// Each day's partition is filled before it has indexes and is attached: that takes a third of the time.
pub(crate) async fn delivery_log(system: &System, rows: usize) -> Result<Duration, Failure> {
    let began = std::time::Instant::now();
    let sessions = try_join_all((0..SESSIONS).map(|_| async {
        let session = system.stack.database().connect().await;
        // What indexes are built with; as an operator would.
        session
            .batch_execute("SET search_path = plumbline; SET maintenance_work_mem = '256MB'")
            .await?;
        Ok::<_, Failure>(session)
    }))
    .await?;
    let (tenant, endpoint) = newest_endpoint(system).await?;
    let rows_of_a_day = rows.div_ceil(DAYS);
    for age in 0..DAYS {
        let day = Day::of_age(&system.database, age).await?;
        system.database.batch_execute(&day.create()).await?;
        let statements: Vec<(usize, usize)> = (0..rows_of_a_day)
            .step_by(ROWS_OF_A_STATEMENT)
            .map(|first| (first, rows_of_a_day.min(first + ROWS_OF_A_STATEMENT)))
            .collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        try_join_all(sessions.iter().map(|session| async {
            while let Some((first, end)) =
                statements.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            {
                let fill = day.fill(tenant, endpoint, *first..*end, rows_of_a_day);
                session.batch_execute(&fill).await?;
            }
            Ok::<_, Failure>(())
        }))
        .await?;
        // Two tables, two sessions.
        try_join_all(
            sessions
                .iter()
                .zip(["deliveries", "delivery_attempts"])
                .map(|(session, table)| {
                    let attach = day.attach(table);
                    async move { session.batch_execute(&attach).await }
                }),
        )
        .await?;
    }
    // As autovacuum would have done long ago: statistics and visibility. And what was written is on disk, so that a
    // later checkpoint is not taken for the workload's.
    try_join_all(
        sessions
            .iter()
            .zip(["deliveries", "delivery_attempts"])
            .map(|(session, table)| {
                let analyse = format!("VACUUM (ANALYZE) {table}");
                async move { session.batch_execute(&analyse).await }
            }),
    )
    .await?;
    system.database.batch_execute("CHECKPOINT").await?;
    Ok(began.elapsed())
}

async fn newest_endpoint(system: &System) -> Result<(i64, i64), Failure> {
    let sql = "SELECT tenant_id, id FROM plumbline.endpoints ORDER BY id DESC LIMIT 1";
    let row = system.database.query_one(sql, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

/// One day of the log.
struct Day {
    /// As in the partitions' names.
    name: String,
    /// As UUIDv7 bounds.
    floor: String,
    ceiling: String,
    /// The milliseconds since 1970 between which its rows were made: before this run's first tenant.
    first_ms: i64,
    last_ms: i64,
}

impl Day {
    async fn of_age(database: &Client, age: usize) -> Result<Self, Failure> {
        let sql = "
            WITH day AS (SELECT (now() AT TIME ZONE 'UTC')::date - $1::integer AS day),
            bounds AS (
                SELECT day, day::timestamp AT TIME ZONE 'UTC' AS first,
                    (day + 1)::timestamp AT TIME ZONE 'UTC' AS next
                FROM day
            )
            SELECT to_char(day, 'YYYYMMDD'), plumbline.uuid_floor(first)::text, plumbline.uuid_floor(next)::text,
                floor(extract(epoch FROM first) * 1000)::bigint,
                floor(extract(epoch FROM least(next, (SELECT min(created_at) FROM plumbline.tenants))) * 1000)::bigint
            FROM bounds";
        let row = database.query_one(sql, &[&i32::try_from(age)?]).await?;
        Ok(Self {
            name: row.get(0),
            floor: row.get(1),
            ceiling: row.get(2),
            first_ms: row.get(3),
            last_ms: row.get(4),
        })
    }

    fn create(&self) -> String {
        ["deliveries", "delivery_attempts"]
            .map(|table| {
                format!(
                    "CREATE TABLE plumbline.seed_{table} (LIKE plumbline.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                )
            })
            .concat()
    }

    /// Rows of both tables. An id is made of its time and of a number that no other row has.
    fn fill(&self, tenant: i64, endpoint: i64, rows: std::ops::Range<usize>, all: usize) -> String {
        let (first_ms, span_ms) = (self.first_ms, (self.last_ms - self.first_ms - 1).max(1));
        let (first, last) = (rows.start, rows.end.saturating_sub(1));
        format!(
            "WITH made AS (
                SELECT number,
                    (lpad(to_hex({first_ms} + number * {span_ms} / {all}), 12, '0') || '7000a000'
                        || lpad(to_hex(number), 12, '0'))::uuid AS id,
                    to_timestamp(({first_ms} + number * {span_ms} / {all}) / 1000.0) AS at,
                    number % 100 = 0 AS has_failed
                FROM generate_series({first}::bigint, {last}::bigint) AS number
            ), delivery AS (
                INSERT INTO seed_deliveries
                    (tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, response_status,
                     created_at, completed_at)
                SELECT {tenant}, id, id, 'bid.accepted', {endpoint}, 'event',
                    CASE WHEN has_failed THEN 'failed' ELSE 'succeeded' END, 1,
                    CASE WHEN has_failed THEN 400 ELSE 200 END, at, at
                FROM made
            )
            INSERT INTO seed_delivery_attempts
                (tenant_id, delivery_id, number, started_at, duration_ms, request_headers, response_status,
                 response_headers, response_body)
            SELECT {tenant}, id, 1, at, 2,
                '[[\"Content-Type\",\"application/json\"],[\"User-Agent\",\"BuildWorkPro-Webhooks/1.0\"]]',
                CASE WHEN has_failed THEN 400 ELSE 200 END, '[[\"content-length\",\"0\"]]', ''
            FROM made"
        )
    }

    /// In place of the empty partition, if there is one. Attaching makes the indexes.
    fn attach(&self, table: &str) -> String {
        let (name, floor, ceiling) = (&self.name, &self.floor, &self.ceiling);
        format!(
            "BEGIN;
            DROP TABLE IF EXISTS {table}_p{name};
            ALTER TABLE seed_{table} RENAME TO {table}_p{name};
            ALTER TABLE {table} ATTACH PARTITION {table}_p{name} FOR VALUES FROM ('{floor}') TO ('{ceiling}');
            COMMIT"
        )
    }
}
