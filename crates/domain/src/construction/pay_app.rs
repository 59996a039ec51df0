//! Pay applications.

use super::{Fault, Faults, Lifecycle, Money, Transition};
use crate::{Date, PayAppId, ProjectId, TenantId, Timestamp};

/// A request to be paid for a part of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayApp {
    /// Its id.
    pub id: PayAppId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the client said of it.
    pub details: PayAppDetails,
    /// How it stands.
    pub status: PayAppStatus,
    /// When it was submitted.
    pub submitted_at: Option<Timestamp>,
    /// When it was approved.
    pub approved_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of a pay application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayAppDetails {
    /// The project that it is for.
    pub project: ProjectId,
    /// How much; not negative.
    pub amount: Money,
    /// The last day of the work that it covers.
    pub period_end: Option<Date>,
}

impl PayAppDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.not_negative("amount", Some(self.amount));
        faults.0
    }
}

/// How a pay application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayAppStatus {
    /// Being written.
    Draft,
    /// Awaits approval.
    Submitted,
    /// To be paid; this is final.
    Approved,
}

/// What can be done to a pay application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayAppStep {
    /// Ask for approval.
    Submit,
    /// Approve it.
    Approve,
}

impl PayAppStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Submitted, Self::Approved];

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Lifecycle for PayAppStatus {
    type Step = PayAppStep;
    const RECORD: &'static str = "pay application";
    const TRANSITIONS: &'static [Transition<Self>] = &[
        Transition {
            step: PayAppStep::Submit,
            name: "submit",
            from: &[Self::Draft],
            to: Self::Submitted,
        },
        Transition {
            step: PayAppStep::Approve,
            name: "approve",
            from: &[Self::Submitted],
            to: Self::Approved,
        },
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
            Self::Approved => "approved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::construction::lifecycle::check_table;

    #[test]
    fn s1_17_s1_18_a_pay_app_is_submitted_then_approved() {
        use PayAppStatus::{Approved, Draft, Submitted};
        check_table(
            &[PayAppStep::Submit, PayAppStep::Approve],
            &[
                (Draft, &[Some(Submitted), None]),
                (Submitted, &[None, Some(Approved)]),
                (Approved, &[None, None]),
            ],
        );
    }
}
