//! What stands between a stranger and a use case: where a request comes from, whether a browser was tricked into
//! sending it, and whether its sender has sent too many.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, X_FORWARDED_FOR};
use actix_web::{HttpMessage, HttpRequest, web};
use plumbline_domain::quota::{Quota, Quotas, Standing, Ticket};
use plumbline_domain::{ApiKeyId, Principal, TrustedProxies, UserId};

use super::{Failure, SessionCookie};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Over which time requests are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The door's rules. One for the process, because it counts.
pub(crate) struct Door {
    proxies: TrustedProxies,
    /// The origin of `PUBLIC_URL`.
    public_origin: Option<String>,
    cookie: SessionCookie,
    limits: Option<Limits>,
}

/// The management requests of each key and user.
struct Limits(Mutex<Quotas<Counted>>);

/// Whose requests, or streams, are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Key(ApiKeyId),
    User(UserId),
}

impl From<&Principal> for Counted {
    fn from(principal: &Principal) -> Self {
        match principal {
            Principal::Key { key, .. } => Self::Key(*key),
            Principal::User { user, .. } => Self::User(*user),
        }
    }
}

/// How the sender of a request stands; kept with the request, so that every response to it says so.
#[derive(Clone, Copy)]
struct Told(Standing);

impl Door {
    /// A door. `requests_per_minute` is for each key and user; 0 counts nothing.
    pub(crate) fn new(proxies: TrustedProxies, public_url: Option<&str>, requests_per_minute: u32) -> Self {
        let public_origin = public_url
            .and_then(|url| url::Url::parse(url).ok())
            .map(|url| url.origin().ascii_serialization());
        let is_secure = public_origin
            .as_ref()
            .is_some_and(|origin| origin.starts_with("https://"));
        let limits = NonZeroU32::new(requests_per_minute).map(|limit| {
            let quota = Quota {
                limit,
                window: WINDOW,
            };
            Limits(Mutex::new(Quotas::new(quota)))
        });
        Self {
            proxies,
            public_origin,
            cookie: SessionCookie::new(is_secure),
            limits,
        }
    }

    /// The door of the application.
    pub(super) fn of(request: &HttpRequest) -> Result<&Self, Failure> {
        request
            .app_data::<web::Data<Self>>()
            .map(web::Data::get_ref)
            .ok_or_else(|| Failure::Unexpected("the application has no door".to_owned()))
    }

    /// How sessions travel.
    pub(crate) fn cookie(&self) -> &SessionCookie {
        &self.cookie
    }

    /// Where a request comes from.
    pub(crate) fn source(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        let lines: Vec<&str> = request
            .headers()
            .get_all(X_FORWARDED_FOR)
            // What cannot be read is an entry that cannot be read, and not one that is not there.
            .map(|line| line.to_str().unwrap_or("unreadable"))
            .collect();
        Some(self.proxies.source(peer, lines.into_iter()))
    }

    /// Refuse a change that a browser sends with a session's cookie, unless our own page made it.
    pub(super) fn refuse_cross_site(&self, request: &HttpRequest) -> Result<(), Failure> {
        let is_mutation = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        if !is_mutation || self.provenance(request.headers()) == Provenance::Ours {
            Ok(())
        } else {
            Err(Failure::CrossSite)
        }
    }

    /// Refuse a sign-in that another site's page sends: it would put its own user into the browser. A program, which
    /// says nothing of pages, may sign in.
    pub(crate) fn refuse_foreign(&self, request: &HttpRequest) -> Result<(), Failure> {
        if self.provenance(request.headers()) == Provenance::Foreign {
            Err(Failure::CrossSite)
        } else {
            Ok(())
        }
    }

    fn provenance(&self, headers: &HeaderMap) -> Provenance {
        let ours = || match &self.public_origin {
            Some(origin) => OwnOrigin::Known(origin),
            None => OwnOrigin::Host(only(headers, HOST).unwrap_or_default()),
        };
        let given = |name| match only(headers, name) {
            Some(value) => Some(value),
            // Twice, or not text: something that is certainly not ours.
            None if headers.contains_key(name) => Some(""),
            None => None,
        };
        provenance(given(&SEC_FETCH_SITE), given(&ORIGIN), ours())
    }

    /// Count a request, and remember how its sender stands.
    pub(super) fn count(&self, request: &HttpRequest, principal: &Principal) -> Result<(), Failure> {
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        let ticket = limits.take(principal, Instant::now());
        let (Ticket::Admitted(standing) | Ticket::Refused(standing)) = ticket;
        request.extensions_mut().insert(Told(standing));
        match ticket {
            Ticket::Admitted(_) => Ok(()),
            Ticket::Refused(standing) => Err(Failure::RateLimited {
                what: "requests in a minute",
                retry_after: standing.reset_after,
            }),
        }
    }
}

impl Limits {
    fn take(&self, principal: &Principal, now: Instant) -> Ticket {
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.take(principal.into(), now)
    }
}

/// Say in the response how the request's sender stands, if the request was counted.
pub(super) fn tell_standing(request: &HttpRequest, headers: &mut HeaderMap) {
    let Some(Told(standing)) = request.extensions().get::<Told>().copied() else {
        return;
    };
    let window = WINDOW.as_secs();
    for (name, value) in [
        ("ratelimit-limit", standing.limit.to_string()),
        ("ratelimit-remaining", standing.remaining.to_string()),
        ("ratelimit-reset", whole_seconds(standing.reset_after).to_string()),
        ("ratelimit-policy", format!("{};w={window}", standing.limit)),
    ] {
        // Digits are a header value; without the header the response would still be right.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Whole seconds, rounded up: whoever waits that long has waited long enough.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A header that is there once, and is text.
fn only(headers: &HeaderMap, name: impl actix_web::http::header::AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Which page made a browser send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provenance {
    /// One of ours.
    Ours,
    /// Another site's, or none: a bookmark, a link in a mail.
    Foreign,
    /// The request does not say: it is not from a browser, or from an old one.
    Unsaid,
}

/// What is known of where our own pages are.
#[derive(Debug, Clone, Copy)]
enum OwnOrigin<'a> {
    /// Scheme, host and port.
    Known(&'a str),
    /// The request's `Host`; whether https ends before us, we do not know.
    Host(&'a str),
}

/// `Sec-Fetch-Site` decides, which no page can forge; without it, `Origin`.
fn provenance(site: Option<&str>, origin: Option<&str>, own: OwnOrigin<'_>) -> Provenance {
    let is_ours = match (site, origin, own) {
        (Some(site), _, _) => site == "same-origin",
        (None, None, _) => return Provenance::Unsaid,
        (None, Some(origin), OwnOrigin::Known(own)) => origin.eq_ignore_ascii_case(own),
        (None, Some(origin), OwnOrigin::Host(host)) => origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"))
            .is_some_and(|origin| !host.is_empty() && origin.eq_ignore_ascii_case(host)),
    };
    if is_ours {
        Provenance::Ours
    } else {
        Provenance::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_page_is_ours_by_fetch_metadata_or_by_its_origin() {
        use Provenance::{Foreign, Ours, Unsaid};
        let known = OwnOrigin::Known("https://hooks.example.com");
        let host = OwnOrigin::Host("localhost:8080");
        for (site, origin, own, expected) in [
            (Some("same-origin"), None, known, Ours),
            (
                Some("same-origin"),
                Some("https://hooks.example.com"),
                known,
                Ours,
            ),
            (
                Some("same-site"),
                Some("https://hooks.example.com"),
                known,
                Foreign,
            ),
            (Some("cross-site"), None, known, Foreign),
            (Some("none"), None, known, Foreign),
            (Some(""), None, known, Foreign),
            (None, Some("https://hooks.example.com"), known, Ours),
            (None, Some("http://hooks.example.com"), known, Foreign),
            (None, Some("https://hooks.example.com:444"), known, Foreign),
            (
                None,
                Some("https://hooks.example.com.evil.example"),
                known,
                Foreign,
            ),
            (None, Some("null"), known, Foreign),
            (None, Some(""), known, Foreign),
            (None, None, known, Unsaid),
            (None, Some("http://localhost:8080"), host, Ours),
            (None, Some("https://localhost:8080"), host, Ours),
            (None, Some("http://localhost:8081"), host, Foreign),
            (None, Some("localhost:8080"), host, Foreign),
            (None, Some("http://"), OwnOrigin::Host(""), Foreign),
        ] {
            assert_eq!(
                provenance(site, origin, own),
                expected,
                "{site:?} {origin:?} {own:?}"
            );
        }
    }

    #[test]
    fn a_header_that_is_given_twice_is_not_ours() {
        let door = Door::new(
            TrustedProxies::default(),
            Some("https://hooks.example.com/base"),
            0,
        );
        let request = |name: &'static str, values: &[&'static str]| {
            let mut request = TestRequest::post();
            for value in values {
                request = request.append_header((name, *value));
            }
            request.to_http_request()
        };
        for (request, is_accepted) in [
            (request("origin", &["https://hooks.example.com"]), true),
            (request("origin", &["https://hooks.example.com"; 2]), false),
            (request("sec-fetch-site", &["same-origin"]), true),
            (request("sec-fetch-site", &["same-origin", "cross-site"]), false),
            (request("x-none", &[]), false),
        ] {
            assert_eq!(
                door.refuse_cross_site(&request).is_ok(),
                is_accepted,
                "{request:?}"
            );
        }
        assert!(door.refuse_foreign(&request("x-none", &[])).is_ok());
        assert!(
            door.refuse_foreign(&request("origin", &["https://evil.example"]))
                .is_err()
        );
        let looked = TestRequest::get()
            .insert_header(("sec-fetch-site", "cross-site"))
            .to_http_request();
        assert!(door.refuse_cross_site(&looked).is_ok(), "to look changes nothing");
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, seconds) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
