//! What can go wrong in a use case, in the words of the use case.

use std::time::Duration;

use plumbline_store::StoreError;

/// A field of a request that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path as the engine names it, such as `url` or `eventTypes[2]`; a dialect may rename it.
    pub field: String,
    /// A stable word for programs: `required`, `invalid`, `too_long`, `unknown_event_type`, `forbidden_address`, …
    pub code: &'static str,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl FieldError {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            code,
            message: message.into(),
        }
    }
}

/// Why a use case did not happen. Nothing is half done then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing in this tenant, whoever else may have it.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The state of things does not allow it; the message says which state and the remedy.
    #[error("{0}")]
    Conflict(String),
    /// Fields that cannot be accepted; never empty.
    #[error("{} invalid field(s), the first is `{}`: {}", .0.len(), .0[0].field, .0[0].message)]
    Invalid(Vec<FieldError>),
    /// The payload is larger than the operator allows.
    #[error("the payload has {actual} bytes: at most {limit} are allowed")]
    PayloadTooLarge {
        /// Its size, in bytes.
        actual: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// So many of something that it has to wait.
    #[error("too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// The idempotency key was used within a day for another request.
    #[error("this Idempotency-Key was used for a different request: use a new key for a new request")]
    IdempotencyKeyReused,
    /// The database could not be reached, or lost us half-way; nothing is known to have happened.
    #[error("the database is not available")]
    Unavailable(#[source] StoreError),
    /// A fault of ours.
    #[error("the store failed")]
    Store(#[source] StoreError),
    /// A fault of ours outside the store.
    #[error("{0}")]
    Internal(&'static str),
}

impl Error {
    /// One invalid field.
    pub fn invalid(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            Self::Unavailable(error)
        } else {
            Self::Store(error)
        }
    }
}

/// An error and its causes in one line, for a log or an operator.
pub fn story(error: &dyn std::error::Error) -> String {
    let mut story = error.to_string();
    let mut told = story.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Two layers may say the same.
        if text != told {
            story.push_str(": ");
            story.push_str(&text);
        }
        told = text;
        source = cause.source();
    }
    story
}
