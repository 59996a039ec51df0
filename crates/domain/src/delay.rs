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

/// How to wait out `remaining` where 15 % is too coarse: never early, late by at most 200 ms whatever the delay. That takes
/// several parkings, as few as the queues allow: below [`PRECISE_MAX`] three or four, and now and then up to eight.
pub fn wait_precisely(remaining: Duration) -> Wait {
    if remaining.is_zero() {
        return Wait::Over;
    }
    if remaining <= IN_PROCESS_WAIT_MAX {
        return Wait::InProcess(remaining);
    }
    let remaining_ms = u64::try_from(remaining.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX);
    // Far away, the largest that leaves a rest: how to get there is decided when it is near.
    let below = BUCKETS_MS.partition_point(|bucket| *bucket <= remaining_ms);
    let far = below.checked_sub(1).map(|index| BUCKETS_MS[index]);
    let near = (remaining <= PRECISE_MAX)
        .then(|| {
            (1..=HOPS_PLANNED).find_map(|hops| {
                // Each parking takes a little longer than its queue's TTL, and the last one must still fit.
                let late_ms = LATENESS_MS_MAX - HOP_LATE_MS * u64::from(hops - 1);
                first_of(remaining_ms, hops, late_ms, BUCKETS_MS.len())
            })
        })
        .flatten();
    Wait::Park(near.or(far).unwrap_or(BUCKETS_MS[0]))
}

/// Up to here [`wait_precisely`] plans all of its parkings; beyond, only how to come near.
pub const PRECISE_MAX: Duration = Duration::from_secs(66);
const HOPS_PLANNED: u32 = 4;
/// What a parking is expected to add to its queue's TTL, in milliseconds.
const HOP_LATE_MS: u64 = 10;

/// The first, and longest, of so many queues with which a wait is reached, none of them from `end` on.
fn first_of(remaining_ms: u64, hops: u32, late_max_ms: u64, end: usize) -> Option<u64> {
    let in_process_ms = u64::try_from(IN_PROCESS_WAIT_MAX.as_millis()).unwrap_or(0);
    BUCKETS_MS[..end]
        .iter()
        .enumerate()
        .rev()
        .find_map(|(index, bucket)| {
            let reached = match bucket.checked_sub(remaining_ms) {
                Some(late) => late <= late_max_ms,
                None => {
                    let rest = remaining_ms - bucket;
                    rest <= in_process_ms
                        || hops > 1 && first_of(rest, hops - 1, late_max_ms, index + 1).is_some()
                }
            };
            reached.then_some(*bucket)
        })
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

    /// Wait it out, each queue a little late: how long it took, and how many parkings.
    fn precisely(wanted: Duration, hop_late: Duration) -> (Duration, u32) {
        let (mut waited, mut hops) = (Duration::ZERO, 0);
        loop {
            match wait_precisely(wanted.saturating_sub(waited)) {
                Wait::Over => return (waited, hops),
                Wait::InProcess(rest) => waited += rest,
                Wait::Park(ms) => {
                    waited += Duration::from_millis(ms) + hop_late;
                    hops += 1;
                }
            }
        }
    }

    #[test]
    fn a_slot_within_a_minute_is_hit_in_few_parkings() {
        let mut all = 0;
        for ms in (1..=66_000).step_by(7) {
            for hop_late in [0, 8].map(Duration::from_millis) {
                let wanted = Duration::from_millis(ms);
                let (waited, hops) = precisely(wanted, hop_late);
                assert!(waited >= wanted, "{wanted:?}: early");
                let late = waited - wanted;
                assert!(
                    late <= Duration::from_millis(LATENESS_MS_MAX) + hop_late,
                    "{wanted:?}: {late:?} late"
                );
                assert!(hops <= 8, "{wanted:?}: {hops} parkings");
                all += hops;
            }
        }
        let mean = f64::from(all) / (66_000.0 / 7.0 * 2.0);
        assert!(mean < 3.5, "{mean} parkings on average");
        assert_eq!(precisely(Duration::from_secs(62), Duration::ZERO).1, 2);
        assert_eq!(wait_precisely(Duration::from_nanos(50_000_001)), Wait::Park(250));
    }

    proptest! {
        #[test]
        fn precisely_is_never_early_and_at_most_200_ms_late(wanted_ms in 1_u64..200_000_000) {
            let wanted = Duration::from_millis(wanted_ms);
            let (waited, hops) = precisely(wanted, Duration::ZERO);
            prop_assert!(waited >= wanted);
            prop_assert!(waited - wanted <= Duration::from_millis(LATENESS_MS_MAX));
            prop_assert!(hops <= 24, "{hops} hops for {wanted:?}");
        }

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
