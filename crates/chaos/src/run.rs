//! One run: a system, a load, faults; then calm, and the reckoning.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use plumbline_testkit::stack::Builder;
use plumbline_testkit::{Process, Stack};
use tokio::time::{Instant, sleep};

use crate::arguments::Arguments;
use crate::books::{ATTEMPT_MS, Answer, Books, GRACE_MS};
use crate::client::{self, Insistence, Patience};
use crate::cluster;
use crate::journal::{Journal, now};
use crate::ledger;
use crate::plan::{Run, Scenario, Then};
use crate::receivers::Receivers;
use crate::reconcile::{Violation, reconcile};
use crate::report::{Report, history};
use crate::strike::Striker;
use crate::witness::{Confirms, Witness};
use crate::workload::Workload;
use crate::world::{CANARY, ENDPOINTS_MAX, World};

/// Dispatchers: one takes over what the other leaves.
const DISPATCHERS: usize = 2;
/// Delays between attempts: short, so that a run ends; in all longer than receivers are ever away.
const RETRY_SCHEDULE: [&str; 7] = ["1s", "2s", "3s", "4s", "5s", "8s", "8s"];
/// What else the processes are told.
const SETTINGS: [(&str, &str); 3] = [
    ("DISABLE_AFTER", "0"),
    ("DRAIN_TIMEOUT", "10s"),
    // Small, so that a lock exhausts it.
    ("DATABASE_POOL_SIZE", "8"),
];
/// Load before the first fault.
const WARM_UP: Duration = Duration::from_secs(4);
/// How long anything may take to be well again after a fault. No promise of speed: the end of a hang.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(150);
/// How long everything may take to end after the last fault: a whole schedule, and what a busy machine adds.
const SETTLE_PATIENCE: Duration = Duration::from_secs(240);
/// How long clients may go on asking for answers that they did not get, after the last fault.
const CLIENT_PATIENCE: Duration = Duration::from_secs(120);
/// The queue of what nobody could process: nothing that happens here is a reason for that.
const DEAD: &str = "plumbline.dead";
/// How many of them are shown.
const DEAD_SHOWN: usize = 5;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What a run may take beyond the time of its faults.
const OVERTIME: Duration = Duration::from_secs(15 * 60);

/// Run, and report. Nothing that goes wrong on the way is lost: it stands in the report.
pub(crate) async fn run(arguments: &Arguments, seed: u64, binaries: &Path) -> Report {
    let journal = Arc::new(Journal::default());
    let mut report = Report::new(seed, arguments);
    let scratch = arguments.directory.join("scratch");
    let stack = AssertUnwindSafe(start(arguments, &scratch, binaries))
        .catch_unwind()
        .await;
    let stack = match stack {
        Ok(stack) => stack,
        Err(panic) => {
            let what = format!("the system did not start: {}", words_of(panic.as_ref()));
            report.violations.push(Violation::Process { what });
            return report;
        }
    };
    let mut books = Books::default();
    let all =
        AssertUnwindSafe(all(arguments, seed, &stack, &journal, &mut books, &mut report)).catch_unwind();
    match tokio::time::timeout(arguments.length() + OVERTIME, all).await {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => report.violations.push(Violation::Process {
            what: format!("the run broke off: {}", words_of(panic.as_ref())),
        }),
        Err(_) => report.violations.push(Violation::Process {
            what: "the run did not end".to_owned(),
        }),
    }
    report.violations.extend(journal.close().violations);
    if !report.violations.is_empty() || arguments.keep_logs {
        let directory = logs_directory(arguments, seed);
        let histories: String = report
            .violations
            .iter()
            .map(|violation| history(&books, violation))
            .collect();
        let kept = stack
            .keep_logs(&directory)
            .and_then(|()| std::fs::write(directory.join("histories.txt"), histories));
        match kept {
            Ok(()) => report.logs = Some(directory),
            Err(error) => eprintln!(
                "error: the logs could not be kept in {}: {error}",
                directory.display()
            ),
        }
    }
    report
}

fn logs_directory(arguments: &Arguments, seed: u64) -> PathBuf {
    arguments.directory.join(format!("logs-{seed}"))
}

async fn start(arguments: &Arguments, scratch: &Path, binaries: &Path) -> Stack {
    let mut builder: Builder = Stack::builder()
        .all_private(scratch, &arguments.scripts)
        .binaries(binaries)
        .dispatchers(DISPATCHERS)
        .setting("LOG", &arguments.log)
        .setting("RETRY_SCHEDULE", &RETRY_SCHEDULE.join(","))
        .setting("ATTEMPT_TIMEOUT", &format!("{ATTEMPT_MS}ms"))
        .setting("RECOVERY_GRACE", &format!("{GRACE_MS}ms"))
        .setting("MAX_ENDPOINTS_PER_TENANT", &ENDPOINTS_MAX.to_string());
    builder = match arguments.scenario {
        Scenario::Random => builder.broker_proxy().database_proxy(),
        Scenario::Failover => builder.broker_proxy().standby(),
        Scenario::Cluster => builder.cluster(),
    };
    for (name, value) in SETTINGS {
        builder = builder.setting(name, value);
    }
    builder.start().await
}

async fn all(
    arguments: &Arguments,
    seed: u64,
    stack: &Stack,
    journal: &Arc<Journal>,
    books: &mut Books,
    report: &mut Report,
) {
    let receivers = Arc::new(Receivers::start(seed, journal.clone()).await);
    let world = Arc::new(World::make(stack, journal.clone(), receivers.clone()).await);
    let (end_of_work, work) = Patience::new();
    let (end_of_patience, patience) = Patience::new();
    let workload = Workload::start(&world, seed, &work, &patience);
    let began = Instant::now();
    let is_cluster = arguments.scenario == Scenario::Cluster;
    let witness = is_cluster.then(|| Witness::start(stack));
    let striker = Striker {
        stack,
        is_cluster,
        receivers,
        journal: journal.clone(),
        dispatchers: DISPATCHERS,
        began,
    };
    let mut watch = Watch {
        stack,
        world: &world,
        patience: patience.clone(),
        began,
        canaries: 0,
    };
    sleep(WARM_UP).await;

    let mut steps = arguments
        .scenario
        .steps(seed, Run::of(arguments.length()))
        .peekable();
    while let Some(step) = steps.next() {
        join_all(step.strikes.iter().map(|strike| striker.strike(*strike))).await;
        let is_last = steps.peek().is_none()
            || (arguments.scenario != Scenario::Failover && began.elapsed() >= arguments.length());
        if is_last || step.then != Then::AtOnce {
            report.recovered(watch.recover(journal).await);
        }
        if is_last || report.is_hopeless() {
            break;
        }
        if let Then::Calm(calm) = step.then {
            sleep(calm).await;
        }
    }
    report.struck_for = began.elapsed();

    end_of_work.now();
    if tokio::time::timeout(CLIENT_PATIENCE, workload.finish())
        .await
        .is_err()
    {
        report.violations.push(Violation::Process {
            what: format!("clients got no answers within {CLIENT_PATIENCE:?} after the last fault"),
        });
    }
    end_of_patience.now();
    eprintln!(
        "[{:>4.0} s] calm: waiting until everything has ended",
        began.elapsed().as_secs_f64()
    );
    settle(stack, report).await;
    for process in stack.processes() {
        report.violations.extend(ended(process));
    }
    if let Some(witness) = witness {
        let wrong = judge(stack, witness, report).await;
        report.violations.extend(wrong);
    }
    let dead = stack.broker().messages(DEAD).await.unwrap_or_default();
    if dead > 0 {
        let some = stack.broker().peek(DEAD, DEAD_SHOWN).await;
        let some: Vec<String> = some
            .iter()
            .map(|message| format!("\n    {} {}", message.properties, message.payload))
            .collect();
        report.violations.push(Violation::Process {
            what: format!("{dead} messages lie in {DEAD}: {}", some.concat()),
        });
    }
    reckon(stack, journal, books, report).await;
}

/// Whether a cluster is whole again, kept what it confirmed, and is well by its doctor.
async fn judge(stack: &Stack, witness: Witness, report: &mut Report) -> Vec<Violation> {
    let mut wrong: Vec<String> = cluster::whole(stack.cluster()).await.into_iter().collect();
    let confirms = witness.testify(stack).await;
    report.confirms = Some(confirms);
    if confirms.lost > 0 {
        let Confirms { lost, confirmed, .. } = confirms;
        wrong.push(format!(
            "RabbitMQ lost {lost} of {confirmed} messages that it had confirmed"
        ));
    }
    wrong.extend(cluster::unwell(stack).await);
    wrong
        .into_iter()
        .map(|what| Violation::Process { what })
        .collect()
}

/// Wait until nothing is pending. What is stuck is found by the reckoning.
async fn settle(stack: &Stack, report: &mut Report) {
    let began = Instant::now();
    let client = stack.database().connect().await;
    while began.elapsed() < SETTLE_PATIENCE {
        match ledger::unfinished(&client).await {
            Ok((0, 0)) => break,
            Ok(_) => sleep(LOOK_EVERY * 5).await,
            Err(what) => {
                report.violations.push(Violation::Process { what });
                break;
            }
        }
    }
    report.settled_in = began.elapsed();
}

/// Close the books and compare them.
async fn reckon(stack: &Stack, journal: &Journal, books: &mut Books, report: &mut Report) {
    let client = stack.database().connect().await;
    if let Err(what) = ledger::read(&client, books).await {
        report.violations.push(Violation::Process { what });
        return;
    }
    let pages = journal.close();
    let doors = pages.doors;
    // A door whose endpoint nobody knows belongs to one that was never answered for.
    let arrivals = pages.arrivals.into_iter().map(|request| {
        let endpoint = doors.get(&request.door).copied().unwrap_or_default();
        request.at_endpoint(endpoint)
    });
    books.arrivals = arrivals.collect();
    books.publications = pages.publications;
    books.replays = pages.replays;
    books.endpoints = pages.endpoints;
    books.faults = pages.faults;
    let logs = stack.logs();
    books.rounds = ledger::rounds(&logs);
    books.given_up = ledger::given_up(&logs);
    books.attempts_max = RETRY_SCHEDULE.len() + 1;
    let verdict = reconcile(books);
    report.violations.extend(pages.violations);
    report.violations.extend(verdict.violations);
    report.figures = verdict.figures;
    report.faults.clone_from(&books.faults);
}

/// Sees whether everything is well again.
struct Watch<'a> {
    stack: &'a Stack,
    world: &'a World,
    patience: Patience,
    began: Instant,
    canaries: usize,
}

impl Watch<'_> {
    /// Wait until every process is ready without anybody's help and an event goes through. Returns how long it took, or
    /// what is not well.
    async fn recover(&mut self, journal: &Journal) -> Result<Duration, Violation> {
        let began = Instant::now();
        let well = tokio::time::timeout(RECOVERY_PATIENCE, self.well(journal)).await;
        match well {
            Ok(Ok(ready)) => {
                journal.recovered(now());
                eprintln!(
                    "[{:>4.0} s]   ready after {:.1} s, well again after {:.1} s",
                    self.began.elapsed().as_secs_f64(),
                    ready.saturating_duration_since(began).as_secs_f64(),
                    began.elapsed().as_secs_f64()
                );
                Ok(began.elapsed())
            }
            Ok(Err(violation)) => Err(violation),
            Err(_) => {
                let mut what = format!("not well again within {RECOVERY_PATIENCE:?}:");
                for process in self.stack.processes() {
                    let is_ready = if process.is_ready().await {
                        "ready"
                    } else {
                        "not ready"
                    };
                    what.push_str(&format!(" {} is {is_ready};", process.name()));
                }
                what.push_str(" an event did not go through");
                Err(Violation::Process { what })
            }
        }
    }

    /// Ends when an event is through; returns when every process had become ready.
    async fn well(&mut self, journal: &Journal) -> Result<Instant, Violation> {
        loop {
            let mut all_ready = true;
            for process in self.stack.processes() {
                if let Some(violation) = ended(process) {
                    return Err(violation);
                }
                all_ready &= process.is_ready().await;
            }
            if all_ready {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        let ready = Instant::now();
        self.canaries += 1;
        let mark = format!("canary-{}", self.canaries);
        let answer = client::publish(
            journal,
            &self.world.canary.api,
            CANARY,
            vec![mark.clone()],
            Insistence::UntilAnswered,
            &self.patience,
        )
        .await;
        if !matches!(answer, Answer::Accepted { .. }) {
            // The reckoning says what was refused.
            return Ok(ready);
        }
        while !journal.has_arrived(&mark) {
            sleep(LOOK_EVERY).await;
        }
        Ok(ready)
    }
}

fn ended(process: &Process) -> Option<Violation> {
    process.ended().map(|status| Violation::Process {
        what: format!("{} ended by itself: {status}", process.name()),
    })
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}
