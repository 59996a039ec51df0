//! HTTP/2 receivers made of raw frames: what a library would not let them send.

use std::future::pending;

use plumbline_domain::outcome::BODY_KEPT_BYTES_MAX;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, copy, sink, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::encrypted::{Authority, NAME, authority, identity, roots, server_config, transport_trusting};
use super::receiver::{Receiver, within};
use super::*;

/// Far more than the kernels on both sides hold of what nobody reads.
const FLOOD_BYTES_MAX: usize = 64 * 1024 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const UNKNOWN: u8 = 0xfe;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, from HPACK's static table.
const STATUS_200: &[u8] = &[0x88];
/// `:status: 103`, as a literal.
const STATUS_103: &[u8] = b"\x08\x03103";

/// The stream of a connection's first request.
const STREAM: u32 = 1;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The receiver's side of a connection, once the head of the first request is there. What comes next is not looked at.
struct Peer {
    out: WriteHalf<TlsStream<TcpStream>>,
    inbound: ReadHalf<TlsStream<TcpStream>>,
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.out.write_all(bytes).await.is_ok() && self.out.flush().await.is_ok()
    }

    /// Repeat the bytes for as long as the caller lets us, reading what it has to say; how many it were.
    async fn flood(self, bytes: &[u8]) -> usize {
        let Self { mut out, mut inbound } = self;
        let (mut sent, mut nowhere) = (0, sink());
        let writing = async {
            while sent < FLOOD_BYTES_MAX && out.write_all(bytes).await.is_ok() {
                sent += bytes.len();
            }
        };
        tokio::select! {
            () = writing => {}
            _ = copy(&mut inbound, &mut nowhere) => {}
        }
        sent
    }
}

/// Each connection runs the script.
async fn receiver<S, F>(authority: &Authority, settings: &'static [u8], script: S) -> Receiver
where
    S: Fn(Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let config = server_config(identity(Some(authority), NAME, |_| ()), &["h2"]);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Receiver::start(move |connection, _| {
        let (acceptor, script) = (acceptor.clone(), script.clone());
        async move {
            let Ok(stream) = acceptor.accept(connection.into_stream()).await else {
                return;
            };
            let (mut inbound, out) = split(stream);
            let mut peer_out = out;
            if peer_out
                .write_all(&frame(SETTINGS, 0, 0, settings))
                .await
                .is_err()
                || peer_out.flush().await.is_err()
                || !request_head(&mut inbound).await
            {
                return;
            }
            script(Peer {
                out: peer_out,
                inbound,
            })
            .await;
        }
    })
    .await
}

/// Read up to the end of the first request's head.
async fn request_head(inbound: &mut ReadHalf<TlsStream<TcpStream>>) -> bool {
    let mut preface = [0; 24];
    if inbound.read_exact(&mut preface).await.is_err() {
        return false;
    }
    loop {
        let mut head = [0; 9];
        if inbound.read_exact(&mut head).await.is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a short frame")];
        if inbound.read_exact(&mut payload).await.is_err() {
            return false;
        }
        if head[3] == HEADERS {
            return true;
        }
    }
}

fn url(receiver: &Receiver) -> String {
    receiver.url_as(NAME).replace("http:", "https:")
}

/// A receiver that begins so and then repeats something for as long as it can.
async fn flooding(
    authority: &Authority,
    begin: Vec<u8>,
    flood: Vec<u8>,
) -> (mpsc::UnboundedReceiver<usize>, Receiver) {
    let (done, sent) = mpsc::unbounded_channel();
    let receiver = receiver(authority, &[], move |mut peer| {
        let (begin, flood, done) = (begin.clone(), flood.clone(), done.clone());
        async move {
            peer.send(&begin).await;
            let _ = done.send(peer.flood(&flood).await);
        }
    })
    .await;
    (sent, receiver)
}

/// Dropped connections are closed by their tasks, in a moment.
async fn all_closed(transport: &Transport) {
    within(async {
        while transport.open_connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_without_an_answer_do_not_go_on_for_ever() {
    let authority = authority();
    let transport = transport_trusting(&authority);
    let headers = frame(HEADERS, 0, STREAM, STATUS_200);
    let literal = [&b"\x00\x01x\x7f\xa1\x1e"[..], &[b'x'; 4_000]].concat(); // `x`, with a value of 4,000 bytes.
    // A header of 4,000 bytes for the table, then one byte for each time that it stands in the head.
    let bomb = [
        &b"\x88\x40\x01x\x7f\xe1\x1d"[..],
        &[b'x'; 4_000 - 64],
        &[0xbe; 12_000],
    ]
    .concat();
    for (what, begin, flood) in [
        ("pings", vec![], frame(PING, 0, 0, &[7; 8]).repeat(100)),
        ("settings", vec![], frame(SETTINGS, 0, 0, &[]).repeat(100)),
        (
            "acknowledged settings",
            vec![],
            frame(SETTINGS, 1, 0, &[]).repeat(100),
        ),
        (
            "priorities",
            vec![],
            frame(PRIORITY, 0, STREAM, &[0; 5]).repeat(100),
        ),
        (
            "windows",
            vec![],
            frame(WINDOW_UPDATE, 0, STREAM, &[0, 0, 0, 1]).repeat(100),
        ),
        ("unknown frames", vec![], frame(UNKNOWN, 0, 0, &[0; 16_000])),
        (
            "empty unknown frames",
            vec![],
            frame(UNKNOWN, 0, STREAM, &[]).repeat(100),
        ),
        (
            "interim answers",
            vec![],
            frame(HEADERS, END_HEADERS, STREAM, STATUS_103).repeat(100),
        ),
        (
            "continuations",
            headers.clone(),
            frame(CONTINUATION, 0, STREAM, &literal),
        ),
        (
            "empty continuations",
            headers.clone(),
            frame(CONTINUATION, 0, STREAM, &[]).repeat(100),
        ),
        (
            "a bomb",
            frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &bomb),
            frame(UNKNOWN, 0, 0, &[]),
        ),
        ("data before a head", vec![], frame(DATA, 0, STREAM, b"x")),
        (
            "pushes",
            vec![],
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                STREAM,
                &[&[0, 0, 0, 2][..], STATUS_200].concat(),
            ),
        ),
        ("resets of nothing", vec![], frame(RST_STREAM, 0, 99, &[0; 4])),
        (
            "an interim end",
            frame(HEADERS, END_HEADERS | END_STREAM, STREAM, STATUS_103),
            frame(UNKNOWN, 0, 0, &[]),
        ),
        (
            "no frames",
            vec![],
            b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(100),
        ),
    ] {
        let (mut sent, receiver) = flooding(&authority, begin, flood).await;
        let attempted = attempted(&transport, request(&url(&receiver))).await;
        let (code, message) = failure(attempted.outcome);
        assert!(
            matches!(code, FailureCode::BadResponse | FailureCode::Reset),
            "{what}: {code:?} {message}"
        );
        let bytes = within(sent.recv()).await.expect("it could go on for ever");
        assert!(bytes < FLOOD_BYTES_MAX, "{what}");
    }
    all_closed(&transport).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_follows_the_head_the_status_counts() {
    let authority = authority();
    let transport = transport_trusting(&authority);
    let head = frame(HEADERS, END_HEADERS, STREAM, STATUS_200);
    for (what, flood) in [
        (
            "more data than fits the window",
            frame(DATA, 0, STREAM, &[b'x'; 16_000]),
        ),
        ("small data", frame(DATA, 0, STREAM, b"x").repeat(100)),
        ("empty data", frame(DATA, 0, STREAM, &[]).repeat(100)),
        (
            "padding",
            frame(DATA, 8, STREAM, &[&[250][..], &[0; 250]].concat()).repeat(10),
        ),
        ("a second head", frame(HEADERS, END_HEADERS, STREAM, STATUS_200)),
        (
            "endless trailers",
            frame(HEADERS, END_STREAM, STREAM, b"\x00\x01x\x01y"),
        ),
        ("pings", frame(PING, 0, 0, &[7; 8]).repeat(100)),
        ("a reset", frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 2])),
    ] {
        let (_, receiver) = flooding(&authority, head.clone(), flood).await;
        let attempted = attempted(&transport, request(&url(&receiver))).await;
        // A flood may break the connection before anybody has looked at the head.
        match attempted.outcome {
            AttemptOutcome::Answered(answer) => {
                assert_eq!(answer.status.0, 200, "{what}");
                assert!(answer.body.len() <= BODY_KEPT_BYTES_MAX, "{what}");
            }
            outcome => {
                let (code, message) = failure(outcome);
                assert!(
                    matches!(code, FailureCode::BadResponse | FailureCode::Reset),
                    "{what}: {code:?} {message}"
                );
            }
        }
    }
    all_closed(&transport).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interim_answer_is_not_the_answer_in_http2_either() {
    let authority = authority();
    let transport = transport_trusting(&authority);
    let receiver = receiver(&authority, &[], async |mut peer: Peer| {
        for head in [STATUS_103, STATUS_103] {
            peer.send(&frame(HEADERS, END_HEADERS, STREAM, head)).await;
        }
        peer.send(&frame(HEADERS, END_HEADERS, STREAM, STATUS_200)).await;
        peer.send(&frame(DATA, END_STREAM, STREAM, b"ok")).await;
        pending().await
    })
    .await;
    let answer = answer(post(&transport, &url(&receiver)).await);
    assert_eq!((answer.status.0, &answer.body[..]), (200, &b"ok"[..]));
}

/// Its window for our body stays closed, for as long as it likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_takes_no_body_over_http2_times_out_or_answers_without() {
    // SETTINGS_INITIAL_WINDOW_SIZE is zero.
    const CLOSED: &[u8] = &[0, 4, 0, 0, 0, 0];
    let authority = authority();
    let silent = receiver(&authority, CLOSED, async |_: Peer| pending().await).await;
    let names = Arc::new(Names::default());
    names.say(NAME, &["127.0.0.1"]);
    let config = TransportConfig {
        extra_roots: Some(roots(&authority)),
        ..TransportConfig::new(loopback(), Duration::from_secs(1))
    };
    let large = |receiver: &Receiver| AttemptRequest {
        body: Bytes::from(vec![b'x'; 256 * 1024]),
        ..request(&url(receiver))
    };
    let transport = Transport::new(config, names);
    let outcome = attempted(&transport, large(&silent)).await.outcome;
    assert_eq!(failure(outcome).0, FailureCode::Timeout);

    let refusing = receiver(&authority, CLOSED, async |mut peer: Peer| {
        // `:status: 413`.
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, STREAM, b"\x08\x03413"))
            .await;
        pending().await
    })
    .await;
    let outcome = attempted(&transport_trusting(&authority), large(&refusing))
        .await
        .outcome;
    assert_eq!(status(outcome), 413);
}

/// One that goes away before it has looked at a request may be asked again, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_always_goes_away_is_left() {
    let authority = authority();
    let transport = transport_trusting(&authority);
    let receiver = receiver(&authority, &[], async |mut peer: Peer| {
        // The last stream that it looked at is 0, and there is no error.
        peer.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
        let _ = copy(&mut peer.inbound, &mut sink()).await;
    })
    .await;
    let (code, message) = failure(post(&transport, &url(&receiver)).await);
    assert_eq!(code, FailureCode::Reset, "{message}");
    let connections = receiver.connections().await;
    assert!((1..=CONNECTIONS_LEFT_MAX).contains(&connections), "{connections}");
}
