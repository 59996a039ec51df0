//! What a publisher promises.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plumbline_broker::wire::BUNDLE_EVENTS_MAX;
use plumbline_broker::{
    BrokerState, Chunk, Consumer, ConsumerSpec, Disconnection, EventMessage, LinkError, PublishError,
    Publisher, RetryMessage, WorkQueue,
};
use plumbline_domain::{DeliveryId, TenantId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::rig::{EVENTS, HANGING, Vhost, event, publish_each, soon};

fn retry(not_before: Timestamp) -> RetryMessage {
    RetryMessage {
        tenant: TenantId(1),
        delivery: DeliveryId::new(Timestamp::UNIX_EPOCH, [7; 10]),
        attempt: 2,
        not_before,
        republished: false,
        held: None,
        trace: None,
    }
}

async fn publisher(vhost: &Vhost) -> Publisher {
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await);
    publisher
}

fn consumer(vhost: &Vhost, queue: WorkQueue) -> Consumer {
    let spec = ConsumerSpec {
        queue,
        prefetch: 100,
        batch_max: 100,
    };
    Consumer::spawn(vhost.config(), spec, CancellationToken::new())
}

#[tokio::test]
async fn what_is_published_arrives_where_it_belongs() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let chunk = EventMessage {
        chunk: Some(Chunk {
            number: 0,
            after: 0,
            upto: 100,
        }),
        ..event(2)
    };
    let due = retry(Timestamp::UNIX_EPOCH);
    assert_eq!(soon(publisher.publish_event(&event(1))).await, Ok(()));
    assert_eq!(soon(publisher.publish_chunk(&chunk)).await, Ok(()));
    assert_eq!(soon(publisher.publish_retry(due)).await, Ok(()));
    for (queue, body) in [
        (EVENTS, event(1).encode()),
        (WorkQueue::Fanout, chunk.encode()),
        (WorkQueue::Retries, due.encode()),
    ] {
        let mut batch = soon(consumer(&vhost, queue).recv_batch()).await.expect("a batch");
        let incoming = batch.pop().expect("a message");
        assert_eq!(
            (incoming.queue, &incoming.body[..], incoming.redelivered),
            (queue, &body[..], false)
        );
        assert!(batch.is_empty());
        incoming.ticket.ack();
    }
}

#[tokio::test]
async fn a_batch_has_a_result_for_each_and_arrives_whole() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let results = soon(publisher.publish_events((0..3_000).map(event).collect())).await;
    assert_eq!(results, vec![Ok(()); 3_000]);

    let mut consumer = consumer(&vhost, EVENTS);
    let (mut arrived, mut messages) = (BTreeSet::new(), 0);
    while arrived.len() < 3_000 {
        for incoming in soon(consumer.recv_batch()).await.expect("a batch") {
            let events = EventMessage::decode_all(&incoming.body).expect("events");
            arrived.extend(events.iter().map(EventMessage::encode));
            incoming.ticket.ack();
            messages += 1;
        }
    }
    assert_eq!(arrived, (0..3_000).map(|n| event(n).encode()).collect());
    assert_eq!(
        messages,
        3_000_usize.div_ceil(BUNDLE_EVENTS_MAX),
        "as few as may be"
    );
    assert_eq!(soon(publisher.publish_events(vec![])).await, vec![]);
}

/// The wait that the domain asks for is the wait that the broker keeps: to the queue and back in one hop.
#[tokio::test]
async fn a_parked_message_comes_back_whole_and_not_early() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let mut consumer = consumer(&vhost, WorkQueue::Retries);
    assert!(soon(consumer.handle().ready()).await);
    for (wait_ms, bucket_ms) in [(0, 0), (20, 0), (200, 250), (900, 1_000)] {
        let now = Timestamp::now();
        let parked = retry(now + Duration::from_millis(wait_ms));
        let start = Instant::now();
        assert_eq!(soon(publisher.park(parked, now)).await, Ok(()));
        let mut batch = soon(consumer.recv_batch()).await.expect("a batch");
        let waited = start.elapsed();
        let incoming = batch.pop().expect("a message");
        assert_eq!(&incoming.body[..], &parked.encode()[..]);
        incoming.ticket.ack();
        assert!(
            waited >= Duration::from_millis(bucket_ms),
            "{wait_ms} ms: back after {waited:?}"
        );
        assert!(
            waited < Duration::from_millis(bucket_ms) + HANGING / 4,
            "{wait_ms} ms: back after {waited:?}"
        );
    }
}

#[tokio::test]
async fn an_unroutable_message_is_an_error_and_the_publisher_recovers() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let mut states = publisher.on_state_change();
    states.mark_unchanged();
    vhost.delete("queues", &EVENTS.name());
    assert_eq!(
        soon(publisher.publish_event(&event(1))).await,
        Err(PublishError::Unroutable)
    );
    let unroutable = |state: &BrokerState| matches!(state, BrokerState::Disconnected(Disconnection::Failed(error)) if matches!(**error, LinkError::Unroutable));
    soon(states.wait_for(unroutable)).await.expect("the task lives");
    assert!(soon(publisher.ready()).await);
    assert_eq!(soon(publisher.publish_event(&event(1))).await, Ok(()));
}

/// The broker may return one message and confirm it together with others.
#[tokio::test]
async fn only_the_unroutable_message_of_a_batch_is_called_unroutable() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    vhost.delete("queues", &WorkQueue::Retries.name());
    let events = publish_each(&publisher, (0..500).map(event));
    let (events, retry) =
        soon(async { tokio::join!(events, publisher.publish_retry(retry(Timestamp::UNIX_EPOCH))) }).await;
    assert_eq!(retry, Err(PublishError::Unroutable));
    let wrong = events
        .iter()
        .filter(|result| matches!(result, Err(PublishError::Unroutable)))
        .count();
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn a_missing_exchange_is_an_error_and_the_publisher_recovers() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let mut states = publisher.on_state_change();
    states.mark_unchanged();
    vhost.delete("exchanges", "plumbline.work");
    let results = soon(publish_each(&publisher, (0..200).map(event))).await;
    assert!(
        results
            .iter()
            .all(|result| *result == Err(PublishError::Disconnected)),
        "{results:?}"
    );
    soon(states.wait_for(BrokerState::is_disconnected))
        .await
        .expect("the task lives");
    assert!(soon(publisher.ready()).await);
    assert_eq!(soon(publisher.publish_event(&event(1))).await, Ok(()));
}

#[tokio::test]
async fn a_full_queue_refuses_and_the_connection_stays() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    vhost.put_policy(
        "full",
        r#"{"pattern":"^plumbline\\.fanout$","definition":{"max-length":1},"apply-to":"queues"}"#,
    );
    let mut refused = None;
    for n in 0..1_000 {
        // The policy takes effect, and the queue notices that it is full, in their own time.
        if let Err(error) = soon(publisher.publish_chunk(&event(n))).await {
            refused = Some(error);
            break;
        }
    }
    assert_eq!(refused, Some(PublishError::Nacked));
    assert_eq!(soon(publisher.publish_event(&event(1))).await, Ok(()));
}

#[tokio::test]
async fn a_shutdown_confirms_what_was_taken_and_takes_nothing_more() {
    let vhost = Vhost::new();
    let shutdown = CancellationToken::new();
    let publisher = Publisher::spawn(vhost.config(), shutdown.clone());
    assert!(soon(publisher.ready()).await);
    let batch = {
        let publisher = publisher.clone();
        tokio::spawn(async move { publish_each(&publisher, (0..2_000).map(event)).await })
    };
    // One that was taken after the batch began; then the end.
    tokio::task::yield_now().await;
    assert_eq!(soon(publisher.publish_event(&event(9_999))).await, Ok(()));
    shutdown.cancel();
    let results = soon(batch).await.expect("no panic");
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(()) | Err(PublishError::ShuttingDown))),
        "{results:?}"
    );
    assert_eq!(
        soon(publisher.publish_event(&event(1))).await,
        Err(PublishError::ShuttingDown)
    );
    soon(publisher.closed()).await;
    assert!(!publisher.is_ready());
}

#[tokio::test]
async fn a_publisher_that_nobody_holds_any_more_ends() {
    let vhost = Vhost::new();
    let publisher = publisher(&vhost).await;
    let mut states = publisher.on_state_change();
    drop(publisher);
    let ended = |state: &BrokerState| matches!(state, BrokerState::Disconnected(Disconnection::ShutDown));
    soon(states.wait_for(ended)).await.expect("the last word");
}

#[tokio::test]
async fn without_a_broker_every_publish_is_refused_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    // It accepts connections and never says a word.
    let url = format!("amqp://user:password@{address}/%2f");
    let topology = plumbline_broker::Topology::new(std::num::NonZeroU16::MIN);
    let mut config = plumbline_broker::BrokerConfig::new(url.parse().expect("a URL"), "test", topology);
    config.connect_timeout = Duration::from_millis(100);
    let shutdown = CancellationToken::new();
    let publisher = Publisher::spawn(config, shutdown.clone());
    let mut states = publisher.on_state_change();
    assert_eq!(
        soon(publisher.publish_event(&event(1))).await,
        Err(PublishError::Disconnected)
    );
    let timed_out = |state: &BrokerState| matches!(state, BrokerState::Disconnected(Disconnection::Failed(error)) if matches!(**error, LinkError::ConnectTimeout { .. }));
    soon(states.wait_for(timed_out)).await.expect("the task lives");
    assert_eq!(
        soon(publisher.publish_event(&event(1))).await,
        Err(PublishError::Disconnected)
    );
    shutdown.cancel();
    soon(publisher.closed()).await;
}
