//! The dispatcher's settings.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;
use plumbline_domain::RetrySchedule;
use plumbline_domain::retry::Delays;
use plumbline_runtime::config::{
    BrokerArgs, DatabaseArgs, DnsArgs, DrainArgs, LogArgs, MasterKeysArgs, TraceArgs, listen_address,
    positive_duration, public_url,
};

/// Plumbline's dispatcher: fans events out to endpoints, signs and POSTs, records each attempt, and retries through
/// delayed-retry queues. Run as many as the load needs.
#[derive(Debug, Parser)]
#[command(name = "plumbline-dispatcher", version)]
pub struct Config {
    /// PostgreSQL.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// RabbitMQ.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Keys that open endpoint secrets.
    #[command(flatten)]
    pub master_keys: MasterKeysArgs,
    /// DNS servers.
    #[command(flatten)]
    pub dns: DnsArgs,
    /// Logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// Traces.
    #[command(flatten)]
    pub traces: TraceArgs,
    /// Shutdown.
    #[command(flatten)]
    pub drain: DrainArgs,

    /// Where `/metrics`, `/livez` and `/readyz` are served.
    #[arg(long, env = "PLUMBLINE_ADMIN_LISTEN", default_value = "0.0.0.0:9091", value_parser = listen_address)]
    pub admin_listen: SocketAddr,

    /// Delays between a delivery's attempts; one attempt more than there are delays.
    #[arg(
        long,
        env = "PLUMBLINE_RETRY_SCHEDULE",
        default_value = "30s,2m,15m,1h,6h,24h"
    )]
    pub retry_schedule: Delays,

    /// The share by which each delay is spread to either side, 0 to 0.5.
    #[arg(long, env = "PLUMBLINE_RETRY_JITTER", default_value = "0.1", value_parser = jitter)]
    pub retry_jitter: f64,

    /// How long an endpoint may take until its status line and headers have arrived.
    #[arg(long, env = "PLUMBLINE_ATTEMPT_TIMEOUT", default_value = "10s", value_parser = positive_duration)]
    pub attempt_timeout: Duration,

    /// Consecutive failed attempts that disable an endpoint; 0 is never.
    #[arg(long, env = "PLUMBLINE_DISABLE_AFTER", default_value = "20")]
    pub disable_after: u32,

    /// How many tenants, those whose attempts take the most time, are named in the metrics; 0 is none.
    #[arg(long, env = "PLUMBLINE_TOP_TENANTS", default_value = "0", value_parser = clap::value_parser!(u8).range(..=100))]
    pub top_tenants: u8,

    /// Networks exempt from the address and port rules, comma-separated CIDRs; for development only.
    #[arg(long, env = "PLUMBLINE_ALLOW_NETWORKS", value_delimiter = ',')]
    pub allow_networks: Vec<IpNet>,

    /// Whether http:// endpoints are called; for development only.
    #[arg(long, env = "PLUMBLINE_ALLOW_HTTP", default_value = "false", action = clap::ArgAction::Set)]
    pub allow_http: bool,

    /// Ports that endpoints may use, comma-separated.
    #[arg(
        long,
        env = "PLUMBLINE_ALLOWED_PORTS",
        default_value = "443,8443",
        value_delimiter = ','
    )]
    pub allowed_ports: Vec<u16>,

    /// Where customers reach the API, such as https://hooks.example.com: thin events point to resources below it
    /// unless their tenant has a template of its own.
    #[arg(long, env = "PLUMBLINE_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Queues that each lane of events is spread over; the same in every process.
    #[arg(long, env = "PLUMBLINE_EVENT_SHARDS", default_value = "1")]
    pub event_shards: NonZeroU16,

    /// Attempts in flight at once, a quarter of them set aside for retries.
    #[arg(long, env = "PLUMBLINE_MAX_IN_FLIGHT", default_value = "2048")]
    pub max_in_flight: NonZeroUsize,

    /// The age from which an unfinished delivery that no queue holds counts as lost and is published again; the same
    /// in every process.
    #[arg(long, env = "PLUMBLINE_RECOVERY_GRACE", default_value = "60s", value_parser = positive_duration)]
    pub recovery_grace: Duration,
}

impl Config {
    /// The schedule.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn schedule(&self) -> Result<RetrySchedule, String> {
        RetrySchedule::new(self.retry_schedule.0.clone(), self.retry_jitter)
    }
}

fn jitter(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=0.5).contains(&share) => Ok(share),
        _ => Err("give a share between 0 and 0.5, such as 0.1".to_owned()),
    }
}
