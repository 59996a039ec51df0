//! What happens outside of the system, written down as it happens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::books::{Arrival, EndpointEntry, Fault, Moment, Publication, Reaction, Span};
use crate::reconcile::Violation;

/// A number that stands in an endpoint's URL: what its receiver knows it by.
pub(crate) type Door = u32;

/// Written by clients, receivers and whoever strikes.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Pages>);

#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) publications: Vec<Publication>,
    pub(crate) replays: Vec<String>,
    pub(crate) endpoints: Vec<EndpointEntry>,
    pub(crate) doors: HashMap<Door, i64>,
    pub(crate) arrivals: Vec<Request>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) violations: Vec<Violation>,
}

/// A request at a door, whose endpoint may not be known yet: it may come before the answer to its creation.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) door: Door,
    pub(crate) delivery: String,
    pub(crate) event: String,
    pub(crate) mark: String,
    pub(crate) signature: String,
    pub(crate) at: Moment,
    pub(crate) reaction: Reaction,
}

impl Request {
    /// The arrival at an endpoint.
    pub(crate) fn at_endpoint(self, endpoint: i64) -> Arrival {
        Arrival {
            delivery: self.delivery,
            event: self.event,
            endpoint,
            mark: self.mark,
            signature: self.signature,
            at: self.at,
            reaction: self.reaction,
        }
    }
}

/// The time now.
pub(crate) fn now() -> Moment {
    moment(SystemTime::now())
}

/// A time of the wall clock.
pub(crate) fn moment(time: SystemTime) -> Moment {
    let since = time.duration_since(UNIX_EPOCH).expect("it is after 1970");
    Moment(u64::try_from(since.as_millis()).expect("it is before the year 500 million"))
}

impl Journal {
    pub(crate) fn publication(&self, publication: Publication) {
        self.open().publications.push(publication);
    }

    pub(crate) fn replay(&self, delivery: String) {
        self.open().replays.push(delivery);
    }

    pub(crate) fn endpoint(&self, door: Door, entry: EndpointEntry) {
        let mut pages = self.open();
        pages.doors.insert(door, entry.id);
        pages.endpoints.push(entry);
    }

    pub(crate) fn deleted(&self, endpoint: i64, span: Span) {
        let mut pages = self.open();
        let entry = pages.endpoints.iter_mut().find(|entry| entry.id == endpoint);
        entry.expect("it was created").deleted = Some(span);
    }

    pub(crate) fn request(&self, request: Request) {
        self.open().arrivals.push(request);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.open().faults.push(fault);
    }

    /// Everything was well again: those faults that have no recovery yet, by their position from here, are over.
    pub(crate) fn recovered(&self, at: Moment) {
        for fault in &mut self.open().faults {
            fault.recovered.get_or_insert(at);
        }
    }

    pub(crate) fn violation(&self, violation: Violation) {
        self.open().violations.push(violation);
    }

    /// Whether an event with this mark has been taken.
    pub(crate) fn has_arrived(&self, mark: &str) -> bool {
        let pages = self.open();
        let mut requests = pages.arrivals.iter().rev();
        requests.any(|request| request.mark == mark && request.reaction.took())
    }

    /// Everything, and the journal is empty.
    pub(crate) fn close(&self) -> Pages {
        std::mem::take(&mut self.open())
    }

    fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
