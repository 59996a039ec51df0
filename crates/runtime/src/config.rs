//! How a process learns its settings, and what it says when one is wrong.
//!
//! Every setting is one environment variable and one flag; the flag wins. An empty variable counts as
//! unset. A process declares its own settings as a `clap::Parser` and flattens the groups from here. A bad
//! value ends the process before it starts anything.

mod refusal;
mod values;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};

pub use self::refusal::Refusal;
pub use self::values::{
    CollectorHeaders, CollectorUrl, dns_server, duration, listen_address, positive_duration, public_url,
};
use self::values::{log_filter, pool_size, share};

/// Exit code of a process whose configuration is missing or wrong: `EX_USAGE` of sysexits.
pub const EXIT_BAD_CONFIGURATION: i32 = 64;

/// The process's settings from its arguments and environment, or the end of the process.
///
/// `--help` and `--version` print to standard output and exit with 0. Anything missing or wrong prints one
/// message to standard error, with the setting's variable and flag, the problem and the remedy, and exits
/// with [`EXIT_BAD_CONFIGURATION`]. The value of a secret setting is never printed.
pub fn parse<T: Parser>() -> T {
    try_parse_from(std::env::args_os()).unwrap_or_else(|refusal| refusal.exit())
}

/// As [`parse`], from the arguments given, the program's name first. The environment is the process's own.
///
/// # Errors
/// [`Refusal`] says what `parse` would have printed and exited with.
pub fn try_parse_from<T: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, Refusal> {
    let mut command = refusal::prepared(T::command());
    command
        .try_get_matches_from_mut(args)
        .and_then(|matches| T::from_arg_matches(&matches))
        .map_err(|error| Refusal::new(&error, &T::command()))
}

/// End the process because a setting that parsed turned out to be wrong: for rules that span settings, and
/// for secrets whose form is checked where they are used.
///
/// `setting` is the variable's name; `problem` says what is wrong and the remedy, without a secret's value.
pub fn refuse(setting: &str, problem: impl Display) -> ! {
    let _ = writeln!(io::stderr(), "error: {setting}: {problem}");
    process::exit(EXIT_BAD_CONFIGURATION)
}

/// A setting nobody may see: a password, a key, a URL that contains one.
///
/// `Debug` and `Display` show `[redacted]`. As a setting's type it also hides the value in `--help` and in
/// error messages. It is never blank.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(String);

impl Sensitive {
    /// Wrap a value that is known not to be blank.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Do not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Display for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for Sensitive {
    type Err = BlankSensitive;

    fn from_str(text: &str) -> Result<Self, BlankSensitive> {
        match text.trim() {
            "" => Err(BlankSensitive),
            // A secret read from a file often ends in a newline that is no part of it.
            text => Ok(Self::new(text)),
        }
    }
}

/// A secret setting that holds nothing but spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is blank; give it a value")]
pub struct BlankSensitive;

/// The database a process uses.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// PostgreSQL to use, such as postgres://user:password@host:5432/plumbline
    #[arg(
        long,
        help_heading = "Database",
        env = "PLUMBLINE_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database_url: Sensitive,

    /// Most connections this process opens to PostgreSQL, 1 to 1000
    #[arg(
        long,
        help_heading = "Database",
        env = "PLUMBLINE_DATABASE_POOL_SIZE",
        value_name = "COUNT",
        default_value = "16",
        value_parser = pool_size
    )]
    pub database_pool_size: usize,
}

/// The message broker a process uses.
#[derive(Args, Clone, Debug)]
pub struct BrokerArgs {
    /// RabbitMQ to use, such as amqp://user:password@host:5672/vhost; all nodes of a cluster as host1:5672,host2:5672
    #[arg(
        long,
        help_heading = "Broker",
        env = "PLUMBLINE_AMQP_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub amqp_url: Sensitive,
}

/// The keys that encrypt secrets at rest, as text. A process that finds it malformed says so with
/// [`refuse`].
#[derive(Args, Clone, Debug)]
pub struct MasterKeysArgs {
    /// Keys that protect stored secrets, as id:base64(32 bytes), comma-separated; the first encrypts, all decrypt
    #[arg(
        long,
        help_heading = "Encryption",
        env = "PLUMBLINE_MASTER_KEYS",
        value_name = "KEYS",
        hide_env_values = true
    )]
    pub master_keys: Sensitive,
}

/// What a process logs, and how.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// Least level to log: error, warn, info, debug or trace, or per module such as info,hyper=warn
    #[arg(
        long,
        help_heading = "Logging",
        env = "PLUMBLINE_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = log_filter
    )]
    pub log: String,

    /// Form of a log line
    #[arg(
        long,
        help_heading = "Logging",
        env = "PLUMBLINE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for machines
    Json,
}

/// Where a process sends its traces, and which.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// OpenTelemetry collector that traces are sent to by OTLP over HTTP, such as http://collector:4318; empty records none
    #[arg(
        long,
        help_heading = "Traces",
        env = "PLUMBLINE_OTLP_ENDPOINT",
        value_name = "URL"
    )]
    pub otlp_endpoint: Option<CollectorUrl>,

    /// Headers of the requests to the collector, as name=value, comma-separated, such as a token that it wants
    #[arg(
        long,
        help_heading = "Traces",
        env = "PLUMBLINE_OTLP_HEADERS",
        value_name = "HEADERS",
        hide_env_values = true
    )]
    pub otlp_headers: Option<CollectorHeaders>,

    /// Which traces are recorded
    #[arg(
        long,
        help_heading = "Traces",
        env = "PLUMBLINE_TRACES_SAMPLER",
        value_name = "SAMPLER",
        default_value = "parentbased_traceidratio"
    )]
    pub traces_sampler: TracesSampler,

    /// Share of the traces that a ratio sampler records, 0 to 1
    #[arg(
        long,
        help_heading = "Traces",
        env = "PLUMBLINE_TRACES_SAMPLER_ARG",
        value_name = "SHARE",
        default_value = "0.01",
        value_parser = share
    )]
    pub traces_sampler_arg: f64,
}

/// A sampler, by the name that OpenTelemetry gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TracesSampler {
    /// All
    #[value(name = "always_on")]
    AlwaysOn,
    /// None
    #[value(name = "always_off")]
    AlwaysOff,
    /// A share of them
    #[value(name = "traceidratio")]
    Ratio,
    /// As whoever sends a traceparent says, else all
    #[value(name = "parentbased_always_on")]
    ParentElseOn,
    /// As whoever sends a traceparent says, else none
    #[value(name = "parentbased_always_off")]
    ParentElseOff,
    /// As whoever sends a traceparent says, else a share of them
    #[value(name = "parentbased_traceidratio")]
    ParentElseRatio,
}

impl TraceArgs {
    /// Whether who sends a context decides for it.
    pub fn heeds_parent(&self) -> bool {
        matches!(
            self.traces_sampler,
            TracesSampler::ParentElseOn | TracesSampler::ParentElseOff | TracesSampler::ParentElseRatio
        )
    }

    /// The share of the others that is recorded.
    pub fn ratio(&self) -> f64 {
        match self.traces_sampler {
            TracesSampler::AlwaysOn | TracesSampler::ParentElseOn => 1.0,
            TracesSampler::AlwaysOff | TracesSampler::ParentElseOff => 0.0,
            TracesSampler::Ratio | TracesSampler::ParentElseRatio => self.traces_sampler_arg,
        }
    }
}

/// How long a process may take to stop.
#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    /// Longest time to finish work in flight after SIGTERM; 0s abandons it at once
    #[arg(
        long,
        help_heading = "Shutdown",
        env = "PLUMBLINE_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "25s",
        value_parser = duration
    )]
    pub drain_timeout: Duration,
}

/// Which DNS servers a process asks.
#[derive(Args, Clone, Debug)]
pub struct DnsArgs {
    /// DNS servers to ask, as ip:port, comma-separated; empty uses the system's configuration
    #[arg(
        long,
        help_heading = "Names",
        env = "PLUMBLINE_DNS_SERVERS",
        value_name = "SERVERS",
        value_delimiter = ',',
        value_parser = dns_server
    )]
    pub dns_servers: Vec<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensitive_value_shows_itself_only_when_asked() {
        let secret: Sensitive = " hunter2\n".parse().expect("it is not blank");
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_blank_secret_is_refused() {
        assert_eq!("  ".parse::<Sensitive>(), Err(BlankSensitive));
    }
}
