//! One POST to one endpoint: find out where it leads, reuse or dial a connection, send, read no more than we keep.
//!
//! Everything up to the last response header happens within one deadline. Only addresses that the policy allows are
//! dialled, an attempt goes by a lookup of the name no older than a second (and what the resolver remembers), and the
//! socket connects to the address that was vetted.
//! There are no redirects, no proxies, no cookies and no decompression. A request is sent a second time only when
//! not a byte of it had left, or when an HTTP/2 receiver says that it has not looked at it.

mod answer;
mod connection;
mod dial;
mod failure;
mod origin;
mod pool;
mod request;
mod route;
mod socket;
mod tls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plumbline_domain::{AddressPolicy, Answer, AttemptOutcome, FailureCode, Timestamp, Timing};
use rustls::RootCertStore;
use tokio::time::Instant;

pub use self::request::AttemptRequest;
pub use self::route::{NameError, ResolveName};

use self::connection::{Connection, Unanswered};
use self::dial::Dialler;
use self::failure::{Deadline, Failure};
use self::origin::Origin;
use self::pool::Pool;
use self::route::{Route, Router};

/// The attempt timeout unless configured.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept unless configured.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many unused connections are kept to one origin unless configured: as many as an endpoint's gate lets through at
/// once. Fewer, and a busy origin has the excess closed and dialled anew all the time.
pub const DEFAULT_IDLE_PER_ORIGIN_MAX: usize = plumbline_domain::gate::CAP_MAX as usize;
/// How many connections are kept for reuse in all unless configured.
pub const DEFAULT_KEPT_MAX: usize = 2_048;
/// How long an answer of [`ResolveName`] is believed without asking again unless configured.
pub const DEFAULT_NAME_REUSE: Duration = Duration::from_secs(1);
/// How many connections an attempt may find that the receiver has just left. They were in use before, so it is the
/// busy HTTP/2 ones of which an attempt meets more than one.
const CONNECTIONS_LEFT_MAX: usize = 4;

/// How to call endpoints.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Which addresses may be dialled.
    pub policy: AddressPolicy,
    /// The longest from the start of an attempt to the last response header; default 10 s.
    pub timeout: Duration,
    /// How long an unused connection is kept, less if the receiver says so; default 30 s. Zero keeps none.
    pub idle_timeout: Duration,
    /// Unused connections kept to one origin; default 512. Zero keeps none.
    pub idle_per_origin_max: usize,
    /// Connections kept for reuse in all, in use or not; default 2,048. Zero keeps none.
    pub kept_max: usize,
    /// How long an origin's addresses are believed without asking [`ResolveName`]; default 1 s. Zero asks each time.
    pub name_reuse: Duration,
    /// Certificate authorities to trust besides the system's and the web's; none by default.
    pub extra_roots: Option<RootCertStore>,
}

impl TransportConfig {
    /// The defaults, with this policy and this attempt timeout.
    pub fn new(policy: AddressPolicy, timeout: Duration) -> Self {
        Self {
            policy,
            timeout,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            idle_per_origin_max: DEFAULT_IDLE_PER_ORIGIN_MAX,
            kept_max: DEFAULT_KEPT_MAX,
            name_reuse: DEFAULT_NAME_REUSE,
            extra_roots: None,
        }
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self::new(AddressPolicy::default(), DEFAULT_TIMEOUT)
    }
}

/// What became of an attempt, and what was sent.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, reading the body included.
    pub duration: Duration,
    /// Where that time went.
    pub timing: Timing,
    /// The headers that we set, in the order sent; the connection adds `Host` and `Content-Length`.
    pub request_headers: Vec<(String, String)>,
}

/// Nothing was sent: when a connection was ready, the request's time was over. The connection is kept for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed;

/// Calls endpoints. Clones share one pool of connections; a process needs one.
#[derive(Clone)]
pub struct Transport(Arc<Shared>);

struct Shared {
    timeout: Duration,
    router: Router,
    dialler: Dialler,
    pool: Arc<Pool>,
}

impl Transport {
    /// Prepare to call endpoints. A task closes unused connections until the last clone is dropped.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: TransportConfig, names: Arc<dyn ResolveName>) -> Self {
        let pool = Pool::new(&config);
        Self(Arc::new(Shared {
            timeout: config.timeout,
            dialler: Dialler::new(config.extra_roots),
            router: Router::new(config.policy, names, config.name_reuse),
            pool,
        }))
    }

    /// Send one request. It always ends, at the latest a second after the attempt timeout, and never panics on what
    /// a receiver does. Dropping the future abandons the request and closes what it used.
    ///
    /// # Errors
    /// [`Missed`], only for a request with a `not_after`.
    pub async fn post(&self, request: AttemptRequest) -> Result<Attempted, Missed> {
        let started_at = Timestamp::now();
        let deadline = Deadline::after(self.0.timeout);
        let mut timing = Timing::default();
        let outcome = match self.0.attempt(&request, deadline, &mut timing).await {
            Ok(answer) => AttemptOutcome::Answered(answer),
            Err(NoAnswer::Failed(failure)) => failure.into(),
            Err(NoAnswer::Missed) => return Err(Missed),
        };
        Ok(Attempted {
            outcome,
            started_at,
            duration: deadline.started().elapsed(),
            timing,
            request_headers: request.into_sent_headers(),
        })
    }

    /// The connections that are open now, in use or kept for reuse.
    pub fn open_connections(&self) -> usize {
        self.0.dialler.open_connections()
    }
}

/// Wait, and note how long it took, however it ended.
async fn timed<F: Future>(part: &mut Option<Duration>, awaited: F) -> F::Output {
    let begun = Instant::now();
    let output = awaited.await;
    *part = Some(begun.elapsed());
    output
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({} open connections)", self.open_connections())
    }
}

/// Why there is no answer.
enum NoAnswer {
    Failed(Failure),
    Missed,
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Shared {
    async fn attempt(
        &self,
        request: &AttemptRequest,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Answer, NoAnswer> {
        let origin = self.pool.origin(&request.url)?;
        let route = self.router.route(&origin, deadline, timing).await?;
        let mut kept = self.pool.take(&origin, &route, Instant::now());
        for _ in 0..CONNECTIONS_LEFT_MAX {
            let connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect(&origin, &route, deadline, timing).await?,
            };
            if request.not_after.is_some_and(|limit| Instant::now() >= limit) {
                if let Some(unused) = connection.unused() {
                    self.pool.keep(&origin, unused, Instant::now());
                }
                return Err(NoAnswer::Missed);
            }
            match self
                .exchange(&origin, connection, request, deadline, timing)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Sent(failure)) => return Err(failure.into()),
                // The receiver had left a connection that others had used: a new one may have the request.
                Err(Unanswered::Unsent) => {}
            }
        }
        let message = "the receiver closed several connections in a row before it took the request";
        Err(Failure::new(FailureCode::Reset, message.to_owned()).into())
    }

    /// A new connection, or a stream on the one that a neighbour has just made.
    async fn connect(
        &self,
        origin: &Arc<Origin>,
        route: &Route,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Connection, Failure> {
        let begun = Instant::now();
        let _turn = match origin.turn_to_dial(deadline).await {
            Some(turn) => match self.pool.take(origin, route, Instant::now()) {
                Some(neighbours) => return Ok(neighbours),
                None => Some(turn),
            },
            None => None,
        };
        let connection = self
            .dialler
            .connect(origin, route, deadline, begun, timing)
            .await?;
        self.pool.share(origin, &connection);
        Ok(connection)
    }

    async fn exchange(
        &self,
        origin: &Arc<Origin>,
        connection: Connection,
        request: &AttemptRequest,
        deadline: Deadline,
        timing: &mut Timing,
    ) -> Result<Answer, Unanswered> {
        let (answer, reusable) = connection.post(origin, request, deadline, timing).await?;
        if let Some(connection) = reusable {
            self.pool.keep(origin, connection, Instant::now());
        }
        Ok(answer)
    }
}
