//! Measures Plumbline from outside: real binaries, real servers with the durability of production, a load and receivers
//! of its own. What is measured and how stands in `docs/PERFORMANCE.md`.

mod accounting;
mod arguments;
mod bed;
mod failure;
mod figure;
mod journal;
mod noise;
mod proc;
mod publish;
mod receiver;
mod report;
mod schedule;
mod seed;
mod statistics;
mod tls;
mod wire;
mod workloads;

use std::any::Any;
use std::io::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use futures_util::FutureExt as _;
use plumbline_testkit::interrupted;

use arguments::Arguments;
use bed::{Bed, PrivateServers};
use failure::Failure;
use noise::Noise;
use report::{Report, Side, WorkloadReport};
use workloads::{Outcome, Workload};

/// Threads of the harness: load and receivers are light, and the cores belong to what is measured.
const THREADS: usize = 2;
/// As of a command line that is wrong.
const EXIT_REFUSED: u8 = 64;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        eprintln!(
            "error: this is a debug build, which says nothing about speed. Use `make bench`, or build with --release"
        );
        return ExitCode::from(EXIT_REFUSED);
    }
    let outcome = match arguments.floor_client.zip(arguments.floor_requests) {
        Some((receiver, requests)) => {
            run_alone(workloads::floor_client(receiver, requests)).and_then(|answer| {
                io::stdout().write_all(answer.as_bytes())?;
                Ok(true)
            })
        }
        None => measure(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// On one thread, so that threads do not add to what is measured.
fn run_alone<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Measure what was asked for, and say what it came to. Whether all of it is sound.
fn measure(arguments: &Arguments) -> Result<bool, Failure> {
    let (chosen, binaries) = (arguments.chosen()?, arguments.binaries()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anything is started: from here on, a signal ends us in order.
        let interrupted = interrupted()?;
        let began = Instant::now();
        let mut report = Report {
            started_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            cores: std::thread::available_parallelism()?.get(),
            is_quick: arguments.divisor() > 1,
            binaries,
            workloads: vec![],
            seconds: 0.0,
        };
        eprintln!(
            "starting a private PostgreSQL and RabbitMQ in {}",
            arguments.directory.display()
        );
        let servers = PrivateServers::start(&arguments.scripts, &arguments.directory)?;
        let all = run_all(arguments, &chosen, &servers, &mut report, began);
        let was_interrupted = tokio::select! {
            () = all => false,
            () = interrupted => true,
        };
        drop(servers);
        report.seconds = began.elapsed().as_secs_f64();
        report.compare_fan_outs();
        io::stdout().write_all(report.table().as_bytes())?;
        if let Some(file) = &arguments.json {
            std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
        }
        if was_interrupted {
            return Err(Failure::new("interrupted"));
        }
        Ok(report.is_sound())
    })
}

async fn run_all(
    arguments: &Arguments,
    chosen: &[&'static Workload],
    servers: &PrivateServers,
    report: &mut Report,
    began: Instant,
) {
    let binaries: Vec<PathBuf> = report.binaries.clone();
    for workload in chosen {
        let runs = arguments.runs_of(workload);
        let mut figures = vec![vec![]; binaries.len()];
        let mut sides: Vec<Side> = binaries.iter().map(|_| Side::default()).collect();
        for run in 1..=runs {
            // A B, B A, A B: what the machine does to one it does to the other, also when it slowly changes.
            let mut order: Vec<usize> = (0..binaries.len()).collect();
            if run % 2 == 0 {
                order.reverse();
            }
            for index in order {
                let directory = &binaries[index];
                let which = ["", " A", " B"][if binaries.len() > 1 { index + 1 } else { 0 }];
                eprintln!(
                    "[{:>4.0} s] {}{which}, run {run} of {runs}",
                    began.elapsed().as_secs_f64(),
                    workload.name
                );
                let spin_spread = noise::spin_spread();
                let bed = Bed::new(servers, directory, arguments.divisor());
                let side = &mut sides[index];
                match attempt(workload, bed).await {
                    Ok(outcome) => {
                        side.lost += outcome.audit.lost;
                        side.noise.push(Noise::of(spin_spread, &outcome.spent));
                        figures[index].push(outcome.figures);
                    }
                    Err(failure) => {
                        eprintln!("    failed: {failure}");
                        side.failures.push(failure.to_string());
                    }
                }
            }
        }
        for (side, figures) in sides.iter_mut().zip(&figures) {
            side.figures = figure::together(figures);
        }
        report.workloads.push(WorkloadReport {
            name: workload.name,
            about: workload.about,
            sides,
        });
    }
}

/// One run. The testkit says by panicking that something does not start or does not answer.
async fn attempt(workload: &Workload, bed: Bed<'_>) -> Result<Outcome, Failure> {
    AssertUnwindSafe((workload.run)(bed))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(Failure::new(words_of(panic.as_ref()))))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}
