//! A new connection: TCP to a vetted address, TLS, and the protocol agreed on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use plumbline_domain::Timing;
use rustls::RootCertStore;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use super::connection::Connection;
use super::failure::{Deadline, Failure, Stage};
use super::origin::{Origin, Security};
use super::route::Route;
use super::socket::{Gauge, Socket, Stream};
use super::{timed, tls};

/// How long an address may be silent before the next one is dialled beside it (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);
/// The most addresses of one name that are dialled in one attempt.
const DIALLED_MAX: usize = 6;

pub(super) struct Dialler {
    tls: TlsConnector,
    gauge: Gauge,
}

impl Dialler {
    pub(super) fn new(extra_roots: Option<RootCertStore>) -> Self {
        Self {
            tls: tls::connector(extra_roots),
            gauge: Gauge::default(),
        }
    }

    pub(super) fn open_connections(&self) -> usize {
        self.gauge.count()
    }

    /// Dial the addresses of the route, and nothing else. The attempt has been waiting for it since `begun`.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        route: &Route,
        deadline: Deadline,
        begun: Instant,
        timing: &mut Timing,
    ) -> Result<Connection, Failure> {
        let connected = deadline.bound(Stage::Connect(route[0]), self.first_to_answer(route));
        let connected = connected.await;
        timing.connect = Some(begun.elapsed());
        let (peer, socket) = connected?.map_err(|(peer, error)| Failure::connect(peer, &error))?;
        let wire = socket.wire();
        let server_name = match &origin.security {
            Security::None => return Connection::http1(Stream::Plain(socket), wire, peer).await,
            Security::Tls(server_name) => server_name.clone(),
        };

        let handshake = deadline.bound(Stage::Handshake(peer), self.tls.connect(server_name, socket));
        let stream = timed(&mut timing.handshake, handshake).await?;
        let stream = stream.map_err(|error| Failure::handshake(peer, &error))?;
        let agreed = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
        let stream = Stream::Tls(Box::new(stream));
        if !agreed {
            return Connection::http1(stream, wire, peer).await;
        }
        origin.shares_connections();
        deadline
            .bound(Stage::Handshake(peer), Connection::http2(stream, &wire, peer))
            .await?
    }

    /// The first of the addresses to accept; each gets a head start on the next.
    async fn first_to_answer(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<(SocketAddr, Socket), (SocketAddr, io::Error)> {
        let dial = async |address| match Socket::connect(address, &self.gauge).await {
            Ok(socket) => Ok((address, socket)),
            Err(error) => Err((address, error)),
        };
        if let [only] = addresses {
            return dial(*only).await;
        }
        let mut waiting = addresses.iter().copied().take(DIALLED_MAX).peekable();
        let mut dialled = FuturesUnordered::new();
        let mut first_error = None;
        loop {
            match waiting.next() {
                Some(address) => dialled.push(dial(address)),
                None if dialled.is_empty() => break,
                None => {}
            }
            tokio::select! {
                biased;
                Some(result) = dialled.next() => match result {
                    Ok(connected) => return Ok(connected),
                    Err(error) => {
                        first_error.get_or_insert(error);
                    }
                },
                () = sleep(HEAD_START), if waiting.peek().is_some() => {}
            }
        }
        Err(first_error.expect("a route has at least one address, and each that was dialled has failed"))
    }
}
