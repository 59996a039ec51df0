//! The OpenAPI document of /v1.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use actix_web::{HttpResponse, web};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr, Response};
use utoipa::{IntoResponses, OpenApi};

use super::failure::ErrorWire;
use super::webhooks;
use crate::dialects::Documents;
use crate::dialects::document::{self, Customs, FailureShape, Problems};
use crate::http::Failure;

const FAILURE: FailureShape = FailureShape {
    schema: "Error",
    content_type: "application/json",
};

pub(in crate::dialects) const CUSTOMS: Customs = Customs {
    failure: FAILURE,
    limited: "`RATE_LIMITED`: too many requests with this key in a minute.",
    idempotency: "Makes a repetition safe: within a day, the same key with the same method, path and body gets the first \
                  2xx answer again, without secrets, and nothing is done twice. With another request it is a 409 `IDEMPOTENCY_KEY_REUSED`. Keys are \
                  the tenant's.",
    uncounted: &["getOpenApi"],
    never_repeated: &[],
};

/// This document.
///
/// Needs no token.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    operation_id = "getOpenApi",
    security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(super) async fn read(documents: web::Data<Documents>) -> Result<HttpResponse, Failure> {
    Ok(documents.buildmarkets())
}

/// The document as the attributes beside the handlers describe it.
pub(in crate::dialects) fn document() -> Document {
    let mut document = Api::openapi();
    document::secure(&mut document, [("apiKey", scheme())]);
    CUSTOMS.complete(&mut document);
    document
}

fn scheme() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key with the scope `webhooks:manage`."));
    SecurityScheme::Http(scheme.build())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Plumbline: Buildmarkets",
        version = "1",
        description = "Webhooks as Buildmarkets' reference describes them. Deliveries are signed by Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`. Unknown fields are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        webhooks::create,
        webhooks::list,
        webhooks::read,
        webhooks::update,
        webhooks::delete,
        webhooks::test,
        webhooks::deliveries,
        read
    ),
    components(schemas(ErrorWire))
)]
struct Api;

/// The failures that an operation answers with, besides its success.
pub(super) struct Failures<T>(PhantomData<T>);

impl<T: Problems> IntoResponses for Failures<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        FAILURE.responses(&[COMMON.to_vec(), T::problems()].concat())
    }
}

const COMMON: [(u16, &str); 5] = [
    (
        400,
        "`INVALID_URL`, `INVALID_EVENT` or `INVALID_REQUEST`: the message says what to send instead.",
    ),
    (401, "`UNAUTHORIZED`: no API key, or none that is valid."),
    (403, "`FORBIDDEN`: the key lacks the scope `webhooks:manage`."),
    (500, "`INTERNAL_ERROR`: a fault of ours."),
    (503, "`SERVICE_UNAVAILABLE`: try again after `Retry-After`."),
];

document::problems! {
    /// Of what acts on one webhook.
    OfRecord {
        404: "`WEBHOOK_NOT_FOUND`: no webhook has this id.",
    }
    /// Of mutations.
    WithBody {
        408: "`REQUEST_TIMEOUT`: the body did not arrive in time.",
        409: "`CONFLICT`: the state of things does not allow it; `IDEMPOTENCY_KEY_REUSED`: the key belongs to another request.",
        413: "`PAYLOAD_TOO_LARGE`: the body has more than 16 MiB.",
        415: "`UNSUPPORTED_MEDIA_TYPE`: the body is not `application/json`.",
    }
}
