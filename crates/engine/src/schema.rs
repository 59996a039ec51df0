//! JSON Schemas of event types: which ones may be defined, and whether an event's data satisfies one.
//!
//! A schema is a program that a customer writes and that we run, so its cost is bounded before it runs: references
//! stay within the schema and never in a circle, what they stand for is counted in full, and regular expressions are
//! matched in linear time. Nothing is ever fetched. `format` is an annotation, which nothing checks.

use std::collections::BTreeSet;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{PatternOptions, ValidationError, Validator};
use plumbline_domain::JsonText;
use plumbline_domain::json::NESTING_MAX;
use serde_json::{Map, Value};

use crate::FieldError;

/// The largest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// What a schema may weigh: one for each subschema and each value of an `enum`, every reference counted as what it
/// stands for, and [`PATTERN_WEIGHT`] for each regular expression.
pub const SCHEMA_WEIGHT_MAX: usize = 2_000;
/// How deep a schema may lead, by what it contains and what that refers to: a validator follows it on the stack of a
/// thread, and whoever comes to the end of that takes the process with him.
pub const SCHEMA_DEPTH_MAX: usize = 100;
/// What a regular expression weighs: each byte of a text may cost a step for each of its states.
pub const PATTERN_WEIGHT: usize = 50;
/// The compiled size of one regular expression, in bytes.
const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// Where a schema of this size in bytes and data of this size multiply to more, a violation is told and not located:
/// the validator collects every error before it names the first, each with a copy of what it is about.
const LOCATED_SIZE_MAX: usize = 200_000_000;
/// The same for schemas with alternatives, each of which has errors of its own.
const LOCATED_ALTERNATIVES_SIZE_MAX: usize = 10_000_000;
/// What a subschema counts for in that, in bytes, where references make more of them than their text is long.
const SUBSCHEMA_BYTES: usize = 30;
/// Faults named in one request.
pub const SCHEMA_FAULTS_MAX: usize = 20;
/// Characters of a message of the validator: it may quote a whole `enum`.
const MESSAGE_CHARS_MAX: usize = 300;
/// Characters of one name within a path.
const NAME_CHARS_MAX: usize = 100;

/// A compiled schema.
#[derive(Debug)]
pub struct Checker {
    validator: Validator,
    /// What one byte of data may cost, in steps of a few nanoseconds.
    weight: usize,
    /// The largest data, in bytes, in which faults are located.
    located_bytes_max: usize,
    /// About how much memory it takes, in bytes.
    memory_bytes: usize,
}

impl Checker {
    /// Compile a schema. It may take milliseconds.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do instead.
    pub fn compile(schema: &JsonText) -> Result<Self, String> {
        let bytes = schema.as_str().len();
        if bytes > SCHEMA_BYTES_MAX {
            return Err(format!("has {bytes} bytes: use at most {SCHEMA_BYTES_MAX}"));
        }
        if schema.nesting() > NESTING_MAX {
            return Err(format!(
                "is nested more than {NESTING_MAX} levels deep: flatten it"
            ));
        }
        let schema = read(schema).ok_or_else(|| "cannot be read: use plain numbers and text".to_owned())?;
        let mut survey = Survey {
            root: &schema,
            weight: 0,
            depth: 0,
            patterns: 0,
            has_alternatives: false,
            within: BTreeSet::new(),
        };
        survey.schema(&schema)?;
        let Survey {
            weight,
            patterns,
            has_alternatives,
            ..
        } = survey;
        let located_size_max = if has_alternatives {
            LOCATED_ALTERNATIVES_SIZE_MAX
        } else {
            LOCATED_SIZE_MAX
        };
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(PATTERN_BYTES_MAX)
                    .dfa_size_limit(PATTERN_BYTES_MAX),
            )
            .build(&schema)
            .map_err(|error| not_a_schema(&error))?;
        Ok(Self {
            validator,
            weight,
            located_bytes_max: located_size_max / bytes.max(SUBSCHEMA_BYTES * weight),
            memory_bytes: 20 * bytes + 4 * PATTERN_BYTES_MAX * patterns,
        })
    }

    /// How many steps the data may cost at most, about.
    pub(crate) fn cost(&self, data: &JsonText) -> usize {
        self.weight.saturating_mul(data.as_str().len())
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Why data that is called `path` does not satisfy the schema: at most `faults_max` reasons, none when it does.
    /// The data is valid JSON of a bounded nesting.
    pub fn faults(&self, data: &JsonText, path: &str, faults_max: usize) -> Vec<FieldError> {
        let Some(value) = read(data) else {
            return vec![FieldError::new(path, "invalid", "cannot be read as JSON")];
        };
        if self.validator.is_valid(&value) {
            return vec![];
        }
        if data.as_str().len() > self.located_bytes_max {
            let message =
                "does not satisfy the event type's schema; it and the schema are too large to say where";
            return vec![FieldError::new(path, "schema_violation", message)];
        }
        let errors = self.validator.iter_errors(&value).take(faults_max);
        errors
            .flat_map(|error| faults_of(path, &error))
            .take(faults_max)
            .collect()
    }
}

/// The faults that a violation stands for: one, or one for each member that should not be there.
fn faults_of(path: &str, error: &ValidationError<'_>) -> Vec<FieldError> {
    let mut field = path.to_owned();
    for segment in error.instance_path() {
        match segment {
            LocationSegment::Property(name) => push_name(&mut field, &name),
            LocationSegment::Index(index) => field.push_str(&format!("[{index}]")),
        }
    }
    let message = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let unexpected = unexpected.iter().map(|name| {
                let mut field = field.clone();
                push_name(&mut field, name);
                let message = "is not allowed by the event type's schema: leave it out";
                FieldError::new(field, "schema_violation", message)
            });
            return unexpected.collect();
        }
        ValidationErrorKind::Required { property } => {
            push_name(&mut field, property.as_str().unwrap_or_default());
            "is required by the event type's schema".to_owned()
        }
        _ => format!(
            "does not satisfy the event type's schema: {} (`{}`)",
            cut(&error.masked().to_string()),
            cut(error.schema_path().as_str())
        ),
    };
    vec![FieldError::new(field, "schema_violation", message)]
}

/// A member's name as JavaScript would reach it.
fn push_name(path: &mut String, name: &str) {
    let is_plain = !name.is_empty()
        && name.len() <= NAME_CHARS_MAX
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    if is_plain {
        path.push('.');
        path.push_str(name);
    } else {
        let shown: String = name
            .chars()
            .take(NAME_CHARS_MAX)
            .flat_map(char::escape_debug)
            .collect();
        path.push_str(&format!("[\"{shown}\"]"));
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn not_a_schema(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    let place = if place.is_empty() { "/" } else { place };
    format!(
        "is not a JSON Schema that can be used: {} (at `{}`)",
        cut(&error.to_string()),
        cut(place)
    )
}

/// Keywords whose value is a schema, or a list of schemas.
const SCHEMAS: [&str; 16] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords that hold data against several schemas, or repeat a schema in an error.
const ALTERNATIVES: [&str; 7] = [
    "anyOf",
    "if",
    "not",
    "oneOf",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value has a schema under each of its names.
const MAPS: [&str; 6] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Walks a schema as a validator would at worst, and counts.
struct Survey<'a> {
    root: &'a Value,
    weight: usize,
    /// Schemas on the way from the root to here.
    depth: usize,
    patterns: usize,
    has_alternatives: bool,
    /// The references on the way from the root to here: one that is met again would never end.
    within: BTreeSet<&'a str>,
}

impl<'a> Survey<'a> {
    fn schema(&mut self, schema: &'a Value) -> Result<(), String> {
        self.weigh(1)?;
        self.depth += 1;
        if self.depth > SCHEMA_DEPTH_MAX {
            return Err(format!(
                "leads more than {SCHEMA_DEPTH_MAX} levels deep, each `$ref` counted as what it stands for: flatten it"
            ));
        }
        if let Value::Object(members) = schema {
            self.keywords(schema, members)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn keywords(&mut self, schema: &'a Value, members: &'a Map<String, Value>) -> Result<(), String> {
        if !std::ptr::eq(schema, self.root) && ["$id", "id"].iter().any(|id| is_text(members, id)) {
            return Err("has an `$id` below its root: remove it, and refer to `#/$defs/…`".to_owned());
        }
        for (keyword, value) in members {
            self.has_alternatives |= ALTERNATIVES.contains(&keyword.as_str());
            match (keyword.as_str(), value) {
                ("$ref", Value::String(reference)) => self.reference(reference)?,
                ("$dynamicRef" | "$recursiveRef", _) => {
                    return Err(format!("uses `{keyword}`: use `$ref` with `#/$defs/…`"));
                }
                ("enum", Value::Array(values)) => self.weigh(values.len())?,
                ("uniqueItems", Value::Bool(true)) => self.weigh(PATTERN_WEIGHT)?,
                ("pattern", _) => self.pattern()?,
                (keyword, Value::Array(schemas)) if SCHEMAS.contains(&keyword) => {
                    schemas.iter().try_for_each(|schema| self.schema(schema))?;
                }
                (keyword, value) if SCHEMAS.contains(&keyword) => self.schema(value)?,
                (keyword, Value::Object(named)) if MAPS.contains(&keyword) => {
                    for schema in named.values() {
                        if keyword == "patternProperties" {
                            self.pattern()?;
                        }
                        self.schema(schema)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reference(&mut self, reference: &'a str) -> Result<(), String> {
        let shown = cut(reference);
        // Without a base below the root, a pointer is all that there is to know of a local reference.
        let pointer = reference.strip_prefix('#').filter(|rest| rest.starts_with('/'));
        let Some(pointer) = pointer.filter(|_| !reference.contains('%')) else {
            return Err(format!(
                "refers to `{shown}`: nothing is fetched, and a schema may not contain itself; refer to `#/$defs/…`"
            ));
        };
        let Some(target) = self.root.pointer(pointer) else {
            return Err(format!("refers to `{shown}`, which it does not have: define it"));
        };
        if !self.within.insert(reference) {
            return Err(format!(
                "refers to `{shown}` from within it: write the levels out, because a schema must have an end"
            ));
        }
        self.schema(target)?;
        self.within.remove(reference);
        Ok(())
    }

    fn pattern(&mut self) -> Result<(), String> {
        self.patterns += 1;
        self.weigh(PATTERN_WEIGHT)
    }

    fn weigh(&mut self, weight: usize) -> Result<(), String> {
        self.weight += weight;
        if self.weight > SCHEMA_WEIGHT_MAX {
            return Err(format!(
                "is too large: all its subschemas and `enum` values count, {PATTERN_WEIGHT} for each regular \
                 expression, and each `$ref` as what it stands for; use at most {SCHEMA_WEIGHT_MAX}"
            ));
        }
        Ok(())
    }
}

fn is_text(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(Value::is_string)
}

/// The value as a validator sees it: of equal keys the last, a number beyond an `f64` as the largest one, half of a
/// surrogate pair as U+FFFD. What is stored and sent is the text, which is not touched.
fn read(json: &JsonText) -> Option<Value> {
    let text = json.as_str();
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        // The text is JSON, so that it is one of those two.
        Err(_) => serde_json::from_str(&within_range(text)).ok(),
    }
}

fn within_range(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => string_length(rest),
            '-' | '0'..='9' => {
                let end = |c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
                rest.find(end).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match c {
            '"' => push_paired(&mut out, token),
            '-' | '0'..='9' if token.parse::<f64>().is_ok_and(f64::is_infinite) => {
                let largest = if c == '-' { f64::MIN } else { f64::MAX };
                out.push_str(&format!("{largest:e}"));
            }
            _ => out.push_str(token),
        }
        rest = after;
    }
    out
}

/// How long the string at the beginning is, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// Copy a string with its escapes, but for halves of surrogate pairs.
fn push_paired(out: &mut String, string: &str) {
    let unit = |at: usize| -> Option<u16> {
        let digits = string.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while let Some(c) = string[at..].chars().next() {
        let length = match (c, unit(at)) {
            ('\\', Some(0xD800..=0xDBFF)) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => 12,
            ('\\', Some(0xD800..=0xDFFF)) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            ('\\', Some(_)) => 6,
            ('\\', None) => 2,
            (c, _) => c.len_utf8(),
        };
        out.push_str(&string[at..at + length]);
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn compiled(schema: &str) -> Result<Checker, String> {
        Checker::compile(&JsonText::from_valid(schema))
    }

    /// `field: message` of each fault.
    fn faults(schema: &str, data: &str) -> Vec<String> {
        let checker = compiled(schema).expect("a schema");
        checker
            .faults(&JsonText::from_valid(data), "data", SCHEMA_FAULTS_MAX)
            .into_iter()
            .map(|fault| {
                assert_eq!(fault.code, "schema_violation");
                format!("{}: {}", fault.field, fault.message)
            })
            .collect()
    }

    const ORDER: &str = r##"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            "status": {"enum": ["draft", "sent"]},
            "odd name": {"type": "string", "pattern": "^[A-Z]+$"}
        },
        "$defs": {"item": {"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}}
    }"##;

    #[test]
    fn a_fault_is_named_by_its_path() {
        for (data, expected) in [
            (r#"{"items":[]}"#, vec![]),
            (
                r#"{"items":[{"price":1},{"price":"2"}]}"#,
                vec![
                    "data.items[1].price: does not satisfy the event type's schema: value is not of type \"number\" (`/$defs/item/properties/price/type`)",
                ],
            ),
            (
                r#"{"items":[{}]}"#,
                vec!["data.items[0].price: is required by the event type's schema"],
            ),
            ("{}", vec!["data.items: is required by the event type's schema"]),
            (
                r#"{"items":[],"status":"gone"}"#,
                vec![
                    "data.status: does not satisfy the event type's schema: value is not one of \"draft\" or \"sent\" (`/properties/status/enum`)",
                ],
            ),
            (
                r#"{"items":[],"odd name":"x"}"#,
                vec![
                    "data[\"odd name\"]: does not satisfy the event type's schema: value does not match \"^[A-Z]+$\" (`/properties/odd name/pattern`)",
                ],
            ),
        ] {
            assert_eq!(faults(ORDER, data), expected, "{data}");
        }
        let closed = r#"{"properties": {"a": {}}, "additionalProperties": false}"#;
        assert_eq!(
            faults(closed, r#"{"a":1,"foo":2,"b c":3}"#),
            [
                "data[\"b c\"]: is not allowed by the event type's schema: leave it out",
                "data.foo: is not allowed by the event type's schema: leave it out",
            ]
        );
        let many = format!(r#"{{"items":[{}]}}"#, ["{}"; 100].join(","));
        assert_eq!(faults(ORDER, &many).len(), SCHEMA_FAULTS_MAX);
    }

    #[test]
    fn a_message_holds_nothing_of_the_payload_and_is_not_long() {
        let data = format!(r#"{{"items":[{{"price":"{}"}}]}}"#, "hunter2".repeat(1_000));
        let faults = faults(ORDER, &data);
        assert_eq!(faults.len(), 1);
        assert!(
            !faults[0].contains("hunter2") && faults[0].len() < 500,
            "{faults:?}"
        );
    }

    #[test]
    fn s1_22_what_no_f64_and_no_unicode_holds_is_seen_as_its_nearest() {
        for (schema, data) in [
            (r#"{"properties":{"n":{"type":"number"}}}"#, r#"{"n":1e400}"#),
            (r#"{"properties":{"n":{"minimum":1e300}}}"#, r#"{"n":1e400}"#),
            (r#"{"properties":{"n":{"maximum":-1e300}}}"#, r#"{"n":-1E+400}"#),
            (
                r#"{"properties":{"n":{"type":"integer"}}}"#,
                r#"{"n":123456789012345678901234567890}"#,
            ),
            (r#"{"properties":{"n":{"const":0}}}"#, r#"{"n":1E-400}"#),
            (r#"{"properties":{"n":{"const":2}}}"#, r#"{"n":"x", "n":2}"#),
            (
                r#"{"properties":{"s":{"type":"string","maxLength":4}}}"#,
                r#"{"n":1e999,"s":"\ud800\"é\udc00"}"#,
            ),
            (
                r#"{"properties":{"s":{"const":"😀-\\"}}}"#,
                r#"{"n":1e999,"s":"\ud83d\ude00-\\"}"#,
            ),
        ] {
            assert_eq!(faults(schema, data), Vec::<String>::new(), "{schema} {data}");
        }
        assert_eq!(
            faults(r#"{"properties":{"n":{"type":"string"}}}"#, r#"{"n":1e400}"#).len(),
            1
        );
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_refused_in_words() {
        for (schema, reason) in [
            (r#"{"type":"strin"}"#, "is not a JSON Schema"),
            (r#"{"minimum":"1"}"#, "is not a JSON Schema"),
            (r#"{"properties":[]}"#, "is not a JSON Schema"),
            (r#"{"pattern":"("}"#, "is not a JSON Schema"),
            (r#"{"pattern":"(?=a)b"}"#, "is not a JSON Schema"),
            (r#"{"pattern":"(a)\\1"}"#, "is not a JSON Schema"),
            (r#"{"pattern":"((a{50}){50}){50}"}"#, "is not a JSON Schema"),
            (
                r#"{"$schema":"https://example.com/schema"}"#,
                "is not a JSON Schema",
            ),
            (r#"{"$ref":"https://example.com/schema"}"#, "nothing is fetched"),
            (
                r#"{"properties":{"a":{"$ref":"http://127.0.0.1/s"}}}"#,
                "nothing is fetched",
            ),
            (
                r#"{"properties":{"a":{"$ref":"file:///etc/passwd"}}}"#,
                "nothing is fetched",
            ),
            (r#"{"items":{"$ref":"other.json#/a"}}"#, "nothing is fetched"),
            (r##"{"properties":{"a":{"$ref":"#"}}}"##, "may not contain itself"),
            (r##"{"$ref":"#/$defs/none"}"##, "which it does not have"),
            (
                r##"{"$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#/$defs/a"}}}}"##,
                "must have an end",
            ),
            (
                r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
                "must have an end",
            ),
            (r##"{"$dynamicRef":"#a"}"##, "uses `$dynamicRef`"),
            (
                r#"{"properties":{"a":{"$id":"https://example.com/"}}}"#,
                "below its root",
            ),
        ] {
            let refused = compiled(schema).expect_err(schema);
            assert!(refused.contains(reason), "{schema}: {refused}");
        }
        let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(SCHEMA_BYTES_MAX));
        assert!(compiled(&large).expect_err("large").contains("use at most 65536"));
    }

    #[test]
    fn a_schema_that_doubles_with_each_reference_is_refused_at_once() {
        let levels: Vec<String> = (0..40)
            .map(|level| {
                format!(
                    r##""a{level}":{{"anyOf":[{{"$ref":"#/$defs/a{0}"}},{{"$ref":"#/$defs/a{0}"}}]}}"##,
                    level + 1
                )
            })
            .collect();
        let schema = format!(
            r##"{{"$ref":"#/$defs/a0","$defs":{{{},"a40":{{}}}}}}"##,
            levels.join(",")
        );
        let started = Instant::now();
        assert!(compiled(&schema).expect_err("doubling").contains("is too large"));
        assert!(started.elapsed() < Duration::from_secs(2));
        let patterns: Vec<String> = (0..50).map(|n| format!(r#""p{n}":{{"pattern":"a"}}"#)).collect();
        let schema = format!(r#"{{"properties":{{{}}}}}"#, patterns.join(","));
        assert!(compiled(&schema).expect_err("patterns").contains("is too large"));
    }

    /// On a thread as small as those that compile them: whoever follows a reference does so on the stack, and there is no
    /// way back from its end.
    #[test]
    fn a_schema_that_leads_too_deep_is_refused_and_the_deepest_that_is_not_can_be_used() {
        let chain = |levels: usize, level: &dyn Fn(usize) -> String| {
            let levels: Vec<String> = (0..levels)
                .map(|at| format!(r#""{at}":{}"#, level(at + 1)))
                .collect();
            let last = levels.len();
            format!(
                r##"{{"$ref":"#/$defs/0","$defs":{{{},"{last}":{{"type":"string"}}}}}}"##,
                levels.join(",")
            )
        };
        let reference = |next: usize| format!(r##"{{"$ref":"#/$defs/{next}"}}"##);
        let nested =
            |next: usize| format!(r##"{{"allOf":[{{"anyOf":[{{"not":{{"$ref":"#/$defs/{next}"}}}}]}}]}}"##);
        let unevaluated = |next: usize| {
            format!(r##"{{"allOf":[{{"$ref":"#/$defs/{next}"}}],"unevaluatedProperties":false}}"##)
        };
        let on_a_small_stack = |schema: String| {
            let thread = std::thread::Builder::new()
                .stack_size(2 * 1024 * 1024)
                .spawn(move || {
                    let checker = compiled(&schema)?;
                    let data = format!("{}1{}", "[".repeat(NESTING_MAX), "]".repeat(NESTING_MAX));
                    checker.faults(&JsonText::from_valid(data), "data", SCHEMA_FAULTS_MAX);
                    checker.faults(&JsonText::from_valid(r#"{"a":1}"#), "data", SCHEMA_FAULTS_MAX);
                    Ok::<_, String>(())
                });
            thread.expect("a thread").join().expect("it does not panic")
        };
        for level in [&reference as &dyn Fn(usize) -> String, &nested, &unevaluated] {
            let mut accepted = 0;
            for levels in [10, 20, 30, 60, 120, 250, 500, 990, 1_980] {
                match on_a_small_stack(chain(levels, level)) {
                    Ok(()) => accepted = levels,
                    Err(reason) => assert!(reason.contains("deep") || reason.contains("at most"), "{reason}"),
                }
            }
            assert!((20..SCHEMA_WEIGHT_MAX).contains(&accepted), "{accepted}");
        }
    }

    #[test]
    fn a_violation_that_would_cost_too_much_to_locate_is_told_all_the_same() {
        let branches = vec![r#"{"type":"string"}"#; 100].join(",");
        let schema = format!(r#"{{"properties":{{"a":{{"items":{{"anyOf":[{branches}]}}}}}}}}"#);
        let data = format!(r#"{{"a":[{}]}}"#, vec!["1"; 100_000].join(","));
        let refused = faults(&schema, &data);
        assert_eq!(refused.len(), 1);
        assert!(
            refused[0].starts_with("data: ") && refused[0].ends_with("too large to say where"),
            "{refused:?}"
        );
        assert_eq!(faults(&schema, r#"{"a":["x",1]}"#).len(), 1);
        assert!(faults(&schema, r#"{"a":["x",1]}"#)[0].starts_with("data.a[1]: "));
        // Without alternatives, a payload of the largest size is no problem.
        let simple = r#"{"properties":{"a":{"items":{"type":"string"}}}}"#;
        assert!(faults(simple, &data)[0].starts_with("data.a[0]: "));
    }

    #[test]
    fn a_pattern_that_backtracks_elsewhere_takes_linear_time() {
        let schema = r#"{"properties":{"s":{"pattern":"^(a+)+$"}}}"#;
        let data = format!(r#"{{"s":"{}!"}}"#, "a".repeat(200_000));
        let started = Instant::now();
        assert_eq!(faults(schema, &data).len(), 1);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn older_drafts_and_names_that_look_like_keywords_are_understood() {
        let draft_4 = r#"{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"n":{"maximum":5,"exclusiveMaximum":true}}}"#;
        assert_eq!(faults(draft_4, r#"{"n":5}"#).len(), 1);
        let names = r##"{"properties":{"$ref":{"type":"string"},"pattern":{"type":"object"},"$id":{"type":"string"}},"definitions":{"x":{}},"enum":[{"$ref":"a","pattern":{},"$id":"b"}]}"##;
        assert_eq!(
            faults(names, r##"{"$ref":"a","pattern":{},"$id":"b"}"##),
            Vec::<String>::new()
        );
        let format = r#"{"properties":{"at":{"format":"date-time"}}}"#;
        assert_eq!(
            faults(format, r#"{"at":"never"}"#),
            Vec::<String>::new(),
            "an annotation"
        );
    }
}
