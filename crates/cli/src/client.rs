//! The management API, as a developer's machine calls it.

mod failure;
mod live;
mod sse;
pub(crate) mod wire;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::timeout;

use self::wire::{Envelope, Page};
use crate::arguments::Access;

pub(crate) use self::failure::{ClientError, ProblemKind};
pub(crate) use self::live::{Happening, Live, Start};

/// The longest that the API may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a connection may take to come about.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes: a page of a hundred of the largest events.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most that one page of a list has.
const PAGE_MAX: usize = 100;
const OURSELVES: &str = concat!("plumbline-cli/", env!("CARGO_PKG_VERSION"));

/// What requests go out through: a pool of connections, with TLS by the system's certificate authorities.
pub(crate) type Http = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A fresh pool of connections.
///
/// # Errors
/// When the system's certificate authorities cannot be read: why.
pub(crate) fn http() -> Result<Http, ClientError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let tls = HttpsConnectorBuilder::new().with_native_roots();
    let connector = tls
        .map_err(ClientError::Roots)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Pool::builder(TokioExecutor::new()).build(connector))
}

/// A tenant's client. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Client {
    http: Http,
    base: String,
    authorization: HeaderValue,
}

impl Client {
    /// A client for where `access` leads.
    ///
    /// # Errors
    /// [`ClientError::NoUrl`], [`ClientError::NoKey`] and [`ClientError::BadKey`], which name the settings.
    pub(crate) fn new(access: &Access) -> Result<Self, ClientError> {
        let base = access.url.clone().ok_or(ClientError::NoUrl)?;
        let key = access.api_key.as_ref().ok_or(ClientError::NoKey)?;
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| ClientError::BadKey)?;
        authorization.set_sensitive(true);
        Ok(Self {
            http: http()?,
            base,
            authorization,
        })
    }

    /// Where the API is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The `data` at a path below `/api/v1/`, as it was written.
    pub(crate) async fn get(&self, path: &str, query: &Query) -> Result<Box<RawValue>, ClientError> {
        self.call(Method::GET, &query.after(path), Bytes::new()).await
    }

    /// As [`get`](Self::get), read as what it is.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
    ) -> Result<T, ClientError> {
        wire::read(&self.get(path, query).await?)
    }

    /// Change something, with this JSON for a body (empty for none): the `data` of the answer.
    pub(crate) async fn change(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Box<RawValue>, ClientError> {
        self.call(method, path, body.into()).await
    }

    /// The first `limit` elements of a list.
    pub(crate) async fn list(
        &self,
        path: &str,
        query: &Query,
        limit: usize,
    ) -> Result<Vec<Box<RawValue>>, ClientError> {
        let (mut all, mut query) = (vec![], query.clone());
        loop {
            let rest = limit - all.len();
            query.set("limit", &rest.clamp(1, PAGE_MAX));
            let answer = self.send(Method::GET, &query.after(path), Bytes::new()).await?;
            let page: Page = wire::read_bytes(&answer)?;
            all.extend(page.data);
            match page.meta.pagination.cursor {
                Some(cursor) if all.len() < limit => query.set("cursor", &cursor),
                _ => {
                    all.truncate(limit);
                    return Ok(all);
                }
            }
        }
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Box<RawValue>, ClientError> {
        let answer = self.send(method, path, body).await?;
        if answer.is_empty() {
            return Ok(RawValue::NULL.to_owned());
        }
        let envelope: Envelope = wire::read_bytes(&answer)?;
        Ok(envelope.data)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let answering = async {
            let response = self.ask(method, path, body, &[]).await?;
            self.body(response).await
        };
        timeout(ANSWER_TIMEOUT, answering)
            .await
            .unwrap_or_else(|_| Err(self.unreachable(format!("no answer within {ANSWER_TIMEOUT:?}"))))
    }

    /// Send a request and wait for a yes; a no is an error with its reasons.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        headers: &[(&'static str, HeaderValue)],
    ) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v1/{path}", self.base))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(USER_AGENT, OURSELVES)
            .header(ACCEPT, "application/json, text/event-stream");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value.clone());
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| self.unreachable(error.to_string()))?;
        let response = self.http.request(request).await;
        let response = response.map_err(|error| self.unreachable(words(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await?;
        Err(failure::of_answer(&self.base, status, &body))
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => ClientError::Unreadable(format!("it has more than {ANSWER_BYTES_MAX} bytes")),
            false => self.unreachable(words(&*error)),
        })?;
        Ok(body.to_bytes())
    }

    fn unreachable(&self, why: String) -> ClientError {
        ClientError::Unreachable {
            base: self.base.clone(),
            why,
        }
    }
}

/// The parameters of a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Set a parameter.
    pub(crate) fn set(&mut self, name: &'static str, value: &impl ToString) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.to_string()));
    }

    /// Set a parameter where there is a value.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.set(name, &value);
        }
        self
    }

    fn after(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.0);
        format!("{path}?{}", query.finish())
    }
}

/// A segment of a path, of whatever a developer typed.
pub(crate) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

/// An error with its causes, none of them twice. That it was the client's says nothing beside its cause.
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let error = match error.source() {
        Some(cause) if error.is::<hyper_util::client::legacy::Error>() => cause,
        _ => error,
    };
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words
}

/// Whether an answer's status is one that a later request may not get.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}
