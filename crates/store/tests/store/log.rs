//! The delivery log's filters.

use plumbline_domain::DeliveryStatus::{Exhausted, Failed, Pending, Skipped, Succeeded};
use plumbline_domain::{DeliveryId, DeliveryStatus, Timestamp};
use plumbline_store::deliveries::{self, DeliveryFilter, RecordedAttempt};

use crate::support::*;

#[tokio::test]
async fn deliveries_are_listed_newest_first_by_every_filter() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let (endpoint, other) = (db.endpoint(tenant).await.id, db.endpoint(tenant).await.id);
        let session = db.session().await;
        let statuses = [Succeeded, Pending, Failed, Exhausted, Skipped, Succeeded];
        let mut ids: Vec<DeliveryId> = vec![];
        let mut events = vec![];
        for (index, status) in statuses.into_iter().enumerate() {
            let age = 600 - 100 * u64::try_from(index).expect("small");
            let mut event = new_event(tenant, ago(age));
            if index == 0 {
                event.event_type = "contact.created".parse().expect("a type");
            }
            let outcome = match status {
                Skipped => unattempted(&event, endpoint, 1, status),
                _ => attempted(&event, endpoint, 1, status),
            };
            let outcome = RecordedAttempt {
                created_at: ago(age - 1),
                ..outcome
            };
            ids.insert(0, outcome.delivery);
            let elsewhere = attempted(&event, other, 1, status_elsewhere(status));
            deliveries::record(&session, &batch(vec![outcome, elsewhere]))
                .await
                .expect("recorded");
            events.insert(0, event);
        }
        let list = async |filter: DeliveryFilter| {
            let page = deliveries::list(&session, tenant, endpoint, &filter)
                .await
                .expect("read");
            page.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
        };
        let all = DeliveryFilter {
            limit: 10,
            ..DeliveryFilter::default()
        };
        assert_eq!(list(all.clone()).await, ids);
        assert_eq!(
            list(DeliveryFilter {
                limit: 2,
                ..all.clone()
            })
            .await,
            ids[..2]
        );
        assert_eq!(
            list(DeliveryFilter {
                before: Some(ids[3]),
                ..all.clone()
            })
            .await,
            ids[4..]
        );
        for status in DeliveryStatus::ALL {
            let expected: Vec<_> = statuses
                .iter()
                .rev()
                .zip(&ids)
                .filter(|(s, _)| **s == status)
                .collect();
            let expected: Vec<_> = expected.into_iter().map(|(_, id)| *id).collect();
            assert_eq!(
                list(DeliveryFilter {
                    status: Some(status),
                    ..all.clone()
                })
                .await,
                expected,
                "{status:?}"
            );
        }
        let contact = Some("contact.created".parse().expect("a type"));
        assert_eq!(
            list(DeliveryFilter {
                event_type: contact,
                ..all.clone()
            })
            .await,
            ids[5..]
        );
        assert_eq!(
            list(DeliveryFilter {
                since: Some(ago(250)),
                ..all.clone()
            })
            .await,
            ids[..2]
        );
        assert_eq!(
            list(DeliveryFilter {
                until: Some(ago(450)),
                ..all.clone()
            })
            .await,
            ids[4..]
        );
        let between = DeliveryFilter {
            since: Some(ago(450)),
            until: Some(ago(250)),
            ..all.clone()
        };
        assert_eq!(list(between).await, ids[2..4]);
        let neighbour = db.tenant().await;
        assert_eq!(
            deliveries::list(&session, neighbour, endpoint, &all)
                .await
                .expect("read"),
            []
        );

        // An event's deliveries: its own and its replays.
        let of_event = DeliveryFilter {
            event: Some(events[2].id),
            ..all.clone()
        };
        assert_eq!(list(of_event.clone()).await, [ids[2]]);
        let now = Timestamp::now();
        let replay = DeliveryId::new(now, rand::random());
        let made = accept_and_replay(&db, tenant, ids[2], replay, now).await;
        assert!(made, "the event must exist to be replayed");
        assert_eq!(list(of_event.clone()).await, [replay, ids[2]]);
        assert_eq!(
            list(DeliveryFilter {
                before: Some(replay),
                ..of_event.clone()
            })
            .await,
            [ids[2]]
        );
        assert_eq!(
            list(DeliveryFilter {
                status: Some(Pending),
                ..of_event.clone()
            })
            .await,
            [replay]
        );
        assert_eq!(
            list(DeliveryFilter {
                until: Some(ago(100)),
                ..of_event
            })
            .await,
            [ids[2]]
        );
    })
    .await;
}

fn status_elsewhere(status: DeliveryStatus) -> DeliveryStatus {
    if status == Succeeded { Exhausted } else { Succeeded }
}

/// Accept the event late, then replay.
async fn accept_and_replay(
    db: &Database,
    tenant: plumbline_domain::TenantId,
    original: DeliveryId,
    id: DeliveryId,
    now: Timestamp,
) -> bool {
    let session = db.session().await;
    let delivery = deliveries::get(&session, tenant, original)
        .await
        .expect("read")
        .expect("there");
    let mut event = new_event(tenant, now);
    event.id = delivery.event;
    plumbline_store::events::insert_one(&session, &event)
        .await
        .expect("inserted");
    deliveries::insert_replay(&session, tenant, original, id, now)
        .await
        .expect("asked")
        .is_some()
}

#[tokio::test]
async fn a_delivery_that_was_recorded_late_is_found_by_the_time_of_its_record() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        // Accepted an hour ago, fanned out only now.
        let event = new_event(tenant, ago(3_600));
        let outcome = attempted(&event, endpoint, 1, Succeeded);
        deliveries::record(&session, &batch(vec![outcome.clone()]))
            .await
            .expect("recorded");
        let filter = DeliveryFilter {
            since: Some(ago(60)),
            limit: 10,
            ..DeliveryFilter::default()
        };
        assert_eq!(
            deliveries::list(&session, tenant, endpoint, &filter)
                .await
                .expect("read")
                .len(),
            1
        );
        let filter = DeliveryFilter {
            until: Some(ago(60)),
            limit: 10,
            ..DeliveryFilter::default()
        };
        assert_eq!(
            deliveries::list(&session, tenant, endpoint, &filter)
                .await
                .expect("read")
                .len(),
            0
        );
    })
    .await;
}
