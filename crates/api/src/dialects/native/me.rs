//! `GET /api/v1/me`: whom a key belongs to.

use actix_web::{HttpResponse, web};
use plumbline_domain::Principal;
use plumbline_engine::Engine;

use super::envelope::{self, Envelope};
use super::openapi::{Common, Described};
use super::wire::MeWire;
use crate::http::{Caller, Failure, Parameters, RequestId};

/// Whom an API key belongs to, and what it may do.
///
/// Needs any valid key.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "Account",
    operation_id = "getMe",
    responses((status = 200, description = "The key's tenant and scopes.", body = Envelope<MeWire>), Described<Common>)
)]
pub(super) async fn read(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    parameters.finish()?;
    let tenant = engine.tenant(caller.principal().tenant()).await?;
    let (key_id, scopes) = match caller.principal() {
        Principal::Key { key, scopes, .. } => (Some(key.0), scopes.names()),
        Principal::User { role, .. } => (None, vec![role.as_str()]),
    };
    Ok(envelope::ok(
        id,
        MeWire {
            tenant_id: tenant.id.0,
            tenant_name: tenant.name,
            key_id,
            scopes,
        },
    ))
}
