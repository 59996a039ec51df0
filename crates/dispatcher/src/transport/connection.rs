//! One connection to a receiver, and one request on it.
//!
//! HTTP/1.1 connections have no task of their own: the attempt that uses one drives it, so a request costs no switch
//! between tasks, and dropping the attempt closes the connection. HTTP/2 connections are shared, so each has a task.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use plumbline_domain::{Answer, Timing};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{self, BodyEnd};
use super::failure::{Deadline, Failure, Stage, was_declined};
use super::origin::{Origin, UriForm};
use super::request::AttemptRequest;
use super::socket::{Stream, Wire};
use super::timed;

/// The longest head of an answer, in bytes. Hyper allows a hundred headers in it.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What a receiver may send ahead of our reading: one body as we read it, and some of its neighbours.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// The most requests at once on one HTTP/2 connection; where the receiver wants fewer, the rest wait their turn.
const STREAMS_MAX: usize = 100;
/// How old a connection may grow: a receiver that adds instances behind its balancer sees its traffic move there.
const LIFE_MAX: Duration = Duration::from_secs(5 * 60);

/// Something that carries one request.
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(Lease),
}

/// Why there is no answer, and whether the request may be sent again at once.
pub(super) enum Unanswered {
    /// The receiver had left the connection after earlier requests, and has not looked at this one.
    Unsent,
    /// It may have been received, or there is no hope that another connection does better.
    Sent(Failure),
}

type Body = Full<Bytes>;
pub(super) type Driver = Pin<Box<http1::Connection<TokioIo<Stream>, Body>>>;

impl Connection {
    pub(super) async fn http1(stream: Stream, wire: Arc<Wire>, peer: SocketAddr) -> Result<Self, Failure> {
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::exchange(peer, &error))?;
        Ok(Self::Http1(Box::new(Http1 {
            sender,
            driver: Some(Box::pin(driver)),
            wire,
            peer,
            born: Instant::now(),
            idle_max: None,
            used: false,
            permit: None,
        })))
    }

    pub(super) async fn http2(stream: Stream, wire: &Arc<Wire>, peer: SocketAddr) -> Result<Self, Failure> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::exchange(peer, &error))?;
        // How it ends is told to each request.
        let task = tokio::spawn(async move { drop(driver.await) });
        let shared = Arc::new(Http2 {
            sender,
            wire: Arc::downgrade(wire),
            peer,
            born: Instant::now(),
            busy: AtomicUsize::new(0),
            used_ms: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            _task: AbortOnDropHandle::new(task),
        });
        Ok(Self::Http2(Lease::new(shared)))
    }

    /// The connection by itself, to be kept for another request; a shared one is kept already.
    pub(super) fn unused(self) -> Option<Box<Http1>> {
        match self {
            Self::Http1(mut connection) => {
                // From now on the receiver may leave it at any time, as if it had been used.
                connection.used = true;
                Some(connection)
            }
            Self::Http2(_) => None,
        }
    }

    /// Send a request and read its answer; also the connection, where it can carry another request by itself.
    pub(super) async fn post(
        self,
        origin: &Origin,
        request: &AttemptRequest,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<(Answer, Option<Box<Http1>>), Unanswered> {
        match self {
            Self::Http1(connection) => connection.post(origin, request, deadline, timing).await,
            Self::Http2(lease) => lease
                .0
                .post(origin, request, deadline, timing)
                .await
                .map(|answer| (answer, None)),
        }
    }
}

/// Carries one request at a time.
pub(super) struct Http1 {
    sender: http1::SendRequest<Body>,
    /// Absent once the connection has ended.
    driver: Option<Driver>,
    wire: Arc<Wire>,
    peer: SocketAddr,
    born: Instant,
    /// How long the receiver says that it keeps an unused connection.
    idle_max: Option<Duration>,
    used: bool,
    /// Its place among the connections that are kept; stays with it while it is in use.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Http1 {
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it may be used now, not having been used since then.
    pub(super) fn is_fresh(&self, idle_since: Instant, idle_max: Duration, now: Instant) -> bool {
        let idle_max = self.idle_max.map_or(idle_max, |own| own.min(idle_max));
        now.saturating_duration_since(idle_since) < idle_max
            && now.saturating_duration_since(self.born) < LIFE_MAX
    }

    async fn post(
        mut self: Box<Self>,
        origin: &Origin,
        request: &AttemptRequest,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<(Answer, Option<Box<Self>>), Unanswered> {
        let uri = origin
            .uri(&request.url, UriForm::Path)
            .map_err(Unanswered::Sent)?;
        let message = request.message(uri, Some(&origin.host));
        let written = self.wire.written();
        self.wire.allow_answer(1);
        let kept = std::mem::replace(&mut self.used, true);
        if kept {
            self.wire.doubt();
        }
        let sending = drive(&mut self.driver, self.sender.try_send_request(message));
        let sending = deadline.bound(Stage::Answer(self.peer), sending);
        let response = match timed(&mut timing.wait, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                return Err(if kept && self.wire.written() == written {
                    Unanswered::Unsent
                } else {
                    Unanswered::Sent(Failure::exchange(self.peer, error.error()))
                });
            }
            Err(late) => return Err(Unanswered::Sent(late)),
        };
        self.idle_max = keep_alive_timeout(response.headers());
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let ambiguous = says_its_length_twice(response.headers());
        let reading = answer::read(response, deadline, &mut self.driver);
        let (answer, end) = timed(&mut timing.read, reading).await;
        let reusable = end == BodyEnd::Read && !switched && !ambiguous && self.is_ready();
        Ok((answer, reusable.then_some(self)))
    }

    /// Let the connection find out that it is done with its request.
    ///
    /// With no one to wake: the attempt that used it is over, and the next one will look for itself.
    fn is_ready(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let open = self
            .driver
            .as_mut()
            .is_some_and(|driver| driver.as_mut().poll(&mut nobody).is_pending());
        open && self.sender.is_ready()
    }
}

/// Shared by many requests.
pub(super) struct Http2 {
    sender: http2::SendRequest<Body>,
    /// Lives as long as the connection.
    wire: Weak<Wire>,
    peer: SocketAddr,
    born: Instant,
    /// Requests that use it now.
    busy: AtomicUsize,
    /// When the last of them ended, in milliseconds after `born`.
    used_ms: AtomicU64,
    /// The receiver has left it, or let a request wait in vain on it, so that it may be dead without knowing: nobody
    /// else is sent its way.
    retired: AtomicBool,
    _task: AbortOnDropHandle<()>,
}

impl Http2 {
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether it is worth keeping.
    pub(super) fn is_fresh(&self, idle_max: Duration, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.born);
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        let idle = self.busy.load(Ordering::Relaxed) == 0 && age.saturating_sub(used) >= idle_max;
        !idle && age < LIFE_MAX && !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// Whether it can take one more request.
    pub(super) fn has_room(&self) -> bool {
        self.busy.load(Ordering::Relaxed) < STREAMS_MAX
    }

    async fn post(
        &self,
        origin: &Origin,
        request: &AttemptRequest,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Answer, Unanswered> {
        let uri = origin
            .uri(&request.url, UriForm::Absolute)
            .map_err(Unanswered::Sent)?;
        let message = request.message(uri, None);
        if let Some(wire) = self.wire.upgrade() {
            wire.allow_answer(STREAMS_MAX as u64);
        }
        let sending = self.sender.clone().try_send_request(message);
        let sending = deadline.bound(Stage::Answer(self.peer), sending);
        let response = match timed(&mut timing.wait, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                if error.message().is_none() && !was_declined(error.error()) {
                    return Err(Unanswered::Sent(Failure::exchange(self.peer, error.error())));
                }
                self.retired.store(true, Ordering::Relaxed);
                return Err(Unanswered::Unsent);
            }
            Err(late) => {
                self.retired.store(true, Ordering::Relaxed);
                return Err(Unanswered::Sent(late));
            }
        };
        let mut undriven = None;
        let reading = answer::read(response, deadline, &mut undriven);
        let (answer, _) = timed(&mut timing.read, reading).await;
        Ok(answer)
    }
}

/// A request's share of an HTTP/2 connection.
pub(super) struct Lease(Arc<Http2>);

impl Lease {
    pub(super) fn new(connection: Arc<Http2>) -> Self {
        connection.busy.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }

    pub(super) fn connection(&self) -> &Arc<Http2> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let used_ms = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.used_ms.store(used_ms, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drive the connection while waiting for something that it brings.
pub(super) async fn drive<F: Future>(driver: &mut Option<Driver>, awaited: F) -> F::Output {
    let mut awaited = pin!(awaited);
    poll_fn(|cx| {
        // How it ends is told to the request; dropping it tells whoever it has not told yet.
        if let Some(Poll::Ready(_)) = driver.as_mut().map(|driver| driver.as_mut().poll(cx)) {
            *driver = None;
        }
        awaited.as_mut().poll(cx)
    })
    .await
}

/// Whether whoever stands between us and the receiver may believe that the answer ends elsewhere than we do: what they
/// take for its rest would be the next answer (RFC 9112, 6.3).
fn says_its_length_twice(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

/// `Keep-Alive: timeout=5`, less a second in which the receiver's clock may run ahead of ours.
fn keep_alive_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let seconds = value.split(',').find_map(|parameter| {
        let (name, seconds) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("timeout")
            .then(|| seconds.trim().parse().ok())?
    })?;
    let kept = Duration::from_secs(seconds);
    Some(kept.saturating_sub(Duration::from_secs(1)).max(kept / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_how_long_it_keeps_a_connection() {
        for (value, expected_ms) in [
            ("timeout=5", Some(4_000)),
            ("Timeout = 5, max=1000", Some(4_000)),
            ("max=100, timeout=1", Some(500)),
            ("timeout=0", Some(0)),
            ("max=100", None),
            ("timeout=soon", None),
            ("timeout=99999999999999999999999999", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", value.parse().expect("a header value"));
            assert_eq!(
                keep_alive_timeout(&headers),
                expected_ms.map(Duration::from_millis),
                "{value}"
            );
        }
    }
}
