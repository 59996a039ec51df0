//! What can go wrong in the store, in terms of what the caller can do about it.

use std::fmt;

use deadpool_postgres::PoolError;
use tokio_postgres::error::{DbError, SqlState};

/// Why a statement, or a wait for a connection, did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL could not be reached, is starting or stopping, is read-only, or the connection was lost half-way.
    /// Whether an interrupted commit happened is not known.
    #[error("the database is not available")]
    Unavailable(#[source] Cause),
    /// A uniqueness rule forbids it.
    #[error("the database has it already ({constraint})")]
    Conflict {
        /// The rule's name.
        constraint: String,
    },
    /// It collided with a concurrent transaction: nothing happened, and the same again may succeed.
    #[error("the statement collided with another one")]
    Retry(#[source] Cause),
    /// What is stored does not map to the domain; says which column, never its value.
    #[error("the database holds what cannot be: {0}")]
    Corrupt(String),
    /// A fault of ours, of the configuration or of the server.
    #[error("the database refused")]
    Other(#[source] Cause),
}

impl StoreError {
    /// Whether the same again may succeed by itself.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Retry(_) => true,
            Self::Conflict { .. } | Self::Corrupt(_) | Self::Other(_) => false,
        }
    }

    /// The database cannot be used, for a reason that the caller found out.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable(Cause::new(what))
    }

    pub(crate) fn timeout(what: &'static str) -> Self {
        Self::Unavailable(Cause::new(format!("timed out {what}")))
    }

    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self::Other(Cause::new(what))
    }
}

/// What the driver or the server said. A server's DETAIL is left out on purpose: it quotes the row, and rows hold
/// payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    sqlstate: Option<String>,
    message: String,
}

impl Cause {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            sqlstate: None,
            message: message.into(),
        }
    }

    /// The server's five-letter code, where it was the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }
}

impl From<&DbError> for Cause {
    fn from(error: &DbError) -> Self {
        Self {
            sqlstate: Some(error.code().code().to_owned()),
            message: error.message().to_owned(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.sqlstate {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Cause {}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            return refusal.into();
        }
        let mut message = error.to_string();
        let mut lost = error.is_closed();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            lost |= inner.is::<std::io::Error>();
            message = format!("{message}: {inner}");
            source = inner.source();
        }
        if lost {
            Self::Unavailable(Cause::new(message))
        } else {
            Self::Other(Cause::new(message))
        }
    }
}

impl From<&DbError> for StoreError {
    fn from(error: &DbError) -> Self {
        let code = error.code();
        let cause = Cause::from(error);
        let transient = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::QUERY_CANCELED,
            // The database or the schema is not there yet: somebody is about to migrate.
            SqlState::INVALID_CATALOG_NAME,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::UNDEFINED_TABLE,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        let collided = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        if *code == SqlState::UNIQUE_VIOLATION || *code == SqlState::EXCLUSION_VIOLATION {
            return Self::Conflict {
                constraint: error.constraint().unwrap_or("unnamed").to_owned(),
            };
        }
        // Class 08: connection exceptions. Class 53: out of connections, memory or disk. 57P05: idle too long.
        let class = &code.code()[..2];
        if transient.contains(code) || class == "08" || class == "53" || code.code() == "57P05" {
            return Self::Unavailable(cause);
        }
        if collided.contains(code) || is_stale_plan(code) {
            return Self::Retry(cause);
        }
        Self::Other(cause)
    }
}

/// A migration changed what a prepared statement returns, or a pooler between us forgot it: the connection is
/// dropped, and a new one prepares anew.
pub(crate) fn is_stale_plan(code: &SqlState) -> bool {
    *code == SqlState::FEATURE_NOT_SUPPORTED || *code == SqlState::INVALID_SQL_STATEMENT_NAME
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::timeout("waiting for a connection"),
            error @ (PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
                Self::Other(Cause::new(error.to_string()))
            }
        }
    }
}
