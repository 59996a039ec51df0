//! An origin: scheme, host and port, and what we know of it.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use parking_lot::Mutex;
use plumbline_domain::address::Target;
use plumbline_domain::{EndpointUrl, FailureCode};
use rustls::pki_types::ServerName;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::failure::{Deadline, Failure};
use super::pool::Kept;
use super::route::FoundRoute;

/// How long to wait for a neighbour that is already dialling a receiver known to share connections. Longer than
/// a handshake needs; a receiver that takes longer is dialled side by side.
const TURN_PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Origin {
    pub(super) target: Target,
    pub(super) port: u16,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    pub(super) security: Security,
    pub(super) route: Mutex<Option<FoundRoute>>,
    pub(super) kept: Mutex<Kept>,
    shares: AtomicBool,
    dialling: Semaphore,
}

/// How a connection is protected.
pub(super) enum Security {
    None,
    Tls(ServerName<'static>),
}

/// A URL's origin, `scheme://host:port`, and the rest. The port is absent where it is the scheme's own.
pub(super) fn split(url: &EndpointUrl) -> (&str, &str) {
    let url = url.as_str();
    let authority = url.find("://").map_or(0, |colon| colon + 3);
    let end = url[authority..]
        .find(['/', '?'])
        .map_or(url.len(), |slash| authority + slash);
    url.split_at(end)
}

impl Origin {
    pub(super) fn new(url: &EndpointUrl) -> Result<Self, Failure> {
        let (origin, _) = split(url);
        let authority = origin
            .split_once("://")
            .map_or(origin, |(_, authority)| authority);
        let not_a_host = |_| {
            let message = format!("`{authority}` is not a host name that HTTP can carry");
            Failure::new(FailureCode::DnsFailed, message)
        };
        let target = url.target();
        let security = if url.is_https() {
            Security::Tls(server_name(&target)?)
        } else {
            Security::None
        };
        Ok(Self {
            port: url.port(),
            host: HeaderValue::from_str(authority)
                .map_err(|_| ())
                .map_err(not_a_host)?,
            authority: Authority::from_str(authority)
                .map_err(|_| ())
                .map_err(not_a_host)?,
            target,
            security,
            route: Mutex::new(None),
            kept: Mutex::default(),
            shares: AtomicBool::new(false),
            dialling: Semaphore::new(1),
        })
    }

    /// The URI of a request to this origin: complete for HTTP/2, from the path on for HTTP/1.1.
    pub(super) fn uri(&self, url: &EndpointUrl, form: UriForm) -> Result<Uri, Failure> {
        let (_, path) = split(url);
        let unusable = || {
            Failure::new(
                FailureCode::ConnectFailed,
                "the URL's path cannot be sent".to_owned(),
            )
        };
        let path = PathAndQuery::from_str(path).map_err(|_| unusable())?;
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        if form == UriForm::Absolute {
            parts.authority = Some(self.authority.clone());
            parts.scheme = Some(match self.security {
                Security::None => Scheme::HTTP,
                Security::Tls(_) => Scheme::HTTPS,
            });
        }
        Uri::from_parts(parts).map_err(|_| unusable())
    }

    /// The receiver speaks HTTP/2: one connection carries many requests, so let one of them dial.
    pub(super) fn shares_connections(&self) {
        self.shares.store(true, Ordering::Relaxed);
    }

    /// Wait a little for whoever is dialling; `None` where nobody would share, or it takes too long.
    pub(super) async fn turn_to_dial(&self, deadline: Deadline) -> Option<SemaphorePermit<'_>> {
        if !self.shares.load(Ordering::Relaxed) {
            return None;
        }
        let patience = deadline.at().min(Instant::now() + TURN_PATIENCE);
        timeout_at(patience, self.dialling.acquire()).await.ok()?.ok()
    }
}

/// How a request names its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UriForm {
    Path,
    Absolute,
}

fn server_name(target: &Target) -> Result<ServerName<'static>, Failure> {
    match target {
        Target::Address(address) => Ok(ServerName::from(*address)),
        Target::Name(name) => ServerName::try_from(name.clone()).map_err(|_| {
            let message = format!("`{name}` is not a name that a certificate can have");
            Failure::new(FailureCode::TlsFailed, message)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::AddressPolicy;
    use proptest::prelude::*;

    #[test]
    fn a_url_is_an_origin_and_a_path() {
        for (url, origin, path) in [
            ("https://a.example", "https://a.example", "/"),
            ("https://A.example:443/x?y=/z", "https://a.example", "/x?y=/z"),
            ("https://a.example:8443?q", "https://a.example:8443", "/?q"),
            ("http://[::1]:80/", "http://[::1]", "/"),
        ] {
            let url = EndpointUrl::stored(url);
            assert_eq!(split(&url), (origin, path));
        }
    }

    proptest! {
        #[test]
        fn what_was_registered_can_be_sent(path in r"[ -~é]{0,80}") {
            if let Ok(url) = EndpointUrl::parse(&format!("https://a.example/{path}"), &AddressPolicy::default()) {
                let origin = Origin::new(&url).map_err(|failure| TestCaseError::fail(format!("{failure:?}")))?;
                for form in [UriForm::Path, UriForm::Absolute] {
                    let uri = origin.uri(&url, form).map_err(|failure| TestCaseError::fail(format!("{failure:?}")))?;
                    prop_assert!(url.as_str().ends_with(&uri.to_string()));
                }
            }
        }
    }
}
