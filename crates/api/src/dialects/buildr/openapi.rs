//! The OpenAPI document of /api/2023-01.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use actix_web::{HttpResponse, web};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr, Response};
use utoipa::{IntoResponses, OpenApi};

use super::failure::ErrorsWire;
use super::webhooks;
use crate::dialects::Documents;
use crate::dialects::document::{self, Customs, FailureShape, Problems};
use crate::http::Failure;

const FAILURE: FailureShape = FailureShape {
    schema: "Errors",
    content_type: "application/json",
};

pub(in crate::dialects) const CUSTOMS: Customs = Customs {
    failure: FAILURE,
    limited: "Too many requests with this token in a minute.",
    idempotency: "Makes a repetition safe: within a day, the same key with the same method, path and body gets the first \
                  2xx answer again, without secrets, and nothing is done twice. With another request it is a 409. Keys are \
                  the tenant's.",
    uncounted: &["getOpenApi"],
    never_repeated: &[],
};

/// This document.
///
/// Needs no token.
#[utoipa::path(
    get,
    path = "/api/2023-01/openapi.json",
    operation_id = "getOpenApi",
    security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(super) async fn read(documents: web::Data<Documents>) -> Result<HttpResponse, Failure> {
    Ok(documents.buildr())
}

/// The document as the attributes beside the handlers describe it.
pub(in crate::dialects) fn document() -> Document {
    let mut document = Api::openapi();
    document::secure(&mut document, [("token", scheme())]);
    CUSTOMS.complete(&mut document);
    document
}

fn scheme() -> SecurityScheme {
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
        "Authorization",
        "An API key with the scope `webhooks:manage`, bare or after `Bearer `.",
    )))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Plumbline: Buildr",
        version = "2023-01",
        description = "Webhooks as Buildr's guide describes them. Deliveries carry `{\"id\", \"url\"}`, the type in `Buildr-Event`, and the headers `svix-id`, `svix-timestamp` and `svix-signature`. Unknown fields are refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        webhooks::create,
        webhooks::list,
        webhooks::read,
        webhooks::update,
        webhooks::replace,
        webhooks::delete,
        read
    ),
    components(schemas(ErrorsWire))
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
    (401, "No token, or none that is valid."),
    (403, "The token lacks the scope `webhooks:manage`."),
    (422, "Fields that cannot be accepted, each with the remedy."),
    (500, "A fault of ours."),
    (503, "Not possible now: try again after `Retry-After`."),
];

document::problems! {
    /// Of what acts on one webhook.
    OfRecord {
        404: "There is no such webhook.",
    }
    /// Of mutations.
    WithBody {
        400: "The body is not JSON in UTF-8.",
        408: "The body did not arrive in time.",
        409: "The state of things does not allow it, or the `Idempotency-Key` belongs to another request.",
        413: "The body has more than 16 MiB.",
        415: "The body is not `application/json`.",
    }
}
