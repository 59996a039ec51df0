//! Where names lead, and where we refuse to go.

use std::net::{SocketAddr, TcpStream};

use plumbline_domain::ForbiddenAddress;

use super::receiver::{OK, Receiver};
use super::*;

const NAME: &str = "hooks.example.com";

/// Asks for the name's addresses before each attempt; only 127.0.0.1 and what a test adds may be dialled.
fn setup(allowed: &[&str]) -> (Transport, Arc<Names>) {
    let names = Arc::new(Names::default());
    let policy = AddressPolicy {
        allow_networks: allowed
            .iter()
            .map(|net| net.parse().expect("a network"))
            .collect(),
        ..loopback()
    };
    let config = TransportConfig {
        name_reuse: Duration::ZERO,
        ..TransportConfig::new(policy, AMPLE)
    };
    (Transport::new(config, names.clone()), names)
}

/// A receiver at each address, all on one port, since a name says nothing about ports.
async fn receivers<const N: usize>(addresses: [&str; N]) -> [Receiver; N] {
    'port: loop {
        let mut receivers = Vec::with_capacity(N);
        let mut port = 0;
        for address in addresses {
            let address = SocketAddr::new(address.parse().expect("an address"), port);
            if std::net::TcpListener::bind(address).is_err() {
                continue 'port;
            }
            let receiver = Receiver::start_at(&address.to_string(), async |mut connection, _| {
                while connection.request().await.is_some() {
                    connection.send(OK).await;
                }
            })
            .await;
            port = receiver.address().port();
            receivers.push(receiver);
        }
        if let Ok(receivers) = receivers.try_into() {
            return receivers;
        }
    }
}

#[track_caller]
fn forbidden(outcome: AttemptOutcome) -> ForbiddenAddress {
    match outcome {
        AttemptOutcome::Forbidden(forbidden) => forbidden,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_leads_to_forbidden_addresses_only_is_not_dialled() {
    let [receiver] = receivers(["127.0.0.2"]).await;
    let (transport, names) = setup(&["127.0.0.1/32"]);
    names.say(NAME, &["127.0.0.2", "10.0.0.1", "::1", "::ffff:127.0.0.1"]);
    let refused = forbidden(post(&transport, &receiver.url_as(NAME)).await);
    let first = ForbiddenAddress::Range {
        address: "127.0.0.2".parse().expect("an address"),
        range: "loopback",
    };
    assert_eq!(refused, first);
    assert_eq!(receiver.connections().await, 0);
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn what_was_registered_as_http_is_not_called_once_only_https_is_allowed() {
    let [receiver] = receivers(["127.0.0.1"]).await;
    let policy = AddressPolicy {
        allow_http: false,
        ..loopback()
    };
    let transport = Transport::new(TransportConfig::new(policy, AMPLE), Arc::new(Names::default()));
    let refused = forbidden(post(&transport, &receiver.url_as("127.0.0.1")).await);
    assert_eq!(refused, ForbiddenAddress::Http);
    assert_eq!(receiver.connections().await, 0);
}

#[tokio::test]
async fn a_forbidden_literal_or_port_is_not_dialled() {
    let [receiver] = receivers(["127.0.0.2"]).await;
    let (transport, _) = setup(&["127.0.0.1/32"]);
    forbidden(post(&transport, &receiver.url()).await);
    assert_eq!(receiver.connections().await, 0);
    let refused = forbidden(post(&transport, "https://8.8.8.8:22/").await);
    assert_eq!(refused, ForbiddenAddress::Port { port: 22 });
}

#[tokio::test]
async fn of_a_mixed_answer_only_what_is_allowed_is_dialled() {
    let [allowed, refused] = receivers(["127.0.0.1", "127.0.0.2"]).await;
    let (transport, names) = setup(&["127.0.0.1/32", "127.0.0.3/32"]);
    names.say(NAME, &["127.0.0.2", "127.0.0.1"]);
    assert_eq!(status(post(&transport, &allowed.url_as(NAME)).await), 200);
    assert_eq!(allowed.requests().len(), 1);
    assert_eq!(refused.connections().await, 0);

    // Not even when nothing listens at the allowed one.
    names.say(NAME, &["127.0.0.2", "127.0.0.3"]);
    let (code, message) = failure(post(&transport, &allowed.url_as(NAME)).await);
    let expected = format!("connection refused by 127.0.0.3:{}", allowed.address().port());
    assert_eq!((code, message), (FailureCode::ConnectFailed, expected));
    assert_eq!(refused.connections().await, 0);
}

#[tokio::test]
async fn a_name_may_change_its_mind_while_a_connection_is_open() {
    let [first, second, refused] = receivers(["127.0.0.1", "127.0.0.3", "127.0.0.2"]).await;
    let (transport, names) = setup(&["127.0.0.1/32", "127.0.0.3/32"]);
    let url = first.url_as(NAME);

    names.say(NAME, &["127.0.0.1"]);
    assert_eq!(status(post(&transport, &url).await), 200);
    assert_eq!(transport.open_connections(), 1);

    names.say(NAME, &["127.0.0.2"]);
    forbidden(post(&transport, &url).await);
    names.fail(NAME, NameError::NotFound);
    assert_eq!(failure(post(&transport, &url).await).0, FailureCode::DnsFailed);
    assert_eq!(first.requests().len(), 1, "the open connection was not used");

    names.say(NAME, &["127.0.0.3"]);
    assert_eq!(status(post(&transport, &url).await), 200);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));

    names.say(NAME, &["127.0.0.1", "127.0.0.2"]);
    assert_eq!(status(post(&transport, &url).await), 200);
    assert_eq!(first.requests().len(), 2, "back where it was");
    assert_eq!(first.connections().await, 1);
    assert_eq!(refused.connections().await, 0);
}

#[tokio::test]
async fn an_answer_is_believed_for_a_moment() {
    let [receiver] = receivers(["127.0.0.1"]).await;
    let names = Arc::new(Names::default());
    names.say(NAME, &["127.0.0.1"]);
    let config = TransportConfig {
        name_reuse: AMPLE,
        ..TransportConfig::new(loopback(), AMPLE)
    };
    let transport = Transport::new(config, names.clone());
    for _ in 0..10 {
        assert_eq!(status(post(&transport, &receiver.url_as(NAME)).await), 200);
    }
    assert_eq!(names.lookups(), 1);
}

#[tokio::test]
async fn names_are_origins_of_their_own() {
    let [receiver] = receivers(["127.0.0.1"]).await;
    let (transport, names) = setup(&["127.0.0.1/32"]);
    for name in ["a.example", "b.example"] {
        names.say(name, &["127.0.0.1"]);
        assert_eq!(status(post(&transport, &receiver.url_as(name)).await), 200);
    }
    assert_eq!(receiver.connections().await, 2);
    let hosts: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.header("Host").map(str::to_owned))
        .collect();
    let port = receiver.address().port();
    assert_eq!(
        hosts,
        [
            Some(format!("a.example:{port}")),
            Some(format!("b.example:{port}"))
        ]
    );
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_failure() {
    let (transport, names) = setup(&[]);
    for (error, message) in [
        (
            NameError::NotFound,
            "looking up hooks.example.com: no such name, or it has no address",
        ),
        (
            NameError::Failed("the server answered SERVFAIL".to_owned()),
            "looking up hooks.example.com: the server answered SERVFAIL",
        ),
        (
            NameError::TimedOut,
            "looking up hooks.example.com: no answer from DNS",
        ),
    ] {
        names.fail(NAME, error);
        let outcome = post(&transport, "https://hooks.example.com/").await;
        assert_eq!(failure(outcome), (FailureCode::DnsFailed, message.to_owned()));
    }
    names.say(NAME, &[]);
    assert_eq!(
        failure(post(&transport, "https://hooks.example.com/").await).0,
        FailureCode::DnsFailed
    );
    names.fail(NAME, NameError::Failed("x".repeat(10_000)));
    assert_eq!(
        failure(post(&transport, "https://hooks.example.com/").await).0,
        FailureCode::DnsFailed
    );
}

#[tokio::test]
async fn a_lookup_does_not_outlast_the_deadline() {
    struct Silent;
    #[async_trait]
    impl ResolveName for Silent {
        async fn lookup(&self, _: &str) -> Result<Vec<IpAddr>, NameError> {
            std::future::pending().await
        }
    }
    let transport = Transport::new(TransportConfig::new(loopback(), SHORT), Arc::new(Silent));
    let outcome = post(&transport, "https://hooks.example.com/").await;
    let expected = "timed out after 300ms looking up hooks.example.com";
    assert_eq!(failure(outcome), (FailureCode::Timeout, expected.to_owned()));
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_failure() {
    let gone = std::net::TcpListener::bind("127.0.0.9:0").expect("an address of this machine");
    let address = gone.local_addr().expect("it is bound");
    drop(gone);
    let outcome = post(&transport(AMPLE), &format!("http://{address}/")).await;
    assert_eq!(
        failure(outcome),
        (
            FailureCode::ConnectFailed,
            format!("connection refused by {address}")
        )
    );
}

#[tokio::test]
async fn an_address_that_refuses_gives_way_to_the_next() {
    let [receiver] = receivers(["127.0.0.1"]).await;
    let (transport, names) = setup(&["127.0.0.0/8", "::1/128"]);
    names.say(NAME, &["::1", "127.0.0.5", "127.0.0.1"]);
    assert_eq!(status(post(&transport, &receiver.url_as(NAME)).await), 200);
}

#[tokio::test]
async fn an_address_that_is_silent_gives_way_to_the_next() {
    let [receiver] = receivers(["127.0.0.1"]).await;
    let port = receiver.address().port();
    let silent = BlackHole::at(SocketAddr::new("127.0.0.6".parse().expect("an address"), port));
    let (transport, names) = setup(&["127.0.0.0/8"]);
    names.say(NAME, &["127.0.0.6", "127.0.0.1"]);
    assert_eq!(status(post(&transport, &receiver.url_as(NAME)).await), 200);

    let transport = Transport::new(TransportConfig::new(loopback(), SHORT), names);
    let outcome = post(&transport, &format!("http://127.0.0.6:{port}/")).await;
    let expected = format!("timed out after 300ms connecting to 127.0.0.6:{port}");
    assert_eq!(failure(outcome), (FailureCode::Timeout, expected));
    drop(silent);
}

/// A listener whose queue is full: the kernel ignores whoever calls next.
struct BlackHole {
    _listener: socket2::Socket,
    _callers: Vec<TcpStream>,
}

impl BlackHole {
    fn at(address: SocketAddr) -> Self {
        let listener =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        listener.bind(&address.into()).expect("a free port");
        listener.listen(0).expect("a listener");
        let callers =
            std::iter::from_fn(|| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok())
                .collect();
        Self {
            _listener: listener,
            _callers: callers,
        }
    }
}
