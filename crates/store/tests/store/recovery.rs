//! Replays, recovery and test deliveries.

use plumbline_domain::DeliveryStatus::{Exhausted, Failed, Pending, Skipped, Succeeded};
use plumbline_domain::{DeliveryId, DeliveryKind, DeliveryStatus, Event, TenantId, Timestamp};
use plumbline_store::deliveries::{self, RecordedAttempt};
use plumbline_store::{StoreError, events};

use crate::support::*;

#[tokio::test]
async fn a_replay_is_a_new_pending_delivery_of_the_same_event() {
    with_database(async |db: Database| {
        let (tenant, neighbour) = (db.tenant().await, db.tenant().await);
        let endpoint = db.endpoint(tenant).await.id;
        let event = db.event(tenant).await;
        let session = db.session().await;
        let outcome = attempted(&event, endpoint, 1, Exhausted);
        deliveries::record(&session, &batch(vec![outcome.clone()]))
            .await
            .expect("recorded");
        let now = micros(Timestamp::now());
        let id = DeliveryId::new(now, rand::random());
        let replay = async |tenant: TenantId, original| {
            deliveries::insert_replay(&session, tenant, original, id, now).await
        };
        assert_eq!(replay(neighbour, outcome.delivery).await.expect("asked"), None);
        let made = replay(tenant, outcome.delivery)
            .await
            .expect("asked")
            .expect("made");
        assert_eq!((made.id, made.event, made.endpoint), (id, event.id, endpoint));
        assert_eq!(
            (made.kind, made.status, made.attempt_count),
            (DeliveryKind::Replay, Pending, 0)
        );
        assert_eq!(
            (made.next_attempt_at, made.replay_of),
            (Some(now), Some(outcome.delivery))
        );
        assert!(matches!(
            replay(tenant, outcome.delivery).await,
            Err(StoreError::Conflict { .. })
        ));
        assert_eq!(
            replay(tenant, DeliveryId::new(now, [9; 10]))
                .await
                .expect("asked"),
            None
        );

        db.execute("DELETE FROM events").await;
        let id = DeliveryId::new(now, rand::random());
        let past = deliveries::insert_replay(&session, tenant, outcome.delivery, id, now).await;
        assert_eq!(past.expect("asked"), None, "the event is past retention");
    })
    .await;
}

#[tokio::test]
async fn a_test_delivery_is_due_at_once() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        let now = micros(Timestamp::now());
        let event = events::insert_one(&session, &new_event(tenant, now))
            .await
            .expect("asked")
            .expect("made");
        let id = DeliveryId::derive(event.id, endpoint);
        let made = deliveries::insert_test(&session, tenant, &event, endpoint, id, now)
            .await
            .expect("made");
        assert_eq!(
            (made.kind, made.status, made.next_attempt_at),
            (DeliveryKind::Test, Pending, Some(now))
        );
        let due = deliveries::load_due(&session, &[(tenant, id)])
            .await
            .expect("read");
        assert_eq!((due.len(), &due[0].event), (1, &event));
    })
    .await;
}

/// Deliveries of one endpoint, and what recovering it sends.
struct Scene<'a> {
    db: &'a Database,
    tenant: TenantId,
    endpoint: plumbline_domain::EndpointId,
}

impl Scene<'_> {
    async fn delivery(&self, status: DeliveryStatus) -> (Event, DeliveryId) {
        let event = self.db.event(self.tenant).await;
        let outcome = match status {
            Skipped => unattempted(&event, self.endpoint, 1, status),
            _ => attempted(&event, self.endpoint, 1, status),
        };
        deliveries::record(&self.db.session().await, &batch(vec![outcome.clone()]))
            .await
            .expect("recorded");
        (event, outcome.delivery)
    }

    async fn replay(&self, original: DeliveryId, event: &Event, status: DeliveryStatus) -> DeliveryId {
        let session = self.db.session().await;
        let now = micros(Timestamp::now());
        let id = DeliveryId::new(now, rand::random());
        deliveries::insert_replay(&session, self.tenant, original, id, now)
            .await
            .expect("asked")
            .expect("made");
        if status != Pending {
            let outcome = RecordedAttempt {
                delivery: id,
                kind: DeliveryKind::Replay,
                replay_of: Some(original),
                ..attempted(event, self.endpoint, 1, status)
            };
            deliveries::record(&session, &batch(vec![outcome]))
                .await
                .expect("recorded");
        }
        id
    }

    /// The deliveries that a recovery repeats.
    async fn recover(&self, since: Timestamp, until: Timestamp, limit: usize) -> Vec<DeliveryId> {
        let session = self.db.begin().await;
        let (tenant, endpoint) = (self.tenant, self.endpoint);
        let counted = deliveries::count_recoverable(&session, tenant, endpoint, since, until, limit).await;
        let now = micros(Timestamp::now());
        let made = deliveries::recover(&session, tenant, endpoint, since, until, limit, now)
            .await
            .expect("made");
        assert_eq!(
            counted.expect("counted"),
            made.len(),
            "a dry run counts what a real one sends"
        );
        let mut repeated = vec![];
        for id in made {
            let row = deliveries::get(&session, tenant, id)
                .await
                .expect("read")
                .expect("there");
            assert_eq!(
                (row.kind, row.status, row.next_attempt_at),
                (DeliveryKind::Replay, Pending, Some(now))
            );
            repeated.push(row.replay_of.expect("a replay"));
        }
        session.commit().await.expect("committed");
        repeated.sort_unstable();
        repeated
    }
}

#[tokio::test]
async fn recovery_sends_each_missed_event_once() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let scene = Scene {
            db: &db,
            tenant,
            endpoint: db.endpoint(tenant).await.id,
        };
        let (_, failed) = scene.delivery(Failed).await;
        let (_, exhausted) = scene.delivery(Exhausted).await;
        let (_, skipped) = scene.delivery(Skipped).await;
        scene.delivery(Succeeded).await;
        scene.delivery(Pending).await;
        // Failed, then replayed with success or still on its way: not missed.
        for status in [Succeeded, Pending] {
            let (event, original) = scene.delivery(Exhausted).await;
            scene.replay(original, &event, status).await;
        }
        // Failed, and so did its replay: missed once, by the newest.
        let (event, original) = scene.delivery(Exhausted).await;
        let failed_replay = scene.replay(original, &event, Exhausted).await;
        // Succeeded, then replayed without success: it arrived.
        let (event, original) = scene.delivery(Succeeded).await;
        scene.replay(original, &event, Exhausted).await;
        // A failed test is not missed.
        let session = db.session().await;
        let test = events::insert_one(&session, &new_event(tenant, Timestamp::now()))
            .await
            .expect("asked");
        let test = RecordedAttempt {
            kind: DeliveryKind::Test,
            ..attempted(&test.expect("made"), scene.endpoint, 1, Exhausted)
        };
        // Neither is what another endpoint missed.
        let elsewhere = db.endpoint(tenant).await.id;
        let elsewhere = attempted(&db.event(tenant).await, elsewhere, 1, Exhausted);
        deliveries::record(&session, &batch(vec![test, elsewhere]))
            .await
            .expect("recorded");

        let mut missed = vec![failed, exhausted, skipped, failed_replay];
        missed.sort_unstable();
        let (since, until) = (ago(60), in_seconds(1));
        assert_eq!(scene.recover(ago(120), since, 100).await, [], "another time");
        assert_eq!(
            scene.recover(until, in_seconds(60), 100).await,
            [],
            "another time"
        );
        let two = scene.recover(since, until, 2).await;
        assert_eq!(two.len(), 2);
        let rest = scene.recover(since, until, 100).await;
        assert_eq!(rest.len(), 2);
        let mut all = [two, rest].concat();
        all.sort_unstable();
        assert_eq!(all, missed);
        assert_eq!(scene.recover(since, until, 100).await, [], "all are on their way");

        let neighbour = db.tenant().await;
        let foreign = Scene {
            tenant: neighbour,
            ..scene
        };
        assert_eq!(foreign.recover(since, until, 100).await, []);
    })
    .await;
}

#[tokio::test]
async fn two_recoveries_at_once_send_nothing_twice() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let scene = Scene {
            db: &db,
            tenant,
            endpoint: db.endpoint(tenant).await.id,
        };
        for _ in 0..20 {
            scene.delivery(Exhausted).await;
        }
        let recover = async || {
            let session = db.begin().await;
            let (endpoint, now) = (scene.endpoint, Timestamp::now());
            let made =
                deliveries::recover(&session, tenant, endpoint, ago(60), in_seconds(1), 100, now).await;
            session.commit().await.expect("committed");
            made.expect("recovered").len()
        };
        let (one, two) = tokio::join!(recover(), recover());
        assert_eq!(one + two, 20);
    })
    .await;
}
