//! The delivery log: list, watch, look closely, send again.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use async_trait::async_trait;
use plumbline_domain::permission::Access;
use plumbline_domain::{Delivery, DeliveryId, DeliveryStatus, EndpointId, EventType, Scope, TenantId};
use plumbline_engine::Engine;
use plumbline_engine::deliveries::DeliveryFilter;

use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, InList, OfRecord, Scoped, WithBody, WithConflict};
use super::wire::{DeliveryDetailWire, DeliveryWire, StatusDocument};
use crate::http::{
    Answer, Caller, Cursors, Failure, Found, Incoming, ListKind, Message, Mutation, Parameters, RequestId,
    Source, change, stream,
};

/// The newest deliveries that are watched.
const WATCHED: usize = 100;
/// How often they are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

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
    let filter = wanted(&mut parameters);
    let page = parameters.page::<DeliveryId>(tenant, ListKind::Deliveries)?;

    let filter = DeliveryFilter {
        before: page.after,
        limit: Paging::fetch(page.limit),
        ..filter
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

/// The deliveries that the parameters ask for, on whichever page.
fn wanted(parameters: &mut Parameters) -> DeliveryFilter {
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
    DeliveryFilter {
        status,
        event_type,
        event,
        since: parameters.time("since"),
        until: parameters.time("until"),
        ..DeliveryFilter::default()
    }
}

/// The endpoint that the parameters ask for.
pub(super) fn wanted_endpoint(parameters: &mut Parameters) -> Option<EndpointId> {
    parameters.parsed(
        "endpointId",
        |text| text.parse().ok(),
        "must be the number of an endpoint, such as 17",
    )
}

/// The deliveries of all endpoints, newest first; those of deleted endpoints, too.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-deliveries",
    tag = "Deliveries",
    operation_id = "listAllWebhookDeliveries",
    params(
        ("endpointId" = Option<i64>, Query, description = "Only deliveries to this endpoint.", example = 17),
        ("status" = inline(Option<StatusDocument>), Query, description = "Only deliveries that stand so."),
        ("eventType" = Option<String>, Query, description = "Only events of this type.", example = "bid.accepted"),
        ("eventId" = Option<String>, Query, description = "Only deliveries of this event.", example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"),
        ("since" = Option<String>, Query, description = "Only deliveries recorded then or later.", format = "date-time"),
        ("until" = Option<String>, Query, description = "Only deliveries recorded earlier.", format = "date-time"),
        super::openapi::PageParameters
    ),
    responses(
        (status = 200, description = "A page of deliveries.", body = Page<DeliveryWire>),
        Described<(Common, Scoped, InList)>
    )
)]
pub(super) async fn list_all(
    caller: Caller,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let endpoint = wanted_endpoint(&mut parameters);
    let filter = wanted(&mut parameters);
    let page = parameters.page::<DeliveryId>(tenant, ListKind::Deliveries)?;

    let filter = DeliveryFilter {
        before: page.after,
        limit: Paging::fetch(page.limit),
        ..filter
    };
    let deliveries = engine.all_deliveries(tenant, endpoint, &filter).await?;
    let paging = Paging {
        tenant,
        list: ListKind::Deliveries,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, deliveries, |delivery| delivery.id, DeliveryWire::from))
}

/// Watch deliveries: a stream of server-sent events.
///
/// First comes an event `ready`; then an event `delivery`, whose data is a delivery as in the list, for each that is
/// new or has changed among the newest 100 of the filter, about a second later; and every 15 seconds a comment. Read
/// the list after `ready`, and what has changed since is told. The stream ends with an event `end` and the data
/// `{"reason": "too_long"}` after an hour, `"shutdown"` when the service stops, `"signed_out"` when the key or the
/// session is no longer valid. At most 10 streams of a key or user in each replica.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-deliveries/stream",
    tag = "Deliveries",
    operation_id = "watchWebhookDeliveries",
    params(
        ("endpointId" = Option<i64>, Query, description = "Only deliveries to this endpoint.", example = 17),
        ("status" = inline(Option<StatusDocument>), Query, description = "Only deliveries that stand so."),
        ("eventType" = Option<String>, Query, description = "Only events of this type.", example = "bid.accepted"),
        ("eventId" = Option<String>, Query, description = "Only deliveries of this event.", example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"),
        ("since" = Option<String>, Query, description = "Only deliveries recorded then or later.", format = "date-time"),
        ("until" = Option<String>, Query, description = "Only deliveries recorded earlier.", format = "date-time")
    ),
    responses(
        (status = 200, description = "Server-sent events, for as long as the connection stands.", body = String, content_type = "text/event-stream"),
        Described<(Common, Scoped)>
    )
)]
pub(super) async fn watch(
    caller: Caller,
    request: HttpRequest,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let endpoint = wanted_endpoint(&mut parameters);
    let filter = wanted(&mut parameters);
    parameters.finish()?;

    let mut watched = Watched {
        engine: engine.get_ref().clone(),
        tenant,
        endpoint,
        filter: DeliveryFilter {
            limit: WATCHED,
            ..filter
        },
        known: HashMap::new(),
    };
    // What is there already is in the list.
    watched.look().await?;
    stream(
        &request,
        caller.principal(),
        Scope::WebhooksManage,
        watched,
        WATCH_EVERY,
    )
}

/// The newest deliveries of a filter, and how they stood at the last look.
struct Watched {
    engine: Engine,
    tenant: TenantId,
    endpoint: Option<EndpointId>,
    filter: DeliveryFilter,
    known: HashMap<DeliveryId, Delivery>,
}

#[async_trait]
impl Source for Watched {
    async fn look(&mut self) -> Result<Found, plumbline_engine::Error> {
        let deliveries = self
            .engine
            .all_deliveries(self.tenant, self.endpoint, &self.filter)
            .await?;
        let messages = deliveries
            .iter()
            .rev()
            .filter(|delivery| self.known.get(&delivery.id) != Some(delivery))
            .map(|delivery| Message {
                event: "delivery",
                id: None,
                data: envelope::bare(&DeliveryWire::from(delivery.clone())),
            })
            .collect();
        self.known = deliveries
            .into_iter()
            .map(|delivery| (delivery.id, delivery))
            .collect();
        Ok(Found {
            messages,
            is_more: false,
        })
    }
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
