//! Reconciliation: from the ledgers to a verdict. It reads no clock and asks nobody.

mod violation;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::books::{
    ATTEMPT_MS, Answer, Arrival, AttemptRow, Books, DeliveryRow, EndpointEntry, EventRow, Fault, GRACE_MS,
    Moment, Publication, Reaction, Status,
};
use crate::plan::{Kind, Victim};

pub(crate) use violation::Violation;

/// How long it may take from an answer to its record, when nothing is wrong.
const RECORD_MS: u64 = 3_000;
/// How long a fault whose recovery was not observed may still be felt after it was lifted.
const AFTERMATH_MS: u64 = 20_000;
/// How long one is felt after its recovery was observed: a test event is through, what waits behind it may not be.
const AFTER_RECOVERY_MS: u64 = 3_000;
/// No request to an endpoint arrives so long after its deletion was answered. The promise is that none starts; this
/// leaves time for a busy machine to read it.
const AFTER_DELETION_MS: u64 = 5_000;

/// A message that the broker does not confirm is given up within this time: ten seconds, and what a busy machine adds.
const GIVEN_UP_WITHIN_MS: u64 = 20_000;

/// A time that does not come.
const NEVER: Moment = Moment(u64::MAX);

/// What the ledgers come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// What must not be; empty when every promise was kept.
    pub(crate) violations: Vec<Violation>,
    pub(crate) figures: Figures,
}

/// What was counted.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figures {
    /// Events answered 202.
    pub(crate) events_accepted: usize,
    /// Events without a definite answer that were accepted all the same.
    pub(crate) events_unannounced: usize,
    /// Events without a definite answer that were not accepted.
    pub(crate) events_not_accepted: usize,
    pub(crate) replays: usize,
    /// Deliveries by status.
    pub(crate) deliveries: BTreeMap<Status, usize>,
    /// Attempts that were recorded.
    pub(crate) attempts: usize,
    /// Requests that receivers got.
    pub(crate) arrivals: usize,
    /// Events or deliveries that were promised and are not there.
    pub(crate) lost: usize,
    /// Requests for what the receiver had taken before, by explanation.
    pub(crate) duplicates: BTreeMap<String, usize>,
    /// Requests, no duplicates, that a fault kept from being recorded.
    pub(crate) unrecorded: usize,
    /// The share of the run during which a fault or its aftermath would have explained a duplicate.
    pub(crate) covered: f64,
}

/// Compare the ledgers.
pub(crate) fn reconcile(books: &Books) -> Verdict {
    let mut verdict = Verdict::default();
    let index = Index::of(books);
    verdict.events(books, &index);
    verdict.expected(books, &index);
    verdict.settled(books, &index);
    verdict.recorded(books, &index);
    verdict.received(books, &index);
    verdict.figures.covered = covered(books);
    verdict.figures.arrivals = books.arrivals.len();
    verdict.figures.attempts = books.attempts.len();
    verdict.figures.replays = books.replays.len();
    for delivery in &books.deliveries {
        *verdict.figures.deliveries.entry(delivery.status).or_default() += 1;
    }
    verdict.figures.lost = verdict
        .violations
        .iter()
        .filter(|violation| violation.is_loss())
        .count();
    verdict
}

/// The ledgers, by what connects them.
struct Index<'a> {
    events: HashMap<&'a str, &'a EventRow>,
    events_of_mark: HashMap<&'a str, Vec<&'a EventRow>>,
    publications: HashMap<&'a str, &'a Publication>,
    endpoints: HashMap<i64, &'a EndpointEntry>,
    deliveries: HashMap<&'a str, &'a DeliveryRow>,
    /// Those that are no replays, by event.
    deliveries_of_event: HashMap<&'a str, Vec<&'a DeliveryRow>>,
    attempts: HashMap<&'a str, Vec<&'a AttemptRow>>,
    arrivals: HashMap<&'a str, Vec<&'a Arrival>>,
}

impl<'a> Index<'a> {
    fn of(books: &'a Books) -> Self {
        let mut attempts: HashMap<_, Vec<&AttemptRow>> =
            grouped(&books.attempts, |row| row.delivery.as_str());
        attempts
            .values_mut()
            .for_each(|rows| rows.sort_by_key(|row| row.number));
        let mut arrivals: HashMap<_, Vec<&Arrival>> = grouped(&books.arrivals, |row| row.delivery.as_str());
        arrivals
            .values_mut()
            .for_each(|rows| rows.sort_by_key(|row| row.at));
        let originals = books.deliveries.iter().filter(|row| !row.is_replay);
        Self {
            events: books.events.iter().map(|row| (row.id.as_str(), row)).collect(),
            events_of_mark: grouped(&books.events, |row| row.mark.as_str()),
            publications: books
                .publications
                .iter()
                .flat_map(|publication| {
                    publication
                        .marks
                        .iter()
                        .map(move |mark| (mark.as_str(), publication))
                })
                .collect(),
            endpoints: books.endpoints.iter().map(|entry| (entry.id, entry)).collect(),
            deliveries: books
                .deliveries
                .iter()
                .map(|row| (row.id.as_str(), row))
                .collect(),
            deliveries_of_event: grouped(originals, |row| row.event.as_str()),
            attempts,
            arrivals,
        }
    }

    fn attempts(&self, delivery: &str) -> &[&'a AttemptRow] {
        self.attempts.get(delivery).map_or(&[], Vec::as_slice)
    }

    /// Since when the first attempt of a delivery had been to be made: since its event was published, or it was sent again.
    fn outstanding_since(&self, first: &Arrival, row: Option<&DeliveryRow>) -> Moment {
        let published = self
            .publications
            .get(first.mark.as_str())
            .map(|publication| publication.asked);
        match row {
            Some(replay) if replay.is_replay => replay.created.min(first.at),
            _ => published.unwrap_or(first.at),
        }
    }

    fn arrivals(&self, delivery: &str) -> &[&'a Arrival] {
        self.arrivals.get(delivery).map_or(&[], Vec::as_slice)
    }
}

fn grouped<'a, T, K: std::hash::Hash + Eq>(
    rows: impl IntoIterator<Item = &'a T>,
    key: impl Fn(&'a T) -> K,
) -> HashMap<K, Vec<&'a T>> {
    let mut groups: HashMap<K, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

/// Whether an endpoint gets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Yes,
    /// Something changed at about that time.
    Perhaps,
    No,
}

fn expected(publication: &Publication, endpoint: &EndpointEntry) -> Expected {
    let is_named = |types: &[&str]| types.contains(&publication.event_type);
    let is_always = is_named(&endpoint.types);
    if publication.tenant != endpoint.tenant || !(is_always || is_named(&endpoint.sometimes)) {
        return Expected::No;
    }
    if let Answer::Accepted { at, .. } = &publication.answer
        && *at < endpoint.created.asked
    {
        return Expected::No;
    }
    match endpoint.deleted {
        Some(deleted) if publication.asked > deleted.answered => Expected::No,
        None if is_always && publication.asked > endpoint.created.answered => Expected::Yes,
        _ => Expected::Perhaps,
    }
}

impl Verdict {
    fn say(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// What clients were promised is in the database, once, and a batch is there as a whole or not at all.
    fn events(&mut self, books: &Books, index: &Index<'_>) {
        for publication in &books.publications {
            let stored = |mark: &String| {
                index
                    .events_of_mark
                    .get(mark.as_str())
                    .map_or(&[][..], Vec::as_slice)
            };
            for mark in publication.marks.iter().filter(|mark| stored(mark).len() > 1) {
                self.say(Violation::PublishedTwice { mark: mark.clone() });
            }
            let there = publication
                .marks
                .iter()
                .filter(|mark| !stored(mark).is_empty())
                .count();
            match &publication.answer {
                Answer::Accepted { events, .. } => {
                    self.figures.events_accepted += publication.marks.len();
                    for (position, mark) in publication.marks.iter().enumerate() {
                        match (stored(mark).first(), events.get(position)) {
                            (Some(event), Some(id)) if event.id == *id => {}
                            (Some(event), told) => self.say(Violation::WrongId {
                                mark: mark.clone(),
                                stored: event.id.clone(),
                                told: told.cloned().unwrap_or_default(),
                            }),
                            (None, told) => self.say(Violation::LostEvent {
                                mark: mark.clone(),
                                event: told.cloned().unwrap_or_default(),
                            }),
                        }
                    }
                }
                Answer::Refused { status, text } => self.say(Violation::Refused {
                    mark: publication.marks.first().cloned().unwrap_or_default(),
                    status: *status,
                    text: text.clone(),
                }),
                Answer::Unknown if there == 0 => self.figures.events_not_accepted += publication.marks.len(),
                Answer::Unknown => self.figures.events_unannounced += there,
            }
            if there > 0 && there < publication.marks.len() {
                self.say(Violation::HalfBatch {
                    mark: publication.marks[0].clone(),
                    there,
                    of: publication.marks.len(),
                });
            }
        }
        let known: HashSet<&str> = books
            .publications
            .iter()
            .flat_map(|publication| &publication.marks)
            .map(String::as_str)
            .collect();
        for event in books
            .events
            .iter()
            .filter(|event| !known.contains(event.mark.as_str()))
        {
            self.say(Violation::UnknownEvent {
                event: event.id.clone(),
            });
        }
    }

    /// Every event has one delivery to each endpoint that it matched, and none to another one.
    fn expected(&mut self, books: &Books, index: &Index<'_>) {
        let mut endpoints_of_tenant: HashMap<i64, Vec<&EndpointEntry>> = HashMap::new();
        for endpoint in &books.endpoints {
            endpoints_of_tenant
                .entry(endpoint.tenant)
                .or_default()
                .push(endpoint);
        }
        for publication in &books.publications {
            let endpoints = endpoints_of_tenant
                .get(&publication.tenant)
                .map_or(&[][..], Vec::as_slice);
            let events = publication
                .marks
                .iter()
                .filter_map(|mark| index.events_of_mark.get(mark.as_str()));
            for event in events.flatten() {
                let deliveries = index
                    .deliveries_of_event
                    .get(event.id.as_str())
                    .map_or(&[][..], Vec::as_slice);
                let mut counts: HashMap<i64, usize> = HashMap::new();
                for delivery in deliveries {
                    *counts.entry(delivery.endpoint).or_default() += 1;
                }
                for endpoint in endpoints {
                    let count = counts.remove(&endpoint.id).unwrap_or_default();
                    let (event, endpoint, wanted) =
                        (event.id.clone(), endpoint.id, expected(publication, endpoint));
                    match (wanted, count) {
                        (Expected::Yes, 0) => self.say(Violation::MissingDelivery { event, endpoint }),
                        (Expected::No, 1..) => self.say(Violation::UnexpectedDelivery { event, endpoint }),
                        (Expected::Yes | Expected::Perhaps, 2..) => {
                            self.say(Violation::DoubledDelivery {
                                event,
                                endpoint,
                                count,
                            });
                        }
                        _ => {}
                    }
                }
                for endpoint in counts.into_keys() {
                    let event = event.id.clone();
                    self.say(Violation::UnexpectedDelivery { event, endpoint });
                }
            }
        }
        for replay in &books.replays {
            if !index.deliveries.contains_key(replay.as_str()) {
                self.say(Violation::LostReplay {
                    delivery: replay.clone(),
                });
            }
        }
    }

    /// Everything has ended, and as it had to.
    fn settled(&mut self, books: &Books, index: &Index<'_>) {
        for event in &books.outbox {
            self.say(Violation::StuckEvent { event: event.clone() });
        }
        for delivery in &books.deliveries {
            let id = || delivery.id.clone();
            let Some(endpoint) = index.endpoints.get(&delivery.endpoint) else {
                continue;
            };
            let why = delivery.error.as_deref().unwrap_or_default();
            let is_excused = match delivery.status {
                Status::Pending => {
                    self.say(Violation::StuckDelivery { delivery: id() });
                    continue;
                }
                Status::Succeeded => true,
                Status::Skipped => endpoint.is_paused_at_times,
                Status::Failed if why == "endpoint_disabled" => endpoint.is_paused_at_times,
                Status::Failed if why == "endpoint_deleted" => endpoint.deleted.is_some(),
                Status::Failed => !endpoint.takes_all,
                Status::Exhausted => !endpoint.takes_all && delivery.attempt_count == books.attempts_max,
            };
            if !is_excused {
                self.say(Violation::WrongEnd {
                    delivery: id(),
                    endpoint: delivery.endpoint,
                    status: delivery.status,
                    attempts: delivery.attempt_count,
                    error: why.to_owned(),
                });
            }
        }
    }

    /// What the database says of attempts adds up, and receivers say the same.
    fn recorded(&mut self, books: &Books, index: &Index<'_>) {
        for delivery in &books.deliveries {
            let attempts = index.attempts(&delivery.id);
            let are_counted = attempts.len() == delivery.attempt_count
                && attempts
                    .iter()
                    .zip(1..)
                    .all(|(attempt, number)| attempt.number == number);
            let (last, before) = match attempts.split_last() {
                Some((last, before)) => (Some(last), before),
                None => (None, &[][..]),
            };
            let ends_well =
                last.is_some_and(|last| last.succeeded()) == (delivery.status == Status::Succeeded);
            if !are_counted || !ends_well || before.iter().any(|attempt| attempt.succeeded()) {
                self.say(Violation::WrongLog {
                    delivery: delivery.id.clone(),
                    status: delivery.status,
                    attempt_count: delivery.attempt_count,
                    attempts: attempts
                        .iter()
                        .map(|attempt| (attempt.number, attempt.status))
                        .collect(),
                });
            }
            for attempt in attempts {
                let Some(status) = attempt.status else { continue };
                let gave = |arrival: &&&Arrival| {
                    arrival.signature == attempt.signature
                        && match arrival.reaction {
                            Reaction::Takes { .. } => attempt.succeeded(),
                            Reaction::Refuses(given) => given == status,
                            Reaction::TakesSilently | Reaction::Hangs => false,
                        }
                };
                if !index.arrivals(&delivery.id).iter().any(|arrival| gave(&arrival)) {
                    self.say(Violation::NeverReceived {
                        delivery: delivery.id.clone(),
                        attempt: attempt.number,
                        status,
                    });
                }
            }
        }
    }

    /// What receivers got was sent for a reason.
    fn received(&mut self, books: &Books, index: &Index<'_>) {
        for (&delivery, arrivals) in &index.arrivals {
            let row = index.deliveries.get(delivery).copied();
            let mut log: Vec<&AttemptRow> = index.attempts(delivery).to_vec();
            let mut taken: Option<Handled<'_>> = None;
            let published = index.outstanding_since(arrivals[0], row);
            let mut outstanding = published;
            for arrival in arrivals {
                self.wanted(books, index, arrival, row);
                let at = log
                    .iter()
                    .position(|attempt| attempt.signature == arrival.signature);
                let handled = Handled {
                    arrival,
                    attempt: at.map(|at| log.swap_remove(at)),
                    published,
                    outstanding,
                    endpoint: index.endpoints.get(&arrival.endpoint).copied(),
                };
                let excuse = handled
                    .excuse(books)
                    .or_else(|| taken.and_then(|before| before.excuse(books)));
                if handled.attempt.is_none() {
                    // Nobody wrote it down: only a fault, or a deletion, may do that.
                    match excuse {
                        Some(_) if taken.is_none() => self.figures.unrecorded += 1,
                        Some(_) => {}
                        None => self.say(Violation::Unrecorded {
                            delivery: delivery.to_owned(),
                            endpoint: arrival.endpoint,
                            at: arrival.at,
                        }),
                    }
                }
                if let Some(before) = taken {
                    let explanation = before.answer_lost().or(excuse);
                    match explanation {
                        Some(explanation) => {
                            *self
                                .figures
                                .duplicates
                                .entry(explanation.to_string())
                                .or_default() += 1;
                        }
                        None => self.say(Violation::UnexplainedDuplicate {
                            delivery: delivery.to_owned(),
                            endpoint: arrival.endpoint,
                            first: before.arrival.at,
                            again: arrival.at,
                        }),
                    }
                }
                match handled.attempt {
                    Some(attempt) if attempt.succeeded() => outstanding = NEVER,
                    Some(_) => outstanding = arrival.at,
                    None => {}
                }
                if arrival.reaction.took() {
                    taken = Some(handled);
                }
            }
            if let (Some(taken), Some(row)) = (taken, row)
                && !matches!(row.status, Status::Succeeded | Status::Pending)
                && taken.answer_lost().or_else(|| taken.excuse(books)).is_none()
            {
                self.say(Violation::TakenNotRecorded {
                    delivery: delivery.to_owned(),
                    status: row.status,
                });
            }
        }
    }

    /// Whether a request was for somebody who wanted it.
    fn wanted(&mut self, books: &Books, index: &Index<'_>, arrival: &Arrival, row: Option<&DeliveryRow>) {
        let is_known = index
            .events
            .get(arrival.event.as_str())
            .is_some_and(|event| event.mark == arrival.mark);
        let endpoint = index.endpoints.get(&arrival.endpoint);
        // An attempt whose record a fault prevented leaves nothing behind when its endpoint is gone afterwards.
        let may_have_no_row =
            endpoint.is_some_and(|endpoint| endpoint.deleted.is_some() || !endpoint.sometimes.is_empty());
        let is_its_own = row.map_or(may_have_no_row, |row| {
            row.event == arrival.event && row.endpoint == arrival.endpoint
        });
        if !is_known || !is_its_own {
            self.say(Violation::UnknownRequest {
                delivery: arrival.delivery.clone(),
                endpoint: arrival.endpoint,
                mark: arrival.mark.clone(),
            });
        }
        if let Some(deleted) = endpoint.and_then(|endpoint| endpoint.deleted)
            && arrival.at > deleted.answered.plus(AFTER_DELETION_MS)
            && !was_frozen(&books.faults, deleted.answered, arrival.at)
        {
            self.say(Violation::AfterDeletion {
                delivery: arrival.delivery.clone(),
                endpoint: arrival.endpoint,
                late_ms: arrival.at.since(deleted.answered),
            });
        }
    }
}

/// Whether a dispatcher was frozen in between: what it had looked up before, it does not look up again.
fn was_frozen(faults: &[Fault], from: Moment, to: Moment) -> bool {
    let frozen = |fault: &&Fault| fault.kind == Kind::FreezeDispatcher;
    faults
        .iter()
        .filter(frozen)
        .any(|fault| fault.struck <= to && fault.lifted.plus(AFTER_RECOVERY_MS) >= from)
}

/// Why a request came for what had been taken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Explanation {
    /// The database says that the attempt failed: its answer did not reach us.
    AnswerLost,
    /// It was to be made, in flight or not recorded yet, when this struck.
    Unrecorded(Kind),
    /// It had been to be made for so long that the relay or the sweep published it again.
    TakenForLost,
    /// Its event's message, or one published at that time, was given up without a confirm, and published again.
    GivenUp,
    /// Its endpoint was deleted at that moment, which ends what is pending.
    Deleted,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AnswerLost => f.write_str("the receiver's answer was lost"),
            Self::Unrecorded(kind) => write!(f, "in flight or unrecorded: {}", kind.words()),
            Self::TakenForLost => f.write_str("waited so long that it was published again"),
            Self::GivenUp => f.write_str("given up without a confirm and published again"),
            Self::Deleted => f.write_str("in flight while its endpoint was deleted"),
        }
    }
}

/// A request at a receiver, and its record.
#[derive(Clone, Copy)]
struct Handled<'a> {
    arrival: &'a Arrival,
    attempt: Option<&'a AttemptRow>,
    /// Since when the delivery's first attempt had been to be made.
    published: Moment,
    /// Since when this attempt had been to be made: messages for it were somewhere. [`NEVER`] for one that was not to be
    /// made, because another one had succeeded.
    outstanding: Moment,
    endpoint: Option<&'a EndpointEntry>,
}

impl Handled<'_> {
    fn answer_lost(self) -> Option<Explanation> {
        let is_lost = self.attempt.is_some_and(|attempt| !attempt.succeeded());
        is_lost.then_some(Explanation::AnswerLost)
    }

    /// The fault that struck while this was to be made, in flight or not recorded; or the deletion at that time.
    ///
    /// A fault before the request counts when its messages were out: one that strikes then may leave two of them, or let
    /// what waits be taken for lost, and both copies are attempted when their time comes.
    fn excuse(self, books: &Books) -> Option<Explanation> {
        let after_ms = match self.arrival.reaction {
            Reaction::Takes { after_ms } => after_ms,
            Reaction::TakesSilently | Reaction::Refuses(_) => 0,
            Reaction::Hangs => ATTEMPT_MS,
        };
        let (from, to) = (
            self.outstanding.min(self.arrival.at),
            self.arrival.at.plus(after_ms + RECORD_MS),
        );
        let touches = |fault: &&Fault| excuses(fault.kind) && fault.struck <= to && felt_until(fault) >= from;
        if let Some(fault) = books.faults.iter().rev().find(touches) {
            return Some(Explanation::Unrecorded(fault.kind));
        }
        // On a machine without time, what is in a dispatcher's hands gets old.
        let is_old = |round: &&Moment| **round >= from.plus(GRACE_MS) && **round <= to;
        if books.rounds.iter().any(|round| is_old(&round)) {
            return Some(Explanation::TakenForLost);
        }
        // A broker that is blocked may have its message all the same, and hand out both copies later.
        let is_its_own = |given_up: &&Moment| {
            **given_up >= self.published
                && **given_up <= self.published.plus(GIVEN_UP_WITHIN_MS)
                && **given_up <= to
        };
        if books.given_up.iter().any(|given_up| is_its_own(&given_up)) {
            return Some(Explanation::GivenUp);
        }
        let deleted = self.endpoint.and_then(|endpoint| endpoint.deleted)?;
        let is_at_that_time =
            deleted.asked <= to && deleted.answered.plus(AFTER_DELETION_MS) >= self.arrival.at;
        is_at_that_time.then_some(Explanation::Deleted)
    }
}

/// Whether a fault may keep an attempt from being recorded, or have it made twice.
fn excuses(kind: Kind) -> bool {
    match kind {
        // These only slow things down: everything still arrives, once.
        Kind::DelayBroker | Kind::DelayDatabase | Kind::BrokerMemory | Kind::BrokerDisk => false,
        _ => match kind.victim() {
            Victim::Dispatcher | Victim::Broker | Victim::Database => true,
            Victim::Api | Victim::Receiver => false,
        },
    }
}

fn felt_until(fault: &Fault) -> Moment {
    match fault.recovered {
        Some(recovered) => recovered.plus(AFTER_RECOVERY_MS),
        None => fault.lifted.plus(AFTERMATH_MS),
    }
}

/// The share of the time, from the first publication to the last arrival, in which a fault would excuse.
fn covered(books: &Books) -> f64 {
    let from = books
        .publications
        .iter()
        .map(|publication| publication.asked)
        .min();
    let to = books.arrivals.iter().map(|arrival| arrival.at).max();
    let (Some(from), Some(to)) = (from, to) else {
        return 0.0;
    };
    let (mut covered, mut until) = (0, from);
    let mut windows: Vec<(Moment, Moment)> = books
        .faults
        .iter()
        .filter(|fault| excuses(fault.kind))
        .map(|fault| (fault.struck.minus(RECORD_MS), felt_until(fault)))
        .collect();
    windows.sort_unstable();
    for (struck, end) in windows {
        let (begin, end) = (struck.max(until), end.min(to));
        covered += end.since(begin);
        until = until.max(end);
    }
    covered as f64 / to.since(from).max(1) as f64
}

#[cfg(test)]
mod tests;
