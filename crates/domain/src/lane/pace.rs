//! The pace of bulk work beside everybody else's: what the others leave, found out from how long they wait.
//!
//! A machine has no lanes: whatever queue a burst's events stand in, they share the processor, the disk, the database
//! and the broker with those of a tenant who publishes one event. None of these says that it is busy, but the others'
//! events do: they take longer than they need to. So, as a background transfer does it on a network (RFC 6817), bulk
//! work goes faster while the others' delay stays near the least that was seen lately, and slower when it does not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::TenantId;

/// How much longer than at the best of times the others' events may take on the average, in seconds.
const TARGET: f64 = 0.001;
/// How often the pace is set anew.
const WINDOW: Duration = Duration::from_millis(100);
/// Of how many events an average is made; with fewer, the window stays open up to [`WINDOW_MAX`].
const SAMPLES: u32 = 8;
/// The longest that a window stays open.
const WINDOW_MAX: Duration = Duration::from_secs(1);
/// How much faster it may become in a window.
const FASTER: f64 = 1.1;
/// How much slower it may become in a window.
const SLOWER: f64 = 0.7;
/// For so long the least average is remembered, and up to twice as long: what has changed for good becomes the new
/// measure.
const BASE_TIME: Duration = Duration::from_mins(1);
/// With nobody else for so long, there is nobody to wait for.
const ALONE_AFTER: Duration = Duration::from_secs(1);
/// For so long after bulk work of its own, a tenant is not somebody else.
const BURST_TIME: Duration = Duration::from_secs(1);

/// Spaces bulk work out in time. Times come from the caller and only grow.
#[derive(Debug)]
pub struct Pace {
    /// Events per second, never slower.
    floor: f64,
    rate: f64,
    next: Instant,
    /// Who was last somebody else, and when.
    other: Option<(TenantId, Instant)>,
    window: Window,
    base: Base,
    /// Who had bulk work, and when.
    bursts: HashMap<TenantId, Instant>,
}

/// What was seen since the pace was set.
#[derive(Debug)]
struct Window {
    started: Instant,
    delays: f64,
    count: u32,
    /// Bulk work had to wait for its turn: it could have gone faster.
    waited: bool,
}

/// The least average delay of the last one to two [`BASE_TIME`]s.
#[derive(Debug)]
struct Base {
    since: Instant,
    before: f64,
    now: f64,
}

impl Pace {
    /// Begin with `floor` events per second, below which it never falls.
    pub fn new(floor: u32, now: Instant) -> Self {
        Self {
            floor: f64::from(floor),
            rate: f64::from(floor),
            next: now,
            other: None,
            window: Window::new(now),
            base: Base {
                since: now,
                before: f64::INFINITY,
                now: f64::INFINITY,
            },
            bursts: HashMap::new(),
        }
    }

    /// An event outside the bulk lane took so long, in seconds. By the clocks of two machines it may be less than
    /// nothing: only the difference to the least counts. Who has bulk work of his own waits for himself: his do not
    /// count.
    pub fn took(&mut self, tenant: TenantId, seconds: f64, now: Instant) {
        if self
            .bursts
            .get(&tenant)
            .is_some_and(|&at| now.duration_since(at) < BURST_TIME)
        {
            return;
        }
        self.other = Some((tenant, now));
        self.window.delays += seconds;
        self.window.count += 1;
        self.set(now);
    }

    /// This tenant has work in the bulk lane.
    pub fn burst_of(&mut self, tenant: TenantId, now: Instant) {
        self.bursts.insert(tenant, now);
        // Its first events were not known to be a burst's.
        self.other = self.other.filter(|&(other, _)| other != tenant);
    }

    /// How long so many events of the bulk lane have to wait before they begin. They are taken as begun then.
    pub fn wait(&mut self, events: usize, now: Instant) -> Duration {
        self.set(now);
        if self
            .other
            .is_none_or(|(_, at)| now.duration_since(at) > ALONE_AFTER)
        {
            self.next = now;
            return Duration::ZERO;
        }
        let at = self.next.max(now);
        self.window.waited |= at > now;
        #[expect(clippy::cast_precision_loss, reason = "a message or a request has few events")]
        let takes = Duration::from_secs_f64(events as f64 / self.rate);
        self.next = at + takes;
        at.duration_since(now)
    }

    fn set(&mut self, now: Instant) {
        let open = now.duration_since(self.window.started);
        if open < WINDOW || self.window.count < SAMPLES && open < WINDOW_MAX {
            return;
        }
        let window = std::mem::replace(&mut self.window, Window::new(now));
        self.bursts.retain(|_, at| now.duration_since(*at) < BURST_TIME);
        if window.count == 0 {
            return;
        }
        let average = window.delays / f64::from(window.count);
        self.base.add(average, now);
        if average - self.base.least() > TARGET {
            self.rate = (self.rate * SLOWER).max(self.floor);
        } else if window.waited {
            self.rate *= FASTER;
        }
    }
}

impl Window {
    fn new(started: Instant) -> Self {
        Self {
            started,
            delays: 0.0,
            count: 0,
            waited: false,
        }
    }
}

impl Base {
    fn add(&mut self, seconds: f64, now: Instant) {
        if now.duration_since(self.since) > BASE_TIME {
            (self.before, self.now, self.since) = (self.now, f64::INFINITY, now);
        }
        self.now = self.now.min(seconds);
    }

    fn least(&self) -> f64 {
        self.now.min(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: u32 = 100;

    /// For `seconds`, the others have a hundred events a second, each of which takes what `delay` says for the rate at
    /// which bulk work goes, which could be 5,000 a second; that rate at the end.
    fn run(pace: &mut Pace, start: Instant, seconds: u32, delay: impl Fn(f64) -> f64) -> f64 {
        let (mut rate, mut begun, mut second) = (0.0, 0, start);
        for tick in 1..=seconds * 100 {
            let now = start + Duration::from_millis(10) * tick;
            pace.took(TenantId(1), delay(rate), now);
            for _ in 0..5 {
                if pace.next <= now + Duration::from_millis(10) {
                    pace.wait(10, now);
                    begun += 10;
                }
            }
            if now.duration_since(second) >= Duration::from_millis(200) {
                rate = f64::from(begun) / 0.2;
                (begun, second) = (0, now);
            }
        }
        rate
    }

    #[test]
    fn it_takes_what_the_others_leave_and_comes_back_when_they_wait() {
        let start = Instant::now();
        let mut pace = Pace::new(FLOOR, start);
        // From 2,000 events a second on, the others wait ever longer.
        let crowded = |rate: f64| 0.002 + (rate - 2_000.0).max(0.0) / 100_000.0;
        let rate = run(&mut pace, start, 20, crowded);
        assert!((1_200.0..3_500.0).contains(&rate), "{rate}");
        let busy = |_| 0.050;
        let rate = run(&mut pace, start + Duration::from_secs(20), 10, busy);
        assert!(
            (90.0..120.0).contains(&rate),
            "never slower than the floor: {rate}"
        );
        // What has become normal is the new measure.
        let rate = run(&mut pace, start + Duration::from_secs(30), 150, busy);
        assert!(rate > 1_000.0, "{rate}");
    }

    #[test]
    fn alone_nobody_is_waited_for() {
        let start = Instant::now();
        let mut pace = Pace::new(FLOOR, start);
        assert_eq!(pace.wait(1_000_000, start), Duration::ZERO);
        pace.took(TenantId(1), 0.002, start);
        assert_eq!(pace.wait(50, start), Duration::ZERO, "its turn is now");
        assert_eq!(pace.wait(50, start), Duration::from_millis(500));
        let later = start + ALONE_AFTER + Duration::from_millis(1);
        assert_eq!(pace.wait(50, later), Duration::ZERO);
        assert_eq!(pace.wait(50, later), Duration::ZERO);
    }

    #[test]
    fn only_differences_between_the_clocks_of_two_machines_count() {
        let (early, late) = (Instant::now(), Instant::now());
        let (mut a, mut b) = (Pace::new(FLOOR, early), Pace::new(FLOOR, late));
        let crowded = |rate: f64| 0.002 + (rate - 2_000.0).max(0.0) / 100_000.0;
        let same = run(&mut a, early, 5, crowded);
        let skewed = run(&mut b, late, 5, |rate| crowded(rate) - 7.0);
        assert!((same - skewed).abs() < same / 10.0, "{same} {skewed}");
    }

    #[test]
    fn a_burst_does_not_wait_for_its_own_tenant() {
        let start = Instant::now();
        let (mut pace, tenant) = (Pace::new(FLOOR, start), TenantId(1));
        pace.took(tenant, 0.002, start);
        pace.burst_of(tenant, start);
        pace.took(tenant, 5.0, start);
        assert_eq!(pace.wait(1_000, start), Duration::ZERO);
        assert_eq!(pace.wait(1_000, start), Duration::ZERO);
        // Once the burst is over, it is somebody else for the next one.
        let later = start + BURST_TIME;
        pace.took(tenant, 0.002, later);
        assert_eq!(pace.wait(50, later), Duration::ZERO);
        assert_eq!(pace.wait(50, later), Duration::from_millis(500));
    }
}
