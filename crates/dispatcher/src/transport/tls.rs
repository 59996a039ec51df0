//! Whom we trust, and which versions we speak.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// The protocol name of HTTP/2 in the handshake.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// How many receivers' sessions are remembered, to shorten the next handshake.
const SESSIONS_MAX: usize = 4_096;

/// TLS 1.2 or newer, HTTP/2 preferred; certificates are always verified, against the web's authorities, the system's
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` included) and `extra`.
pub(super) fn connector(extra: Option<RootCertStore>) -> TlsConnector {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "the system's certificate authorities could not all be read");
    }
    roots.add_parsable_certificates(system.certs);
    roots
        .roots
        .extend(extra.into_iter().flat_map(|extra| extra.roots));

    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has cipher suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    TlsConnector::from(Arc::new(config))
}
