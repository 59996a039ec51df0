//! The connections that are open, so that nobody holds one without using it.
//!
//! actix bounds how long a connection may take to send its *first* head, and how long it may be silent between two
//! requests. It does not bound a second head that never ends, a body that trickles on after its answer, nor a client
//! that does not take its answer. Here is one rule for all of them: between two requests a connection has so much time,
//! whatever it sends or fails to read meanwhile, and then it is cut. How long a request itself may take is bounded where
//! its body is read and where it is answered.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;

/// How often unused connections are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The open connections. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Connections {
    unused_max: Duration,
    /// Those that have been closed leave at the next look.
    open: Arc<Mutex<Vec<Weak<Connection>>>>,
}

/// An open connection; the socket is a second handle of it, closed when the connection is dropped.
pub(crate) struct Connection {
    socket: TcpStream,
    use_of: Mutex<Use>,
}

#[derive(Clone, Copy)]
struct Use {
    /// Who holds an [`Answering`]: the request, and the answer that goes on when its head has been given.
    answering: u32,
    /// When the last one was given back.
    unused_since: Instant,
}

/// A request that is being answered. Dropped, its connection is unused again.
pub(crate) struct Answering(Arc<Connection>);

impl Connections {
    /// None yet; each may be unused for so long.
    pub(crate) fn new(unused_max: Duration) -> Self {
        Self {
            unused_max,
            open: Arc::default(),
        }
    }

    /// Watch a connection that was just accepted, for as long as actix keeps its extensions.
    pub(crate) fn watch(&self, connection: &dyn Any, extensions: &mut Extensions) {
        let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() else {
            return;
        };
        match stream.as_fd().try_clone_to_owned() {
            Ok(handle) => {
                extensions.insert(self.add(handle.into(), Instant::now()));
            }
            // Without a descriptor to spare it is served unwatched: what is short is being used by others.
            Err(error) => tracing::warn!(%error, "a connection cannot be watched"),
        }
    }

    fn add(&self, socket: TcpStream, now: Instant) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            socket,
            use_of: Mutex::new(Use {
                answering: 0,
                unused_since: now,
            }),
        });
        lock(&self.open).push(Arc::downgrade(&connection));
        connection
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        let open = lock(&self.open);
        open.iter()
            .filter(|connection| connection.strong_count() > 0)
            .count()
    }

    /// Cut what is unused for too long, again and again, for as long as this is polled.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.cut(Instant::now());
        }
    }

    fn cut(&self, now: Instant) {
        let open: Vec<Arc<Connection>> = {
            let mut open = lock(&self.open);
            open.retain(|connection| connection.strong_count() > 0);
            open.iter().filter_map(Weak::upgrade).collect()
        };
        for connection in open {
            let Use {
                answering,
                unused_since,
            } = *lock(&connection.use_of);
            if answering == 0 && now.saturating_duration_since(unused_since) >= self.unused_max {
                // actix hears of it as of a client that left. An error says that it left by itself.
                let _ = connection.socket.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Connection {
    /// A request has come.
    pub(crate) fn answer(connection: &Arc<Self>) -> Answering {
        lock(&connection.use_of).answering += 1;
        Answering(connection.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut use_of = lock(&self.0.use_of);
        use_of.answering -= 1;
        use_of.unused_since = Instant::now();
    }
}

/// No code that holds one of these locks can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpListener;

    const UNUSED_MAX: Duration = Duration::from_secs(80);

    /// A connection that is watched, and its client.
    fn connected(connections: &Connections, now: Instant) -> (Arc<Connection>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        client.set_nonblocking(true).expect("a socket can be");
        let (socket, _) = listener.accept().expect("connected");
        (connections.add(socket, now), client)
    }

    fn is_open(mut client: &TcpStream) -> bool {
        client
            .read(&mut [0])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    #[test]
    fn a_connection_is_cut_when_it_was_unused_for_too_long_and_not_while_it_is_used() {
        let (connections, start) = (Connections::new(UNUSED_MAX), Instant::now());
        let (unused, unused_client) = connected(&connections, start);
        let (busy, busy_client) = connected(&connections, start);
        let (answering, streaming) = (Connection::answer(&busy), Connection::answer(&busy));
        drop(streaming);
        connections.cut(start + UNUSED_MAX - Duration::from_secs(1));
        assert!(is_open(&unused_client) && is_open(&busy_client));
        connections.cut(start + UNUSED_MAX);
        assert!(!is_open(&unused_client) && is_open(&busy_client));

        drop(answering);
        let ended = Instant::now();
        connections.cut(ended + UNUSED_MAX - Duration::from_secs(1));
        assert!(is_open(&busy_client), "its time begins anew after each request");
        connections.cut(ended + UNUSED_MAX);
        assert!(!is_open(&busy_client));
        drop((unused, busy));
        connections.cut(ended);
        assert!(lock(&connections.open).is_empty(), "what is closed is forgotten");
    }
}
