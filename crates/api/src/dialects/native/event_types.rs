//! The event catalogue: the product's types, and the tenant's own.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{EventType, JsonText, Profile, Scope};
use plumbline_engine::Engine;
use plumbline_engine::catalogue::{EventTypeChanges, NewEventType};

use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, InList, OfRecord, Scoped, WithBody, WithConflict};
use super::wire::{EventTypeChangesDocument, EventTypeWire, NewEventTypeDocument};
use crate::http::{
    Answer, Body, Caller, Cursors, Failure, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// The catalogue: a product's event types and the tenant's own, by name.
///
/// Names are canonical, whatever the product calls them. `profile=plumbline` lists what the service itself emits.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-event-types",
    tag = "Event types",
    operation_id = "listWebhookEventTypes",
    params(
        ("profile" = Option<String>, Query, description = "Whose types: `buildworkpro` (the default), `buildr` or `buildmarkets`, each with the tenant's own, or `plumbline`, the service's.", example = "buildworkpro"),
        super::openapi::PageParameters
    ),
    responses(
        (status = 200, description = "A page of event types.", body = Page<EventTypeWire>),
        Described<(Common, Scoped, InList)>
    )
)]
pub(super) async fn list(
    caller: Caller,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let remedy = "must be `buildworkpro`, `buildr`, `buildmarkets` or `plumbline`";
    let shelf = parameters.parsed("profile", Shelf::parse, remedy);
    let page = parameters.page::<EventType>(tenant, ListKind::EventTypes)?;

    let after = page.after.as_ref().map(EventType::as_str);
    let limit = Paging::fetch(page.limit);
    let types = match shelf.unwrap_or(Shelf::Product(Profile::BuildWorkPro)) {
        Shelf::Product(profile) => engine.event_types(tenant, profile, after, limit).await?,
        Shelf::Service => engine.operational_types(after, limit),
    };
    let paging = Paging {
        tenant,
        list: ListKind::EventTypes,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, types, |record| record.name.clone(), EventTypeWire::from))
}

/// Whose types a list is of.
enum Shelf {
    /// A product's, and the tenant's own.
    Product(Profile),
    /// The service's.
    Service,
}

impl Shelf {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "plumbline" => Some(Self::Service),
            _ => Profile::parse(name).map(Self::Product),
        }
    }
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
    let checked = engine.check_event_type(new_event_type(&body)?).await;

    change(&engine, tenant, idempotency, async |unit| {
        let record = unit.create_event_type(checked?).await?;
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

/// One event type: the tenant's own, or a product's.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-event-types/{name}",
    tag = "Event types",
    operation_id = "getWebhookEventType",
    params(("name" = String, Path, description = "The event type's name.", example = "bid.accepted")),
    responses(
        (status = 200, description = "The event type.", body = Envelope<EventTypeWire>),
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
    let name = event_type(&path)?;

    let record = engine.event_type(tenant, &name).await?;
    Ok(envelope::ok(id, EventTypeWire::from(record)))
}

/// Change an event type of the tenant's own. What is left out stays as it is.
///
/// A built-in type cannot be changed. A deprecated one is published and delivered as before and stays in the
/// subscriptions that have it; no endpoint subscribes to it anew.
///
/// Needs the scope `event_types:write` or `webhooks:manage`.
#[utoipa::path(
    patch,
    path = "/api/v1/webhook-event-types/{name}",
    tag = "Event types",
    operation_id = "updateWebhookEventType",
    params(("name" = String, Path, description = "The event type's name.", example = "invoice.paid")),
    request_body = EventTypeChangesDocument,
    responses(
        (status = 200, description = "The event type as it is now.", body = Envelope<EventTypeWire>),
        Described<(Common, Scoped, WithBody, OfRecord, WithConflict)>
    )
)]
pub(super) async fn update(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_by_any(&[Scope::EventTypesWrite, Scope::WebhooksManage], Access::Write)?;
    let name = event_type(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let checked = engine.check_event_type_changes(event_type_changes(&body)?).await;

    change(&engine, tenant, idempotency, async |unit| {
        let record = unit.update_event_type(&name, checked?).await?;
        Ok(Answer::json(
            StatusCode::OK,
            envelope::text(request_id, EventTypeWire::from(record)),
        ))
    })
    .await
}

/// What is not a name names nothing.
fn event_type(path: &str) -> Result<EventType, Failure> {
    path.parse().map_err(|_| Failure::NotFound("event type"))
}

fn event_type_changes(body: &Body) -> Result<EventTypeChanges, Failure> {
    let mut fields = body.fields()?;
    let changes = EventTypeChanges {
        description: fields.cleared_or("description"),
        schema: fields.cleared_or::<JsonText>("schema"),
        example: fields.cleared_or::<JsonText>("example"),
        deprecated: fields.changed("deprecated"),
    };
    fields.finish(Some(changes))
}
