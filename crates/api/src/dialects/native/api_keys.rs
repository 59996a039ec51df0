//! API keys: make, list, revoke.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::ApiKeyId;
use plumbline_domain::permission::Access;
use plumbline_engine::Engine;
use plumbline_engine::api_keys::NewApiKey;

use super::account_wire::{ApiKeyWire, CreatedApiKeyWire, NewApiKeyDocument};
use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, ForAdmins, InList, OfRecord, WithBody, WithConflict};
use crate::http::{
    Answer, Body, Caller, Cursors, Failure, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// Make an API key. The key is in this answer and never shown again.
///
/// A tenant may have 100 that are not revoked.
///
/// Needs a session of a `company_admin`: an API key cannot do this, whatever its scopes.
#[utoipa::path(
    post,
    path = "/api/v1/api-keys",
    tag = "API keys",
    operation_id = "createApiKey",
    security(("session" = [])),
    request_body = NewApiKeyDocument,
    responses(
        (status = 201, description = "The key.", body = Envelope<CreatedApiKeyWire>),
        Described<(Common, ForAdmins, WithBody, WithConflict)>
    )
)]
pub(super) async fn create(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Write)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let new = new_api_key(&body)?;

    change(&engine, tenant, idempotency, async |unit| {
        let created = unit.create_api_key(new).await?;
        let mut wire = CreatedApiKeyWire {
            record: created.record.into(),
            key: None,
        };
        let kept = envelope::text(request_id, &wire);
        wire.key = Some(created.key);
        Ok(Answer::shown_once(
            StatusCode::CREATED,
            envelope::text(request_id, &wire),
            kept,
        ))
    })
    .await
}

fn new_api_key(body: &Body) -> Result<NewApiKey, Failure> {
    let mut fields = body.fields()?;
    let name = fields.required("name");
    let scopes = fields.required("scopes");
    let allowed_ips = fields.optional("allowedIps").unwrap_or_default();
    let mode = fields.optional("mode");
    let (name, scopes) = fields.finish(name.zip(scopes))?;
    Ok(NewApiKey {
        name,
        scopes,
        allowed_ips,
        mode,
    })
}

/// The tenant's API keys, the revoked ones too, newest first.
///
/// Needs a session; an API key cannot do this, whatever its scopes.
#[utoipa::path(
    get,
    path = "/api/v1/api-keys",
    tag = "API keys",
    operation_id = "listApiKeys",
    security(("session" = [])),
    params(super::openapi::PageParameters),
    responses(
        (status = 200, description = "A page of keys.", body = Page<ApiKeyWire>),
        Described<(Common, ForAdmins, InList)>
    )
)]
pub(super) async fn list(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Read)?;
    let page = parameters.page::<ApiKeyId>(tenant, ListKind::ApiKeys)?;

    let keys = engine
        .api_keys(tenant, page.after, Paging::fetch(page.limit))
        .await?;
    let paging = Paging {
        tenant,
        list: ListKind::ApiKeys,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, keys, |key| key.id, ApiKeyWire::from))
}

/// One API key, revoked or not.
///
/// Needs a session; an API key cannot do this, whatever its scopes.
#[utoipa::path(
    get,
    path = "/api/v1/api-keys/{id}",
    tag = "API keys",
    operation_id = "getApiKey",
    security(("session" = [])),
    params(("id" = i64, Path, description = "The key's number.", example = 3)),
    responses(
        (status = 200, description = "The key.", body = Envelope<ApiKeyWire>),
        Described<(Common, ForAdmins, OfRecord)>
    )
)]
pub(super) async fn read(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Read)?;
    parameters.finish()?;
    let key = engine.api_key(tenant, key_id(&path)?).await?;
    Ok(envelope::ok(id, ApiKeyWire::from(key)))
}

/// Revoke an API key. Once this is answered, no request with it is accepted; a revoked key stays in the list, and
/// revoking it again changes nothing.
///
/// Needs a session of a `company_admin`: an API key cannot do this, whatever its scopes.
#[utoipa::path(
    delete,
    path = "/api/v1/api-keys/{id}",
    tag = "API keys",
    operation_id = "revokeApiKey",
    security(("session" = [])),
    params(("id" = i64, Path, description = "The key's number.", example = 3)),
    responses((status = 204, description = "It is revoked."), Described<(Common, ForAdmins, WithBody, OfRecord)>)
)]
pub(super) async fn revoke(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Write)?;
    let key = key_id(&path)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    body.is_void()?;

    let response = change(&engine, tenant, idempotency, async |unit| {
        unit.revoke_api_key(key).await?;
        Ok(Answer::no_content())
    })
    .await?;
    // A repetition waits too: it may have come right after the first one's commit.
    engine.until_revoked().await;
    Ok(response)
}

/// What is no number is no key.
fn key_id(path: &str) -> Result<ApiKeyId, Failure> {
    path.parse().map_err(|_| Failure::NotFound("API key"))
}
