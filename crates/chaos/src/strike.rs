//! Striking, and undoing what was struck.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use plumbline_testkit::stack::{NODES, Resource};
use plumbline_testkit::{FaultProxy, Process, Stack};
use tokio::time::{Instant, sleep, timeout};

use crate::books::Fault;
use crate::cluster;
use crate::journal::{Journal, now};
use crate::plan::{Kind, Strike};
use crate::receivers::Receivers;
use crate::reconcile::Violation;

/// Between two cuts of one fault.
const CUT_EVERY: Duration = Duration::from_millis(700);
/// How far away a server is, each way, in milliseconds at most.
const DELAY_MS_MAX: u32 = 120;
/// How wrong a receiver's clock is at most, in seconds, and at least: more than a signature may be old.
const CLOCK_OFF_SECONDS: (i64, i64) = (301, 86_400);
/// How long the lock may take to be had: a deadlock is resolved within a second.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// A node that finds itself in a minority has stopped by then.
const PAUSES_WITHIN: Duration = Duration::from_secs(2);
/// A node that has stopped by itself is back by then, once it sees the others again.
const STARTS_ANEW_WITHIN: Duration = Duration::from_secs(20);
/// What is locked.
const TABLES: [&str; 6] = [
    "outbox",
    "events",
    "deliveries",
    "endpoints",
    "tenants",
    "idempotency_keys",
];

/// Whoever strikes.
#[derive(Debug)]
pub(crate) struct Striker<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) dispatchers: usize,
    /// Whether the broker has three nodes.
    pub(crate) is_cluster: bool,
    pub(crate) began: Instant,
}

impl Striker<'_> {
    /// Strike, wait, and undo it. When this returns, what was struck works again or will by itself.
    pub(crate) async fn strike(&self, strike: Strike) {
        sleep(strike.after).await;
        eprintln!(
            "[{:>4.0} s] {} ({:.1} s)",
            self.began.elapsed().as_secs_f64(),
            strike.kind.words(),
            strike.lasts.as_secs_f64()
        );
        let struck = now();
        self.perform(strike).await;
        self.journal.fault(Fault {
            kind: strike.kind,
            struck,
            lifted: now(),
            recovered: None,
        });
    }

    async fn perform(&self, strike: Strike) {
        let (lasts, stack) = (strike.lasts, self.stack);
        let api = stack.api_process();
        let one = stack.dispatcher(strike.chance as usize % self.dispatchers);
        match strike.kind {
            Kind::KillApi => kill(&[api], lasts).await,
            Kind::KillDispatcher => kill(&[one], lasts).await,
            Kind::KillDispatchers => {
                let all: Vec<&Process> = (0..self.dispatchers)
                    .map(|index| stack.dispatcher(index))
                    .collect();
                kill(&all, lasts).await;
            }
            Kind::StopApi => self.stop(api, lasts).await,
            Kind::StopDispatcher => self.stop(one, lasts).await,
            Kind::FreezeApi => freeze(api, lasts).await,
            Kind::FreezeDispatcher => freeze(one, lasts).await,
            Kind::KillBroker => {
                stack.broker().kill().await;
                sleep(lasts).await;
                stack.broker().start().await;
            }
            Kind::WipeBroker => {
                stack.broker().kill().await;
                sleep(lasts).await;
                stack.broker().wipe().await;
                stack.broker().start().await;
            }
            Kind::BrokerMemory => self.alarm(Resource::Memory, lasts).await,
            Kind::BrokerDisk => self.alarm(Resource::Disk, lasts).await,
            Kind::KillDatabase => {
                stack.database().kill().await;
                sleep(lasts).await;
                stack.database().start().await;
            }
            Kind::FailOver => stack.database().fail_over().await,
            Kind::RefuseBroker | Kind::RefuseDatabase => {
                self.each_proxy(strike.kind, FaultProxy::refuse);
                sleep(lasts).await;
                self.each_proxy(strike.kind, FaultProxy::resume);
            }
            Kind::SilenceBroker | Kind::SilenceDatabase => {
                self.each_proxy(strike.kind, FaultProxy::black_hole);
                sleep(lasts).await;
                self.each_proxy(strike.kind, FaultProxy::resume);
            }
            Kind::CutBroker | Kind::CutDatabase => {
                again_and_again(lasts, || self.each_proxy(strike.kind, FaultProxy::cut)).await;
            }
            Kind::TearBroker | Kind::TearDatabase => {
                again_and_again(lasts, || self.each_proxy(strike.kind, FaultProxy::tear)).await;
            }
            Kind::DelayBroker | Kind::DelayDatabase => {
                let delay = Duration::from_millis(u64::from(1 + strike.chance % DELAY_MS_MAX));
                self.each_proxy(strike.kind, |proxy| proxy.latency(delay));
                sleep(lasts).await;
                self.each_proxy(strike.kind, |proxy| proxy.latency(Duration::ZERO));
            }
            Kind::KillLeader | Kind::KillFollower => {
                let node = self.node(strike).await;
                self.kill_nodes(&[node], lasts).await;
            }
            Kind::LoseMajority => {
                let left = strike.chance as usize % NODES;
                let lost: Vec<usize> = (0..NODES).filter(|node| *node != left).collect();
                self.lose_majority(&lost, lasts).await;
            }
            Kind::RollBroker => self.roll(lasts).await,
            Kind::CutOffNode => {
                let node = strike.chance as usize % NODES;
                stack.cluster().cut_off(node);
                sleep(lasts).await;
                stack.cluster().reconnect(node);
                self.reconcile(node).await;
            }
            Kind::SilenceNode => {
                let node = strike.chance as usize % NODES;
                stack.cluster().silence(node);
                sleep(lasts).await;
                stack.cluster().reconnect(node);
                self.reconcile(node).await;
            }
            Kind::FreezeNode => {
                let node = strike.chance as usize % NODES;
                stack.cluster().freeze(node);
                sleep(lasts).await;
                stack.cluster().thaw(node);
                self.reconcile(node).await;
            }
            Kind::LockTable => {
                self.lock(TABLES[strike.chance as usize % TABLES.len()], lasts)
                    .await
            }
            Kind::ReceiverClock => {
                let (least, most) = CLOCK_OFF_SECONDS;
                let off = least + i64::from(strike.chance) % (most - least);
                let is_slow = strike.chance.is_multiple_of(2);
                self.receivers.set_clock_off(if is_slow { -off } else { off });
                sleep(lasts).await;
                self.receivers.set_clock_off(0);
            }
            Kind::ReceiverDown => {
                self.receivers.go_down();
                sleep(lasts).await;
                self.receivers.come_back().await;
            }
        }
    }

    /// Do something to every proxy before the victim.
    fn each_proxy(&self, kind: Kind, act: impl Fn(&FaultProxy)) {
        match kind.victim() {
            crate::plan::Victim::Database => act(self.stack.database_proxy()),
            _ if self.is_cluster => self.stack.cluster().doors().iter().for_each(act),
            _ => act(self.stack.broker_proxy()),
        }
    }

    /// The node that leads some queue, or one that follows it.
    async fn node(&self, strike: Strike) -> usize {
        let chance = strike.chance as usize;
        let copies = self.stack.cluster().copies().await.unwrap_or_default();
        let led: Vec<(&str, usize)> = copies
            .iter()
            .filter_map(|copies| Some((copies.queue.as_str(), copies.leader?)))
            .collect();
        // While nobody knows who leads, any node is as good.
        let Some((queue, leader)) = led.get(chance % led.len().max(1)) else {
            return chance % NODES;
        };
        let (node, what) = match strike.kind {
            Kind::KillLeader => (*leader, "leads"),
            _ => ((leader + 1 + chance / 64 % (NODES - 1)) % NODES, "follows in"),
        };
        eprintln!("         node {node}, which {what} {queue}");
        node
    }

    async fn kill_nodes(&self, nodes: &[usize], lasts: Duration) {
        let cluster = self.stack.cluster();
        join_all(nodes.iter().map(|node| cluster.node(*node).kill())).await;
        sleep(lasts).await;
        join_all(nodes.iter().map(|node| cluster.node(*node).start())).await;
    }

    /// Kill so many nodes that the others stop by themselves, and see whether the doctor says so.
    async fn lose_majority(&self, nodes: &[usize], lasts: Duration) {
        let cluster = self.stack.cluster();
        join_all(nodes.iter().map(|node| cluster.node(*node).kill())).await;
        let examined = async {
            sleep(PAUSES_WITHIN).await;
            cluster::overlooked(self.stack).await
        };
        let (overlooked, ()) = tokio::join!(examined, sleep(lasts));
        if let Some(what) = overlooked {
            self.journal.violation(Violation::Process { what });
        }
        join_all(nodes.iter().map(|node| cluster.node(*node).start())).await;
    }

    /// A node that finds itself alone stops, and starts anew when it sees the others. One that was frozen, or sees them
    /// again before it has noticed that they were gone, does not: its tables stay apart from theirs until somebody restarts
    /// it, as RabbitMQ's manual says. Here, that is us.
    async fn reconcile(&self, node: usize) {
        let cluster = self.stack.cluster();
        if cluster::whole_within(STARTS_ANEW_WITHIN, cluster).await.is_some()
            && cluster.is_partitioned().await
        {
            eprintln!("         node {node} keeps apart from the others, and is restarted");
            cluster.node(node).halt().await;
            cluster.node(node).start().await;
        }
    }

    /// As an operator updates a cluster: a node goes down when every queue can do without it.
    async fn roll(&self, lasts: Duration) {
        let cluster = self.stack.cluster();
        for node in 0..NODES {
            cluster.node(node).halt().await;
            sleep(lasts).await;
            cluster.node(node).start().await;
            if let Some(lacking) = cluster::whole(cluster).await {
                self.journal.violation(Violation::Process {
                    what: format!("after the restart of node {node}: {lacking}"),
                });
            }
        }
    }

    async fn stop(&self, process: &Process, lasts: Duration) {
        let status = process.stop().await;
        if !status.success() {
            self.journal.violation(Violation::Process {
                what: format!("{} ended with {status} after SIGTERM", process.name()),
            });
        }
        sleep(lasts).await;
        process.launch();
    }

    async fn alarm(&self, resource: Resource, lasts: Duration) {
        self.stack.broker().raise_alarm(resource).await;
        sleep(lasts).await;
        self.stack.broker().clear_alarm(resource).await;
    }

    /// Hold a lock on a table until every connection of the pools waits for it.
    async fn lock(&self, table: &str, lasts: Duration) {
        let client = self.stack.database().connect().await;
        let lock = format!("BEGIN; LOCK TABLE plumbline.{table} IN ACCESS EXCLUSIVE MODE");
        match timeout(LOCK_PATIENCE, client.batch_execute(&lock)).await {
            Ok(Ok(())) => sleep(lasts).await,
            // The database chose us to resolve a deadlock, or somebody else held it for as long: that is a fault, too.
            Ok(Err(error)) => eprintln!("         {table} was not locked: {error}"),
            Err(_) => eprintln!("         {table} was not locked within {LOCK_PATIENCE:?}"),
        }
        // Dropped, the connection is closed and the lock with it.
    }
}

async fn kill(processes: &[&Process], lasts: Duration) {
    processes.iter().for_each(|process| process.kill());
    sleep(lasts).await;
    processes.iter().for_each(|process| process.launch());
}

async fn freeze(process: &Process, lasts: Duration) {
    process.freeze();
    sleep(lasts).await;
    process.thaw();
}

async fn again_and_again(lasts: Duration, act: impl Fn()) {
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        act();
        sleep(CUT_EVERY).await;
    }
}
