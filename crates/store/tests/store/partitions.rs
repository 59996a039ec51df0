//! Daily partitions: made ahead, and dropped only when nothing needs them.

use plumbline_domain::DeliveryStatus::{Exhausted, Pending, Succeeded};
use plumbline_domain::{DeliveryId, Lane, Timestamp};
use plumbline_store::deliveries::{self, RecordedAttempt};
use plumbline_store::events::{self, NewEvent};
use plumbline_store::partitions::{self, Maintenance};
use plumbline_store::{StoreError, idempotency, outbox};

use crate::support::*;

const DAY: u64 = 86_400;

async fn maintain(db: &Database, now: Timestamp, retention_days: u32) -> Maintenance {
    partitions::maintain(&db.session().await, now, retention_days)
        .await
        .expect("maintained")
}

/// Make the partitions of the last days, as if the service had run.
async fn ran_for(db: &Database, days: u32) {
    db.execute(&format!(
        "SELECT ensure_partitions(current_date - {days}, current_date)"
    ))
    .await;
}

#[tokio::test]
async fn partitions_are_made_ahead_once() {
    with_database(async |db: Database| {
        assert_eq!(
            maintain(&db, Timestamp::now(), 30).await,
            Maintenance::default(),
            "the migration made them"
        );
        let later = in_seconds(5 * 86_400);
        assert_eq!(
            maintain(&db, later, 30).await.made,
            15,
            "five days of three tables"
        );
        assert_eq!(maintain(&db, later, 30).await.made, 0);
    })
    .await;
}

#[tokio::test]
async fn days_beyond_retention_are_found_however_the_catalogue_is_read() {
    with_database(async |db: Database| {
        ran_for(&db, 10).await;
        // As the planner may choose for a large catalogue: all of it is read, and joined afterwards.
        db.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_nestloop = off', current_database()); END $$",
        )
        .await;
        let store = store_at(&db.url, 1);
        let session = store.session().await.expect("a session");
        let maintained = partitions::maintain(&session, Timestamp::now(), 7).await;
        assert_eq!(maintained.expect("maintained").dropped.len(), 9, "three days of three tables");
    })
    .await;
}

#[tokio::test]
async fn a_day_beyond_retention_is_dropped() {
    with_database(async |db: Database| {
        ran_for(&db, 10).await;
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        let event = new_event(tenant, ago(9 * DAY));
        let new = NewEvent {
            event: event.clone(),
            lane: Lane::Fast,
            sent: true,
        };
        events::insert_batch(&session, &[new], &[])
            .await
            .expect("accepted");
        let outcome = attempted(&event, endpoint, 1, Succeeded);
        let mut batch = batch(vec![outcome.clone()]);
        batch.completed = vec![(event.id, 0)];
        deliveries::record(&session, &batch).await.expect("recorded");

        let done = maintain(&db, Timestamp::now(), 7).await;
        assert_eq!(done.dropped.len(), 3 * 3, "{done:?}");
        assert_eq!(done.kept, Vec::<String>::new());
        assert_eq!(events::get(&session, tenant, event.id).await.expect("read"), None);
        assert_eq!(
            deliveries::get(&session, tenant, outcome.delivery)
                .await
                .expect("read"),
            None
        );
        assert_eq!(maintain(&db, Timestamp::now(), 7).await, Maintenance::default());
    })
    .await;
}

#[tokio::test]
async fn what_is_pending_stays_with_its_event_and_attempts() {
    with_database(async |db: Database| {
        ran_for(&db, 10).await;
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        let [pending, replayed, unsent] = [10, 9, 8].map(|days| new_event(tenant, ago(days * DAY)));
        let accept = [&pending, &replayed, &unsent].map(|event| NewEvent {
            event: event.clone(),
            lane: Lane::Fast,
            sent: true,
        });
        events::insert_batch(&session, &accept, &[])
            .await
            .expect("accepted");
        // One is pending in its own day, one only by a replay of today, one has not been fanned out.
        let waits = attempted(&pending, endpoint, 1, Pending);
        let exhausted = attempted(&replayed, endpoint, 1, Exhausted);
        let mut batch = batch(vec![waits.clone(), exhausted.clone()]);
        batch.completed = vec![(pending.id, 0), (replayed.id, 0)];
        deliveries::record(&session, &batch).await.expect("recorded");
        let now = Timestamp::now();
        let replay = DeliveryId::new(now, rand::random());
        deliveries::insert_replay(&session, tenant, exhausted.delivery, replay, now)
            .await
            .expect("replayed");

        let done = maintain(&db, now, 7).await;
        assert_eq!(done.kept.len(), 3, "{done:?}");
        // Of the replayed and the unsent events' days, the deliveries go and the events stay.
        assert_eq!(done.dropped.len(), 2 + 2, "{done:?}");
        assert!(
            done.dropped.iter().all(|name| !name.starts_with("events")),
            "{done:?}"
        );
        let due = deliveries::load_due(&session, &[(tenant, waits.delivery), (tenant, replay)])
            .await
            .expect("read");
        assert_eq!(due.len(), 2, "both can still be attempted");
        assert_eq!(
            deliveries::attempts(&session, tenant, waits.delivery)
                .await
                .expect("read")
                .len(),
            1
        );
        assert_eq!(
            outbox::stale(&session, now, in_seconds(9), at_most(10))
                .await
                .expect("read")
                .len(),
            1
        );

        // Once they are settled, the days go.
        let settled = [
            attempted(&pending, endpoint, 2, Succeeded),
            RecordedAttempt {
                delivery: replay,
                kind: plumbline_domain::DeliveryKind::Replay,
                replay_of: Some(exhausted.delivery),
                ..attempted(&replayed, endpoint, 1, Succeeded)
            },
        ];
        deliveries::record(&session, &crate::support::batch(settled.to_vec()))
            .await
            .expect("recorded");
        outbox::delete(&session, &[(unsent.id, 0)])
            .await
            .expect("deleted");
        let done = maintain(&db, now, 7).await;
        assert_eq!((done.dropped.len(), done.kept.len()), (5, 0), "{done:?}");
    })
    .await;
}

#[tokio::test]
async fn a_busy_table_is_left_for_the_next_round() {
    with_database(async |db: Database| {
        ran_for(&db, 9).await;
        let reader = db.begin().await;
        let tenant = db.tenant().await;
        events::list(&reader, tenant, None, 1, None).await.expect("read");
        let started = std::time::Instant::now();
        let done = maintain(&db, Timestamp::now(), 7).await;
        assert_eq!((done.dropped.len(), done.kept.len()), (0, 2), "{done:?}");
        assert!(started.elapsed().as_secs() < 3, "it does not make others wait");
        drop(reader);
        // The reader's connection closes a moment later.
        for _ in 0..50 {
            if maintain(&db, Timestamp::now(), 7).await.dropped.len() == 6 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the days were never dropped");
    })
    .await;
}

#[tokio::test]
async fn an_event_outside_every_partition_is_refused() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let new = NewEvent {
            event: new_event(tenant, ago(400 * DAY)),
            lane: Lane::Fast,
            sent: true,
        };
        let refused = events::insert_batch(&db.session().await, &[new], &[]).await;
        assert!(matches!(refused, Err(StoreError::Other(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn maintenance_deletes_expired_keys() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.begin().await;
        idempotency::claim(&session, tenant, "k", &[1; 32])
            .await
            .expect("claimed");
        session.commit().await.expect("committed");
        db.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
            .await;
        assert_eq!(maintain(&db, Timestamp::now(), 30).await.expired_keys, 1);
    })
    .await;
}
