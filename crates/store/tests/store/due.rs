//! What is pending: loaded for its next attempt, found when it was forgotten.

use plumbline_domain::{DeliveryId, DeliveryStatus, TenantId, Timestamp};
use plumbline_store::deliveries::{self, RecordedAttempt};
use plumbline_store::endpoints;

use crate::support::*;

#[tokio::test]
async fn a_due_delivery_comes_with_its_event_and_endpoint() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (kept, deleted) = (db.endpoint(tenant).await, db.endpoint(tenant).await);
        let (event, done) = (db.event(tenant).await, db.event(tenant).await);
        let session = db.session().await;
        let outcomes = vec![
            attempted(&event, kept.id, 1, DeliveryStatus::Pending),
            attempted(&event, deleted.id, 1, DeliveryStatus::Pending),
            attempted(&done, kept.id, 1, DeliveryStatus::Succeeded),
        ];
        deliveries::record(&session, &batch(outcomes.clone()))
            .await
            .expect("recorded");
        endpoints::delete(&session, tenant, deleted.id)
            .await
            .expect("deleted");

        let mut wanted: Vec<(TenantId, DeliveryId)> = outcomes
            .iter()
            .map(|outcome| (tenant, outcome.delivery))
            .collect();
        wanted.push((tenant, DeliveryId::new(Timestamp::now(), [1; 10])));
        let mut due = deliveries::load_due(&session, &wanted).await.expect("read");
        due.sort_by_key(|due| due.delivery.endpoint);
        assert_eq!(due.len(), 2, "what is settled or unknown is not due");
        assert!(
            due.iter()
                .all(|due| due.event == event && due.delivery.attempt_count == 1)
        );
        assert_eq!(due[0].endpoint.as_ref().map(|found| &found.endpoint), Some(&kept));
        assert_eq!(due[1].endpoint, None);

        let neighbour = db.tenant().await;
        let foreign: Vec<_> = wanted
            .iter()
            .map(|(_, delivery)| (neighbour, *delivery))
            .collect();
        assert_eq!(deliveries::load_due(&session, &foreign).await.expect("read"), []);
        assert_eq!(deliveries::load_due(&session, &[]).await.expect("read"), []);
    })
    .await;
}

#[tokio::test]
async fn a_redelivered_message_learns_what_exists() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (one, two) = (db.endpoint(tenant).await, db.endpoint(tenant).await);
        let event = db.event(tenant).await;
        let session = db.session().await;
        let outcome = attempted(&event, one.id, 1, DeliveryStatus::Pending);
        deliveries::record(&session, &batch(vec![outcome.clone()]))
            .await
            .expect("recorded");
        let ids = [one.id, two.id].map(|endpoint| DeliveryId::derive(event.id, endpoint));
        let existing = deliveries::existing(&session, tenant, event.id, &ids)
            .await
            .expect("read");
        assert_eq!(existing.len(), 1);
        assert_eq!((existing[0].delivery, existing[0].attempt_count), (ids[0], 1));
        assert_eq!(existing[0].next_attempt_at, outcome.next_attempt_at);
        let neighbour = db.tenant().await;
        assert_eq!(
            deliveries::existing(&session, neighbour, event.id, &ids)
                .await
                .expect("read"),
            []
        );
    })
    .await;
}

#[tokio::test]
async fn the_sweep_finds_the_longest_overdue_first_and_leaves_them_alone_then() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        assert_eq!(
            deliveries::pending_stats(&session)
                .await
                .expect("read")
                .oldest_overdue,
            None
        );
        let mut due = vec![];
        for seconds in [10, 300, 60] {
            let event = db.event(tenant).await;
            let outcome = RecordedAttempt {
                next_attempt_at: Some(ago(seconds)),
                ..attempted(&event, endpoint, 2, DeliveryStatus::Pending)
            };
            due.push((
                tenant,
                outcome.delivery,
                3_u16,
                outcome.next_attempt_at.expect("pending"),
            ));
            deliveries::record(&session, &batch(vec![outcome]))
                .await
                .expect("recorded");
        }
        let overdue = async |limit| deliveries::overdue(&session, ago(30), limit).await.expect("read");
        assert_eq!(overdue(10).await, [due[1], due[2]]);
        assert_eq!(overdue(1).await, [due[1]]);
        let late = deliveries::pending_stats(&session)
            .await
            .expect("read")
            .oldest_overdue
            .expect("overdue");
        assert!((299..400).contains(&late.as_secs()), "{late:?}");

        let moved_on = (due[2].0, due[2].1, 2, due[2].3);
        let touched = deliveries::touch_overdue(&session, &[due[1], moved_on], in_seconds(300)).await;
        assert_eq!(touched.expect("touched"), 1);
        assert_eq!(overdue(10).await, [due[2]]);
    })
    .await;
}
