//! How a command ends: what it prints, where, and with which exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::client::{ClientError, ProblemKind};
use plumbline_engine::assembly::SettingError;
use plumbline_engine::dead::DeadError;
use plumbline_engine::queues::PurgeError;
use plumbline_engine::{Error, story};
use plumbline_runtime::config::EXIT_BAD_CONFIGURATION;
use serde_json::Value;

/// `EX_UNAVAILABLE` of sysexits.
const EXIT_UNAVAILABLE: u8 = 69;
/// `EX_NOPERM` of sysexits.
const EXIT_FORBIDDEN: u8 = 77;

/// How a command ended.
pub(crate) enum Done {
    /// With a result, to be printed.
    Result {
        /// What `--json` asked for, or `None`.
        json: Option<Value>,
        /// The same for people.
        words: String,
        /// 0, unless what was found is not well, or not all was done.
        exit_code: u8,
    },
    /// It printed its results as they came.
    Printed {
        /// 0, unless something did not succeed.
        exit_code: u8,
    },
}

impl Done {
    /// Print what there is to print. A key that nobody could read is lost: then the command has failed.
    pub(crate) fn print(self) -> ExitCode {
        let (text, exit_code) = match self {
            Self::Printed { exit_code } => return ExitCode::from(exit_code),
            Self::Result {
                json: Some(json),
                exit_code,
                ..
            } => (json.to_string(), exit_code),
            Self::Result { words, exit_code, .. } => (words, exit_code),
        };
        match writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()) {
            Ok(()) => ExitCode::from(exit_code),
            Err(error) => Failure::Output(error).report(),
        }
    }
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// There is no database to work on.
    #[error("PLUMBLINE_DATABASE_URL (--database-url) is required and not set")]
    NoDatabase,
    /// A setting is wrong.
    #[error("{variable}: {0}", variable = variable(.0))]
    Setting(#[from] SettingError),
    /// It would be for ever, and nobody has said yes.
    #[error("{0}; say --yes if that is what you want")]
    Unconfirmed(String),
    /// The dead messages could not be dealt with.
    #[error(transparent)]
    Dead(#[from] DeadError),
    /// The queues were not emptied.
    #[error(transparent)]
    Purge(#[from] PurgeError),
    /// What was given cannot be used: which argument, what is wrong, and the remedy.
    #[error("{0}")]
    Argument(String),
    /// The API did not do it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No password came.
    #[error("the password could not be read from standard input: {0}")]
    Password(#[source] io::Error),
    /// The use case was refused.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The result could not be printed.
    #[error("the result could not be written to standard output: {0}")]
    Output(#[source] io::Error),
}

impl Failure {
    /// Say why on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        // Who closes a pipe, as `head` does, has read enough; the exit code still says that there was more.
        if matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::from(self.exit_code());
        }
        // If the stream is gone there is nobody to tell; the exit code still speaks.
        let _ = writeln!(io::stderr(), "error: {}", self.message());
        ExitCode::from(self.exit_code())
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NoDatabase
            | Self::Setting(_)
            | Self::Password(_)
            | Self::Unconfirmed(_)
            | Self::Argument(_) => usage(),
            Self::Client(error) => match error.kind() {
                ProblemKind::Usage => usage(),
                ProblemKind::Forbidden => EXIT_FORBIDDEN,
                ProblemKind::Unavailable => EXIT_UNAVAILABLE,
                ProblemKind::Other => 1,
            },
            Self::Purge(PurgeError::Consumed { .. }) => 1,
            Self::Dead(_) | Self::Purge(PurgeError::Link(_) | PurgeError::Unknown { .. }) => EXIT_UNAVAILABLE,
            Self::Engine(Error::Invalid(_) | Error::NotFound(_) | Error::Conflict(_)) => usage(),
            Self::Engine(Error::Unavailable(_)) => EXIT_UNAVAILABLE,
            Self::Engine(
                Error::Store(_)
                | Error::Internal(_)
                | Error::PayloadTooLarge { .. }
                | Error::TooMany { .. }
                | Error::IdempotencyKeyReused,
            )
            | Self::Output(_) => 1,
        }
    }

    fn message(&self) -> String {
        if let Self::Engine(Error::Invalid(faults)) = self {
            let faults: Vec<_> = faults
                .iter()
                .map(|fault| format!("{} {}", fault.field, fault.message))
                .collect();
            return faults.join("\nerror: ");
        }
        match self {
            Self::Engine(error) => story(error),
            Self::Dead(error) => story(error),
            Self::Purge(error @ PurgeError::Consumed { .. }) => {
                format!("{error}: stop every dispatcher and every API first; nothing was changed")
            }
            Self::Purge(error) => story(error),
            _ => self.to_string(),
        }
    }
}

/// The variable of a setting, and its flag.
fn variable(error: &SettingError) -> &'static str {
    match error {
        SettingError::Database(_) => "PLUMBLINE_DATABASE_URL (--database-url)",
        SettingError::Broker(_) => "PLUMBLINE_AMQP_URL (--amqp-url)",
        SettingError::MasterKeys(_) => "PLUMBLINE_MASTER_KEYS (--master-keys)",
    }
}

fn usage() -> u8 {
    u8::try_from(EXIT_BAD_CONFIGURATION).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_engine::FieldError;

    #[test]
    fn every_fault_is_named_and_is_a_usage_error() {
        let faults = vec![
            FieldError::new("email", "invalid", "is wrong"),
            FieldError::new("password", "invalid", "is short"),
        ];
        let failure = Failure::Engine(Error::Invalid(faults));
        assert_eq!(failure.message(), "email is wrong\nerror: password is short");
        assert_eq!(failure.exit_code(), 64);
        assert_eq!(Failure::Engine(Error::NotFound("tenant")).exit_code(), 64);
        assert_eq!(Failure::Engine(Error::Internal("x")).exit_code(), 1);
    }
}
