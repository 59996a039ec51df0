//! The tenant's settings of its webhooks.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::Scope;
use plumbline_domain::permission::Access;
use plumbline_engine::Engine;
use plumbline_engine::settings::SettingsChanges;

use super::account_wire::{SettingsChangesDocument, SettingsWire};
use super::envelope::{self, Envelope};
use super::openapi::{Common, Described, Scoped, WithBody};
use crate::http::{Answer, Body, Caller, Failure, Incoming, Mutation, Parameters, RequestId, change};

/// The tenant's settings.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    get,
    path = "/api/v1/webhook-settings",
    tag = "Settings",
    operation_id = "getWebhookSettings",
    responses(
        (status = 200, description = "The settings.", body = Envelope<SettingsWire>),
        Described<(Common, Scoped)>
    )
)]
pub(super) async fn read(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::WebhooksManage, Access::Read)?;
    parameters.finish()?;
    let tenant = engine.tenant(tenant).await?;
    let settings = SettingsWire {
        resource_url_template: tenant.resource_url_template,
    };
    Ok(envelope::ok(id, settings))
}

/// Change the tenant's settings. What is left out stays as it is.
///
/// Needs the scope `webhooks:manage`.
#[utoipa::path(
    patch,
    path = "/api/v1/webhook-settings",
    tag = "Settings",
    operation_id = "updateWebhookSettings",
    request_body = SettingsChangesDocument,
    responses(
        (status = 200, description = "The settings as they are now.", body = Envelope<SettingsWire>),
        Described<(Common, Scoped, WithBody)>
    )
)]
pub(super) async fn update(
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
    let changes = changes(&body)?;

    change(&engine, tenant, idempotency, async |unit| {
        let tenant = unit.update_settings(changes).await?;
        let settings = SettingsWire {
            resource_url_template: tenant.resource_url_template,
        };
        Ok(Answer::json(StatusCode::OK, envelope::text(request_id, settings)))
    })
    .await
}

fn changes(body: &Body) -> Result<SettingsChanges, Failure> {
    let mut fields = body.fields()?;
    let changes = SettingsChanges {
        resource_url_template: fields.cleared_or("resourceUrlTemplate"),
    };
    fields.finish(Some(changes))
}
