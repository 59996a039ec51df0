//! What is sent to an OpenTelemetry collector, beside the work and never in its way.
//!
//! A bounded queue, one task, one connection. Whoever hands something over never waits: what finds no room is dropped.
//! A collector that does not answer costs one warning, not one a second. What is sent, and how it reads, is the
//! caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::backoff::Backoff;
use crate::config::TraceArgs;
use crate::shutdown::Shutdown;

/// What waits to be sent at most, in items.
const QUEUE_MAX: usize = 4_096;
/// What one request carries at most, in items.
const BATCH_MAX: usize = 512;
/// How long a smaller batch gathers.
const GATHER_TIME: Duration = Duration::from_secs(1);
/// The longest that one request may take, dialling included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a batch is tried before it is dropped.
const TRIES_MAX: u32 = 4;
/// The longest wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes; only its end matters.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long the end may take: what is queued is sent within it, or dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes what is to be sent. Cloning is cheap.
#[derive(Debug)]
pub struct Outbox<T> {
    items: mpsc::Sender<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self {
            items: self.items.clone(),
            dropped: self.dropped.clone(),
        }
    }
}

impl<T> Outbox<T> {
    /// Hand something over; drop it where there is no room.
    pub fn put(&self, item: T) {
        if self.items.try_send(item).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The task that sends.
#[derive(Debug)]
pub struct Collector {
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Collector {
    /// Start sending batches, as `render` writes them, where the settings say; `None` where they name no collector.
    /// Must be called inside a Tokio runtime.
    pub fn start<T: Send + 'static>(
        args: &TraceArgs,
        render: impl Fn(&[T]) -> Vec<u8> + Send + 'static,
    ) -> Option<(Self, Outbox<T>)> {
        let url = args.otlp_endpoint.as_ref()?.traces().clone();
        let headers = args.otlp_headers.as_ref().map(|headers| headers.pairs().to_vec());
        let (items, inbox) = mpsc::channel(QUEUE_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let stop = Shutdown::manual();
        let sender = Sender {
            line: Line::new(url, headers.unwrap_or_default()),
            dropped: dropped.clone(),
            refused: None,
        };
        let task = tokio::spawn(sender.run(inbox, render, stop.clone()));
        Some((Self { stop, task }, Outbox { items, dropped }))
    }

    /// Send what is queued and end; what takes longer than two seconds is dropped.
    pub async fn close(mut self) {
        self.stop.trigger();
        if timeout(CLOSE_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

struct Sender {
    line: Line,
    /// What found no room, since it was last told of.
    dropped: Arc<AtomicU64>,
    /// What a collector that fails has cost since it began to.
    refused: Option<u64>,
}

impl Sender {
    async fn run<T>(
        mut self,
        mut inbox: mpsc::Receiver<T>,
        render: impl Fn(&[T]) -> Vec<u8>,
        stop: Shutdown,
    ) {
        let mut batch = Vec::new();
        loop {
            let taken = tokio::select! {
                taken = inbox.recv_many(&mut batch, BATCH_MAX) => taken,
                () = stop.requested() => {
                    inbox.close();
                    inbox.recv_many(&mut batch, BATCH_MAX).await
                }
            };
            if taken == 0 {
                return;
            }
            let gathering = async {
                while batch.len() < BATCH_MAX {
                    let room = BATCH_MAX - batch.len();
                    if inbox.recv_many(&mut batch, room).await == 0 {
                        break;
                    }
                }
            };
            tokio::select! {
                _ = timeout(GATHER_TIME, gathering) => {}
                () = stop.requested() => {}
            }
            self.send(render(&batch).into(), batch.len(), &stop).await;
            batch.clear();
        }
    }

    /// Send a batch, or drop it after some tries.
    async fn send(&mut self, body: Bytes, count: usize, stop: &Shutdown) {
        let mut backoff = Backoff::new(Duration::from_secs(1), PAUSE_MAX);
        for tries_left in (0..TRIES_MAX).rev() {
            let error = match timeout(REQUEST_TIMEOUT, self.line.post(body.clone())).await {
                Ok(Ok(())) => return self.tell_of_success(),
                Ok(Err(error)) => error,
                Err(_) => SendError::TimedOut,
            };
            self.tell_of_failure(&error);
            if tries_left == 0 || !error.is_transient() || stop.is_requested() {
                break;
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                // One more try, and that is that.
                () = stop.requested() => {}
            }
        }
        if let Some(refused) = &mut self.refused {
            *refused += count as u64;
        }
    }

    fn tell_of_failure(&mut self, error: &SendError) {
        if self.refused.is_none() {
            self.refused = Some(0);
            tracing::warn!(
                collector = self.line.name(),
                error = error as &dyn std::error::Error,
                "traces cannot be sent; what finds no room meanwhile is dropped, and the work goes on"
            );
        }
    }

    fn tell_of_success(&mut self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        match self.refused.take() {
            Some(refused) => tracing::info!(
                collector = self.line.name(),
                dropped = dropped + refused,
                "traces can be sent again"
            ),
            None if dropped > 0 => tracing::warn!(
                dropped,
                "spans were dropped: more are recorded than can be sent; record a smaller share (PLUMBLINE_TRACES_SAMPLER_ARG)"
            ),
            None => {}
        }
    }
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("no connection, or a broken one")]
    Http(#[from] hyper_util::client::legacy::Error),
    #[error("the URL and the headers make no request")]
    Request(#[from] http::Error),
    #[error("no answer within {} seconds", REQUEST_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the collector answered {0}")]
    Refused(StatusCode),
}

impl SendError {
    /// Whether the same batch may be taken later, by the rules of OTLP over HTTP.
    fn is_transient(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504),
            Self::Http(_) | Self::TimedOut => true,
            Self::Request(_) => false,
        }
    }
}

/// The way to the collector; dialled when something is to be sent, and kept.
struct Line {
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Line {
    /// TLS believes the system's certificates; where there are none, only `http` works, and `https` says why it does not.
    fn new(url: Url, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        crate::rustls_provider::install();
        let mut roots = RootCertStore::empty();
        if url.scheme() == "https" {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { url, headers, client }
    }

    /// For the log: its host and port, not its path.
    fn name(&self) -> &str {
        self.url.authority()
    }

    async fn post(&self, body: Bytes) -> Result<(), SendError> {
        let mut request = Request::post(self.url.as_str())
            .header(USER_AGENT, concat!("plumbline/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = self.client.request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again; whether that works changes nothing.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        if status.is_success() {
            Ok(())
        } else {
            Err(SendError::Refused(status))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use http::Response;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        traces: TraceArgs,
    }

    /// A collector that gives these answers, one after the other, and tells what it was sent.
    async fn collector(statuses: Vec<u16>) -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/base", listener.local_addr().expect("it is bound"));
        let (sent, received) = mpsc::unbounded_channel();
        let statuses = Arc::new(std::sync::Mutex::new(statuses.into_iter()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sent, statuses) = (sent.clone(), statuses.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (sent, statuses) = (sent.clone(), statuses.clone());
                    async move {
                        assert_eq!(request.uri().path(), "/base/v1/traces");
                        let body = request.into_body().collect().await?.to_bytes();
                        sent.send(body.to_vec()).expect("the test waits for it");
                        let status = statuses.lock().expect("nobody panics").next().unwrap_or(200);
                        let answer = Response::builder().status(status).body(Full::<Bytes>::default());
                        Ok::<_, hyper::Error>(answer.expect("a status"))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (url, received)
    }

    fn start(url: &str) -> Option<(Collector, Outbox<u8>)> {
        let settings = Settings::parse_from(["test", "--otlp-endpoint", url]);
        Collector::start(&settings.traces, |items: &[u8]| items.to_vec())
    }

    #[tokio::test]
    async fn what_is_refused_for_good_is_dropped_and_what_is_queued_is_sent_at_the_end() {
        let (url, mut received) = collector(vec![400]).await;
        let (collector, outbox) = start(&url).expect("a collector is named");
        outbox.put(1);
        outbox.put(2);
        assert_eq!(received.recv().await, Some(vec![1, 2]), "gathered");
        outbox.put(3);
        collector.close().await;
        assert_eq!(
            received.try_recv(),
            Ok(vec![3]),
            "the first batch did not come again, and the end did not wait"
        );
        outbox.put(4);
        assert_eq!(
            outbox.dropped.load(Ordering::Relaxed),
            1,
            "nobody is left to take it"
        );
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_nobody_waits() {
        // Nothing is taken from the queue before the test waits for something: it has one thread.
        let (collector, outbox) = start("http://127.0.0.1:9").expect("a collector is named");
        for _ in 0..QUEUE_MAX + 7 {
            outbox.put(0);
        }
        assert_eq!(outbox.dropped.load(Ordering::Relaxed), 7);
        drop(collector);
    }

    #[tokio::test]
    async fn without_an_endpoint_there_is_no_task() {
        let settings = Settings::parse_from(["test"]);
        assert!(Collector::start(&settings.traces, |_: &[u8]| vec![]).is_none());
        assert!(settings.traces.heeds_parent());
        assert!((settings.traces.ratio() - 0.01).abs() < f64::EPSILON);
    }
}
