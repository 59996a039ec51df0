//! How deep the queues are.

use std::time::Duration;

use plumbline_broker::{Depths, Publisher, QuietWatch, Scope, WorkQueue};
use tokio_util::sync::CancellationToken;

use crate::rig::{EVENTS, Vhost, event, publish_each, soon};

#[tokio::test]
async fn a_depth_is_the_number_of_waiting_messages() {
    let vhost = Vhost::new();
    let publisher = Publisher::spawn(vhost.config(), CancellationToken::new());
    let depths = Depths::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(publisher.ready()).await && soon(depths.connected()).await);
    let results = soon(publish_each(&publisher, (0..5).map(event))).await;
    assert!(results.iter().all(Result::is_ok));
    let mut watch = QuietWatch::new(depths.clone(), Scope::Events, 10);
    // The broker updates what it reports a moment after the confirm.
    soon(async { while watch.observe().await != Ok(5) {} }).await;
    assert_eq!(soon(depths.ready(EVENTS)).await, Ok(5));
    assert_eq!(soon(depths.ready(WorkQueue::Retries)).await, Ok(0));
    assert_eq!(soon(depths.events_total()).await, Ok(5));
    assert!(!watch.is_quiet(Duration::from_secs(60)));
}

#[tokio::test]
async fn a_missing_queue_is_no_answer_and_is_declared_again() {
    let vhost = Vhost::new();
    let depths = Depths::spawn(vhost.config(), CancellationToken::new());
    assert!(soon(depths.connected()).await);
    vhost.delete("queues", &EVENTS.name());
    assert!(soon(depths.ready(EVENTS)).await.is_err());
    assert!(soon(depths.connected()).await);
    assert_eq!(soon(depths.ready(EVENTS)).await, Ok(0));
}
