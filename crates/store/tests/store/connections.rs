//! The pool, transactions, migrations, leadership and notifications.

use std::time::Duration;

use plumbline_store::leadership::{Duty, try_lead};
use plumbline_store::listen::Notifications;
use plumbline_store::{StoreError, outbox, tenants, users};

use crate::support::*;

/// How many migrations there are.
fn migrations() -> usize {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    std::fs::read_dir(directory).expect("the migrations").count()
}

#[tokio::test]
async fn migrating_again_applies_nothing() {
    with_empty_database(async |db: Database| {
        let first = db.store.migrate().await.expect("migrated");
        assert_eq!(first.len(), migrations(), "{first:?}");
        assert_eq!(db.store.migrate().await.expect("again"), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn several_processes_may_migrate_at_once() {
    with_empty_database(async |db: Database| {
        let stores: Vec<_> = (0..4).map(|_| store_at(&db.url, 1)).collect();
        let applied = futures_util::future::join_all(stores.iter().map(|store| store.migrate())).await;
        let mut counts: Vec<usize> = applied
            .into_iter()
            .map(|names| names.expect("migrated").len())
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 0, migrations()]);
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_waits_for_a_table_lets_the_others_use_it() {
    with_database(async |db: Database| {
        let older = "
            ALTER TABLE delivery_attempts DROP COLUMN timing;
            DELETE FROM refinery_schema_history WHERE version >= 12";
        db.sql.batch_execute(older).await.expect("as it was before");
        // As pg_dump does: it reads, and takes its time.
        let backup = connect_to(&db.url).await;
        let reading = "BEGIN; SELECT FROM delivery_attempts";
        backup.batch_execute(reading).await.expect("reading");
        let reading_on = async {
            let waiting = "
                SELECT count(*)
                FROM pg_locks
                WHERE relation = 'delivery_attempts'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted";
            while db.number(waiting).await == 0 {
                tokio::task::yield_now().await;
            }
            // Behind the migration, which stands behind the backup.
            let others = db.number("SELECT count(*) FROM delivery_attempts");
            let read = tokio::time::timeout(Duration::from_secs(60), others).await;
            assert_eq!(read, Ok(0), "the migration keeps others from the table");
            backup.batch_execute("COMMIT").await.expect("read");
        };
        let (applied, ()) = tokio::join!(db.store.migrate(), reading_on);
        assert_eq!(applied.expect("migrated")[0], "V12__attempt_timing");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_and_its_connection_closed() {
    with_database(async |db: Database| {
        let store = store_at(&db.url, 1);
        let session = store.begin().await.expect("a transaction");
        tenants::create(&session, "Acme").await.expect("a tenant");
        drop(session);
        assert_eq!(store.pool_status().size, 0);

        let session = store.session().await.expect("the pool has its place back");
        assert_eq!(db.number("SELECT count(*) FROM tenants").await, 0);
        tenants::create(&session, "Acme").await.expect("a tenant");
        drop(session);
        assert_eq!(store.pool_status().available, 1, "a clean connection returns");
    })
    .await;
}

#[tokio::test]
async fn a_committed_transaction_returns_its_connection() {
    with_database(async |db: Database| {
        let store = store_at(&db.url, 1);
        let session = store.begin().await.expect("a transaction");
        tenants::create(&session, "Acme").await.expect("a tenant");
        session.commit().await.expect("committed");
        assert_eq!(store.pool_status().available, 1);
        assert_eq!(db.number("SELECT count(*) FROM tenants").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_returns_its_connection() {
    with_database(async |db: Database| {
        let store = store_at(&db.url, 1);
        let session = store.begin().await.expect("a transaction");
        tenants::create(&session, "Acme").await.expect("a tenant");
        session.rollback().await.expect("rolled back");
        assert_eq!(store.pool_status().available, 1);
        assert_eq!(db.number("SELECT count(*) FROM tenants").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_with_a_failed_statement_does_not_commit() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.begin().await;
        let admin = plumbline_domain::Role::CompanyAdmin;
        users::create(&session, tenant, "a@example.com", admin, "hash")
            .await
            .expect("a user");
        let other = users::create(&session, tenant, "b@example.com", admin, "hash")
            .await
            .expect("another");
        let taken = users::UserChanges {
            email: Some("a@example.com".to_owned()),
            ..users::UserChanges::default()
        };
        let again = users::update(&session, tenant, other.id, &taken).await;
        assert!(matches!(again, Err(StoreError::Conflict { constraint }) if constraint == "users_email_key"));
        let refused = session.commit().await.expect_err("not committed");
        assert!(!refused.is_transient());
        assert_eq!(db.number("SELECT count(*) FROM users").await, 0);
    })
    .await;
}

#[tokio::test]
async fn an_abandoned_statement_does_not_reach_the_next_user_of_the_connection() {
    with_database(async |db: Database| {
        let store = store_at(&db.url, 1);
        let tenant = db.tenant().await;
        db.execute("BEGIN; UPDATE tenants SET name = 'locked'").await;
        {
            let session = store.session().await.expect("a session");
            let blocked = tenants::bump_endpoints_version(&session, tenant);
            assert!(
                tokio::time::timeout(Duration::from_millis(100), blocked)
                    .await
                    .is_err()
            );
        }
        let session = store.session().await.expect("another connection");
        assert!(
            tenants::get(&session, tenant)
                .await
                .expect("not behind the blocked statement")
                .is_some()
        );
        db.execute("ROLLBACK").await;
    })
    .await;
}

#[tokio::test]
async fn a_full_pool_is_unavailable_after_a_bounded_wait() {
    with_database(async |db: Database| {
        let store = store_at(&db.url, 1);
        let held = store.session().await.expect("a session");
        let started = std::time::Instant::now();
        let error = store.session().await.expect_err("no connection");
        assert!(matches!(error, StoreError::Unavailable(_)) && error.is_transient());
        assert!(started.elapsed() < Duration::from_secs(7));
        drop(held);
        store.ping().await.expect("free again");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_down_is_unavailable_and_a_killed_connection_is_replaced() {
    let nobody = store_at("postgres://a:b@127.0.0.1:1/none", 2);
    assert!(nobody.ping().await.expect_err("nobody listens").is_transient());

    with_database(async |db: Database| {
        let store = store_at(&db.url, 1);
        let session = store.session().await.expect("a session");
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        let error = tenants::create(&session, "Acme").await.expect_err("killed");
        assert!(error.is_transient(), "{error:?}");
        drop(session);
        store.ping().await.expect("a new connection");
    })
    .await;
}

#[tokio::test]
async fn a_malformed_url_is_refused_without_showing_it() {
    let config = plumbline_store::StoreConfig {
        database_url: "postgres://user:hunter2@host:notaport/db".to_owned(),
        pool_size: 1,
        application_name: "test".to_owned(),
    };
    let error = plumbline_store::Store::new(&config).expect_err("refused");
    assert!(!format!("{error} {error:?} {config:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_error_never_quotes_a_row() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let role = plumbline_domain::Role::Member;
        let error = users::create(&session, tenant, "UPPER@EXAMPLE.COM", role, "topsecret")
            .await
            .expect_err("a rule");
        assert!(!format!("{error:?}").contains("topsecret"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn one_process_leads_a_duty_until_it_goes() {
    with_database(async |db: Database| {
        let first = try_lead(&db.store, Duty::Relay)
            .await
            .expect("asked")
            .expect("leads");
        assert!(first.still_leads().await);
        assert!(try_lead(&db.store, Duty::Relay).await.expect("asked").is_none());
        assert!(
            try_lead(&db.store, Duty::Sweep).await.expect("asked").is_some(),
            "another duty"
        );
        drop(first);
        wait_until(async || try_lead(&db.store, Duty::Relay).await.expect("asked").is_some()).await;
    })
    .await;
}

#[tokio::test]
async fn a_leader_whose_connection_is_lost_leads_no_more() {
    with_database(async |db: Database| {
        let leader = try_lead(&db.store, Duty::Sweep)
            .await
            .expect("asked")
            .expect("leads");
        db.execute(
            "SELECT pg_terminate_backend(pid)
             FROM pg_locks
             WHERE locktype = 'advisory'
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .await;
        assert!(!leader.still_leads().await);
        wait_until(async || try_lead(&db.store, Duty::Sweep).await.expect("asked").is_some()).await;
    })
    .await;
}

#[tokio::test]
async fn the_relay_is_woken_when_the_announcing_transaction_commits() {
    with_database(async |db: Database| {
        let mut notifications = Notifications::connect(&db.store).await.expect("listening");
        let session = db.begin().await;
        outbox::notify_unsent(&session).await.expect("announced");
        let early = tokio::time::timeout(Duration::from_millis(100), notifications.recv()).await;
        assert!(early.is_err(), "not before the commit");
        session.commit().await.expect("committed");
        tokio::time::timeout(Duration::from_secs(5), notifications.recv())
            .await
            .expect("woken")
            .expect("alive");

        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
        assert!(notifications.recv().await.expect_err("lost").is_transient());
    })
    .await;
}

/// PostgreSQL frees a closed connection's locks a moment later.
async fn wait_until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never happened");
}
