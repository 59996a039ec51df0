//! Accepting events in batches.

use std::time::Duration;

use plumbline_domain::{Event, EventId, Lane, TenantId, Timestamp};
use plumbline_store::events::{self, InsertedBatch, KeyedPublish, NewEvent};
use plumbline_store::idempotency::{self, Claim, StoredResponse};
use plumbline_store::{StoreError, tenants};

use crate::support::*;

fn new(event: &Event) -> NewEvent {
    NewEvent {
        event: event.clone(),
        lane: Lane::Fast,
        sent: true,
    }
}

fn keyed(tenant: TenantId, key: &str, hash: u8, event_indexes: &[usize]) -> KeyedPublish {
    KeyedPublish {
        tenant,
        key: key.to_owned(),
        request_hash: [hash; 32],
        status: 202,
        body: format!("answer {hash}"),
        event_indexes: event_indexes.to_vec(),
    }
}

async fn accepted(db: &Database, events: &[Event]) -> Vec<bool> {
    let session = db.session().await;
    let mut found = vec![];
    for event in events {
        let stored = events::get(&session, event.tenant, event.id)
            .await
            .expect("read")
            .is_some();
        let sql = format!("SELECT count(*) FROM outbox WHERE event_id = '{}'", event.id.0);
        assert_eq!(
            db.number(&sql).await,
            i64::from(stored),
            "a fact and its news commit together"
        );
        found.push(stored);
    }
    found
}

#[tokio::test]
async fn an_event_is_kept_byte_for_byte_with_the_version_of_its_tenant() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        db.endpoint(tenant).await;
        let (first, second) = (
            new_event(tenant, Timestamp::now()),
            new_event(other, Timestamp::now()),
        );
        let session = db.session().await;
        let bulk = NewEvent {
            lane: Lane::Bulk,
            sent: false,
            ..new(&second)
        };
        let batch = events::insert_batch(&session, &[new(&first), bulk], &[])
            .await
            .expect("accepted");
        assert_eq!(
            batch,
            InsertedBatch {
                versions: [(tenant, 1), (other, 0)].into(),
                not_taken: vec![]
            }
        );

        let stored = events::get(&session, tenant, first.id)
            .await
            .expect("read")
            .expect("there");
        assert_eq!(
            stored,
            Event {
                endpoints_version: 1,
                ..first.clone()
            }
        );
        assert_eq!(
            events::get(&session, other, first.id).await.expect("read"),
            None,
            "not the neighbour's"
        );
        let unsent = plumbline_store::outbox::unsent(&session, at_most(10))
            .await
            .expect("read");
        assert_eq!(unsent.len(), 1);
        assert_eq!(
            (unsent[0].event.id, unsent[0].lane, unsent[0].chunk),
            (second.id, Lane::Bulk, None)
        );
    })
    .await;
}

#[tokio::test]
async fn a_taken_key_holds_back_only_its_own_events() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let all: Vec<Event> = (0..5).map(|_| new_event(tenant, Timestamp::now())).collect();
        let first = events::insert_batch(&session, &[new(&all[0])], &[keyed(tenant, "a", 1, &[0])]).await;
        assert_eq!(first.expect("accepted").not_taken, Vec::<usize>::new());

        let batch: Vec<NewEvent> = all[1..].iter().map(new).collect();
        let requests = [
            keyed(tenant, "a", 1, &[0]), // repeated
            keyed(tenant, "b", 2, &[1, 2]),
            keyed(tenant, "a", 9, &[]), // another request with that key
        ];
        let done = events::insert_batch(&session, &batch, &requests)
            .await
            .expect("accepted");
        assert_eq!(done.not_taken, [0, 2]);
        assert_eq!(accepted(&db, &all).await, [true, false, true, true, true]);

        for (key, hash, claim) in [
            (
                "a",
                1,
                Claim::Done(StoredResponse {
                    status: 202,
                    body: "answer 1".to_owned(),
                }),
            ),
            ("a", 9, Claim::Mismatch),
            (
                "b",
                2,
                Claim::Done(StoredResponse {
                    status: 202,
                    body: "answer 2".to_owned(),
                }),
            ),
            ("c", 2, Claim::Fresh),
        ] {
            assert_eq!(
                idempotency::read(&session, tenant, key, &[hash; 32])
                    .await
                    .expect("read"),
                claim
            );
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_publications_with_one_key_in_a_batch_the_first_is_accepted() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        let all = [tenant, tenant, other].map(|tenant| new_event(tenant, Timestamp::now()));
        let batch: Vec<NewEvent> = all.iter().map(new).collect();
        let requests = [
            keyed(tenant, "k", 1, &[0]),
            keyed(tenant, "k", 1, &[1]),
            keyed(other, "k", 1, &[2]),
        ];
        let done = events::insert_batch(&session, &batch, &requests)
            .await
            .expect("accepted");
        assert_eq!(done.not_taken, [1]);
        assert_eq!(accepted(&db, &all).await, [true, false, true]);
    })
    .await;
}

#[tokio::test]
async fn a_key_older_than_a_day_is_taken_again() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let all = [0, 1].map(|_| new_event(tenant, Timestamp::now()));
        events::insert_batch(&session, &[new(&all[0])], &[keyed(tenant, "k", 1, &[0])])
            .await
            .expect("accepted");
        db.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
            .await;
        let done = events::insert_batch(&session, &[new(&all[1])], &[keyed(tenant, "k", 2, &[0])]).await;
        assert_eq!(done.expect("accepted").not_taken, Vec::<usize>::new());
        assert_eq!(accepted(&db, &all).await, [true, true]);
    })
    .await;
}

#[tokio::test]
async fn concurrent_publications_with_one_key_are_accepted_once() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let all: Vec<Event> = (0..8).map(|_| new_event(tenant, Timestamp::now())).collect();
        let publish = async |event: &Event| {
            let session = db.session().await;
            let done = events::insert_batch(&session, &[new(event)], &[keyed(tenant, "k", 1, &[0])]).await;
            done.expect("not failed").not_taken.is_empty()
        };
        let taken = futures_util::future::join_all(all.iter().map(publish)).await;
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        assert_eq!(accepted(&db, &all).await, taken);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_holds_a_key_does_not_hold_up_publications() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let change = db.begin().await;
        idempotency::claim(&change, tenant, "k", &[1; 32])
            .await
            .expect("claimed");
        let event = new_event(tenant, Timestamp::now());
        let session = db.session().await;
        let batch = [new(&event)];
        let requests = [keyed(tenant, "k", 1, &[0])];
        let publish = events::insert_batch(&session, &batch, &requests);
        let done = tokio::time::timeout(Duration::from_secs(2), publish)
            .await
            .expect("does not wait");
        assert!(done.expect("accepted").not_taken.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_same_batch_again_is_a_conflict_and_nothing_is_there_twice() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let batch = [
            new(&new_event(tenant, Timestamp::now())),
            new(&new_event(tenant, Timestamp::now())),
        ];
        events::insert_batch(&session, &batch, &[])
            .await
            .expect("accepted");
        let again = events::insert_batch(&session, &batch, &[]).await;
        assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_takes_nothing_and_harms_nobody() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let nobody = TenantId(999);
        let session = db.session().await;
        let all = [
            new_event(tenant, Timestamp::now()),
            new_event(nobody, Timestamp::now()),
        ];
        let batch = [new(&all[0]), new(&all[1])];
        let done = events::insert_batch(&session, &batch, &[keyed(nobody, "k", 1, &[1])])
            .await
            .expect("accepted");
        assert_eq!(done.versions, [(tenant, 0)].into());
        assert_eq!(done.not_taken, [0]);
        assert_eq!(accepted(&db, &all).await, [true, false]);
        assert_eq!(events::insert_one(&session, &all[1]).await.expect("asked"), None);
    })
    .await;
}

#[tokio::test]
async fn a_thousand_events_fit_in_one_batch() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let batch: Vec<NewEvent> = (0..1_000)
            .map(|_| new(&new_event(tenant, Timestamp::now())))
            .collect();
        events::insert_batch(&db.session().await, &batch, &[])
            .await
            .expect("accepted");
        assert_eq!(db.number("SELECT count(*) FROM events").await, 1_000);
        let nothing = events::insert_batch(&db.session().await, &[], &[])
            .await
            .expect("nothing to do");
        assert_eq!(nothing, InsertedBatch::default());
    })
    .await;
}

#[tokio::test]
async fn events_are_listed_newest_first_by_type_and_page() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        let mut ids: Vec<EventId> = vec![];
        for seconds in (0..6).rev() {
            let mut event = new_event(tenant, ago(seconds));
            if seconds % 2 == 0 {
                event.event_type = "contact.created".parse().expect("a type");
            }
            ids.insert(0, event.id);
            events::insert_batch(&session, &[new(&event)], &[])
                .await
                .expect("accepted");
        }
        events::insert_batch(&session, &[new(&new_event(other, Timestamp::now()))], &[])
            .await
            .expect("accepted");
        let list = async |before, limit, event_type: Option<&str>| {
            let event_type = event_type.map(|name| name.parse().expect("a type"));
            let page = events::list(&session, tenant, before, limit, event_type.as_ref())
                .await
                .expect("read");
            page.into_iter().map(|event| event.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None, 10, None).await, ids);
        assert_eq!(list(Some(ids[1]), 2, None).await, ids[2..4]);
        assert_eq!(
            list(None, 10, Some("contact.created")).await,
            [ids[0], ids[2], ids[4]]
        );
    })
    .await;
}

#[tokio::test]
async fn a_test_event_has_no_news() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        tenants::bump_endpoints_version(&session, tenant)
            .await
            .expect("bumped");
        let event = new_event(tenant, Timestamp::now());
        let stored = events::insert_one(&session, &event).await.expect("inserted");
        assert_eq!(
            stored,
            Some(Event {
                endpoints_version: 1,
                ..event
            })
        );
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 0);
    })
    .await;
}
