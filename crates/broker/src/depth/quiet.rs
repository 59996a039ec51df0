//! Whether a queue has been nearly empty for long enough to believe it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{DepthError, Depths, Reading};
use crate::WorkQueue;

/// How many samples a window must have.
pub const SAMPLES_MIN: usize = 3;

/// How many samples are kept: whoever samples faster than this many a window loses the oldest, and with them
/// the proof.
const SAMPLES_MAX: usize = 4_096;

/// Which queues are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All queues of accepted events, together.
    Events,
    /// One queue.
    Queue(WorkQueue),
}

/// Watches whether queues stay nearly empty.
#[derive(Debug)]
pub struct QuietWatch {
    depths: Depths,
    scope: Scope,
    samples: Samples,
}

/// Samples in the order in which they were taken, and the threshold that they are judged by.
#[derive(Debug)]
struct Samples {
    threshold: u64,
    taken: VecDeque<(Instant, Option<Reading>)>,
}

impl QuietWatch {
    /// Watch these queues; fewer than `threshold` ready messages count as nearly empty.
    pub fn new(depths: Depths, scope: Scope, threshold: u64) -> Self {
        Self {
            depths,
            scope,
            samples: Samples {
                threshold,
                taken: VecDeque::new(),
            },
        }
    }

    /// Take a sample. A failure is one too: it says that nothing is known.
    pub async fn observe(&mut self) -> Result<u64, DepthError> {
        let reading = self.depths.sample(self.scope).await;
        self.samples.add(Instant::now(), reading.ok());
        reading.map(|reading| reading.ready)
    }

    /// Whether the queues were nearly empty for all of the window that ends now: every sample in it below the
    /// threshold, enough of them, spanning it, and all through the same connection.
    pub fn is_quiet(&self, window: Duration) -> bool {
        self.samples.is_quiet(Instant::now(), window)
    }
}

impl Samples {
    fn add(&mut self, at: Instant, reading: Option<Reading>) {
        if self.taken.len() == SAMPLES_MAX {
            self.taken.pop_front();
        }
        self.taken.push_back((at, reading));
    }

    fn is_quiet(&self, now: Instant, window: Duration) -> bool {
        let age = |at: Instant| now.saturating_duration_since(at);
        // Those in the window, and the one before it: it shows that the quiet was there when the window began.
        let inside = self
            .taken
            .iter()
            .rev()
            .take_while(|(at, _)| age(*at) < window)
            .count();
        let Some(before) = self.taken.len().checked_sub(inside + 1) else {
            return false;
        };
        let judged = self.taken.range(before..);
        let Some(Some(first)) = judged.clone().next().map(|(_, reading)| reading) else {
            return false;
        };
        let quiet = |reading: &Option<Reading>| {
            reading.is_some_and(|reading| {
                reading.ready < self.threshold && reading.connection == first.connection
            })
        };
        inside >= SAMPLES_MIN && judged.clone().all(|(_, reading)| quiet(reading))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOTHING: Option<Reading> = None;

    fn ready(ready: u64) -> Option<Reading> {
        Some(Reading { ready, connection: 1 })
    }

    fn check(samples: &[(u32, Option<Reading>)], quiet: bool) {
        let start = Instant::now();
        let mut kept = Samples {
            threshold: 10,
            taken: VecDeque::new(),
        };
        for (second, reading) in samples {
            kept.add(start + SECOND * *second, *reading);
        }
        assert_eq!(
            kept.is_quiet(start + SECOND * 60, SECOND * 30),
            quiet,
            "{samples:?}"
        );
    }

    #[test]
    fn only_a_whole_window_of_low_samples_is_quiet() {
        check(&[], false);
        check(&[(59, ready(0))], false);
        check(
            &[(30, ready(0)), (40, ready(9)), (50, ready(0)), (60, ready(0))],
            true,
        );
        check(
            &[(40, ready(0)), (50, ready(0)), (55, ready(0)), (60, ready(0))],
            false,
        );
        check(&[(30, ready(0)), (50, ready(0)), (60, ready(0))], false);
        check(
            &[(30, ready(0)), (40, ready(10)), (50, ready(0)), (60, ready(0))],
            false,
        );
        check(
            &[
                (10, ready(99)),
                (30, ready(0)),
                (40, ready(0)),
                (50, ready(0)),
                (60, ready(0)),
            ],
            true,
        );
    }

    #[test]
    fn a_gap_in_the_connection_ends_the_quiet() {
        let later = Some(Reading {
            ready: 0,
            connection: 2,
        });
        check(
            &[(30, ready(0)), (40, NOTHING), (50, ready(0)), (60, ready(0))],
            false,
        );
        check(&[(30, ready(0)), (40, later), (50, later), (60, later)], false);
        check(&[(29, later), (40, later), (50, later), (60, later)], true);
    }
}
