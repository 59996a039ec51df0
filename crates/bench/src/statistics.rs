//! What many measurements come to: medians of runs, percentiles of latencies, spreads.

use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones: ten minutes, more than any run takes.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Digits of a latency that are kept.
const LATENCY_DIGITS: u8 = 3;

/// The middle value; the mean of the two middle ones of an even number. `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// How many times the smallest of the values the largest is. `None` of nothing, or when the smallest is not above 0.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    let smallest = values.iter().copied().min_by(f64::total_cmp)?;
    let largest = values.iter().copied().max_by(f64::total_cmp)?;
    (smallest > 0.0).then(|| largest / smallest)
}

/// Latencies, to be asked for percentiles in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS);
        Self(empty.expect("the bounds are constants that it takes"))
    }

    /// Of these, in nanoseconds.
    pub(crate) fn of(nanoseconds: impl IntoIterator<Item = u64>) -> Self {
        let mut latencies = Self::new();
        for each in nanoseconds {
            latencies.0.saturating_record(each.max(1));
        }
        latencies
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What a share of them did not exceed, in milliseconds: `at(0.99)` is the 99th percentile.
    pub(crate) fn at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e6
    }

    /// The longest, in milliseconds.
    pub(crate) fn max(&self) -> f64 {
        self.0.max() as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_whatever_the_order() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0][..], Some(3.0)),
            (&[9.0, 1.0, 2.0][..], Some(2.0)),
            (&[4.0, 1.0, 2.0, 100.0][..], Some(3.0)),
        ] {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_spread_is_the_largest_over_the_smallest() {
        for (values, expected) in [
            (&[][..], None),
            (&[0.0, 1.0][..], None),
            (&[2.0, 2.0][..], Some(1.0)),
            (&[100.0, 120.0, 90.0][..], Some(120.0 / 90.0)),
        ] {
            assert_eq!(spread(values), expected, "{values:?}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        // 1 ms to 1000 ms, in no order.
        let latencies = Latencies::of((0..1_000).map(|i| (i * 617 % 1_000 + 1) * 1_000_000));
        assert_eq!(latencies.count(), 1_000);
        for (share, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = latencies.at(share);
            assert!(
                (found - expected).abs() <= expected * 0.002,
                "{share}: {found}, not {expected}"
            );
        }
        assert!((latencies.max() - 1_000.0).abs() < 2.0);
    }

    #[test]
    fn what_is_longer_than_the_longest_counts_as_the_longest() {
        let latencies = Latencies::of([1, u64::MAX]);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.max() >= LATENCY_NS_MAX as f64 / 1e6 * 0.99);
    }
}
