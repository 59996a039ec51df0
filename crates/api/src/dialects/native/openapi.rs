//! The OpenAPI document of `/api/v1`.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    Content, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder, Server,
};
use utoipa::{IntoParams, IntoResponses, OpenApi};

use super::problem::Problem;
use super::{api_keys, deliveries, endpoints, event_types, events, me, records, sessions, settings, users};
use crate::http::{Failure, SESSION_COOKIE};

const SECURITY_SCHEME: &str = "apiKey";
const SESSION_SCHEME: &str = "session";
/// Operations whose requests no limit counts: publishing, and what needs neither a key nor a session.
const UNCOUNTED: [&str; 3] = ["publishEvents", "getOpenApi", "signIn"];
/// Mutations that take no `Idempotency-Key`.
const NEVER_REPEATED: [&str; 1] = ["signIn"];
const JSON: &str = "application/json";
const PROBLEM_JSON: &str = "application/problem+json";

/// The document, rendered once.
#[derive(Clone)]
pub(crate) struct Rendered(Bytes);

impl Rendered {
    /// The document of a service that customers reach at `public_url`.
    pub(crate) fn new(public_url: Option<&str>) -> Self {
        let mut document = document();
        document.servers = Some(vec![Server::new(public_url.unwrap_or("/"))]);
        let json = serde_json::to_vec(&document).expect("an OpenAPI document is JSON");
        Self(json.into())
    }
}

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
pub(super) async fn read(rendered: web::Data<Rendered>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().content_type(JSON).body(rendered.0.clone()))
}

/// The document as the attributes beside the handlers describe it.
pub(super) fn document() -> Document {
    let mut document = Api::openapi();
    records::document::describe(&mut document);
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("plk_live_…")
        .description(Some(
            "An API key with the scopes that each operation names; `*` is all of them.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SECURITY_SCHEME, SecurityScheme::Http(scheme));
    let cookie = ApiKeyValue::with_description(
        SESSION_COOKIE,
        "A session of a signed-in user, from `POST /api/v1/session`. A change is accepted from the service's own pages \
         only: with `Sec-Fetch-Site: same-origin`, or without that header with an `Origin` of the service.",
    );
    components.add_security_scheme(SESSION_SCHEME, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    // Either of them.
    let schemes = [SECURITY_SCHEME, SESSION_SCHEME];
    document.security = Some(
        schemes
            .map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()))
            .into(),
    );
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
        {
            complete(operation);
        }
        for operation in [&mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
        {
            if !is_one_of(operation, &NEVER_REPEATED) {
                make_idempotent(operation);
            }
        }
    }
    document
}

/// Whether an operation is one of these.
fn is_one_of(operation: &Operation, ids: &[&str]) -> bool {
    operation
        .operation_id
        .as_deref()
        .is_some_and(|id| ids.contains(&id))
}

/// What every operation whose requests are counted has in common.
fn limit(operation: &mut Operation) {
    let retry_after = HeaderBuilder::new()
        .schema(Some(number()))
        .description(Some("Seconds to wait."))
        .build();
    let refused = ResponseBuilder::new()
        .description("`rate_limited`: too many requests with this key, or by this user, in a minute.")
        .content(PROBLEM_JSON, Content::new(Some(Ref::from_schema_name("Problem"))))
        .header("Retry-After", retry_after)
        .build();
    operation
        .responses
        .responses
        .insert("429".to_owned(), refused.into());
    for (status, response) in &mut operation.responses.responses {
        // Whoever is not known is not counted.
        let (false, RefOr::T(response)) = (status == "401", response) else {
            continue;
        };
        for (name, schema, description) in [
            (
                "RateLimit-Limit",
                number(),
                "Requests that the key, or the user, has in a minute.",
            ),
            ("RateLimit-Remaining", number(), "What is left of them."),
            (
                "RateLimit-Reset",
                number(),
                "Seconds until all of them are there again.",
            ),
            (
                "RateLimit-Policy",
                text(),
                "The limit and its window in seconds, such as `6000;w=60`.",
            ),
        ] {
            let header = HeaderBuilder::new()
                .schema(Some(schema))
                .description(Some(description))
                .build();
            response.headers.insert(name.to_owned(), header.into());
        }
    }
}

/// What every operation has in common.
fn complete(operation: &mut Operation) {
    if !is_one_of(operation, &UNCOUNTED) {
        limit(operation);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let header = HeaderBuilder::new()
                .schema(Some(text()))
                .description(Some("The request's id: name it when you ask for help."))
                .build();
            response.headers.insert("X-Request-Id".to_owned(), header.into());
        }
    }
}

/// What every mutation has in common.
fn make_idempotent(operation: &mut Operation) {
    let parameter: Parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes a repetition safe: within a day, the same key with the same method, path and body gets the first \
             2xx answer again, byte for byte but without secrets, and nothing is done twice. With another request it \
             is a 409 `idempotency_key_reused`. Keys are the tenant's.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some("^[!-~]+$"))
                .build(),
        ))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(parameter.into());
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with('2'), response) {
            let header = HeaderBuilder::new()
                .schema(Some(text()))
                .description(Some(
                    "`true` on the answer to a repetition, whose `meta.request_id` is the first request's.",
                ))
                .build();
            response
                .headers
                .insert("Idempotency-Replayed".to_owned(), header.into());
        }
    }
}

fn number() -> utoipa::openapi::Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .build()
}

fn text() -> utoipa::openapi::Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .build()
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
        deliveries::read,
        deliveries::replay,
        event_types::list,
        event_types::create,
        event_types::read,
        event_types::update,
        events::publish,
        events::list,
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
        let mut descriptions: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
        for (status, description) in T::problems() {
            descriptions.entry(status).or_default().push(description);
        }
        descriptions
            .into_iter()
            .map(|(status, descriptions)| {
                let content = Content::new(Some(Ref::from_schema_name("Problem")));
                let response = ResponseBuilder::new()
                    .description(descriptions.join(" Or: "))
                    .content(PROBLEM_JSON, content)
                    .build();
                (status.to_string(), response.into())
            })
            .collect()
    }
}

/// Statuses and what they mean.
pub(super) trait Problems {
    /// The problems, by status.
    fn problems() -> Vec<(u16, &'static str)>;
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $text:literal,)* })*) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl Problems for $name {
                fn problems() -> Vec<(u16, &'static str)> {
                    vec![$(($status, $text),)*]
                }
            }
        )*
    };
}

problems! {
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
    /// Of publishing.
    WithPayload {
        413: "`payload_too_large`: an event's payload is larger than the operator allows.",
    }
    /// Of what the state of things may forbid.
    WithConflict {
        409: "`conflict`: the state of things does not allow it; the detail says why, and the remedy.",
    }
}

macro_rules! problems_of_several {
    ($($name:ident),*) => {
        impl<$($name: Problems),*> Problems for ($($name,)*) {
            fn problems() -> Vec<(u16, &'static str)> {
                [$($name::problems()),*].concat()
            }
        }
    };
}

problems_of_several!(A, B);
problems_of_several!(A, B, C);
problems_of_several!(A, B, C, D);
problems_of_several!(A, B, C, D, E);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::dialects::native::routes::ROUTES;

    fn json() -> serde_json::Value {
        serde_json::to_value(document()).expect("JSON")
    }

    /// Every operation of the document: method, path and the operation.
    fn operations(document: &serde_json::Value) -> Vec<(String, String, &serde_json::Value)> {
        let paths = document["paths"].as_object().expect("paths");
        paths
            .iter()
            .flat_map(|(path, item)| {
                let item = item.as_object().expect("a path item");
                item.iter()
                    .map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
            })
            .collect()
    }

    #[test]
    fn every_route_is_documented_and_every_documented_route_exists() {
        let document = json();
        let documented: BTreeSet<_> = operations(&document)
            .into_iter()
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect();
        let registered: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| format!("{} {}", route.method, route.path))
            .collect();
        assert_eq!(documented, registered);
        assert_eq!(registered.len(), ROUTES.len(), "a route is registered twice");
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
        let server = |rendered: Rendered| {
            let document: serde_json::Value = serde_json::from_slice(&rendered.0).expect("JSON");
            document["servers"][0]["url"].clone()
        };
        assert_eq!(
            server(Rendered::new(Some("https://hooks.example.com"))),
            "https://hooks.example.com"
        );
        assert_eq!(server(Rendered::new(None)), "/");
    }

    #[test]
    fn every_operation_is_completely_described() {
        let document = json();
        let mut ids = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let what = format!("{method} {path}");
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{what}: its id is not its own"
            );
            assert!(operation["summary"].is_string(), "{what}: no summary");
            assert!(
                operation["description"]
                    .as_str()
                    .is_some_and(|text| text.contains("Needs ")),
                "{what}: no scope"
            );
            let responses = operation["responses"].as_object().expect("responses");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{what}: no success"
            );
            for (status, response) in responses {
                assert!(
                    response["headers"]["X-Request-Id"].is_object(),
                    "{what}: {status} has no request id"
                );
                let has_body = response["content"].is_object();
                assert_eq!(has_body, status != "204", "{what}: {status}");
            }
            if !path.ends_with("openapi.json") {
                for status in ["401", "422", "500", "503"] {
                    assert!(responses.contains_key(status), "{what}: no {status}");
                }
            }
            assert_eq!(path.contains('{'), responses.contains_key("404"), "{what}: 404");
            let id = operation["operationId"].as_str().expect("an id");
            let is_counted = !UNCOUNTED.contains(&id);
            for (status, response) in responses {
                let has_limit = response["headers"]["RateLimit-Limit"].is_object();
                assert_eq!(
                    has_limit,
                    is_counted && status != "401",
                    "{what}: {status}: rate limit"
                );
            }
            assert_eq!(
                responses.contains_key("429"),
                is_counted || id == "signIn",
                "{what}: 429"
            );
            let is_repeatable = method != "GET" && !NEVER_REPEATED.contains(&id);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
            assert_eq!(is_repeatable, has("Idempotency-Key"), "{what}: Idempotency-Key");
            assert_eq!(responses.contains_key("409"), is_repeatable, "{what}: 409");
            assert_eq!(has("cursor"), has("limit"), "{what}: pages");
        }
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
    fn every_reference_of_the_document_leads_somewhere() {
        let document = json();
        let mut pending = vec![&document];
        while let Some(value) = pending.pop() {
            match value {
                serde_json::Value::Object(members) => {
                    if let Some(reference) = members.get("$ref").and_then(serde_json::Value::as_str) {
                        let pointer = reference.strip_prefix('#').expect("a local reference");
                        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                    }
                    pending.extend(members.values());
                }
                serde_json::Value::Array(items) => pending.extend(items),
                _ => {}
            }
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
