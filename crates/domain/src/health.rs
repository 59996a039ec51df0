//! An endpoint's health: consecutive failed attempts, and when they disable it.

/// A run of attempts' results at one endpoint, folded so that it can be applied to the stored count in one step
/// although others write that count, too.
///
/// G9: every failed attempt counts, whatever the kind; one success resets; test events do not count.
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

    /// The new count, and whether a row of failures reached `threshold` on the way (0 is never).
    pub fn apply(&self, stored: u32, threshold: u32) -> (u32, bool) {
        let first = stored.saturating_add(self.leading);
        let count = if self.succeeded { self.trailing } else { first };
        let reached =
            threshold > 0 && ((self.leading > 0 && first >= threshold) || self.longest_after >= threshold);
        (count, reached)
    }
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
        assert_eq!(run(&[false; 20]).apply(0, 20), (20, true));
        assert_eq!(run(&[false; 19]).apply(0, 20), (19, false));
        assert_eq!(run(&[false]).apply(19, 20), (20, true));
        assert_eq!(run(&[true]).apply(19, 20), (0, false));
        assert_eq!(run(&[false; 50]).apply(0, 0), (50, false), "0 is never");
    }

    proptest! {
        #[test]
        fn folding_equals_counting_one_by_one(results: Vec<bool>, stored in 0_u32..30, threshold in 0_u32..25) {
            let (mut count, mut reached) = (stored, false);
            for success in &results {
                count = if *success { 0 } else { count + 1 };
                reached |= !success && threshold > 0 && count >= threshold;
            }
            prop_assert_eq!(run(&results).apply(stored, threshold), (count, reached));
        }
    }
}
