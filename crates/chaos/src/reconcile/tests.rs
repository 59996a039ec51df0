//! One small world in order, and one thing wrong at a time.

use super::*;
use crate::books::Span;

const TENANT: i64 = 1;
const TYPE: &str = "bid.created";
const ENDPOINT: i64 = 7;

fn at(ms: u64) -> Moment {
    Moment(1_000_000 + ms)
}

fn span(ms: u64) -> Span {
    Span {
        asked: at(ms),
        answered: at(ms + 1),
    }
}

fn endpoint() -> EndpointEntry {
    EndpointEntry {
        id: ENDPOINT,
        tenant: TENANT,
        types: vec![TYPE],
        sometimes: vec![],
        created: span(0),
        deleted: None,
        is_paused_at_times: false,
        takes_all: true,
    }
}

fn arrival(event: &str, delivery: &str, ms: u64) -> Arrival {
    Arrival {
        delivery: delivery.to_owned(),
        event: event.to_owned(),
        endpoint: ENDPOINT,
        mark: format!("mark-{event}"),
        signature: format!("sig-{delivery}-{ms}"),
        at: at(ms),
        reaction: Reaction::Takes { after_ms: 0 },
    }
}

/// The record of an arrival.
fn attempt(arrival: &Arrival, number: usize, status: Option<u16>) -> AttemptRow {
    AttemptRow {
        delivery: arrival.delivery.clone(),
        number,
        signature: arrival.signature.clone(),
        status,
    }
}

fn fault(kind: Kind, struck: u64, lifted: u64) -> Fault {
    Fault {
        kind,
        struck: at(struck),
        lifted: at(lifted),
        recovered: Some(at(lifted)),
    }
}

/// A batch of three events, each delivered at once, 100 ms apart.
fn world() -> Books {
    let mut books = Books {
        endpoints: vec![endpoint()],
        attempts_max: 3,
        ..Books::default()
    };
    let names = ["a", "b", "c"];
    books.publications.push(Publication {
        marks: names.map(|name| format!("mark-{name}")).to_vec(),
        tenant: TENANT,
        event_type: TYPE,
        asked: at(100),
        answer: Answer::Accepted {
            at: at(150),
            events: names.map(str::to_owned).to_vec(),
        },
    });
    for (name, ms) in names.into_iter().zip([200, 300, 400]) {
        let delivery = format!("d-{name}");
        books.events.push(EventRow {
            id: name.to_owned(),
            mark: format!("mark-{name}"),
        });
        books.deliveries.push(DeliveryRow {
            id: delivery.clone(),
            event: name.to_owned(),
            endpoint: ENDPOINT,
            is_replay: false,
            created: at(200),
            status: Status::Succeeded,
            attempt_count: 1,
            error: None,
        });
        let arrival = arrival(name, &delivery, ms);
        books.attempts.push(attempt(&arrival, 1, Some(200)));
        books.arrivals.push(arrival);
    }
    books
}

#[track_caller]
fn check(what: &str, change: impl FnOnce(&mut Books), expected: &[Violation]) {
    let mut books = world();
    change(&mut books);
    assert_eq!(reconcile(&books).violations, expected, "{what}");
}

#[test]
fn a_world_in_order_has_nothing_to_say() {
    let verdict = reconcile(&world());
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.figures.events_accepted, verdict.figures.lost), (3, 0));
    assert_eq!(
        verdict.figures.deliveries,
        BTreeMap::from([(Status::Succeeded, 3)])
    );
    assert!(verdict.figures.duplicates.is_empty());
}

/// Remove an event and all that came of it.
fn forget(books: &mut Books, event: &str) {
    let delivery = format!("d-{event}");
    books.events.retain(|row| row.id != event);
    books.deliveries.retain(|row| row.event != event);
    books.attempts.retain(|row| row.delivery != delivery);
    books.arrivals.retain(|row| row.event != event);
}

#[test]
fn what_was_promised_and_is_not_there_is_a_loss() {
    let (event, endpoint) = ("b".to_owned(), ENDPOINT);
    let (mark, delivery) = ("mark-b".to_owned(), "d-b".to_owned());
    let half = Violation::HalfBatch {
        mark: "mark-a".to_owned(),
        there: 2,
        of: 3,
    };
    let lost = Violation::LostEvent {
        mark,
        event: event.clone(),
    };
    check("no event", |books| forget(books, "b"), &[lost, half]);
    check(
        "no delivery",
        |books| {
            books.deliveries.remove(1);
            books.attempts.remove(1);
            books.arrivals.remove(1);
        },
        &[Violation::MissingDelivery { event, endpoint }],
    );
    check(
        "recorded, and never received",
        |books| {
            books.arrivals.remove(1);
        },
        &[Violation::NeverReceived {
            delivery,
            attempt: 1,
            status: 200,
        }],
    );
    let delivery = "d-z".to_owned();
    check(
        "no replay",
        |books| books.replays.push("d-z".to_owned()),
        &[Violation::LostReplay { delivery }],
    );
}

#[test]
fn what_was_not_promised_may_be_there_or_not_but_never_half() {
    let unknown = |books: &mut Books| books.publications[0].answer = Answer::Unknown;
    check("there", unknown, &[]);
    check(
        "not there",
        |books| {
            unknown(books);
            for event in ["a", "b", "c"] {
                forget(books, event);
            }
        },
        &[],
    );
    check(
        "half",
        |books| {
            unknown(books);
            forget(books, "a");
        },
        &[Violation::HalfBatch {
            mark: "mark-a".to_owned(),
            there: 2,
            of: 3,
        }],
    );
    let (event, endpoint) = ("c".to_owned(), ENDPOINT);
    check(
        "accepted, and not delivered",
        |books| {
            unknown(books);
            books.deliveries.pop();
            books.attempts.pop();
            books.arrivals.pop();
        },
        &[Violation::MissingDelivery { event, endpoint }],
    );
}

#[test]
fn what_does_not_end_is_stuck_and_what_ends_wrongly_needs_a_reason() {
    let delivery = || "d-a".to_owned();
    check(
        "pending",
        |books| {
            books.deliveries[0].status = Status::Pending;
            books.deliveries[0].attempt_count = 0;
            books.attempts.remove(0);
            books.arrivals.remove(0);
        },
        &[Violation::StuckDelivery { delivery: delivery() }],
    );
    check(
        "in the outbox",
        |books| books.outbox.push("a".to_owned()),
        &[Violation::StuckEvent {
            event: "a".to_owned(),
        }],
    );
    let exhausted = |books: &mut Books, attempts: usize| {
        books.deliveries[0].status = Status::Exhausted;
        books.deliveries[0].attempt_count = attempts;
        books.attempts.remove(0);
        books.arrivals.remove(0);
        for (number, ms) in (1..=attempts).zip(201..) {
            let mut refused = arrival("a", "d-a", ms);
            refused.reaction = Reaction::Refuses(500);
            books.attempts.push(attempt(&refused, number, Some(500)));
            books.arrivals.push(refused);
        }
    };
    let wrong = |attempts| Violation::WrongEnd {
        delivery: delivery(),
        endpoint: ENDPOINT,
        status: Status::Exhausted,
        attempts,
        error: String::new(),
    };
    check("at one that takes all", |books| exhausted(books, 3), &[wrong(3)]);
    let stubborn = |books: &mut Books| books.endpoints[0].takes_all = false;
    check(
        "at a stubborn one",
        |books| {
            stubborn(books);
            exhausted(books, 3);
        },
        &[],
    );
    check(
        "too early",
        |books| {
            stubborn(books);
            exhausted(books, 2);
        },
        &[wrong(2)],
    );
    check(
        "with an attempt that is not in the log",
        |books| {
            books.deliveries[0].attempt_count = 2;
        },
        &[Violation::WrongLog {
            delivery: delivery(),
            status: Status::Succeeded,
            attempt_count: 2,
            attempts: vec![(1, Some(200))],
        }],
    );
}

/// The last event arrives twice, at 400 and at this time; the first or the second arrival is the recorded one.
fn twice(books: &mut Books, again_ms: u64, first_is_recorded: bool) {
    let again = arrival("c", "d-c", again_ms);
    if !first_is_recorded {
        books.attempts[2] = attempt(&again, 1, Some(200));
    }
    books.arrivals.push(again);
}

fn unexplained(again_ms: u64) -> Violation {
    Violation::UnexplainedDuplicate {
        delivery: "d-c".to_owned(),
        endpoint: ENDPOINT,
        first: at(400),
        again: at(again_ms),
    }
}

fn unrecorded(ms: u64) -> Violation {
    Violation::Unrecorded {
        delivery: "d-c".to_owned(),
        endpoint: ENDPOINT,
        at: at(ms),
    }
}

#[test]
fn a_duplicate_needs_a_fault_at_the_time_and_of_the_kind_that_explains_it() {
    const LATER: u64 = 60_000;
    for first_is_recorded in [false, true] {
        let missing = if first_is_recorded { LATER } else { 400 };
        check(
            "no fault",
            |books| twice(books, LATER, first_is_recorded),
            &[unrecorded(missing), unexplained(LATER)],
        );
        check(
            "a fault long after both",
            |books| {
                twice(books, LATER, first_is_recorded);
                books
                    .faults
                    .push(fault(Kind::KillDispatcher, LATER + 20_000, LATER + 21_000));
            },
            &[unrecorded(missing), unexplained(LATER)],
        );
        check(
            "a fault that cannot do that",
            |books| {
                twice(books, LATER, first_is_recorded);
                books.faults.push(fault(Kind::KillApi, missing, missing + 100));
                books
                    .faults
                    .push(fault(Kind::ReceiverDown, missing, missing + 100));
            },
            &[unrecorded(missing), unexplained(LATER)],
        );
        for kind in [Kind::KillDispatcher, Kind::CutBroker, Kind::SilenceDatabase] {
            let mut books = world();
            twice(&mut books, LATER, first_is_recorded);
            books.faults.push(fault(kind, missing, missing + 100));
            let verdict = reconcile(&books);
            assert_eq!(verdict.violations, [], "{kind:?}");
            let explained = format!("in flight or unrecorded: {}", kind.words());
            assert_eq!(verdict.figures.duplicates, BTreeMap::from([(explained, 1)]));
        }
    }
}

#[test]
fn a_fault_counts_while_messages_for_an_attempt_are_out_and_not_before() {
    // The first attempt failed at 400; its retry came twice, and a broker that was killed meanwhile explains it.
    let retried_twice = |books: &mut Books| {
        books.arrivals[2].reaction = Reaction::Refuses(503);
        books.attempts[2].status = Some(503);
        let (retry, again) = (arrival("c", "d-c", 60_000), arrival("c", "d-c", 60_008));
        books.attempts.push(attempt(&retry, 2, Some(200)));
        books.deliveries[2].attempt_count = 2;
        books.arrivals.extend([retry, again]);
    };
    check(
        "while it waited",
        |books| {
            retried_twice(books);
            books.faults.push(fault(Kind::KillBroker, 20_000, 21_000));
        },
        &[],
    );
    let duplicate = Violation::UnexplainedDuplicate {
        delivery: "d-c".to_owned(),
        endpoint: ENDPOINT,
        first: at(60_000),
        again: at(60_008),
    };
    check(
        "long before, and long after",
        |books| {
            retried_twice(books);
            books.arrivals[2].at = at(10_000);
            books.faults.push(fault(Kind::KillBroker, 1_000, 2_000));
            books.faults.push(fault(Kind::KillBroker, 70_000, 71_000));
        },
        &[unrecorded(60_008), duplicate],
    );
}

#[test]
fn what_was_published_again_must_have_waited_for_as_long_as_that_takes() {
    // Published at 100, so that nobody takes it for lost before this.
    const OLD: u64 = 100 + GRACE_MS;
    let late = |books: &mut Books, round_ms: u64| {
        let again = arrival("c", "d-c", OLD + 1_000);
        books.arrivals[2].at = at(OLD + 900);
        books.arrivals.push(again);
        books.rounds.push(at(round_ms));
    };
    check("long enough", |books| late(books, OLD), &[]);
    let duplicate = Violation::UnexplainedDuplicate {
        delivery: "d-c".to_owned(),
        endpoint: ENDPOINT,
        first: at(OLD + 900),
        again: at(OLD + 1_000),
    };
    check(
        "not yet",
        |books| late(books, OLD - 1),
        &[unrecorded(OLD + 1_000), duplicate],
    );
}

#[test]
fn what_was_given_up_without_a_confirm_may_come_twice() {
    // Published at 100.
    let doubled = |books: &mut Books, given_up_ms: u64| {
        books.arrivals.push(arrival("c", "d-c", 30_000));
        books.given_up.push(at(given_up_ms));
    };
    check("given up after ten seconds", |books| doubled(books, 10_100), &[]);
    let duplicate = Violation::UnexplainedDuplicate {
        delivery: "d-c".to_owned(),
        endpoint: ENDPOINT,
        first: at(400),
        again: at(30_000),
    };
    for (what, given_up_ms) in [("before it was published", 99), ("another one, later", 20_101)] {
        check(
            what,
            |books| doubled(books, given_up_ms),
            &[unrecorded(30_000), duplicate.clone()],
        );
    }
}

#[test]
fn what_is_in_flight_while_its_endpoint_is_deleted_need_not_be_recorded() {
    let ended = |books: &mut Books, deleted_ms: u64| {
        books.endpoints[0].deleted = Some(span(deleted_ms));
        books.deliveries[2].status = Status::Failed;
        books.deliveries[2].error = Some("endpoint_deleted".to_owned());
        books.deliveries[2].attempt_count = 0;
        books.attempts.pop();
    };
    check("at that time", |books| ended(books, 390), &[]);
    let taken = Violation::TakenNotRecorded {
        delivery: "d-c".to_owned(),
        status: Status::Failed,
    };
    check(
        "long before",
        |books| ended(books, 30_000),
        &[unrecorded(400), taken],
    );
}

#[test]
fn an_answer_that_was_lost_explains_what_comes_again() {
    let mut books = world();
    books.arrivals[2].reaction = Reaction::TakesSilently;
    books.attempts[2].status = None;
    let again = arrival("c", "d-c", 60_000);
    books.attempts.push(attempt(&again, 2, Some(200)));
    books.arrivals.push(again);
    books.deliveries[2].attempt_count = 2;
    let verdict = reconcile(&books);
    assert_eq!(verdict.violations, []);
    let explained = "the receiver's answer was lost".to_owned();
    assert_eq!(verdict.figures.duplicates, BTreeMap::from([(explained, 1)]));
}

#[test]
fn a_retry_after_a_refusal_is_no_duplicate() {
    let mut books = world();
    books.arrivals[2].reaction = Reaction::Refuses(503);
    books.attempts[2].status = Some(503);
    let again = arrival("c", "d-c", 60_000);
    books.attempts.push(attempt(&again, 2, Some(200)));
    books.arrivals.push(again);
    books.deliveries[2].attempt_count = 2;
    let verdict = reconcile(&books);
    assert_eq!(
        (verdict.violations, verdict.figures.duplicates.len()),
        (vec![], 0)
    );
}

#[test]
fn what_was_taken_is_recorded_so_or_explained() {
    let failed = |books: &mut Books| {
        books.endpoints[0].takes_all = false;
        books.deliveries[2].status = Status::Failed;
        books.deliveries[2].attempt_count = 0;
        books.attempts.pop();
    };
    let taken = Violation::TakenNotRecorded {
        delivery: "d-c".to_owned(),
        status: Status::Failed,
    };
    check("without a fault", failed, &[unrecorded(400), taken]);
    check(
        "with one",
        |books| {
            failed(books);
            books.faults.push(fault(Kind::KillBroker, 300, 500));
        },
        &[],
    );
}

#[test]
fn what_an_endpoint_gets_depends_on_when_it_was_made_and_deleted() {
    let unexpected = |event: &str| Violation::UnexpectedDelivery {
        event: event.to_owned(),
        endpoint: ENDPOINT,
    };
    let all = ["a", "b", "c"].map(unexpected);
    check(
        "made after the answer",
        |books| books.endpoints[0].created = span(160),
        &all,
    );
    check(
        "made meanwhile",
        |books| books.endpoints[0].created = span(120),
        &[],
    );
    check(
        "deleted before",
        |books| books.endpoints[0].deleted = Some(span(50)),
        &all,
    );
    check(
        "deleted afterwards",
        |books| books.endpoints[0].deleted = Some(span(170)),
        &[],
    );
    check(
        "deleted long before something arrives",
        |books| {
            books.endpoints[0].deleted = Some(span(170));
            books.arrivals[2].at = at(171 + AFTER_DELETION_MS + 1);
        },
        &[Violation::AfterDeletion {
            delivery: "d-c".to_owned(),
            endpoint: ENDPOINT,
            late_ms: AFTER_DELETION_MS + 1,
        }],
    );
    check("another tenant's", |books| books.endpoints[0].tenant = 2, &all);
    check(
        "of another type",
        |books| books.endpoints[0].types = vec!["x.y"],
        &all,
    );
    check(
        "doubled",
        |books| {
            let mut other = books.deliveries[0].clone();
            other.id = "d-other".to_owned();
            other.attempt_count = 0;
            other.status = Status::Skipped;
            books.endpoints[0].is_paused_at_times = true;
            books.deliveries.push(other);
        },
        &[Violation::DoubledDelivery {
            event: "a".to_owned(),
            endpoint: ENDPOINT,
            count: 2,
        }],
    );
}

#[test]
fn the_time_that_faults_cover_is_counted_once() {
    let mut books = world();
    // From 100 to 400: 300 ms, all within the time that a record may take before a fault.
    books.faults.push(fault(Kind::KillBroker, 10_000, 10_000));
    assert_eq!(reconcile(&books).figures.covered, 0.0);
    books.arrivals[2].at = at(20_100);
    books.publications[0].asked = at(100);
    books.faults.push(fault(Kind::KillDispatcher, 10_000, 10_000));
    let covered = reconcile(&books).figures.covered;
    let expected = (RECORD_MS + AFTER_RECOVERY_MS) as f64 / 20_000.0;
    assert!((covered - expected).abs() < 0.001, "{covered} is not {expected}");
}
