//! Whom a tenant deals with: contacts, companies, opportunities.

use super::{Fault, Faults, Money, NAME_CHARS_MAX, PHONE_CHARS_MAX, STAGE_CHARS_MAX, WEBSITE_CHARS_MAX};
use crate::{CompanyId, ContactId, OpportunityId, TenantId, Timestamp};

/// A person or firm that a tenant knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its number.
    pub id: ContactId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the client said of it.
    pub details: ContactDetails,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContactDetails {
    /// At most 200 characters.
    pub first_name: Option<String>,
    /// At most 200 characters.
    pub last_name: Option<String>,
    /// At most 200 characters.
    pub company_name: Option<String>,
    /// At most 254 characters.
    pub email: Option<String>,
    /// At most 50 characters.
    pub phone: Option<String>,
    /// What it is to the tenant.
    pub contact_type: ContactType,
}

/// What a contact is to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContactType {
    /// Buys; what a contact is unless said otherwise.
    #[default]
    Customer,
    /// May buy.
    Lead,
    /// Sells.
    Vendor,
    /// Builds for the tenant.
    Subcontractor,
}

impl ContactType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Lead, Self::Vendor, Self::Subcontractor];

    /// The type as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Lead => "lead",
            Self::Vendor => "vendor",
            Self::Subcontractor => "subcontractor",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|is| is.as_str() == name)
    }
}

impl ContactDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("firstName", self.first_name.as_deref(), NAME_CHARS_MAX);
        faults.text("lastName", self.last_name.as_deref(), NAME_CHARS_MAX);
        faults.text("companyName", self.company_name.as_deref(), NAME_CHARS_MAX);
        faults.email(self.email.as_deref());
        faults.text("phone", self.phone.as_deref(), PHONE_CHARS_MAX);
        if self.first_name.is_none() && self.company_name.is_none() {
            faults.add("firstName", "required", "give a first name or a company name");
        }
        faults.0
    }
}

/// A firm that a tenant sells to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its number.
    pub id: CompanyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the client said of it.
    pub details: CompanyDetails,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyDetails {
    /// 1 to 200 characters.
    pub name: String,
    /// At most 254 characters.
    pub email: Option<String>,
    /// At most 50 characters.
    pub phone: Option<String>,
    /// At most 500 characters.
    pub website: Option<String>,
}

impl CompanyDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("name", Some(&self.name), NAME_CHARS_MAX);
        faults.email(self.email.as_deref());
        faults.text("phone", self.phone.as_deref(), PHONE_CHARS_MAX);
        faults.text("website", self.website.as_deref(), WEBSITE_CHARS_MAX);
        faults.0
    }
}

/// A sale that may come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opportunity {
    /// Its number.
    pub id: OpportunityId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What the client said of it.
    pub details: OpportunityDetails,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
}

/// What a client says of an opportunity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpportunityDetails {
    /// 1 to 200 characters.
    pub name: String,
    /// How far it has come, in the tenant's own words; at most 50 characters.
    pub stage: Option<String>,
    /// What it would bring; not negative.
    pub value: Option<Money>,
    /// With whom.
    pub company: Option<CompanyId>,
}

impl OpportunityDetails {
    /// What is wrong with them.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Faults::default();
        faults.text("name", Some(&self.name), NAME_CHARS_MAX);
        faults.text("stage", self.stage.as_deref(), STAGE_CHARS_MAX);
        faults.not_negative("value", self.value);
        faults.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_has_a_first_name_or_a_company_name() {
        let named = |first: Option<&str>, last: Option<&str>, company: Option<&str>| ContactDetails {
            first_name: first.map(str::to_owned),
            last_name: last.map(str::to_owned),
            company_name: company.map(str::to_owned),
            ..ContactDetails::default()
        };
        for (details, is_fine) in [
            (named(Some("Jane"), None, None), true),
            (named(None, None, Some("Acme")), true),
            (named(None, Some("Doe"), None), false),
            (named(None, None, None), false),
            (named(Some(" "), None, None), false),
        ] {
            assert_eq!(details.faults().is_empty(), is_fine, "{details:?}");
        }
    }
}
