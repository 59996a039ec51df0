//! The OpenAPI document of `/api/v1`.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use actix_web::{HttpResponse, web};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, RefOr, Response};
use utoipa::{IntoParams, IntoResponses, OpenApi};

use super::problem::Problem;
use super::{
    api_keys, deliveries, endpoints, event_types, events, listening, me, records, sessions, settings, stats,
    users,
};
use crate::dialects::Documents;
use crate::dialects::document::{self, Customs, FailureShape, Problems};
use crate::http::{Failure, SESSION_COOKIE};

/// Failures are problems.
const FAILURE: FailureShape = FailureShape {
    schema: "Problem",
    content_type: "application/problem+json",
};

pub(in crate::dialects) const CUSTOMS: Customs = Customs {
    failure: FAILURE,
    limited: "`rate_limited`: too many requests with this key, or by this user, in a minute; or, for a key that nobody has \
              used lately, too many failed attempts to authenticate from its address.",
    idempotency: "Makes a repetition safe: within a day, the same key with the same method, path and body gets the first \
                  2xx answer again, byte for byte but without secrets, and nothing is done twice. With another request \
                  it is a 409 `idempotency_key_reused`. Keys are the tenant's.",
    uncounted: &["publishEvents", "getOpenApi", "signIn"],
    never_repeated: &["signIn"],
};

/// This document.
///
/// Needs no key.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "Account",
    operation_id = "getOpenApi",
    security(()),
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
pub(super) async fn read(documents: web::Data<Documents>) -> Result<HttpResponse, Failure> {
    Ok(documents.native())
}

/// The document as the attributes beside the handlers describe it.
pub(in crate::dialects) fn document() -> Document {
    let mut document = Api::openapi();
    records::document::describe(&mut document);
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("plk_live_…")
        .description(Some(
            "An API key with the scopes that each operation names; `*` is all of them.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        SESSION_COOKIE,
        "A session of a signed-in user, from `POST /api/v1/session`. A change is accepted from the service's own pages \
         only: with `Sec-Fetch-Site: same-origin`, or without that header with an `Origin` of the service.",
    );
    let schemes = [
        ("apiKey", SecurityScheme::Http(key)),
        ("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie))),
    ];
    document::secure(&mut document, schemes);
    CUSTOMS.complete(&mut document);
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Plumbline",
        version = "1",
        description = "Register webhook endpoints, publish events, follow and repeat deliveries.\n\nEvery answer is \
            `{\"data\": …, \"meta\": {\"request_id\": …}}`; errors are RFC 9457 problems. Lists are read page by page: \
            pass `meta.pagination.cursor` as `cursor`. Times are RFC 3339 in UTC. Unknown fields and parameters are \
            refused, so that a misspelt one does not go unnoticed.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "Endpoints", description = "Where events are sent."),
        (name = "Deliveries", description = "What was sent, how it went, and sending it again."),
        (name = "Event types", description = "What there is to subscribe to and to publish."),
        (name = "Events", description = "Publish events and read them back."),
        (name = "Construction records", description = "Contacts, companies, opportunities, projects, bids, pay \
            applications, change orders: their changes are events."),
        (name = "Settings", description = "What holds for all of a tenant's webhooks."),
        (name = "Sessions", description = "Signing in to the console, and out."),
        (name = "Users", description = "The tenant's people: `company_admin` may do everything, `member` reads."),
        (name = "API keys", description = "Keys for programs, made and revoked by a `company_admin`."),
        (name = "Account", description = "Who asks, and this document.")
    ),
    paths(
        endpoints::create,
        endpoints::list,
        endpoints::read,
        endpoints::update,
        endpoints::delete,
        endpoints::rotate_secret,
        endpoints::activate_secret,
        endpoints::test,
        endpoints::enable,
        endpoints::recover,
        deliveries::list,
        deliveries::list_all,
        deliveries::watch,
        deliveries::read,
        deliveries::replay,
        stats::read,
        event_types::list,
        event_types::create,
        event_types::read,
        event_types::update,
        events::publish,
        events::list,
        listening::listen,
        events::read,
        settings::read,
        settings::update,
        sessions::sign_in,
        sessions::read,
        sessions::sign_out,
        sessions::change_password,
        users::create,
        users::list,
        users::read,
        users::update,
        users::delete,
        api_keys::create,
        api_keys::list,
        api_keys::read,
        api_keys::revoke,
        me::read,
        read
    ),
    components(schemas(Problem))
)]
struct Api;

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "parameters are read one by one; this documents them")]
pub(super) struct PageParameters {
    /// Elements of a page at most.
    #[param(minimum = 1, maximum = 100, default = 25, required = false, nullable = false)]
    limit: u32,
    /// Where to go on: `meta.pagination.cursor` of the page before, unchanged.
    #[param(required = false, nullable = false)]
    cursor: String,
}

/// The problems that an operation answers with, besides its success.
pub(super) struct Described<T>(PhantomData<T>);

impl<T: Problems> IntoResponses for Described<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        FAILURE.responses(&T::problems())
    }
}

document::problems! {
    /// Of every operation that needs a key.
    Common {
        401: "`unauthorized`: no API key and no session, or none that is valid.",
        422: "`validation_failed`: each fault is named in `errors`.",
        500: "`internal_error`: a fault of ours.",
        503: "`service_unavailable`: try again after `Retry-After`.",
    }
    /// Of every operation that needs a scope.
    Scoped {
        403: "`scope_insufficient`: the key lacks the scope; `forbidden`: the user's role does not allow it, or a \
              change with a session's cookie did not come from the service's own pages.",
    }
    /// Of what only people do, and an admin alone changes.
    ForAdmins {
        403: "`forbidden`: the user's role does not allow it; or it is an API key, which cannot do this at all; or the \
              change did not come from the service's own pages.",
    }
    /// Of what a signed-in user does about themselves.
    FromOwnPages {
        403: "`forbidden`: the change did not come from the service's own pages.",
    }
    /// Of signing in.
    SigningIn {
        401: "`unauthorized`: the e-mail address or the password is wrong.",
        403: "`forbidden`: another site's page asked.",
        422: "`validation_failed`: each fault is named in `errors`.",
        429: "`rate_limited`: too many failed attempts; try again after `Retry-After` seconds.",
        500: "`internal_error`: a fault of ours.",
        503: "`service_unavailable`: try again after `Retry-After`.",
    }
    /// Of lists.
    InList {
        400: "`bad_request`: the cursor is not one that this list gave out.",
    }
    /// Of what acts on one record.
    OfRecord {
        404: "`not_found`: there is no such record in this tenant.",
    }
    /// Of mutations.
    WithBody {
        400: "`bad_request`: the body is not JSON in UTF-8; the detail says where.",
        408: "`request_timeout`: the body did not arrive in time.",
        409: "`idempotency_key_reused`: the key belongs to another request.",
        413: "`payload_too_large`: the body has more than 16 MiB.",
        415: "`unsupported_media_type`: the body is not `application/json`.",
    }
    /// Of the one mutation that is never repeated for a key.
    WithBodyOnce {
        400: "`bad_request`: the body is not JSON in UTF-8; the detail says where.",
        408: "`request_timeout`: the body did not arrive in time.",
        413: "`payload_too_large`: the body has more than 16 MiB.",
        415: "`unsupported_media_type`: the body is not `application/json`.",
    }
    /// Of publishing, which is not counted.
    WithPayload {
        429: "`rate_limited`: a key that nobody has used lately, and too many failed attempts to authenticate from its \
              address; try again after `Retry-After` seconds.",
        413: "`payload_too_large`: an event's payload is larger than the operator allows.",
    }
    /// Of what the state of things may forbid.
    WithConflict {
        409: "`conflict`: the state of things does not allow it; the detail says why, and the remedy.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> serde_json::Value {
        serde_json::to_value(document()).expect("JSON")
    }

    #[test]
    fn the_document_is_openapi_3_1_with_a_bearer_key() {
        let document = json();
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1"))
        );
        assert_eq!(
            document["components"]["securitySchemes"]["apiKey"]["scheme"],
            "bearer"
        );
        let cookie = &document["components"]["securitySchemes"]["session"];
        assert_eq!(
            (&cookie["in"], &cookie["name"]),
            (&"cookie".into(), &"plumbline_session".into())
        );
        assert_eq!(document["security"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn what_is_always_answered_is_documented_as_required() {
        let document = json();
        for (schema, member) in [
            ("WebhookEndpoint", "rateLimit"),
            ("WebhookDelivery", "completedAt"),
            ("WebhookAttempt", "error"),
            ("Pagination", "cursor"),
        ] {
            let required = document["components"]["schemas"][schema]["required"]
                .as_array()
                .expect(schema);
            assert!(required.iter().any(|name| name == member), "{schema}.{member}");
        }
    }

    #[test]
    fn the_documents_words_are_the_domains() {
        use plumbline_domain::{DeliveryStatus, FailureCode};
        let document = json();
        let words = |schema: &str| -> Vec<String> {
            let words = document["components"]["schemas"][schema]["enum"]
                .as_array()
                .expect(schema);
            words
                .iter()
                .map(|word| word.as_str().expect("a word").to_owned())
                .collect()
        };
        assert_eq!(
            words("WebhookDeliveryStatus"),
            DeliveryStatus::ALL.map(DeliveryStatus::as_str)
        );
        assert_eq!(
            words("WebhookFailureCode"),
            FailureCode::ALL.map(FailureCode::as_str)
        );
    }
}
