//! A customer's receiver: remembers every byte it was sent, and answers well or badly, as the test says.

mod wire;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::signature::{self, Invalid};
use crate::{PATIENCE, ports};

/// A receiver on a port of its own. Dropped, it is gone and its connections with it.
#[derive(Debug)]
pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
    /// `None` while it is down.
    serving: Mutex<Option<AbortHandle>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many requests have arrived.
    arrived: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Received>,
    /// How many of them `next` has returned.
    taken: usize,
    connections: usize,
    /// Answers to be given once each, in order, by path.
    scripts: HashMap<String, VecDeque<Reply>>,
    /// Answers when there is no script, by path.
    standing: HashMap<String, Reply>,
    /// The answer everywhere else.
    otherwise: Option<Reply>,
    /// Who answers instead of all of these.
    judge: Option<Judge>,
}

/// Looks at a request and chooses its answer.
#[derive(Clone)]
struct Judge(Arc<dyn Fn(&Received) -> Reply + Send + Sync>);

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

impl Receiver {
    /// A receiver that answers 200 until told otherwise.
    pub async fn start() -> Self {
        let listener = ports::listener();
        let addr = listener.local_addr().expect("a bound listener has an address");
        let receiver = Self {
            addr,
            shared: Arc::new(Shared {
                state: Mutex::default(),
                arrived: watch::Sender::new(0),
            }),
            serving: Mutex::new(None),
        };
        receiver.serve(listener);
        receiver
    }

    /// A receiver that always gives this answer.
    pub async fn answering(reply: Reply) -> Self {
        let receiver = Self::start().await;
        receiver.always(reply);
        receiver
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL for a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// From now on, this answer wherever no script or path has its own.
    pub fn always(&self, reply: Reply) {
        self.lock().otherwise = Some(reply);
    }

    /// From now on, this answer on this path when its script is used up.
    pub fn always_on(&self, path: &str, reply: Reply) {
        self.lock().standing.insert(path.to_owned(), reply);
    }

    /// The next answers on this path, once each, in order.
    pub fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.lock()
            .scripts
            .entry(path.to_owned())
            .or_default()
            .extend(replies);
    }

    /// From now on, every request is shown to this judge, who chooses its answer. Nothing is remembered then: a long
    /// run would not fit, and the judge can keep what it needs.
    pub fn judge(&self, judge: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        self.lock().judge = Some(Judge(Arc::new(judge)));
    }

    /// Everything that has arrived, in order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.lock().requests.clone()
    }

    /// The ids of the events that were answered 2xx, in order of arrival: what this receiver says that it has.
    pub fn taken(&self) -> Vec<String> {
        let is_taken =
            |request: &&Received| request.answer.is_some_and(|status| (200..300).contains(&status));
        self.lock()
            .requests
            .iter()
            .filter(is_taken)
            .map(|request| request.event_id().to_owned())
            .collect()
    }

    /// What has arrived on a path.
    pub fn requests_on(&self, path: &str) -> Vec<Received> {
        self.requests()
            .into_iter()
            .filter(|request| request.path == path)
            .collect()
    }

    /// How many connections were made to it, requests or not.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Wait until this many requests have arrived, and return all.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(&format!("{count} requests"), |requests| requests.len() >= count)
            .await
    }

    /// Wait until this many requests have arrived on a path, and return those.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn wait_for_on(&self, path: &str, count: usize) -> Vec<Received> {
        let awaited = format!("{count} requests on {path}");
        let enough = |requests: &[Received]| requests.iter().filter(|r| r.path == path).count() >= count;
        self.wait_until(&awaited, enough).await;
        self.requests_on(path)
    }

    /// Wait until the requests satisfy a condition, and return all. It is asked again after each arrival.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn wait_until(
        &self,
        awaited: &str,
        mut enough: impl FnMut(&[Received]) -> bool,
    ) -> Vec<Received> {
        let mut arrived = self.shared.arrived.subscribe();
        let patience = async {
            loop {
                arrived.borrow_and_update();
                let requests = self.requests();
                if enough(&requests) {
                    return requests;
                }
                arrived
                    .changed()
                    .await
                    .expect("the sender lives as long as the receiver");
            }
        };
        match timeout(PATIENCE, patience).await {
            Ok(requests) => requests,
            Err(_) => panic!(
                "the receiver waited {PATIENCE:?} in vain for {awaited}; it has {} requests",
                self.requests().len()
            ),
        }
    }

    /// The next request that this has not returned yet.
    ///
    /// # Panics
    /// When none comes.
    pub async fn next(&self) -> Received {
        let wanted = {
            let mut state = self.lock();
            state.taken += 1;
            state.taken
        };
        self.wait_for(wanted).await.swap_remove(wanted - 1)
    }

    /// Close the port and break all connections, as a crash would. Connecting is refused then.
    pub fn go_down(&self) {
        if let Some(serving) = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take() {
            serving.abort();
        }
    }

    /// Listen again on the same port.
    pub async fn come_back(&self) {
        let listener = crate::eventually("the receiver's port to be free again", async || {
            std::net::TcpListener::bind(self.addr).ok()
        })
        .await;
        self.serve(listener);
    }

    fn serve(&self, listener: std::net::TcpListener) {
        listener
            .set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        let listener = TcpListener::from_std(listener).expect("we are inside a runtime");
        let shared = self.shared.clone();
        let serving = tokio::spawn(async move {
            // Dropped with this task, the connections are aborted.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let number = {
                    let mut state = shared.lock();
                    state.connections += 1;
                    state.connections
                };
                connections.spawn(wire::converse(stream, number, shared.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving.abort_handle());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.go_down();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remember a request and choose its answer.
    fn received(&self, mut request: Received) -> Reply {
        let mut state = self.lock();
        if let Some(Judge(judge)) = state.judge.clone() {
            drop(state);
            return judge(&request);
        }
        let scripted = state.scripts.get_mut(&request.path).and_then(VecDeque::pop_front);
        let reply = scripted
            .or_else(|| state.standing.get(&request.path).cloned())
            .or_else(|| state.otherwise.clone())
            .unwrap_or_else(|| Reply::status(200));
        request.answer = reply.to_status();
        state.requests.push(request);
        let count = state.requests.len();
        drop(state);
        self.arrived.send_replace(count);
        reply
    }
}

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Its headers, in order and in the sender's case.
    pub headers: Vec<(String, String)>,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// When it was complete.
    pub at: Instant,
    /// The same by the wall clock.
    pub wall: SystemTime,
    /// Which connection carried it, counted from 1.
    pub connection: usize,
    /// The status of the answer that was chosen for it, if that has one.
    pub answer: Option<u16>,
}

impl Received {
    /// The value of a header, whatever its case, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The value of a header that must be there exactly once.
    ///
    /// # Panics
    /// When it is missing or repeated.
    #[track_caller]
    pub fn the(&self, name: &str) -> &str {
        let count = self
            .headers
            .iter()
            .filter(|(given, _)| given.eq_ignore_ascii_case(name))
            .count();
        assert_eq!(count, 1, "{name} should be there once: {:?}", self.headers);
        self.header(name).expect("it was just counted")
    }

    /// The event's id, from its header.
    #[track_caller]
    pub fn event_id(&self) -> &str {
        self.the("BuildWorkPro-Event-Id")
    }

    /// The delivery's id, from its header.
    #[track_caller]
    pub fn delivery_id(&self) -> &str {
        self.the("BuildWorkPro-Delivery-Id")
    }

    /// The event's type, from its header.
    #[track_caller]
    pub fn event_type(&self) -> &str {
        self.the("BuildWorkPro-Event")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// Verify the signature by this receiver's clock; returns the time of signing, in seconds since 1970.
    ///
    /// # Errors
    /// See [`Invalid`].
    pub fn verify(&self, secret: &str) -> Result<u64, Invalid> {
        let now = self
            .wall
            .duration_since(UNIX_EPOCH)
            .expect("it is after 1970")
            .as_secs();
        signature::verify(
            secret,
            self.header(signature::HEADER).unwrap_or_default(),
            &self.body,
            now,
        )
    }
}

/// What a receiver does with a request that it has read.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A complete answer.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers, besides the length.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Bytes,
    },
    /// Nothing, for as long as the sender waits.
    Hang,
    /// A status line, then a header byte at a time, without end.
    TrickleHeaders {
        /// The pause after each byte.
        every: Duration,
    },
    /// Complete headers, then a byte of the body at a time, without end.
    TrickleBody {
        /// The answer's status.
        status: u16,
        /// The pause after each byte.
        every: Duration,
    },
    /// Complete headers, then a body without end, as fast as the sender reads.
    EndlessBody {
        /// The answer's status.
        status: u16,
    },
    /// A reset connection, and not a byte of an answer.
    Reset,
    /// Complete headers and half the body, then a reset (G21).
    AnswerThenReset {
        /// The answer's status.
        status: u16,
    },
    /// These bytes, whatever they mean, then the end of the connection.
    Raw(Bytes),
    /// The answer inside, once the gate opens.
    Behind(Gate, Box<Reply>),
    /// The answer inside, after this long: a slow receiver.
    After(Duration, Box<Reply>),
}

impl Reply {
    /// An empty answer with this status.
    pub fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: vec![],
            body: Bytes::new(),
        }
    }

    /// The status that the sender will see.
    fn to_status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. }
            | Self::TrickleBody { status, .. }
            | Self::EndlessBody { status }
            | Self::AnswerThenReset { status } => Some(*status),
            Self::Behind(_, inner) | Self::After(_, inner) => inner.to_status(),
            Self::Hang | Self::TrickleHeaders { .. } | Self::Reset | Self::Raw(_) => None,
        }
    }

    /// The answer with one header more.
    ///
    /// # Panics
    /// When it is no complete answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let Self::Answer { headers, .. } = &mut self else {
            panic!("only a complete answer has headers")
        };
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The answer with this body.
    ///
    /// # Panics
    /// When it is no complete answer.
    #[must_use]
    pub fn body(mut self, text: impl Into<Bytes>) -> Self {
        let Self::Answer { body, .. } = &mut self else {
            panic!("only a complete answer has a body of its own")
        };
        *body = text.into();
        self
    }

    /// The answer, once the gate opens.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Self {
        Self::Behind(gate.clone(), Box::new(self))
    }

    /// The answer, after this long.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self::After(wait, Box::new(self))
    }
}

/// Holds answers back until it is opened. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Open it for good.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Wait until it is open.
    pub async fn opened(&self) {
        let opened = self.0.subscribe().wait_for(|open| *open).await.is_ok();
        assert!(opened, "the gate holds its sender");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpClient;
    use hyper::Method;

    #[tokio::test]
    async fn it_remembers_what_came_and_answers_by_the_script() {
        let receiver = Receiver::start().await;
        receiver.script(
            "/a",
            [Reply::status(500), Reply::status(429).header("Retry-After", "7")],
        );
        receiver.always_on("/b", Reply::status(404).body("no"));
        let client = HttpClient::new();
        let mut answers = vec![];
        for path in ["/a", "/a", "/a", "/b"] {
            let sent = client
                .send(Method::POST, &receiver.url(path), &[("X-Team", "blue")], "{ }")
                .await;
            let answer = sent.expect("it answers");
            answers.push((
                answer.status.as_u16(),
                answer.header("retry-after").map(str::to_owned),
                answer.text(),
            ));
        }
        let statuses: Vec<_> = answers.iter().map(|(status, ..)| *status).collect();
        assert_eq!(statuses, [500, 429, 200, 404]);
        assert_eq!(
            (answers[1].1.as_deref(), answers[3].2.as_str()),
            (Some("7"), "no")
        );

        let first = receiver.next().await;
        assert_eq!(
            (first.method.as_str(), first.the("x-team"), &first.body[..]),
            ("POST", "blue", &b"{ }"[..])
        );
        assert_eq!(receiver.wait_for(4).await.len(), 4);
        assert_eq!(receiver.connections(), 1, "a connection is kept alive");
    }

    #[tokio::test]
    async fn it_misbehaves_on_request_and_comes_back_on_its_port() {
        let receiver = Receiver::start().await;
        let client = HttpClient::new();
        receiver.script("/", [Reply::Reset, Reply::AnswerThenReset { status: 200 }]);
        for _ in 0..2 {
            client
                .send(Method::GET, &receiver.url("/"), &[], "")
                .await
                .expect_err("it is cut off");
        }
        receiver.go_down();
        crate::eventually("a refusal", async || {
            client.send(Method::GET, &receiver.url("/"), &[], "").await.err()
        })
        .await;
        receiver.come_back().await;
        client
            .send(Method::GET, &receiver.url("/"), &[], "")
            .await
            .expect("it is back")
            .expect(200);
    }

    #[tokio::test]
    async fn a_gate_holds_an_answer_back() {
        let (receiver, gate) = (Receiver::start().await, Gate::closed());
        receiver.always(Reply::status(204).behind(&gate));
        let asking = tokio::spawn({
            let url = receiver.url("/");
            async move { HttpClient::new().send(Method::POST, &url, &[], "").await }
        });
        receiver.next().await;
        assert!(!asking.is_finished());
        gate.open();
        asking.await.expect("it ends").expect("it answers").expect(204);
    }
}
