//! A cap on the requests in flight to one endpoint: shrinks on timeouts, grows on answers.
//!
//! Before a healthy endpoint, what exceeds the cap waits a moment in the process. Before a slow one it is put off
//! through a delay queue, so that it does not hold a slot that another customer could use.

use std::time::Duration;

/// The cap that a new endpoint starts with.
pub const CAP_START: u32 = 128;
/// The smallest cap: a hanging endpoint is still probed by this many.
pub const CAP_MIN: u32 = 2;
/// The largest cap.
pub const CAP_MAX: u32 = 512;
/// The longest that a request may be expected to wait in the process; one that is, is put off at once.
pub const EXPECTED_WAIT_MAX: Duration = Duration::from_millis(100);
/// The longest that a request waits in the process, whatever was expected.
pub const WAIT_MAX: Duration = Duration::from_millis(250);
/// The longest that a request is put off at once.
pub const DEFERRAL_MAX: Duration = Duration::from_secs(30);

/// What an endpoint is believed to take before it has answered for the first time.
const LATENCY_START: Duration = Duration::from_millis(10);

/// How an attempt that held a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// An answer arrived, whatever it was.
    Answered,
    /// The endpoint did not answer in time.
    TimedOut,
    /// It failed quickly (refused, reset, no name): says nothing about capacity.
    FailedFast,
}

/// What a request that wants a place gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A place.
    Admitted,
    /// One of the next places, probably within [`EXPECTED_WAIT_MAX`]; waits for at most [`WAIT_MAX`].
    Queued,
    /// No place: come back after this long.
    Deferred(Duration),
}

/// The gate of one endpoint in one dispatcher.
#[derive(Debug, Clone)]
pub struct Gate {
    cap: u32,
    in_flight: u32,
    queued: u32,
    deferred: u32,
    answered_since_growth: u32,
    /// A moving average.
    latency: Duration,
}

impl Default for Gate {
    fn default() -> Self {
        let (in_flight, queued, deferred, answered_since_growth) = (0, 0, 0, 0);
        Self {
            cap: CAP_START,
            in_flight,
            queued,
            deferred,
            answered_since_growth,
            latency: LATENCY_START,
        }
    }
}

impl Gate {
    /// Ask for a place.
    pub fn enter(&mut self) -> Entry {
        if self.in_flight < self.cap {
            self.in_flight += 1;
            self.deferred = 0;
            return Entry::Admitted;
        }
        let expected = self.latency.saturating_mul(self.queued + 1) / self.cap;
        if expected <= EXPECTED_WAIT_MAX {
            self.queued += 1;
            return Entry::Queued;
        }
        Entry::Deferred(self.defer())
    }

    /// A queued request has waited for [`WAIT_MAX`]: how long it is put off.
    pub fn give_up(&mut self) -> Duration {
        self.queued = self.queued.saturating_sub(1);
        // The endpoint is slower than believed; whoever comes now is put off sooner.
        self.latency = self.latency.max(WAIT_MAX);
        self.defer()
    }

    /// Give a place back after `taken`. Returns how many queued requests have a place now.
    pub fn leave(&mut self, passage: Passage, taken: Duration) -> u32 {
        self.in_flight = self.in_flight.saturating_sub(1);
        match passage {
            Passage::Answered => {
                self.answered_since_growth += 1;
                // A quarter more for each full round of answers.
                if self.answered_since_growth >= self.cap {
                    self.answered_since_growth = 0;
                    self.cap = (self.cap + self.cap.div_ceil(4)).min(CAP_MAX);
                }
            }
            Passage::TimedOut => {
                self.answered_since_growth = 0;
                self.cap = (self.cap / 2).max(CAP_MIN);
            }
            Passage::FailedFast => {}
        }
        self.latency = (self.latency * 7 + taken.min(DEFERRAL_MAX)) / 8;
        let admitted = self.queued.min(self.cap.saturating_sub(self.in_flight));
        self.queued -= admitted;
        self.in_flight += admitted;
        admitted
    }

    /// The longer the row of those put off, the longer: a crowd must not come back all at once.
    fn defer(&mut self) -> Duration {
        self.deferred = self.deferred.saturating_add(1);
        (Duration::from_secs(1) + self.latency.saturating_mul(self.deferred) / self.cap).min(DEFERRAL_MAX)
    }

    /// Whether the gate has nothing to remember.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.queued == 0 && self.cap >= CAP_START
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(5);
    const SLOW: Duration = Duration::from_secs(10);

    #[test]
    fn a_healthy_endpoint_lets_what_exceeds_the_cap_wait_and_admits_it_in_turn() {
        let mut gate = Gate::default();
        for _ in 0..CAP_START {
            assert_eq!(gate.enter(), Entry::Admitted);
        }
        assert_eq!(gate.enter(), Entry::Queued);
        assert_eq!(gate.leave(Passage::Answered, FAST), 1);
        let crowd = (0..100_000)
            .map(|_| gate.enter())
            .filter(|entry| *entry == Entry::Queued)
            .count();
        assert!(
            (1_000..3_000).contains(&crowd),
            "{crowd} wait; the rest is put off"
        );
    }

    #[test]
    fn a_slow_endpoint_puts_off_and_longer_for_a_longer_crowd() {
        let mut gate = Gate::default();
        for _ in 0..20 {
            assert_eq!(gate.enter(), Entry::Admitted);
            assert_eq!(gate.leave(Passage::TimedOut, SLOW), 0);
        }
        assert_eq!(gate.cap, CAP_MIN);
        assert_eq!((gate.enter(), gate.enter()), (Entry::Admitted, Entry::Admitted));
        let Entry::Deferred(first) = gate.enter() else {
            panic!("put off")
        };
        assert!(first >= Duration::from_secs(1));
        let last = (0..1_000).map(|_| gate.enter()).last();
        assert_eq!(last, Some(Entry::Deferred(DEFERRAL_MAX)));
    }

    #[test]
    fn a_wait_in_vain_teaches_that_the_endpoint_is_slow() {
        let mut gate = Gate::default();
        while gate.enter() != Entry::Queued {}
        assert!(gate.give_up() >= Duration::from_secs(1));
        let crowd = (0..1_000)
            .map(|_| gate.enter())
            .filter(|entry| *entry == Entry::Queued)
            .count();
        assert!(crowd < 100, "{crowd}");
    }

    #[test]
    fn answers_grow_the_cap_back() {
        let mut gate = Gate::default();
        for _ in 0..20 {
            gate.enter();
            gate.leave(Passage::TimedOut, SLOW);
        }
        for _ in 0..10_000 {
            assert_eq!(gate.enter(), Entry::Admitted);
            gate.leave(Passage::Answered, FAST);
        }
        assert_eq!(gate.cap, CAP_MAX);
        assert!(gate.is_idle());
    }
}
