//! Bids.

use actix_web::{HttpResponse, web};
use plumbline_domain::construction::{Bid, BidDetails, BidStep, Lifecycle, Money};
use plumbline_domain::{Scope, Timestamp};
use plumbline_engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use super::items::{self, ItemWire};
use super::values::optional_number;
use super::{Exposed, Json, step};
use crate::http::{Caller, Failure, Fields, Incoming, ListKind};
use crate::http::{optional_time, time};

impl Exposed for Bid {
    const PATH: &'static str = "bids";
    const NAMES: (&'static str, &'static str) = ("Bid", "Bids");
    const LIST: ListKind = ListKind::Bids;
    const MAY_READ: Scope = Scope::BidsRead;
    const MAY_WRITE: Scope = Scope::BidsWrite;
    type Wire = BidWire;
    type New = BidDocument;
    type Changes = BidDocument;

    fn new_details(fields: &mut Fields<'_>) -> Option<BidDetails> {
        Some(BidDetails {
            project: fields.optional("projectId"),
            title: fields.optional("title"),
            items: fields.optional("items").unwrap_or_default(),
        })
    }

    fn change_details(fields: &mut Fields<'_>, details: &mut BidDetails) {
        fields.set_or_clear("projectId", &mut details.project);
        fields.set_or_clear("title", &mut details.title);
        fields.set("items", &mut details.items);
    }
}

/// Send a draft.
pub(in crate::dialects::native) async fn send(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<Bid>(
        caller,
        path,
        incoming,
        engine,
        Scope::BidsSend,
        async |unit, bid| unit.step_bid(bid, BidStep::Send, &Json).await,
    )
    .await
}

/// Note that the customer has seen it.
pub(in crate::dialects::native) async fn view(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<Bid>(
        caller,
        path,
        incoming,
        engine,
        Scope::BidsWrite,
        async |unit, bid| unit.step_bid(bid, BidStep::View, &Json).await,
    )
    .await
}

/// Accept it.
pub(in crate::dialects::native) async fn accept(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<Bid>(
        caller,
        path,
        incoming,
        engine,
        Scope::BidsAcceptReject,
        async |unit, bid| unit.step_bid(bid, BidStep::Accept, &Json).await,
    )
    .await
}

/// Reject it.
pub(in crate::dialects::native) async fn reject(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    step::<Bid>(
        caller,
        path,
        incoming,
        engine,
        Scope::BidsAcceptReject,
        async |unit, bid| unit.step_bid(bid, BidStep::Reject, &Json).await,
    )
    .await
}

/// An offer to a customer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bid)]
#[serde(rename_all = "camelCase")]
pub(in crate::dialects::native) struct BidWire {
    #[schema(example = 11)]
    id: i64,
    /// Its number within the tenant.
    #[schema(example = "BID-001")]
    bid_number: String,
    #[schema(required = true)]
    project_id: Option<i64>,
    #[schema(required = true)]
    title: Option<String>,
    /// `draft`, `sent`, `viewed`, `accepted` or `rejected`.
    #[schema(example = "draft")]
    status: &'static str,
    items: Vec<ItemWire>,
    /// What the items come to, with two decimals.
    #[serde(serialize_with = "optional_number")]
    #[schema(value_type = Option<f64>, required = true, example = 999.00)]
    total: Option<Money>,
    #[serde(serialize_with = "optional_time")]
    #[schema(value_type = Option<String>, format = "date-time", required = true)]
    sent_at: Option<Timestamp>,
    #[serde(serialize_with = "optional_time")]
    #[schema(value_type = Option<String>, format = "date-time", required = true)]
    viewed_at: Option<Timestamp>,
    /// When it was accepted or rejected.
    #[serde(serialize_with = "optional_time")]
    #[schema(value_type = Option<String>, format = "date-time", required = true)]
    decided_at: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    updated_at: Timestamp,
}

impl From<&Bid> for BidWire {
    fn from(bid: &Bid) -> Self {
        Self {
            id: bid.id.0,
            bid_number: bid.number.to_string(),
            project_id: bid.details.project.map(|id| id.0),
            title: bid.details.title.clone(),
            status: bid.status.as_str(),
            items: items::wire(&bid.details.items),
            total: items::sum(&bid.details.items),
            sent_at: bid.sent_at,
            viewed_at: bid.viewed_at,
            decided_at: bid.decided_at,
            created_at: bid.created_at,
            updated_at: bid.updated_at,
        }
    }
}

/// What is said of a bid.
#[derive(ToSchema)]
#[schema(as = BidDetails, rename_all = "camelCase", example = json!({
    "projectId": 44, "title": "Doors", "items": [{"description": "Oak door", "quantity": 2, "unitPrice": 499.5}]
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(in crate::dialects::native) struct BidDocument {
    /// A project of this tenant.
    project_id: Option<i64>,
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// In a change, they replace the present ones.
    #[schema(max_items = 200, required = false, nullable = false)]
    items: Vec<ItemWire>,
}
