//! Where log lines go.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogArgs, LogFormat};

/// Send log lines to standard error, in the format and at the levels asked for.
///
/// Standard output is left to what a command prints as its result. A second call does nothing, so tests
/// may each call it. JSON lines carry an event's fields at the top level.
pub fn init(args: &LogArgs) {
    // `LogArgs` is parsed with the same parser, so the fallback is for a value built by hand.
    let filter = EnvFilter::try_new(without_bodies(&args.log)).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // Reporting a failed write on the stream that just failed would panic.
        .log_internal_errors(false);

    // The error says that a subscriber is already installed, which is what "idempotent" means here.
    let _ = match args.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

/// Libraries that would log what nobody may read there, and how much of each is heard unless it is asked for by name:
/// lapin logs message bodies, and ordinary shutdowns as errors; tokio-postgres, from `debug` on, every parameter of every
/// statement, the hashes of passwords among them.
const DISCREET: [(&str, &str); 2] = [("lapin", "off"), ("tokio_postgres", "info")];

fn without_bodies(filter: &str) -> String {
    let mut filter = filter.to_owned();
    for (library, level) in DISCREET {
        if !filter.contains(library) {
            filter.push_str(&format!(",{library}={level}"));
        }
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialising_twice_is_harmless() {
        for log_format in [LogFormat::Text, LogFormat::Json] {
            init(&LogArgs {
                log: "info".to_owned(),
                log_format,
            });
        }
        tracing::info!("still here");
    }

    #[test]
    fn a_library_that_logs_bodies_is_heard_only_by_name() {
        for (asked, heard) in [
            ("info", "info,lapin=off,tokio_postgres=info"),
            ("trace", "trace,lapin=off,tokio_postgres=info"),
            ("warn,lapin=debug", "warn,lapin=debug,tokio_postgres=info"),
            ("tokio_postgres=debug", "tokio_postgres=debug,lapin=off"),
        ] {
            assert_eq!(without_bodies(asked), heard);
        }
    }
}
