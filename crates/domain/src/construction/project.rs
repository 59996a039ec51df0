//! Projects.

use std::fmt;

use super::{Fault, Faults, Money, NAME_CHARS_MAX};
use crate::{ContactId, ProjectId, TenantId, Timestamp};

/// A construction project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub number: ProjectNumber,
    /// What the client said of it.
    pub details: ProjectDetails,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectDetails {
    /// 1 to 200 characters.
    pub name: String,
    /// For whom.
    pub contact: Option<ContactId>,
    /// What the customer owes for it; not negative. Approved change orders add to it.
    pub contract_value: Money,
    /// How it stands. A new one is active; any status may follow any other.
    pub status: ProjectStatus,
}

impl ProjectDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("name", Some(&self.name), NAME_CHARS_MAX);
        faults.not_negative("contractValue", Some(self.contract_value));
        faults.0
    }
}

/// How a project stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectStatus {
    /// Under way.
    Active,
    /// Paused.
    OnHold,
    /// Done.
    Completed,
    /// Given up.
    Cancelled,
}

impl ProjectStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Active, Self::OnHold, Self::Completed, Self::Cancelled];

    /// The status as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::OnHold => "on_hold",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A project's number within its tenant, from 1: `PRJ-001`, and `PRJ-1000` after `PRJ-999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectNumber(pub u32);

impl fmt::Display for ProjectNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PRJ-{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_12_a_project_number_has_three_digits_and_grows() {
        for (number, text) in [
            (1, "PRJ-001"),
            (42, "PRJ-042"),
            (999, "PRJ-999"),
            (1_000, "PRJ-1000"),
        ] {
            assert_eq!(ProjectNumber(number).to_string(), text);
        }
    }
}
