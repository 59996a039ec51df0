//! The broker is killed, wiped, or accepts nothing.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use plumbline_broker::inspect::{self, Publishing, inspect};
use plumbline_broker::{
    BrokerState, Consumer, ConsumerSpec, Disconnection, EventMessage, PublishError, Publisher,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::rig::{EVENTS, HANGING, PrivateBroker, Vhost, event, soon};

const MESSAGES: u64 = 5_000;

const SPEC: ConsumerSpec = ConsumerSpec {
    queue: EVENTS,
    prefetch: 200,
    batch_max: 100,
};

/// A broker may take a while to come back on a busy machine.
async fn eventually<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGING * 3, what)
        .await
        .expect("it never happened")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_confirmed() {
    let broker = Arc::new(PrivateBroker::start("killed"));
    let publisher = Publisher::spawn(broker.vhost().config(), CancellationToken::new());
    assert!(eventually(publisher.ready()).await);
    let mut consumer = Consumer::spawn(broker.vhost().config(), SPEC, CancellationToken::new());

    // Published by sixteen callers, each of which tries again until it hears yes. A third of the way they meet
    // a kill; whoever is refused waits for the publisher and not for a time.
    let progress = Arc::new(Semaphore::new(0));
    let next = Arc::new(Mutex::new(0..MESSAGES));
    let publishing: Vec<_> = (0..16)
        .map(|_| {
            let (publisher, progress, next) = (publisher.clone(), Arc::clone(&progress), Arc::clone(&next));
            tokio::spawn(async move {
                let mut slowest_refusal = Duration::ZERO;
                loop {
                    let Some(n) = next.lock().expect("no panic").next() else {
                        return slowest_refusal;
                    };
                    loop {
                        let start = Instant::now();
                        match publisher.publish_event(&event(n)).await {
                            Ok(()) => break,
                            Err(PublishError::Disconnected) => {
                                slowest_refusal = slowest_refusal.max(start.elapsed());
                                publisher.ready().await;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    progress.add_permits(1);
                }
            })
        })
        .collect();
    let killer = {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move {
            let third = u32::try_from(MESSAGES / 3).expect("small");
            progress.acquire_many(third).await.expect("open").forget();
            tokio::task::spawn_blocking(move || {
                broker.run("kill");
                broker.run("start");
            })
            .await
            .expect("restarted");
        })
    };

    let mut missing: BTreeSet<Vec<u8>> = (0..MESSAGES).map(|n| event(n).encode()).collect();
    let mut duplicates = 0;
    while !missing.is_empty() {
        for incoming in eventually(consumer.recv_batch()).await.expect("a batch") {
            EventMessage::decode(&incoming.body).expect("an event");
            duplicates += usize::from(!missing.remove(&incoming.body[..]));
            incoming.ticket.ack();
        }
    }
    eventually(killer).await.expect("no panic");
    let mut slowest = Duration::ZERO;
    for caller in publishing {
        slowest = slowest.max(eventually(caller).await.expect("no panic"));
    }
    eprintln!("{duplicates} duplicates; slowest refusal {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "a refusal took {slowest:?}");
}

#[tokio::test]
async fn of_several_nodes_those_that_do_not_answer_are_passed_over() {
    let vhost = Vhost::new();
    // One accepts and says nothing, as a frozen node does; where the other was, nobody listens.
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (silent, gone) = (listen(), listen());
    let others = [&silent, &gone].map(|node| node.local_addr().expect("it is bound"));
    drop(gone);
    let mut config = vhost.config_behind(&others);
    config.connect_timeout = Duration::from_secs(5);

    let reached = eventually(inspect::nodes(&config)).await;
    let told: Vec<(String, bool)> = reached
        .iter()
        .map(|(address, error)| (address.to_string(), error.is_none()))
        .collect();
    assert_eq!(told.len(), 3);
    for ((told, is_reached), other) in told.iter().zip(others) {
        assert!(told.contains(&other.to_string()) && !is_reached, "{told}");
    }
    assert!(told[2].1, "{told:?}");
    assert_eq!(eventually(inspect::nodes(&vhost.config())).await.len(), 0);

    // Connections try them in a random order: whichever comes first, the one that answers is found in the first round.
    let publishing = (0..8).map(async |n| {
        let shutdown = CancellationToken::new();
        let publisher = Publisher::spawn(config.clone(), shutdown.clone());
        let mut state = publisher.on_state_change();
        let is_settled =
            |state: &BrokerState| !matches!(state, BrokerState::Disconnected(Disconnection::Starting));
        let settled = eventually(state.wait_for(is_settled))
            .await
            .expect("it lives")
            .clone();
        assert!(matches!(settled, BrokerState::Connected), "{settled:?}");
        assert_eq!(eventually(publisher.publish_event(&event(n))).await, Ok(()));
        shutdown.cancel();
        eventually(publisher.closed()).await;
    });
    join_all(publishing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_broker_is_furnished_again() {
    let broker = PrivateBroker::start("wiped");
    let publisher = Publisher::spawn(broker.vhost().config(), CancellationToken::new());
    let mut consumer = Consumer::spawn(broker.vhost().config(), SPEC, CancellationToken::new());
    assert!(eventually(publisher.ready()).await && eventually(consumer.handle().ready()).await);

    let mut states = publisher.on_state_change();
    broker.run("kill");
    eventually(states.wait_for(BrokerState::is_disconnected))
        .await
        .expect("the task lives");
    let start = Instant::now();
    for n in 0..100 {
        assert_eq!(
            soon(publisher.publish_event(&event(n))).await,
            Err(PublishError::Disconnected)
        );
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "refused after {:?}",
        start.elapsed()
    );

    broker.run("wipe");
    broker.run("start");
    assert!(eventually(publisher.ready()).await);
    assert_eq!(eventually(publisher.publish_event(&event(1))).await, Ok(()));
    let batch = eventually(consumer.recv_batch()).await.expect("a batch");
    assert_eq!(&batch[0].body[..], &event(1).encode()[..]);
    batch.into_iter().for_each(|incoming| incoming.ticket.ack());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_accepts_nothing_is_reported_within_the_time_limit() {
    let broker = PrivateBroker::start_with("blocked", "vm_memory_high_watermark.relative = 0.0001\n");
    let mut config = broker.vhost().config();
    config.publish_timeout = Duration::from_millis(300);
    let publisher = Publisher::spawn(config, CancellationToken::new());
    let mut states = publisher.on_state_change();
    eventually(states.wait_for(|state| !state.is_disconnected()))
        .await
        .expect("the task lives");
    for n in 0..3 {
        assert_eq!(
            soon(publisher.publish_event(&event(n))).await,
            Err(PublishError::Blocked)
        );
    }
    assert!(!publisher.is_ready());
    assert!(matches!(
        *publisher.on_state_change().borrow(),
        BrokerState::Blocked
    ));
    let inspection = soon(inspect(&broker.vhost().config())).await.expect("inspected");
    assert_eq!(inspection.publishing, Publishing::Blocked);

    broker.configure("");
    broker.run("kill");
    broker.run("start");
    assert!(eventually(publisher.ready()).await);
    assert_eq!(soon(publisher.publish_event(&event(1))).await, Ok(()));
}
