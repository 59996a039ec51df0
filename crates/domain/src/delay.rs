//! The delayed-retry queues: which one holds a message that must wait this long.
//!
//! Every queue has one TTL, so nothing waits behind something longer. A delay that no queue's TTL matches closely
//! is reached by parking again: `not_before` in the message decides, the queue only wakes it.

use std::time::Duration;

/// The TTLs of the delay queues in milliseconds, ascending: a power-of-two ladder for short waits, then three
/// slots around each step of the published schedule, because jitter spreads retries a tenth to either side.
pub const BUCKETS_MS: [u64; 26] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, // rate-limit slots, deferrals, short schedules
    27_000, 30_000, 33_000, // 30 s
    60_000, 108_000, 120_000, 132_000, // 2 min
    300_000, 810_000, 900_000, 990_000, // 15 min
    1_800_000, 3_240_000, 3_600_000, 3_960_000, // 1 h
    19_440_000, 21_600_000, 23_760_000, // 6 h
    86_400_000, // 24 h
];

/// A message may arrive this late at least, whatever its delay.
pub const LATENESS_MS_MAX: u64 = 200;
/// A message may arrive this share of its remaining wait late.
const LATENESS_SHARE: f64 = 0.15;
/// A remainder so short that no queue hits it closely enough: it is waited out in the process.
pub const IN_PROCESS_WAIT_MAX: Duration = Duration::from_millis(50);

/// How to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It is due.
    Over,
    /// Too short for a queue: wait in the process, at most [`IN_PROCESS_WAIT_MAX`].
    InProcess(Duration),
    /// Park in the queue with this TTL in milliseconds, one of [`BUCKETS_MS`].
    Park(u64),
}

/// How to wait out `remaining`: never early, late by at most 15 % or 200 ms, whichever is more.
pub fn wait_for(remaining: Duration) -> Wait {
    if remaining.is_zero() {
        return Wait::Over;
    }
    if remaining <= IN_PROCESS_WAIT_MAX {
        return Wait::InProcess(remaining);
    }
    let remaining_ms = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bounded by a day"
    )]
    let tolerance_ms = ((remaining_ms.min(BUCKETS_MS[BUCKETS_MS.len() - 1]) as f64 * LATENESS_SHARE) as u64)
        .max(LATENESS_MS_MAX);
    // The smallest queue that does not wake it early, if that is close enough; else the largest that leaves a rest.
    let above = BUCKETS_MS.partition_point(|bucket| Duration::from_millis(*bucket) < remaining);
    match (
        BUCKETS_MS.get(above),
        above.checked_sub(1).map(|below| BUCKETS_MS[below]),
    ) {
        (Some(&enough), _) if enough - remaining_ms <= tolerance_ms => Wait::Park(enough),
        (_, Some(rest)) => Wait::Park(rest),
        (Some(&enough), None) => Wait::Park(enough),
        (None, None) => Wait::Over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_published_steps_and_their_jitter_take_one_hop() {
        for seconds in [30_u64, 120, 900, 3_600, 21_600] {
            for share in [0.9, 0.95, 1.0, 1.05, 1.099] {
                let wait = Duration::from_secs(seconds).mul_f64(share);
                let Wait::Park(ms) = wait_for(wait) else {
                    panic!("parked")
                };
                assert!(Duration::from_millis(ms) >= wait, "{wait:?} in {ms}");
            }
        }
    }

    #[test]
    fn edges() {
        for (ms, wait) in [
            (0, Wait::Over),
            (1, Wait::InProcess(Duration::from_millis(1))),
            (50, Wait::InProcess(Duration::from_millis(50))),
            (51, Wait::Park(250)),
            (250, Wait::Park(250)),
            (251, Wait::Park(250)),
            (300, Wait::Park(500)),
            (800, Wait::Park(1_000)),
            (86_400_000, Wait::Park(86_400_000)),
            (100_000_000, Wait::Park(86_400_000)),
            (u64::MAX, Wait::Park(86_400_000)),
        ] {
            assert_eq!(wait_for(Duration::from_millis(ms)), wait, "{ms}");
        }
    }

    proptest! {
        #[test]
        fn never_early_and_late_within_bounds_after_few_hops(wanted_ms in 1_u64..200_000_000) {
            let (mut waited, mut hops) = (Duration::ZERO, 0);
            let wanted = Duration::from_millis(wanted_ms);
            loop {
                match wait_for(wanted.saturating_sub(waited)) {
                    Wait::Over => break,
                    Wait::InProcess(rest) => waited += rest,
                    Wait::Park(ms) => waited += Duration::from_millis(ms),
                }
                hops += 1;
                prop_assert!(hops <= 16, "{hops} hops for {wanted:?}");
            }
            prop_assert!(waited >= wanted);
            let late = waited - wanted;
            prop_assert!(late <= Duration::from_millis(LATENESS_MS_MAX).max(wanted.mul_f64(LATENESS_SHARE)), "{late:?} for {wanted:?}");
        }
    }
}
