//! Webhooks: create, list, read, change, delete.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{CustomHeaders, Profile, Scope, SigningSecret};
use plumbline_engine::Engine;
use plumbline_engine::endpoints::{EndpointChanges, NewEndpoint, WantedSecret};
use serde_json::value::RawValue;

use super::openapi::{Failures, OfRecord, WithBody};
use super::wire::{ManyWire, NewWebhookDocument, OneWire, WebhookChangesDocument};
use crate::dialects::webhook;
use crate::http::{Answer, Body, Caller, Failure, Fields, Incoming, Mutation, Parameters, change, respond};

/// Create a webhook.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    post,
    path = "/api/2023-01/webhooks",
    operation_id = "createWebhook",
    request_body = NewWebhookDocument,
    responses((status = 201, description = "The webhook.", body = OneWire), Failures<WithBody>)
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
    let (new, warnings) = new_webhook(&body)?;
    // Checked before the transaction, but refused within it: a repetition is answered whatever DNS says today.
    let checked = engine.check_endpoint(tenant, new).await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        let (endpoint, _) = unit.create_endpoint(checked?).await?;
        Ok(Answer::json(
            StatusCode::CREATED,
            OneWire::text(endpoint, warnings),
        ))
    })
    .await
}

/// What to create, and what its owner should know of the secret.
fn new_webhook(body: &Body) -> Result<(NewEndpoint, Vec<String>), Failure> {
    let mut fields = members(body)?;
    let url = fields.required("url");
    let description = fields.optional("description");
    let types = fields.required("filter_types");
    let secret: Option<String> = fields.optional("secret");
    let rate_limit = fields.optional("rate_limit");
    let secret = secret.and_then(|text| supplied(&mut fields, text));
    let (url, types) = fields.finish(url.zip(types))?;
    let warnings = secret.as_ref().map(SigningSecret::weaknesses).unwrap_or_default();
    let new = NewEndpoint {
        profile: Profile::Buildr,
        url,
        event_types: types,
        description,
        rate_limit,
        headers: CustomHeaders::default(),
        secret: secret.map_or(WantedSecret::None, WantedSecret::Supplied),
    };
    Ok((new, warnings))
}

/// The members of `webhook`, in which every request is wrapped (S2-04).
fn members(body: &Body) -> Result<Fields<'_>, Failure> {
    let mut fields = body.fields()?;
    let webhook: Option<&RawValue> = fields.required("webhook");
    Fields::of_part(fields.finish(webhook)?, "webhook")
}

/// A secret that svix's library can load; one that it cannot is a fault (G2).
fn supplied(fields: &mut Fields<'_>, text: String) -> Option<SigningSecret> {
    match SigningSecret::supplied(text) {
        Ok(secret) => Some(secret),
        Err(error) => {
            fields.fault("secret", "invalid", error.to_string());
            None
        }
    }
}

/// The tenant's webhooks, newest first.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/2023-01/webhooks",
    operation_id = "listWebhooks",
    responses((status = 200, description = "The webhooks.", body = ManyWire), Failures<()>)
)]
pub(super) async fn list(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    parameters.finish()?;

    let webhooks = engine.all_endpoints(tenant, Profile::Buildr).await?;
    let many = ManyWire {
        webhooks: webhooks.into_iter().map(Into::into).collect(),
    };
    let text = serde_json::to_string(&many).expect("text and numbers are JSON");
    Ok(respond(StatusCode::OK, text))
}

/// One webhook.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/2023-01/webhooks/{id}",
    operation_id = "getWebhook",
    params(("id" = String, Path, description = "The webhook's id.", format = "uuid")),
    responses((status = 200, description = "The webhook.", body = OneWire), Failures<OfRecord>)
)]
pub(super) async fn read(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    parameters.finish()?;

    let webhook = webhook::find(&engine, tenant, Profile::Buildr, &path).await?;
    Ok(respond(StatusCode::OK, OneWire::text(webhook, vec![])))
}

/// Change a webhook. What is left out stays as it is.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    patch,
    path = "/api/2023-01/webhooks/{id}",
    operation_id = "updateWebhook",
    params(("id" = String, Path, description = "The webhook's id.", format = "uuid")),
    request_body = WebhookChangesDocument,
    responses(
        (status = 200, description = "The webhook as it is now.", body = OneWire),
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
    let Wanted {
        changes,
        secret,
        warnings,
    } = wanted(&body)?;
    let checked = webhook::check(&engine, tenant, Profile::Buildr, &path, changes).await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        let (endpoint, checked) = checked?;
        let mut webhook = unit.update_endpoint(endpoint, checked).await?;
        if let Some(secret) = secret {
            webhook = unit.replace_secret(endpoint, secret).await?;
        }
        Ok(Answer::json(StatusCode::OK, OneWire::text(webhook, warnings)))
    })
    .await
}

/// The same as PATCH: what is left out stays as it is.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    put,
    path = "/api/2023-01/webhooks/{id}",
    operation_id = "putWebhook",
    params(("id" = String, Path, description = "The webhook's id.", format = "uuid")),
    request_body = WebhookChangesDocument,
    responses(
        (status = 200, description = "The webhook as it is now.", body = OneWire),
        Failures<(OfRecord, WithBody)>
    )
)]
pub(super) async fn replace(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    update(caller, path, incoming, engine).await
}

/// What an update asks for.
struct Wanted {
    changes: EndpointChanges,
    /// A new secret, or none from now on; `None` leaves it as it is.
    secret: Option<Option<SigningSecret>>,
    warnings: Vec<String>,
}

fn wanted(body: &Body) -> Result<Wanted, Failure> {
    let mut fields = members(body)?;
    let rate_limit: Option<Option<i64>> = fields.cleared_or("rate_limit");
    let default = || {
        Profile::Buildr
            .rate_limit_default()
            .map(|limit| i64::from(limit.get()))
    };
    let changes = EndpointChanges {
        url: fields.changed("url"),
        event_types: fields.changed("filter_types"),
        description: fields.cleared_or("description"),
        rate_limit: rate_limit.map(|limit| limit.or_else(default)),
        headers: None,
        active: None,
    };
    let secret: Option<Option<String>> = fields.cleared_or("secret");
    let secret = secret.map(|secret| secret.and_then(|text| supplied(&mut fields, text)));
    let warnings = match &secret {
        Some(Some(secret)) => secret.weaknesses(),
        Some(None) | None => vec![],
    };
    fields.finish(Some(Wanted {
        changes,
        secret,
        warnings,
    }))
}

/// Delete a webhook. Once this is answered, no new request to it starts.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    delete,
    path = "/api/2023-01/webhooks/{id}",
    operation_id = "deleteWebhook",
    params(("id" = String, Path, description = "The webhook's id.", format = "uuid")),
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
    let found = webhook::find(&engine, tenant, Profile::Buildr, &path).await;
    webhook::delete(&engine, tenant, idempotency, found.map(|webhook| webhook.id)).await
}
