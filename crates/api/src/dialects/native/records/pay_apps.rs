//! Pay applications.

use actix_web::{HttpResponse, web};
use plumbline_domain::construction::{Lifecycle, Money, PayApp, PayAppDetails, PayAppStep};
use plumbline_domain::{Scope, Timestamp};
use plumbline_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use super::values::number;
use super::{Exposed, Json, step};
use crate::http::{Caller, Failure, Fields, Incoming, ListKind};
use crate::http::{optional_time, time};

impl Exposed for PayApp {
    const PATH: &'static str = "pay-apps";
    const NAMES: (&'static str, &'static str) = ("PayApp", "PayApps");
    const LIST: ListKind = ListKind::PayApps;
    const MAY_READ: Scope = Scope::PayAppsRead;
    const MAY_WRITE: Scope = Scope::PayAppsWrite;
    type Wire = PayAppWire;
    type New = NewPayAppDocument;
    type Changes = PayAppChangesDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<PayAppDetails> {
        let project = fields.required("projectId");
        let amount = fields.required("amount");
        let period_end = fields.optional("periodEnd");
        let (project, amount) = project.zip(amount)?;
        Some(PayAppDetails {
            project,
            amount,
            period_end,
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut PayAppDetails) {
        fields.set("projectId", &mut details.project);
        fields.set("amount", &mut details.amount);
        fields.set_or_clear("periodEnd", &mut details.period_end);
    }
}

/// Ask for approval.
pub(in crate::dialects::native) async fn submit(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<PayApp>(
        caller,
        path,
        incoming,
        engine,
        Scope::PayAppsWrite,
        async |unit, id| unit.step_pay_app(id, PayAppStep::Submit, &Json).await,
    )
    .await
}

/// Approve it.
pub(in crate::dialects::native) async fn approve(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<PayApp>(
        caller,
        path,
        incoming,
        engine,
        Scope::PayAppsApprove,
        async |unit, id| unit.step_pay_app(id, PayAppStep::Approve, &Json).await,
    )
    .await
}

/// A request to be paid for a part of a project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PayApp)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct PayAppWire {
    #[schema(example = 55)]
    id: i64,
    project_id: i64,
    /// How much, with two decimals.
    #[serde(serialize_with = "number")]
    #[schema(value_type = f64, example = 25000.00)]
    amount: Money,
    /// The last day of the work that it covers.
    #[schema(required = true, format = "date")]
    period_end: Option<String>,
    /// `draft`, `submitted` or `approved`.
    #[schema(example = "draft")]
    status: &'static str,
    #[serde(serialize_with = "optional_time")]
    #[schema(value_type = Option<String>, format = "date-time", required = true)]
    submitted_at: Option<Timestamp>,
    #[serde(serialize_with = "optional_time")]
    #[schema(value_type = Option<String>, format = "date-time", required = true)]
    approved_at: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<&PayApp> for PayAppWire {
    fn from(pay_app: &PayApp) -> Self {
        Self {
            id: pay_app.id.0,
            project_id: pay_app.details.project.0,
            amount: pay_app.details.amount,
            period_end: pay_app.details.period_end.map(|day| day.to_string()),
            status: pay_app.status.as_str(),
            submitted_at: pay_app.submitted_at,
            approved_at: pay_app.approved_at,
            created_at: pay_app.created_at,
            updated_at: pay_app.updated_at,
        }
    }
}

/// A pay application to create.
#[derive(ToSchema)]
#[schema(as = NewPayApp, rename_all = "camelCase", example = json!({"projectId": 44, "amount": 25000, "periodEnd": "2026-04-30"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct NewPayAppDocument {
    /// A project of this tenant.
    project_id: i64,
    /// With at most two decimals.
    #[schema(minimum = 0, maximum = 999999999999.99)]
    amount: f64,
    /// The last day of the work that it covers.
    #[schema(format = "date")]
    period_end: Option<String>,
}

/// What to change of a pay application; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = PayAppChanges, rename_all = "camelCase", example = json!({"amount": 24999.5}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct PayAppChangesDocument {
    #[schema(required = false, nullable = false)]
    project_id: i64,
    #[schema(minimum = 0, maximum = 999999999999.99, required = false, nullable = false)]
    amount: f64,
    #[schema(format = "date")]
    period_end: Option<String>,
}
