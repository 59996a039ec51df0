//! When to try again, and when to stop.

use std::str::FromStr;
use std::time::Duration;

use crate::outcome::Verdict;

/// The longest wait that a receiver may ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The most retries that a schedule may have.
pub const RETRIES_MAX: usize = 30;
/// The longest delay that a schedule may have.
pub const DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Delivered.
    Succeeded,
    /// Try again after this long.
    Retry {
        /// From the end of this attempt.
        after: Duration,
    },
    /// The schedule ran out.
    Exhausted,
    /// We stop although the schedule has more.
    Abandoned {
        /// Whether the endpoint is to be disabled, too.
        gone: bool,
    },
}

/// The delays between a delivery's attempts: one attempt more than there are delays (S0-28, S0-29).
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySchedule {
    delays: Vec<Duration>,
    jitter: f64,
}

impl RetrySchedule {
    /// A schedule of these delays, each spread evenly over `1 - jitter ..= 1 + jitter` of itself.
    ///
    /// # Errors
    /// In words for the operator: too many delays, a delay over [`DELAY_MAX`], a jitter outside `0..=0.5`.
    pub fn new(delays: Vec<Duration>, jitter: f64) -> Result<Self, String> {
        if delays.len() > RETRIES_MAX {
            return Err(format!("has {} delays: give at most {RETRIES_MAX}", delays.len()));
        }
        if let Some(delay) = delays.iter().find(|delay| **delay > DELAY_MAX) {
            return Err(format!(
                "has a delay of {} s: give at most 7 days (168h)",
                delay.as_secs()
            ));
        }
        if !(0.0..=0.5).contains(&jitter) {
            return Err(format!("jitter is {jitter}: give a share between 0 and 0.5"));
        }
        Ok(Self { delays, jitter })
    }

    /// How many attempts a delivery has.
    pub fn attempts(&self) -> usize {
        self.delays.len() + 1
    }

    /// What follows attempt `number` (the first is 1). `chance` is a fresh random number in `0.0..1.0`.
    pub fn after(&self, number: u16, verdict: Verdict, chance: f64) -> Next {
        let asked = match verdict {
            Verdict::Delivered => return Next::Succeeded,
            Verdict::Permanent { gone } => return Next::Abandoned { gone },
            Verdict::Retryable { asked } => asked.unwrap_or_default(),
        };
        match usize::from(number)
            .checked_sub(1)
            .and_then(|index| self.delays.get(index))
        {
            // A receiver may slow us down, never speed us up.
            Some(planned) => Next::Retry {
                after: self.spread(*planned, chance).max(asked.min(RETRY_AFTER_MAX)),
            },
            None => Next::Exhausted,
        }
    }

    fn spread(&self, planned: Duration, chance: f64) -> Duration {
        planned.mul_f64(1.0 - self.jitter + 2.0 * self.jitter * chance.clamp(0.0, 1.0))
    }
}

/// 30 s, 2 min, 15 min, 1 h, 6 h, 24 h, give or take a tenth.
impl Default for RetrySchedule {
    fn default() -> Self {
        let delays = [30, 120, 900, 3_600, 21_600, 86_400]
            .map(Duration::from_secs)
            .to_vec();
        Self { delays, jitter: 0.1 }
    }
}

/// A test event is tried once, whatever the schedule.
pub fn once(verdict: Verdict) -> Next {
    match verdict {
        Verdict::Delivered => Next::Succeeded,
        Verdict::Permanent { .. } => Next::Abandoned { gone: false },
        Verdict::Retryable { .. } => Next::Exhausted,
    }
}

/// Delays as an operator writes them: `30s,2m,15m,1h,6h,24h`; units `ms`, `s`, `m`, `h`, `d`. Empty is no retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays(pub Vec<Duration>);

impl FromStr for Delays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(vec![]));
        }
        text.split(',')
            .map(|entry| parse_delay(entry.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn parse_delay(entry: &str) -> Result<Duration, String> {
    let digits = entry.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = entry.split_at(digits);
    let remedy =
        || format!("`{entry}` is not a delay: write a whole number and a unit, such as 30s, 2m, 1h or 500ms");
    let number: u64 = number.parse().map_err(|_| remedy())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(remedy()),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .ok_or_else(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RETRYABLE: Verdict = Verdict::Retryable { asked: None };

    #[test]
    fn s0_28_s0_29_seven_attempts_on_the_published_schedule() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.attempts(), 7);
        for (number, seconds) in [(1, 30), (2, 120), (3, 900), (4, 3_600), (5, 21_600), (6, 86_400)] {
            let planned = Duration::from_secs(seconds);
            assert_eq!(
                schedule.after(number, RETRYABLE, 0.5),
                Next::Retry { after: planned },
                "{number}"
            );
        }
        assert_eq!(schedule.after(7, RETRYABLE, 0.5), Next::Exhausted);
    }

    #[test]
    fn s0_30_a_permanent_answer_stops_at_once() {
        let gone = Verdict::Permanent { gone: true };
        assert_eq!(
            RetrySchedule::default().after(1, gone, 0.5),
            Next::Abandoned { gone: true }
        );
        assert_eq!(
            RetrySchedule::default().after(1, Verdict::Delivered, 0.5),
            Next::Succeeded
        );
    }

    #[test]
    fn a_receiver_may_slow_us_down_never_speed_us_up() {
        let schedule = RetrySchedule::new(vec![Duration::from_secs(30)], 0.0).expect("valid");
        for (asked_s, after_s) in [(0, 30), (10, 30), (31, 31), (86_400, 86_400), (1_000_000, 86_400)] {
            let asked = Verdict::Retryable {
                asked: Some(Duration::from_secs(asked_s)),
            };
            assert_eq!(
                schedule.after(1, asked, 0.9),
                Next::Retry {
                    after: Duration::from_secs(after_s)
                }
            );
        }
    }

    #[test]
    fn a_test_event_is_never_retried() {
        assert_eq!(once(RETRYABLE), Next::Exhausted);
        assert_eq!(once(Verdict::Delivered), Next::Succeeded);
        assert_eq!(
            once(Verdict::Permanent { gone: true }),
            Next::Abandoned { gone: false }
        );
    }

    #[test]
    fn delays_are_read_as_operators_write_them() {
        let ms = |list: &[u64]| Ok(Delays(list.iter().copied().map(Duration::from_millis).collect()));
        assert_eq!(
            "30s,2m, 1h,250ms,1d".parse(),
            ms(&[30_000, 120_000, 3_600_000, 250, 86_400_000])
        );
        assert_eq!("".parse(), ms(&[]));
        for text in [
            "30",
            "s",
            "1.5s",
            "-1s",
            "30s,,2m",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(
                text.parse::<Delays>()
                    .is_err_and(|e| e.contains("is not a delay")),
                "{text}"
            );
        }
    }

    #[test]
    fn impossible_schedules_are_refused() {
        assert!(RetrySchedule::new(vec![Duration::ZERO; RETRIES_MAX + 1], 0.1).is_err());
        assert!(RetrySchedule::new(vec![DELAY_MAX + Duration::from_secs(1)], 0.1).is_err());
        assert!(RetrySchedule::new(vec![], 0.6).is_err());
        assert!(RetrySchedule::new(vec![], f64::NAN).is_err());
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(seconds in 1_u64..86_400, chance in 0.0_f64..1.0) {
            let planned = Duration::from_secs(seconds);
            let schedule = RetrySchedule::new(vec![planned], 0.1).expect("valid");
            let Next::Retry { after } = schedule.after(1, RETRYABLE, chance) else { panic!("a retry") };
            prop_assert!(after >= planned.mul_f64(0.899) && after <= planned.mul_f64(1.101));
        }
    }
}
