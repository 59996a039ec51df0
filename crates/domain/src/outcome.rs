//! How one attempt ended, and what that means for its delivery.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::{DeliveryKind, FailureCode, ForbiddenAddress, Profile};

/// The most bytes of an answer's body that are read.
pub const BODY_READ_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of an answer's body that are kept.
pub const BODY_KEPT_BYTES_MAX: usize = 10 * 1024;
/// The longest that a body may take after its headers before we stop reading it.
pub const BODY_READ_TIME_MAX: Duration = Duration::from_secs(1);
/// The response headers that are kept for the delivery log.
pub const KEPT_RESPONSE_HEADERS: [&str; 4] = ["content-type", "x-request-id", "x-trace-id", "retry-after"];

/// An HTTP status code, 100 to 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusCode(pub u16);

impl StatusCode {
    /// 2xx (S0-26).
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }

    /// A 4xx that no retry will change: every one but 408 and 429 (S0-30, S0-31).
    pub fn is_permanent(self) -> bool {
        (400..500).contains(&self.0) && !matches!(self.0, 408 | 429)
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the endpoint answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status line's code; it counts as soon as the headers are complete (G21).
    pub status: StatusCode,
    /// How long the receiver asked us to wait, from the moment of the answer.
    pub retry_after: Option<Duration>,
    /// The headers of [`KEPT_RESPONSE_HEADERS`] that were present.
    pub headers: Vec<(String, String)>,
    /// The first [`BODY_KEPT_BYTES_MAX`] of the body.
    pub body: Bytes,
}

/// Where the time of an attempt went; each part `None` where the attempt did not come that far, or did without: an
/// address that was still known, a connection that was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Looking up the name.
    pub lookup: Option<Duration>,
    /// Until TCP was connected, waiting for a turn to dial included.
    pub connect: Option<Duration>,
    /// Until TLS was agreed on.
    pub handshake: Option<Duration>,
    /// From the request's sending to the last header of the answer.
    pub wait: Option<Duration>,
    /// Reading the body.
    pub read: Option<Duration>,
}

impl Timing {
    /// The parts in their order.
    pub fn parts(&self) -> [Option<Duration>; 5] {
        [self.lookup, self.connect, self.handshake, self.wait, self.read]
    }
}

/// A body may hold anything: only its size is shown.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// No answer reached us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// What kind of failure; never one of the endpoint's own states.
    pub code: FailureCode,
    /// The failure in words, for the delivery log; holds no secret.
    pub message: String,
}

/// How one POST to one endpoint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The status line and headers arrived in time.
    Answered(Answer),
    /// No answer reached us.
    Unreachable(Unreachable),
    /// We did not dial: every address of the name is ours or nobody's.
    Forbidden(ForbiddenAddress),
}

/// What an outcome means, before the schedule has its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has it.
    Delivered,
    /// Worth another try, no sooner than the receiver asked.
    Retryable {
        /// From `Retry-After`.
        asked: Option<Duration>,
    },
    /// No retry will change it.
    Permanent {
        /// 410, where the profile reads it as "never call again".
        gone: bool,
    },
}

impl AttemptOutcome {
    /// Judge an outcome by the response rules of a profile.
    pub fn verdict(&self, profile: Profile) -> Verdict {
        match self {
            Self::Answered(answer) if answer.status.is_success() => Verdict::Delivered,
            Self::Answered(answer) if answer.status.is_permanent() => Verdict::Permanent {
                gone: answer.status.0 == 410 && profile.gone_disables(),
            },
            // 3xx is never followed (G15); what a proxy or an overloaded server answers passes.
            Self::Answered(answer) => Verdict::Retryable {
                asked: answer.retry_after,
            },
            Self::Unreachable(_) | Self::Forbidden(_) => Verdict::Retryable { asked: None },
        }
    }

    /// The answer's status, when there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answered(answer) => Some(answer.status),
            Self::Unreachable(_) | Self::Forbidden(_) => None,
        }
    }

    /// Why it failed, for the log: a code and words. `None` for an answer, whose status says it all.
    pub fn failure(&self) -> Option<(FailureCode, String)> {
        match self {
            Self::Answered(_) => None,
            Self::Unreachable(unreachable) => Some((unreachable.code, unreachable.message.clone())),
            Self::Forbidden(forbidden) => Some((FailureCode::AddressForbidden, forbidden.to_string())),
        }
    }
}

impl DeliveryKind {
    /// Whether an attempt of this kind counts in the endpoint's health.
    pub fn counts_for_health(self) -> bool {
        self != Self::Test
    }
}

/// Read a `Retry-After` value: seconds, or an HTTP date (RFC 9110, 10.2.3). A date in the past is zero.
pub fn parse_retry_after(value: &str, now: crate::Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean "very long": the caller caps it.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let until = crate::Timestamp::try_from(httpdate::parse_http_date(value).ok()?).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn answered(status: u16, retry_after: Option<Duration>) -> AttemptOutcome {
        AttemptOutcome::Answered(Answer {
            status: StatusCode(status),
            retry_after,
            headers: vec![],
            body: Bytes::new(),
        })
    }

    #[test]
    fn s0_26_s0_30_s0_31_s0_32_the_response_rules() {
        let retry = Verdict::Retryable { asked: None };
        let stop = Verdict::Permanent { gone: false };
        for (status, verdict) in [
            (200, Verdict::Delivered),
            (202, Verdict::Delivered),
            (204, Verdict::Delivered),
            (299, Verdict::Delivered),
            (100, retry),
            (301, retry),
            (302, retry),
            (304, retry),
            (307, retry),
            (308, retry),
            (400, stop),
            (401, stop),
            (403, stop),
            (404, stop),
            (408, retry),
            (410, stop),
            (422, stop),
            (425, stop),
            (429, retry),
            (451, stop),
            (500, retry),
            (502, retry),
            (503, retry),
            (504, retry),
            (599, retry),
            (999, retry),
        ] {
            assert_eq!(
                answered(status, None).verdict(Profile::BuildWorkPro),
                verdict,
                "{status}"
            );
        }
        let timeout = AttemptOutcome::Unreachable(Unreachable {
            code: FailureCode::Timeout,
            message: String::new(),
        });
        assert_eq!(timeout.verdict(Profile::BuildWorkPro), retry);
    }

    #[test]
    fn a_receiver_that_asks_for_patience_is_heard_on_every_retried_status() {
        let asked = Some(Duration::from_secs(7));
        for status in [429, 503, 500] {
            assert_eq!(
                answered(status, asked).verdict(Profile::BuildWorkPro),
                Verdict::Retryable { asked }
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-04-25T17:42:01Z".parse().expect("a time");
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("99999999999999999999999", Some(u64::from(u32::MAX))),
            ("Sat, 25 Apr 2026 17:43:01 GMT", Some(60)),
            ("Sat, 25 Apr 2026 17:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                parse_retry_after(value, now),
                expected.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }
}
