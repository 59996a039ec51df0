//! The port that operators, orchestrators and Prometheus ask: `/metrics`, `/livez`, `/readyz`.
//!
//! It is meant for the inside of a network and has no authentication. One request per connection, and
//! every connection has a deadline, so nobody can hold it open for ever.

mod at_scrape;
mod itself;
mod readiness;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

pub use self::at_scrape::AtScrape;
use self::itself::Itself;
pub use self::readiness::{FailingCheck, Readiness, ReadinessStatus, ReadyFlag};
use crate::shutdown::Shutdown;

/// Connections served at once; the next ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// Longest a client may take to send its request.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest a connection lives, answer included.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Longest the server waits for answers in flight once it is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Pause after a failed accept, which is most likely a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METRICS: HeaderValue = HeaderValue::from_static(prometheus::TEXT_FORMAT);

/// What the admin port shows.
#[derive(Clone, Debug)]
pub struct AdminState {
    registry: Registry,
    readiness: Readiness,
}

impl AdminState {
    /// Show `registry` on `/metrics` and `readiness` on `/readyz`.
    ///
    /// What every process tells of itself is added to the registry, unless it has it: its readiness, its release, the
    /// memory that it may use; on Linux also CPU, memory, file descriptors and threads.
    pub fn new(registry: Registry, readiness: Readiness) -> Self {
        let itself = Itself::new(readiness.clone()).and_then(|itself| registry.register(Box::new(itself)));
        match itself {
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => warn!(%error, "the process's readiness will be missing from /metrics"),
        }
        #[cfg(target_os = "linux")]
        {
            use prometheus::process_collector::ProcessCollector;
            match registry.register(Box::new(ProcessCollector::for_self())) {
                Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
                Err(error) => warn!(%error, "the process's own metrics will be missing from /metrics"),
            }
        }
        Self { registry, readiness }
    }
}

/// A bound admin port.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    local_addr: SocketAddr,
    state: AdminState,
}

impl AdminServer {
    /// Take the address. Port 0 lets the system choose. Connections wait until [`serve`](Self::serve).
    ///
    /// Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The operating system's, such as an address in use; the message names the address.
    pub fn bind(addr: SocketAddr, state: AdminState) -> io::Result<Self> {
        let listen = || {
            let listener = StdTcpListener::bind(addr)?;
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let local_addr = listener.local_addr()?;
            Ok((listener, local_addr))
        };
        let (listener, local_addr) = listen().map_err(|error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on admin address {addr}: {error}"),
            )
        })?;
        Ok(Self {
            listener,
            local_addr,
            state,
        })
    }

    /// The address taken, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answer until `stop` is requested, then at most one second more for answers in flight.
    ///
    /// Give it a [`Shutdown::manual`] of its own, triggered after everything else has stopped: during the
    /// drain the port must go on saying that the process lives and is not ready.
    pub async fn serve(self, stop: Shutdown) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.requested() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(serve_connection(stream, self.state.clone()));
                    }
                    Err(error) => {
                        warn!(%error, "admin port cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        // What is left after the grace is aborted with the set.
        let _ = timeout(STOP_GRACE, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
    }
}

async fn serve_connection(stream: TcpStream, state: AdminState) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(respond(&state, request.method(), request.uri()).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "admin connection failed"),
        Err(_) => debug!("admin connection took too long"),
    }
}

async fn respond(state: &AdminState, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
    let path = uri.path();
    let is_read = *method == Method::GET || *method == Method::HEAD;
    match path {
        "/metrics" | "/livez" | "/readyz" if !is_read => {
            let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/metrics" => metrics(state.registry.clone()).await,
        "/livez" => answer(StatusCode::OK, TEXT, "alive"),
        "/readyz" => ready(&state.readiness, uri.query().unwrap_or_default()),
        _ => answer(StatusCode::NOT_FOUND, TEXT, "only /metrics, /livez and /readyz\n"),
    }
}

/// Gathering reads `/proc`, which blocks; a worker that moves messages should not wait for it.
async fn metrics(registry: Registry) -> Response<Full<Bytes>> {
    let gathered = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&registry.gather(), &mut text)
            .map(|()| text)
    });
    match gathered.await {
        Ok(Ok(text)) => answer(StatusCode::OK, METRICS, text),
        Ok(Err(error)) => {
            error!(%error, "metrics cannot be written as text");
            answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "metrics cannot be written; see the log\n",
            )
        }
        Err(error) => {
            error!(%error, "metrics cannot be gathered");
            answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "metrics cannot be gathered; see the log\n",
            )
        }
    }
}

/// `ignore=NAME` leaves a check out: an API accepts events without its broker, and a load balancer that took it away for
/// that would make the broker's outage its own.
fn ready(readiness: &Readiness, query: &str) -> Response<Full<Bytes>> {
    let is_ignored = |check: &FailingCheck| {
        query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("ignore="))
            .any(|name| name == check.check)
    };
    let (status, failing) = match readiness.status() {
        ReadinessStatus::Ready => return answer(StatusCode::OK, TEXT, "ready"),
        ReadinessStatus::NotReady(failing) if failing.iter().all(is_ignored) => {
            return answer(StatusCode::OK, TEXT, "ready");
        }
        ReadinessStatus::NotReady(failing) => ("not_ready", failing),
        ReadinessStatus::Draining(failing) => ("draining", failing),
    };
    let body = serde_json::json!({ "status": status, "failing": failing });
    answer(StatusCode::SERVICE_UNAVAILABLE, JSON, body.to_string())
}

fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::IntCounter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    struct Port {
        addr: SocketAddr,
        readiness: Readiness,
        stop: Shutdown,
        serving: JoinHandle<()>,
    }

    impl Port {
        fn open() -> Self {
            let registry = Registry::new();
            let counter = IntCounter::new("sample_total", "A sample.").expect("the name is valid");
            registry.register(Box::new(counter)).expect("it is the first");
            let readiness = Readiness::new();
            let state = AdminState::new(registry, readiness.clone());
            let server = AdminServer::bind(([127, 0, 0, 1], 0).into(), state).expect("a port is free");
            let (addr, stop) = (server.local_addr(), Shutdown::manual());
            let serving = tokio::spawn(server.serve(stop.clone()));
            Self {
                addr,
                readiness,
                stop,
                serving,
            }
        }

        /// The whole response to `method path`, which also shows that the server closes.
        async fn ask(&self, method: &str, path: &str) -> String {
            let mut stream = TcpStream::connect(self.addr).await.expect("it listens");
            let request = format!("{method} {path} HTTP/1.1\r\nhost: admin\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("it reads");
            let mut response = String::new();
            stream
                .read_to_string(&mut response)
                .await
                .expect("it answers and closes");
            response
        }

        async fn check(&self, method: &str, path: &str, status: u16, parts: &[&str]) {
            let response = self.ask(method, path).await;
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status} ")),
                "{method} {path}: {response}"
            );
            for part in parts {
                assert!(
                    response.contains(part),
                    "{method} {path}: no {part:?} in {response}"
                );
            }
        }
    }

    #[tokio::test]
    async fn metrics_show_the_registry_and_the_process() {
        let port = Port::open();
        port.check(
            "GET",
            "/metrics",
            200,
            &[
                "content-type: text/plain; version=0.0.4",
                "# HELP sample_total A sample.",
                "sample_total 0",
            ],
        )
        .await;
        #[cfg(target_os = "linux")]
        port.check(
            "GET",
            "/metrics?name=x",
            200,
            &[
                "process_resident_memory_bytes",
                "process_open_fds",
                "process_max_fds",
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn metrics_follow_readiness() {
        let port = Port::open();
        let database = port.readiness.check("database");
        for (is_ready, lines) in [
            (
                false,
                [
                    "plumbline_ready 0",
                    r#"plumbline_check_ready{check="database"} 0"#,
                ],
            ),
            (
                true,
                [
                    "plumbline_ready 1",
                    r#"plumbline_check_ready{check="database"} 1"#,
                ],
            ),
        ] {
            if is_ready {
                database.set_ready();
            }
            port.check("GET", "/metrics", 200, &lines).await;
        }
        port.check("GET", "/metrics", 200, &["plumbline_draining 0"])
            .await;
        port.readiness.set_draining();
        port.check(
            "GET",
            "/metrics",
            200,
            &["plumbline_ready 0", "plumbline_draining 1"],
        )
        .await;
    }

    #[tokio::test]
    async fn a_registry_may_be_shown_twice() {
        let registry = Registry::new();
        AdminState::new(registry.clone(), Readiness::new());
        AdminState::new(registry, Readiness::new());
    }

    #[tokio::test]
    async fn readiness_names_every_failing_check_and_why() {
        let port = Port::open();
        let database = port.readiness.check("database");
        let broker = port.readiness.check("broker");
        port.check(
            "GET",
            "/readyz",
            503,
            &[
                "content-type: application/json",
                r#""status":"not_ready""#,
                r#"{"check":"database","reason":"starting"}"#,
                r#"{"check":"broker","reason":"starting"}"#,
            ],
        )
        .await;

        database.set_ready();
        broker.set_not_ready("connection \"refused\"");
        let response = port.ask("GET", "/readyz").await;
        assert!(
            response.contains(r#""failing":[{"check":"broker","reason":"connection \"refused\""}]"#),
            "{response}"
        );

        // Who can do without it says so; what else fails, and the end, are not ignored.
        let without = "/readyz?a=b&ignore=broker";
        port.check("GET", without, 200, &["\r\n\r\nready"]).await;
        port.check("GET", "/readyz?ignore=database", 503, &[]).await;
        database.set_not_ready("gone");
        port.check(
            "GET",
            without,
            503,
            &[r#""check":"broker""#, r#""check":"database""#],
        )
        .await;

        database.set_ready();
        broker.set_ready();
        port.check("GET", "/readyz", 200, &["\r\n\r\nready"]).await;
        broker.set_not_ready("gone");
        port.readiness.set_draining();
        port.check("GET", without, 503, &[r#""status":"draining""#]).await;
    }

    #[tokio::test]
    async fn a_draining_process_lives_but_is_not_ready() {
        let port = Port::open();
        port.readiness.check("database").set_ready();
        port.readiness.set_draining();
        port.check("GET", "/readyz", 503, &[r#""status":"draining""#])
            .await;
        port.check("GET", "/livez", 200, &["\r\n\r\nalive"]).await;
    }

    #[tokio::test]
    async fn only_what_it_has_is_answered_and_only_reads() {
        let port = Port::open();
        port.check("GET", "/", 404, &[]).await;
        port.check("POST", "/nowhere", 404, &[]).await;
        for path in ["/metrics", "/livez", "/readyz"] {
            port.check("POST", path, 405, &["allow: GET, HEAD"]).await;
        }
        let head = port.ask("HEAD", "/livez").await;
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
    }

    // Time jumps ahead whenever every task waits, so the deadlines pass at once.
    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let port = Port::open();
        for sent in ["", "GET /livez HTTP/1.1\r\nhost: a"] {
            let mut stream = TcpStream::connect(port.addr).await.expect("it listens");
            stream.write_all(sent.as_bytes()).await.expect("it reads");
            let mut rest = Vec::new();
            // A reset ends it as well as a close does.
            let _ = stream.read_to_end(&mut rest).await;
        }
    }

    #[tokio::test]
    async fn more_connections_than_the_cap_wait_their_turn() {
        let port = Port::open();
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            idle.push(TcpStream::connect(port.addr).await.expect("it listens"));
        }
        let asking = port.ask("GET", "/livez");
        tokio::pin!(asking);
        assert!(
            timeout(Duration::from_millis(200), &mut asking).await.is_err(),
            "the cap did not hold"
        );
        drop(idle);
        assert!(asking.await.contains("alive"));
    }

    #[tokio::test]
    async fn it_stops_when_told_and_not_for_an_idle_client() {
        let port = Port::open();
        let _idle = TcpStream::connect(port.addr).await.expect("it listens");
        port.check("GET", "/livez", 200, &[]).await;
        port.stop.trigger();
        port.serving.await.expect("serving ends");
        assert!(TcpStream::connect(port.addr).await.is_err());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let port = Port::open();
        let state = AdminState::new(Registry::new(), Readiness::new());
        let error = AdminServer::bind(port.addr, state).expect_err("the address is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&port.addr.to_string()));
    }
}
