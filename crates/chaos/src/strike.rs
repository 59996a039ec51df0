//! Striking, and undoing what was struck.

use std::sync::Arc;
use std::time::Duration;

use plumbline_testkit::stack::Resource;
use plumbline_testkit::{FaultProxy, Process, Stack};
use tokio::time::{Instant, sleep, timeout};

use crate::books::Fault;
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
                self.proxy(strike.kind).refuse();
                sleep(lasts).await;
                self.proxy(strike.kind).resume();
            }
            Kind::SilenceBroker | Kind::SilenceDatabase => {
                self.proxy(strike.kind).black_hole();
                sleep(lasts).await;
                self.proxy(strike.kind).resume();
            }
            Kind::CutBroker | Kind::CutDatabase => {
                again_and_again(lasts, || self.proxy(strike.kind).cut()).await
            }
            Kind::TearBroker | Kind::TearDatabase => {
                again_and_again(lasts, || self.proxy(strike.kind).tear()).await;
            }
            Kind::DelayBroker | Kind::DelayDatabase => {
                let delay = u64::from(1 + strike.chance % DELAY_MS_MAX);
                self.proxy(strike.kind).latency(Duration::from_millis(delay));
                sleep(lasts).await;
                self.proxy(strike.kind).latency(Duration::ZERO);
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

    /// The proxy before the victim.
    fn proxy(&self, kind: Kind) -> &FaultProxy {
        match kind.victim() {
            crate::plan::Victim::Database => self.stack.database_proxy(),
            _ => self.stack.broker_proxy(),
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
