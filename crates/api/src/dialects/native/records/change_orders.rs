//! Change orders.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::construction::{ChangeOrder, ChangeOrderDetails, Item, Lifecycle, Money};
use plumbline_domain::permission::Access;
use plumbline_domain::{Scope, Timestamp};
use plumbline_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use super::items::{self, ItemWire};
use super::values::optional_number;
use super::{Exposed, Json, answer, record_id, step};
use crate::http::{Caller, Failure, Fields, Incoming, ListKind, Mutation, change};
use crate::http::{optional_time, time};

impl Exposed for ChangeOrder {
    const PATH: &'static str = "change-orders";
    const NAMES: (&'static str, &'static str) = ("ChangeOrder", "ChangeOrders");
    const LIST: ListKind = ListKind::ChangeOrders;
    const MAY_READ: Scope = Scope::ChangeOrdersRead;
    const MAY_WRITE: Scope = Scope::ChangeOrdersWrite;
    type Wire = ChangeOrderWire;
    type New = NewChangeOrderDocument;
    type Changes = ChangeOrderChangesDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<ChangeOrderDetails> {
        let project = fields.required("projectId");
        let title = fields.optional("title");
        let items = fields.optional("items").unwrap_or_default();
        Some(ChangeOrderDetails {
            project: project?,
            title,
            items,
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut ChangeOrderDetails) {
        fields.set("projectId", &mut details.project);
        fields.set_or_clear("title", &mut details.title);
        fields.set("items", &mut details.items);
    }
}

/// Add items to a draft: one item, or several under `items`.
pub(in crate::dialects::native) async fn add_items(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::ChangeOrdersWrite, Access::Write)?;
    let id = record_id::<ChangeOrder>(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let mut fields = body.fields()?;
    let items = if fields.has("items") {
        fields.required::<Vec<Item>>("items")
    } else {
        items::of_fields(&mut fields).map(|item| vec![item])
    };
    let items = fields.finish(items)?;

    change(&engine, tenant, idempotency, async |unit| {
        let order = unit.add_change_order_items(id, &items, &Json).await?;
        Ok(answer(StatusCode::CREATED, request_id, &order))
    })
    .await
}

/// Ask for approval.
pub(in crate::dialects::native) async fn submit(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<ChangeOrder>(
        caller,
        path,
        incoming,
        engine,
        Scope::ChangeOrdersWrite,
        async |unit, id| unit.submit_change_order(id, &Json).await,
    )
    .await
}

/// Apply it to the project and its accepted bid.
pub(in crate::dialects::native) async fn approve(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<ChangeOrder>(
        caller,
        path,
        incoming,
        engine,
        Scope::ChangeOrdersApprove,
        async |unit, id| unit.approve_change_order(id, &Json).await,
    )
    .await
}

/// A change of what was agreed for a project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangeOrder)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct ChangeOrderWire {
    #[schema(example = 77)]
    id: i64,
    project_id: i64,
    #[schema(required = true)]
    title: Option<String>,
    /// `draft`, `submitted` or `approved`.
    #[schema(example = "draft")]
    status: &'static str,
    items: Vec<ItemWire>,
    /// What the items come to, with two decimals.
    #[serde(serialize_with = "optional_number")]
    #[schema(value_type = Option<f64>, required = true, example = 999.00)]
    total: Option<Money>,
    /// The accepted bid that the approval appended the items to; null before, or when the project had none.
    #[schema(required = true)]
    bid_id: Option<i64>,
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

impl From<&ChangeOrder> for ChangeOrderWire {
    fn from(order: &ChangeOrder) -> Self {
        Self {
            id: order.id.0,
            project_id: order.details.project.0,
            title: order.details.title.clone(),
            status: order.status.as_str(),
            items: items::wire(&order.details.items),
            total: items::sum(&order.details.items),
            bid_id: order.applied_to.map(|id| id.0),
            submitted_at: order.submitted_at,
            approved_at: order.approved_at,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

/// A change order to create.
#[derive(ToSchema)]
#[schema(as = NewChangeOrder, rename_all = "camelCase", example = json!({"projectId": 44, "title": "Larger doors"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct NewChangeOrderDocument {
    /// A project of this tenant.
    project_id: i64,
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    #[schema(max_items = 200, required = false, nullable = false)]
    items: Vec<ItemWire>,
}

/// What to change of a change order; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = ChangeOrderChanges, rename_all = "camelCase", example = json!({"title": "Larger doors"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct ChangeOrderChangesDocument {
    #[schema(required = false, nullable = false)]
    project_id: i64,
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// They replace the present ones.
    #[schema(max_items = 200, required = false, nullable = false)]
    items: Vec<ItemWire>,
}

/// Items to add to a change order.
#[derive(ToSchema)]
#[schema(as = NewLineItems, rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct NewItemsDocument {
    #[schema(min_items = 1, max_items = 200)]
    items: Vec<ItemWire>,
}

/// One item, or several under `items`.
#[derive(ToSchema)]
#[schema(as = AddedLineItems, example = json!({"description": "Oak door", "quantity": 2, "unitPrice": 499.5}))]
#[serde(untagged)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) enum AddedItemsDocument {
    /// One item.
    One(ItemWire),
    /// Several.
    Many(NewItemsDocument),
}
