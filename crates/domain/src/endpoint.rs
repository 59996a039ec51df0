//! An endpoint: a customer's URL, what it subscribes to, and how it wants to be treated.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;

use uuid::Uuid;

use crate::{EndpointId, EndpointUrl, EventType, Profile, TenantId, Timestamp};

/// The most event types that one subscription may name.
pub const SUBSCRIPTION_TYPES_MAX: usize = 200;
/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// The most custom headers that an endpoint may ask for.
pub const HEADERS_MAX: usize = 20;
/// The most bytes of custom headers, names and values together.
pub const HEADER_BYTES_MAX: usize = 4_096;

/// Which event types an endpoint receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// Everything that the tenant emits, now and later. What the service itself emits must be named.
    All,
    /// These canonical types only; never empty.
    Types(BTreeSet<EventType>),
}

impl Subscription {
    /// Whether an event of this type is wanted.
    pub fn wants(&self, event_type: &EventType) -> bool {
        match self {
            Self::All => !event_type.is_reserved(),
            Self::Types(types) => types.contains(event_type),
        }
    }
}

/// Why an endpoint receives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisabledReason {
    /// Somebody of the tenant paused it.
    Manual,
    /// Too many consecutive failed attempts (S0-33).
    ConsecutiveFailures,
    /// It answered 410 Gone (profiles that read it so).
    Gone,
}

impl DisabledReason {
    /// The reason as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::Gone => "gone",
        }
    }

    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Manual, Self::ConsecutiveFailures, Self::Gone]
            .into_iter()
            .find(|reason| reason.as_str() == name)
    }
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its public number (S0-13).
    pub id: EndpointId,
    /// Its public UUID, for the dialects that use one.
    pub uid: Uuid,
    /// Whose it is.
    pub tenant: TenantId,
    /// How the product that it was made through speaks.
    pub profile: Profile,
    /// Where to POST.
    pub url: EndpointUrl,
    /// What the customer wrote about it.
    pub description: Option<String>,
    /// Which events it receives.
    pub subscription: Subscription,
    /// Requests per minute, over all dispatchers; `None` is unlimited.
    pub rate_limit: Option<NonZeroU32>,
    /// The names of its [`CustomHeaders`], in the customer's order. Their values travel apart: only who sends needs them.
    pub header_names: Vec<String>,
    /// Why it receives nothing; `None` while it is active.
    pub disabled: Option<DisabledReason>,
    /// Since when; `None` while it is active, and where nobody noted it.
    pub disabled_at: Option<Timestamp>,
    /// Failed attempts since the last success.
    pub consecutive_failures: u32,
    /// Grows by one with each change by the customer; starts at 1.
    pub version: i64,
    /// The tenant's endpoints version that its creation made: events accepted earlier are not for it.
    pub since_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the customer last changed it.
    pub updated_at: Timestamp,
}

impl Endpoint {
    /// Whether events are delivered to it.
    pub fn is_active(&self) -> bool {
        self.disabled.is_none()
    }

    /// Whether an event of this type, accepted at this version of the tenant's endpoints, is for it.
    pub fn wants(&self, event_type: &EventType, endpoints_version: i64) -> bool {
        self.since_version <= endpoints_version && self.subscription.wants(event_type)
    }
}

/// What is shown where the value of a custom header would stand.
pub const HIDDEN_VALUE: &str = "[hidden]";

/// Extra request headers that a customer chose, in the customer's order. Any of the values may be a credential,
/// whatever its name: `Debug` shows names only, and nothing shows a value after it was given (ADR 9).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CustomHeaders(Vec<(String, String)>);

impl CustomHeaders {
    /// These names and values, not checked yet.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, which may be shown.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Names and values, to be sent or encrypted.
    pub fn expose(&self) -> &[(String, String)] {
        &self.0
    }
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// A custom header that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// More than [`HEADERS_MAX`], or more than [`HEADER_BYTES_MAX`] in all.
    #[error("too many headers: at most {HEADERS_MAX}, {HEADER_BYTES_MAX} bytes of names and values together")]
    TooMany,
    /// The name is not an HTTP token.
    #[error("`{0}` is not a header name: use letters, digits and hyphens")]
    Name(String),
    /// The value has a character that a header cannot carry.
    #[error("the value of `{0}` has characters that a header cannot carry: use visible ASCII and spaces")]
    Value(String),
    /// The name is set by Plumbline or by the connection.
    #[error("`{0}` is set by the sender and cannot be replaced: choose another name")]
    Reserved(String),
    /// The name appears twice.
    #[error("`{0}` is given twice: header names are case-insensitive")]
    Repeated(String),
}

/// Names that a customer cannot set: the connection's own, the body's, and what would mislead a proxy.
const RESERVED_HEADERS: [&str; 22] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Prefixes of the signature headers of every profile, and of what proxies add.
const RESERVED_PREFIXES: [&str; 7] = [
    "buildworkpro-",
    "buildr-",
    "buildmarkets-",
    "svix-",
    "webhook-",
    "x-forwarded-",
    "sec-",
];

/// Whether a header of this name is the sender's or the connection's own, and never a customer's: its value may be shown.
pub fn is_reserved_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    RESERVED_HEADERS.contains(&&*lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}

/// Check the extra headers that a customer asks for.
///
/// # Errors
/// The first fault found; see [`InvalidHeader`]. It never holds a value.
pub fn check_headers(headers: &CustomHeaders) -> Result<(), InvalidHeader> {
    let headers = headers.expose();
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(InvalidHeader::TooMany);
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if name.is_empty()
            || !name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        {
            return Err(InvalidHeader::Name(name.escape_debug().to_string()));
        }
        if is_reserved_header(&lower) {
            return Err(InvalidHeader::Reserved(lower));
        }
        if value.is_empty() || value.trim() != value || !value.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(InvalidHeader::Value(name.clone()));
        }
        if !seen.insert(lower) {
            return Err(InvalidHeader::Repeated(name.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> CustomHeaders {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        CustomHeaders::new(pairs.iter().map(own).collect())
    }

    #[test]
    fn s0_05_a_subscription_wants_only_its_types() {
        let types = |names: &[&str]| names.iter().map(|n| n.parse().expect("a name")).collect();
        let accepted: EventType = "bid.accepted".parse().expect("a name");
        assert!(Subscription::Types(types(&["bid.accepted", "bid.created"])).wants(&accepted));
        assert!(!Subscription::Types(types(&["bid.created"])).wants(&accepted));
        assert!(Subscription::All.wants(&accepted));
        let ours: EventType = "endpoint.disabled".parse().expect("a name");
        assert!(!Subscription::All.wants(&ours), "the tenant does not emit it");
        assert!(Subscription::Types(types(&["endpoint.disabled"])).wants(&ours));
    }

    #[test]
    fn headers_that_could_mislead_are_refused() {
        assert_eq!(check_headers(&headers(&[("X-Team", "blue sky")])), Ok(()));
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:b", "x"),
            ("X-A", "a\r\nEvil: 1"),
            ("X-A", "é"),
            ("X-A", " padded"),
            ("X-A", ""),
            ("Host", "x"),
            ("content-LENGTH", "3"),
            ("BuildWorkPro-Signature", "t=1"),
            ("svix-id", "x"),
            ("X-Forwarded-For", "x"),
        ] {
            assert!(
                check_headers(&headers(&[(name, value)])).is_err(),
                "{name}: {value}"
            );
        }
        assert_eq!(
            check_headers(&headers(&[("X-A", "1"), ("x-a", "2")])),
            Err(InvalidHeader::Repeated("x-a".to_owned()))
        );
        let many = headers(&[("x", "1"); HEADERS_MAX + 1]);
        assert_eq!(check_headers(&many), Err(InvalidHeader::TooMany));
    }

    #[test]
    fn the_value_of_a_custom_header_does_not_show() {
        let (name, value) = ("Authorization", "Bearer hunter2");
        let shown = format!("{:?}", headers(&[(name, value), ("X-Key", value)]));
        assert_eq!(shown, r#"["Authorization", "X-Key"]"#);
        // Nor does a fault repeat it.
        for bad in ["hunter2\n", " hunter2", "hunter2\u{e9}"] {
            for name in ["X-Key", "Host", "no name"] {
                let fault = check_headers(&headers(&[(name, bad)])).expect_err("refused");
                assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault}");
            }
        }
    }

    #[test]
    fn what_a_profile_sends_can_be_told_from_what_a_customer_chose() {
        for name in [
            "Content-Type",
            "user-agent",
            "BuildWorkPro-Signature",
            "svix-id",
            "Buildr-Event",
        ] {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["Authorization", "X-Api-Key", "X-Team"] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }

    #[test]
    fn an_endpoint_made_after_an_event_does_not_receive_it() {
        assert_eq!(DisabledReason::parse("gone"), Some(DisabledReason::Gone));
        for (since, accepted, wanted) in [(3, 2, false), (3, 3, true), (3, 9, true)] {
            let endpoint = Endpoint {
                id: EndpointId(1),
                uid: Uuid::nil(),
                tenant: TenantId(1),
                profile: Profile::BuildWorkPro,
                url: EndpointUrl::stored("https://example.com/"),
                description: None,
                subscription: Subscription::All,
                rate_limit: None,
                header_names: vec![],
                disabled: None,
                disabled_at: None,
                consecutive_failures: 0,
                version: 1,
                since_version: since,
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
            };
            assert_eq!(
                endpoint.wants(&"bid.created".parse().expect("a name"), accepted),
                wanted
            );
        }
    }
}
