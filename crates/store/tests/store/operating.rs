//! What an operator asks of the database, and does with it while it is in use.

use std::collections::BTreeMap;
use std::time::Duration;

use plumbline_domain::DeliveryStatus::{Exhausted, Pending, Succeeded};
use plumbline_domain::health::HealthRun;
use plumbline_domain::{
    CustomHeaders, DisabledReason, EndpointId, KeyDerivation, SigningSecret, TenantId, Timestamp,
};
use plumbline_store::deletion::{self, Holding};
use plumbline_store::deliveries::{self, RecordBatch};
use plumbline_store::inspection::{self, COUNT_MAX};
use plumbline_store::leadership::{self, Duty};
use plumbline_store::secrets::{self, MasterKey, SealedKind, Vault, sealed};
use plumbline_store::{StoreError, endpoints, partitions};

use crate::support::*;

fn vault(ids: &[(&str, u8)]) -> Vault {
    let keys: Vec<MasterKey> = ids
        .iter()
        .map(|(id, byte)| MasterKey {
            id: (*id).to_owned(),
            key: [*byte; 32],
        })
        .collect();
    Vault::new(&keys).expect("keys")
}

/// A secret of an endpoint, sealed by the vault's first key.
async fn secret(db: &Database, vault: &Vault, tenant: TenantId, endpoint: EndpointId, text: &str) {
    let sealed = vault.seal(&SigningSecret::from_text(text.to_owned()), tenant, endpoint);
    let now = Timestamp::now();
    secrets::insert(
        &db.session().await,
        tenant,
        endpoint,
        &sealed,
        KeyDerivation::Literal,
        now,
        None,
    )
    .await
    .expect("inserted");
}

#[tokio::test]
async fn an_inspection_tells_how_the_work_stands() {
    with_database(async |db: Database| {
        let session = db.session().await;
        let server = inspection::server(&session).await.expect("asked");
        assert!(server.version_number >= inspection::SERVER_VERSION_MIN && !server.is_standby);
        assert_eq!(
            inspection::schema(&session).await.expect("asked"),
            inspection::Schema::default()
        );
        db.execute("UPDATE refinery_schema_history SET version = 4711 WHERE version = 9")
            .await;
        let schema = inspection::schema(&session).await.expect("asked");
        assert_eq!(
            (schema.missing, schema.unknown),
            (vec!["V9__endpoint_news".to_owned()], 1)
        );

        let partitions = async || inspection::partitions(&session, 7).await.expect("asked");
        let fresh = partitions().await;
        assert!(
            fresh.today && fresh.days_ahead == 8 && fresh.days_over == 0,
            "{fresh:?}"
        );
        db.execute("SELECT ensure_partitions(current_date - 9, current_date - 8)")
            .await;
        db.execute(
            "DO $$ BEGIN
                EXECUTE 'DROP TABLE deliveries_p' || to_char(now() + interval '3 days', 'YYYYMMDD');
            END $$",
        )
        .await;
        let spoilt = partitions().await;
        assert!(
            spoilt.today && spoilt.days_ahead == 2 && spoilt.days_over == 2,
            "{spoilt:?}"
        );

        assert_eq!(
            inspection::leader(&session, Duty::Relay).await.expect("asked"),
            None
        );
        let lead = leadership::try_lead(&db.store, Duty::Relay)
            .await
            .expect("asked")
            .expect("led");
        let leader = inspection::leader(&session, Duty::Relay).await.expect("asked");
        assert_eq!(leader.as_deref(), Some("plumbline-store-test"));
        assert_eq!(
            inspection::leader(&session, Duty::Sweep).await.expect("asked"),
            None
        );
        drop(lead);

        assert_eq!(
            inspection::outbox(&session).await.expect("asked"),
            inspection::Backlog::default()
        );
        let grace = Duration::from_secs(60);
        let overdue = async || inspection::overdue(&session, grace).await.expect("asked");
        assert_eq!(overdue().await, inspection::Overdue::default());
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let event = db.event(tenant).await;
        let waits = attempted(&event, endpoint, 1, Pending);
        deliveries::record(&session, &batch(vec![waits]))
            .await
            .expect("recorded");
        assert_eq!(overdue().await.count, 0, "its time has not come");
        db.execute("UPDATE deliveries SET next_attempt_at = now() - interval '5 minutes'")
            .await;
        let late = overdue().await;
        assert_eq!(
            (late.count, late.longest.map(|by| by.as_secs() / 60)),
            (1, Some(5))
        );
        db.execute(
            "INSERT INTO outbox (event_id, tenant_id, lane, state)
            VALUES (uuid_v7(now() - interval '3 minutes'), 1, 'fast', 'unsent')",
        )
        .await;
        let backlog = inspection::outbox(&session).await.expect("asked");
        assert_eq!((backlog.count, backlog.unsent), (2, 1));
        for age in [backlog.oldest, backlog.oldest_unsent] {
            assert_eq!(age.map(|age| age.as_secs() / 60), Some(3));
        }
        assert!(backlog.count < COUNT_MAX);
    })
    .await;
}

#[tokio::test]
async fn endpoints_in_trouble_are_found_the_worst_first() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let mut endpoints = vec![];
        for failures in [20, 12, 9, 15] {
            let endpoint = db.endpoint(tenant).await.id;
            let mut run = HealthRun::default();
            (0..failures).for_each(|_| run.push(false));
            let failed = attempted(&db.event(tenant).await, endpoint, 1, Pending);
            let batch = RecordBatch {
                health: vec![(tenant, endpoint, run)],
                ..batch(vec![failed])
            };
            deliveries::record(&session, &batch).await.expect("recorded");
            endpoints.push(endpoint);
        }
        let day = Duration::from_secs(86_400);
        let disabled = inspection::disabled_within(&session, day, 5)
            .await
            .expect("asked");
        let [found] = &disabled.some[..] else {
            panic!("{disabled:?}")
        };
        assert_eq!((found.tenant, found.endpoint), (tenant, endpoints[0]));
        assert_eq!(found.reason, Some(DisabledReason::ConsecutiveFailures));
        let failing = inspection::failing_from(&session, 10, 1).await.expect("asked");
        assert_eq!((failing.count, failing.some[0].endpoint), (2, endpoints[3]));
        assert_eq!(failing.some[0].consecutive_failures, 15);

        db.execute(
            "UPDATE endpoints SET disabled_at = now() - interval '25 hours' WHERE disabled_at IS NOT NULL",
        )
        .await;
        assert_eq!(
            inspection::disabled_within(&session, day, 5)
                .await
                .expect("asked")
                .count,
            0
        );
        // What somebody of the tenant does is their own affair.
        db.execute("UPDATE endpoints SET disabled_reason = 'manual', disabled_at = now()")
            .await;
        assert_eq!(
            inspection::disabled_within(&session, day, 5)
                .await
                .expect("asked")
                .count,
            0
        );
        assert_eq!(
            inspection::failing_from(&session, 1, 5)
                .await
                .expect("asked")
                .count,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn custom_headers_are_sealed_anew_as_well() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (old, both) = (vault(&[("old", 1)]), vault(&[("new", 2), ("old", 1)]));
        let (with, without) = (db.endpoint(tenant).await.id, db.endpoint(tenant).await.id);
        secret(&db, &both, tenant, without, "whsec_a").await;
        let headers = CustomHeaders::new(vec![("X-Team-Pass".to_owned(), "swordfish".to_owned())]);
        let session = db.session().await;
        let sealed = old.seal_headers(&headers, tenant, with);
        endpoints::set_headers(&session, tenant, with, Some((&headers, &sealed)))
            .await
            .expect("set");
        let found = inspection::secrets(&session, &vault(&[("new", 2)]))
            .await
            .expect("asked");
        let by_key = BTreeMap::from([("new".to_owned(), 1), ("old".to_owned(), 1)]);
        assert_eq!((found.by_key, found.example), (by_key, Some((tenant, with))));

        let kind = SealedKind::CustomHeaders;
        let read = sealed::page(&session, kind, Some("new"), 0, 10)
            .await
            .expect("read");
        assert_eq!(read.len(), 1, "{read:?}");
        let anew = both
            .seal_anew(kind, &read[0].sealed, tenant, with)
            .expect("opens");
        assert!(!both.opens(SealedKind::SigningSecret, &anew, tenant, with));
        assert!(!both.opens(kind, &anew, tenant, without));
        let anew = [(read[0].clone(), anew)];
        assert_eq!(sealed::replace(&session, kind, &anew).await.expect("replaced"), 1);
        assert_eq!(sealed::replace(&session, kind, &anew).await.expect("repeated"), 0);
        let found = inspection::secrets(&session, &vault(&[("new", 2)]))
            .await
            .expect("asked");
        assert_eq!(
            (found.by_key, found.example),
            (BTreeMap::from([("new".to_owned(), 2)]), None)
        );
        let opened = vault(&[("new", 2)])
            .open_headers(&anew[0].1, tenant, with)
            .expect("opens");
        assert_eq!(opened.expose(), headers.expose());
    })
    .await;
}

#[tokio::test]
async fn secrets_are_replaced_only_where_they_still_are_what_was_read() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (old, both) = (vault(&[("old", 1)]), vault(&[("new", 2), ("old", 1)]));
        let mut endpoints = vec![];
        for text in ["whsec_a", "whsec_b", "whsec_c", "whsec_d"] {
            let endpoint = db.endpoint(tenant).await.id;
            secret(&db, &old, tenant, endpoint, text).await;
            endpoints.push(endpoint);
        }
        let session = db.session().await;
        let found = inspection::secrets(&session, &both).await.expect("asked");
        assert_eq!(found.by_key, BTreeMap::from([("old".to_owned(), 4)]));
        assert_eq!((found.unopened.len(), found.example), (0, None));
        let lost = inspection::secrets(&session, &vault(&[("old", 9)]))
            .await
            .expect("asked");
        assert_eq!(
            (lost.unopened["old"], lost.example),
            (4, Some((tenant, endpoints[0])))
        );

        let kind = SealedKind::SigningSecret;
        let read = sealed::page(&session, kind, Some("new"), 0, 10)
            .await
            .expect("read");
        let anew: Vec<_> = read
            .into_iter()
            .map(|row| {
                let text = both.open(&row.sealed, row.tenant, row.endpoint).expect("opens");
                let sealed = both.seal(&text, row.tenant, row.endpoint);
                (row, sealed)
            })
            .collect();
        // Meanwhile one is rotated away, one is deleted, and one is just being changed by its owner.
        let sealed = both.seal(
            &SigningSecret::from_text("whsec_z".to_owned()),
            tenant,
            endpoints[0],
        );
        let changed =
            "UPDATE endpoint_secrets SET ciphertext = $2, master_key_id = 'new' WHERE endpoint_id = $1";
        db.sql
            .execute(changed, &[&endpoints[0].0, &sealed.ciphertext])
            .await
            .expect("rotated");
        secrets::delete_all(&session, tenant, endpoints[1])
            .await
            .expect("deleted");
        let owner = db.begin().await;
        secrets::set_expiry(&owner, tenant, endpoints[2], in_seconds(60))
            .await
            .expect("expiring");
        assert_eq!(
            sealed::replace(&session, kind, &anew).await.expect("replaced"),
            1,
            "and nobody was waited for"
        );
        owner.commit().await.expect("committed");

        assert_eq!(
            sealed::replace(&session, kind, &anew).await.expect("replaced"),
            1,
            "the one that was busy"
        );
        assert_eq!(
            sealed::replace(&session, kind, &anew).await.expect("replaced"),
            0,
            "repeated"
        );
        let by_key = sealed::count_by_key(&session).await.expect("counted");
        assert_eq!(by_key, BTreeMap::from([("new".to_owned(), 3)]));
        let only_new = vault(&[("new", 2)]);
        for (endpoint, text) in
            endpoints
                .iter()
                .zip([Some("whsec_z"), None, Some("whsec_c"), Some("whsec_d")])
        {
            let stored = secrets::of_endpoint(&session, tenant, *endpoint)
                .await
                .expect("read");
            let opened = stored
                .first()
                .map(|secret| secret.open(&only_new, tenant, *endpoint).expect("opens"));
            assert_eq!(opened.as_ref().map(|version| version.secret.expose()), text);
            if text == Some("whsec_c") {
                assert!(stored[0].expires_at.is_some(), "what its owner did stands");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenants_holdings_are_deleted_in_batches_and_a_neighbours_stay() {
    with_database(async |db: Database| {
        db.execute("SELECT ensure_partitions(current_date - 5, current_date)")
            .await;
        let (tenant, neighbour) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        for owner in [tenant, neighbour] {
            let endpoint = db.endpoint(owner).await.id;
            for days in 0..5 {
                let event = new_event(owner, ago(days * 86_400));
                db.execute(&format!(
                    "INSERT INTO events (tenant_id, id, type, data, occurred_at, endpoints_version)
                    VALUES ({owner}, '{}', 'bid.created', '{{}}', now(), 1)",
                    event.id.0
                ))
                .await;
                let outcomes = [Pending, Succeeded].into_iter().zip(1..);
                for (status, number) in outcomes {
                    let outcome = attempted(&event, endpoint, number, status);
                    deliveries::record(&session, &batch(vec![outcome]))
                        .await
                        .expect("recorded");
                }
            }
        }
        for (holding, batches) in [
            (Holding::Attempts, vec![4, 4, 2, 0]),
            (Holding::Deliveries, vec![4, 1, 0]),
            (Holding::Events, vec![4, 1, 0]),
            (Holding::Outbox, vec![0]),
            (Holding::Rows("endpoints"), vec![1, 0]),
        ] {
            for expected in batches {
                let deleted = deletion::delete_some(&session, tenant, holding, 4)
                    .await
                    .expect("deleted");
                assert_eq!(deleted, expected, "{holding:?}");
            }
        }
        assert!(deletion::delete_tenant(&session, tenant).await.expect("deleted"));
        assert!(!deletion::delete_tenant(&session, tenant).await.expect("deleted"));
        for (table, rows) in [
            ("events", 5),
            ("deliveries", 5),
            ("delivery_attempts", 10),
            ("endpoints", 1),
        ] {
            let left = db
                .number(&format!(
                    "SELECT count(*) FROM {table} WHERE tenant_id = {neighbour}"
                ))
                .await;
            assert_eq!(left, rows, "{table}");
            assert_eq!(
                db.number(&format!("SELECT count(*) FROM {table}")).await,
                rows,
                "{table}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn every_table_of_a_tenant_is_among_its_holdings_or_goes_with_it() {
    with_database(async |db: Database| {
        // Of a table with a tenant's rows, either a holding says how they go, or a foreign key takes them along.
        let sql = "
            SELECT tables.relname::text
            FROM pg_class AS tables
            JOIN pg_attribute AS tenant ON tenant.attrelid = tables.oid AND tenant.attname = 'tenant_id'
            WHERE tables.relnamespace = 'plumbline'::regnamespace AND tables.relkind IN ('r', 'p')
                AND NOT tables.relispartition
                AND NOT EXISTS (
                    SELECT FROM pg_constraint AS tie
                    WHERE tie.conrelid = tables.oid AND tie.contype = 'f' AND tie.confdeltype = 'c')";
        let rows = db.sql.query(sql, &[]).await.expect("read");
        assert_eq!(rows.len(), 4, "the hot tables have no foreign keys");
        for row in &rows {
            let table: &str = row.get(0);
            assert!(
                Holding::UNTIED.iter().any(|holding| holding.table() == table),
                "{table}"
            );
        }
        assert!(Holding::UNTIED.iter().all(|untied| Holding::ALL.contains(untied)));
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_no_tenant_any_more_does_not_keep_a_day() {
    with_database(async |db: Database| {
        db.execute("SELECT ensure_partitions(current_date - 9, current_date)").await;
        let (tenant, gone) = (db.tenant().await, TenantId(4_711));
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        for (owner, days) in [(tenant, 9), (gone, 8)] {
            let event = new_event(owner, ago(days * 86_400));
            let outcome = attempted(&event, endpoint, 1, Pending);
            deliveries::record(&session, &batch(vec![outcome])).await.expect("recorded");
            db.execute(&format!(
                "INSERT INTO outbox (event_id, tenant_id, lane, state) VALUES ('{}', {owner}, 'fast', 'sent')",
                event.id.0
            ))
            .await;
        }
        let done = partitions::maintain(&session, Timestamp::now(), 7).await.expect("maintained");
        assert_eq!((done.dropped.len(), done.kept.len()), (3, 1), "{done:?}");
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 1);
        assert_eq!(db.number("SELECT count(*) FROM deliveries").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_locked_out_tenant_has_no_keys_and_no_people() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        db.execute(&format!(
            "INSERT INTO api_keys (tenant_id, name, hint, hash, scopes)
            VALUES ({tenant}, 'k', 'plk_…', decode(repeat('00', 32), 'hex'), '{{*}}');
            INSERT INTO users (tenant_id, email, role, password_hash) VALUES ({tenant}, 'a@example.com', 'member', 'x')"
        ))
        .await;
        let session = db.session().await;
        assert_eq!(deletion::lock_out(&session, tenant).await.expect("locked out"), 2);
        assert_eq!(deletion::lock_out(&session, tenant).await.expect("locked out"), 0);
        let outcome = attempted(&db.event(tenant).await, db.endpoint(tenant).await.id, 1, Exhausted);
        deliveries::record(&session, &batch(vec![outcome])).await.expect("recorded");
        assert_eq!(deletion::delete_endpoints(&session, tenant).await.expect("deleted"), 1);
        let refused: Result<bool, StoreError> = deletion::delete_tenant(&session, tenant).await;
        assert!(refused.expect("its endpoints go along"));
    })
    .await;
}
