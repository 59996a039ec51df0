//! Opportunities.

use plumbline_domain::construction::{Money, Opportunity, OpportunityDetails};
use plumbline_domain::{Scope, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::Exposed;
use super::values::optional_number;
use crate::http::time;
use crate::http::{Fields, ListKind};

impl Exposed for Opportunity {
    const PATH: &'static str = "opportunities";
    const NAMES: (&'static str, &'static str) = ("Opportunity", "Opportunities");
    const LIST: ListKind = ListKind::Opportunities;
    const MAY_READ: Scope = Scope::OpportunitiesRead;
    const MAY_WRITE: Scope = Scope::OpportunitiesWrite;
    type Wire = OpportunityWire;
    type New = NewOpportunityDocument;
    type Changes = OpportunityChangesDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<OpportunityDetails> {
        let name = fields.required("name");
        let stage = fields.optional("stage");
        let value = fields.optional("value");
        let company = fields.optional("companyId");
        Some(OpportunityDetails {
            name: name?,
            stage,
            value,
            company,
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut OpportunityDetails) {
        fields.set("name", &mut details.name);
        fields.set_or_clear("stage", &mut details.stage);
        fields.set_or_clear("value", &mut details.value);
        fields.set_or_clear("companyId", &mut details.company);
    }
}

/// A sale that may come about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Opportunity)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct OpportunityWire {
    /// Its number.
    #[schema(example = 9)]
    id: i64,
    #[schema(example = "New wing")]
    name: String,
    #[schema(required = true, example = "negotiation")]
    stage: Option<String>,
    /// What it would bring, with two decimals.
    #[serde(serialize_with = "optional_number")]
    #[schema(value_type = Option<f64>, required = true, example = 250000.00)]
    value: Option<Money>,
    /// With whom.
    #[schema(required = true)]
    company_id: Option<i64>,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<&Opportunity> for OpportunityWire {
    fn from(opportunity: &Opportunity) -> Self {
        let details = opportunity.details.clone();
        Self {
            id: opportunity.id.0,
            name: details.name,
            stage: details.stage,
            value: details.value,
            company_id: details.company.map(|id| id.0),
            created_at: opportunity.created_at,
            updated_at: opportunity.updated_at,
        }
    }
}

/// An opportunity to create.
#[derive(ToSchema)]
#[schema(as = NewOpportunity, rename_all = "camelCase", example = json!({"name": "New wing", "value": 250000, "companyId": 3}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct NewOpportunityDocument {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// How far it has come, in the tenant's own words.
    #[schema(min_length = 1, max_length = 50)]
    stage: Option<String>,
    /// What it would bring, with at most two decimals.
    #[schema(minimum = 0, maximum = 999999999999.99)]
    value: Option<f64>,
    /// A company of this tenant.
    company_id: Option<i64>,
}

/// What to change of an opportunity; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = OpportunityChanges, rename_all = "camelCase", example = json!({"stage": "won"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct OpportunityChangesDocument {
    #[schema(min_length = 1, max_length = 200, required = false, nullable = false)]
    name: String,
    #[schema(min_length = 1, max_length = 50)]
    stage: Option<String>,
    #[schema(minimum = 0, maximum = 999999999999.99)]
    value: Option<f64>,
    company_id: Option<i64>,
}
