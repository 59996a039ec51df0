//! TLS to PostgreSQL, as the URL's `sslmode` asks for it.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;

/// Makes the TLS side of a connection; used only where the server offers TLS and `sslmode` wants it.
pub(crate) type Tls = MakeRustlsConnect;

/// What a URL says about TLS in words that the driver does not know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// `sslrootcert`: trust these certificates instead of the system's.
    root_certificates: Option<PathBuf>,
}

/// Take out of a URL what the driver does not know: `sslmode=verify-full` and `verify-ca` become `require`, which
/// verifies the certificate and the host name here (stricter than libpq's), and `sslrootcert` is remembered.
pub(crate) fn read_url(url: &str) -> Result<(String, Wish), StoreError> {
    let mut wish = Wish::default();
    let Some((base, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), wish));
    };
    let mut kept = vec![];
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", "verify-full" | "verify-ca")) => kept.push("sslmode=require"),
            // libpq's two weakest modes: TLS only if the server insists, which tokio-postgres cannot express.
            Some(("sslmode", "allow")) => kept.push("sslmode=prefer"),
            Some(("sslrootcert", "system")) => {}
            Some(("sslrootcert", path)) => {
                let path: String = url::form_urlencoded::parse(format!("p={path}").as_bytes())
                    .map(|(_, value)| value.into_owned())
                    .collect();
                wish.root_certificates = Some(PathBuf::from(path));
            }
            _ => kept.push(pair),
        }
    }
    Ok((format!("{base}?{}", kept.join("&")), wish))
}

/// The connector for a mode. `prefer`, the default, encrypts where the server can and believes any certificate:
/// who could forge one could as well refuse TLS, so that verifying would protect nothing and lock out every
/// server with a self-signed certificate. `require` verifies.
pub(crate) fn connector(mode: SslMode, wish: &Wish) -> Result<Tls, StoreError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::other(format!("TLS cannot be set up: {error}")))?;
    let config = match mode {
        SslMode::Disable | SslMode::Prefer => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            .with_no_client_auth(),
        _ => builder.with_root_certificates(roots(wish)?).with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(wish: &Wish) -> Result<RootCertStore, StoreError> {
    let found = match &wish.root_certificates {
        Some(path) => rustls_native_certs::load_certs_from_paths(Some(path), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(StoreError::other(
            "sslmode asks for a verified certificate, but no root certificate could be read: name a PEM file with \
             sslrootcert in the database URL, or with SSL_CERT_FILE",
        ));
    }
    Ok(roots)
}

/// Believes any certificate, but still has its owner prove that it is theirs.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_does_not_know_is_taken_out_of_the_url() {
        for (url, driver, root) in [
            ("postgres://h/d", "postgres://h/d", None),
            (
                "postgres://h/d?sslmode=verify-full",
                "postgres://h/d?sslmode=require",
                None,
            ),
            (
                "postgres://h/d?a=b&sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem",
                "postgres://h/d?a=b&sslmode=require",
                Some("/etc/ca.pem"),
            ),
            (
                "postgres://h/d?sslmode=prefer",
                "postgres://h/d?sslmode=prefer",
                None,
            ),
        ] {
            let (read, wish) = read_url(url).expect("readable");
            assert_eq!(read, driver);
            assert_eq!(wish.root_certificates, root.map(PathBuf::from));
        }
    }

    #[test]
    fn a_missing_root_certificate_is_told_with_the_remedy() {
        let wish = Wish {
            root_certificates: Some(PathBuf::from("/nowhere/ca.pem")),
        };
        let error = connector(SslMode::Require, &wish)
            .map(|_| ())
            .expect_err("no roots");
        assert!(format!("{error:?}").contains("sslrootcert"), "{error:?}");
    }
}
