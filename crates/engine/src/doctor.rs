//! The doctor: what is wrong with an installation, in plain words, with the remedy.
//!
//! It asks PostgreSQL and RabbitMQ as the services do, and changes nothing: `database` and `broker` collect facts and
//! judge them. A fact that cannot be had is a finding, too.

mod broker;
mod database;

use std::time::Duration;

use plumbline_store::secrets::Vault;

use crate::assembly::{BrokerSettings, DatabaseSettings, SettingError};
use crate::story;

/// Somebody found in trouble is named, up to so many.
const NAMED_MAX: usize = 5;
/// Work that is late by so many graces is a failure, and no longer something to keep an eye on.
const FAILED_AFTER_GRACES: u32 = 5;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Warn,
    /// It does not work, or not for long.
    Fail,
}

impl Level {
    /// The level as it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub what: String,
    /// How it was found.
    pub explanation: String,
    /// What to do about it; always there unless it is as it should be.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(what: &str, explanation: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what: what.to_owned(),
            explanation: explanation.into(),
            remedy: None,
        }
    }

    fn trouble(level: Level, what: &str, explanation: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level,
            what: what.to_owned(),
            explanation: explanation.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn warn(what: &str, explanation: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::trouble(Level::Warn, what, explanation, remedy)
    }

    fn fail(what: &str, explanation: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::trouble(Level::Fail, what, explanation, remedy)
    }
}

/// The services' settings that decide what is late, failing or old.
#[derive(Debug, Clone, Copy)]
pub struct Expectations {
    /// From when unfinished work that no queue holds counts as lost.
    pub recovery_grace: Duration,
    /// Consecutive failed attempts that disable an endpoint; 0 is never.
    pub disable_after: u32,
    /// Days that events are kept.
    pub retention_days: u32,
}

/// Examine an installation: what was found, in the order of the causes.
///
/// # Errors
/// [`SettingError`] names the setting that is wrong; everything else is a finding.
pub async fn examine(
    database: &DatabaseSettings,
    broker: &BrokerSettings<'_>,
    master_keys: &str,
    expectations: Expectations,
) -> Result<Vec<Finding>, SettingError> {
    let store = database.open()?;
    let vault = Vault::parse(master_keys).map_err(|error| SettingError::MasterKeys(story(&error)))?;
    let broker = broker.config()?;
    let (mut findings, of_broker) = tokio::join!(
        database::examine(&store, &vault, expectations),
        broker::examine(&broker)
    );
    findings.extend(of_broker);
    Ok(findings)
}

/// A number of things, in words.
fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// How long, to the precision that somebody wants to read.
fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How bad it is that something is late by this much.
fn lateness(late: Duration, grace: Duration) -> Level {
    if late > grace * FAILED_AFTER_GRACES {
        Level::Fail
    } else if late > grace {
        Level::Warn
    } else {
        Level::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_people_tell_them() {
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(lasting(Duration::from_secs(seconds)), told);
        }
    }
}
