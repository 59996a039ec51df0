//! The clock by which slots are handed out: the database's, as this process knows it.
//!
//! Hosts' clocks differ, and a slot that one dispatcher was given another one may use. So a slot's times are never
//! compared with the host's clock: they are measured from a moment at which the database told its time.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_domain::Timestamp;
use plumbline_domain::rate::Slot;
use plumbline_store::{Store, rate_windows};

use crate::fanout::patiently;

/// How old a reading may be: in this time no two clocks drift apart by more than a few milliseconds.
const READING_AGE_MAX: Duration = Duration::from_secs(10);
/// How much of a slot's time is left to the network, which takes longer for one request than for another.
const NETWORK_MARGIN: Duration = Duration::from_millis(250);

/// The database's time, which it told between two moments of ours.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// What it told.
    pub now: Timestamp,
    /// Before it was asked.
    pub asked: Instant,
    /// After it had answered.
    pub answered: Instant,
}

/// When a request may leave, by this process's own monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Not before: the slot has certainly opened then.
    pub opens: Instant,
    /// Not after: the slot has certainly not closed before.
    pub closes: Instant,
}

impl Reading {
    /// What a slot means to this process. A reading that took long makes it shorter, never longer.
    fn pass(&self, slot: Slot) -> Pass {
        let opens = after(self.answered, self.now, slot.opens_at());
        let closes = after(self.asked, self.now, slot.closes_at());
        Pass {
            opens,
            closes: closes.checked_sub(NETWORK_MARGIN).unwrap_or(opens),
        }
    }

    fn is_better_than(&self, other: &Self) -> bool {
        self.answered.saturating_duration_since(other.answered) > READING_AGE_MAX / 2
            || self.answered - self.asked <= other.answered - other.asked
    }
}

/// When it is `time`, if it was `now` at that moment.
fn after(moment: Instant, now: Timestamp, time: Timestamp) -> Instant {
    let ahead = time.duration_since(now);
    let moved = if ahead.is_negative() {
        moment.checked_sub(ahead.unsigned_abs())
    } else {
        moment.checked_add(ahead.unsigned_abs())
    };
    moved.unwrap_or(moment)
}

/// The database's clock.
pub struct Clock {
    store: Store,
    reading: Mutex<Option<Reading>>,
}

impl Clock {
    /// A clock that has not been read.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            reading: Mutex::default(),
        }
    }

    /// Learn from a reading that came with something else.
    pub fn learn(&self, reading: Reading) {
        let mut known = self.reading.lock();
        if known.is_none_or(|known| reading.is_better_than(&known)) {
            *known = Some(reading);
        }
    }

    /// When a request with this slot may leave; asks the database for its time only where that is not known.
    pub async fn pass(&self, slot: Slot) -> Pass {
        let known = *self.reading.lock();
        let reading = match known {
            Some(reading) if reading.answered.elapsed() < READING_AGE_MAX => reading,
            _ => {
                let reading = patiently("the database's clock could not be read yet", || async {
                    let session = self.store.session().await?;
                    let asked = Instant::now();
                    let now = rate_windows::clock(&session).await?;
                    let answered = Instant::now();
                    Ok(Reading { now, asked, answered })
                })
                .await;
                self.learn(reading);
                reading
            }
        };
        reading.pass(slot)
    }

    /// What it probably shows; the host's clock where it was never read. Good enough to choose how long to park.
    pub fn estimate(&self) -> Timestamp {
        match *self.reading.lock() {
            Some(reading) => reading
                .now
                .checked_add(reading.answered.elapsed())
                .unwrap_or(Timestamp::MAX),
            None => Timestamp::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_makes_a_slot_shorter_at_both_ends() {
        let asked = Instant::now();
        let reading = Reading {
            now: Timestamp::from_millisecond(1_000_400).expect("a time"),
            asked,
            answered: asked + Duration::from_millis(300),
        };
        let ms = |moment: Instant| (moment - asked).as_millis();
        let pass = reading.pass(Slot(1_001));
        assert_eq!((ms(pass.opens), ms(pass.closes)), (900, 2_600 - 250));
        // The slot of the present second has opened already.
        assert!(reading.pass(Slot(1_000)).opens <= reading.answered);
    }

    #[test]
    fn the_narrower_reading_is_kept_until_it_is_old() {
        let start = Instant::now();
        let reading = |from_ms: u64, took_ms: u64| Reading {
            now: Timestamp::UNIX_EPOCH,
            asked: start + Duration::from_millis(from_ms),
            answered: start + Duration::from_millis(from_ms + took_ms),
        };
        assert!(reading(10, 2).is_better_than(&reading(0, 5)));
        assert!(!reading(10, 9).is_better_than(&reading(0, 5)));
        assert!(reading(6_000, 9).is_better_than(&reading(0, 5)));
    }
}
