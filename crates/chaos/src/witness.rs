//! A publisher whose messages nobody consumes: what the broker confirmed is compared with what lies in the queue at the
//! end. PostgreSQL would make up for a false confirm, so nothing else here would notice one.

use std::collections::HashSet;
use std::time::Duration;

use plumbline_broker::{BrokerConfig, Publisher, RetryMessage, Topology};
use plumbline_domain::{DeliveryId, TenantId, Timestamp};
use plumbline_testkit::Stack;
use serde::Serialize;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Messages wait here for a day, and a run is shorter.
const QUEUE: &str = "plumbline.delay.86400000";
const WAIT_HOURS: i64 = 24;
/// Nobody's.
const TENANT: TenantId = TenantId(i64::MAX);
/// Between two messages. Each is given up after ten seconds, so few are on their way at once.
const PAUSE: Duration = Duration::from_millis(40);

/// Publishes until it is told to stop.
#[derive(Debug)]
pub(crate) struct Witness {
    end: CancellationToken,
    publishing: JoinHandle<Testimony>,
}

/// What was published.
#[derive(Debug, Default)]
struct Testimony {
    confirmed: HashSet<String>,
    unconfirmed: usize,
}

/// What it came to.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Confirms {
    /// Messages that the broker confirmed.
    pub(crate) confirmed: usize,
    /// Those of them that are not in the queue.
    pub(crate) lost: usize,
    /// Messages without a confirm.
    pub(crate) unconfirmed: usize,
    /// Those of them that are in the queue all the same.
    pub(crate) there_all_the_same: usize,
}

impl Witness {
    pub(crate) fn start(stack: &Stack) -> Self {
        let url = stack.cluster().amqp_url();
        let url = url.parse().expect("the stack's own URL");
        let topology = Topology::new(std::num::NonZeroU16::MIN);
        let config = BrokerConfig::new(url, "plumbline-chaos", topology);
        let end = CancellationToken::new();
        let publishing = tokio::spawn(publish(config, end.clone()));
        Self { end, publishing }
    }

    /// Stop, and compare. Every node runs.
    pub(crate) async fn testify(self, stack: &Stack) -> Confirms {
        self.end.cancel();
        let Testimony {
            confirmed,
            unconfirmed,
        } = self.publishing.await.expect("it does not panic");
        let there = stack
            .broker()
            .peek(QUEUE, confirmed.len() + unconfirmed + 1)
            .await;
        let there: HashSet<String> = there.into_iter().map(|message| message.payload).collect();
        Confirms {
            confirmed: confirmed.len(),
            lost: confirmed.difference(&there).count(),
            unconfirmed,
            there_all_the_same: there.difference(&confirmed).count(),
        }
    }
}

async fn publish(config: BrokerConfig, end: CancellationToken) -> Testimony {
    let stop = CancellationToken::new();
    let publisher = Publisher::spawn(config, stop.clone());
    let mut testimony = Testimony::default();
    let mut on_their_way = JoinSet::new();
    let mut note = |ended: Option<Result<Option<String>, _>>| match ended {
        Some(Ok(Some(confirmed))) => drop(testimony.confirmed.insert(confirmed)),
        Some(Ok(None) | Err(_)) => testimony.unconfirmed += 1,
        None => {}
    };
    while !end.is_cancelled() {
        let publisher = publisher.clone();
        on_their_way.spawn(async move {
            let now = Timestamp::now();
            let delivery = DeliveryId::new(now, rand::random());
            let not_before = now + jiff::SignedDuration::from_hours(WAIT_HOURS);
            let message = RetryMessage::due(TENANT, delivery, 1, not_before);
            let payload = String::from_utf8(message.encode()).expect("it is JSON");
            publisher.park(message, now).await.ok().map(|()| payload)
        });
        sleep(PAUSE).await;
        while let Some(ended) = on_their_way.try_join_next() {
            note(Some(ended));
        }
    }
    while let Some(ended) = on_their_way.join_next().await {
        note(Some(ended));
    }
    stop.cancel();
    publisher.closed().await;
    testimony
}
