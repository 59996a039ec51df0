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
    fn strings_are_escaped() {
        let mut out = String::new();
        push_string(&mut out, "a\"\\\n\u{1}é");
        assert_eq!(out, r#""a\"\\\u000a\u0001é""#);
    }
}
