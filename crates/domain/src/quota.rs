//! So many per window of time, for each of many: the API's rate limits and its limits on signing in.
//!
//! A window begins with the first request that falls into it and ends a fixed time later, so that `limit` is what may
//! happen in a window and what a client is told is exact. It is kept in memory and bounded; the time comes in as a
//! value.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Windows that are kept at once; with more, one of them is forgotten, which forgives and never refuses.
pub const WINDOWS_MAX: usize = 50_000;
/// How often windows that are over are looked for, when there is no room.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// In one window.
    pub limit: NonZeroU32,
    /// How long a window lasts; not zero.
    pub window: Duration,
}

/// How somebody stands in their window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What is allowed in a window.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// When the window is over and everything is allowed again.
    pub reset_after: Duration,
}

/// What somebody who asks gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    /// Go on.
    Admitted(Standing),
    /// Come back after `reset_after`.
    Refused(Standing),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    used: u32,
}

/// The windows of all who asked lately.
#[derive(Debug)]
pub struct Quotas<K> {
    quota: Quota,
    windows: HashMap<K, Window>,
    swept: Option<Instant>,
}

impl<K: Eq + Hash + Clone> Quotas<K> {
    /// Nobody has asked yet.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            windows: HashMap::new(),
            swept: None,
        }
    }

    /// What is allowed to each.
    pub fn quota(&self) -> Quota {
        self.quota
    }

    /// Take one, if there is one left.
    pub fn take(&mut self, key: K, now: Instant) -> Ticket {
        if !self.windows.contains_key(&key) {
            self.make_room(now);
        }
        let Quota { limit, window } = self.quota;
        let fresh = Window { began: now, used: 0 };
        let current = self.windows.entry(key).or_insert(fresh);
        if now.saturating_duration_since(current.began) >= window {
            *current = fresh;
        }
        let is_admitted = current.used < limit.get();
        current.used += u32::from(is_admitted);
        let standing = Standing {
            limit: limit.get(),
            remaining: limit.get() - current.used,
            reset_after: window.saturating_sub(now.saturating_duration_since(current.began)),
        };
        if is_admitted {
            Ticket::Admitted(standing)
        } else {
            Ticket::Refused(standing)
        }
    }

    /// How somebody stands, without taking anything; `None` for who has no window now.
    pub fn standing(&self, key: &K, now: Instant) -> Option<Standing> {
        let Quota { limit, window } = self.quota;
        let current = self.windows.get(key)?;
        let age = now.saturating_duration_since(current.began);
        (age < window).then(|| Standing {
            limit: limit.get(),
            remaining: limit.get() - current.used,
            reset_after: window - age,
        })
    }

    /// Give one back that was taken: it turned out not to count.
    pub fn give_back(&mut self, key: &K) {
        if let Some(window) = self.windows.get_mut(key) {
            window.used = window.used.saturating_sub(1);
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.windows.len() < WINDOWS_MAX {
            return;
        }
        let is_due = self
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_EVERY);
        if is_due {
            self.swept = Some(now);
            let window = self.quota.window;
            self.windows
                .retain(|_, kept| now.saturating_duration_since(kept.began) < window);
        }
        if self.windows.len() >= WINDOWS_MAX
            && let Some(any) = self.windows.keys().next().cloned()
        {
            self.windows.remove(&any);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_a_minute() -> Quotas<u32> {
        Quotas::new(Quota {
            limit: NonZeroU32::new(3).expect("three"),
            window: Duration::from_secs(60),
        })
    }

    fn after(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_window_admits_its_limit_and_then_refuses_until_it_is_over() {
        let (mut quotas, start) = (three_a_minute(), Instant::now());
        let standing = |remaining, reset| Standing {
            limit: 3,
            remaining,
            reset_after: Duration::from_secs(reset),
        };
        for (seconds, ticket) in [
            (0, Ticket::Admitted(standing(2, 60))),
            (10, Ticket::Admitted(standing(1, 50))),
            (20, Ticket::Admitted(standing(0, 40))),
            (20, Ticket::Refused(standing(0, 40))),
            (59, Ticket::Refused(standing(0, 1))),
            // What was refused did not count, and the next window begins when it is needed.
            (60, Ticket::Admitted(standing(2, 60))),
            (200, Ticket::Admitted(standing(2, 60))),
        ] {
            assert_eq!(quotas.take(1, after(seconds, start)), ticket, "after {seconds} s");
        }
    }

    #[test]
    fn each_has_a_window_of_its_own_and_what_is_given_back_is_there_again() {
        let (mut quotas, now) = (three_a_minute(), Instant::now());
        for _ in 0..3 {
            assert!(matches!(quotas.take(1, now), Ticket::Admitted(_)));
        }
        assert!(matches!(quotas.take(1, now), Ticket::Refused(_)));
        assert!(matches!(quotas.take(2, now), Ticket::Admitted(_)));
        quotas.give_back(&1);
        quotas.give_back(&3);
        assert!(matches!(quotas.take(1, now), Ticket::Admitted(_)));
        assert!(matches!(quotas.take(1, now), Ticket::Refused(_)));
    }

    #[test]
    fn to_look_takes_nothing() {
        let (mut quotas, start) = (three_a_minute(), Instant::now());
        assert_eq!(quotas.standing(&1, start), None);
        quotas.take(1, start);
        for _ in 0..5 {
            let standing = quotas.standing(&1, after(20, start)).expect("a window");
            assert_eq!((standing.remaining, standing.reset_after.as_secs()), (2, 40));
        }
        assert_eq!(quotas.standing(&1, after(60, start)), None, "it is over");
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_refuses_nobody_for_ever() {
        let (mut quotas, start) = (three_a_minute(), Instant::now());
        quotas.take(1, after(30, start));
        let Ticket::Admitted(standing) = quotas.take(1, start) else {
            panic!("two are left");
        };
        assert_eq!(standing.reset_after, Duration::from_secs(60));
    }

    #[test]
    fn memory_is_bounded_and_what_is_over_goes_first() {
        let (mut quotas, start) = (three_a_minute(), Instant::now());
        let many = u32::try_from(WINDOWS_MAX).expect("few");
        for key in 0..many {
            quotas.take(key, start);
        }
        quotas.take(many, start);
        assert_eq!(quotas.windows.len(), WINDOWS_MAX, "one made room");
        quotas.take(many + 1, after(61, start));
        assert_eq!(quotas.windows.len(), 1, "the old ones are over");
    }
}
