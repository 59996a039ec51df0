//! Times as people read and write them. All are UTC.

use std::time::Duration;

use plumbline_domain::Timestamp;
use plumbline_runtime::config;

/// `2026-04-25 17:42:01`, from what the API writes; what is no time stays as it is.
pub(crate) fn when(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => format!("{time:.0}")
            .replace('T', " ")
            .trim_end_matches('Z')
            .to_owned(),
        Err(_) => time.to_owned(),
    }
}

/// `17:42:01`.
pub(crate) fn clock(time: Timestamp) -> String {
    format!("{time:.0}")
        .trim_end_matches('Z')
        .split('T')
        .nth(1)
        .unwrap_or_default()
        .to_owned()
}

/// How long ago that was: `3 m ago`.
pub(crate) fn age(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => format!("{} ago", rough(now.as_second() - time.as_second())),
        Err(_) => time.to_owned(),
    }
}

/// How long until then: `in 28 s`, or `now`.
pub(crate) fn until(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) if time <= now => "now".to_owned(),
        Ok(time) => format!("in {}", rough(time.as_second() - now.as_second())),
        Err(_) => time.to_owned(),
    }
}

fn rough(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} m", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A time as a developer writes it: `1h` (ago), or as RFC 3339.
///
/// # Errors
/// The remedy, as a value parser for clap gives it.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // A day is 24 hours to everyone who writes it here.
    let ago = match text.trim().strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Duration::from_secs(u64::from(days) * 86_400),
        _ => config::duration(text).map_err(|_| {
            "write how long ago, such as 30m, 2h or 7d, or a time such as 2026-04-25T17:42:01Z".to_owned()
        })?,
    };
    Timestamp::now()
        .checked_sub(ago)
        .map_err(|_| "that is too long ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now: Timestamp = "2026-04-25T17:42:01.9Z".parse().expect("a time");
        assert_eq!(when("2026-04-25T17:42:01.812Z"), "2026-04-25 17:42:01");
        assert_eq!(clock(now), "17:42:01");
        for (time, ago) in [
            ("2026-04-25T17:42:01Z", "0 s ago"),
            ("2026-04-25T17:40:01Z", "2 m ago"),
            ("2026-04-25T15:00:00Z", "2 h ago"),
            ("2026-04-20T15:00:00Z", "5 d ago"),
            ("soon", "soon"),
        ] {
            assert_eq!(age(time, now), ago);
        }
        assert_eq!(until("2026-04-25T17:42:30Z", now), "in 29 s");
        assert_eq!(until("2026-04-25T17:42:00Z", now), "now");
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let time: Timestamp = "2026-04-25T17:42:01Z".parse().expect("a time");
        assert_eq!(moment("2026-04-25T17:42:01Z"), Ok(time));
        for (text, seconds) in [("90s", 90), ("2h", 7_200), ("7d", 604_800)] {
            let moment = moment(text).expect(text);
            let ago = Timestamp::now().as_second() - moment.as_second();
            assert!((seconds..seconds + 60).contains(&ago), "{text}: {ago}");
        }
        for text in ["", "yesterday", "5", "99999999d", "1y"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
