//! What the dialects' OpenAPI documents have in common.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use bytes::Bytes;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, OpenApi as Document, Ref, RefOr, Required, Response, ResponseBuilder, Server,
};

use super::{buildmarkets, buildr};

const JSON: &str = "application/json";

/// The documents of the dialects beside the native one, rendered once.
#[derive(Clone)]
pub(crate) struct Documents {
    buildr: Bytes,
    buildmarkets: Bytes,
}

impl Documents {
    /// The documents of a service that customers reach at `public_url`.
    pub(crate) fn new(public_url: Option<&str>) -> Self {
        let render = |mut document: Document| {
            document.servers = Some(vec![Server::new(public_url.unwrap_or("/"))]);
            Bytes::from(serde_json::to_vec(&document).expect("an OpenAPI document is JSON"))
        };
        Self {
            buildr: render(buildr::openapi::document()),
            buildmarkets: render(buildmarkets::openapi::document()),
        }
    }

    /// Buildr's.
    pub(super) fn buildr(&self) -> HttpResponse {
        answer(&self.buildr)
    }

    /// Buildmarkets'.
    pub(super) fn buildmarkets(&self) -> HttpResponse {
        answer(&self.buildmarkets)
    }
}

fn answer(document: &Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type(JSON).body(document.clone())
}

/// Let every operation that does not say otherwise need this scheme.
pub(super) fn secure(document: &mut Document, name: &str, scheme: SecurityScheme) {
    document
        .components
        .get_or_insert_default()
        .add_security_scheme(name, scheme);
    document.security = Some(vec![SecurityRequirement::new(name, Vec::<String>::new())]);
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

impl<A: Problems, B: Problems> Problems for (A, B) {
    fn problems() -> Vec<(u16, &'static str)> {
        [A::problems(), B::problems()].concat()
    }
}

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

/// Failures of an operation, all of one schema.
pub(super) fn failures(schema: &str, failures: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let response = |description: &str| {
        ResponseBuilder::new()
            .description(description)
            .content(JSON, Content::new(Some(Ref::from_schema_name(schema))))
            .build()
    };
    failures
        .iter()
        .map(|(status, description)| (status.to_string(), response(description).into()))
        .collect()
}

/// What every operation has in common: a request id, and for mutations `Idempotency-Key`.
pub(super) fn complete(document: &mut Document) {
    for item in document.paths.paths.values_mut() {
        let mutations = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in mutations.into_iter().flatten() {
            make_idempotent(operation);
        }
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    add_header(
                        response,
                        "X-Request-Id",
                        "The request's id: name it when you ask for help.",
                    );
                }
            }
        }
    }
}

fn make_idempotent(operation: &mut Operation) {
    let parameter: Parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes a repetition safe: within a day, the same key with the same method, path and body gets the first \
             2xx answer again, without secrets, and nothing is done twice. With another request it is a 409. Keys are \
             the tenant's.",
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
            add_header(
                response,
                "Idempotency-Replayed",
                "`true` on the answer to a repetition.",
            );
        }
    }
}

/// A header whose value is text.
fn add_header(response: &mut Response, name: &str, description: &str) {
    let text = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .build();
    let header = HeaderBuilder::new()
        .schema(Some(text))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}
