//! Points in time as RFC 3339 writes them, and nothing looser.

use plumbline_domain::Timestamp;

/// What a client should have written.
pub(super) const FORM: &str = "must be an RFC 3339 time such as 2026-04-25T17:42:01.812Z";

/// The first second that RFC 3339 can write, in seconds since 1970.
const YEAR_0_SECONDS: i64 = -62_167_219_200;

/// A time such as `2026-04-25T17:42:01.812Z` or `2026-04-25T19:42:01+02:00`.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    // The library also takes times without seconds, week dates and zones in brackets; other clients' parsers do not.
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let at = |index: usize, allowed: &[u8]| bytes.get(index).is_some_and(|byte| allowed.contains(byte));
    let date = digits(0..4) && at(4, b"-") && digits(5..7) && at(7, b"-") && digits(8..10) && at(10, b"Tt");
    let time = digits(11..13) && at(13, b":") && digits(14..16) && at(16, b":") && digits(17..19);
    if !date || !time || text.len() > 40 || !text.is_ascii() {
        return None;
    }
    let rest = &text[19..];
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            let count = fraction.len() - zone.len();
            if !(1..=9).contains(&count) {
                return None;
            }
            zone
        }
        None => rest,
    };
    let zone = zone.as_bytes();
    let offset = zone.len() == 6
        && matches!(zone[0], b'+' | b'-')
        && zone[3] == b':'
        && [1, 2, 4, 5].iter().all(|&index| zone[index].is_ascii_digit());
    if !offset && !matches!(zone, b"Z" | b"z") {
        return None;
    }
    // With an offset, the first day of year 0 may be the last one of a year that nobody can write.
    text.parse()
        .ok()
        .filter(|at: &Timestamp| at.as_second() >= YEAR_0_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_3339_is_a_time() {
        for (text, normal) in [
            ("2026-04-25T17:42:01Z", "2026-04-25T17:42:01Z"),
            ("2026-04-25t17:42:01.8125z", "2026-04-25T17:42:01.8125Z"),
            ("2026-04-25T19:42:01+02:00", "2026-04-25T17:42:01Z"),
            (
                "2026-04-25T17:42:01.123456789-00:00",
                "2026-04-25T17:42:01.123456789Z",
            ),
        ] {
            assert_eq!(
                parse(text).map(|at| at.to_string()),
                Some(normal.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "2026-04-25",
            "2026-04-25T17:42Z",
            "2026-04-25T17:42:01",
            "2026-04-25 17:42:01Z",
            "2026-04-25T17:42:01 02:00",
            "2026-04-25T17:42:01+02",
            "2026-04-25T17:42:01Z[UTC]",
            "2026-04-25T17:42:01.Z",
            "2026-13-25T17:42:01Z",
            "2026-02-30T17:42:01Z",
            "2026-04-25T24:42:01Z",
            "20260425T174201Z",
            "1777138921",
            "2026-04-25T17:42:0é",
            "0000-01-01T00:00:00+02:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
