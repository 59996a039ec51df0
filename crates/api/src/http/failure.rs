//! Why a request was not done, before any dialect has put it into its words.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use plumbline_domain::permission::Denied;
use plumbline_engine::{Error, FieldError, story};

use super::whole_seconds;

/// Seconds after which a client may try again what was not possible.
const RETRY_AFTER_SECONDS: &str = "1";

/// Why a request was not done. Each dialect renders every variant, in an exhaustive match.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Neither an API key nor a session came with the request.
    #[error("no API key was given: send it as `Authorization: Bearer plk_live_…`")]
    NoCredentials,
    /// The API key is unknown, revoked, or not for this address.
    #[error("the API key is not valid: it is unknown, revoked, or may not be used from this address")]
    BadCredentials,
    /// The session of the cookie is over, or there is none.
    #[error("you are not signed in: sign in with POST /api/v1/session")]
    NoSession,
    /// Nobody has this address and this password.
    #[error("the e-mail address or the password is wrong")]
    WrongPassword,
    /// A page of another site may have made the browser send it.
    #[error(
        "a change with a session's cookie is accepted from this service's own pages only (`Sec-Fetch-Site: \
         same-origin`, or an `Origin` of this service): a program uses an API key instead"
    )]
    CrossSite,
    /// So many of something that the client has to wait.
    #[error("too many {what}: try again in {} seconds", whole_seconds(*.retry_after).max(1))]
    RateLimited {
        /// Of what.
        what: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// The key lacks a scope, or the user a role.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// Nothing has this path.
    #[error(
        "there is nothing at this path: what there is, GET /api/v1/openapi.json, /api/2023-01/openapi.json and /v1/openapi.json say"
    )]
    NoRoute,
    /// The path takes other methods, which are named.
    #[error("this path does not take that method: use {0}")]
    MethodNotAllowed(String),
    /// The body is not said to be JSON, or is encoded.
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    /// The request cannot be read; the message says where, and the remedy.
    #[error("{0}")]
    Malformed(String),
    /// The body did not arrive in time.
    #[error("the request's body did not arrive within {} seconds", .0.as_secs())]
    TooSlow(Duration),
    /// The whole body is larger than we read.
    #[error("the request's body is larger than {limit} bytes: send less at once")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// One event's payload is larger than the operator allows.
    #[error(
        "the payload has {actual} bytes, and at most {limit} are allowed: send a smaller resource snapshot"
    )]
    PayloadTooLarge {
        /// Its size, in bytes.
        actual: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Fields or parameters that cannot be accepted; never empty.
    #[error("{} of the request's fields cannot be accepted", .0.len())]
    Invalid(Vec<FieldError>),
    /// No such thing in this tenant, whoever else may have it.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The state of things does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The idempotency key was used for another request.
    #[error("this Idempotency-Key was used for a different request: use a new key for a new request")]
    IdempotencyKeyReused,
    /// What we need is not reachable now.
    #[error("the service cannot do this now: try again in a moment")]
    Unavailable(#[source] Error),
    /// A fault of ours.
    #[error("something went wrong on our side: the request id helps us to find it")]
    Internal(#[source] Error),
    /// A fault of ours that no use case reported.
    #[error("something went wrong on our side: the request id helps us to find it")]
    Unexpected(String),
}

impl Failure {
    /// One invalid field or parameter.
    pub(crate) fn invalid(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }

    /// The response's status, in every dialect that has no other word for it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoCredentials | Self::BadCredentials | Self::NoSession | Self::WrongPassword => {
                StatusCode::UNAUTHORIZED
            }
            Self::Denied(_) | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoute | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } | Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) | Self::IdempotencyKeyReused => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Unexpected(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Add what the failure says in headers.
    pub(crate) fn add_headers(&self, response: &mut HttpResponse) {
        let headers = response.headers_mut();
        match self {
            Self::NoCredentials | Self::BadCredentials | Self::NoSession | Self::WrongPassword => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::MethodNotAllowed(allowed) => {
                // Method names are a header value; without the header the response would still be right.
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    headers.insert(ALLOW, allowed);
                }
            }
            Self::Unavailable(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            Self::RateLimited { retry_after, .. } => {
                headers.insert(RETRY_AFTER, whole_seconds(*retry_after).max(1).into());
            }
            _ => {}
        }
    }

    /// Whether it is our fault: then it is logged as an error.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Internal(_) | Self::Unexpected(_)
        )
    }

    /// The whole story for the log: it holds no secret and no body.
    pub(crate) fn chain(&self) -> String {
        match self {
            Self::Unexpected(what) => what.clone(),
            _ => story(self),
        }
    }
}

/// The engine's errors, translated once.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(what) => Self::NotFound(what),
            Error::Conflict(why) => Self::Conflict(why),
            Error::Invalid(faults) => Self::Invalid(faults),
            Error::PayloadTooLarge { actual, limit } => Self::PayloadTooLarge { actual, limit },
            Error::TooMany { what, retry_after } => Self::RateLimited { what, retry_after },
            Error::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            error @ Error::Unavailable(_) => Self::Unavailable(error),
            error @ (Error::Store(_) | Error::Internal(_)) => Self::Internal(error),
        }
    }
}

/// How a failure travels through actix to the edge, which replaces this response by the dialect's.
impl ResponseError for Failure {
    fn error_response(&self) -> HttpResponse {
        HttpResponse::InternalServerError().finish()
    }
}
