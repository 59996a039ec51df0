//! An endpoint's health: consecutive failed attempts, when they are worth a word, and when they disable it.

/// A run of attempts' results at one endpoint, folded so that it can be applied to the stored count in one step
/// although others write that count, too.
///
/// G9: every failed attempt counts, whatever the kind; one success resets; test events do not count. Neither do
/// attempts of operational events, so that what is told of failures never causes more of them to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealthRun {
    /// Failures before the first success of the run: they add to what is stored.
    pub leading: u32,
    /// Whether there was a success.
    pub succeeded: bool,
    /// The longest row of failures after a success.
    pub longest_after: u32,
    /// Failures since the last success of the run.
    pub trailing: u32,
}

impl HealthRun {
    /// Add the next result.
    pub fn push(&mut self, success: bool) {
        if success {
            self.succeeded = true;
            self.trailing = 0;
        } else if self.succeeded {
            self.trailing += 1;
            self.longest_after = self.longest_after.max(self.trailing);
        } else {
            self.leading += 1;
        }
    }

    /// What the run means for an active endpoint with so many failures before it. `threshold` disables; 0 is never.
    pub fn apply(&self, stored: u32, threshold: u32) -> Judgement {
        let first = stored.saturating_add(self.leading);
        let failures = if self.succeeded { self.trailing } else { first };
        let disables =
            threshold > 0 && ((self.leading > 0 && first >= threshold) || self.longest_after >= threshold);
        let warned =
            warn_from(threshold).is_some_and(|from| failures >= from && (self.succeeded || stored < from));
        Judgement {
            failures,
            news: match (disables, warned) {
                (true, _) => Some(News::Disabled),
                (false, true) => Some(News::Failing),
                (false, false) => None,
            },
        }
    }
}

/// What a run means for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// Failures since the last success.
    pub failures: u32,
    /// What its owner is told, besides.
    pub news: Option<News>,
}

/// What the owner of an endpoint wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Half of the failures that disable it have happened in a row, and the row goes on. Once for each row.
    Failing,
    /// It is disabled.
    Disabled,
}

/// Failures in a row that are worth a word, where `threshold` disables: half of it, rounded up; `None` for 0, which is
/// never.
pub fn warn_from(threshold: u32) -> Option<u32> {
    (threshold > 0).then(|| threshold.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(results: &[bool]) -> HealthRun {
        let mut run = HealthRun::default();
        for success in results {
            run.push(*success);
        }
        run
    }

    #[test]
    fn s0_33_twenty_failures_in_a_row_disable() {
        let disabled = |results: &[bool], stored, threshold| {
            let judged = run(results).apply(stored, threshold);
            (judged.failures, judged.news == Some(News::Disabled))
        };
        assert_eq!(disabled(&[false; 20], 0, 20), (20, true));
        assert_eq!(disabled(&[false; 19], 0, 20), (19, false));
        assert_eq!(disabled(&[false], 19, 20), (20, true));
        assert_eq!(disabled(&[true], 19, 20), (0, false));
        assert_eq!(disabled(&[false; 50], 0, 0), (50, false), "0 is never");
    }

    #[test]
    fn half_way_is_told_once_for_each_row_of_failures() {
        let failing = Some(News::Failing);
        for (results, stored, threshold, news) in [
            (vec![false; 9], 0, 20, None),
            (vec![false; 10], 0, 20, failing),
            (vec![false], 9, 20, failing),
            (vec![false], 10, 20, None),
            (vec![false; 9], 10, 20, None),
            // It has recovered meanwhile: nothing to tell.
            (vec![false, true], 9, 20, None),
            // A row of its own after a success.
            ([[true].as_slice(), &[false; 10]].concat(), 15, 20, failing),
            (vec![false; 20], 0, 20, Some(News::Disabled)),
            (vec![false; 2], 0, 3, failing),
            (vec![false], 0, 1, Some(News::Disabled)),
            (vec![false; 50], 0, 0, None),
        ] {
            assert_eq!(
                run(&results).apply(stored, threshold).news,
                news,
                "{stored} {results:?} {threshold}"
            );
        }
    }

    proptest! {
        #[test]
        fn folding_equals_counting_one_by_one(results: Vec<bool>, stored in 0_u32..30, threshold in 0_u32..25) {
            let (mut count, mut reached) = (stored, false);
            for success in &results {
                count = if *success { 0 } else { count + 1 };
                reached |= !success && threshold > 0 && count >= threshold;
            }
            let judged = run(&results).apply(stored, threshold);
            prop_assert_eq!((judged.failures, judged.news == Some(News::Disabled)), (count, reached));
        }
    }
}
