//! How long to wait before trying again something that must succeed in the end.

use std::time::Duration;

/// The shortest unjittered wait, so that a minimum of zero cannot become a busy loop.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Waits that double from a minimum up to a maximum, each spread so that many processes do not retry in
/// step.
///
/// The `n`-th wait is `min × 2ⁿ`, multiplied by a random factor from 0.5 up to 1.5, and never longer than
/// `max`.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    planned: Duration,
}

impl Backoff {
    /// Start with a wait around `min`. A `min` below 1 ms counts as 1 ms; a `max` below `min` counts as
    /// `min`.
    pub fn new(min: Duration, max: Duration) -> Self {
        let min = min.max(WAIT_MIN);
        Self {
            min,
            max: max.max(min),
            planned: min,
        }
    }

    /// The next wait. Each call doubles the one after it.
    #[expect(
        clippy::should_implement_trait,
        reason = "it never ends, so an Option would only be in the way"
    )]
    pub fn next(&mut self) -> Duration {
        let wait = spread(self.planned, rand::random_range(0.5..1.5)).min(self.max);
        self.planned = self.planned.saturating_mul(2).min(self.max);
        wait
    }

    /// Begin again from the minimum: the thing succeeded.
    pub fn reset(&mut self) {
        self.planned = self.min;
    }
}

/// `planned × factor`, or `planned` itself when that is too long to be written down.
fn spread(planned: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(planned.as_secs_f64() * factor).unwrap_or(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_around_the_plan_and_stay_under_the_cap() {
        for _ in 0..200 {
            let mut backoff = Backoff::new(SECOND, SECOND * 10);
            for planned in [1, 2, 4, 8, 10, 10, 10] {
                let planned = SECOND * planned;
                let wait = backoff.next();
                assert!(wait >= planned / 2, "{wait:?} is under half of {planned:?}");
                assert!(
                    wait <= (planned * 3 / 2).min(SECOND * 10),
                    "{wait:?} is too long for {planned:?}"
                );
            }
        }
    }

    #[test]
    fn a_reset_starts_again_from_the_minimum() {
        let mut backoff = Backoff::new(SECOND, SECOND * 60);
        for _ in 0..10 {
            backoff.next();
        }
        backoff.reset();
        assert!(backoff.next() <= SECOND * 3 / 2);
    }

    #[test]
    fn waits_differ_between_processes() {
        let waits: Vec<_> = (0..10)
            .map(|_| Backoff::new(SECOND, SECOND * 60).next())
            .collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[test]
    fn no_bounds_make_it_panic_or_spin() {
        for (min, max) in [
            (Duration::ZERO, Duration::ZERO),
            (SECOND, Duration::ZERO),
            (Duration::MAX, Duration::MAX),
            (Duration::ZERO, Duration::MAX),
        ] {
            let mut backoff = Backoff::new(min, max);
            for _ in 0..200 {
                assert!(backoff.next() > Duration::ZERO);
            }
        }
    }
}
