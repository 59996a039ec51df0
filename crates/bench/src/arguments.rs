//! What the person who runs the bench asks for.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::failure::Failure;
use crate::workloads::{self, Workload};

/// Profiles whose binaries may be measured: directories that cargo names after them.
const RELEASE_DIRECTORIES: [&str; 2] = ["release", "dist"];
/// How much smaller a quick look is.
const QUICK_DIVISOR: usize = 10;

/// Measure Plumbline's release binaries on a private PostgreSQL and RabbitMQ. Without names, every workload runs but those
/// that are long and say so.
#[derive(Debug, Parser)]
#[command(name = "plumbline-bench", args_override_self = true, after_help = workload_list())]
pub(crate) struct Arguments {
    /// What to measure; everything that does not wait to be named unless said.
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,

    /// Runs of each workload, of which the median counts; each workload has a number of its own unless said.
    #[arg(long)]
    runs: Option<NonZeroUsize>,

    /// A tenth of everything, once: whether it works, not how fast.
    #[arg(long)]
    quick: bool,

    /// Write the report here, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// The directory of the release binaries; the one of this program unless said.
    #[arg(long, value_name = "DIR")]
    bin: Option<PathBuf>,

    /// Other binaries: each run is made with both, one after the other, and the report compares them.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,

    /// The binaries are release builds, though their directory is not called so.
    #[arg(long)]
    they_are_release: bool,

    /// Where the servers, their data and the logs live while it runs.
    #[arg(long, value_name = "DIR", default_value = ".local/bench")]
    pub(crate) directory: PathBuf,

    /// The scripts that start the servers.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/dev"))]
    pub(crate) scripts: PathBuf,

    /// Be the client of the floor, for the bench that started this process.
    #[arg(long, hide = true, requires = "floor_requests")]
    pub(crate) floor_client: Option<SocketAddr>,

    #[arg(long, hide = true)]
    pub(crate) floor_requests: Option<usize>,
}

fn workload_list() -> String {
    let mut list = "Workloads:\n".to_owned();
    for workload in workloads::ALL {
        list.push_str(&format!("  {:<20} {}\n", workload.name, workload.about));
    }
    list
}

impl Arguments {
    /// The workloads, in their usual order.
    pub(crate) fn chosen(&self) -> Result<Vec<&'static Workload>, Failure> {
        if let Some(unknown) = self
            .workloads
            .iter()
            .find(|name| workloads::ALL.iter().all(|known| known.name != **name))
        {
            return Err(Failure::new(format!(
                "there is no workload {unknown}\n\n{}",
                workload_list()
            )));
        }
        let is_wanted = |workload: &&Workload| {
            let is_named = self.workloads.iter().any(|name| name == workload.name);
            is_named || (self.workloads.is_empty() && workload.runs > 0)
        };
        Ok(workloads::ALL.iter().filter(is_wanted).collect())
    }

    /// How often a workload runs.
    pub(crate) fn runs_of(&self, workload: &Workload) -> usize {
        match self.runs {
            Some(runs) => runs.get(),
            None if self.quick => 1,
            None => workload.runs.max(1),
        }
    }

    /// What sizes are divided by.
    pub(crate) fn divisor(&self) -> usize {
        if self.quick { QUICK_DIVISOR } else { 1 }
    }

    /// The directories of binaries: one, or two to be compared.
    pub(crate) fn binaries(&self) -> Result<Vec<PathBuf>, Failure> {
        let own = std::env::current_exe()?;
        let own = own
            .parent()
            .ok_or_else(|| Failure::new("this program lies in no directory"))?;
        let first = self.bin.clone().unwrap_or_else(|| own.to_owned());
        let both: Vec<PathBuf> = [Some(first), self.against.clone()]
            .into_iter()
            .flatten()
            .collect();
        both.iter()
            .map(|directory| {
                let found = directory
                    .canonicalize()
                    .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
                if !self.they_are_release && !is_release(&found) {
                    return Err(Failure::new(format!(
                        "{} is not called `release` or `dist`: debug builds are not measured. If they are release builds all \
                         the same, add --they-are-release",
                        found.display()
                    )));
                }
                Ok(found)
            })
            .collect()
    }
}

fn is_release(directory: &Path) -> bool {
    directory
        .file_name()
        .is_some_and(|name| RELEASE_DIRECTORIES.iter().any(|known| name == *known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(arguments: &[&str]) -> Arguments {
        Arguments::parse_from(["plumbline-bench"].iter().chain(arguments))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn workloads_are_chosen_by_name_and_run_in_their_usual_order() {
        let names = |arguments: &[&str]| -> Result<Vec<&str>, String> {
            let chosen = parsed(arguments).chosen().map_err(|error| error.to_string())?;
            Ok(chosen.iter().map(|workload| workload.name).collect())
        };
        assert_eq!(names(&["fan-out-10", "floor"]), Ok(vec!["floor", "fan-out-10"]));
        let unasked = workloads::ALL.iter().filter(|workload| workload.runs > 0);
        assert_eq!(names(&[]).map(|all| all.len()), Ok(unasked.count()));
        assert_eq!(
            names(&["memory-parked"]),
            Ok(vec!["memory-parked"]),
            "when it is named"
        );
        assert!(names(&["fan-out"]).is_err_and(|error| error.contains("fan-out-1000")));
    }

    #[test]
    fn a_quick_look_is_one_small_run_unless_said_otherwise() {
        let workload = &workloads::ALL[0];
        for (arguments, runs, divisor) in [
            (&[][..], workload.runs, 1),
            (&["--quick"][..], 1, QUICK_DIVISOR),
            (&["--runs", "5"][..], 5, 1),
            (&["--quick", "--runs", "2"][..], 2, QUICK_DIVISOR),
        ] {
            let arguments = parsed(arguments);
            assert_eq!(
                (arguments.runs_of(workload), arguments.divisor()),
                (runs, divisor)
            );
        }
    }

    #[test]
    fn only_release_directories_are_believed() {
        for (directory, expected) in [
            ("/x/target/release", true),
            ("/x/target/dist", true),
            ("/x/target/debug", false),
            ("/x/release/saved", false),
        ] {
            assert_eq!(is_release(Path::new(directory)), expected, "{directory}");
        }
    }
}
