//! What a developer gives in an argument, a file or standard input.

use std::io::Read as _;

use serde_json::value::RawValue;

use crate::outcome::Failure;

/// The most that is read, in bytes: larger than the largest event.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A JSON object in an argument, `@file`, or `@-`, byte for byte. `name` is the argument's.
pub(super) fn json(name: &str, text: &str) -> Result<Box<RawValue>, Failure> {
    let wrong = |problem: String| Failure::Argument(format!("{name}: {problem}"));
    let text = match text.strip_prefix('@') {
        None => text.to_owned(),
        Some("-") => {
            let bytes = standard_input()?;
            String::from_utf8(bytes).map_err(|_| wrong("standard input is not UTF-8".to_owned()))?
        }
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| wrong(format!("the file {path} cannot be read: {error}")))?,
    };
    let json: Box<RawValue> = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("it is not JSON: {error}; write an object, or @file")))?;
    match json.get().starts_with('{') {
        true => Ok(json),
        false => Err(wrong(
            "it must be a JSON object, such as '{\"id\":22}'".to_owned(),
        )),
    }
}

/// Everything that comes on standard input.
pub(super) fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    std::io::stdin()
        .take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::Argument(format!("standard input cannot be read: {error}")))?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(Failure::Argument(format!(
            "standard input has more than {BYTES_MAX} bytes"
        ))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_taken_as_it_is_and_only_an_object() {
        let text = r#"{ "n":1e400, "n":2 }"#;
        assert_eq!(json("--data", text).expect("an object").get(), text);
        for (text, problem) in [
            ("[]", "object"),
            ("{", "not JSON"),
            ("22", "object"),
            ("@/no/such/file", "/no/such/file"),
        ] {
            let error = json("--data", text).expect_err(text).to_string();
            assert!(
                error.starts_with("--data: ") && error.contains(problem),
                "{error}"
            );
        }
    }
}
