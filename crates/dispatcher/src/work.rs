//! A message in our hands: the events that it carries, what each is responsible for, and when it may be acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use plumbline_broker::Ticket;
use plumbline_domain::EventId;

/// The outbox row that a message stands for: the event and the chunk (0 is the whole event).
pub type OutboxKey = (EventId, i32);

/// An AMQP message whose events are dealt with one by one.
struct Message {
    ticket: Mutex<Option<Ticket>>,
    tally: Tally,
}

/// Counts the ends of what belongs together.
struct Tally {
    open: AtomicUsize,
    given_up: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Settled,
    GivenUp,
}

impl Tally {
    fn new(count: usize) -> Self {
        Self {
            open: AtomicUsize::new(count),
            given_up: AtomicBool::new(false),
        }
    }

    /// One more has ended. The last one tells how all have: settled only if each is.
    fn end(&self, ending: Ending) -> Option<Ending> {
        if ending == Ending::GivenUp {
            self.given_up.store(true, Ordering::Release);
        }
        let is_last = self.open.fetch_sub(1, Ordering::AcqRel) == 1;
        is_last.then(|| {
            if self.given_up.load(Ordering::Acquire) {
                Ending::GivenUp
            } else {
                Ending::Settled
            }
        })
    }
}

/// One event's share of a message. The message is acknowledged when every share is settled; if one of them cannot be,
/// it goes back to the queue when the others are done.
///
/// Dropped, it counts as given up.
pub struct Share {
    /// Absent once it is settled.
    message: Option<Arc<Message>>,
}

impl Share {
    /// A message that is one thing to do.
    pub fn whole(ticket: Ticket) -> Self {
        Self {
            message: Some(Arc::new(Message::new(ticket, 1))),
        }
    }

    /// The shares of a message with this many events.
    pub fn of(ticket: Ticket, count: usize) -> Vec<Self> {
        let message = Arc::new(Message::new(ticket, count));
        std::iter::repeat_with(|| Self {
            message: Some(message.clone()),
        })
        .take(count)
        .collect()
    }

    /// Nothing is left to do for this event.
    pub fn settle(mut self) {
        if let Some(message) = self.message.take() {
            message.finish(Ending::Settled);
        }
    }

    /// This event cannot be dealt with here.
    pub fn give_up(self) {
        drop(self);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            message.finish(Ending::GivenUp);
        }
    }
}

impl Message {
    fn new(ticket: Ticket, shares: usize) -> Self {
        Self {
            ticket: Mutex::new(Some(ticket)),
            tally: Tally::new(shares),
        }
    }

    fn finish(&self, ending: Ending) {
        if let Some(ending) = self.tally.end(ending)
            && let Some(ticket) = self.ticket.lock().take()
        {
            match ending {
                Ending::Settled => ticket.ack(),
                Ending::GivenUp => ticket.requeue(),
            }
        }
    }
}

/// One event of a message and what is left to do for it.
///
/// Its share is settled when every part is: recorded in PostgreSQL, and its retry, if there is one, confirmed by the
/// broker. Its outbox row goes with the statement that records the last part.
pub struct Work {
    share: Mutex<Option<Share>>,
    outbox: Option<OutboxKey>,
    tally: Tally,
    unrecorded: AtomicUsize,
}

impl Work {
    /// An event with this many parts, at least one.
    pub fn parts(share: Share, outbox: Option<OutboxKey>, count: usize) -> Vec<Part> {
        let work = Arc::new(Self::new(share, outbox, count));
        (0..count).map(|_| Part::of(work.clone())).collect()
    }

    /// A message that is one thing to do.
    pub fn single(ticket: Ticket, outbox: Option<OutboxKey>) -> Part {
        Part::of(Arc::new(Self::new(Share::whole(ticket), outbox, 1)))
    }

    fn new(share: Share, outbox: Option<OutboxKey>, parts: usize) -> Self {
        Self {
            share: Mutex::new(Some(share)),
            outbox,
            tally: Tally::new(parts),
            unrecorded: AtomicUsize::new(parts),
        }
    }
}

/// One part of an event's work: usually one delivery.
///
/// Dropped unsettled (a panic, a shutdown), the message goes back to the queue.
pub struct Part {
    work: Arc<Work>,
    recorded: bool,
    settled: bool,
}

impl Part {
    fn of(work: Arc<Work>) -> Self {
        Self {
            work,
            recorded: false,
            settled: false,
        }
    }

    /// Which event's work this belongs to; equal for all of its parts.
    pub fn work(&self) -> usize {
        Arc::as_ptr(&self.work) as usize
    }

    /// Whether this part has no row in PostgreSQL yet.
    pub fn is_unrecorded(&self) -> bool {
        !self.recorded
    }

    /// The outbox row that may go when `count` more parts of this work are recorded; `None` while others are
    /// missing.
    pub fn completes(&self, count: usize) -> Option<OutboxKey> {
        if self.work.unrecorded.load(Ordering::Acquire) == count {
            self.work.outbox
        } else {
            None
        }
    }

    /// This part has a row in PostgreSQL. Saying it twice is the same as once.
    pub fn recorded(&mut self) {
        if !std::mem::replace(&mut self.recorded, true) {
            self.work.unrecorded.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Nothing is left to do for this part. The last one settles the event's share of the message.
    pub fn settle(mut self) {
        self.finish(Ending::Settled);
    }

    /// This part cannot be settled here: the message goes back to the queue when its other parts are done.
    pub fn give_up(mut self) {
        self.finish(Ending::GivenUp);
    }

    fn finish(&mut self, ending: Ending) {
        if !std::mem::replace(&mut self.settled, true)
            && let Some(ending) = self.work.tally.end(ending)
            && let Some(share) = self.work.share.lock().take()
        {
            match ending {
                Ending::Settled => share.settle(),
                Ending::GivenUp => share.give_up(),
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.finish(Ending::GivenUp);
    }
}

#[cfg(test)]
mod tests {
    use super::Ending::{GivenUp, Settled};
    use super::*;

    #[test]
    fn the_last_one_tells_and_one_that_was_given_up_gives_all_up() {
        for (endings, expected) in [
            (&[Settled][..], Settled),
            (&[GivenUp], GivenUp),
            (&[Settled, Settled, Settled], Settled),
            (&[GivenUp, Settled, Settled], GivenUp),
            (&[Settled, GivenUp, Settled], GivenUp),
            (&[Settled, Settled, GivenUp], GivenUp),
        ] {
            let tally = Tally::new(endings.len());
            let told: Vec<_> = endings.iter().map(|ending| tally.end(*ending)).collect();
            let (last, before) = told.split_last().expect("at least one");
            assert!(before.iter().all(Option::is_none), "{endings:?}: {told:?}");
            assert_eq!(*last, Some(expected), "{endings:?}");
        }
    }
}
