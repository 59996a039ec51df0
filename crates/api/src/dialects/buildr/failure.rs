//! Failures in Buildr's words: `{"errors": {"<field>": ["…"]}}`, and `base` for what is no field's fault.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Failure, respond};

/// What is wrong, and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Errors, example = json!({"errors": {"filter_types": ["is required"]}}))]
pub(super) struct ErrorsWire {
    /// Sentences by field; `base` has those that are about the request as a whole.
    errors: BTreeMap<String, Vec<String>>,
}

/// A failure as Buildr says it.
pub(crate) fn render(failure: &Failure) -> HttpResponse {
    let mut errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    match failure {
        Failure::Invalid(faults) => {
            for fault in faults {
                let (field, element) = field(&fault.field);
                let message = match element {
                    Some(element) => format!("{element}: {}", fault.message),
                    None => fault.message.clone(),
                };
                errors.entry(field).or_default().push(message);
            }
        }
        Failure::NotFound(_) => {
            errors.insert("base".to_owned(), vec!["there is no such webhook".to_owned()]);
        }
        failure => {
            errors.insert("base".to_owned(), vec![failure.to_string()]);
        }
    }
    let body = serde_json::to_string(&ErrorsWire { errors }).expect("text is JSON");
    let mut response = respond(failure.status(), body);
    failure.add_headers(&mut response);
    response
}

/// A field as the customer wrote it, and which of its elements.
fn field(path: &str) -> (String, Option<String>) {
    let path = path.strip_prefix("webhook.").unwrap_or(path);
    let (name, element) = match path.split_once('[') {
        Some((name, element)) => (name, Some(format!("[{element}"))),
        None => (path, None),
    };
    let name = match name {
        "eventTypes" => "filter_types",
        "rateLimit" => "rate_limit",
        "body" => "base",
        name => name,
    };
    (name.to_owned(), element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_as_the_customer_wrote_it() {
        for (ours, theirs) in [
            ("webhook.url", ("url", None)),
            ("eventTypes[2]", ("filter_types", Some("[2]"))),
            ("webhook.filter_types[0]", ("filter_types", Some("[0]"))),
            ("rateLimit", ("rate_limit", None)),
            ("webhook", ("webhook", None)),
            ("body", ("base", None)),
        ] {
            let (name, element) = field(ours);
            assert_eq!((name.as_str(), element.as_deref()), theirs, "{ours}");
        }
    }
}
