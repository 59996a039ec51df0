//! `GET /api/v1/me`: who asks.

use actix_web::{HttpResponse, web};
use plumbline_domain::{Principal, Role, Scopes};
use plumbline_engine::Engine;

use super::envelope::{self, Envelope};
use super::openapi::{Common, Described};
use super::wire::MeWire;
use crate::http::{Caller, Failure, Parameters, RequestId};

/// Who asks: an API key or a signed-in user, and what it may do.
///
/// Needs any valid key, or a session.
#[utoipa::path(
    get,
    path = "/api/v1/me",
    tag = "Account",
    operation_id = "getMe",
    responses((status = 200, description = "The tenant, and the key's scopes or the user's role.", body = Envelope<MeWire>), Described<Common>)
)]
pub(super) async fn read(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    parameters.finish()?;
    let tenant = engine.tenant(caller.principal().tenant()).await?;
    let mut me = MeWire {
        tenant_id: tenant.id.0,
        tenant_name: tenant.name,
        key_id: None,
        user_id: None,
        role: None,
        scopes: vec![],
    };
    match caller.principal() {
        Principal::Key { key, scopes, .. } => {
            me.key_id = Some(key.0);
            me.scopes = scopes.names();
        }
        Principal::User { user, role, .. } => {
            me.user_id = Some(user.0);
            me.role = Some(role.as_str());
            if *role == Role::CompanyAdmin {
                me.scopes = Scopes::All.names();
            }
        }
    }
    Ok(envelope::ok(id, me))
}
