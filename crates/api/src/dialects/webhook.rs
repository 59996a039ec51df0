//! What the dialects do in the same way with an endpoint that they call a webhook, by its UUID.

use actix_web::HttpResponse;
use plumbline_domain::{Endpoint, EndpointId, Profile, TenantId};
use plumbline_engine::endpoints::{CheckedChanges, EndpointChanges};
use plumbline_engine::{Engine, Idempotency};

use crate::http::{Answer, Failure, change};

/// A webhook of a tenant, by the id that the path has.
pub(super) async fn find(
    engine: &Engine,
    tenant: TenantId,
    profile: Profile,
    id: &str,
) -> Result<Endpoint, Failure> {
    let uid = id.parse().map_err(|_| Failure::NotFound("webhook"))?;
    Ok(engine.endpoint_by_uid(tenant, profile, uid).await?)
}

/// Find a webhook and check what is to change of it. Done before the transaction, but refused within it: a repetition
/// is answered whatever has become of the webhook.
pub(super) async fn check(
    engine: &Engine,
    tenant: TenantId,
    profile: Profile,
    id: &str,
    changes: EndpointChanges,
) -> Result<(EndpointId, CheckedChanges), Failure> {
    let endpoint = find(engine, tenant, profile, id).await?.id;
    let checked = engine.check_changes(tenant, endpoint, profile, changes).await?;
    Ok((endpoint, checked))
}

/// Delete an endpoint, and answer when no new request to it starts.
pub(super) async fn delete(
    engine: &Engine,
    tenant: TenantId,
    idempotency: Option<Idempotency>,
    endpoint: Result<EndpointId, Failure>,
) -> Result<HttpResponse, Failure> {
    let response = change(engine, tenant, idempotency, async |unit| {
        unit.delete_endpoint(endpoint?).await?;
        Ok(Answer::no_content())
    })
    .await?;
    // A repetition waits too: it may have come right after the first one's commit.
    engine.until_forgotten().await;
    Ok(response)
}
