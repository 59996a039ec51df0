//! Contacts.

use plumbline_domain::construction::{Contact, ContactDetails};
use plumbline_domain::{Scope, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::Exposed;
use crate::http::time;
use crate::http::{Fields, ListKind};

impl Exposed for Contact {
    const PATH: &'static str = "contacts";
    const NAMES: (&'static str, &'static str) = ("Contact", "Contacts");
    const LIST: ListKind = ListKind::Contacts;
    const MAY_READ: Scope = Scope::ContactsRead;
    const MAY_WRITE: Scope = Scope::ContactsWrite;
    type Wire = ContactWire;
    type New = ContactDocument;
    type Changes = ContactDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<ContactDetails> {
        Some(ContactDetails {
            first_name: fields.optional("firstName"),
            last_name: fields.optional("lastName"),
            company_name: fields.optional("companyName"),
            email: fields.optional("email"),
            phone: fields.optional("phone"),
            contact_type: fields.optional("type").unwrap_or_default(),
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut ContactDetails) {
        fields.set_or_clear("firstName", &mut details.first_name);
        fields.set_or_clear("lastName", &mut details.last_name);
        fields.set_or_clear("companyName", &mut details.company_name);
        fields.set_or_clear("email", &mut details.email);
        fields.set_or_clear("phone", &mut details.phone);
        fields.set("type", &mut details.contact_type);
    }
}

/// A person or firm that the tenant knows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Contact)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct ContactWire {
    /// Its number.
    #[schema(example = 5)]
    id: i64,
    #[schema(required = true, example = "Jane")]
    first_name: Option<String>,
    #[schema(required = true, example = "Doe")]
    last_name: Option<String>,
    #[schema(required = true)]
    company_name: Option<String>,
    #[schema(required = true)]
    email: Option<String>,
    #[schema(required = true)]
    phone: Option<String>,
    /// `customer`, `lead`, `vendor` or `subcontractor`.
    #[serde(rename = "type")]
    #[schema(example = "customer")]
    contact_type: &'static str,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<&Contact> for ContactWire {
    fn from(contact: &Contact) -> Self {
        let details = contact.details.clone();
        Self {
            id: contact.id.0,
            first_name: details.first_name,
            last_name: details.last_name,
            company_name: details.company_name,
            email: details.email,
            phone: details.phone,
            contact_type: details.contact_type.as_str(),
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

/// What is said of a contact. It has a first name or a company name.
#[derive(ToSchema)]
#[schema(as = ContactDetails, rename_all = "camelCase", example = json!({
    "firstName": "Jane", "lastName": "Doe", "email": "jane@example.com", "type": "customer"
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct ContactDocument {
    #[schema(min_length = 1, max_length = 200)]
    first_name: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    last_name: Option<String>,
    #[schema(min_length = 1, max_length = 200)]
    company_name: Option<String>,
    #[schema(max_length = 254)]
    email: Option<String>,
    #[schema(min_length = 1, max_length = 50)]
    phone: Option<String>,
    /// `customer` (unless said otherwise), `lead`, `vendor` or `subcontractor`.
    #[schema(rename = "type", required = false, nullable = false)]
    contact_type: String,
}
