//! Line items of bids and change orders.

use super::{Fault, Faults, Money, NAME_CHARS_MAX, Quantity};

/// Items that a client may give a bid or a change order at most. With the longest descriptions, the record still fits
/// into an event of 256 KiB.
pub const ITEMS_MAX: usize = 200;
/// Items that a bid has at most after change orders were applied to it.
pub const APPLIED_ITEMS_MAX: usize = 1_000;

/// One line of a bid or of a change order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is, in 1 to 200 characters.
    pub description: String,
    /// How much of it.
    pub quantity: Quantity,
    /// The price of one. In a change order it may be negative: a deduction.
    pub unit_price: Money,
}

/// What items come to; `None` when that is beyond any amount of money.
pub fn total(items: &[Item]) -> Option<Money> {
    items.iter().try_fold(Money::ZERO, |sum, item| {
        sum.plus(item.quantity.at(item.unit_price)?)
    })
}

/// Whether a price below zero makes sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Deductions {
    Allowed,
    Refused,
}

/// The faults of a record's items.
pub(super) fn check(faults: &mut Faults, items: &[Item], deductions: Deductions) {
    if items.len() > ITEMS_MAX {
        faults.add("items", "too_many", format!("have at most {ITEMS_MAX} items"));
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let field = |name: &str| format!("items[{index}].{name}");
        faults.text(&field("description"), Some(&item.description), NAME_CHARS_MAX);
        if deductions == Deductions::Refused {
            faults.not_negative(field("unitPrice"), Some(item.unit_price));
        }
    }
    if total(items).is_none() {
        faults.add(
            "items",
            "too_large",
            "come to more than can be kept: lower the quantities or prices",
        );
    }
}

/// The faults of items that are added to a change order, counted from the first added one.
pub(super) fn check_added(present: &[Item], added: &[Item]) -> Vec<Fault> {
    let mut faults = Faults::default();
    if added.is_empty() {
        faults.add("items", "required", "name at least one item");
    }
    if present.len() + added.len() > ITEMS_MAX {
        faults.add(
            "items",
            "too_many",
            format!("a change order has at most {ITEMS_MAX} items"),
        );
        return faults.0;
    }
    check(&mut faults, added, Deductions::Allowed);
    if total(&[present, added].concat()).is_none() {
        faults.add(
            "items",
            "too_large",
            "come to more than can be kept: lower the quantities or prices",
        );
    }
    faults.0.dedup();
    faults.0
}
