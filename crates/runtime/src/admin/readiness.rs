//! Whether a process can do its work, check by check.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracing::{info, warn};

/// Why a check fails before anyone has said otherwise.
const STARTING: &str = "starting";

/// What a process needs before it can do its work. Clones share the same checks.
///
/// A process is ready when no check fails and it does not drain; with no checks it is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Arc<Mutex<Checks>>,
}

impl Readiness {
    /// No checks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Add a check that fails with "starting" until its flag says otherwise. The same name again gives
    /// another flag for the same check.
    pub fn check(&self, name: &'static str) -> ReadyFlag {
        let mut checks = self.lock();
        if !checks.all.iter().any(|check| check.name == name) {
            checks.all.push(Check {
                name,
                failing_because: Some(STARTING.to_owned()),
            });
        }
        drop(checks);
        ReadyFlag {
            readiness: self.clone(),
            name,
        }
    }

    /// Not ready from now on, whatever the checks say: the process is on its way out.
    pub fn set_draining(&self) {
        self.lock().is_draining = true;
    }

    /// Where things stand.
    pub fn status(&self) -> ReadinessStatus {
        let checks = self.lock();
        let failing = checks.failing();
        match (checks.is_draining, failing.is_empty()) {
            (true, _) => ReadinessStatus::Draining(failing),
            (false, false) => ReadinessStatus::NotReady(failing),
            (false, true) => ReadinessStatus::Ready,
        }
    }

    /// Whether every check passes and the process does not drain.
    pub fn is_ready(&self) -> bool {
        matches!(self.status(), ReadinessStatus::Ready)
    }

    /// Every check and whether it passes, and whether the process drains.
    pub(super) fn checks(&self) -> (Vec<(&'static str, bool)>, bool) {
        let checks = self.lock();
        let all = checks
            .all
            .iter()
            .map(|check| (check.name, check.failing_because.is_none()));
        (all.collect(), checks.is_draining)
    }

    /// Every change below is a single assignment, so a panic elsewhere leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a process can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadinessStatus {
    /// Every check passes.
    Ready,
    /// These checks fail; there is at least one.
    NotReady(Vec<FailingCheck>),
    /// The process is stopping. These checks fail besides; there may be none.
    Draining(Vec<FailingCheck>),
}

/// A check that fails, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailingCheck {
    /// The check's name.
    pub check: &'static str,
    /// Why it fails, for an operator.
    pub reason: String,
}

/// Says whether one check passes. Clones speak for the same check.
#[derive(Clone, Debug)]
pub struct ReadyFlag {
    readiness: Readiness,
    name: &'static str,
}

impl ReadyFlag {
    /// The check passes. Cheap to repeat; only a change is logged.
    pub fn set_ready(&self) {
        if self.replace(None).is_some() {
            info!(check = self.name, "{} is ready", self.name);
        }
    }

    /// The check fails, and why. The reason is shown on `/readyz` and logged when it changes, so it holds
    /// no secret.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.replace(Some(reason.clone())).as_ref() != Some(&reason) {
            warn!(check = self.name, reason, "{} is not ready: {reason}", self.name);
        }
    }

    /// What the check said before.
    fn replace(&self, failing_because: Option<String>) -> Option<String> {
        let mut checks = self.readiness.lock();
        let check = checks.all.iter_mut().find(|check| check.name == self.name);
        let check = check.expect("a flag exists only for a check that was added, and none is removed");
        std::mem::replace(&mut check.failing_because, failing_because)
    }
}

#[derive(Debug, Default)]
struct Checks {
    all: Vec<Check>,
    is_draining: bool,
}

impl Checks {
    fn failing(&self) -> Vec<FailingCheck> {
        self.all
            .iter()
            .filter_map(|check| {
                let reason = check.failing_because.clone()?;
                Some(FailingCheck {
                    check: check.name,
                    reason,
                })
            })
            .collect()
    }
}

#[derive(Debug)]
struct Check {
    name: &'static str,
    failing_because: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_no_checks_is_ready() {
        assert!(Readiness::new().is_ready());
    }

    #[test]
    fn two_flags_of_one_name_speak_for_one_check() {
        let readiness = Readiness::new();
        let (one, other) = (readiness.check("database"), readiness.check("database"));
        assert!(!readiness.is_ready());
        one.set_ready();
        assert!(readiness.is_ready());
        other.set_not_ready("gone");
        assert_eq!(
            readiness.status(),
            ReadinessStatus::NotReady(vec![FailingCheck {
                check: "database",
                reason: "gone".to_owned()
            }])
        );
    }

    #[test]
    fn draining_is_not_undone_by_a_check_that_passes() {
        let readiness = Readiness::new();
        let database = readiness.check("database");
        readiness.set_draining();
        database.set_ready();
        assert_eq!(readiness.status(), ReadinessStatus::Draining(Vec::new()));
    }
}
