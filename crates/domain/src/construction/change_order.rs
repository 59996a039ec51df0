//! Change orders: what is added to, or taken from, what was agreed.

use super::item::{self, Deductions};
use super::{
    APPLIED_ITEMS_MAX, Fault, Faults, IllegalStep, Item, Lifecycle, Money, NAME_CHARS_MAX, Transition, total,
};
use crate::{BidId, ChangeOrderId, ProjectId, TenantId, Timestamp};

/// A change of what was agreed for a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOrder {
    /// Its id.
    pub id: ChangeOrderId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the client said of it.
    pub details: ChangeOrderDetails,
    /// How it stands.
    pub status: ChangeOrderStatus,
    /// When it was submitted.
    pub submitted_at: Option<Timestamp>,
    /// When it was approved.
    pub approved_at: Option<Timestamp>,
    /// The bid that its items were appended to; none before the approval, or when the project had no accepted bid.
    pub applied_to: Option<BidId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of a change order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOrderDetails {
    /// The project that it changes.
    pub project: ProjectId,
    /// At most 200 characters.
    pub title: Option<String>,
    /// What changes. A negative price is a deduction.
    pub items: Vec<Item>,
}

impl ChangeOrderDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("title", self.title.as_deref(), NAME_CHARS_MAX);
        item::check(&mut faults, &self.items, Deductions::Allowed);
        faults.0
    }

    /// What is wrong with items to be added to these.
    pub fn faults_of_added(&self, added: &[Item]) -> Vec<Fault> {
        item::check_added(&self.items, added)
    }
}

/// How a change order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOrderStatus {
    /// Being written.
    Draft,
    /// Awaits approval.
    Submitted,
    /// Applied; this is final.
    Approved,
}

/// What can be done to a change order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOrderStep {
    /// Ask for approval; it must have an item.
    Submit,
    /// Apply it.
    Approve,
}

impl ChangeOrderStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Submitted, Self::Approved];

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Lifecycle for ChangeOrderStatus {
    type Step = ChangeOrderStep;
    const RECORD: &'static str = "change order";
    const TRANSITIONS: &'static [Transition<Self>] = &[
        Transition {
            step: ChangeOrderStep::Submit,
            name: "submit",
            from: &[Self::Draft],
            to: Self::Submitted,
        },
        Transition {
            step: ChangeOrderStep::Approve,
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

/// What an approval does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// The change order's new state.
    pub status: ChangeOrderStatus,
    /// The project's contract value from now on.
    pub contract_value: Money,
}

/// Why a change order cannot be approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotApprove {
    /// Its state does not allow it.
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
    /// It takes away more than there is.
    #[error(
        "the project's contract value of {value} would fall below zero: the change order deducts more than that"
    )]
    BelowZero {
        /// The contract value as it is.
        value: Money,
    },
    /// It adds more than can be kept.
    #[error("the project's contract value of {value} would become too large to be kept")]
    TooLarge {
        /// The contract value as it is.
        value: Money,
    },
    /// The bid cannot hold more items.
    #[error("the accepted bid has {present} items and would have more than {APPLIED_ITEMS_MAX}")]
    TooManyItems {
        /// Items of the bid as it is.
        present: usize,
    },
}

impl ChangeOrder {
    /// What approving it does to a project of this contract value, whose accepted bid, if there is one, has this many
    /// items.
    ///
    /// # Errors
    /// [`CannotApprove`].
    pub fn approval(
        &self,
        contract_value: Money,
        bid_items: Option<usize>,
    ) -> Result<Approval, CannotApprove> {
        let status = self.status.after(ChangeOrderStep::Approve)?;
        let items = &self.details.items;
        let value =
            total(items)
                .and_then(|total| contract_value.plus(total))
                .ok_or(CannotApprove::TooLarge {
                    value: contract_value,
                })?;
        if value < Money::ZERO {
            return Err(CannotApprove::BelowZero {
                value: contract_value,
            });
        }
        if let Some(present) = bid_items.filter(|present| present + items.len() > APPLIED_ITEMS_MAX) {
            return Err(CannotApprove::TooManyItems { present });
        }
        Ok(Approval {
            status,
            contract_value: value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::construction::lifecycle::check_table;
    use crate::construction::{ITEMS_MAX, Quantity};

    fn order(status: ChangeOrderStatus, prices: &[i64]) -> ChangeOrder {
        let item = |cents: &i64| Item {
            description: "Door".to_owned(),
            quantity: Quantity::from_thousandths(2_000).expect("some"),
            unit_price: Money::from_cents(*cents).expect("not too large"),
        };
        ChangeOrder {
            id: ChangeOrderId(1),
            tenant: TenantId(1),
            details: ChangeOrderDetails {
                project: ProjectId(1),
                title: None,
                items: prices.iter().map(item).collect(),
            },
            status,
            submitted_at: None,
            approved_at: None,
            applied_to: None,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn s1_19_s1_20_a_change_order_is_submitted_then_approved() {
        use ChangeOrderStatus::{Approved, Draft, Submitted};
        check_table(
            &[ChangeOrderStep::Submit, ChangeOrderStep::Approve],
            &[
                (Draft, &[Some(Submitted), None]),
                (Submitted, &[None, Some(Approved)]),
                (Approved, &[None, None]),
            ],
        );
    }

    #[test]
    fn an_approval_adds_the_total_and_never_goes_below_zero() {
        let money = |cents| Money::from_cents(cents).expect("not too large");
        for (prices, before, after) in [
            (vec![100, 50], 1_000, Some(1_300)),
            (vec![-500], 1_000, Some(0)),
            (vec![-501], 1_000, None),
            (vec![1], Money::CENTS_MAX, None),
        ] {
            let approval = order(ChangeOrderStatus::Submitted, &prices).approval(money(before), None);
            assert_eq!(
                approval.ok().map(|approval| approval.contract_value),
                after.map(money),
                "{prices:?} on {before}"
            );
        }
        let many = vec![1; ITEMS_MAX];
        let order = order(ChangeOrderStatus::Submitted, &many);
        for (present, is_fine) in [(0, true), (800, true), (801, false)] {
            assert_eq!(
                order.approval(Money::ZERO, Some(present)).is_ok(),
                is_fine,
                "{present}"
            );
        }
    }

    #[test]
    fn only_a_submitted_one_is_approved() {
        for status in [ChangeOrderStatus::Draft, ChangeOrderStatus::Approved] {
            let refused = order(status, &[100]).approval(Money::ZERO, None);
            assert!(matches!(refused, Err(CannotApprove::Illegal(_))), "{status:?}");
        }
    }

    #[test]
    fn added_items_are_some_but_not_too_many() {
        let full = order(ChangeOrderStatus::Draft, &vec![1; ITEMS_MAX - 1]).details;
        let items = |count: usize| order(ChangeOrderStatus::Draft, &vec![1; count]).details.items;
        let codes = |count| -> Vec<&str> {
            full.faults_of_added(&items(count))
                .iter()
                .map(|fault| fault.code)
                .collect()
        };
        assert_eq!(codes(0), ["required"]);
        assert_eq!(codes(1), Vec::<&str>::new());
        assert_eq!(codes(2), ["too_many"]);
    }
}
