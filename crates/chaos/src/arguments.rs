//! What the person who runs the chaos asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::plan::Scenario;

/// The longest run, in minutes: what is written down about it is held in memory.
const MINUTES_MAX: f64 = 240.0;

/// Break everything that Plumbline stands on, in an order that a seed decides, while clients publish; then compare what
/// clients were promised, what the database says and what receivers got.
#[derive(Debug, Parser)]
#[command(name = "plumbline-chaos", args_override_self = true)]
pub(crate) struct Arguments {
    /// Decides the order of the faults; a random one unless said. It is printed
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// How long faults strike, unless the scenario has an end, more than 0 and up to 240. From 5 on, outages are long
    #[arg(long, default_value = "3", value_parser = minutes)]
    pub(crate) minutes: f64,

    /// What happens
    #[arg(long, value_enum, default_value = "random")]
    pub(crate) scenario: Scenario,

    /// The directory of the binaries; the one of this program unless said
    #[arg(long, value_name = "DIR")]
    pub(crate) bin: Option<PathBuf>,

    /// Where the servers and their data live while it runs, and where the report and the logs of a failed run stay
    #[arg(long, value_name = "DIR", default_value = ".local/chaos")]
    pub(crate) directory: PathBuf,

    /// The scripts that start the servers
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/dev"))]
    pub(crate) scripts: PathBuf,

    /// What the processes log: a tracing filter
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// Keep the logs of a run in which nothing was wrong, too
    #[arg(long)]
    pub(crate) keep_logs: bool,
}

impl Arguments {
    /// How long faults strike.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    /// What is typed to see the same faults again.
    pub(crate) fn again(&self, seed: u64) -> String {
        match self.scenario {
            Scenario::Random => format!("make chaos SEED={seed} MINUTES={}", self.minutes),
            Scenario::Cluster => {
                format!("make chaos SCENARIO=cluster SEED={seed} MINUTES={}", self.minutes)
            }
            Scenario::Failover => format!("make chaos SCENARIO=failover SEED={seed}"),
        }
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= MINUTES_MAX => Ok(minutes),
        _ => Err(format!(
            "give minutes, more than 0 and at most {MINUTES_MAX}, such as 3 or 0.5"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn minutes_are_bounded() {
        let length = |minutes: &str| {
            let parsed = Arguments::try_parse_from(["plumbline-chaos", "--minutes", minutes]);
            parsed.map(|arguments| arguments.length()).ok()
        };
        for (minutes, expected) in [
            ("3", Some(180)),
            ("0.5", Some(30)),
            ("240", Some(14_400)),
            ("0", None),
            ("241", None),
            ("NaN", None),
            ("three", None),
        ] {
            assert_eq!(length(minutes), expected.map(Duration::from_secs), "{minutes}");
        }
    }
}
