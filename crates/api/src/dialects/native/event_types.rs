//! The event catalogue: the product's types, and the tenant's own.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{EventType, JsonText, Profile, Scope};
use plumbline_engine::Engine;
use plumbline_engine::catalogue::NewEventType;

use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, InList, Scoped, WithBody, WithConflict};
use super::wire::{EventTypeWire, NewEventTypeDocument};
use crate::http::{
    Answer, Body, Caller, Cursors, Failure, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// The catalogue: the product's event types and the tenant's own, by name.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-event-types",
    tag = "Event types",
    operation_id = "listWebhookEventTypes",
    params(super::openapi::PageParameters),
    responses(
        (status = 200, description = "A page of event types.", body = Page<EventTypeWire>),
        Described<(Common, Scoped, InList)>
    )
)]
pub(super) async fn list(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let page = parameters.page::<EventType>(tenant, ListKind::EventTypes)?;

    let after = page.after.as_ref().map(EventType::as_str);
    let types = engine
        .event_types(tenant, Profile::BuildWorkPro, after, Paging::fetch(page.limit))
        .await?;
    let paging = Paging {
        tenant,
        list: ListKind::EventTypes,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, types, |record| record.name.clone(), EventTypeWire::from))
}

/// Add an event type of the tenant's own to the catalogue.
///
/// Needs the scope `event_types:write` or `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-event-types",
    tag = "Event types",
    operation_id = "createWebhookEventType",
    request_body = NewEventTypeDocument,
    responses(
        (status = 201, description = "The new event type.", body = Envelope<EventTypeWire>),
        Described<(Common, Scoped, WithBody, WithConflict)>
    )
)]
pub(super) async fn create(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_by_any(&[Scope::EventTypesWrite, Scope::WebhooksManage], Access::Write)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let new = new_event_type(&body)?;

    change(&engine, tenant, idempotency, async |unit| {
        let record = unit.create_event_type(new).await?;
        Ok(Answer::json(
            StatusCode::CREATED,
            envelope::text(request_id, EventTypeWire::from(record)),
        ))
    })
    .await
}

fn new_event_type(body: &Body) -> Result<NewEventType, Failure> {
    let mut fields = body.fields()?;
    let name = fields.required("name");
    let description = fields.optional("description");
    let schema = fields.optional::<JsonText>("schema");
    let example = fields.optional::<JsonText>("example");
    let name = fields.finish(name)?;
    Ok(NewEventType {
        name,
        description,
        schema,
        example,
    })
}
