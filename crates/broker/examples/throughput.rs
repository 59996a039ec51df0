//! How many messages of 1 KiB a second one connection publishes, confirmed, and another one consumes.
//!
//! `PLUMBLINE_AMQP_URL=amqp://… cargo run --release -p plumbline-broker --example throughput`, against a virtual
//! host that nobody else uses: it leaves it empty.
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use plumbline_broker::{
    BrokerConfig, Consumer, ConsumerSpec, EventMessage, Publisher, RetryMessage, Topology, WorkQueue,
};
use plumbline_domain::lane::Lane;
use plumbline_domain::{DeliveryId, Event, EventId, JsonText, Payload, TenantId, Timestamp};
use tokio_util::sync::CancellationToken;

const EVENTS: WorkQueue = WorkQueue::Events {
    lane: Lane::Fast,
    shard: 0,
};

#[tokio::main]
async fn main() {
    let url = std::env::var("PLUMBLINE_AMQP_URL").expect("PLUMBLINE_AMQP_URL is set");
    let config = BrokerConfig::new(
        url.parse().expect("an AMQP URL"),
        "throughput",
        Topology::new(NonZeroU16::MIN),
    );
    let shutdown = CancellationToken::new();
    let publisher = Publisher::spawn(config.clone(), shutdown.clone());
    publisher.ready().await;

    measure("publish, one by one", 2_000, async {
        for n in 0..2_000 {
            publisher.publish_event(&event(n)).await.expect("confirmed");
        }
    })
    .await;
    for callers in [16, 64, 512] {
        measure(
            &format!("publish, {callers} callers"),
            30_000,
            concurrently(&publisher, callers, 30_000),
        )
        .await;
    }
    measure("publish, batches of 200", 30_000, async {
        for batch in 0..150 {
            let events = (0..200).map(|n| event(batch * 200 + n)).collect();
            assert!(publisher.publish_events(events).await.iter().all(Result::is_ok));
        }
    })
    .await;
    measure("consume and ack", 122_000, consume(&config, 122_000)).await;
    measure("publish and consume, 64 callers", 40_000, async {
        tokio::join!(concurrently(&publisher, 64, 40_000), consume(&config, 40_000));
    })
    .await;
    measure("encode and decode", 200_000, async {
        for n in 0..200_000 {
            EventMessage::decode(&event(n).encode()).expect("what was written can be read");
        }
    })
    .await;
    measure("park, batches of 200 (250 ms)", 20_000, async {
        for batch in 0..100 {
            let now = Timestamp::now();
            let messages = (0..200)
                .map(|n| retry(batch * 200 + n, now + Duration::from_millis(200)))
                .collect();
            assert!(publisher.park_all(messages, now).await.iter().all(Result::is_ok));
        }
    })
    .await;
    drain(&config, WorkQueue::Retries, 20_000).await;
    shutdown.cancel();
    publisher.closed().await;
}

async fn concurrently(publisher: &Publisher, callers: u64, count: u64) {
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for n in (caller..count).step_by(usize::try_from(callers).expect("small")) {
                    publisher.publish_event(&event(n)).await.expect("confirmed");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

async fn consume(config: &BrokerConfig, count: usize) {
    drain(config, EVENTS, count).await;
}

async fn drain(config: &BrokerConfig, queue: WorkQueue, count: usize) {
    let spec = ConsumerSpec {
        queue,
        prefetch: 500,
        batch_max: 256,
    };
    let mut consumer = Consumer::spawn(config.clone(), spec, CancellationToken::new());
    let (mut seen, mut batches) = (0, 0);
    while seen < count {
        let batch = consumer.recv_batch().await.expect("a batch");
        batches += 1;
        for incoming in batch {
            // A message may carry many events, and one retry.
            seen += EventMessage::decode_all(&incoming.body).map_or(1, |events| events.len());
            incoming.ticket.ack();
        }
    }
    println!("    {queue}: {seen} messages in {batches} batches");
    let handle = consumer.handle();
    drop(consumer);
    handle.closed().await;
}

async fn measure(what: &str, count: u32, work: impl Future<Output = ()>) {
    let (start, cpu) = (Instant::now(), cpu_time());
    work.await;
    let (wall, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    println!(
        "{what:>32}: {:>8.0} messages/s, {:>6.1} us CPU of this process each",
        f64::from(count) / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / f64::from(count),
    );
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a command name");
    let ticks: u64 = fields
        .split(' ')
        .skip(12)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn event(n: u64) -> EventMessage {
    let mut random = [0_u8; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventMessage {
        event: Event {
            id: EventId::new(Timestamp::UNIX_EPOCH, random),
            tenant: TenantId(1),
            event_type: "bid.created".parse().expect("a name"),
            data: JsonText::from_valid(format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(1_000))),
            previous_attributes: None,
            occurred_at: Timestamp::UNIX_EPOCH,
            endpoints_version: 1,
        },
        payload: Payload::Carried,
        lane: Lane::Fast,
        chunk: None,
        republished: false,
        trace: None,
    }
}

fn retry(n: u64, not_before: Timestamp) -> RetryMessage {
    let mut random = [0_u8; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    RetryMessage {
        tenant: TenantId(1),
        delivery: DeliveryId::new(Timestamp::UNIX_EPOCH, random),
        attempt: 2,
        not_before,
        republished: false,
        held: None,
        trace: None,
    }
}
