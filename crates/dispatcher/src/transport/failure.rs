//! Why no answer reached us, and the deadline that is one of the reasons.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use plumbline_domain::{AttemptOutcome, FailureCode, ForbiddenAddress, Unreachable};
use rustls::CertificateError;
use tokio::time::{Instant, timeout_at};

use super::route::NameError;
use super::socket::Flood;

/// The longest failure message, in bytes.
const MESSAGE_BYTES_MAX: usize = 300;

/// An attempt without an answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No address of the name may be dialled; none was.
    Forbidden(ForbiddenAddress),
    /// We tried.
    Unreachable(Unreachable),
}

impl From<Failure> for AttemptOutcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Forbidden(forbidden) => Self::Forbidden(forbidden),
            Failure::Unreachable(unreachable) => Self::Unreachable(unreachable),
        }
    }
}

impl Failure {
    pub(super) fn new(code: FailureCode, message: String) -> Self {
        Self::Unreachable(Unreachable {
            code,
            message: shortened(message),
        })
    }

    pub(super) fn lookup(name: &str, error: &NameError) -> Self {
        Self::new(FailureCode::DnsFailed, format!("looking up {name}: {error}"))
    }

    pub(super) fn connect(peer: SocketAddr, error: &io::Error) -> Self {
        let message = match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {peer}"),
            io::ErrorKind::ConnectionReset => format!("connection reset by {peer}"),
            io::ErrorKind::NetworkUnreachable => format!("no route to the network of {peer}"),
            io::ErrorKind::HostUnreachable => format!("no route to {peer}"),
            io::ErrorKind::TimedOut => format!("{peer} did not accept the connection"),
            _ => format!("no connection to {peer}: {}", uncapitalised(error)),
        };
        Self::new(FailureCode::ConnectFailed, message)
    }

    pub(super) fn handshake(peer: SocketAddr, error: &io::Error) -> Self {
        let message = match tls_cause(error) {
            Some(error) => tls_message(peer, error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                format!("{peer} closed the connection during the TLS handshake")
            }
            None => format!("the TLS handshake with {peer} broke: {}", uncapitalised(error)),
        };
        Self::new(FailureCode::TlsFailed, message)
    }

    /// What went wrong between the first byte of the request and the last header of the answer.
    pub(super) fn exchange(peer: SocketAddr, error: &hyper::Error) -> Self {
        if let Some(tls) = causes(error).find_map(|cause| cause.downcast_ref().and_then(tls_cause)) {
            return Self::new(FailureCode::TlsFailed, tls_message(peer, tls));
        }
        let broken = causes(error).find_map(<dyn Error>::downcast_ref::<io::Error>);
        if let Some(h2) = causes(error).find_map(<dyn Error>::downcast_ref::<h2::Error>) {
            return Self::http2(peer, h2);
        }
        if let Some(flood) = broken.and_then(flood) {
            return Self::new(FailureCode::BadResponse, flood.to_string());
        }
        if error.is_parse_too_large() {
            let message = format!("the headers of the answer of {peer} are too large");
            return Self::new(FailureCode::BadResponse, message);
        }
        if error.is_parse() {
            let message = format!("the answer of {peer} is not valid HTTP");
            return Self::new(FailureCode::BadResponse, message);
        }
        if spoke_first(error) {
            let message = format!("{peer} sent something before it was asked: is it an HTTP server?");
            return Self::new(FailureCode::BadResponse, message);
        }
        Self::new(FailureCode::Reset, broken_message(peer, broken))
    }

    fn http2(peer: SocketAddr, error: &h2::Error) -> Self {
        if let Some(flood) = error.get_io().and_then(flood) {
            return Self::new(FailureCode::BadResponse, flood.to_string());
        }
        if error.is_io() {
            return Self::new(FailureCode::Reset, broken_message(peer, error.get_io()));
        }
        let reason = error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR);
        if error.is_remote() {
            let message = format!(
                "{peer} reset the request: {}",
                uncapitalised(reason.description())
            );
            return Self::new(FailureCode::Reset, message);
        }
        let message = format!(
            "the answer of {peer} is not valid HTTP/2: {}",
            uncapitalised(reason.description())
        );
        Self::new(FailureCode::BadResponse, message)
    }
}

/// When an attempt must have its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    started: Instant,
    allowed: Duration,
}

/// What was being waited for when the deadline passed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage<'a> {
    Lookup(&'a str),
    Connect(SocketAddr),
    Handshake(SocketAddr),
    Answer(SocketAddr),
}

impl Deadline {
    pub(super) fn after(allowed: Duration) -> Self {
        Self {
            started: Instant::now(),
            allowed,
        }
    }

    pub(super) fn started(self) -> Instant {
        self.started
    }

    pub(super) fn at(self) -> Instant {
        self.started + self.allowed
    }

    /// Wait for it until the deadline.
    pub(super) async fn bound<F: Future>(self, stage: Stage<'_>, future: F) -> Result<F::Output, Failure> {
        timeout_at(self.at(), future).await.map_err(|_| {
            let message = format!("timed out after {:?} {stage}", self.allowed);
            Failure::new(FailureCode::Timeout, message)
        })
    }
}

impl fmt::Display for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(name) => write!(f, "looking up {name}"),
            Self::Connect(peer) => write!(f, "connecting to {peer}"),
            Self::Handshake(peer) => write!(f, "in the TLS handshake with {peer}"),
            Self::Answer(peer) => write!(f, "waiting for the answer of {peer}"),
        }
    }
}

/// The receiver refused the stream, or is going away and names an earlier one as its last (RFC 9113, 8.7). Receivers
/// do so every thousand requests or so. One that goes away and then breaks off may get a request twice.
pub(super) fn was_declined(error: &hyper::Error) -> bool {
    causes(error)
        .find_map(<dyn Error>::downcast_ref::<h2::Error>)
        .is_some_and(|error| {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            let leaving = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            error.is_remote() && (refused || leaving)
        })
}

/// The error itself, then what caused it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// rustls travels inside of an I/O error, where `source` skips it.
fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Ours travels in the same way.
fn flood(error: &io::Error) -> Option<&Flood> {
    error.get_ref()?.downcast_ref()
}

/// Hyper cancels a request when bytes arrive before it was sent; other reasons to cancel carry an I/O error, or none.
fn spoke_first(error: &hyper::Error) -> bool {
    error.is_canceled()
        && error
            .source()
            .and_then(|cause| cause.downcast_ref::<hyper::Error>())
            .is_some_and(|cause| !cause.is_incomplete_message() && cause.source().is_none())
}

fn broken_message(peer: SocketAddr, error: Option<&io::Error>) -> String {
    match error.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset) => {
            format!("connection reset by {peer} before its answer was complete")
        }
        Some(kind @ (io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable)) => {
            format!("connection to {peer} lost before its answer was complete: {kind}")
        }
        _ => format!("{peer} closed the connection before its answer was complete"),
    }
}

fn tls_message(peer: SocketAddr, error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return format!("the TLS connection to {peer} failed: {}", uncapitalised(error));
    };
    let problem = match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is not signed by a trusted authority".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name".to_owned()
        }
        CertificateError::Revoked => "is revoked".to_owned(),
        other => format!("is not acceptable: {}", uncapitalised(other)),
    };
    format!("the certificate of {peer} {problem}")
}

/// Libraries begin their messages as they like; ours begin in lower case.
fn uncapitalised(message: impl fmt::Display) -> String {
    let mut message = message.to_string();
    let sentence = message.contains(' ') && message.chars().nth(1).is_some_and(char::is_lowercase);
    if sentence && let Some(first) = message.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    message
}

fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX - '…'.len_utf8());
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_and_begin_in_lower_case() {
        let long = shortened("é".repeat(400));
        assert!(long.len() <= MESSAGE_BYTES_MAX && long.ends_with('…'), "{long}");
        assert_eq!(shortened("fine".to_owned()), "fine");
        for (given, expected) in [
            ("Connection reset", "connection reset"),
            ("TLS alert", "TLS alert"),
            ("UnknownIssuer", "UnknownIssuer"),
            ("", ""),
            ("É t", "É t"),
        ] {
            assert_eq!(uncapitalised(given), expected);
        }
    }
}
