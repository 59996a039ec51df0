//! Failures as RFC 9457 problems: `application/problem+json`.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use plumbline_domain::permission::Denied;
use plumbline_engine::FieldError;
use serde::Serialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::{Failure, RequestId};

/// What went wrong, and what to do about it (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:plumbline:problem:validation_failed",
    "title": "Validation failed",
    "status": 422,
    "detail": "1 of the request's fields cannot be accepted",
    "code": "validation_failed",
    "request_id": "req_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b",
    "errors": [{"field": "eventTypes[1]", "code": "unknown_event_type",
                "message": "`bid.sent` is not an event type to subscribe to here: use one of bid.accepted, bid.created, …"}]
}))]
pub(super) struct Problem {
    /// Names the kind of problem; as stable as `code`.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    kind: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The response's status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request, and the remedy.
    detail: String,
    /// The kind of problem for programs.
    code: Code,
    /// The response's `X-Request-Id`.
    #[schema(example = "req_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    request_id: String,
    /// Each field that cannot be accepted; only with `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// A field, parameter or header that cannot be accepted.
#[derive(Debug, Serialize, ToSchema)]
struct FieldProblem {
    /// Its name as the client wrote it, such as `eventTypes[1]` or `events[3].data`.
    field: String,
    /// A stable word for programs, such as `required`, `invalid`, `invalid_type`, `unknown_field`.
    code: &'static str,
    /// What is wrong and what to do instead.
    message: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = ($text:literal, $title:literal),)*) => {
        /// Every kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    BadRequest = ("bad_request", "Bad request"),
    /// No API key and no session, or none that is valid.
    Unauthorized = ("unauthorized", "Unauthorized"),
    /// The user's role does not allow it, or a key may not at all, or another site's page asked.
    Forbidden = ("forbidden", "Forbidden"),
    /// The API key lacks a scope.
    ScopeInsufficient = ("scope_insufficient", "Scope insufficient"),
    /// No such thing, or another tenant's.
    NotFound = ("not_found", "Not found"),
    /// The path does not take the method.
    MethodNotAllowed = ("method_not_allowed", "Method not allowed"),
    /// The body did not arrive in time.
    RequestTimeout = ("request_timeout", "Request timeout"),
    /// The state of things does not allow it.
    Conflict = ("conflict", "Conflict"),
    /// The idempotency key belongs to another request.
    IdempotencyKeyReused = ("idempotency_key_reused", "Idempotency key reused"),
    /// Too many requests, or attempts to sign in.
    RateLimited = ("rate_limited", "Rate limited"),
    /// The body, or an event's payload, is too large.
    PayloadTooLarge = ("payload_too_large", "Payload too large"),
    /// The body is not plain JSON.
    UnsupportedMediaType = ("unsupported_media_type", "Unsupported media type"),
    /// Fields cannot be accepted.
    ValidationFailed = ("validation_failed", "Validation failed"),
    /// A fault of ours.
    InternalError = ("internal_error", "Internal error"),
    /// Not possible now; try again.
    ServiceUnavailable = ("service_unavailable", "Service unavailable"),
}

/// Written by hand, because the derive does not see the names that a macro hands to serde.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .description(Some("Every kind of problem."))
            .build()
            .into()
    }
}

impl ToSchema for Code {}

/// A failure as a problem.
pub(crate) fn render(failure: &Failure, id: RequestId) -> HttpResponse {
    let code = code(failure);
    let problem = Problem {
        kind: format!("urn:plumbline:problem:{}", code.as_str()),
        title: code.title(),
        status: failure.status().as_u16(),
        detail: failure.to_string(),
        code,
        request_id: id.to_string(),
        errors: match failure {
            Failure::Invalid(faults) => faults.iter().map(FieldProblem::from).collect(),
            _ => vec![],
        },
    };
    let body = serde_json::to_string(&problem).expect("text and numbers are JSON");
    let mut response = HttpResponse::build(failure.status())
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")))
        .body(body);
    failure.add_headers(&mut response);
    response
}

fn code(failure: &Failure) -> Code {
    match failure {
        Failure::NoCredentials | Failure::BadCredentials | Failure::NoSession | Failure::WrongPassword => {
            Code::Unauthorized
        }
        Failure::CrossSite => Code::Forbidden,
        Failure::RateLimited { .. } => Code::RateLimited,
        Failure::Denied(Denied::Scope(_)) => Code::ScopeInsufficient,
        Failure::Denied(Denied::Role | Denied::Key) => Code::Forbidden,
        Failure::NoRoute | Failure::NotFound(_) => Code::NotFound,
        Failure::MethodNotAllowed(_) => Code::MethodNotAllowed,
        Failure::UnsupportedMediaType(_) => Code::UnsupportedMediaType,
        Failure::Malformed(_) => Code::BadRequest,
        Failure::TooSlow(_) => Code::RequestTimeout,
        Failure::BodyTooLarge { .. } | Failure::PayloadTooLarge { .. } => Code::PayloadTooLarge,
        Failure::Invalid(_) => Code::ValidationFailed,
        Failure::Conflict(_) => Code::Conflict,
        Failure::IdempotencyKeyReused => Code::IdempotencyKeyReused,
        Failure::Unavailable(_) => Code::ServiceUnavailable,
        Failure::Internal(_) | Failure::Unexpected(_) => Code::InternalError,
    }
}

impl From<&FieldError> for FieldProblem {
    fn from(fault: &FieldError) -> Self {
        Self {
            field: fault.field.clone(),
            code: fault.code,
            message: fault.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use plumbline_domain::Scope;
    use plumbline_engine::Error;

    async fn rendered(failure: Failure) -> (HttpResponse<()>, serde_json::Value) {
        let id = RequestId::fresh();
        let (response, body) = render(&failure, id).into_parts();
        let body = to_bytes(body).await.expect("a body");
        let mut problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["request_id"], id.to_string());
        problem["request_id"] = "req_…".into();
        (response, problem)
    }

    #[actix_web::test]
    async fn a_problem_has_every_member_of_the_contract() {
        let (response, problem) = rendered(Failure::Denied(Denied::Scope(Scope::WebhooksManage))).await;
        assert_eq!(response.status(), 403);
        assert_eq!(
            response.headers().get(CONTENT_TYPE).expect("one"),
            "application/problem+json"
        );
        insta::assert_json_snapshot!(problem, @r#"
        {
          "code": "scope_insufficient",
          "detail": "the API key lacks the scope `webhooks:manage`",
          "request_id": "req_…",
          "status": 403,
          "title": "Scope insufficient",
          "type": "urn:plumbline:problem:scope_insufficient"
        }
        "#);
    }

    #[actix_web::test]
    async fn invalid_fields_are_listed() {
        let faults = vec![
            FieldError::new("url", "required", "is required"),
            FieldError::new("eventTypes[1]", "unknown_event_type", "no such type"),
        ];
        let (response, problem) = rendered(Failure::Invalid(faults)).await;
        assert_eq!(response.status(), 422);
        insta::assert_json_snapshot!(problem, @r#"
        {
          "code": "validation_failed",
          "detail": "2 of the request's fields cannot be accepted",
          "errors": [
            {
              "code": "required",
              "field": "url",
              "message": "is required"
            },
            {
              "code": "unknown_event_type",
              "field": "eventTypes[1]",
              "message": "no such type"
            }
          ],
          "request_id": "req_…",
          "status": 422,
          "title": "Validation failed",
          "type": "urn:plumbline:problem:validation_failed"
        }
        "#);
    }

    #[actix_web::test]
    async fn some_problems_say_more_in_a_header() {
        let limited = |millis| Failure::RateLimited {
            what: "requests",
            retry_after: std::time::Duration::from_millis(millis),
        };
        for (failure, name, value) in [
            (Failure::NoCredentials, "www-authenticate", "Bearer"),
            (Failure::BadCredentials, "www-authenticate", "Bearer"),
            (
                Failure::MethodNotAllowed("GET, POST".to_owned()),
                "allow",
                "GET, POST",
            ),
            (limited(0), "retry-after", "1"),
            (limited(1_001), "retry-after", "2"),
        ] {
            let (response, _) = rendered(failure).await;
            assert_eq!(response.headers().get(name).expect(name), value);
        }
    }

    #[actix_web::test]
    async fn a_fault_of_ours_tells_a_stranger_nothing() {
        let (response, problem) =
            rendered(Failure::Internal(Error::Internal("the vault lost its key"))).await;
        assert_eq!(response.status(), 500);
        assert!(!problem.to_string().contains("vault"), "{problem}");
        let (_, problem) = rendered(Failure::Unexpected("password=hunter2".to_owned())).await;
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }

    #[test]
    fn codes_are_distinct_and_written_as_they_are_documented() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(serde_json::to_value(code).expect("JSON"), code.as_str());
            assert!(
                Code::ALL[..index]
                    .iter()
                    .all(|other| other.as_str() != code.as_str())
            );
        }
    }
}
