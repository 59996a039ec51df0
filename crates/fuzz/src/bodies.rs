//! What comes with a request: JSON, query strings, cursors, schemas.

use std::collections::HashMap;

use plumbline_api::probe;
use plumbline_domain::JsonText;
use plumbline_domain::json::{NESTING_MAX, push_string, unquoted};
use plumbline_engine::schema::{Checker, SCHEMA_FAULTS_MAX};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{halves, text};

/// Members of one object that are looked at.
const MEMBERS_MAX: usize = 64;

/// A body, read member by member: an object is read as the JSON library reads it, and nothing else is taken for one.
pub fn body(data: &[u8]) {
    let known: Option<HashMap<String, &RawValue>> = str::from_utf8(data)
        .ok()
        .and_then(|text| serde_json::from_str(text).ok());
    let Some(known) = known else {
        // Half of a surrogate pair in a name is JSON that the other library's strings cannot hold either.
        let refused = probe::members(data, &[]);
        assert!(refused.is_err() || data.is_empty(), "{:?}", text(data));
        return;
    };
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    match probe::members(data, &names) {
        Ok(members) => {
            for (name, value) in names.iter().zip(members) {
                assert_eq!(value.as_deref(), Some(known[*name].get()), "{name}");
            }
        }
        // Only an object that has a name twice, or too many of them, is refused.
        Err(reason) => assert!(
            reason.contains("duplicate_field") || names.len() > MEMBERS_MAX || reason.contains("too_many"),
            "{reason}: {}",
            text(data)
        ),
    }
    probe::values(data);
}

/// A publication of one event or of many: what is accepted is JSON, byte for byte as it was sent.
pub fn publication(data: &[u8]) {
    let Ok(events) = probe::publication(data) else {
        return;
    };
    let sent = str::from_utf8(data).expect("only text is accepted");
    assert!(!events.is_empty() && events.len() <= 1_000, "{}", events.len());
    for event in events {
        for json in std::iter::once(&event.data).chain(&event.previous_attributes) {
            assert!(sent.contains(json.as_str()), "it is sent as it was received");
            assert!(serde_json::from_str::<&RawValue>(json.as_str()).is_ok());
        }
    }
}

/// JSON that is kept as text: what is found in it without parsing is what a parser finds.
pub fn json(data: &[u8]) {
    let text = text(data);
    let mut quoted = String::new();
    push_string(&mut quoted, text);
    assert_eq!(
        serde_json::from_str::<String>(&quoted).ok().as_deref(),
        Some(text)
    );
    assert_eq!(unquoted(&quoted), text);

    if serde_json::from_str::<&RawValue>(text).is_err() {
        return;
    }
    let json = JsonText::from_valid(text);
    let _ = json.member("id");
    if let Ok(string) = serde_json::from_str::<String>(text) {
        assert_eq!(unquoted(text.trim()), string);
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return; // Too deep for the library, or a number or a string that it cannot hold.
    };
    assert_eq!(json.nesting(), nesting(&value), "{text}");
    assert_eq!(json.is_object(), value.is_object());
    if let Value::Object(members) = &value
        && !text.contains('\\')
    {
        let raw: HashMap<&str, &RawValue> = serde_json::from_str(text).expect("it was just read");
        for name in members.keys() {
            assert_eq!(
                json.member(name),
                Some(raw[name.as_str()].get()),
                "{name} of {text}"
            );
        }
    }
}

fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

/// A query string: whatever it says, a page has 1 to 100 elements.
pub fn query(data: &[u8]) {
    if let Ok(limit) = probe::page_limit(text(data)) {
        assert!((1..=100).contains(&limit), "{limit}");
    }
}

/// A page's cursor: what we give out is opened again, and nothing else, not even ours with one character changed.
pub fn cursor(data: &[u8]) {
    let (position, forged) = halves(data);
    let (position, forged) = (text(position), text(forged));
    let sealed = probe::seal_cursor(position);
    if sealed.len() <= 400 {
        assert_eq!(probe::open_cursor(&sealed).as_deref(), Some(position));
    }
    // The fuzzer watches comparisons, and so learns signatures: what opens is what we would have given out.
    for cursor in [position, forged] {
        if let Some(position) = probe::open_cursor(cursor) {
            assert_eq!(probe::seal_cursor(&position), cursor);
        }
    }
    for at in 0..sealed.len().min(64) {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("ASCII");
        assert_eq!(probe::open_cursor(&changed), None, "{changed}");
    }
}

/// A JSON Schema and data for it: both are a customer's, and neither may cost much.
pub fn schema(data: &[u8]) {
    let (schema, instance) = halves(data);
    let (schema, instance) = (text(schema), text(instance));
    if [schema, instance]
        .iter()
        .any(|text| serde_json::from_str::<&RawValue>(text).is_err())
    {
        return;
    }
    let instance = JsonText::from_valid(instance);
    let checker = match Checker::compile(&JsonText::from_valid(schema)) {
        Ok(checker) => checker,
        Err(reason) => {
            assert!(!reason.is_empty() && reason.len() < 3_000, "{reason}");
            return;
        }
    };
    if instance.nesting() > NESTING_MAX {
        return; // Refused before it is checked.
    }
    let faults = checker.faults(&instance, "data", SCHEMA_FAULTS_MAX);
    assert!(faults.len() <= SCHEMA_FAULTS_MAX);
    assert!(
        faults.iter().all(|fault| fault.field.starts_with("data")),
        "{faults:?}"
    );
}
