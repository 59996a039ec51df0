//! Doors for the fuzzer (`crates/fuzz`): the readers of what strangers send, each without a request around it.
//!
//! Nothing that ships calls them, and they decide nothing of their own.

use plumbline_domain::construction::{Money, Quantity};
use plumbline_domain::{Date, EventId, TenantId, Timestamp};
use plumbline_engine::events::NewEvent;
use serde_json::value::RawValue;

use crate::dialects::native;
use crate::http::{Cursors, Failure, Fields, ListKind, Parameters, parse_time};

/// The key is nobody's: what is sealed here opens nowhere else.
const CURSOR_KEY: [u8; 32] = [7; 32];
const TENANT: TenantId = TenantId(17);

/// The members of a body that are called so, as they were sent; `None` for one that is null.
///
/// # Errors
/// When the body is not an object of exactly these members, with the codes of what is wrong.
pub fn members(body: &[u8], names: &[&str]) -> Result<Vec<Option<String>>, String> {
    let mut fields = Fields::of_body(body).map_err(codes)?;
    let values = names
        .iter()
        .map(|name| {
            fields
                .required::<&RawValue>(name)
                .map(|value| value.get().to_owned())
        })
        .collect();
    fields.finish(Some(values)).map_err(codes)
}

/// Read the member `v` of a body as everything that a field can be.
pub fn values(body: &[u8]) {
    let Ok(mut fields) = Fields::of_body(body) else {
        return;
    };
    let _ = fields.optional::<String>("v");
    let _ = fields.optional::<i64>("v");
    let _ = fields.optional::<bool>("v");
    let _ = fields.optional::<Timestamp>("v");
    let _ = fields.optional::<Date>("v");
    let _ = fields.optional::<Money>("v");
    let _ = fields.optional::<Quantity>("v");
    let _ = fields.optional::<Vec<String>>("v");
    let _ = fields.optional::<Vec<(String, String)>>("v");
    let _ = fields.into_faults();
}

/// The events that a body asks to publish.
///
/// # Errors
/// What is wrong with it.
pub fn publication(body: &[u8]) -> Result<Vec<NewEvent>, String> {
    native::publication(body).map_err(codes)
}

/// How many elements the page has that a query string asks for.
///
/// # Errors
/// What is wrong with it.
pub fn page_limit(query: &str) -> Result<usize, String> {
    let page = Parameters::of_query(query).page::<EventId>(TENANT, ListKind::Events);
    page.map(|page| page.limit).map_err(codes)
}

/// The cursor that goes on after a position.
pub fn seal_cursor(position: &str) -> String {
    Cursors::new(CURSOR_KEY).seal(TENANT, ListKind::Events, position)
}

/// The position that [`seal_cursor`] put into a cursor; `None` for what it did not make.
pub fn open_cursor(cursor: &str) -> Option<String> {
    Cursors::new(CURSOR_KEY)
        .open(TENANT, ListKind::Events, cursor)
        .ok()
}

/// A time as bodies and query strings have it.
pub fn time(text: &str) -> Option<Timestamp> {
    parse_time(text)
}

fn codes(failure: Failure) -> String {
    match failure {
        Failure::Invalid(faults) => faults
            .iter()
            .map(|fault| format!("{}: {}", fault.field, fault.code))
            .collect::<Vec<_>>()
            .join(", "),
        failure => failure.to_string(),
    }
}
