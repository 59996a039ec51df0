//! TLS: whom we trust, and HTTP/2 where it is offered.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::receiver::{OK, Receiver};
use super::*;

pub(super) const NAME: &str = "hooks.example.com";

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(super) fn authority() -> Authority {
    let mut params = CertificateParams::new([]).expect("valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

pub(super) fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.der().clone())
        .expect("an authority's certificate");
    roots
}

/// A certificate and its key.
pub(super) type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

pub(super) fn identity(
    authority: Option<&Authority>,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    change(&mut params);
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    (certificate.expect("a certificate").der().clone(), key)
}

pub(super) fn server_config((certificate, key): Identity, alpn: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has both")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<(Version, Request<Bytes>)>>,
    /// After how many requests the server leaves an HTTP/2 connection; zero is never.
    requests_max: AtomicUsize,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    _accepting: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("an address of this machine");
        let address = listener.local_addr().expect("it is bound");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let seen = Arc::<Seen>::default();
        let accepting = tokio::spawn({
            let seen = seen.clone();
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(serve(acceptor.clone(), stream, seen.clone()));
                }
            }
        });
        Self {
            address,
            seen,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    fn url_as(&self, name: &str) -> String {
        format!("https://{name}:{}/hook?a=b", self.address.port())
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    fn versions(&self) -> Vec<Version> {
        self.seen
            .requests
            .lock()
            .iter()
            .map(|(version, _)| *version)
            .collect()
    }
}

async fn serve(acceptor: TlsAcceptor, stream: tokio::net::TcpStream, seen: Arc<Seen>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let leave = Arc::new(Notify::new());
    let service = service_fn({
        let (seen, leave) = (seen.clone(), leave.clone());
        let requests = AtomicUsize::new(1);
        move |request: Request<Incoming>| {
            let seen = seen.clone();
            if requests.fetch_add(1, Ordering::SeqCst) == seen.requests_max.load(Ordering::SeqCst) {
                leave.notify_one();
            }
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let request = Request::from_parts(head, body);
                seen.requests.lock().push((request.version(), request));
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            }
        }
    });
    if !http2 {
        let _ = http1::Builder::new().serve_connection(stream, service).await;
        return;
    }
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = leave.notified() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A transport that trusts the authority, and a name that leads to this machine.
pub(super) fn transport_trusting(authority: &Authority) -> Transport {
    let names = Arc::new(Names::default());
    names.say(NAME, &["127.0.0.1"]);
    let config = TransportConfig {
        extra_roots: Some(roots(authority)),
        ..TransportConfig::new(loopback(), AMPLE)
    };
    Transport::new(config, names)
}

#[tokio::test]
async fn a_trusted_certificate_is_accepted_and_http2_spoken_where_offered() {
    let authority = authority();
    let transport = transport_trusting(&authority);
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let server = Server::start(server_config(identity(Some(&authority), NAME, |_| ()), alpn)).await;
        for _ in 0..10 {
            let mut request = request(&server.url_as(NAME));
            request.custom = CustomHeaders::new(vec![("X-Team".to_owned(), "blue sky".to_owned())]);
            let answer = answer(attempted(&transport, request).await.outcome);
            assert_eq!((answer.status.0, &answer.body[..]), (200, &b"ok"[..]));
        }
        assert_eq!(server.versions(), [version; 10]);
        assert_eq!(server.connections(), 1);

        let (_, received) = &server.seen.requests.lock()[0];
        let header = |name: &str| {
            received
                .headers()
                .get(name)
                .map(|value| value.to_str().expect("text"))
        };
        assert_eq!(
            received.uri().path_and_query().map(|path| path.as_str()),
            Some("/hook?a=b")
        );
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("buildworkpro-event"), Some("bid.accepted"));
        assert_eq!(header("x-team"), Some("blue sky"));
        assert_eq!(header("content-length"), Some("2"));
        assert_eq!(received.body(), "{}");
        let host = format!("{NAME}:{}", server.address.port());
        let named = if version == Version::HTTP_2 {
            received.uri().authority().map(|a| a.as_str())
        } else {
            header("host")
        };
        assert_eq!(named, Some(&*host));
    }
}

#[tokio::test]
async fn an_address_may_have_a_certificate() {
    let authority = authority();
    let server = Server::start(server_config(
        identity(Some(&authority), "127.0.0.1", |_| ()),
        &[],
    ))
    .await;
    assert_eq!(
        status(post(&transport_trusting(&authority), &server.url_as("127.0.0.1")).await),
        200
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_right_is_a_tls_failure() {
    let ours = authority();
    let transport = transport_trusting(&ours);
    for (identity, problem) in [
        (
            identity(None, NAME, |_| ()),
            "is not signed by a trusted authority",
        ),
        (
            identity(Some(&authority()), NAME, |_| ()),
            "is not signed by a trusted authority",
        ),
        (
            identity(Some(&ours), "other.example.com", |_| ()),
            "is for another name",
        ),
        (
            identity(Some(&ours), NAME, |params| {
                params.not_after = date_time_ymd(2020, 1, 1)
            }),
            "has expired",
        ),
        (
            identity(Some(&ours), NAME, |params| {
                params.not_before = date_time_ymd(2999, 1, 1)
            }),
            "is not valid yet",
        ),
    ] {
        let server = Server::start(server_config(identity, &["h2"])).await;
        let expected = format!("the certificate of {} {problem}", server.address);
        assert_eq!(
            failure(post(&transport, &server.url_as(NAME)).await),
            (FailureCode::TlsFailed, expected)
        );
        assert!(server.versions().is_empty());
    }
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn a_receiver_that_wants_our_certificate_is_a_tls_failure() {
    let authority = authority();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(&authority)), provider.clone());
    let (certificate, key) = identity(Some(&authority), NAME, |_| ());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has both")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key");
    let server = Server::start(config).await;
    let (code, message) = failure(post(&transport_trusting(&authority), &server.url_as(NAME)).await);
    assert_eq!(code, FailureCode::TlsFailed, "{message}");
}

#[tokio::test]
async fn what_is_not_tls_is_a_tls_failure() {
    let transport = transport_trusting(&authority());
    let plain = Receiver::start(async |mut connection, _| {
        connection.send(OK).await;
        connection.closed().await;
    })
    .await;
    let closing = Receiver::start(async |_, _| ()).await;
    for receiver in [plain, closing] {
        let url = receiver.url_as(NAME).replace("http:", "https:");
        let (code, message) = failure(post(&transport, &url).await);
        assert_eq!(code, FailureCode::TlsFailed, "{message}");
    }
}

/// TLS 1.1 and what came before: the receiver chooses it, and there is no more to say.
#[tokio::test]
async fn a_receiver_that_speaks_only_an_older_tls_is_a_tls_failure() {
    let transport = transport_trusting(&authority());
    for version in [[3, 0], [3, 1], [3, 2]] {
        let receiver = Receiver::start(move |mut connection, _| async move {
            // A ServerHello: the version, 32 random bytes, no session, a cipher suite of the time, no compression.
            let hello = [&version[..], &[7; 32], &[0, 0xc0, 0x13, 0]].concat();
            let handshake = [&[2, 0, 0, 38], &hello[..]].concat();
            connection
                .send([&[22, version[0], version[1], 0, 42], &handshake[..]].concat())
                .await;
            connection.closed().await;
        })
        .await;
        let url = receiver.url_as(NAME).replace("http:", "https:");
        let (code, message) = failure(post(&transport, &url).await);
        assert_eq!(code, FailureCode::TlsFailed, "{message}");
    }
    assert_eq!(transport.open_connections(), 0);
}

/// As a browser does: the dot at the end is no part of what a certificate names.
#[tokio::test]
async fn a_name_with_a_trailing_dot_has_the_certificate_of_the_name_without() {
    let authority = authority();
    let server = Server::start(server_config(identity(Some(&authority), NAME, |_| ()), &["h2"])).await;
    let url = server.url_as(&format!("{NAME}."));
    assert_eq!(status(post(&transport_trusting(&authority), &url).await), 200);
}

#[tokio::test]
async fn a_handshake_does_not_outlast_the_deadline() {
    let silent = Receiver::start(async |mut connection, _| connection.closed().await).await;
    let outcome = post(&transport(SHORT), &silent.url().replace("http:", "https:")).await;
    let expected = format!(
        "timed out after 300ms in the TLS handshake with {}",
        silent.address()
    );
    assert_eq!(failure(outcome), (FailureCode::Timeout, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_share_an_http2_connection() {
    let authority = authority();
    let server = Server::start(server_config(identity(Some(&authority), NAME, |_| ()), &["h2"])).await;
    let transport = transport_trusting(&authority);
    assert_eq!(status(post(&transport, &server.url_as(NAME)).await), 200);
    for _ in 0..5 {
        let posts = join_all((0..50).map(async |_| status(post(&transport, &server.url_as(NAME)).await)));
        assert_eq!(posts.await, [200; 50]);
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(transport.open_connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_may_leave_an_http2_connection_after_any_request() {
    let authority = authority();
    let server = Server::start(server_config(identity(Some(&authority), NAME, |_| ()), &["h2"])).await;
    server.seen.requests_max.store(7, Ordering::SeqCst);
    let transport = transport_trusting(&authority);
    let mut broken = vec![];
    for _ in 0..20 {
        let posts = join_all((0..20).map(async |_| post(&transport, &server.url_as(NAME)).await));
        for outcome in posts.await {
            match outcome {
                AttemptOutcome::Answered(answer) => assert_eq!(answer.status.0, 200),
                other => broken.push(failure(other).1),
            }
        }
    }
    // The server closes with bytes of ours unread. Now and then a kernel resets the connection for it and throws away the
    // answers on their way, of up to a round: nobody can tell whether those requests were received, and they are
    // failures as any other.
    let is_unknown = |message: &String| {
        message.ends_with("closed the connection before its answer was complete")
            || message.starts_with("timed out")
    };
    assert!(broken.iter().all(is_unknown) && broken.len() <= 40, "{broken:#?}");
    assert!(server.connections() > 1);
}

#[tokio::test]
async fn a_name_that_moves_takes_its_http2_requests_along() {
    let authority = authority();
    let server = Server::start(server_config(identity(Some(&authority), NAME, |_| ()), &["h2"])).await;
    let names = Arc::new(Names::default());
    let policy = AddressPolicy {
        allow_networks: vec!["127.0.0.1/32".parse().expect("a network")],
        ..loopback()
    };
    let config = TransportConfig {
        extra_roots: Some(roots(&authority)),
        name_reuse: Duration::ZERO,
        ..TransportConfig::new(policy, AMPLE)
    };
    let transport = Transport::new(config, names.clone());
    names.say(NAME, &["127.0.0.1"]);
    assert_eq!(status(post(&transport, &server.url_as(NAME)).await), 200);
    names.say(NAME, &["127.0.0.2"]);
    assert!(matches!(
        post(&transport, &server.url_as(NAME)).await,
        AttemptOutcome::Forbidden(_)
    ));
    assert_eq!(server.versions().len(), 1);
}
