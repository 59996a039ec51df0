//! Reading a JSON object field by field, so that every fault is named at once and raw JSON stays as it was sent.
//!
//! A derived `Deserialize` stops at the first fault, takes the last of two equal keys and cannot pass a value
//! through unread. Here the object is split into its members in one pass, which also proves that the text is JSON
//! (without recursion, so that no depth of nesting is too much), and each member is then read by its name.

use std::borrow::Cow;
use std::fmt;

use plumbline_domain::{JsonText, Timestamp};
use plumbline_engine::FieldError;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::{Failure, rfc3339};

/// Members of one object that are looked at; no request has as many.
const MEMBERS_MAX: usize = 64;
/// Faults that are listed.
const FAULTS_MAX: usize = 3_000;
/// Characters of a client's own text that a message repeats.
const SHOWN_CHARS_MAX: usize = 100;

/// The members of one JSON object, and the faults found in them so far.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    /// What stands before a field's name in a fault: empty, or `events[3].`.
    prefix: String,
    members: Vec<Member<'a>>,
    faults: Vec<FieldError>,
}

#[derive(Debug)]
struct Member<'a> {
    name: Cow<'a, str>,
    value: &'a RawValue,
    is_read: bool,
}

impl<'a> Fields<'a> {
    /// The members of a body. An empty body is an empty object: it says nothing.
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Failure::Malformed(format!(
                "the body is not UTF-8: the byte at {} is wrong",
                error.valid_up_to()
            ))
        })?;
        if text.is_empty() {
            return Ok(Self {
                prefix: String::new(),
                members: vec![],
                faults: vec![],
            });
        }
        Self::of_text(text, String::new())
    }

    /// The members of a part of the body that is known to be JSON.
    pub(crate) fn of_part(part: &'a RawValue, path: &str) -> Result<Self, Failure> {
        Self::of_text(part.get(), format!("{path}."))
    }

    fn of_text(text: &'a str, prefix: String) -> Result<Self, Failure> {
        let Members { members, left_out } = serde_json::from_str(text).map_err(|error| {
            if error.classify() == Category::Data {
                let path = prefix.strip_suffix('.').unwrap_or("body");
                return Failure::invalid(path, "invalid_type", "must be a JSON object");
            }
            malformed(&error)
        })?;
        let mut fields = Self {
            prefix,
            members: Vec::with_capacity(members.len()),
            faults: vec![],
        };
        if left_out {
            fields.fault(
                "",
                "too_many",
                format!("has more than {MEMBERS_MAX} fields: send only the documented ones"),
            );
        }
        for (name, value) in members {
            if fields.members.iter().any(|member| member.name == name) {
                let name = shown(&name);
                fields.fault(&name, "duplicate_field", "is given twice: send it once");
            } else {
                fields.members.push(Member {
                    name,
                    value,
                    is_read: false,
                });
            }
        }
        Ok(fields)
    }

    /// A field that must be there. `None` means that a fault was noted, so that [`Fields::finish`] fails.
    pub(crate) fn required<T: FromJson<'a>>(&mut self, name: &str) -> Option<T> {
        match self.take(name) {
            Some(value) => self.read(name, value),
            None => {
                self.fault(name, "required", "is required");
                None
            }
        }
    }

    /// A field that may be left out; `null` is the same as leaving it out.
    pub(crate) fn optional<T: FromJson<'a>>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name).filter(|value| value.get() != "null")?;
        self.read(name, value)
    }

    /// A field that may be left out, but not be `null`: for a change of what is always there.
    pub(crate) fn changed<T: FromJson<'a>>(&mut self, name: &str) -> Option<T> {
        let value = self.take(name)?;
        self.read(name, value)
    }

    /// A field that may be left out, and that `null` clears.
    pub(crate) fn cleared_or<T: FromJson<'a>>(&mut self, name: &str) -> Option<Option<T>> {
        let value = self.take(name)?;
        if value.get() == "null" {
            return Some(None);
        }
        self.read(name, value).map(Some)
    }

    /// Set what is always there to what the field says, if it is given; it cannot be `null`.
    pub(crate) fn set<T: FromJson<'a>>(&mut self, name: &str, present: &mut T) {
        if let Some(value) = self.changed(name) {
            *present = value;
        }
    }

    /// Set or, by `null`, clear what may be missing, if the field is given.
    pub(crate) fn set_or_clear<T: FromJson<'a>>(&mut self, name: &str, present: &mut Option<T>) {
        if let Some(value) = self.cleared_or(name) {
            *present = value;
        }
    }

    /// Whether the field is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// What was read, if nothing was wrong with any field: not even with those that nobody asked for.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, Failure> {
        let faults = self.into_faults();
        match read {
            Some(read) if faults.is_empty() => Ok(read),
            _ => Err(Failure::Invalid(faults)),
        }
    }

    /// Everything that was wrong, the fields that nobody asked for included.
    pub(crate) fn into_faults(mut self) -> Vec<FieldError> {
        self.refuse_unknown();
        self.faults
    }

    /// The same for a part: its faults join the whole's.
    pub(crate) fn finish_part<T>(mut self, read: Option<T>, faults: &mut Vec<FieldError>) -> Option<T> {
        self.refuse_unknown();
        let read = read.filter(|_| self.faults.is_empty());
        faults.append(&mut self.faults);
        faults.truncate(FAULTS_MAX);
        read
    }

    fn refuse_unknown(&mut self) {
        let unknown: Vec<String> = self
            .members
            .iter()
            .filter(|member| !member.is_read)
            .map(|member| shown(&member.name))
            .collect();
        for name in unknown {
            self.fault(
                &name,
                "unknown_field",
                "is not a field of this request: leave it out",
            );
        }
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let member = self.members.iter_mut().find(|member| member.name == name)?;
        member.is_read = true;
        Some(member.value)
    }

    fn read<T: FromJson<'a>>(&mut self, name: &str, value: &'a RawValue) -> Option<T> {
        let path = format!("{}{name}", self.prefix);
        T::from_json(value, &path, &mut self.faults)
    }

    /// Note a fault of a field that was read.
    pub(crate) fn fault(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let path = format!("{}{name}", self.prefix);
        let path = if name.is_empty() {
            path.trim_end_matches('.').to_owned()
        } else {
            path
        };
        let path = if path.is_empty() { "body".to_owned() } else { path };
        self.faults.push(FieldError::new(path, code, message));
    }
}

/// Why a text is not JSON, and where. The library's own words hold nothing of the text.
fn malformed(error: &serde_json::Error) -> Failure {
    Failure::Malformed(format!("the body is not valid JSON: {error}"))
}

/// A client's own text, cut and made harmless for a message.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}

/// Read one word of several.
pub(crate) fn word<T>(
    value: &RawValue,
    path: &str,
    faults: &mut Vec<FieldError>,
    parse: impl FnOnce(&str) -> Option<T>,
    words: &[&str],
) -> Option<T> {
    let text = Cow::from_json(value, path, faults)?;
    let word = parse(&text);
    if word.is_none() {
        let message = format!("must be one of `{}`", words.join("`, `"));
        faults.push(FieldError::new(path, "invalid", message));
    }
    word
}

/// A member's value that has the wrong type.
pub(crate) fn invalid_type(path: &str, wanted: &str) -> FieldError {
    FieldError::new(path, "invalid_type", format!("must be {wanted}"))
}

/// A value that a field may hold. `None` comes with a fault that names `path`.
pub(crate) trait FromJson<'a>: Sized {
    /// Read the value.
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self>;
}

impl<'a> FromJson<'a> for Cow<'a, str> {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        if !value.get().starts_with('"') {
            faults.push(invalid_type(path, "a string"));
            return None;
        }
        match serde_json::from_str(value.get()) {
            Ok(Text(text)) if text.contains('\0') => {
                faults.push(FieldError::new(
                    path,
                    "invalid",
                    "must not contain the character U+0000: remove it",
                ));
                None
            }
            Ok(Text(text)) => Some(text),
            // The text is JSON, so all that can be wrong is half of a surrogate pair.
            Err(_) => {
                faults.push(FieldError::new(
                    path,
                    "invalid",
                    "is not Unicode text: remove the lone surrogate",
                ));
                None
            }
        }
    }
}

impl<'a> FromJson<'a> for String {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        Cow::from_json(value, path, faults).map(Cow::into_owned)
    }
}

impl<'a> FromJson<'a> for i64 {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        let number = serde_json::from_str(value.get()).ok();
        if number.is_none() {
            faults.push(invalid_type(path, "a whole number"));
        }
        number
    }
}

impl<'a> FromJson<'a> for bool {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        match value.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                faults.push(invalid_type(path, "true or false"));
                None
            }
        }
    }
}

impl<'a> FromJson<'a> for Timestamp {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        let text = Cow::from_json(value, path, faults)?;
        let at = rfc3339::parse(&text);
        if at.is_none() {
            faults.push(FieldError::new(path, "invalid", rfc3339::FORM));
        }
        at
    }
}

/// A part of the body, to be read as an object of its own.
impl<'a> FromJson<'a> for &'a RawValue {
    fn from_json(value: &'a RawValue, _: &str, _: &mut Vec<FieldError>) -> Option<Self> {
        Some(value)
    }
}

/// Any JSON, byte for byte. What it must be is the use case's question.
impl<'a> FromJson<'a> for JsonText {
    fn from_json(value: &'a RawValue, _: &str, _: &mut Vec<FieldError>) -> Option<Self> {
        Some(Self::from_valid(value.get()))
    }
}

impl<'a> FromJson<'a> for Vec<String> {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        let before = faults.len();
        let items = elements(value, path, LIST_MAX, "an array of strings", faults)?;
        let texts: Vec<String> = items
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| String::from_json(item, &format!("{path}[{index}]"), faults))
            .collect();
        (faults.len() == before).then_some(texts)
    }
}

/// Elements of a list of strings; the use cases allow fewer.
const LIST_MAX: usize = 1_000;

/// An object of strings, in the order in which it was sent, with what is given twice.
impl<'a> FromJson<'a> for Vec<(String, String)> {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        let Ok(Members { members, left_out }) = serde_json::from_str(value.get()) else {
            faults.push(invalid_type(path, "an object of strings"));
            return None;
        };
        if left_out {
            faults.push(FieldError::new(
                path,
                "too_many",
                format!("has more than {MEMBERS_MAX} members: send fewer"),
            ));
            return None;
        }
        let before = faults.len();
        let pairs: Vec<(String, String)> = members
            .into_iter()
            .filter_map(|(name, value)| {
                let path = format!("{path}.{}", shown(&name));
                Some((name.into_owned(), String::from_json(value, &path, faults)?))
            })
            .collect();
        (faults.len() == before).then_some(pairs)
    }
}

/// The elements of an array of at most `max`.
pub(crate) fn elements<'a>(
    value: &'a RawValue,
    path: &str,
    max: usize,
    wanted: &str,
    faults: &mut Vec<FieldError>,
) -> Option<Vec<&'a RawValue>> {
    let Ok(Elements(elements)) = serde_json::from_str(value.get()) else {
        faults.push(invalid_type(path, wanted));
        return None;
    };
    if elements.len() > max {
        faults.push(FieldError::new(
            path,
            "too_many",
            format!("must have at most {max} elements"),
        ));
        return None;
    }
    Some(elements)
}

/// The members of an object, in order; those beyond [`MEMBERS_MAX`] are only checked to be JSON.
struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    left_out: bool,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Members {
                    members: Vec::with_capacity(8),
                    left_out: false,
                };
                while found.members.len() < MEMBERS_MAX {
                    let Some(Text(name)) = map.next_key()? else {
                        return Ok(found);
                    };
                    found.members.push((name, map.next_value()?));
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    found.left_out = true;
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// How many elements of an array are kept; one more than any limit, so that too many are seen to be too many.
const ELEMENTS_KEPT: usize = 1_001;

struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = vec![];
                while elements.len() < ELEMENTS_KEPT {
                    let Some(element) = seq.next_element()? else {
                        return Ok(Elements(elements));
                    };
                    elements.push(element);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// A string, borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `read` makes of a body: the value, or `field: code` of each fault, or the message of a 400.
    fn check<T>(
        body: &str,
        read: impl for<'a> FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Result<T, Vec<String>> {
        let outcome = Fields::of_body(body.as_bytes()).and_then(|mut fields| {
            let value = read(&mut fields);
            fields.finish(value)
        });
        outcome.map_err(|failure| match failure {
            Failure::Invalid(faults) => faults
                .iter()
                .map(|fault| format!("{}: {}", fault.field, fault.code))
                .collect(),
            failure => vec![failure.to_string()],
        })
    }

    fn faults<T: std::fmt::Debug>(
        body: &str,
        read: impl for<'a> FnOnce(&mut Fields<'a>) -> Option<T>,
    ) -> Vec<String> {
        check(body, read).expect_err("it should be refused")
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let body = r#"{"a":1,"b":["x",2,null],"c":"yes","d":1.5,"e":"noon","n":null,"x":1,"a":2}"#;
        let found = faults(body, |fields| {
            fields.required::<String>("a");
            fields.required::<Vec<String>>("b");
            fields.optional::<bool>("c");
            fields.cleared_or::<i64>("d");
            fields.required::<Timestamp>("e");
            fields.changed::<String>("n");
            fields.required::<String>("missing")
        });
        assert_eq!(
            found,
            [
                "a: duplicate_field",
                "a: invalid_type",
                "b[1]: invalid_type",
                "b[2]: invalid_type",
                "c: invalid_type",
                "d: invalid_type",
                "e: invalid",
                "n: invalid_type",
                "missing: required",
                "x: unknown_field",
            ]
        );
    }

    #[test]
    fn what_is_left_out_and_what_is_null_differ_only_where_null_clears() {
        for (body, expected) in [("{}", (None, None)), (r#"{"a":null}"#, (None, Some(None)))] {
            assert_eq!(
                check(body, |fields| Some(fields.optional::<String>("a"))),
                Ok(expected.0),
                "{body}"
            );
            assert_eq!(
                check(body, |fields| Some(fields.cleared_or::<String>("a"))),
                Ok(expected.1),
                "{body}"
            );
        }
        assert_eq!(
            check("", |fields| Some(fields.has("a"))),
            Ok(false),
            "an empty body says nothing"
        );
    }

    #[test]
    fn what_is_not_json_is_malformed_and_says_where() {
        for (body, at) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{\"a\":1,}", "trailing comma at line 1 column 8"),
            ("{\"a\":\n 01}", "invalid number at line 2 column 3"),
            ("{} {}", "trailing characters at line 1 column 4"),
            ("{'a':1}", "key must be a string at line 1 column 2"),
            (
                "{\"a\":\"\u{1}\"}",
                "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 6",
            ),
            ("\u{feff}{}", "expected value at line 1 column 1"),
        ] {
            assert_eq!(
                faults(body, |_| Some(())),
                [format!("the body is not valid JSON: {at}")]
            );
        }
        let failure = Fields::of_body(b"{\"a\":\"\xff\"}").expect_err("not UTF-8");
        assert_eq!(
            failure.to_string(),
            "the body is not UTF-8: the byte at 6 is wrong"
        );
    }

    #[test]
    fn json_that_is_no_object_is_the_wrong_type() {
        for body in ["[]", "1", "null", "\"{}\"", "true"] {
            assert_eq!(faults(body, |_| Some(())), ["body: invalid_type"]);
        }
        let deep = "[".repeat(10_000);
        assert_eq!(faults(&deep, |_| Some(())), ["body: invalid_type"]);
    }

    #[test]
    fn raw_json_stays_as_it_was_sent() {
        let data = r#"{ "n":1e400, "b":1,"a":2,"a":3, "u":"\u00e9\ud800","s":"\/"}"#;
        let body = format!(r#"{{"\u0064ata": {data} }}"#);
        let read = check(&body, |fields| fields.required::<JsonText>("data")).expect("readable");
        assert_eq!(read.as_str(), data);
    }

    #[test]
    fn no_depth_is_too_much_for_the_reader() {
        let depth = 100_000;
        let body = format!(r#"{{"data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let read = check(&body, |fields| fields.required::<JsonText>("data")).expect("readable");
        assert_eq!(read.nesting(), depth);
    }

    #[test]
    fn text_that_cannot_be_stored_is_refused() {
        for text in [r#""\u0000""#, r#""\ud800""#, r#""a\udc00b""#] {
            let body = format!(r#"{{"a":{text}}}"#);
            assert_eq!(
                faults(&body, |fields| fields.required::<String>("a")),
                ["a: invalid"]
            );
        }
    }

    #[test]
    fn an_object_of_strings_keeps_its_order_and_its_repetitions() {
        let read = check(r#"{"h":{"X-B":"1","X-A":"2","X-B":"3"}}"#, |fields| {
            fields.required::<Vec<(String, String)>>("h")
        });
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read,
            Ok(vec![pair("X-B", "1"), pair("X-A", "2"), pair("X-B", "3")])
        );
        assert_eq!(
            faults(r#"{"h":{"X-B":1}}"#, |fields| fields
                .required::<Vec<(String, String)>>("h")),
            ["h.X-B: invalid_type"]
        );
        assert_eq!(
            faults(r#"{"h":[]}"#, |fields| fields
                .required::<Vec<(String, String)>>("h")),
            ["h: invalid_type"]
        );
    }

    #[test]
    fn a_flood_of_fields_costs_little_and_is_refused() {
        let body = format!(
            "{{{}\"z\":1}}",
            (0..100_000).map(|n| format!("\"a{n}\":1,")).collect::<String>()
        );
        let found = faults(&body, |_| Some(()));
        assert_eq!(found[0], "body: too_many");
        assert!(found.len() <= MEMBERS_MAX + 1, "{}", found.len());
        let long = format!("{{\"{}\":1}}", "x".repeat(1_000_000));
        assert!(faults(&long, |_| Some(()))[0].len() < 200);
    }

    proptest! {
        #[test]
        fn a_member_is_found_whatever_json_surrounds_it(before in "[ \n\t]{0,3}", name in "[a-z]{1,5}", text in "\\PC{0,20}", number in any::<i64>()) {
            let quoted = serde_json::to_string(&text).expect("a string");
            let body = format!("{before}{{ \"{name}\" : {quoted},\n\"{name}2\":{number}}}{before}");
            let read = check(&body, |fields| {
                let text = fields.required::<String>(&name);
                text.zip(fields.required::<i64>(&format!("{name}2")))
            });
            prop_assert_eq!(read, Ok((text, number)));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::of_body(&body).map(|mut fields| fields.required::<Vec<String>>("a"));
        }

        #[test]
        fn almost_json_never_panics(body in "[\\[\\]{}\",:a0\\\\u ]{0,60}") {
            let _ = Fields::of_body(body.as_bytes()).map(|mut fields| fields.required::<String>("a"));
        }
    }
}
