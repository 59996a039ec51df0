//! The customers' side: answers requests as cheaply as it can, in the way that a workload asks for, and notes them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::journal::Journal;
use crate::wire::Messages;

const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const FAILED: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
/// A receiver out of files, say, is given time to close some.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How every endpoint of a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// 200 at once.
    Accept,
    /// 500 to so many requests of each delivery, then 200.
    FailFirst(u8),
    /// Reads the request and never answers.
    Hang,
    /// 200 after a while.
    Delay(Duration),
    /// 200 at once, and then a body without end that says of itself that it is compressed, and is: a dozen bytes for two
    /// thousand. The connection is the sender's to end.
    Endless,
}

/// The head of an answer with a body that ends with its connection.
const ENDLESS_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
/// How the body begins: gzip's own head.
const GZIP_HEAD: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// A receiver of requests to any number of endpoints, told apart by their paths: `/0`, `/1` and so on. Dropped, it
/// closes.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Receiver {
    /// Listen on a port of its own.
    pub(crate) async fn start(journal: Arc<Journal>, behaviour: Behaviour) -> io::Result<Self> {
        Self::listen(journal, behaviour, None).await
    }

    /// The same, behind TLS.
    pub(crate) async fn start_tls(journal: Arc<Journal>, tls: TlsAcceptor) -> io::Result<Self> {
        Self::listen(journal, Behaviour::Accept, Some(tls)).await
    }

    async fn listen(
        journal: Arc<Journal>,
        behaviour: Behaviour,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, journal, behaviour, tls));
        Ok(Self {
            address,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of an endpoint.
    pub(crate) fn url(&self, endpoint: usize) -> String {
        format!("http://{}/{endpoint}", self.address)
    }
}

async fn accept(
    listener: TcpListener,
    journal: Arc<Journal>,
    behaviour: Behaviour,
    tls: Option<TlsAcceptor>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        // Without it the kernel may hold an answer back for company; then the connection is only slower.
        let _ = stream.set_nodelay(true);
        let (journal, tls) = (journal.clone(), tls.clone());
        connections.spawn(async move {
            // A connection that breaks is the sender's to notice: what it did not deliver is found missing.
            let _ = match tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &journal, behaviour).await,
                    Err(error) => Err(error),
                },
                None => serve(stream, &journal, behaviour).await,
            };
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    journal: &Journal,
    behaviour: Behaviour,
) -> io::Result<()> {
    let mut messages = Messages::new(stream);
    loop {
        let before = match messages.next().await {
            Ok(Some(request)) => match (request.path_number(), request.event_number()) {
                (Some(endpoint), Some(number)) => journal.note_arrival(endpoint, number),
                _ => {
                    journal.note_unreadable();
                    None
                }
            },
            Ok(None) => return Ok(()),
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    journal.note_unreadable();
                }
                return Err(error);
            }
        };
        let answer = match behaviour {
            Behaviour::Accept => ACCEPTED,
            Behaviour::FailFirst(times) if before.is_some_and(|before| before < times) => FAILED,
            Behaviour::FailFirst(_) => ACCEPTED,
            Behaviour::Hang => return hang(messages.stream()).await,
            Behaviour::Endless => return pour(messages.stream()).await,
            Behaviour::Delay(delay) => {
                tokio::time::sleep(delay).await;
                ACCEPTED
            }
        };
        messages.stream().write_all(answer).await?;
        messages.stream().flush().await?;
    }
}

/// Send compressed zeros until the other side has had enough.
async fn pour<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(ENDLESS_HEAD).await?;
    stream.write_all(GZIP_HEAD).await?;
    let (start, repeated) = &*ZEROS;
    stream.write_all(start).await?;
    loop {
        stream.write_all(repeated).await?;
    }
}

/// How the compressed zeros begin, and what they go on with for ever: a copy is thirteen bits, so eight of them are whole
/// bytes.
static ZEROS: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let mut zeros = Zeros::default();
    let start = (&mut zeros).take(2).collect();
    (
        start,
        zeros.take(Zeros::COPY.len()).collect::<Vec<u8>>().repeat(1024),
    )
});

/// A block of the deflate format that never ends: a zero, then copies of it, 258 at a time.
#[derive(Debug, Default)]
struct Zeros {
    /// Bits that have been given.
    bits: usize,
}

impl Zeros {
    /// Of a block that is not the last one, with the fixed codes; then a zero.
    const START: &[u8] = b"010";
    const FIRST: &[u8] = b"00110000";
    /// A length of 258, a distance of 1.
    const COPY: &[u8] = b"1100010100000";

    fn bit(&self, index: usize) -> u8 {
        let start = [Self::START, Self::FIRST].concat();
        let bit = match index.checked_sub(start.len()) {
            None => start[index],
            Some(after) => Self::COPY[after % Self::COPY.len()],
        };
        bit - b'0'
    }
}

impl Iterator for Zeros {
    type Item = u8;

    /// The first bit is the lowest.
    fn next(&mut self) -> Option<u8> {
        let byte = (0..8).map(|place| self.bit(self.bits + place) << place).sum();
        self.bits += 8;
        Some(byte)
    }
}

/// Hold a connection until the other side gives up.
async fn hang<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut ignored = [0; 1_024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Clock, Size};
    use tokio::net::TcpStream;

    async fn receiver(behaviour: Behaviour) -> (Arc<Journal>, Receiver) {
        let size = Size {
            events: 10,
            endpoints: 2,
            requests: 2,
        };
        let journal = Arc::new(Journal::new(Clock::start(), size));
        let receiver = Receiver::start(journal.clone(), behaviour)
            .await
            .expect("a port is free");
        (journal, receiver)
    }

    async fn post(receiver: &Receiver, path: &str, body: &str) -> Option<u16> {
        let stream = TcpStream::connect(receiver.address()).await.expect("it listens");
        let mut messages = Messages::new(stream);
        let request = format!(
            "POST {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        messages
            .stream()
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let answer = tokio::time::timeout(Duration::from_millis(300), messages.next()).await;
        answer
            .ok()?
            .expect("it answers")
            .and_then(|answer| answer.status())
    }

    #[tokio::test]
    async fn it_fails_as_often_as_it_is_told_and_notes_each_request() {
        let (journal, receiver) = receiver(Behaviour::FailFirst(1)).await;
        let body = r#"{"data":{"number":3}}"#;
        assert_eq!(post(&receiver, "/1", body).await, Some(500));
        assert_eq!(post(&receiver, "/1", body).await, Some(200));
        assert_eq!(journal.complete(), 1);
        assert_eq!(post(&receiver, "/nowhere", body).await, Some(200));
        assert_eq!(journal.audit(|_, _| false).uninvited, 3);
    }

    #[tokio::test]
    async fn it_hangs_and_has_seen_the_request() {
        let (journal, receiver) = receiver(Behaviour::Hang).await;
        assert_eq!(post(&receiver, "/0", r#"{"number":1}"#).await, None);
        assert!(journal.wait_requests(1, 1, Duration::from_secs(5)).await);
    }

    #[test]
    fn what_it_pours_is_zeros_compressed() {
        // As zlib writes a zero and its copies with the fixed codes, but for the bit that says which block is the last.
        let start: Vec<u8> = Zeros::default().take(6).collect();
        let bits: String = start
            .iter()
            .flat_map(|byte| (0..8).map(move |place| if byte >> place & 1 == 1 { '1' } else { '0' }))
            .collect();
        assert!(
            bits.starts_with("010001100001100010100000110001010000011"),
            "{bits}"
        );
        let poured = [ZEROS.0.clone(), ZEROS.1.clone()].concat();
        assert!(Zeros::default().take(poured.len()).eq(poured));
    }

    #[tokio::test]
    async fn it_is_slow_when_told_so() {
        let (_, receiver) = receiver(Behaviour::Delay(Duration::from_millis(20))).await;
        let began = std::time::Instant::now();
        assert_eq!(post(&receiver, "/0", r#"{"number":1}"#).await, Some(200));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
