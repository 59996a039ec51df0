//! What a consumer promises.

use plumbline_broker::{
    BrokerState, Consumer, ConsumerGroup, ConsumerSpec, DeadReason, Depths, Disconnection, Publisher,
    WorkQueue, dead,
};
use tokio_util::sync::CancellationToken;

use crate::rig::{EVENTS, Vhost, event, publish_each, soon};

const SPEC: ConsumerSpec = ConsumerSpec {
    queue: EVENTS,
    prefetch: 10,
    batch_max: 100,
};

async fn publish(vhost: &Vhost, count: u64) {
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await);
    let results = soon(publish_each(&publisher, (0..count).map(event))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

fn consume(vhost: &Vhost) -> Consumer {
    Consumer::spawn(vhost.config(), SPEC, CancellationToken::new())
}

/// Wait until the queue has exactly so many messages. The broker reports a settlement a moment after it.
async fn left(vhost: &Vhost, expected: u64) {
    let depths = Depths::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(depths.connected()).await);
    soon(async { while depths.ready(EVENTS).await != Ok(expected) {} }).await;
}

#[tokio::test]
async fn what_is_acknowledged_is_gone_and_what_is_not_comes_back() {
    let vhost = Vhost::new();
    publish(&vhost, 3).await;
    let mut consumer = consume(&vhost);
    let mut batch = Vec::new();
    while batch.len() < 3 {
        batch.extend(soon(consumer.recv_batch()).await.expect("a batch"));
    }
    let mut batch = batch.into_iter();
    batch.next().expect("the first").ticket.ack();
    batch.next().expect("the second").ticket.requeue();
    drop(batch.next().expect("the third"));
    let mut again = Vec::new();
    while again.len() < 2 {
        for incoming in soon(consumer.recv_batch()).await.expect("a batch") {
            assert!(incoming.redelivered);
            assert_eq!(incoming.delivery_count, Some(1));
            again.push(incoming.body.to_vec());
            incoming.ticket.ack();
        }
    }
    again.sort();
    assert_eq!(again, [event(1).encode(), event(2).encode()]);
    let handle = consumer.handle();
    drop(consumer);
    soon(handle.closed()).await;
    left(&vhost, 0).await;
}

#[tokio::test]
async fn the_prefetch_bounds_what_is_handed_out() {
    let vhost = Vhost::new();
    publish(&vhost, 50).await;
    let mut consumer = consume(&vhost);
    let mut held = Vec::new();
    while held.len() < 10 {
        held.extend(soon(consumer.recv_batch()).await.expect("a batch"));
    }
    assert_eq!(held.len(), 10);
    // Nothing more until something is settled: an eleventh would be here with the tenth, and a settled one
    // brings exactly one.
    let waiting = futures_util::FutureExt::now_or_never(consumer.recv_batch());
    assert!(waiting.is_none());
    held.pop().expect("one").ticket.ack();
    assert_eq!(soon(consumer.recv_batch()).await.expect("a batch").len(), 1);
    consumer.handle().close();
}

#[tokio::test]
async fn a_batch_has_no_more_than_was_asked_for() {
    let vhost = Vhost::new();
    publish(&vhost, 10).await;
    let spec = ConsumerSpec { batch_max: 4, ..SPEC };
    let mut consumer = Consumer::spawn(vhost.config(), spec, CancellationToken::new());
    let mut count = 0;
    while count < 10 {
        let batch = soon(consumer.recv_batch()).await.expect("a batch");
        assert!((1..=4).contains(&batch.len()), "{}", batch.len());
        count += batch.len();
        batch.into_iter().for_each(|incoming| incoming.ticket.ack());
    }
}

#[tokio::test]
async fn a_shutdown_hands_out_nothing_more_and_waits_for_the_tickets() {
    let vhost = Vhost::new();
    publish(&vhost, 30).await;
    let shutdown = CancellationToken::new();
    let mut consumer = Consumer::spawn(vhost.config(), SPEC, shutdown.clone());
    let mut held = Vec::new();
    while held.len() < 10 {
        held.extend(soon(consumer.recv_batch()).await.expect("a batch"));
    }
    shutdown.cancel();
    assert!(soon(consumer.recv_batch()).await.is_none());
    let handle = consumer.handle();
    for incoming in held.drain(..) {
        assert!(
            futures_util::FutureExt::now_or_never(handle.closed()).is_none(),
            "closed before its tickets"
        );
        incoming.ticket.ack();
    }
    soon(handle.closed()).await;
    assert!(soon(consumer.recv_batch()).await.is_none());
    left(&vhost, 20).await;
}

/// A goodbye must not overtake them, many single frames though they are.
#[tokio::test]
async fn the_last_acknowledgements_before_the_end_count() {
    let vhost = Vhost::new();
    publish(&vhost, 300).await;
    let shutdown = CancellationToken::new();
    let spec = ConsumerSpec {
        prefetch: 300,
        ..SPEC
    };
    let mut consumer = Consumer::spawn(vhost.config(), spec, shutdown.clone());
    let mut held = Vec::new();
    while held.len() < 300 {
        held.extend(soon(consumer.recv_batch()).await.expect("a batch"));
    }
    shutdown.cancel();
    let oldest = held.remove(0);
    for incoming in held {
        incoming.ticket.ack();
        // One at a time, and none up to the oldest.
        tokio::task::yield_now().await;
    }
    oldest.ticket.ack();
    soon(consumer.handle().closed()).await;
    left(&vhost, 0).await;
}

#[tokio::test]
async fn closing_does_not_wait_and_late_tickets_do_nothing() {
    let vhost = Vhost::new();
    publish(&vhost, 3).await;
    let mut consumer = consume(&vhost);
    let mut held = Vec::new();
    while held.len() < 3 {
        held.extend(soon(consumer.recv_batch()).await.expect("a batch"));
    }
    let handle = consumer.handle();
    handle.close();
    soon(handle.closed()).await;
    held.into_iter().for_each(|incoming| incoming.ticket.ack());
    left(&vhost, 3).await;
    assert!(soon(consumer.recv_batch()).await.is_none());
}

#[tokio::test]
async fn a_group_shares_a_connection_and_a_dropped_inbox_stops_only_its_queue() {
    let vhost = Vhost::new();
    let fanout = ConsumerSpec {
        queue: WorkQueue::Fanout,
        ..SPEC
    };
    let inboxes = ConsumerGroup::spawn(vhost.config(), vec![SPEC, fanout], CancellationToken::new());
    let [mut events, fanout] = <[_; 2]>::try_from(inboxes).expect("two");
    assert!(soon(events.handle().ready()).await);
    drop(fanout);
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await);
    assert_eq!(soon(publisher.publish_event(&event(1))).await, Ok(()));
    let batch = soon(events.recv_batch()).await.expect("a batch");
    batch.into_iter().for_each(|incoming| incoming.ticket.ack());
    let handle = events.handle();
    drop(events);
    soon(handle.closed()).await;
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again_and_consumed() {
    let vhost = Vhost::new();
    let mut consumer = consume(&vhost);
    assert!(soon(consumer.handle().ready()).await);
    vhost.delete("queues", &EVENTS.name());
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await);
    let publishing = tokio::spawn(async move { publisher.publish_event(&event(1)).await });
    let batch = soon(consumer.recv_batch()).await.expect("a batch");
    assert_eq!(batch.len(), 1);
    batch.into_iter().for_each(|incoming| incoming.ticket.ack());
    assert_eq!(soon(publishing).await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn a_dead_letter_has_its_reason_and_its_queue() {
    let vhost = Vhost::new();
    publish(&vhost, 1).await;
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await);
    let mut consumer = consume(&vhost);
    let mut batch = soon(consumer.recv_batch()).await.expect("a batch");
    let incoming = batch.pop().expect("one");
    assert_eq!(
        soon(publisher.bury(incoming, "unknown message version 9")).await,
        Ok(())
    );
    let handle = consumer.handle();
    drop(consumer);
    soon(handle.closed()).await;
    // Twice: looking changes nothing.
    for _ in 0..2 {
        let letters = soon(dead::peek(&vhost.config(), 10)).await.expect("letters");
        let [letter] = &letters[..] else {
            panic!("{letters:?}")
        };
        assert_eq!(
            letter.reason,
            DeadReason::Consumer("unknown message version 9".into())
        );
        assert_eq!(letter.queue.as_deref(), Some(&*EVENTS.name()));
        assert_eq!(&letter.body[..], &event(0).encode()[..]);
    }
    left(&vhost, 0).await;
}

#[tokio::test]
async fn a_message_that_always_comes_back_is_buried_by_the_broker() {
    let vhost = Vhost::new();
    publish(&vhost, 1).await;
    let depths = Depths::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(depths.connected()).await);
    let mut consumer = consume(&vhost);
    let mut deliveries = 0;
    let buried = async {
        while depths.dead().await == Ok(0) {
            tokio::task::yield_now().await;
        }
    };
    let requeueing = async {
        while let Some(batch) = consumer.recv_batch().await {
            for incoming in batch {
                deliveries += 1;
                incoming.ticket.requeue();
            }
        }
    };
    soon(async {
        tokio::select! { () = buried => {}, () = requeueing => panic!("the consumer ended") }
    })
    .await;
    assert_eq!(deliveries, 51);
    let letters = soon(dead::peek(&vhost.config(), 10)).await.expect("letters");
    let [letter] = &letters[..] else {
        panic!("{letters:?}")
    };
    assert_eq!(letter.reason, DeadReason::Broker("delivery_limit".into()));
    assert_eq!(letter.queue.as_deref(), Some(&*EVENTS.name()));
}

#[tokio::test]
async fn a_shut_down_consumer_says_so() {
    let vhost = Vhost::new();
    let shutdown = CancellationToken::new();
    let consumer = Consumer::spawn(vhost.config(), SPEC, shutdown.clone());
    let mut states = consumer.handle().on_state_change();
    assert!(soon(consumer.handle().ready()).await);
    shutdown.cancel();
    let ended = |state: &BrokerState| matches!(state, BrokerState::Disconnected(Disconnection::ShutDown));
    soon(states.wait_for(ended)).await.expect("the last word");
    assert!(!soon(consumer.handle().ready()).await);
}
