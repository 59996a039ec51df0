//! Where an origin leads right now, and whether we may go there.
//!
//! A name may change its mind at any time, on purpose, so the question is asked at each attempt. The answer decides
//! both what may be dialled and which kept connections may be used again.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plumbline_domain::address::Target;
use plumbline_domain::{AddressPolicy, FailureCode, ForbiddenAddress, Timing};
use tokio::time::Instant;

use super::failure::{Deadline, Failure, Stage};
use super::origin::{Origin, Security};
use super::timed;

/// How names become addresses.
#[async_trait]
pub trait ResolveName: Send + Sync {
    /// Every address of the name, now or shortly before.
    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameError>;
}

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not exist, or has none.
    #[error("no such name, or it has no address")]
    NotFound,
    /// No server gave a usable answer, and why.
    #[error("{0}")]
    Failed(String),
    /// No server answered in time.
    #[error("no answer from DNS")]
    TimedOut,
}

/// The addresses that an origin leads to, each vetted; never empty.
pub(super) type Route = Arc<[SocketAddr]>;

/// A route and when it was found.
pub(super) type FoundRoute = (Instant, Route);

pub(super) struct Router {
    policy: AddressPolicy,
    names: Arc<dyn ResolveName>,
    reuse: Duration,
}

impl Router {
    pub(super) fn new(policy: AddressPolicy, names: Arc<dyn ResolveName>, reuse: Duration) -> Self {
        Self { policy, names, reuse }
    }

    /// Where the origin leads. A lookup that fails fails the attempt even if a connection is at hand: what we do not
    /// know to be allowed, we do not do.
    pub(super) async fn route(
        &self,
        origin: &Origin,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Route, Failure> {
        self.policy
            .vet_scheme(matches!(origin.security, Security::Tls(_)))
            .map_err(Failure::Forbidden)?;
        let now = deadline.started();
        if let Some((found, route)) = &*origin.route.lock()
            && now.saturating_duration_since(*found) < self.reuse
        {
            return Ok(route.clone());
        }
        let route = match &origin.target {
            Target::Address(address) => allowed(&self.policy, [*address], origin.port)?,
            Target::Name(name) => {
                let lookup = deadline.bound(Stage::Lookup(name), self.names.lookup(name));
                let addresses = timed(&mut timing.lookup, lookup).await?;
                let addresses = addresses.map_err(|error| Failure::lookup(name, &error))?;
                if addresses.is_empty() {
                    return Err(Failure::lookup(name, &NameError::NotFound));
                }
                allowed(&self.policy, addresses, origin.port)?
            }
        };
        *origin.route.lock() = Some((now, route.clone()));
        Ok(route)
    }
}

/// Those that may be dialled, or why the first may not.
fn allowed(
    policy: &AddressPolicy,
    addresses: impl IntoIterator<Item = IpAddr>,
    port: u16,
) -> Result<Route, Failure> {
    let mut refused: Option<ForbiddenAddress> = None;
    let mut route = vec![];
    for address in addresses {
        match policy.vet(address, port) {
            Ok(()) => route.push(SocketAddr::new(address, port)),
            Err(forbidden) => {
                refused.get_or_insert(forbidden);
            }
        }
    }
    match refused {
        Some(forbidden) if route.is_empty() => Err(Failure::Forbidden(forbidden)),
        None if route.is_empty() => Err(Failure::new(FailureCode::DnsFailed, "no address".to_owned())),
        _ => Ok(route.into()),
    }
}
