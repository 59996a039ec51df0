//! Failures in Buildmarkets' words: `{"error": "INVALID_URL", "message": "…"}`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use plumbline_engine::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Failure, respond};

/// What is wrong, and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error, example = json!({"error": "INVALID_URL", "message": "url: the URL must begin with https://"}))]
pub(super) struct ErrorWire {
    /// A stable word for programs.
    error: &'static str,
    /// What is wrong and the remedy; several faults are separated by semicolons.
    message: String,
}

/// A failure as Buildmarkets says it.
pub(crate) fn render(failure: &Failure) -> HttpResponse {
    let (status, error) = match failure {
        // What cannot be accepted is a 400 here (S4-23, S4-24).
        Failure::Invalid(faults) => (StatusCode::BAD_REQUEST, code_of(faults)),
        failure => (failure.status(), code(failure)),
    };
    let message = match failure {
        Failure::Invalid(faults) => {
            let sentences = faults
                .iter()
                .map(|fault| format!("{}: {}", field(&fault.field), fault.message));
            sentences.collect::<Vec<_>>().join("; ")
        }
        Failure::NotFound(_) => "no webhook has this id".to_owned(),
        failure => failure.to_string(),
    };
    let body = serde_json::to_string(&ErrorWire { error, message }).expect("text is JSON");
    let mut response = respond(status, body);
    failure.add_headers(&mut response);
    response
}

/// The first fault that has a word of its own gives the code.
fn code_of(faults: &[FieldError]) -> &'static str {
    faults
        .iter()
        .find_map(|fault| match field(&fault.field).as_str() {
            "url" => Some("INVALID_URL"),
            name if name.starts_with("events[") => Some("INVALID_EVENT"),
            _ => None,
        })
        .unwrap_or("INVALID_REQUEST")
}

/// A field as the customer wrote it.
fn field(path: &str) -> String {
    match path.strip_prefix("eventTypes") {
        Some(element) => format!("events{element}"),
        None => path.to_owned(),
    }
}

fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::NoCredentials | Failure::BadCredentials | Failure::NoSession | Failure::WrongPassword => {
            "UNAUTHORIZED"
        }
        Failure::Denied(_) | Failure::CrossSite => "FORBIDDEN",
        Failure::RateLimited { .. } => "RATE_LIMITED",
        Failure::NoRoute => "NOT_FOUND",
        Failure::NotFound(_) => "WEBHOOK_NOT_FOUND",
        Failure::MethodNotAllowed(_) => "METHOD_NOT_ALLOWED",
        Failure::UnsupportedMediaType(_) => "UNSUPPORTED_MEDIA_TYPE",
        Failure::Malformed(_) | Failure::Invalid(_) => "INVALID_REQUEST",
        Failure::TooSlow(_) => "REQUEST_TIMEOUT",
        Failure::BodyTooLarge { .. } | Failure::PayloadTooLarge { .. } => "PAYLOAD_TOO_LARGE",
        Failure::Conflict(_) => "CONFLICT",
        Failure::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
        Failure::Unavailable(_) => "SERVICE_UNAVAILABLE",
        Failure::Internal(_) | Failure::Unexpected(_) => "INTERNAL_ERROR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_23_s4_24_the_fault_says_which_code() {
        for (fields, code) in [
            (&["url"][..], "INVALID_URL"),
            (&["eventTypes[1]"], "INVALID_EVENT"),
            (&["events[0]"], "INVALID_EVENT"),
            (&["events"], "INVALID_REQUEST"),
            (&["status", "eventTypes[0]", "url"], "INVALID_EVENT"),
            (&["name"], "INVALID_REQUEST"),
        ] {
            let faults: Vec<_> = fields
                .iter()
                .map(|field| FieldError::new(*field, "invalid", "no"))
                .collect();
            assert_eq!(code_of(&faults), code, "{fields:?}");
        }
    }
}
