//! The data of the events that clients publish: each carries a mark that tells it from all others.

/// The longest filling.
const FILLING_MAX: usize = 400;

/// The data of the event with this mark; `weight` is a number that only those keep who do not parse it.
pub(crate) fn data(mark: &str) -> String {
    let length = mark
        .bytes()
        .fold(7_usize, |sum, byte| sum * 31 % 65_521 + usize::from(byte))
        % FILLING_MAX;
    format!(
        r#"{{"mark":"{mark}","weight":1e400,"filling": "{}"}}"#,
        "é".repeat(length)
    )
}

/// The mark in a body that contains such data.
pub(crate) fn mark_in(body: &[u8]) -> Option<String> {
    const BEFORE: &[u8] = br#""mark":""#;
    let at = body.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let length = body[at..].iter().position(|byte| *byte == b'"')?;
    String::from_utf8(body[at..at + length].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_again_and_data_depends_on_it_alone() {
        let body = format!(r#"{{"id":"evt_1","data":{}}}"#, data("k3-17"));
        assert_eq!(mark_in(body.as_bytes()), Some("k3-17".to_owned()));
        assert_eq!(data("k3-17"), data("k3-17"));
        assert_ne!(data("k3-17"), data("k3-18"));
        for (body, expected) in [
            ("{}", None),
            (r#"{"mark":"x"#, None),
            (r#"{"mark":""}"#, Some(String::new())),
        ] {
            assert_eq!(mark_in(body.as_bytes()), expected, "{body}");
        }
    }
}
