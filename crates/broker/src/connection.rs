//! One connection to the broker: made within a time limit, watched, and certainly gone when dropped.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::place;
use crate::topology::DeclareError;
use crate::{BrokerConfig, Topology, WorkQueue};

/// The wait before the first try to connect again.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest wait between two tries.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one: the wait after it begins small again.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// How long the broker may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a connection could not be made or was given up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection within the time limit.
    #[error("no connection to {address} within {limit:?}")]
    ConnectTimeout {
        /// Where to.
        address: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection was refused, lost or ended by the broker.
    #[error("connection refused or lost")]
    Amqp(#[from] lapin::Error),
    /// The broker has something of the same name and another kind.
    #[error("the broker's topology is not ours")]
    Topology(#[from] DeclareError),
    /// The connection's own task is gone.
    #[error("connection ended without a word")]
    Ended,
    /// The broker stopped delivering, as it does when a queue is deleted.
    #[error("the broker ended the consumer of {0}")]
    ConsumerEnded(WorkQueue),
    /// A confirm did not come in time, though the connection was not blocked.
    #[error("no confirm within {0:?}")]
    ConfirmTimeout(Duration),
    /// A published message matched no queue: something was deleted, and must be declared again.
    #[error("a message was unroutable")]
    Unroutable,
    /// The broker did not answer in time.
    #[error("no answer within {0:?}")]
    AnswerTimeout(Duration),
}

/// A live connection. Dropping it cuts it off, whatever state it is in.
pub(crate) struct Link {
    connection: Connection,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    socket: Socket,
    since: Instant,
    /// Where it leads.
    place: String,
}

/// What happens to a link that is not an answer to anything.
pub(crate) enum LinkEvent {
    Blocked,
    Unblocked,
    Lost(LinkError),
}

impl Link {
    /// Connect and declare the topology. `purpose` completes the connection's name.
    pub(crate) async fn open(config: &BrokerConfig, purpose: &str) -> Result<Self, LinkError> {
        Self::to_any(config, purpose, Some(&config.topology)).await
    }

    /// Connect and declare nothing: for who looks at what is there.
    pub(crate) async fn connect(config: &BrokerConfig, purpose: &str) -> Result<Self, LinkError> {
        Self::to_any(config, purpose, None).await
    }

    /// Try one address after the other, each within the time limit. A node that does not answer, or cannot declare what
    /// we need because it is cut off from the others, is no reason to wait: the next one may be well.
    async fn to_any(
        config: &BrokerConfig,
        purpose: &str,
        declared: Option<&Topology>,
    ) -> Result<Self, LinkError> {
        let limit = config.connect_timeout;
        let mut failed = LinkError::Ended;
        for address in config.amqp_url.shuffled() {
            let opening = Self::to(config, address, purpose, declared);
            let opened = timeout(limit, opening).await.unwrap_or_else(|_| {
                Err(LinkError::ConnectTimeout {
                    address: place(address),
                    limit,
                })
            });
            match opened {
                Ok(link) => return Ok(link),
                Err(error) => {
                    if config.amqp_url.is_of_several() {
                        log_failed(address, &error);
                    }
                    failed = error;
                }
            }
        }
        Err(failed)
    }

    async fn to(
        config: &BrokerConfig,
        address: &AMQPUri,
        purpose: &str,
        declared: Option<&Topology>,
    ) -> Result<Self, LinkError> {
        let mut link = Self::connected(config, address, purpose).await?;
        if let Some(topology) = declared {
            // Thrown away afterwards: an error on it would take everything in flight on it along.
            let channel = link.channel().await?;
            topology.declare(&channel).await?;
            channel.close(200, "declared".into()).await?;
        }
        Ok(link)
    }

    async fn connected(config: &BrokerConfig, address: &AMQPUri, purpose: &str) -> Result<Self, LinkError> {
        let socket = Socket::default();
        let name = format!("{} {purpose}", config.connection_name);
        let connection = connect(address.clone(), name, socket.clone(), config.connect_timeout).await?;
        Ok(Self {
            events: Box::pin(connection.events_listener()),
            connection,
            socket,
            since: Instant::now(),
            place: place(address),
        })
    }

    pub(crate) async fn channel(&mut self) -> Result<Channel, lapin::Error> {
        self.connection.create_channel().await
    }

    /// The next thing that happens to the link. Cancel-safe.
    pub(crate) async fn event(&mut self) -> LinkEvent {
        loop {
            match self.events.next().await {
                Some(Event::ConnectionBlocked(_)) => return LinkEvent::Blocked,
                Some(Event::ConnectionUnblocked) => return LinkEvent::Unblocked,
                Some(Event::Error(error)) => return LinkEvent::Lost(error.into()),
                Some(_) => {}
                None => return LinkEvent::Lost(LinkError::Ended),
            }
        }
    }

    /// Whether the broker has stopped this connection from publishing.
    pub(crate) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// Say goodbye; what the broker had delivered and we did not settle goes back to its queue.
    pub(crate) async fn close(self) {
        // A goodbye that fails or takes too long is replaced by the cut that follows it.
        let _ = timeout(CLOSE_TIMEOUT, self.connection.close(200, "goodbye".into())).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket.cut();
    }
}

/// A second handle on the connection's socket.
///
/// `lapin` runs a connection on a thread of its own, which outlives a dropped connection for as long as the peer
/// keeps silent: in a handshake, or while blocked. Shutting the socket down ends it at once.
#[derive(Clone, Default)]
struct Socket(Arc<OnceLock<TcpStream>>);

impl Socket {
    fn cut(&self) {
        if let Some(socket) = self.0.get() {
            // It fails when the socket is closed already, which is what we want.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Cuts the connection unless it was completed.
struct CutUnlessDone {
    socket: Socket,
    done: bool,
}

impl Drop for CutUnlessDone {
    fn drop(&mut self) {
        if !self.done {
            self.socket.cut();
        }
    }
}

async fn connect(
    uri: AMQPUri,
    name: String,
    socket: Socket,
    limit: Duration,
) -> Result<Connection, lapin::Error> {
    let mut guard = CutUnlessDone {
        socket: socket.clone(),
        done: false,
    };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime()?;
    let connection = Connection::connector(
        uri,
        runtime,
        async move |mut uri, runtime| {
            // In the clear first, to keep a handle on the socket; then TLS over it, if so asked.
            let scheme = std::mem::take(&mut uri.scheme);
            let stream = timeout(limit, uri.connect_async(&runtime))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if let AsyncTcpStream::Plain(plain) = &stream {
                let handle = plain.get_ref().as_fd().try_clone_to_owned()?;
                let _ = socket.0.set(handle.into());
            }
            match scheme {
                lapin::uri::AMQPScheme::AMQP => Ok(stream),
                lapin::uri::AMQPScheme::AMQPS => Ok(stream
                    .into_tls(&uri.authority.host, OwnedTLSConfig::default().as_ref())
                    .await?),
            }
        },
        properties,
    )
    .await?;
    guard.done = true;
    Ok(connection)
}

/// Waits between tries to connect: doubling, each spread so that many processes do not return in step.
pub(crate) struct Backoff {
    planned: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { planned: BACKOFF_MIN }
    }

    /// Note how long a link lasted.
    pub(crate) fn after(&mut self, link: &Link) {
        if link.since.elapsed() >= STABLE_AFTER {
            self.planned = BACKOFF_MIN;
        }
    }

    /// The next wait, between a half and one and a half of what is planned.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self
            .planned
            .mul_f64(rand::random_range(0.5..1.5))
            .clamp(BACKOFF_MIN / 2, BACKOFF_MAX);
        self.planned = (self.planned * 2).min(BACKOFF_MAX);
        wait
    }
}

/// One line for each connection made.
pub(crate) fn log_connected(link: &Link, purpose: &str) {
    info!(broker.address = %link.place, connection.purpose = purpose, "connected to the broker");
}

/// One line for each node of several that could not be reached.
fn log_failed(address: &AMQPUri, error: &LinkError) {
    info!(
        broker.address = place(address),
        error = error as &dyn std::error::Error,
        "no connection to this node of the broker"
    );
}

/// One line for each connection lost or not made.
pub(crate) fn log_lost(config: &BrokerConfig, purpose: &str, error: &LinkError, wait: Duration) {
    warn!(
        broker.address = %config.amqp_url,
        connection.purpose = purpose,
        error = error as &dyn std::error::Error,
        "no connection to the broker; next try in {wait:?}"
    );
}
