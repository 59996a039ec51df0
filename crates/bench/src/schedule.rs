//! When the events of an open loop are due: fixed beforehand, whatever the answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::journal::Clock;

/// A steady rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    per_second: u32,
}

impl Schedule {
    /// So many a second, at equal distances.
    pub(crate) fn per_second(rate: u32) -> Self {
        Self {
            per_second: rate.max(1),
        }
    }

    /// After how many nanoseconds an event is due. Computed from its number, so that no error adds up.
    pub(crate) fn offset(self, index: usize) -> u64 {
        let nanoseconds = index as u128 * 1_000_000_000 / u128::from(self.per_second);
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    /// How many events are due in a time.
    pub(crate) fn count_in(self, time: Duration) -> usize {
        let count = time.as_millis() * u128::from(self.per_second) / 1_000;
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

/// An event that is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    /// Its place in the schedule.
    pub(crate) index: usize,
    /// When it was to be sent.
    pub(crate) due: u64,
}

/// Say when each of `count` events is due, until told to stop. A thread of its own, because the runtime's timers only know
/// milliseconds. It ends by itself.
pub(crate) fn run(
    schedule: Schedule,
    count: usize,
    clock: Clock,
    stop: std::sync::Arc<AtomicBool>,
) -> mpsc::UnboundedReceiver<Tick> {
    let (ticks, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        let start = clock.now();
        for index in 0..count {
            let due = start + schedule.offset(index);
            let early = due.saturating_sub(clock.now());
            if early > 0 {
                thread::sleep(Duration::from_nanos(early));
            }
            if stop.load(Ordering::Relaxed) || ticks.send(Tick { index, due }).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn events_are_due_at_equal_distances_for_ever() {
        for (rate, index, expected) in [
            (300, 0, 0),
            (300, 1, 3_333_333),
            (300, 300, 1_000_000_000),
            (3_000, 1, 333_333),
            (3_000, 3_000 * 3_600, 3_600_000_000_000),
            (0, 1, 1_000_000_000),
        ] {
            assert_eq!(
                Schedule::per_second(rate).offset(index),
                expected,
                "{rate}/s, {index}"
            );
        }
        assert_eq!(
            Schedule::per_second(300).count_in(Duration::from_millis(1_500)),
            450
        );
    }

    #[tokio::test]
    async fn a_late_schedule_catches_up_and_keeps_its_times() {
        let (clock, schedule) = (Clock::start(), Schedule::per_second(1_000));
        let mut ticks = run(schedule, 50, clock, Arc::default());
        // Nobody listens for a while: that is no reason for an event to be due later.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut due = vec![];
        while let Some(tick) = ticks.recv().await {
            assert!(clock.now() >= tick.due, "too early");
            due.push(tick.due);
        }
        assert_eq!(due.len(), 50);
        for (index, at) in due.iter().enumerate() {
            assert_eq!(at - due[0], schedule.offset(index));
        }
    }

    #[tokio::test]
    async fn it_stops_when_told() {
        let stop = Arc::new(AtomicBool::new(true));
        let mut ticks = run(Schedule::per_second(10), 1_000, Clock::start(), stop);
        assert!(ticks.recv().await.is_none());
    }
}
