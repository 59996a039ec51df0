//! Webhook endpoints: register, read, change, delete; rotate secrets, test, enable, recover.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{CustomHeaders, EndpointId, Profile, Scope, Timestamp};
use plumbline_engine::Engine;
use plumbline_engine::endpoints::{EndpointChanges, NewEndpoint, WantedSecret};

use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, InList, OfRecord, Scoped, WithBody, WithConflict};
use super::wire::{
    ActivatedWire, CreatedEndpointWire, EndpointChangesDocument, EndpointWire, NewEndpointDocument,
    RecoveredWire, RecoveryDocument, RotatedWire, RotationDocument, SentTestWire,
};
use crate::dialects::webhook;
use crate::http::{
    Answer, Body, Caller, Cursors, Failure, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// Register an endpoint. Its signing secret is in this answer and never shown again.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints",
    tag = "Endpoints",
    operation_id = "createWebhookEndpoint",
    request_body = NewEndpointDocument,
    responses(
        (status = 201, description = "The endpoint, with its secret.", body = Envelope<CreatedEndpointWire>),
        Described<(Common, Scoped, WithBody, WithConflict)>
    )
)]
pub(super) async fn create(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    // Checked before the transaction, but refused within it: a repetition is answered whatever DNS says today.
    let checked = engine.check_endpoint(tenant, new_endpoint(&body)?).await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        let (endpoint, secret) = unit.create_endpoint(checked?).await?;
        let endpoint = EndpointWire::from(endpoint);
        let mut created = CreatedEndpointWire {
            endpoint,
            signing_secret: None,
        };
        let kept = envelope::text(request_id, &created);
        created.signing_secret = secret.map(|secret| secret.expose().to_owned());
        Ok(Answer::shown_once(
            StatusCode::CREATED,
            envelope::text(request_id, &created),
            kept,
        ))
    })
    .await
}

fn new_endpoint(body: &Body) -> Result<NewEndpoint, Failure> {
    let mut fields = body.fields()?;
    let url = fields.required("url");
    let event_types = fields.required("eventTypes");
    let description = fields.optional("description");
    let rate_limit = fields.optional("rateLimit");
    let headers = CustomHeaders::new(fields.optional("headers").unwrap_or_default());
    let (url, event_types) = fields.finish(url.zip(event_types))?;
    Ok(NewEndpoint {
        profile: Profile::BuildWorkPro,
        url,
        event_types,
        description,
        rate_limit,
        headers,
        secret: WantedSecret::Generated,
    })
}

/// The tenant's endpoints of every dialect, newest first.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints",
    tag = "Endpoints",
    operation_id = "listWebhookEndpoints",
    params(super::openapi::PageParameters),
    responses(
        (status = 200, description = "A page of endpoints.", body = Page<EndpointWire>),
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
    let page = parameters.page::<EndpointId>(tenant, ListKind::Endpoints)?;

    let endpoints = engine
        .endpoints(tenant, None, page.after, Paging::fetch(page.limit))
        .await?;
    let paging = Paging {
        tenant,
        list: ListKind::Endpoints,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, endpoints, |endpoint| endpoint.id, EndpointWire::from))
}

/// One endpoint.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-endpoints/{id}",
    tag = "Endpoints",
    operation_id = "getWebhookEndpoint",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    responses(
        (status = 200, description = "The endpoint.", body = Envelope<EndpointWire>),
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
    let endpoint = endpoint_id(&path)?;

    let endpoint = engine.endpoint(tenant, endpoint).await?;
    Ok(envelope::ok(id, EndpointWire::from(endpoint)))
}

/// Change an endpoint. What is left out stays as it is.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    patch,
    path = "/api/v1/webhook-endpoints/{id}",
    tag = "Endpoints",
    operation_id = "updateWebhookEndpoint",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    request_body = EndpointChangesDocument,
    responses(
        (status = 200, description = "The endpoint as it is now.", body = Envelope<EndpointWire>),
        Described<(Common, Scoped, WithBody, OfRecord)>
    )
)]
pub(super) async fn update(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let checked = engine
        .check_changes(tenant, endpoint, Profile::BuildWorkPro, endpoint_changes(&body)?)
        .await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        let endpoint = unit.update_endpoint(endpoint, checked?).await?;
        Ok(Answer::json(
            StatusCode::OK,
            envelope::text(request_id, EndpointWire::from(endpoint)),
        ))
    })
    .await
}

fn endpoint_changes(body: &Body) -> Result<EndpointChanges, Failure> {
    let mut fields = body.fields()?;
    let changes = EndpointChanges {
        url: fields.changed("url"),
        event_types: fields.changed("eventTypes"),
        description: fields.cleared_or("description"),
        rate_limit: fields.cleared_or("rateLimit"),
        headers: fields.changed("headers").map(CustomHeaders::new),
        active: fields.changed("isActive"),
    };
    fields.finish(Some(changes))
}

/// Delete an endpoint. Once this is answered, no new request to it starts; retries that wait end as `failed`.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    delete,
    path = "/api/v1/webhook-endpoints/{id}",
    tag = "Endpoints",
    operation_id = "deleteWebhookEndpoint",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    responses((status = 204, description = "It is gone."), Described<(Common, Scoped, WithBody, OfRecord)>)
)]
pub(super) async fn delete(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    body.is_void()?;

    webhook::delete(&engine, tenant, idempotency, Ok(endpoint)).await
}

/// Replace the signing secret: at once, or prepared to take over later. The new one is in this answer and never shown
/// again.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/rotate-secret",
    tag = "Endpoints",
    operation_id = "rotateWebhookSecret",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    request_body(content = Option<RotationDocument>, description = "May be left out: then the new secret signs from now on."),
    responses(
        (status = 200, description = "The new secret.", body = Envelope<RotatedWire>),
        Described<(Common, Scoped, WithBody, OfRecord)>
    )
)]
pub(super) async fn rotate_secret(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let mut fields = body.fields()?;
    let activate_in = fields.optional("activateInSeconds");
    fields.finish(Some(()))?;

    change(&engine, tenant, idempotency, async |unit| {
        let (secret, activates_at) = unit.rotate_secret(endpoint, activate_in).await?;
        let mut rotated = RotatedWire {
            id: endpoint.0,
            signing_secret: None,
            activates_at,
        };
        let kept = envelope::text(request_id, &rotated);
        rotated.signing_secret = Some(secret.expose().to_owned());
        Ok(Answer::shown_once(
            StatusCode::OK,
            envelope::text(request_id, &rotated),
            kept,
        ))
    })
    .await
}

/// Let the prepared secret take over now.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/activate-secret",
    tag = "Endpoints",
    operation_id = "activateWebhookSecret",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    responses(
        (status = 200, description = "It signs from now on.", body = Envelope<ActivatedWire>),
        Described<(Common, Scoped, WithBody, OfRecord, WithConflict)>
    )
)]
pub(super) async fn activate_secret(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    body.is_void()?;

    change(&engine, tenant, idempotency, async |unit| {
        let activates_at = unit.activate_secret(endpoint).await?;
        let activated = ActivatedWire {
            id: endpoint.0,
            activates_at,
        };
        Ok(Answer::json(
            StatusCode::OK,
            envelope::text(request_id, activated),
        ))
    })
    .await
}

/// Send a synthetic `webhook.test` event: one attempt, also to a disabled endpoint, not counted in its health.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/test",
    tag = "Endpoints",
    operation_id = "testWebhookEndpoint",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    responses(
        (status = 202, description = "It is on its way.", body = Envelope<SentTestWire>),
        Described<(Common, Scoped, WithBody, OfRecord)>
    )
)]
pub(super) async fn test(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    body.is_void()?;

    change(&engine, tenant, idempotency, async |unit| {
        let delivery = unit.test_endpoint(endpoint).await?;
        let sent = SentTestWire {
            event_id: delivery.event.to_string(),
            delivery_id: delivery.id.to_string(),
        };
        Ok(Answer::json(
            StatusCode::ACCEPTED,
            envelope::text(request_id, sent),
        ))
    })
    .await
}

/// Enable a disabled endpoint. The failure count starts anew, and nothing is sent by itself: see `recover`.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/enable",
    tag = "Endpoints",
    operation_id = "enableWebhookEndpoint",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    responses(
        (status = 200, description = "The endpoint as it is now.", body = Envelope<EndpointWire>),
        Described<(Common, Scoped, WithBody, OfRecord)>
    )
)]
pub(super) async fn enable(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    body.is_void()?;

    change(&engine, tenant, idempotency, async |unit| {
        let endpoint = unit.enable_endpoint(endpoint).await?;
        Ok(Answer::json(
            StatusCode::OK,
            envelope::text(request_id, EndpointWire::from(endpoint)),
        ))
    })
    .await
}

/// Send again what the endpoint missed: every event whose deliveries were skipped, failed or exhausted in a time, and
/// that has not been delivered since. At most 50,000 at once: call again for the rest.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/v1/webhook-endpoints/{id}/recover",
    tag = "Endpoints",
    operation_id = "recoverWebhookEndpoint",
    params(("id" = i64, Path, description = "The endpoint's number.", example = 17)),
    request_body = RecoveryDocument,
    responses(
        (status = 202, description = "How many deliveries are sent again, or would be.", body = Envelope<RecoveredWire>),
        Described<(Common, Scoped, WithBody, OfRecord, WithConflict)>
    )
)]
pub(super) async fn recover(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let endpoint = endpoint_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let mut fields = body.fields()?;
    let since = fields.required::<Timestamp>("since");
    let until = fields.optional::<Timestamp>("until");
    let dry_run = fields.optional::<bool>("dryRun").unwrap_or(false);
    let since = fields.finish(since)?;

    change(&engine, tenant, idempotency, async |unit| {
        let recovered = unit.recover(endpoint, since, until, dry_run).await?;
        Ok(Answer::json(
            StatusCode::ACCEPTED,
            envelope::text(request_id, RecoveredWire::from(recovered)),
        ))
    })
    .await
}

/// What is no number is nobody's endpoint.
fn endpoint_id(path: &str) -> Result<EndpointId, Failure> {
    path.parse().map_err(|_| Failure::NotFound("endpoint"))
}
