//! Projects.

use plumbline_domain::construction::{Money, Project, ProjectDetails, ProjectStatus};
use plumbline_domain::{Scope, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::Exposed;
use super::values::number;
use crate::http::time;
use crate::http::{Fields, ListKind};

impl Exposed for Project {
    const PATH: &'static str = "projects";
    const NAMES: (&'static str, &'static str) = ("Project", "Projects");
    const LIST: ListKind = ListKind::Projects;
    const MAY_READ: Scope = Scope::ProjectsRead;
    const MAY_WRITE: Scope = Scope::ProjectsWrite;
    type Wire = ProjectWire;
    type New = NewProjectDocument;
    type Changes = ProjectChangesDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<ProjectDetails> {
        let name = fields.required("name");
        let contact = fields.optional("contactId");
        let contract_value = fields.optional("contractValue").unwrap_or(Money::ZERO);
        Some(ProjectDetails {
            name: name?,
            contact,
            contract_value,
            status: ProjectStatus::Active,
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut ProjectDetails) {
        fields.set("name", &mut details.name);
        fields.set_or_clear("contactId", &mut details.contact);
        fields.set("contractValue", &mut details.contract_value);
        fields.set("status", &mut details.status);
    }
}

/// A construction project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct ProjectWire {
    #[schema(example = 44)]
    id: i64,
    /// Its number within the tenant.
    #[schema(example = "PRJ-001")]
    project_number: String,
    #[schema(example = "Acme HQ Renovation")]
    name: String,
    /// For whom.
    #[schema(required = true)]
    contact_id: Option<i64>,
    /// What the customer owes for it, with two decimals. Approved change orders add to it.
    #[serde(serialize_with = "number")]
    #[schema(value_type = f64, example = 120000.00)]
    contract_value: Money,
    /// `active`, `on_hold`, `completed` or `cancelled`.
    #[schema(example = "active")]
    status: &'static str,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<&Project> for ProjectWire {
    fn from(project: &Project) -> Self {
        Self {
            id: project.id.0,
            project_number: project.number.to_string(),
            name: project.details.name.clone(),
            contact_id: project.details.contact.map(|id| id.0),
            contract_value: project.details.contract_value,
            status: project.details.status.as_str(),
            created_at: project.created_at,
            updated_at: project.updated_at,
        }
    }
}

/// A project to create. It begins as `active`.
#[derive(ToSchema)]
#[schema(as = NewProject, rename_all = "camelCase", example = json!({"name": "Acme HQ Renovation", "contractValue": 120000}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct NewProjectDocument {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// A contact of this tenant.
    contact_id: Option<i64>,
    /// With at most two decimals; 0 unless given.
    #[schema(minimum = 0, maximum = 999999999999.99)]
    contract_value: Option<f64>,
}

/// What to change of a project; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = ProjectChanges, rename_all = "camelCase", example = json!({"status": "completed"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct ProjectChangesDocument {
    #[schema(min_length = 1, max_length = 200, required = false, nullable = false)]
    name: String,
    contact_id: Option<i64>,
    #[schema(minimum = 0, maximum = 999999999999.99, required = false, nullable = false)]
    contract_value: f64,
    /// `active`, `on_hold`, `completed` or `cancelled`.
    #[schema(required = false, nullable = false)]
    status: String,
}
