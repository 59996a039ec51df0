//! The delivery log: list, look closely, send again.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{DeliveryId, DeliveryStatus, EndpointId, EventType, Scope};
use plumbline_engine::Engine;
use plumbline_engine::deliveries::DeliveryFilter;

use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, InList, OfRecord, Scoped, WithBody, WithConflict};
use super::wire::{DeliveryDetailWire, DeliveryWire, StatusDocument};
use crate::http::{
    Answer, Caller, Cursors, Failure, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// An endpoint's deliveries, newest first.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}/deliveries",
    tag = "Deliveries",
    operation_id = "listWebhookDeliveries",
    params(
        ("id" = i64, Path, description = "The endpoint's number.", example = 17),
        ("status" = inline(Option<StatusDocument>), Query, description = "Only deliveries that stand so."),
        ("eventType" = Option<String>, Query, description = "Only events of this type.", example = "bid.accepted"),
        ("eventId" = Option<String>, Query, description = "Only deliveries of this event.", example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"),
        ("since" = Option<String>, Query, description = "Only deliveries recorded then or later.", format = "date-time"),
        ("until" = Option<String>, Query, description = "Only deliveries recorded earlier.", format = "date-time"),
        super::openapi::PageParameters
    ),
    responses(
        (status = 200, description = "A page of deliveries.", body = Page<DeliveryWire>),
        Described<(Common, Scoped, InList, OfRecord)>
    )
)]
pub(super) async fn list(
    caller: Caller,
    path: web::Path<String>,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let endpoint: EndpointId = path.parse().map_err(|_| Failure::NotFound("endpoint"))?;
    let status = parameters.parsed("status", DeliveryStatus::parse, &one_status());
    let event_type = parameters.parsed(
        "eventType",
        |text| text.parse::<EventType>().ok(),
        "is not the name of an event type",
    );
    let event = parameters.parsed(
        "eventId",
        |text| text.parse().ok(),
        "must be `evt_` and 32 hex digits",
    );
    let (since, until) = (parameters.time("since"), parameters.time("until"));
    let page = parameters.page::<DeliveryId>(tenant, ListKind::Deliveries)?;

    let limit = Paging::fetch(page.limit);
    let filter = DeliveryFilter {
        status,
        event_type,
        event,
        since,
        until,
        before: page.after,
        limit,
    };
    let deliveries = engine.deliveries(tenant, endpoint, &filter).await?;
    let paging = Paging {
        tenant,
        list: ListKind::Deliveries,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, deliveries, |delivery| delivery.id, DeliveryWire::from))
}

fn one_status() -> String {
    format!(
        "must be one of {}",
        DeliveryStatus::ALL.map(DeliveryStatus::as_str).join(", ")
    )
}

/// One delivery, with the payload as it was sent and every attempt.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-deliveries/{id}",
    tag = "Deliveries",
    operation_id = "getWebhookDelivery",
    params(("id" = String, Path, description = "The delivery's id.", example = "dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")),
    responses(
        (status = 200, description = "The delivery.", body = Envelope<DeliveryDetailWire>),
        Described<(Common, Scoped, OfRecord)>
    )
)]
pub(super) async fn read(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    parameters.finish()?;
    let delivery = path.parse().map_err(|_| Failure::NotFound("delivery"))?;

    let detail = engine.delivery(tenant, delivery).await?;
    Ok(envelope::ok(id, DeliveryDetailWire::from(detail)))
}

/// Send a delivery's event to its endpoint again: the same event id, as a new delivery.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-deliveries/{id}/replay",
    tag = "Deliveries",
    operation_id = "replayWebhookDelivery",
    params(("id" = String, Path, description = "The delivery's id.", example = "dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")),
    responses(
        (status = 202, description = "The new delivery.", body = Envelope<DeliveryWire>),
        Described<(Common, Scoped, WithBody, OfRecord, WithConflict)>
    )
)]
pub(super) async fn replay(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let original = path.parse().map_err(|_| Failure::NotFound("delivery"))?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    body.is_void()?;

    change(&engine, tenant, idempotency, async |unit| {
        let delivery = unit.replay(original).await?;
        Ok(Answer::json(
            StatusCode::ACCEPTED,
            envelope::text(request_id, DeliveryWire::from(delivery)),
        ))
    })
    .await
}
