//! More processes and fewer: the work is shared, a stop loses nothing, and a duty never stays with who is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use plumbline_testkit::stack::Builder;
use plumbline_testkit::{Ledger, Process, Receiver, Reply, Stack, eventually, within};
use serde_json::json;

use crate::faults::{RECOVERY_PATIENCE, publish_until};

/// Who publishes at the same time.
const PUBLISHERS: usize = 6;
/// The outbox and the deliveries that are not settled.
const UNFINISHED: &str = "
    SELECT (SELECT count(*) FROM plumbline.outbox)
        + (SELECT count(*) FROM plumbline.deliveries WHERE status <> 'succeeded')";

/// A system without anything that settles a delivery early, and an endpoint.
async fn system(builder: Builder) -> (Stack, Receiver) {
    let builder = builder
        .setting("RETRY_SCHEDULE", "1s,1s,2s,5s")
        .setting("DISABLE_AFTER", "0");
    let (stack, receiver) = (builder.start().await, Receiver::start().await);
    let endpoint = receiver.url("/");
    stack.api().create_endpoint(&endpoint, &["bid.created"]).await;
    (stack, receiver)
}

/// Attempts of a dispatcher since it began, whatever became of them.
async fn attempts(dispatcher: &Process) -> f64 {
    let metrics = dispatcher.admin("/metrics").await.expect("it runs").text();
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("plumbline_attempts_total{"));
    let counts = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    counts.sum()
}

async fn attempts_of_each<'a>(dispatchers: impl IntoIterator<Item = &'a Process>) -> Vec<f64> {
    join_all(dispatchers.into_iter().map(attempts)).await
}

/// How many each has made since then.
async fn attempts_since<'a>(before: &[f64], dispatchers: impl IntoIterator<Item = &'a Process>) -> Vec<f64> {
    let after = attempts_of_each(dispatchers).await;
    after
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect()
}

/// Publish from several sides at once, each of which returns what was accepted.
async fn publish_from_all_sides(publish: impl AsyncFn() -> Vec<String>) -> Ledger {
    let mut ledger = Ledger::new();
    let accepted = join_all((0..PUBLISHERS).map(|_| publish())).await;
    accepted
        .into_iter()
        .flatten()
        .for_each(|event| ledger.accept(event));
    ledger
}

/// The same until told to stop.
async fn publish_all_the_time(stack: &Stack, stop: &AtomicBool) -> Ledger {
    publish_from_all_sides(async || publish_until(stack, stop).await).await
}

/// Wait until all is delivered.
async fn delivered(stack: &Stack) {
    within(RECOVERY_PATIENCE, "everything to be recorded", async || {
        (stack.database().number(UNFINISHED).await == 0).then_some(())
    })
    .await;
}

/// Wait until all is delivered, and check that it was delivered once.
pub(crate) async fn delivered_once(stack: &Stack, receiver: &Receiver, mut ledger: Ledger) {
    delivered(stack).await;
    ledger.receive_all(receiver.taken());
    let balance = ledger.balance();
    assert_eq!(
        (balance.lost.len(), balance.duplicates, balance.unannounced),
        (0, 0, 0),
        "of {} events",
        ledger.accepted()
    );
}

#[tokio::test]
async fn four_dispatchers_share_a_steady_load_evenly() {
    let (stack, receiver) = system(Stack::builder().dispatchers(4)).await;
    receiver.always(Reply::status(200).after(Duration::from_millis(20)));
    let dispatchers = || (0..4).map(|index| stack.dispatcher(index));
    // Who is ready may not consume yet.
    eventually("each to have a part", async || {
        stack.api().publish("bid.created", json!({})).await;
        let attempts = attempts_of_each(dispatchers()).await;
        attempts.iter().all(|attempts| *attempts > 0.0).then_some(())
    })
    .await;
    delivered(&stack).await;
    let before = attempts_of_each(dispatchers()).await;
    let warm_up = receiver.taken();

    receiver.script("/", (0..200).map(|_| Reply::status(503)));
    let stop = AtomicBool::new(false);
    let enough = async {
        receiver
            .wait_until("a thousand deliveries", |requests| requests.len() > 1_200)
            .await;
        stop.store(true, Ordering::Relaxed);
    };
    let (mut ledger, ()) = tokio::join!(publish_all_the_time(&stack, &stop), enough);
    let count = ledger.accepted();
    warm_up.into_iter().for_each(|event| ledger.accept(event));
    delivered_once(&stack, &receiver, ledger).await;

    let shares = attempts_since(&before, dispatchers()).await;
    eprintln!("{count} deliveries; attempts of each dispatcher: {shares:?}");
    let fair = shares.iter().sum::<f64>() / 4.0;
    assert!(
        shares
            .iter()
            .all(|share| (fair / 2.0..=fair * 1.5).contains(share)),
        "a fair share is {fair}: {shares:?}"
    );
}

#[tokio::test]
async fn dispatchers_stopped_one_after_the_other_under_load_lose_and_double_nothing() {
    let (stack, receiver) = system(Stack::builder().dispatchers(4)).await;
    receiver.always(Reply::status(200).after(Duration::from_millis(300)));
    receiver.script("/", (0..100).map(|_| Reply::status(503)));
    let stop = AtomicBool::new(false);
    let scaling_down = async {
        for index in 0..3 {
            let dispatcher = stack.dispatcher(index);
            let in_flight = eventually("attempts in flight", async || {
                let in_flight = dispatcher.metric("plumbline_attempts_in_flight").await?;
                (in_flight >= 4.0).then_some(in_flight)
            })
            .await;
            let began = Instant::now();
            let status = dispatcher.stop().await;
            assert!(status.success(), "{}: {status}", dispatcher.name());
            let log = dispatcher.log().text();
            assert!(!log.contains("the drain timed out"), "{log}");
            eprintln!(
                "{} stopped with {in_flight} in flight, in {:?}",
                dispatcher.name(),
                began.elapsed()
            );
        }
        let before = receiver.requests().len();
        receiver.wait_for(before + 100).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (ledger, ()) = tokio::join!(publish_all_the_time(&stack, &stop), scaling_down);
    eprintln!("{} deliveries", ledger.accepted());
    delivered_once(&stack, &receiver, ledger).await;
}

#[tokio::test]
async fn dispatchers_started_beside_a_busy_one_take_their_share_of_what_waits() {
    const WAITING: usize = 600;
    let builder = Stack::builder().setting("MAX_IN_FLIGHT", "16");
    let (stack, receiver) = system(builder).await;
    receiver.always(Reply::status(200).after(Duration::from_millis(600)));
    let ledger = publish_from_all_sides(async || {
        let mut accepted = vec![];
        for id in 0..WAITING / PUBLISHERS {
            accepted.push(stack.api().publish("bid.created", json!({"id": id})).await);
        }
        accepted
    })
    .await;
    let others = ["dispatcher-1", "dispatcher-2"].map(|name| stack.another_dispatcher(name));
    join_all(others.iter().map(Process::start)).await;

    let began = Instant::now();
    for other in &others {
        // As many as it can have in flight at once, and then some.
        eventually("its share of what waits", async || {
            (attempts(other).await > 20.0).then_some(())
        })
        .await;
        let arrived = receiver.requests().len();
        eprintln!(
            "{} had its share {:?} after it was ready; {arrived} of {WAITING} had arrived",
            other.name(),
            began.elapsed()
        );
        assert!(
            arrived < WAITING,
            "nothing waited any more for {}: it proves nothing",
            other.name()
        );
    }
    let all = || std::iter::once(stack.dispatcher(0)).chain(&others);
    let before = attempts_of_each(all()).await;
    delivered_once(&stack, &receiver, ledger).await;
    let shares = attempts_since(&before, all()).await;
    eprintln!("attempts of each since: {shares:?}");
    assert!(
        shares[1..].iter().all(|share| *share > shares[0] / 2.0),
        "{shares:?}"
    );
}

/// Who may lead one duty.
struct Candidates<'a> {
    processes: [&'a Process; 2],
    /// 1 while a process leads.
    metric: &'static str,
}

impl<'a> Candidates<'a> {
    async fn leads(&self, process: &Process) -> bool {
        process.metric(self.metric).await == Some(1.0)
    }

    /// Who leads, and who stands by.
    async fn settled(&self) -> (&'a Process, &'a Process) {
        let [first, second] = self.processes;
        eventually("one leader", async || {
            match (self.leads(first).await, self.leads(second).await) {
                (true, false) => Some((first, second)),
                (false, true) => Some((second, first)),
                _ => None,
            }
        })
        .await
    }

    /// Wait until this one leads, and say how long that took.
    async fn taken_over_by(&self, heir: &Process, cause: &str) {
        let began = Instant::now();
        within(RECOVERY_PATIENCE, "another leader", async || {
            self.leads(heir).await.then_some(())
        })
        .await;
        eprintln!(
            "{}: {} leads {:?} after the other {cause}",
            self.metric,
            heir.name(),
            began.elapsed()
        );
    }

    async fn move_from_the_dead_and_the_stopped(&self) {
        let (leader, heir) = self.settled().await;
        leader.kill();
        self.taken_over_by(heir, "was killed").await;
        leader.start().await;
        let (leader, heir) = self.settled().await;
        leader.stop().await;
        self.taken_over_by(heir, "was stopped").await;
        leader.start().await;
    }

    async fn move_from_the_frozen(&self) {
        let (leader, heir) = self.settled().await;
        leader.freeze();
        self.taken_over_by(heir, "froze").await;
        leader.thaw();
        let (now, _) = self.settled().await;
        assert_eq!(now.name(), heir.name(), "the lead was taken back");
    }
}

#[tokio::test]
async fn relay_and_sweep_are_led_by_another_when_their_leader_dies_stops_or_freezes() {
    let stack = Stack::builder().dispatchers(2).start().await;
    let (other_api, _) = stack.another_api("api-2");
    other_api.start().await;
    let relay = Candidates {
        processes: [stack.api_process(), &other_api],
        metric: "plumbline_relay_leader",
    };
    let sweep = Candidates {
        processes: [stack.dispatcher(0), stack.dispatcher(1)],
        metric: "plumbline_sweep_leader",
    };
    tokio::join!(
        relay.move_from_the_dead_and_the_stopped(),
        sweep.move_from_the_dead_and_the_stopped()
    );
    tokio::join!(relay.move_from_the_frozen(), sweep.move_from_the_frozen());
}

#[tokio::test]
async fn the_upkeep_of_the_database_is_done_by_another_when_its_leader_dies() {
    let stack = Stack::start().await;
    stack.api_process().stop().await;
    // The upkeep finds something to do, and waits for us in the middle of it.
    let ours = stack.database().connect().await;
    ours.batch_execute(
        "SELECT pg_advisory_lock(7014412, 1);
         DO $$
         DECLARE last text := (SELECT max(relname) FROM pg_class WHERE relname ~ '^events_p[0-9]{8}$');
         BEGIN EXECUTE format('DROP TABLE plumbline.%I', last); END $$",
    )
    .await
    .expect("a partition is dropped");
    let partitions = "SELECT count(*) FROM pg_class WHERE relname ~ '^events_p[0-9]{8}$'";
    let without = stack.database().number(partitions).await;
    let leader = "
        SELECT coalesce(max(pid), 0)::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = 7014412 AND objid = 12
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    stack.api_process().start().await;
    let first = eventually("the first to be at it", async || {
        Some(stack.database().number(leader).await).filter(|pid| *pid != 0)
    })
    .await;
    let (heir, _) = stack.another_api("api-2");
    heir.start().await;
    stack.api_process().kill();
    within(RECOVERY_PATIENCE, "the other to be at it", async || {
        (![0, first].contains(&stack.database().number(leader).await)).then_some(())
    })
    .await;
    ours.batch_execute("SELECT pg_advisory_unlock(7014412, 1)")
        .await
        .expect("it is ours");
    eventually("it to be done", async || {
        (stack.database().number(partitions).await == without + 1).then_some(())
    })
    .await;
}
