//! Bids.

use std::fmt;

use super::item::{self, Deductions};
use super::{Fault, Faults, Item, Lifecycle, NAME_CHARS_MAX, Transition};
use crate::{BidId, ProjectId, TenantId, Timestamp};

/// An offer to a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bid {
    /// Its id.
    pub id: BidId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its number within the tenant.
    pub number: BidNumber,
    /// What the client said of it.
    pub details: BidDetails,
    /// How it stands.
    pub status: BidStatus,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When the customer looked at it.
    pub viewed_at: Option<Timestamp>,
    /// When it was accepted or rejected.
    pub decided_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of a bid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BidDetails {
    /// The project that it is for.
    pub project: Option<ProjectId>,
    /// At most 200 characters.
    pub title: Option<String>,
    /// What is offered. Prices are not negative, but for what change orders appended.
    pub items: Vec<Item>,
}

impl BidDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("title", self.title.as_deref(), NAME_CHARS_MAX);
        item::check(&mut faults, &self.items, Deductions::Refused);
        faults.0
    }
}

/// How a bid stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BidStatus {
    /// Being written.
    Draft,
    /// With the customer.
    Sent,
    /// Seen by the customer.
    Viewed,
    /// Won; this is final.
    Accepted,
    /// Lost; this is final.
    Rejected,
}

/// What can be done to a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BidStep {
    /// Send it to the customer.
    Send,
    /// Note that the customer has seen it.
    View,
    /// The customer takes it.
    Accept,
    /// The customer does not.
    Reject,
}

impl BidStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Draft,
        Self::Sent,
        Self::Viewed,
        Self::Accepted,
        Self::Rejected,
    ];

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Lifecycle for BidStatus {
    type Step = BidStep;
    const RECORD: &'static str = "bid";
    const TRANSITIONS: &'static [Transition<Self>] = &[
        Transition {
            step: BidStep::Send,
            name: "send",
            from: &[Self::Draft],
            to: Self::Sent,
        },
        Transition {
            step: BidStep::View,
            name: "view",
            from: &[Self::Sent],
            to: Self::Viewed,
        },
        Transition {
            step: BidStep::Accept,
            name: "accept",
            from: &[Self::Sent, Self::Viewed],
            to: Self::Accepted,
        },
        Transition {
            step: BidStep::Reject,
            name: "reject",
            from: &[Self::Sent, Self::Viewed],
            to: Self::Rejected,
        },
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Sent => "sent",
            Self::Viewed => "viewed",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

/// A bid's number within its tenant, from 1: `BID-001`, and `BID-1000` after `BID-999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BidNumber(pub u32);

impl fmt::Display for BidNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BID-{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::construction::lifecycle::check_table;

    #[test]
    fn s1_10_s1_11_a_bid_is_accepted_or_rejected_once_sent() {
        use BidStatus::{Accepted, Draft, Rejected, Sent, Viewed};
        check_table(
            &[BidStep::Send, BidStep::View, BidStep::Accept, BidStep::Reject],
            &[
                (Draft, &[Some(Sent), None, None, None]),
                (Sent, &[None, Some(Viewed), Some(Accepted), Some(Rejected)]),
                (Viewed, &[None, None, Some(Accepted), Some(Rejected)]),
                (Accepted, &[None, None, None, None]),
                (Rejected, &[None, None, None, None]),
            ],
        );
    }

    #[test]
    fn s1_09_a_bid_number_has_three_digits_and_grows() {
        for (number, text) in [(1, "BID-001"), (999, "BID-999"), (1_000, "BID-1000")] {
            assert_eq!(BidNumber(number).to_string(), text);
        }
    }
}
