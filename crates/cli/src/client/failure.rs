//! Why the API did not do what was asked, in words that name the remedy.

use hyper::StatusCode;

use super::wire::{self, Problem};

/// What went wrong between us and the API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody said where the API is.
    #[error(
        "PLUMBLINE_URL (--url) is required and not set: where the API is, such as https://hooks.example.com; after `make up`, \
         `set -a; . .local/dev.env; set +a` gives it"
    )]
    NoUrl,
    /// Nobody said who asks.
    #[error(
        "PLUMBLINE_API_KEY (--api-key) is required and not set: make a key in the console under API keys, or with `plumbline \
         api-key create`, and export it, so that it stands in no command line; after `make up`, `set -a; . .local/dev.env; set +a` gives it"
    )]
    NoKey,
    /// The key cannot be sent.
    #[error("PLUMBLINE_API_KEY (--api-key): it has characters that no key has; copy it again")]
    BadKey,
    /// Nothing came back.
    #[error("{base} cannot be reached: {why}; look at PLUMBLINE_URL (--url), and whether the API runs")]
    Unreachable {
        /// Where.
        base: String,
        /// What happened.
        why: String,
    },
    /// What came back is not ours.
    #[error(
        "{base} answered {status} without saying why: is PLUMBLINE_URL (--url) the address of Plumbline's API?"
    )]
    Stranger {
        /// Where.
        base: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The API said no.
    #[error("{}", .0.words())]
    Refused(Box<Refused>),
    /// What came back cannot be read.
    #[error("the API's answer cannot be read: {0}; is this command as new as the API?")]
    Unreadable(String),
    /// A live stream ended for good.
    #[error(
        "the API ended the stream, because the API key is no longer valid: make another, and set PLUMBLINE_API_KEY"
    )]
    SignedOut,
    /// There is nothing to trust.
    #[error("the system's certificate authorities cannot be read: {0}; install the package ca-certificates")]
    Roots(#[source] std::io::Error),
}

/// A no of the API.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    problem: Problem,
}

/// What kind of failure it is, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// Something that was given is not accepted.
    Usage,
    /// Not allowed.
    Forbidden,
    /// Not reachable, or not now.
    Unavailable,
    /// Anything else.
    Other,
}

impl ClientError {
    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ProblemKind {
        match self {
            Self::NoUrl | Self::NoKey | Self::BadKey => ProblemKind::Usage,
            Self::Unreachable { .. } | Self::Stranger { .. } => ProblemKind::Unavailable,
            Self::SignedOut => ProblemKind::Forbidden,
            Self::Refused(refused) => match refused.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProblemKind::Forbidden,
                status if super::is_passing(status) && status != StatusCode::INTERNAL_SERVER_ERROR => {
                    ProblemKind::Unavailable
                }
                status if status.is_client_error() => ProblemKind::Usage,
                _ => ProblemKind::Other,
            },
            Self::Unreadable(_) | Self::Roots(_) => ProblemKind::Other,
        }
    }

    /// What happened, without the remedy, which is to wait.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Unreachable { why, .. } => why.clone(),
            error => error.to_string(),
        }
    }

    /// Whether there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.status == StatusCode::NOT_FOUND)
    }

    /// Whether it is the key that may not.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.status == StatusCode::FORBIDDEN)
    }

    /// Whether a later request may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refused) => super::is_passing(refused.status),
            Self::Stranger { status, .. } => super::is_passing(*status),
            _ => false,
        }
    }
}

impl Refused {
    fn words(&self) -> String {
        let Problem {
            detail,
            code,
            request_id,
            errors,
        } = &self.problem;
        let mut words = match errors.as_slice() {
            [] => detail.clone(),
            faults => {
                let faults: Vec<_> = faults
                    .iter()
                    .map(|fault| format!("{} {}", fault.field, fault.message))
                    .collect();
                faults.join("\nerror: ")
            }
        };
        let remedy = match (self.status, code.as_str()) {
            (StatusCode::UNAUTHORIZED, _) => {
                "; make a key in the console under API keys, or with `plumbline api-key create`, and set PLUMBLINE_API_KEY"
            }
            (_, "scope_insufficient") => {
                "; use a key that has it: a company_admin makes one in the console under API keys"
            }
            (StatusCode::TOO_MANY_REQUESTS, _) => "; wait a minute",
            _ => "",
        };
        words.push_str(remedy);
        if self.status.is_server_error() && !request_id.is_empty() {
            words.push_str(&format!(" (request {request_id})"));
        }
        words
    }
}

/// A no, as the API said it, or a stranger's.
pub(super) fn of_answer(base: &str, status: StatusCode, body: &[u8]) -> ClientError {
    match wire::read_bytes::<Problem>(body) {
        Ok(problem) => ClientError::Refused(Box::new(Refused { status, problem })),
        Err(_) => ClientError::Stranger {
            base: base.to_owned(),
            status,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_has_a_kind_and_a_remedy() {
        let problem = |code: &str| {
            format!(
                r#"{{"detail":"the API key lacks the scope `events:read`","code":"{code}","request_id":"req_1"}}"#
            )
        };
        for (status, code, kind, remedy) in [
            (401, "unauthorized", ProblemKind::Forbidden, "PLUMBLINE_API_KEY"),
            (
                403,
                "scope_insufficient",
                ProblemKind::Forbidden,
                "`events:read`; use a key that has it",
            ),
            (404, "not_found", ProblemKind::Usage, ""),
            (409, "conflict", ProblemKind::Usage, ""),
            (429, "rate_limited", ProblemKind::Unavailable, "wait a minute"),
            (500, "internal_error", ProblemKind::Other, "req_1"),
            (503, "service_unavailable", ProblemKind::Unavailable, "req_1"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = of_answer("http://a.example", status, problem(code).as_bytes());
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains(remedy), "{error}");
        }
        let stranger = of_answer("http://a.example", StatusCode::NOT_FOUND, b"<html>");
        assert_eq!(stranger.kind(), ProblemKind::Unavailable);
        assert!(stranger.to_string().contains("PLUMBLINE_URL"), "{stranger}");
    }

    #[test]
    fn every_field_that_is_refused_is_named() {
        let body = br#"{"detail":"2 fields","code":"validation_failed","request_id":"r","errors":[
            {"field":"url","code":"x","message":"is private"},{"field":"eventTypes","code":"x","message":"is required"}]}"#;
        let error = of_answer("http://a.example", StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(error.to_string(), "url is private\nerror: eventTypes is required");
    }
}
