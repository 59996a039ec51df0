//! Tests: the statements use the indexes that their comments name, and only the partitions that they must.

#[path = "../tests/store/support.rs"]
#[allow(dead_code, reason = "the tests outside use the rest")]
mod support;

use plumbline_domain::DeliveryStatus;
use support::*;
use uuid::Uuid;

use crate::{deliveries, events};

/// Ten days of deliveries of some tenants and endpoints, of which a few failed and a few wait, and their events.
async fn fill(db: &Database) {
    db.execute(
        "SELECT ensure_partitions(current_date - 10, current_date);
        -- Those made ahead are empty, and an empty table is read whole.
        DO $$
        DECLARE
            part regclass;
        BEGIN
            FOR part IN
                SELECT inhrelid FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE relkind = 'r' AND right(relname, 8) > to_char(now(), 'YYYYMMDD')
            LOOP
                EXECUTE 'DROP TABLE ' || part;
            END LOOP;
        END $$;
        INSERT INTO events (tenant_id, id, type, data, occurred_at, endpoints_version)
        -- Back from noon, so that today has rows also just after midnight.
        SELECT 1 + n % 5, uuid_v7(date_trunc('day', now(), 'UTC') + interval '12 hours' - n * interval '28 seconds'),
            'bid.created', '{}', now(), 1
        FROM generate_series(1, 30000) AS n;
        INSERT INTO deliveries (tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count,
            next_attempt_at, created_at, completed_at)
        SELECT tenant_id, id, id, type, 1 + n % 7, 'event', status, 1,
            CASE WHEN status = 'pending' THEN now() + n * interval '1 second' END, now(),
            CASE WHEN status <> 'pending' THEN now() END
        FROM (SELECT *, CASE n % 50 WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' WHEN 2 THEN 'exhausted' ELSE 'succeeded'
                END AS status
            FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM events) AS event) AS event;
        ANALYZE events; ANALYZE deliveries",
    )
    .await;
}

/// How a statement with these literal arguments is run, by a plan made for any arguments, as a statement that is
/// prepared once is before long.
async fn plan(db: &Database, sql: &str, arguments: &str) -> String {
    db.execute(&format!("{}; DEALLOCATE ALL", settings(&db.url)))
        .await;
    db.execute(&format!("PREPARE statement AS {sql}")).await;
    let lines = db
        .sql
        .query(
            &format!("EXPLAIN (ANALYZE, TIMING OFF) EXECUTE statement ({arguments})"),
            &[],
        )
        .await;
    lines
        .expect("explained")
        .iter()
        .map(|row| row.get::<_, String>(0) + "\n")
        .collect()
}

/// What the store tells the server at each connect that decides about plans.
fn settings(url: &str) -> String {
    let store = store_at(url, 1);
    let options = store.connector().config.get_options().unwrap_or_default();
    let settings = options
        .split("-c ")
        .filter(|setting| !setting.is_empty() && !setting.contains("search_path"));
    settings
        .map(|setting| format!("SET {}", setting.trim().replace('=', " = '") + "'"))
        .collect::<Vec<_>>()
        .join("; ")
}

/// The names of the partitions' parts of an index, and of the partition of today.
async fn index_parts(db: &Database, index: &str) -> Vec<String> {
    let sql = "
        SELECT part.relname
        FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
        WHERE inhparent = $1::text::regclass";
    let rows = db.sql.query(sql, &[&index]).await.expect("read");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Every scan of the plan that was run is by this index; none reads a whole table.
async fn assert_by(db: &Database, plan: &str, index: &str) {
    assert!(!plan.contains("Seq Scan"), "{plan}");
    let parts = index_parts(db, index).await;
    let used: Vec<&str> = plan
        .lines()
        .filter(|line| !line.contains("never executed"))
        .filter_map(|line| {
            line.split_once("using ")
                .or_else(|| line.split_once("Bitmap Index Scan on "))
        })
        .filter_map(|(_, rest)| rest.split_whitespace().next())
        .collect();
    assert!(
        !used.is_empty() && used.iter().all(|name| parts.iter().any(|part| part == name)),
        "{index}: {plan}"
    );
}

/// How many partitions were really read.
fn partitions_read(plan: &str) -> usize {
    let read: std::collections::BTreeSet<&str> = plan
        .lines()
        .filter(|line| !line.contains("never executed"))
        .filter_map(|line| line.split_once(" on ").map(|(_, rest)| rest))
        .filter_map(|rest| rest.split_whitespace().next())
        .filter(|name| name.contains("_p20") && !name.ends_with("_idx") && !name.ends_with("_pkey"))
        .collect();
    read.len()
}

#[tokio::test]
async fn lists_read_one_index_backwards_and_stop() {
    with_database(async |db: Database| {
        fill(&db).await;
        let (nil, max) = (Uuid::nil(), Uuid::max());
        for (status, index) in [
            (None, "deliveries_of_endpoint"),
            (Some(DeliveryStatus::Pending), "deliveries_waiting"),
            (Some(DeliveryStatus::Failed), "deliveries_to_recover"),
            (Some(DeliveryStatus::Exhausted), "deliveries_to_recover"),
            (Some(DeliveryStatus::Skipped), "deliveries_to_recover"),
        ] {
            let sql = deliveries::list_sql(status);
            let all = plan(&db, sql, &format!("2, 3, '{nil}', '{max}', NULL, NULL, NULL, 5")).await;
            assert_by(&db, &all, index).await;
            if status.is_none() {
                assert_eq!(partitions_read(&all), 1, "the newest day has enough: {all}");
            }
            // The cursor of an older page, and the floor of a `since`: the days in between.
            let (first, end) = (days_ago(5), days_ago(4));
            let page = plan(
                &db,
                sql,
                &format!("2, 3, '{first}', '{end}', NULL, NULL, NULL, 1000"),
            )
            .await;
            assert_by(&db, &page, index).await;
            assert_eq!(partitions_read(&page), 2, "{page}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenants_log_reads_the_primary_key_or_the_few_that_did_not_succeed() {
    with_database(async |db: Database| {
        fill(&db).await;
        db.execute(
            "INSERT INTO tenants (name) SELECT 'T' FROM generate_series(1, 5);
            INSERT INTO endpoints (tenant_id, profile, url, since_version)
            SELECT 1 + n % 5, 'buildworkpro', 'https://a.example/', 1 FROM generate_series(1, 3000) AS n;
            DELETE FROM endpoints WHERE id > 7 AND tenant_id = 2; ANALYZE endpoints",
        )
        .await;
        for (status, index) in [
            (None, "deliveries_pkey"),
            (Some(DeliveryStatus::Pending), "deliveries_waiting"),
            (Some(DeliveryStatus::Failed), "deliveries_to_recover"),
        ] {
            let sql = deliveries::tenant_list_sql(status);
            let page = plan(
                &db,
                sql,
                &format!("2, '{}', '{}', NULL, NULL, NULL, 5", Uuid::nil(), days_ago(3)),
            )
            .await;
            assert!(!page.contains("Seq Scan"), "{page}");
            let parts = index_parts(&db, index).await;
            assert!(parts.iter().any(|part| page.contains(part.as_str())), "{page}");
            if status.is_none() {
                assert_eq!(partitions_read(&page), 1, "{page}");
            }
        }
        let row = db
            .sql
            .query_one("SELECT id FROM deliveries WHERE tenant_id = 2 LIMIT 1", &[])
            .await;
        let id: Uuid = row.map(|row| row.get(0)).expect("a delivery");
        let (first, end) = crate::row::same_millisecond(id);
        let arguments = format!(
            "2, '{first}', '{}', NULL, NULL, NULL, 5, NULL, '{first}', '{end}', '{id}'",
            Uuid::max()
        );
        let found = plan(&db, deliveries::TENANT_LIST_OF_EVENT, &arguments).await;
        assert!(!found.contains("Seq Scan") && found.contains("rows=1"), "{found}");
        let after = format!("2, '{}', '{{}}', 5", days_ago(3));
        let events = plan(&db, events::IDS_AFTER, &after).await;
        assert_by(&db, &events, "events_pkey").await;
        assert_eq!(partitions_read(&events), 1, "{events}");
    })
    .await;
}

fn days_ago(days: u64) -> Uuid {
    crate::row::uuid_floor(ago(days * 86_400))
}

#[tokio::test]
async fn events_are_listed_by_their_primary_key() {
    with_database(async |db: Database| {
        fill(&db).await;
        let page = plan(&db, events::LIST, &format!("2, '{}', NULL, 5", days_ago(3))).await;
        assert_by(&db, &page, "events_pkey").await;
        assert_eq!(partitions_read(&page), 1, "{page}");
    })
    .await;
}

#[tokio::test]
async fn the_sweep_reads_only_what_is_due() {
    with_database(async |db: Database| {
        fill(&db).await;
        let due = plan(&db, deliveries::OVERDUE, "now() + interval '100 seconds', 100").await;
        assert_by(&db, &due, "deliveries_due").await;
    })
    .await;
}

#[tokio::test]
async fn an_events_deliveries_are_found_without_reading_the_log() {
    with_database(async |db: Database| {
        fill(&db).await;
        let row = db
            .sql
            .query_one(
                "SELECT id, endpoint_id FROM deliveries WHERE tenant_id = 2 LIMIT 1",
                &[],
            )
            .await;
        let (id, endpoint): (Uuid, i64) = row.map(|row| (row.get(0), row.get(1))).expect("a delivery");
        let arguments = format!(
            "2, {endpoint}, '{}', '{}', NULL, NULL, NULL, 5, NULL, '{id}', '{id}'",
            Uuid::nil(),
            Uuid::max()
        );
        let found = plan(&db, deliveries::LIST_OF_EVENT, &arguments).await;
        assert!(!found.contains("Seq Scan") && found.contains("rows=1"), "{found}");
        let own = index_parts(&db, "deliveries_pkey").await;
        let of_endpoint = index_parts(&db, "deliveries_of_endpoint").await;
        let replays = index_parts(&db, "deliveries_replays").await;
        for line in found.lines().filter(|line| !line.contains("never executed")) {
            if let Some((_, rest)) = line.split_once("using ") {
                let name = rest.split_whitespace().next().unwrap_or_default();
                assert!(
                    own.iter()
                        .chain(&of_endpoint)
                        .chain(&replays)
                        .any(|index| index == name),
                    "{found}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn due_deliveries_are_looked_up_row_by_row_with_the_partition_known() {
    with_database(async |db: Database| {
        fill(&db).await;
        let sql = "SELECT array_agg(tenant_id)::text, array_agg(id)::text
            FROM (SELECT tenant_id, id FROM deliveries WHERE status = 'pending' LIMIT 20) AS waiting";
        let row = db.sql.query_one(sql, &[]).await.expect("ids");
        let arguments = format!("'{}', '{}'", row.get::<_, &str>(0), row.get::<_, &str>(1));
        let loaded = plan(&db, deliveries::LOAD_DUE, &format!("{arguments}, 16384")).await;
        assert!(!loaded.contains("Seq Scan"), "{loaded}");
        let current = plan(&db, deliveries::CURRENT, &arguments).await;
        assert!(!current.contains("Seq Scan"), "{current}");
    })
    .await;
}

#[tokio::test]
async fn recording_reads_no_partition_on_the_path_of_success() {
    with_database(async |db: Database| {
        fill(&db).await;
        let explained = |held, health| {
            let sql = deliveries::Variant { held, health }.sql();
            let arguments =
                vec!["'{}'"; if held { 13 } else { 0 } + if health { 9 } else { 0 } + 23].join(", ");
            (
                sql,
                if health {
                    arguments + ", '{}', 20"
                } else {
                    arguments
                },
            )
        };
        for (held, health) in [(false, false), (false, true), (true, false), (true, true)] {
            let (sql, arguments) = explained(held, health);
            let plan = plan(&db, sql, &arguments).await;
            assert_eq!(partitions_read(&plan), 0, "{plan}");
            assert!(!plan.contains("Scan on deliveries"), "{plan}");
            assert!(
                plan.contains("Index Cond: (event_id = ANY ($22))"),
                "the outbox is looked up: {plan}"
            );
        }
    })
    .await;
}
