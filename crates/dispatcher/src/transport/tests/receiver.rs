//! A receiver made of raw TCP: each test scripts its bytes and their timing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(super) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    callers: Mutex<Vec<SocketAddr>>,
    requests: Mutex<Vec<Request>>,
    changed: Notify,
}

impl Receiver {
    /// Each connection, numbered from 0, runs the script.
    pub(super) async fn start<S, F>(script: S) -> Self
    where
        S: Fn(Connection, usize) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(super) async fn start_at<S, F>(address: &str, script: S) -> Self
    where
        S: Fn(Connection, usize) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address)
            .await
            .expect("an address of this machine");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::<Seen>::default();
        let accepting = tokio::spawn({
            let seen = seen.clone();
            async move {
                let mut scripts = JoinSet::new();
                for number in 0.. {
                    let (stream, caller) = listener.accept().await.expect("a connection");
                    seen.callers.lock().push(caller);
                    seen.changed.notify_waiters();
                    let connection = Connection {
                        stream: BufReader::new(stream),
                        seen: seen.clone(),
                    };
                    scripts.spawn(script(connection, number));
                }
            }
        });
        Self {
            address,
            seen,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// Answers every request with these bytes, and keeps the connection.
    pub(super) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |mut connection, _| {
            let bytes = bytes.clone();
            async move {
                while connection.request().await.is_some() {
                    connection.send(&bytes).await;
                }
            }
        })
        .await
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// This receiver under a name.
    pub(super) fn url_as(&self, name: &str) -> String {
        format!("http://{name}:{}/hook", self.address.port())
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().clone()
    }

    /// How many connections were made to it up to now: those that the kernel holds before one of our own.
    pub(super) async fn connections(&self) -> usize {
        let probe = TcpStream::connect(self.address)
            .await
            .expect("the receiver listens");
        let probe = probe.local_addr().expect("it is connected");
        self.until(|seen| {
            let mut callers = seen.callers.lock();
            let before = callers.iter().position(|caller| *caller == probe)?;
            callers.remove(before);
            Some(before)
        })
        .await
    }

    async fn until<T>(&self, mut done: impl FnMut(&Seen) -> Option<T>) -> T {
        loop {
            let changed = self.seen.changed.notified();
            if let Some(result) = done(&self.seen) {
                return result;
            }
            within(changed).await;
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    seen: Arc<Seen>,
}

impl Connection {
    /// The next request, or `None` when the caller has closed.
    pub(super) async fn request(&mut self) -> Option<Request> {
        let head = self.head().await?;
        let mut request = Request { head, body: vec![] };
        let length = request
            .header("Content-Length")
            .map_or(0, |length| length.parse().expect("a number"));
        request.body.resize(length, 0);
        self.stream.read_exact(&mut request.body).await.ok()?;
        self.seen.requests.lock().push(request.clone());
        Some(request)
    }

    /// The head of the next request only.
    pub(super) async fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        Some(head)
    }

    /// Sends what it can.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Sends a byte at a time for ever.
    pub(super) async fn trickle(&mut self, bytes: &[u8]) {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for byte in bytes.iter().cycle() {
            ticks.tick().await;
            if !self.send([*byte]).await {
                return;
            }
        }
    }

    /// Its socket.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Until the caller has closed.
    pub(super) async fn closed(&mut self) {
        let mut rest = vec![];
        let _ = self.stream.read_to_end(&mut rest).await;
    }

    /// Closes so that the caller sees a reset rather than an end.
    pub(super) fn reset(self) {
        socket2::SockRef::from(self.stream.get_ref())
            .set_linger(Some(Duration::ZERO))
            .expect("an open socket");
    }
}

/// What is not waited for in vain: a test that would hang fails instead.
pub(super) async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future)
        .await
        .expect("it happens within 20 s")
}
