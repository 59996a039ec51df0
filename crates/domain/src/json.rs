//! JSON kept as text: a customer's bytes pass through unread and unchanged.

use std::fmt;
use std::sync::Arc;

/// The deepest nesting of arrays and objects that a payload may have.
pub const NESTING_MAX: usize = 64;

/// A valid JSON text, byte for byte as it was received.
///
/// Numbers such as `1e400`, key order, duplicate keys and escapes survive because nothing parses it again.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// Wrap text that a JSON parser has accepted. Validity is the caller's promise; it is not checked again.
    pub fn from_valid(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.0.trim_start().starts_with('{')
    }

    /// The raw JSON of a top-level member of an object; of several with one name the last, as most readers take it.
    /// Names that are written with escapes are not found.
    pub fn member(&self, name: &str) -> Option<&str> {
        let text = self.0.trim();
        let bytes = text.as_bytes();
        if bytes.first() != Some(&b'{') {
            return None;
        }
        let mut found = None;
        let mut at = 1;
        loop {
            at = skip(bytes, at, |byte| byte.is_ascii_whitespace() || byte == b',');
            if bytes.get(at) != Some(&b'"') {
                return found;
            }
            let key_end = value_end(bytes, at);
            let key = &text[at + 1..key_end - 1];
            let start = skip(bytes, key_end, |byte| byte.is_ascii_whitespace() || byte == b':');
            at = value_end(bytes, start);
            if key == name {
                found = Some(text[start..at].trim_end());
            }
        }
    }

    /// How deeply arrays and objects are nested: 0 for a scalar, 1 for `{}`.
    pub fn nesting(&self) -> usize {
        let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
        for byte in self.0.bytes() {
            match (in_string, byte) {
                (true, _) if escaped => escaped = false,
                (true, b'\\') => escaped = true,
                (true, b'"') => in_string = false,
                (true, _) => {}
                (false, b'"') => in_string = true,
                (false, b'{' | b'[') => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                (false, b'}' | b']') => depth = depth.saturating_sub(1),
                (false, _) => {}
            }
        }
        deepest
    }
}

fn skip(bytes: &[u8], from: usize, over: impl Fn(u8) -> bool) -> usize {
    bytes[from..]
        .iter()
        .position(|byte| !over(*byte))
        .map_or(bytes.len(), |count| from + count)
}

/// Where the value that begins at `start` ends. The text is valid JSON.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (index, byte) in bytes.iter().enumerate().skip(start) {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => {
                in_string = false;
                if depth == 0 {
                    return index + 1;
                }
            }
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'{' | b'[') => depth += 1,
            (false, b',' | b'}' | b']') if depth == 0 => return index,
            (false, b'}' | b']') => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            (false, _) => {}
        }
    }
    bytes.len()
}

/// The text of a JSON string that a parser has accepted, quotes and escapes removed; half a surrogate pair becomes
/// U+FFFD.
pub fn unquoted(json: &str) -> String {
    let inner = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(json);
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    // Through UTF-16, in which an escape may be half a character.
    let mut units: Vec<u16> = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let unescaped = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&hex, 16).unwrap_or(0xFFFD));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(unescaped.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

/// A payload is a customer's: only its size is shown.
impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonText({} bytes)", self.0.len())
    }
}

/// Append `text` to `out` as a JSON string, quotes included.
pub fn push_string(out: &mut String, text: &str) {
    use fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_outside_strings_only() {
        for (text, depth) in [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[{"b":1}]}"#, 3),
            (r#"{"a":"[[[{\"}]"}"#, 1),
            (r#"["\\",["\""]]"#, 2),
        ] {
            assert_eq!(JsonText::from_valid(text).nesting(), depth, "{text}");
        }
    }

    #[test]
    fn a_top_level_member_is_found_as_it_was_written() {
        for (text, member) in [
            (r#"{"id":22}"#, Some("22")),
            (r#" { "a" : {"id":1} , "id" : 1e400 , "b":2}"#, Some("1e400")),
            (r#"{"id":1,"id":[1,{"id":"}"}]}"#, Some(r#"[1,{"id":"}"}]"#)),
            (r#"{"s":"\",\"id\":5,","id":"a\"b"}"#, Some(r#""a\"b""#)),
            (r#"{"a":["id",3]}"#, None),
            ("{}", None),
            ("[\"id\", 1]", None),
            ("5", None),
        ] {
            assert_eq!(JsonText::from_valid(text).member("id"), member, "{text}");
        }
    }

    #[test]
    fn a_string_is_unquoted() {
        for (json, text) in [
            (r#""plain é""#, "plain é"),
            (r#""a\"\\\/\n\u00e9\ud83d\ude00""#, "a\"\\/\né😀"),
            (r#""\ud83d""#, "\u{FFFD}"),
        ] {
            assert_eq!(unquoted(json), text);
        }
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        push_string(&mut out, "a\"\\\n\u{1}é");
        assert_eq!(out, r#""a\"\\\u000a\u0001é""#);
    }
}
