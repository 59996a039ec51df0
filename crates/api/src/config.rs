//! The API's settings.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser};
use ipnet::IpNet;
use plumbline_domain::network::parse_network;
use plumbline_runtime::config::{
    BrokerArgs, DatabaseArgs, DnsArgs, DrainArgs, LogArgs, MasterKeysArgs, TraceArgs, listen_address,
    positive_duration, public_url,
};

/// The longest retention, in days.
const RETENTION_DAYS_MAX: u32 = 3_650;
/// The largest payload that may be allowed: what a request may carry.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Threads that serve connections at most.
const WORKERS_MAX: usize = 512;

/// Plumbline's API: accepts events, and manages webhook endpoints and their deliveries. Run as many as the load needs.
#[derive(Clone, Debug, Parser)]
#[command(name = "plumbline-api", version)]
pub struct Config {
    /// PostgreSQL.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// RabbitMQ.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Keys that encrypt endpoint secrets.
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

    /// Where the API is served
    #[arg(long, env = "PLUMBLINE_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = listen_address)]
    pub listen: SocketAddr,

    /// Where /metrics, /livez and /readyz are served
    #[arg(long, env = "PLUMBLINE_ADMIN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:9090", value_parser = listen_address)]
    pub admin_listen: SocketAddr,

    /// Where customers reach the API, such as https://hooks.example.com; empty leaves it out of documents and links
    #[arg(long, env = "PLUMBLINE_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Networks exempt from the address and port rules of endpoints, comma-separated CIDRs; for development only
    #[arg(long, env = "PLUMBLINE_ALLOW_NETWORKS", value_name = "CIDRS", value_delimiter = ',', value_parser = network)]
    pub allow_networks: Vec<IpNet>,

    /// Whether http:// endpoints may be registered; for development only
    #[arg(long, env = "PLUMBLINE_ALLOW_HTTP", value_name = "BOOL", default_value = "false", action = ArgAction::Set)]
    pub allow_http: bool,

    /// Ports that endpoints may use, comma-separated
    #[arg(long, env = "PLUMBLINE_ALLOWED_PORTS", value_name = "PORTS", default_value = "443,8443", value_delimiter = ',', value_parser = port)]
    pub allowed_ports: Vec<u16>,

    /// Endpoints that one tenant may have, at least 1
    #[arg(
        long,
        env = "PLUMBLINE_MAX_ENDPOINTS_PER_TENANT",
        value_name = "COUNT",
        default_value = "100"
    )]
    pub max_endpoints_per_tenant: NonZeroU32,

    /// Requests per minute that an API key, or a signed-in user, may make to the management API, in each process; 0 is
    /// no limit. Publishing is not counted
    #[arg(
        long,
        env = "PLUMBLINE_RATE_LIMIT_PER_KEY",
        value_name = "COUNT",
        default_value = "6000"
    )]
    pub rate_limit_per_key: u32,

    /// Proxies in front of the API, comma-separated addresses or CIDRs: only their X-Forwarded-For is believed
    #[arg(long, env = "PLUMBLINE_TRUSTED_PROXIES", value_name = "CIDRS", value_delimiter = ',', value_parser = proxy)]
    pub trusted_proxies: Vec<IpNet>,

    /// Bytes that one event's data and previous_attributes may have together, 2 to 16777216
    #[arg(long, env = "PLUMBLINE_MAX_PAYLOAD_BYTES", value_name = "BYTES", default_value = "262144", value_parser = payload_bytes)]
    pub max_payload_bytes: usize,

    /// Days that events and deliveries are kept, 1 to 3650
    #[arg(long, env = "PLUMBLINE_RETENTION_DAYS", value_name = "DAYS", default_value = "30", value_parser = retention_days)]
    pub retention_days: u32,

    /// Queues that each lane of events is spread over; the same in every process
    #[arg(
        long,
        env = "PLUMBLINE_EVENT_SHARDS",
        value_name = "COUNT",
        default_value = "1"
    )]
    pub event_shards: NonZeroU16,

    /// Age from which an event that no queue holds counts as lost and is published again; the same in every process
    #[arg(long, env = "PLUMBLINE_RECOVERY_GRACE", value_name = "DURATION", default_value = "60s", value_parser = positive_duration)]
    pub recovery_grace: Duration,

    /// Whether the database schema is brought up to date at the start; false leaves it to `plumbline migrate`
    #[arg(long, env = "PLUMBLINE_MIGRATE_AT_START", value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    pub migrate_at_start: bool,

    /// Commits of accepted events that run at once, each on a connection of its own
    #[arg(
        long,
        env = "PLUMBLINE_INTAKE_COMMITS",
        value_name = "COUNT",
        default_value = "2"
    )]
    pub intake_commits: NonZeroUsize,

    /// Connections that this process serves at once, fewer where the limit on open files says so; more wait
    #[arg(
        long,
        env = "PLUMBLINE_MAX_CONNECTIONS",
        value_name = "COUNT",
        default_value = "8192"
    )]
    pub max_connections: NonZeroUsize,

    /// How long a connection may be unused between requests; longer than the load balancer's own idle timeout
    #[arg(long, env = "PLUMBLINE_KEEP_ALIVE", value_name = "DURATION", default_value = "75s", value_parser = positive_duration)]
    pub keep_alive: Duration,

    /// Threads that serve connections, 1 to 512; empty is one for each core
    #[arg(long, env = "PLUMBLINE_WORKERS", value_name = "COUNT", value_parser = workers)]
    pub workers: Option<usize>,
}

fn network(text: &str) -> Result<IpNet, String> {
    text.trim()
        .parse()
        .map_err(|_| "write networks as CIDRs, such as 127.0.0.0/8,::1/128".to_owned())
}

fn proxy(text: &str) -> Result<IpNet, String> {
    parse_network(text.trim())
        .map_err(|_| "write addresses or networks, such as 10.0.0.0/8,2001:db8::7".to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err("write ports from 1 to 65535, such as 443,8443".to_owned()),
    }
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    within(text, 2, PAYLOAD_BYTES_MAX)
}

fn workers(text: &str) -> Result<usize, String> {
    within(text, 1, WORKERS_MAX)
}

fn retention_days(text: &str) -> Result<u32, String> {
    within(text, 1, RETENTION_DAYS_MAX)
}

fn within<T: Copy + FromStr + PartialOrd + Display>(text: &str, min: T, max: T) -> Result<T, String> {
    match text.trim().parse::<T>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("write a whole number from {min} to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use plumbline_runtime::config::{Refusal, try_parse_from};

    fn parsed(extra: &[&str]) -> Result<Config, String> {
        let required = [
            "plumbline-api",
            "--database-url",
            "postgres://d",
            "--amqp-url",
            "amqp://b",
            "--master-keys",
            "k:x",
        ];
        let arguments = required.iter().chain(extra).map(Into::into).collect::<Vec<_>>();
        try_parse_from(arguments).map_err(|refusal| match refusal {
            Refusal::Invalid(message) | Refusal::Answered(message) => message,
        })
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = parsed(&[]).expect("the rest has defaults");
        assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(config.admin_listen.to_string(), "0.0.0.0:9090");
        assert_eq!(config.allowed_ports, [443, 8443]);
        assert_eq!((config.max_payload_bytes, config.retention_days), (262_144, 30));
        assert_eq!(
            (config.max_endpoints_per_tenant.get(), config.event_shards.get()),
            (100, 1)
        );
        assert_eq!(config.intake_commits.get(), 2);
        assert_eq!(
            (config.max_connections.get(), config.keep_alive.as_secs()),
            (8_192, 75)
        );
        assert_eq!(
            (config.rate_limit_per_key, config.trusted_proxies.len()),
            (6_000, 0)
        );
        assert!(config.migrate_at_start && !config.allow_http && config.allow_networks.is_empty());
        assert_eq!((config.public_url, config.workers), (None, None));
    }

    #[test]
    fn values_are_checked_at_the_start() {
        let config = parsed(&[
            "--allow-networks",
            "127.0.0.0/8, ::1/128",
            "--public-url",
            "https://hooks.example.com/",
        ]);
        let config = config.expect("valid");
        assert_eq!(config.allow_networks.len(), 2);
        assert_eq!(config.public_url.as_deref(), Some("https://hooks.example.com"));
        for (flag, value, remedy) in [
            ("--allow-networks", "localhost", "CIDRs"),
            ("--allowed-ports", "0", "1 to 65535"),
            ("--max-payload-bytes", "1", "from 2 to 16777216"),
            ("--retention-days", "0", "from 1 to 3650"),
            ("--workers", "0", "from 1 to 512"),
            ("--max-connections", "0", ""),
            ("--keep-alive", "0s", ""),
            ("--public-url", "hooks.example.com", "https://"),
            ("--event-shards", "0", ""),
            ("--trusted-proxies", "10.0.0.1/8", "such as"),
            ("--rate-limit-per-key", "many", ""),
            ("--allow-http", "perhaps", "true, false"),
        ] {
            let message = parsed(&[flag, value]).expect_err(flag);
            assert!(message.contains(flag) && message.contains(remedy), "{message}");
            assert!(
                message.contains("PLUMBLINE_"),
                "the variable is not named: {message}"
            );
        }
    }

    #[test]
    fn no_secret_shows() {
        let config = try_parse_from::<Config>(
            [
                "plumbline-api",
                "--database-url",
                "postgres://u:hunter2@d/p",
                "--amqp-url",
                "amqp://u:hunter2@b/%2f",
                "--master-keys",
                "k:hunter2",
            ]
            .map(Into::into),
        );
        let shown = format!("{:?}", config.unwrap_or_else(|_| panic!("it is complete")));
        assert!(
            shown.contains("[redacted]") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn every_setting_is_a_variable_a_flag_and_a_sentence() {
        for argument in Config::command()
            .get_arguments()
            .filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
        {
            let name = argument.get_id();
            assert!(
                argument
                    .get_env()
                    .is_some_and(|name| name.to_string_lossy().starts_with("PLUMBLINE_")),
                "{name}"
            );
            assert!(
                argument.get_long().is_some() && argument.get_help().is_some(),
                "{name}"
            );
        }
    }
}
