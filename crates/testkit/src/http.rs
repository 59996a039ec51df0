//! A small HTTP client: what a test sends, and the whole answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// Ends a hang; generous, because a batch is large and the machine may be busy.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// A client with a pool of connections. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct HttpClient {
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient {
    /// A client without connections yet.
    pub fn new() -> Self {
        Self {
            pool: Pool::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Send a request and read the whole answer.
    ///
    /// # Errors
    /// What went wrong, in words: no connection, a broken one, or no answer for a minute.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a test gives valid header names");
            let value: HeaderValue = value.parse().expect("a test gives valid header values");
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body.into()))
            .expect("a test gives a valid URL");
        let answering = async {
            let response = self.pool.request(request).await.map_err(|error| words(&error))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| words(&error))?.to_bytes();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        timeout(ANSWER_PATIENCE, answering)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {ANSWER_PATIENCE:?}")))
            .map_err(|error| format!("{method} {url}: {error}"))
    }
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "{} with a body that is not JSON ({error}): {}",
                self.status,
                self.text()
            )
        })
    }

    /// A header's value, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The answer itself, if it has this status.
    ///
    /// # Panics
    /// When it has another one; the message shows the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}
