//! When each event was due, accepted and delivered: what one tenant's run is judged by.
//!
//! Everything is a dense array by event number, written without locks: it has to cost next to nothing beside what is
//! measured.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// No time: the clock starts above it.
const NEVER: u64 = 0;
/// How often a wait looks. Nothing is measured by when it ends: arrivals carry their own times.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Nanoseconds since a run began, for everybody in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Now; never 0.
    pub(crate) fn now(self) -> u64 {
        nanoseconds(self.0.elapsed()).max(NEVER + 1)
    }
}

/// A duration as the clock counts.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Events, numbered from 0.
    pub(crate) events: usize,
    /// Endpoints, numbered from 0.
    pub(crate) endpoints: usize,
    /// Requests that each delivery takes: 2 where every first one is refused.
    pub(crate) requests: u8,
}

/// One tenant's events.
#[derive(Debug)]
pub(crate) struct Journal {
    clock: Clock,
    size: Size,
    due: Vec<AtomicU64>,
    sent: Vec<AtomicU64>,
    accepted: Vec<AtomicU64>,
    /// Requests by (endpoint, event).
    counts: Vec<AtomicU8>,
    /// Instants by (endpoint, event, request).
    arrivals: Vec<AtomicU64>,
    complete: AtomicUsize,
    last: AtomicU64,
    unreadable: AtomicUsize,
}

/// What was promised against what came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Deliveries that were owed.
    pub(crate) owed: usize,
    /// Owed deliveries that did not come, or not often enough.
    pub(crate) lost: usize,
    /// Requests beyond what a delivery takes.
    pub(crate) duplicates: usize,
    /// Deliveries that nobody had asked for, and requests that could not be read.
    pub(crate) uninvited: usize,
}

impl Audit {
    /// Of two tenants together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            owed: self.owed + other.owed,
            lost: self.lost + other.lost,
            duplicates: self.duplicates + other.duplicates,
            uninvited: self.uninvited + other.uninvited,
        }
    }
}

fn empty(length: usize) -> Vec<AtomicU64> {
    std::iter::repeat_with(AtomicU64::default).take(length).collect()
}

fn moment(cell: &AtomicU64) -> Option<u64> {
    Some(cell.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
}

impl Journal {
    /// Nothing has happened yet.
    pub(crate) fn new(clock: Clock, size: Size) -> Self {
        let deliveries = size.events * size.endpoints;
        Self {
            clock,
            size,
            due: empty(size.events),
            sent: empty(size.events),
            accepted: empty(size.events),
            counts: std::iter::repeat_with(AtomicU8::default)
                .take(deliveries)
                .collect(),
            arrivals: empty(deliveries * usize::from(size.requests)),
            complete: AtomicUsize::new(0),
            last: AtomicU64::new(NEVER),
            unreadable: AtomicUsize::new(0),
        }
    }

    /// The run's clock.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// How large it is.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// An event is to be sent at this moment, whenever it really is.
    pub(crate) fn note_due(&self, number: usize, at: u64) {
        if let Some(cell) = self.due.get(number) {
            cell.store(at, Ordering::Relaxed);
        }
    }

    /// An event is being sent now.
    pub(crate) fn note_sent(&self, number: usize) {
        if let Some(cell) = self.sent.get(number) {
            cell.store(self.clock.now(), Ordering::Relaxed);
        }
    }

    /// The API has promised to deliver an event.
    pub(crate) fn note_accepted(&self, number: usize) {
        if let Some(cell) = self.accepted.get(number) {
            cell.store(self.clock.now(), Ordering::Relaxed);
        }
    }

    /// A request has arrived: how many of this delivery had come before it. `None` for one of no event of ours.
    pub(crate) fn note_arrival(&self, endpoint: usize, number: usize) -> Option<u8> {
        if endpoint >= self.size.endpoints || number >= self.size.events {
            self.note_unreadable();
            return None;
        }
        let now = self.clock.now();
        let delivery = endpoint * self.size.events + number;
        let before = self.counts[delivery]
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                Some(count.saturating_add(1))
            })
            .unwrap_or_else(|count| count);
        if before < self.size.requests {
            let request = delivery * usize::from(self.size.requests) + usize::from(before);
            self.arrivals[request].store(now, Ordering::Relaxed);
            self.last.fetch_max(now, Ordering::Relaxed);
            if before + 1 == self.size.requests {
                self.complete.fetch_add(1, Ordering::Release);
            }
        }
        Some(before)
    }

    /// A request has arrived that nobody understands.
    pub(crate) fn note_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Deliveries that have come as often as they must.
    pub(crate) fn complete(&self) -> usize {
        self.complete.load(Ordering::Acquire)
    }

    /// Wait until so many deliveries are complete; `false` when nothing has arrived for as long as the patience.
    pub(crate) async fn wait_complete(&self, deliveries: usize, patience: Duration) -> bool {
        let mut silent_since = Instant::now();
        let mut seen = self.last.load(Ordering::Relaxed);
        loop {
            if self.complete() >= deliveries {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let last = self.last.load(Ordering::Relaxed);
            if last != seen {
                (seen, silent_since) = (last, Instant::now());
            } else if silent_since.elapsed() >= patience {
                return false;
            }
        }
    }

    /// Wait until every delivery has had so many requests; `false` when the patience is over.
    pub(crate) async fn wait_requests(&self, deliveries: usize, requests: u8, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let reached = |count: &&AtomicU8| count.load(Ordering::Relaxed) >= requests;
            if self.counts.iter().filter(reached).count() >= deliveries {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// When the first of these events was due.
    pub(crate) fn first_due(&self, numbers: Range<usize>) -> Option<u64> {
        self.due[numbers].iter().filter_map(moment).min()
    }

    /// When the requests of these events came, in order.
    pub(crate) fn arrivals(&self, numbers: Range<usize>) -> Vec<u64> {
        let requests = usize::from(self.size.requests);
        let mut moments: Vec<u64> = (0..self.size.endpoints)
            .flat_map(|endpoint| {
                let first = endpoint * self.size.events;
                &self.arrivals[(first + numbers.start) * requests..(first + numbers.end) * requests]
            })
            .filter_map(moment)
            .collect();
        moments.sort_unstable();
        moments
    }

    /// How many of these events were accepted.
    pub(crate) fn accepted(&self, numbers: Range<usize>) -> usize {
        self.accepted[numbers]
            .iter()
            .filter(|cell| moment(cell).is_some())
            .count()
    }

    /// From the moment that each of these events was due to its first request at each endpoint.
    pub(crate) fn latencies(&self, numbers: Range<usize>) -> Vec<u64> {
        let requests = usize::from(self.size.requests);
        let mut found = vec![];
        for number in numbers {
            let Some(due) = moment(&self.due[number]) else {
                continue;
            };
            for endpoint in 0..self.size.endpoints {
                let arrival = &self.arrivals[(endpoint * self.size.events + number) * requests];
                found.extend(moment(arrival).map(|at| at.saturating_sub(due)));
            }
        }
        found
    }

    /// From the moment that each of these events was due to its 202.
    pub(crate) fn acceptance_latencies(&self, numbers: Range<usize>) -> Vec<u64> {
        self.since_due(numbers, &self.accepted)
    }

    /// From the moment that each of these events was due to when it was sent: the harness's own part, unless all
    /// connections wait for answers.
    pub(crate) fn sending_latencies(&self, numbers: Range<usize>) -> Vec<u64> {
        self.since_due(numbers, &self.sent)
    }

    fn since_due(&self, numbers: Range<usize>, moments: &[AtomicU64]) -> Vec<u64> {
        numbers
            .filter_map(|number| {
                let due = moment(&self.due[number])?;
                Some(moment(&moments[number])?.saturating_sub(due))
            })
            .collect()
    }

    /// By how much each delivery's request number `request` (from 1 for the second) came later than `delay` after the
    /// one before it; 0 for one that came early, and how many did.
    pub(crate) fn lateness(&self, request: u8, delay: Duration) -> (Vec<u64>, usize) {
        let (requests, delay) = (usize::from(self.size.requests), nanoseconds(delay));
        let (mut found, mut early) = (vec![], 0);
        for delivery in self.arrivals.chunks(requests) {
            let pair = usize::from(request)
                .checked_sub(1)
                .and_then(|before| Some((delivery.get(before)?, delivery.get(usize::from(request))?)));
            if let Some((before, this)) = pair
                && let (Some(before), Some(this)) = (moment(before), moment(this))
            {
                early += usize::from(this < before + delay);
                found.push(this.saturating_sub(before + delay));
            }
        }
        (found, early)
    }

    /// Compare what came with what was promised: `wants` says which endpoint an accepted event is for.
    pub(crate) fn audit(&self, wants: impl Fn(usize, usize) -> bool) -> Audit {
        let mut audit = Audit {
            uninvited: self.unreadable.load(Ordering::Relaxed),
            ..Audit::default()
        };
        for endpoint in 0..self.size.endpoints {
            for number in 0..self.size.events {
                let count = self.counts[endpoint * self.size.events + number].load(Ordering::Relaxed);
                // An event whose 202 got lost may have been accepted all the same.
                let sent = moment(&self.due[number]).is_some();
                let owed = moment(&self.accepted[number]).is_some() && wants(endpoint, number);
                audit.owed += usize::from(owed);
                if owed && count < self.size.requests {
                    audit.lost += 1;
                }
                if sent && wants(endpoint, number) {
                    audit.duplicates += usize::from(count.saturating_sub(self.size.requests));
                } else {
                    audit.uninvited += usize::from(count);
                }
            }
        }
        audit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(events: usize, endpoints: usize, requests: u8) -> Journal {
        Journal::new(
            Clock::start(),
            Size {
                events,
                endpoints,
                requests,
            },
        )
    }

    fn publish(journal: &Journal, numbers: Range<usize>) {
        for number in numbers {
            journal.note_due(number, journal.clock().now());
            journal.note_accepted(number);
        }
    }

    #[test]
    fn what_was_accepted_and_did_not_come_is_lost() {
        let journal = journal(3, 2, 1);
        publish(&journal, 0..3);
        for (endpoint, number) in [(0, 0), (0, 1), (1, 0), (1, 2)] {
            journal.note_arrival(endpoint, number);
        }
        let audit = journal.audit(|_, _| true);
        assert_eq!(
            (audit.owed, audit.lost, audit.duplicates, audit.uninvited),
            (6, 2, 0, 0)
        );
    }

    #[test]
    fn what_came_too_often_is_a_duplicate() {
        let journal = journal(2, 1, 1);
        publish(&journal, 0..2);
        for number in [0, 1, 1, 1] {
            journal.note_arrival(0, number);
        }
        let audit = journal.audit(|_, _| true);
        assert_eq!((audit.lost, audit.duplicates), (0, 2));
    }

    #[test]
    fn a_delivery_that_takes_two_requests_is_lost_after_one() {
        let journal = journal(2, 1, 2);
        publish(&journal, 0..2);
        assert_eq!(journal.note_arrival(0, 0), Some(0));
        assert_eq!(journal.note_arrival(0, 1), Some(0));
        assert_eq!(journal.complete(), 0);
        assert_eq!(journal.note_arrival(0, 1), Some(1));
        assert_eq!(journal.complete(), 1);
        assert_eq!(journal.audit(|_, _| true).lost, 1);
    }

    #[test]
    fn what_nobody_asked_for_is_not_taken_for_something_owed() {
        let journal = journal(3, 2, 1);
        publish(&journal, 0..2);
        // Endpoint 1 wants nothing, event 2 was never sent, and there is neither event 3 nor endpoint 2.
        for (endpoint, number) in [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (2, 0)] {
            journal.note_arrival(endpoint, number);
        }
        let audit = journal.audit(|endpoint, _| endpoint == 0);
        assert_eq!(
            (audit.owed, audit.lost, audit.duplicates, audit.uninvited),
            (2, 0, 0, 4)
        );
    }

    #[test]
    fn an_event_that_was_sent_and_not_answered_is_neither_owed_nor_uninvited() {
        let journal = journal(1, 1, 1);
        journal.note_due(0, 5);
        journal.note_arrival(0, 0);
        assert_eq!(journal.audit(|_, _| true), Audit::default());
    }

    #[test]
    fn latencies_count_from_when_an_event_was_due() {
        let journal = journal(3, 1, 1);
        for (number, due, arrival) in [(0, 100, 150), (1, 200, 900), (2, 300, NEVER)] {
            journal.note_due(number, due);
            journal.sent[number].store(due + 10, Ordering::Relaxed);
            journal.accepted[number].store(due + 20, Ordering::Relaxed);
            journal.arrivals[number].store(arrival, Ordering::Relaxed);
        }
        assert_eq!(journal.latencies(0..3), [50, 700]);
        assert_eq!(journal.arrivals(0..3), [150, 900]);
        assert_eq!(journal.arrivals(1..3), [900]);
        assert_eq!(journal.sending_latencies(0..3), [10; 3]);
        assert_eq!(journal.acceptance_latencies(1..3), [20; 2]);
        // Due in the future, and yet it came: not an hour early, but at once.
        journal.note_due(0, 1_000_000);
        assert_eq!(journal.latencies(0..1), [0]);
    }

    #[test]
    fn a_request_is_late_against_the_one_before_it() {
        let journal = journal(3, 1, 2);
        for (slot, at) in [(0, 100), (1, 170), (2, 100), (3, 120), (4, 100)] {
            journal.arrivals[slot].store(at, Ordering::Relaxed);
        }
        // The third delivery's second request has not come.
        let (late, early) = journal.lateness(1, Duration::from_nanos(50));
        assert_eq!((late, early), (vec![20, 0], 1));
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_last_arrival_or_with_the_patience() {
        let journal = journal(2, 1, 1);
        journal.note_arrival(0, 0);
        assert!(journal.wait_complete(1, Duration::ZERO).await);
        assert!(!journal.wait_complete(2, Duration::from_millis(1)).await);
        journal.note_arrival(0, 1);
        assert!(journal.wait_complete(2, Duration::ZERO).await);
        assert!(journal.wait_requests(2, 1, Duration::ZERO).await);
        assert!(!journal.wait_requests(2, 2, Duration::ZERO).await);
    }
}
