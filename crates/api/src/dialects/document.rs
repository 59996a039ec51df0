//! What the dialects' OpenAPI documents have in common.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use actix_web::HttpResponse;
use bytes::Bytes;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder, Server,
};

use super::{buildmarkets, buildr, native};

const JSON: &str = "application/json";

/// The dialects' documents, each rendered when somebody first asks for it: a process that nobody asks does not carry the
/// memory that it takes to put one together, which is many times its text.
pub(crate) struct Documents {
    server: String,
    native: OnceLock<Bytes>,
    buildr: OnceLock<Bytes>,
    buildmarkets: OnceLock<Bytes>,
}

impl Documents {
    /// The documents of a service that customers reach at `public_url`.
    pub(crate) fn new(public_url: Option<&str>) -> Self {
        Self {
            server: public_url.unwrap_or("/").to_owned(),
            native: OnceLock::new(),
            buildr: OnceLock::new(),
            buildmarkets: OnceLock::new(),
        }
    }

    /// The native one.
    pub(super) fn native(&self) -> HttpResponse {
        self.answer(&self.native, native::openapi::document)
    }

    /// Buildr's.
    pub(super) fn buildr(&self) -> HttpResponse {
        self.answer(&self.buildr, buildr::openapi::document)
    }

    /// Buildmarkets'.
    pub(super) fn buildmarkets(&self) -> HttpResponse {
        self.answer(&self.buildmarkets, buildmarkets::openapi::document)
    }

    fn answer(&self, kept: &OnceLock<Bytes>, document: fn() -> Document) -> HttpResponse {
        let rendered = kept.get_or_init(|| {
            let mut document = document();
            document.servers = Some(vec![Server::new(self.server.as_str())]);
            Bytes::from(serde_json::to_vec(&document).expect("an OpenAPI document is JSON"))
        });
        HttpResponse::Ok().content_type(JSON).body(rendered.clone())
    }
}

/// Let every operation that does not say otherwise need one of these schemes.
pub(super) fn secure<const N: usize>(document: &mut Document, schemes: [(&str, SecurityScheme); N]) {
    let components = document.components.get_or_insert_default();
    let mut requirements = vec![];
    for (name, scheme) in schemes {
        components.add_security_scheme(name, scheme);
        requirements.push(SecurityRequirement::new(name, Vec::<String>::new()));
    }
    document.security = Some(requirements);
}

/// Statuses and what they mean.
pub(super) trait Problems {
    /// The problems, by status.
    fn problems() -> Vec<(u16, &'static str)>;
}

impl Problems for () {
    fn problems() -> Vec<(u16, &'static str)> {
        vec![]
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

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $text:literal,)* })*) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl $crate::dialects::document::Problems for $name {
                fn problems() -> Vec<(u16, &'static str)> {
                    vec![$(($status, $text),)*]
                }
            }
        )*
    };
}
pub(super) use problems;

/// What a dialect's failures look like.
#[derive(Clone, Copy)]
pub(super) struct FailureShape {
    /// The schema's name.
    pub(super) schema: &'static str,
    /// The content type.
    pub(super) content_type: &'static str,
}

impl FailureShape {
    fn response(self, description: &str) -> Response {
        ResponseBuilder::new()
            .description(description)
            .content(
                self.content_type,
                Content::new(Some(Ref::from_schema_name(self.schema))),
            )
            .build()
    }

    /// The failures of an operation; several of one status are described together.
    pub(super) fn responses(self, failures: &[(u16, &'static str)]) -> BTreeMap<String, RefOr<Response>> {
        let mut descriptions: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
        for (status, description) in failures {
            descriptions.entry(*status).or_default().push(description);
        }
        descriptions
            .into_iter()
            .map(|(status, descriptions)| {
                let response = self.response(&descriptions.join(" Or: "));
                (status.to_string(), response.into())
            })
            .collect()
    }
}

/// What a dialect's operations have in common, and which of them do not.
pub(super) struct Customs {
    /// What failures look like.
    pub(super) failure: FailureShape,
    /// What a 429 means.
    pub(super) limited: &'static str,
    /// What the key of a repetition means.
    pub(super) idempotency: &'static str,
    /// Operations whose requests no limit counts: publishing, and what needs neither a key nor a session.
    pub(super) uncounted: &'static [&'static str],
    /// Mutations that take no `Idempotency-Key`.
    pub(super) never_repeated: &'static [&'static str],
}

impl Customs {
    /// Describe in every operation what it has in common with the others.
    pub(super) fn complete(&self, document: &mut Document) {
        let is_one_of = |operation: &Operation, ids: &[&str]| {
            let id = operation.operation_id.as_deref();
            id.is_some_and(|id| ids.contains(&id))
        };
        for item in document.paths.paths.values_mut() {
            let mutations = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in mutations.into_iter().flatten() {
                if !is_one_of(operation, self.never_repeated) {
                    self.make_idempotent(operation);
                }
            }
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.put,
                &mut item.patch,
                &mut item.delete,
            ];
            for operation in operations.into_iter().flatten() {
                if !is_one_of(operation, self.uncounted) {
                    self.limit(operation);
                }
                for response in operation.responses.responses.values_mut() {
                    if let RefOr::T(response) = response {
                        let description = "The request's id: name it when you ask for help.";
                        add_header(response, "X-Request-Id", Type::String, description);
                    }
                }
            }
        }
    }

    /// Every response of a request that is counted says how its sender stands.
    fn limit(&self, operation: &mut Operation) {
        let mut refused = self.failure.response(self.limited);
        add_header(&mut refused, "Retry-After", Type::Integer, "Seconds to wait.");
        operation
            .responses
            .responses
            .insert("429".to_owned(), refused.into());
        for (status, response) in &mut operation.responses.responses {
            // Whoever is not known is not counted.
            let (false, RefOr::T(response)) = (status == "401", response) else {
                continue;
            };
            for (name, kind, description) in [
                (
                    "RateLimit-Limit",
                    Type::Integer,
                    "Requests that the key, or the user, has in a minute.",
                ),
                ("RateLimit-Remaining", Type::Integer, "What is left of them."),
                (
                    "RateLimit-Reset",
                    Type::Integer,
                    "Seconds until all of them are there again.",
                ),
                (
                    "RateLimit-Policy",
                    Type::String,
                    "The limit and its window in seconds, such as `6000;w=60`.",
                ),
            ] {
                add_header(response, name, kind, description);
            }
        }
    }

    fn make_idempotent(&self, operation: &mut Operation) {
        let parameter: Parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(self.idempotency))
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
                let description = "`true` on the answer to a repetition, whose body is the first one's.";
                add_header(response, "Idempotency-Replayed", Type::String, description);
            }
        }
    }
}

fn add_header(response: &mut Response, name: &str, kind: Type, description: &str) {
    let schema = ObjectBuilder::new().schema_type(SchemaType::Type(kind)).build();
    let header = HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use serde_json::Value;

    use crate::dialects::table::Route;

    struct Tested {
        document: Value,
        routes: &'static [Route],
        customs: Customs,
        /// What every operation may answer but the document's own.
        always: [&'static str; 4],
    }

    fn dialects() -> [Tested; 3] {
        let tested = |document: Document, routes, customs, always| Tested {
            document: serde_json::to_value(document).expect("JSON"),
            routes,
            customs,
            always,
        };
        [
            tested(
                native::openapi::document(),
                native::routes::ROUTES,
                native::openapi::CUSTOMS,
                ["401", "422", "500", "503"],
            ),
            tested(
                buildr::openapi::document(),
                buildr::ROUTES,
                buildr::openapi::CUSTOMS,
                ["401", "422", "500", "503"],
            ),
            tested(
                buildmarkets::openapi::document(),
                buildmarkets::ROUTES,
                buildmarkets::openapi::CUSTOMS,
                ["400", "401", "500", "503"],
            ),
        ]
    }

    /// Every operation of the document: method, path and the operation.
    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
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
        for Tested { document, routes, .. } in dialects() {
            let documented: BTreeSet<_> = operations(&document)
                .into_iter()
                .map(|(method, path, _)| format!("{method} {path}"))
                .collect();
            let registered: BTreeSet<_> = routes
                .iter()
                .map(|route| format!("{} {}", route.method, route.path))
                .collect();
            assert_eq!(documented, registered);
            assert_eq!(registered.len(), routes.len(), "a route is registered twice");
        }
    }

    #[actix_web::test]
    async fn a_document_names_the_address_that_customers_know() {
        for (public_url, server) in [
            (Some("https://hooks.example.com"), "https://hooks.example.com"),
            (None, "/"),
        ] {
            let documents = Documents::new(public_url);
            for answer in [documents.native(), documents.buildr(), documents.buildmarkets()] {
                let text = actix_web::body::to_bytes(answer.into_body())
                    .await
                    .expect("a body");
                let document: Value = serde_json::from_slice(&text).expect("JSON");
                assert_eq!(document["servers"][0]["url"], server);
            }
        }
    }

    #[test]
    fn every_operation_is_completely_described() {
        for dialect in dialects() {
            let mut ids = BTreeSet::new();
            for (method, path, operation) in operations(&dialect.document) {
                let what = format!("{method} {path}");
                let id = operation["operationId"].as_str().expect("an id");
                assert!(ids.insert(id.to_owned()), "{what}: its id is not its own");
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
                let is_counted = !dialect.customs.uncounted.contains(&id);
                for (status, response) in responses {
                    let has = |header: &str| response["headers"][header].is_object();
                    assert!(has("X-Request-Id"), "{what}: {status} has no request id");
                    let has_body = response["content"].is_object();
                    assert_eq!(has_body, status != "204", "{what}: {status}");
                    assert_eq!(
                        has("RateLimit-Limit"),
                        is_counted && status != "401",
                        "{what}: {status}: rate limit"
                    );
                }
                assert_eq!(
                    responses.contains_key("429"),
                    is_counted || ["signIn", "publishEvents"].contains(&id),
                    "{what}: 429"
                );
                if id != "getOpenApi" {
                    for status in dialect.always {
                        assert!(responses.contains_key(status), "{what}: no {status}");
                    }
                }
                assert_eq!(path.contains('{'), responses.contains_key("404"), "{what}: 404");
                let is_repeatable = method != "GET" && !dialect.customs.never_repeated.contains(&id);
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
                assert_eq!(is_repeatable, has("Idempotency-Key"), "{what}: Idempotency-Key");
                assert_eq!(responses.contains_key("409"), is_repeatable, "{what}: 409");
                assert!(!has("cursor") || has("limit"), "{what}: pages");
            }
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        for dialect in dialects() {
            let mut pending = vec![&dialect.document];
            while let Some(value) = pending.pop() {
                match value {
                    serde_json::Value::Object(members) => {
                        if let Some(reference) = members.get("$ref").and_then(serde_json::Value::as_str) {
                            let pointer = reference.strip_prefix('#').expect("a local reference");
                            assert!(
                                dialect.document.pointer(pointer).is_some(),
                                "{reference} leads nowhere"
                            );
                        }
                        pending.extend(members.values());
                    }
                    serde_json::Value::Array(items) => pending.extend(items),
                    _ => {}
                }
            }
        }
    }
}
