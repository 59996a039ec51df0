//! Webhooks: register, list, read, change, delete, test, and look at attempts.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::event::WEBHOOK_TEST;
use plumbline_domain::permission::Access;
use plumbline_domain::{CustomHeaders, DeliveryId, Profile, Scope};
use plumbline_engine::Engine;
use plumbline_engine::deliveries::AttemptPosition;
use plumbline_engine::endpoints::{EndpointChanges, NewEndpoint, WantedSecret};
use serde::Serialize;

use super::openapi::{Failures, OfRecord, WithBody};
use super::wire::{
    AttemptWire, CreatedWire, Listed, NewWebhookDocument, SentTestWire, WebhookChangesDocument, WebhookWire,
    is_active,
};
use crate::dialects::webhook;
use crate::http::{Answer, Body, Caller, Failure, Incoming, Mutation, Parameters, change, respond};

/// Attempts of a page when the customer does not say.
const ATTEMPTS_DEFAULT: usize = 25;
/// Attempts of a page at most.
const ATTEMPTS_MAX: usize = 100;

/// Register a webhook. Its secret is in this answer and never shown again.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/v1/webhooks",
    operation_id = "createWebhook",
    request_body = NewWebhookDocument,
    responses((status = 201, description = "The webhook, with its secret.", body = CreatedWire), Failures<WithBody>)
)]
pub(super) async fn create(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    // Checked before the transaction, but refused within it: a repetition is answered whatever DNS says today.
    let checked = engine.check_endpoint(tenant, new_endpoint(&body)?).await;

    change(&engine, tenant, idempotency, async |unit| {
        let (endpoint, secret) = unit.create_endpoint(checked?).await?;
        let mut created = CreatedWire {
            webhook: endpoint.into(),
            secret: None,
        };
        let kept = text(&created);
        created.secret = secret.map(|secret| secret.expose().to_owned());
        Ok(Answer::shown_once(StatusCode::CREATED, text(&created), kept))
    })
    .await
}

fn new_endpoint(body: &Body) -> Result<NewEndpoint, Failure> {
    let mut fields = body.fields()?;
    let url = fields.required("url");
    let events = fields.required("events");
    let (url, events) = fields.finish(url.zip(events))?;
    Ok(NewEndpoint {
        profile: Profile::Buildmarkets,
        url,
        event_types: events,
        description: None,
        rate_limit: None,
        headers: CustomHeaders::default(),
        secret: WantedSecret::Generated,
    })
}

fn text(wire: &impl Serialize) -> String {
    serde_json::to_string(wire).expect("the wire types have string keys only, so they are JSON")
}

/// The account's webhooks, newest first.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    operation_id = "listWebhooks",
    responses((status = 200, description = "The webhooks.", body = Listed<WebhookWire>), Failures<()>)
)]
pub(super) async fn list(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    parameters.finish()?;

    let webhooks = engine.all_endpoints(tenant, Profile::Buildmarkets).await?;
    let data: Vec<WebhookWire> = webhooks.into_iter().map(Into::into).collect();
    Ok(respond(StatusCode::OK, text(&Listed { data })))
}

/// One webhook.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{webhookId}",
    operation_id = "getWebhook",
    params(("webhookId" = String, Path, description = "The webhook's id.", format = "uuid")),
    responses((status = 200, description = "The webhook.", body = WebhookWire), Failures<OfRecord>)
)]
pub(super) async fn read(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    parameters.finish()?;

    let webhook = webhook::find(&engine, tenant, Profile::Buildmarkets, &path).await?;
    Ok(respond(StatusCode::OK, text(&WebhookWire::from(webhook))))
}

/// Change a webhook. What is left out stays as it is.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    patch,
    path = "/v1/webhooks/{webhookId}",
    operation_id = "updateWebhook",
    params(("webhookId" = String, Path, description = "The webhook's id.", format = "uuid")),
    request_body = WebhookChangesDocument,
    responses(
        (status = 200, description = "The webhook as it is now.", body = WebhookWire),
        Failures<(OfRecord, WithBody)>
    )
)]
pub(super) async fn update(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    let changes = changes(&body)?;
    let checked = webhook::check(&engine, tenant, Profile::Buildmarkets, &path, changes).await;

    change(&engine, tenant, idempotency, async |unit| {
        let (endpoint, checked) = checked?;
        let webhook = unit.update_endpoint(endpoint, checked).await?;
        Ok(Answer::json(StatusCode::OK, text(&WebhookWire::from(webhook))))
    })
    .await
}

fn changes(body: &Body) -> Result<EndpointChanges, Failure> {
    let mut fields = body.fields()?;
    let status: Option<String> = fields.changed("status");
    let active = status.and_then(|status| {
        let active = is_active(&status);
        if active.is_none() {
            fields.fault("status", "invalid", "must be active or disabled");
        }
        active
    });
    let changes = EndpointChanges {
        url: fields.changed("url"),
        event_types: fields.changed("events"),
        active,
        ..EndpointChanges::default()
    };
    fields.finish(Some(changes))
}

/// Delete a webhook for ever. Once this is answered, no new request to it starts.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    delete,
    path = "/v1/webhooks/{webhookId}",
    operation_id = "deleteWebhook",
    params(("webhookId" = String, Path, description = "The webhook's id.", format = "uuid")),
    responses((status = 204, description = "It is gone."), Failures<(OfRecord, WithBody)>)
)]
pub(super) async fn delete(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    body.is_void()?;
    let found = webhook::find(&engine, tenant, Profile::Buildmarkets, &path).await;
    webhook::delete(&engine, tenant, idempotency, found.map(|webhook| webhook.id)).await
}

/// Send a synthetic `webhook.test` event: one attempt, also to a disabled webhook.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{webhookId}/test",
    operation_id = "testWebhook",
    params(("webhookId" = String, Path, description = "The webhook's id.", format = "uuid")),
    responses(
        (status = 202, description = "It is on its way.", body = SentTestWire),
        Failures<(OfRecord, WithBody)>
    )
)]
pub(super) async fn test(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Write)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    body.is_void()?;
    let found = webhook::find(&engine, tenant, Profile::Buildmarkets, &path).await;

    change(&engine, tenant, idempotency, async |unit| {
        let delivery = unit.test_endpoint(found?.id).await?;
        let sent = SentTestWire {
            id: delivery.event.to_string(),
            event_type: WEBHOOK_TEST.to_owned(),
            delivery_id: delivery.id.to_string(),
        };
        Ok(Answer::json(StatusCode::ACCEPTED, text(&sent)))
    })
    .await
}

/// A webhook's attempts: the newest delivery first, of each delivery the latest attempt first.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{webhookId}/deliveries",
    operation_id = "listWebhookDeliveries",
    params(
        ("webhookId" = String, Path, description = "The webhook's id.", format = "uuid"),
        ("limit" = inline(Option<u32>), Query, description = "Attempts at most.", minimum = 1, maximum = 100),
        ("before" = Option<String>, Query, description = "Only attempts after this one in the list: the last `id` of the page before.")
    ),
    responses((status = 200, description = "The attempts.", body = Listed<AttemptWire>), Failures<OfRecord>)
)]
pub(super) async fn deliveries(
    caller: Caller,
    path: web::Path<String>,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    let limit = parameters.parsed(
        "limit",
        |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=ATTEMPTS_MAX).contains(limit))
        },
        &format!("must be a whole number from 1 to {ATTEMPTS_MAX}"),
    );
    let before = parameters.parsed("before", position, "must be the `id` of an attempt of this list");
    parameters.finish()?;
    let endpoint = webhook::find(&engine, tenant, Profile::Buildmarkets, &path)
        .await?
        .id;

    let attempts = engine
        .history(tenant, endpoint, before, limit.unwrap_or(ATTEMPTS_DEFAULT))
        .await?;
    let data: Vec<AttemptWire> = attempts.into_iter().map(Into::into).collect();
    Ok(respond(StatusCode::OK, text(&Listed { data })))
}

/// An attempt's id, read back.
fn position(id: &str) -> Option<AttemptPosition> {
    let (delivery, number) = id.split_once('-')?;
    let delivery: DeliveryId = delivery.parse().ok()?;
    Some((delivery, number.parse().ok()?))
}
