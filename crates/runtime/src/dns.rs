//! From a host name to addresses, with every wait bounded and nothing remembered for long.
//!
//! The answer is only what DNS said. Whether an address may be dialled is the caller's question, to be asked
//! of every address of every lookup: a name may answer differently each time, on purpose.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver, system_conf};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use crate::config::DnsArgs;

/// Longest a whole lookup takes: both address families, aliases and retries included.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest one question takes; a question is asked twice, which leaves time within a lookup.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Times a question that got no answer is asked again.
const QUESTION_RETRIES: usize = 1;
/// Longest to wait for one address family once the other has answered: some servers never answer for the
/// family they do not know, and their customers would wait for that on every delivery.
const OTHER_FAMILY_GRACE: Duration = Duration::from_millis(500);
/// Longest an answer is remembered, whatever its TTL.
const FOUND_TTL_MAX: Duration = Duration::from_secs(30);
/// How long "no such name" is remembered: short, because a customer who repairs DNS should not wait for us.
const NOT_FOUND_TTL: Duration = Duration::from_secs(1);
/// Answers remembered at once.
const CACHE_ENTRIES_MAX: u64 = 8_192;
/// Questions in flight at once on one TCP connection to a server.
const QUESTIONS_PER_CONNECTION_MAX: usize = 256;
/// Addresses returned by one lookup; a hostile answer can hold thousands.
const ADDRESSES_MAX: usize = 32;

/// Looks names up. Clones share one cache and one set of servers.
#[derive(Clone)]
pub struct Resolver {
    dns: TokioResolver,
    hosts: Arc<Hosts>,
}

impl Resolver {
    /// Ask the servers in `/etc/resolv.conf`, after the hosts file. Both are read now and not again.
    ///
    /// Without a usable `/etc/resolv.conf` it logs a warning and knows only the hosts file and `localhost`;
    /// every other lookup fails.
    ///
    /// # Errors
    /// [`SetUpError`] when the resolver cannot be built from the configuration read.
    pub fn system() -> Result<Self, SetUpError> {
        let servers = match system_conf::read_system_conf() {
            Ok((config, _)) => config.name_servers().to_vec(),
            Err(error) => {
                warn!(%error, "the system has no DNS servers: only names in the hosts file will be found");
                Vec::new()
            }
        };
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            warn!(%error, "the hosts file cannot be read: names will be looked up in DNS only");
            Hosts::default()
        });
        Self::build(servers, hosts)
    }

    /// Ask these servers only, over UDP, and TCP when an answer is too long for UDP. The hosts file is not
    /// read.
    ///
    /// # Errors
    /// [`SetUpError`] when the resolver cannot be built from the servers.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, SetUpError> {
        Self::build(servers.iter().copied().map(server).collect(), Hosts::default())
    }

    /// [`with_servers`](Self::with_servers), or [`system`](Self::system) when there are none: the meaning of
    /// `PLUMBLINE_DNS_SERVERS`.
    ///
    /// # Errors
    /// [`SetUpError`] as for those.
    pub fn from_setting(servers: &[SocketAddr]) -> Result<Self, SetUpError> {
        if servers.is_empty() {
            Self::system()
        } else {
            Self::with_servers(servers)
        }
    }

    /// Every IPv4 and IPv6 address of `host`, IPv4 first, each once, at least one and at most 32; within
    /// 5 seconds.
    ///
    /// `host` is taken as fully qualified, so no search domain applies. An IP address, with or without the
    /// brackets of a URL, is its own answer. An answer may be up to 30 seconds old, or its TTL if that is
    /// shorter. One family is enough: a failure to learn the other is not an error.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        if let Some(ip) = literal(host) {
            return Ok(vec![ip]);
        }
        let name = qualified(host)?;
        let known = self.in_hosts_file(&name);
        if !known.is_empty() {
            return Ok(bounded(known));
        }

        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        let v4 = self.ask(&name, RecordType::A);
        let v6 = self.ask(&name, RecordType::AAAA);
        tokio::pin!(v4, v6);
        let first = tokio::select! {
            answer = &mut v4 => First::V4(answer),
            answer = &mut v6 => First::V6(answer),
            () = tokio::time::sleep_until(deadline) => return Err(LookupError::TimedOut),
        };
        let patience = match first.answer() {
            Ok(_) => deadline.min(Instant::now() + OTHER_FAMILY_GRACE),
            Err(_) => deadline,
        };
        let late = |_| Err(LookupError::TimedOut);
        let (v4, v6) = match first {
            First::V4(answer) => (answer, timeout_at(patience, v6).await.unwrap_or_else(late)),
            First::V6(answer) => (timeout_at(patience, v4).await.unwrap_or_else(late), answer),
        };
        combine(v4, v6).map(bounded)
    }

    fn build(servers: Vec<NameServerConfig>, hosts: Hosts) -> Result<Self, SetUpError> {
        let config = ResolverConfig::from_name_servers(servers);
        let dns = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options())
            .build()
            .map_err(SetUpError)?;
        Ok(Self {
            dns,
            hosts: Arc::new(hosts),
        })
    }

    /// Both families from the hosts file. The library would ask DNS for the family the file does not have,
    /// and mix its answer in.
    fn in_hosts_file(&self, name: &Name) -> Vec<IpAddr> {
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|family| self.hosts.lookup_static_host(&Query::query(name.clone(), family)))
            .flat_map(|found| {
                found
                    .answers()
                    .iter()
                    .filter_map(|record| record.data.ip_addr())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The addresses of one family; not empty.
    async fn ask(&self, name: &Name, family: RecordType) -> Result<Vec<IpAddr>, LookupError> {
        let answer = self
            .dns
            .lookup(name.clone(), family)
            .await
            .map_err(LookupError::from)?;
        let found: Vec<_> = answer
            .answers()
            .iter()
            .filter_map(|record| record.data.ip_addr())
            .collect();
        if found.is_empty() {
            Err(LookupError::NotFound)
        } else {
            Ok(found)
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// Why a lookup found no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// DNS says that the name does not exist, or has no address; or it is no host name at all.
    #[error("host name not found")]
    NotFound,
    /// No server gave a usable answer, and why.
    #[error("DNS lookup failed: {0}")]
    Failed(String),
    /// No answer in time.
    #[error("DNS lookup timed out")]
    TimedOut,
}

impl From<NetError> for LookupError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(_)) => Self::NotFound,
            NetError::Timeout => Self::TimedOut,
            NetError::NoConnections => Self::Failed("no DNS server could be reached".to_owned()),
            NetError::Dns(DnsError::ResponseCode(code)) => {
                Self::Failed(format!("the server answered {code}"))
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A resolver cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("DNS resolver cannot be set up")]
pub struct SetUpError(#[source] NetError);

/// The address family that answered first, and what.
enum First<T> {
    V4(T),
    V6(T),
}

impl<T> First<T> {
    fn answer(&self) -> &T {
        match self {
            Self::V4(answer) | Self::V6(answer) => answer,
        }
    }
}

/// Addresses win over errors; an error that may pass wins over "not found", which would be a claim.
fn combine(
    v4: Result<Vec<IpAddr>, LookupError>,
    v6: Result<Vec<IpAddr>, LookupError>,
) -> Result<Vec<IpAddr>, LookupError> {
    match (v4, v6) {
        (Ok(v4), Ok(v6)) => Ok([v4, v6].concat()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
        (Err(LookupError::NotFound), Err(error)) | (Err(error), Err(_)) => Err(error),
    }
}

/// Each address once, in order, and not too many.
fn bounded(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut kept = Vec::with_capacity(found.len().min(ADDRESSES_MAX));
    for ip in found {
        if kept.len() == ADDRESSES_MAX {
            break;
        }
        if !kept.contains(&ip) {
            kept.push(ip);
        }
    }
    kept
}

fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn qualified(host: &str) -> Result<Name, LookupError> {
    let mut name = Name::from_utf8(host).map_err(|_| LookupError::NotFound)?;
    if name.is_root() || name.num_labels() == 0 {
        return Err(LookupError::NotFound);
    }
    name.set_fqdn(true);
    Ok(name)
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = QUESTION_RETRIES;
    options.positive_max_ttl = Some(FOUND_TTL_MAX);
    options.negative_min_ttl = Some(NOT_FOUND_TTL);
    options.negative_max_ttl = Some(NOT_FOUND_TTL);
    options.cache_size = CACHE_ENTRIES_MAX;
    options.max_active_requests = QUESTIONS_PER_CONNECTION_MAX;
    options.preserve_intermediates = false;
    // The hosts file is consulted in `in_hosts_file`.
    options.use_hosts_file = ResolveHosts::Never;
    options
}

#[cfg(test)]
mod tests;
