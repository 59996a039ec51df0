//! Companies.

use plumbline_domain::construction::{Company, CompanyDetails};
use plumbline_domain::{Scope, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::Exposed;
use crate::http::time;
use crate::http::{Fields, ListKind};

impl Exposed for Company {
    const PATH: &'static str = "companies";
    const NAMES: (&'static str, &'static str) = ("Company", "Companies");
    const LIST: ListKind = ListKind::Companies;
    const MAY_READ: Scope = Scope::CompaniesRead;
    const MAY_WRITE: Scope = Scope::CompaniesWrite;
    type Wire = CompanyWire;
    type New = NewCompanyDocument;
    type Changes = CompanyChangesDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<CompanyDetails> {
        let name = fields.required("name");
        let email = fields.optional("email");
        let phone = fields.optional("phone");
        let website = fields.optional("website");
        Some(CompanyDetails {
            name: name?,
            email,
            phone,
            website,
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut CompanyDetails) {
        fields.set("name", &mut details.name);
        fields.set_or_clear("email", &mut details.email);
        fields.set_or_clear("phone", &mut details.phone);
        fields.set_or_clear("website", &mut details.website);
    }
}

/// A firm that the tenant sells to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Company)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct CompanyWire {
    /// Its number.
    #[schema(example = 3)]
    id: i64,
    #[schema(example = "Acme")]
    name: String,
    #[schema(required = true)]
    email: Option<String>,
    #[schema(required = true)]
    phone: Option<String>,
    #[schema(required = true)]
    website: Option<String>,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<&Company> for CompanyWire {
    fn from(company: &Company) -> Self {
        let details = company.details.clone();
        Self {
            id: company.id.0,
            name: details.name,
            email: details.email,
            phone: details.phone,
            website: details.website,
            created_at: company.created_at,
            updated_at: company.updated_at,
        }
    }
}

/// A company to create.
#[derive(ToSchema)]
#[schema(as = NewCompany, rename_all = "camelCase", example = json!({"name": "Acme", "website": "https://acme.example"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct NewCompanyDocument {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[schema(max_length = 254)]
    email: Option<String>,
    #[schema(min_length = 1, max_length = 50)]
    phone: Option<String>,
    #[schema(min_length = 1, max_length = 500)]
    website: Option<String>,
}

/// What to change of a company; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = CompanyChanges, rename_all = "camelCase", example = json!({"phone": "+1 555 0100"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct CompanyChangesDocument {
    #[schema(min_length = 1, max_length = 200, required = false, nullable = false)]
    name: String,
    #[schema(max_length = 254)]
    email: Option<String>,
    #[schema(min_length = 1, max_length = 50)]
    phone: Option<String>,
    #[schema(min_length = 1, max_length = 500)]
    website: Option<String>,
}
