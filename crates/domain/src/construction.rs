//! Construction records: what a contractor's tenant keeps, whose changes are the events that webhooks deliver.
//!
//! Each record is what its client said of it (its *details*), what we add (number, status, times), and the rules that
//! both must obey. Everything here decides about values; who stores them and tells others lies above.

mod bid;
mod change_order;
mod item;
mod lifecycle;
mod money;
mod party;
mod pay_app;
mod project;

pub use bid::{Bid, BidDetails, BidNumber, BidStatus, BidStep};
pub use change_order::{
    Approval, CannotApprove, ChangeOrder, ChangeOrderDetails, ChangeOrderStatus, ChangeOrderStep,
};
pub use item::{APPLIED_ITEMS_MAX, ITEMS_MAX, Item, total};
pub use lifecycle::{IllegalStep, Lifecycle, Transition};
pub use money::{InvalidDecimal, Money, Quantity};
pub use party::{
    Company, CompanyDetails, Contact, ContactDetails, ContactType, Opportunity, OpportunityDetails,
};
pub use pay_app::{PayApp, PayAppDetails, PayAppStatus, PayAppStep};
pub use project::{Project, ProjectDetails, ProjectNumber, ProjectStatus};

/// The longest name or title, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest e-mail address, in characters.
pub const EMAIL_CHARS_MAX: usize = 254;
/// The longest telephone number, in characters.
pub const PHONE_CHARS_MAX: usize = 50;
/// The longest address of a web site, in characters.
pub const WEBSITE_CHARS_MAX: usize = 500;
/// The longest name of an opportunity's stage, in characters.
pub const STAGE_CHARS_MAX: usize = 50;

/// A field whose value breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field as the product's clients write it, such as `firstName` or `items[2].quantity`.
    pub field: String,
    /// A stable word: `required`, `too_long`, `too_many`, `too_large`, `invalid`.
    pub code: &'static str,
    /// What is wrong and what to do instead.
    pub message: String,
}

/// The faults of a record's details, gathered field by field.
#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.0.push(Fault {
            field: field.into(),
            code,
            message: message.into(),
        });
    }

    /// Text that may be left out but, once given, says something.
    fn text(&mut self, field: &str, text: Option<&str>, chars_max: usize) {
        let Some(text) = text else { return };
        if text.trim().is_empty() {
            self.add(field, "invalid", "must not be blank: write something");
        } else if text.chars().count() > chars_max {
            self.add(field, "too_long", format!("use at most {chars_max} characters"));
        }
    }

    /// An e-mail address, as far as one can tell without sending something to it.
    fn email(&mut self, email: Option<&str>) {
        let Some(email) = email else { return };
        let plausible = email
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if email.chars().count() > EMAIL_CHARS_MAX {
            self.add(
                "email",
                "too_long",
                format!("use at most {EMAIL_CHARS_MAX} characters"),
            );
        } else if !plausible || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
            self.add(
                "email",
                "invalid",
                "must be an e-mail address such as jane@example.com",
            );
        }
    }

    /// An amount that cannot be below nothing.
    fn not_negative(&mut self, field: impl Into<String>, amount: Option<Money>) {
        if amount.is_some_and(|amount| amount < Money::ZERO) {
            self.add(field, "invalid", "must not be negative");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_has_two_parts_and_no_space() {
        for (email, is_fine) in [
            ("jane@example.com", true),
            ("a@b", true),
            ("jane", false),
            ("@example.com", false),
            ("jane@", false),
            ("a@b@c", false),
            ("jane doe@example.com", false),
            (&format!("{}@b", "a".repeat(253)), false),
        ] {
            let mut faults = Faults::default();
            faults.email(Some(email));
            assert_eq!(faults.0.is_empty(), is_fine, "{email}");
        }
    }

    #[test]
    fn text_says_something_and_ends() {
        for (text, code) in [
            (None, None),
            (Some("x"), None),
            (Some("äöü"), None),
            (Some(" "), Some("invalid")),
            (Some("four"), Some("too_long")),
        ] {
            let mut faults = Faults::default();
            faults.text("title", text, 3);
            assert_eq!(faults.0.first().map(|fault| fault.code), code, "{text:?}");
        }
    }
}
