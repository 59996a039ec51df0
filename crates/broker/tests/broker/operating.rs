//! What an operator sees of a broker, and does with dead letters.

use std::collections::BTreeSet;

use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use plumbline_broker::dead::{self, Deed, RequeueError, Selection};
use plumbline_broker::inspect::{Found, Publishing, Unreachable, inspect};
use plumbline_broker::purge::{PurgeError, Purged, contents, purge};
use plumbline_broker::topology::DELIVERY_LIMIT;
use plumbline_broker::{DeadReason, EventMessage, Publisher, RetryMessage, WorkQueue};
use plumbline_domain::rate::{Held, Slot};
use plumbline_domain::{DeliveryId, TenantId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::rig::{EVENTS, Vhost, event, soon};

async fn publisher(vhost: &Vhost) -> Publisher {
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await);
    publisher
}

async fn channel(connection: &lapin::Connection) -> Channel {
    soon(connection.create_channel()).await.expect("a channel")
}

/// Somebody who consumes the retries.
async fn consumer(connection: &lapin::Connection) -> Consumer {
    channel(connection)
        .await
        .basic_consume(
            WorkQueue::Retries.name().into(),
            "tag".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .expect("consuming")
}

async fn found(vhost: &Vhost, queue: &str) -> Found {
    let inspection = soon(inspect(&vhost.config())).await.expect("inspected");
    let queue = inspection
        .queues
        .into_iter()
        .find(|inspected| inspected.name == queue);
    queue.expect("one of ours").found
}

/// Take the next message of a queue.
async fn next(channel: &Channel, queue: WorkQueue) -> Vec<u8> {
    soon(async {
        loop {
            let got = channel
                .basic_get(queue.name().into(), BasicGetOptions { no_ack: true })
                .await;
            match got.expect("an answer") {
                Some(message) => return message.delivery.data,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_inspection_tells_what_is_there_and_makes_nothing() {
    let vhost = Vhost::new();
    let empty = soon(inspect(&vhost.config())).await.expect("inspected");
    assert_eq!(empty.publishing, Publishing::Confirmed);
    assert_eq!(
        empty.missing_exchanges.len(),
        vhost.config().topology.exchanges.len()
    );
    assert!(
        empty.queues.iter().all(|queue| queue.found == Found::Missing),
        "{empty:?}"
    );
    assert_eq!(vhost.get("queues"), "[]");

    let publisher = publisher(&vhost).await;
    publisher.publish_event(&event(1)).await.expect("published");
    let present = |ready, consumers| Found::Present {
        ready,
        consumers,
        difference: None,
    };
    let sound = soon(inspect(&vhost.config())).await.expect("inspected");
    assert_eq!(sound.missing_exchanges, Vec::<String>::new());
    for queue in &sound.queues {
        let ready = u64::from(queue.name == EVENTS.name());
        assert_eq!(queue.found, present(ready, 0), "{}", queue.name);
    }
    let connection = soon(vhost.connect()).await;
    let _consumer = consumer(&connection).await;
    assert_eq!(found(&vhost, "plumbline.retries").await, present(0, 1));

    // Somebody has made a queue of another kind in the place of ours.
    vhost.delete("queues", "plumbline.fanout");
    vhost.delete("exchanges", "plumbline.work");
    vhost.put(
        &vhost.path("queues", "plumbline.fanout"),
        r#"{"durable":true,"arguments":{"x-queue-type":"classic"}}"#,
    );
    let Found::Present { difference, .. } = found(&vhost, "plumbline.fanout").await else {
        panic!("it is there")
    };
    let difference = difference.expect("it differs");
    assert!(difference.contains("inequivalent arg"), "{difference}");
    let inspection = soon(inspect(&vhost.config())).await.expect("inspected");
    assert_eq!(inspection.missing_exchanges, ["plumbline.work"]);
}

#[tokio::test]
async fn a_purge_empties_every_queue_unless_somebody_consumes() {
    let vhost = Vhost::new();
    let config = vhost.config();
    // Where there is nothing yet, all is declared.
    let purged = soon(purge(&config)).await.expect("purged");
    assert!(purged.is_empty(), "{purged:?}");
    let publisher = publisher(&vhost).await;
    publisher.publish_event(&event(1)).await.expect("published");
    let delivery = DeliveryId(event(2).event.id.0);
    let later = Timestamp::now() + std::time::Duration::from_secs(3_600);
    let retry = RetryMessage::due(TenantId(1), delivery, 2, later);
    publisher.park(retry, Timestamp::now()).await.expect("parked");
    let of = |queue: &str, messages| Purged {
        queue: queue.to_owned(),
        messages,
    };
    let full = soon(contents(&config)).await.expect("looked at");
    let names: Vec<&str> = full.iter().map(|purged| purged.queue.as_str()).collect();
    assert!(names[0].starts_with("plumbline.delay."), "{names:?}");
    assert_eq!(full[1..], [of(&EVENTS.name(), 1)]);

    let connection = soon(vhost.connect()).await;
    let consumer = consumer(&connection).await;
    let refused = soon(purge(&config)).await;
    assert!(
        matches!(&refused, Err(PurgeError::Consumed { queue }) if *queue == WorkQueue::Retries.name()),
        "{refused:?}"
    );
    assert_eq!(soon(contents(&config)).await.ok(), None, "it says the same");
    drop(consumer);
    soon(connection.close(200, "done".into())).await.expect("closed");

    let mut purged = soon(async {
        loop {
            match purge(&config).await {
                Ok(purged) => return purged,
                // The broker has not noticed the end of the consumer yet.
                Err(PurgeError::Consumed { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    assert_eq!(purged.len(), config.topology.queues.len());
    purged.retain(|purged| purged.messages > 0);
    assert_eq!(purged, full);
    let inspection = soon(inspect(&config)).await.expect("inspected");
    let empty = Found::Present {
        ready: 0,
        consumers: 0,
        difference: None,
    };
    assert!(
        inspection.queues.iter().all(|queue| queue.found == empty),
        "{inspection:?}"
    );
    assert_eq!(inspection.missing_exchanges, Vec::<String>::new());
    // Whoever published before goes on: its exchanges lead to the new queues.
    publisher.publish_event(&event(3)).await.expect("published");
    let left = soon(contents(&config)).await.expect("looked at");
    assert_eq!(left, [of(&EVENTS.name(), 1)]);
}

#[tokio::test]
async fn who_cannot_get_in_learns_why() {
    let vhost = Vhost::new();
    for (config, why) in [
        (vhost.config_as("nobody"), Unreachable::Credentials),
        (vhost.config_at("no-such-vhost"), Unreachable::VirtualHost),
    ] {
        let error = soon(inspect(&config)).await.expect_err("refused");
        assert_eq!(Unreachable::of(&error), why, "{error:?}");
    }
}

#[tokio::test]
async fn a_letter_goes_back_to_its_queue_marked_as_published_before() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let connection = soon(vhost.connect()).await;
    let channel = channel(&connection).await;
    let retry = RetryMessage {
        held: Some(Held::Slot(Slot(5))),
        ..RetryMessage::due(
            TenantId(1),
            DeliveryId(event(1).event.id.0),
            2,
            Timestamp::UNIX_EPOCH,
        )
    };
    let bodies = [
        (EVENTS, event(1).encode()),
        (WorkQueue::Retries, retry.encode()),
        (WorkQueue::Fanout, b"not JSON".to_vec()),
    ];
    for (queue, body) in bodies.clone() {
        publisher
            .dead(body.into(), "a test", queue)
            .await
            .expect("buried");
    }
    // By hand: nobody knows where it belongs.
    channel
        .basic_publish(
            "plumbline.dead".into(),
            "".into(),
            BasicPublishOptions::default(),
            b"lost",
            BasicProperties::default(),
        )
        .await
        .expect("sent");
    soon(async { while dead::count(&vhost.config()).await.expect("counted") < 4 {} }).await;
    let letters = soon(dead::peek(&vhost.config(), 10)).await.expect("letters");
    let ids: BTreeSet<&str> = letters.iter().map(|letter| &*letter.id).collect();
    assert_eq!(ids.len(), 4, "{letters:?}");
    assert_eq!(letters[0].about().events, [event(1).event.id]);

    // One by its id; the others stay as they are, in their order.
    let one = Selection::These(BTreeSet::from([
        letters[1].id.clone(),
        "0123456789abcdef".to_owned(),
    ]));
    let settled = soon(dead::settle(&vhost.config(), &one, Deed::Requeue(&publisher)))
        .await
        .expect("settled");
    assert_eq!(settled.len(), 1);
    assert_eq!((&settled[0].id, &settled[0].result), (&letters[1].id, &Ok(())));
    let again = RetryMessage::decode(&next(&channel, WorkQueue::Retries).await).expect("a retry");
    let expected = RetryMessage {
        republished: true,
        held: None,
        ..retry
    };
    assert_eq!(again, expected);
    let left = soon(dead::peek(&vhost.config(), 10)).await.expect("letters");
    let names = |letters: &[plumbline_broker::DeadLetter]| -> Vec<String> {
        letters.iter().map(|letter| letter.id.clone()).collect()
    };
    assert_eq!(
        names(&left),
        names(&[letters[0].clone(), letters[2].clone(), letters[3].clone()])
    );

    // All: what has no queue to go to stays.
    let settled = soon(dead::settle(
        &vhost.config(),
        &Selection::All,
        Deed::Requeue(&publisher),
    ))
    .await
    .expect("settled");
    let results: Vec<_> = settled.iter().map(|one| one.result.clone()).collect();
    assert_eq!(results, [Ok(()), Ok(()), Err(RequeueError::NoQueue)]);
    let again = EventMessage::decode(&next(&channel, EVENTS).await).expect("an event");
    let expected = EventMessage {
        republished: true,
        ..event(1)
    };
    assert_eq!(again, expected);
    assert_eq!(next(&channel, WorkQueue::Fanout).await, b"not JSON", "as it was");
    assert_eq!(soon(dead::count(&vhost.config())).await.expect("counted"), 1);

    let settled = soon(dead::settle(&vhost.config(), &Selection::All, Deed::Drop))
        .await
        .expect("settled");
    assert_eq!(settled.len(), 1);
    assert_eq!(soon(dead::peek(&vhost.config(), 10)).await.expect("letters"), []);
}

#[tokio::test]
async fn a_letter_stays_until_its_copy_is_confirmed() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let body = event(1).encode();
    publisher
        .dead(body.into(), "a test", EVENTS)
        .await
        .expect("buried");
    // Its queue is gone, and nobody may declare it again: this publisher has just lost its connection for good.
    let stopped = CancellationToken::new();
    let other = Publisher::spawn(vhost.config(), stopped.clone());
    assert!(soon(other.ready()).await);
    stopped.cancel();
    soon(other.closed()).await;
    let settled = soon(dead::settle(
        &vhost.config(),
        &Selection::All,
        Deed::Requeue(&other),
    ))
    .await
    .expect("settled");
    assert!(
        matches!(settled[0].result, Err(RequeueError::Publish(_))),
        "{settled:?}"
    );
    assert_eq!(soon(dead::count(&vhost.config())).await.expect("counted"), 1);
}

#[tokio::test]
async fn a_retry_that_crashed_its_consumers_says_so_and_not_that_it_waited() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let delivery = DeliveryId(event(1).event.id.0);
    let now = Timestamp::now();
    let retry = RetryMessage::due(
        TenantId(1),
        delivery,
        2,
        now + std::time::Duration::from_millis(300),
    );
    publisher.park(retry, now).await.expect("parked");
    let connection = soon(vhost.connect()).await;
    let channel = channel(&connection).await;
    let requeue = BasicNackOptions {
        multiple: false,
        requeue: true,
    };
    let mut taken = 0;
    soon(async {
        while taken <= DELIVERY_LIMIT {
            let got = channel
                .basic_get(WorkQueue::Retries.name().into(), BasicGetOptions::default())
                .await;
            if let Some(message) = got.expect("an answer") {
                taken += 1;
                channel
                    .basic_nack(message.delivery.delivery_tag, requeue)
                    .await
                    .expect("given back");
            }
        }
        while dead::count(&vhost.config()).await.expect("counted") == 0 {}
    })
    .await;
    let letters = soon(dead::peek(&vhost.config(), 10)).await.expect("letters");
    assert_eq!(letters[0].reason, DeadReason::Broker("delivery_limit".to_owned()));
    assert_eq!(letters[0].queue, Some(WorkQueue::Retries.name()));
    assert_eq!(letters[0].about().delivery, Some(delivery));
    let age = letters[0]
        .died_at
        .expect("noted")
        .duration_until(Timestamp::now());
    assert!(age.as_secs().abs() < 600, "{age:?}");
}
