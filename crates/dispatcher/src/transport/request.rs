//! What is sent: the headers, ours and the customer's, and the body as it was signed.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use plumbline_domain::endpoint::HIDDEN_VALUE;
use plumbline_domain::profile::Header;
use plumbline_domain::{CustomHeaders, EndpointUrl};
use tokio::time::Instant;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// One request to one endpoint.
#[derive(Clone)]
pub struct AttemptRequest {
    /// Where to.
    pub url: EndpointUrl,
    /// The profile's `User-Agent`.
    pub user_agent: &'static str,
    /// The profile's headers, signature included.
    pub headers: Vec<Header>,
    /// The endpoint's own headers, which [`plumbline_domain::endpoint::check_headers`] accepted.
    pub custom: CustomHeaders,
    /// The bytes that were signed.
    pub body: Bytes,
    /// From when it must not be sent any more; none for a request that nobody limits.
    pub not_after: Option<Instant>,
}

/// Headers hold signatures and a customer's tokens, bodies anything: only the origin is shown.
impl std::fmt::Debug for AttemptRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AttemptRequest({:?}, {} bytes)", self.url, self.body.len())
    }
}

impl AttemptRequest {
    /// The request to put on a connection. HTTP/1.1 names the host in a header, HTTP/2 in the URI.
    pub(super) fn message(&self, uri: Uri, host: Option<&HeaderValue>) -> Request<Full<Bytes>> {
        let mut message = Request::new(Full::new(self.body.clone()));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = uri;
        let headers = message.headers_mut();
        // Hyper adds `Content-Length`.
        *headers = HeaderMap::with_capacity(5 + self.headers.len() + self.custom.expose().len());
        if let Some(host) = host {
            headers.insert(HOST, host.clone());
        }
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, HeaderValue::from_static(self.user_agent));
        headers.insert(ACCEPT_ENCODING, IDENTITY);
        for (name, value) in &self.headers {
            if let Some((name, value)) = header(name, value) {
                headers.insert(name, value);
            }
        }
        for (name, value) in self.custom.expose() {
            if let Some((name, mut value)) = header(name, value) {
                // May be a token: keeps it out of HTTP/2's compression state.
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        message
    }

    /// The headers of [`AttemptRequest::message`], for the delivery log, which more people read than know the values of
    /// the customer's own.
    pub(super) fn into_sent_headers(self) -> Vec<(String, String)> {
        let mut sent = Vec::with_capacity(3 + self.headers.len() + self.custom.expose().len());
        for (name, value) in [
            ("Content-Type", "application/json"),
            ("User-Agent", self.user_agent),
            ("Accept-Encoding", "identity"),
        ] {
            sent.push((name.to_owned(), value.to_owned()));
        }
        sent.extend(
            self.headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        sent.extend(
            self.custom
                .names()
                .map(|name| (name.to_owned(), HIDDEN_VALUE.to_owned())),
        );
        sent
    }
}

/// What a profile writes and what `check_headers` accepts is a header; the log is where to learn of one that is not.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .ok()
        .zip(HeaderValue::from_str(value).ok());
    if parsed.is_none() {
        tracing::error!(header = name, "a header that cannot be sent was left out");
    }
    parsed
}
