//! Chaos: breaks everything that Plumbline stands on while clients publish, and compares the books afterwards. What it
//! proves stands in `docs/RELIABILITY.md`.

mod arguments;
mod books;
mod client;
mod cluster;
mod event;
mod journal;
mod ledger;
mod plan;
mod receivers;
mod reconcile;
mod report;
mod run;
mod strike;
mod witness;
mod workload;
mod world;

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use plumbline_testkit::interrupted;

use arguments::Arguments;

/// Threads of the harness: clients and receivers are light, and the cores belong to what is tested.
const THREADS: usize = 2;

fn main() -> ExitCode {
    match chaos(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Run, and say what it came to. Whether every promise was kept.
fn chaos(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let own = own.parent().ok_or("this program lies in no directory")?;
    let binaries = arguments.bin.as_deref().unwrap_or(own).canonicalize()?;
    fs::create_dir_all(&arguments.directory)?;
    let lock = File::create(arguments.directory.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let directory = arguments.directory.display();
            return Err(format!(
                "another run works in {directory}: wait for it, or give another --directory"
            )
            .into());
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let seed = arguments.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    eprintln!("chaos: the same faults again with: {}", arguments.again(seed));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        // Before anything is started: from here on, a signal ends us in order, and the servers with us.
        let interrupted = interrupted()?;
        tokio::select! {
            report = run::run(arguments, seed, &binaries) => Ok::<_, io::Error>(Some(report)),
            () = interrupted => Ok(None),
        }
    })?;
    let Some(report) = report else {
        return Err("interrupted".into());
    };
    let file = arguments.directory.join(format!("report-{seed}.json"));
    fs::write(&file, serde_json::to_vec_pretty(&report.json())?)?;
    io::stdout().write_all(report.words().as_bytes())?;
    eprintln!("the report is in {}", file.display());
    Ok(report.is_good())
}
