//! The way of production: https to a name, with a certificate that must be right.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plumbline_testkit::{FakeDns, Receiver, Stack};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::ends;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new([]).expect("valid");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// Write an authority's certificate where a process is told to look for the system's.
fn publish(authority: &Authority, file: &Path) {
    let text = STANDARD.encode(authority.der());
    fs::write(
        file,
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"),
    )
    .expect("it can be written");
}

/// Speak TLS for a receiver that does not, as a load balancer does: with a certificate for a name, signed by an authority
/// or by nobody else, until the year's beginning or for long. Ends with the test.
async fn terminate_tls(
    authority: Option<&Authority>,
    name: &str,
    until: Option<i32>,
    receiver: SocketAddr,
) -> SocketAddr {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    if let Some(year) = until {
        params.not_after = date_time_ymd(year, 1, 1);
    }
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has both")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // Who does not trust us breaks off here.
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(receiver).await?;
                copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    addr
}

#[tokio::test]
async fn s0_09_an_https_endpoint_is_reached_by_its_name_if_its_certificate_is_right() {
    let (dns, receiver) = (FakeDns::start().await, Receiver::start().await);
    let (trusted, stranger) = (authority(), authority());
    let file = std::env::temp_dir().join(format!("plumbline-authority-{:016x}.pem", rand::random::<u64>()));
    publish(&trusted, &file);
    const NAME: &str = "hooks.example.test";
    let addr = receiver.addr();
    let right = terminate_tls(Some(&trusted), NAME, None, addr).await;
    let other = terminate_tls(Some(&trusted), "other.example.test", None, addr).await;
    let unknown = terminate_tls(Some(&stranger), NAME, None, addr).await;
    let self_signed = terminate_tls(None, NAME, None, addr).await;
    let expired = terminate_tls(Some(&trusted), NAME, Some(2020), addr).await;
    let stack = Stack::builder()
        .setting("ALLOW_HTTP", "false")
        .setting("RETRY_SCHEDULE", "10ms")
        .variable("SSL_CERT_FILE", &file.display().to_string())
        .dns(&dns)
        .start()
        .await;
    fs::remove_file(&file).expect("each process has read it");
    dns.resolve("hooks.example.test", &["127.0.0.1"]);

    for (addr, status, expected) in [
        (right, "succeeded", &["200"][..]),
        (other, "exhausted", &["tls_failed"; 2]),
        (unknown, "exhausted", &["tls_failed"; 2]),
        (self_signed, "exhausted", &["tls_failed"; 2]),
        (expired, "exhausted", &["tls_failed"; 2]),
    ] {
        let url = format!("https://hooks.example.test:{}/bwp", addr.port());
        let endpoint = stack.api().create_endpoint(&url, &["bid.accepted"]).await;
        let event = stack.api().publish("bid.accepted", json!({"id": 22})).await;
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, status)
            .await;
        assert_eq!(ends(&delivery), expected, "{delivery:#}");
        if status == "succeeded" {
            let request = receiver.next().await;
            request.verify(&endpoint.secret).expect("the signature is right");
            assert_eq!(request.the("Host"), format!("hooks.example.test:{}", addr.port()));
        }
        stack.api().delete_endpoint(endpoint.id).await;
    }
    assert_eq!(
        receiver.requests().len(),
        1,
        "nothing is sent to whom we cannot trust"
    );
}
