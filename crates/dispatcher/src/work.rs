//! A message in our hands: what it is responsible for, and when it may be acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use plumbline_broker::Ticket;
use plumbline_domain::EventId;

/// The outbox row that a message stands for: the event and the chunk (0 is the whole event).
pub type OutboxKey = (EventId, i32);

/// An AMQP message and what is left to do for it.
///
/// It is acknowledged when every part is settled: recorded in PostgreSQL, and its retry, if there is one, confirmed
/// by the broker. Its outbox row goes with the statement that records the last part.
pub struct Work {
    ticket: Mutex<Option<Ticket>>,
    outbox: Option<OutboxKey>,
    unsettled: AtomicUsize,
    unrecorded: AtomicUsize,
    given_up: AtomicBool,
}

impl Work {
    /// A message with this many parts, at least one.
    pub fn parts(ticket: Ticket, outbox: Option<OutboxKey>, count: usize) -> Vec<Part> {
        let work = Arc::new(Self {
            ticket: Mutex::new(Some(ticket)),
            outbox,
            unsettled: AtomicUsize::new(count),
            unrecorded: AtomicUsize::new(count),
            given_up: AtomicBool::new(false),
        });
        (0..count)
            .map(|_| Part {
                work: work.clone(),
                recorded: false,
                settled: false,
            })
            .collect()
    }

    /// A message that is one thing to do.
    pub fn single(ticket: Ticket, outbox: Option<OutboxKey>) -> Part {
        let work = Self {
            ticket: Mutex::new(Some(ticket)),
            outbox,
            unsettled: AtomicUsize::new(1),
            unrecorded: AtomicUsize::new(1),
            given_up: AtomicBool::new(false),
        };
        Part {
            work: Arc::new(work),
            recorded: false,
            settled: false,
        }
    }
}

/// One part of a message's work: usually one delivery.
///
/// Dropped unsettled (a panic, a shutdown), the message goes back to the queue.
pub struct Part {
    work: Arc<Work>,
    recorded: bool,
    settled: bool,
}

impl Part {
    /// Which message this belongs to; equal for all of its parts.
    pub fn message(&self) -> usize {
        Arc::as_ptr(&self.work) as usize
    }

    /// Whether this part has no row in PostgreSQL yet.
    pub fn is_unrecorded(&self) -> bool {
        !self.recorded
    }

    /// The outbox row that may go when `count` more parts of this message are recorded; `None` while others are
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

    /// Nothing is left to do for this part. The last one acknowledges the message.
    pub fn settle(mut self) {
        self.finish(false);
    }

    /// This part cannot be settled here: the message goes back to the queue when its other parts are done.
    pub fn give_up(mut self) {
        self.finish(true);
    }

    fn finish(&mut self, give_up: bool) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        if give_up {
            self.work.given_up.store(true, Ordering::Release);
        }
        if self.work.unsettled.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(ticket) = self.work.ticket.lock().take()
        {
            if self.work.given_up.load(Ordering::Acquire) {
                ticket.requeue()
            } else {
                ticket.ack()
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.finish(true);
    }
}
