//! The three ledgers: what clients were promised, what the database says, what receivers got; and the faults between.

use serde::Serialize;

use crate::plan::Kind;

/// How long an attempt may take here, in milliseconds.
pub(crate) const ATTEMPT_MS: u64 = 3_000;

/// From which age the relay and the sweep take something for lost, in milliseconds. Long enough that a busy machine is no
/// loss, short enough for a run of minutes.
pub(crate) const GRACE_MS: u64 = 15_000;

/// A moment, in milliseconds since 1970. All ledgers are written on one machine, so one clock made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// This many milliseconds later.
    pub(crate) fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This many milliseconds earlier.
    pub(crate) fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds since an earlier one; 0 if it was not earlier.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// From the first request for something until its answer: it happened between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) asked: Moment,
    pub(crate) answered: Moment,
}

/// Everything that was written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    /// By the clients: events that they published, or tried to.
    pub(crate) publications: Vec<Publication>,
    /// By the clients: deliveries that they had sent again. The new delivery's id.
    pub(crate) replays: Vec<String>,
    /// By the clients: their endpoints.
    pub(crate) endpoints: Vec<EndpointEntry>,
    /// By the database.
    pub(crate) events: Vec<EventRow>,
    /// By the database.
    pub(crate) deliveries: Vec<DeliveryRow>,
    /// By the database.
    pub(crate) attempts: Vec<AttemptRow>,
    /// By the database: events that wait for their deliveries to be recorded.
    pub(crate) outbox: Vec<String>,
    /// By the receivers, in order of arrival.
    pub(crate) arrivals: Vec<Arrival>,
    /// By whoever struck them, in order.
    pub(crate) faults: Vec<Fault>,
    /// By the processes: when the relay or the sweep published again what it took for lost.
    pub(crate) rounds: Vec<Moment>,
    /// By the processes: when they gave up messages that the broker had not confirmed in time.
    pub(crate) given_up: Vec<Moment>,
    /// Attempts that a delivery has at most.
    pub(crate) attempts_max: usize,
}

/// One request that published one event or a batch.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    /// What each event carries to be known by, before it has an id.
    pub(crate) marks: Vec<String>,
    pub(crate) tenant: i64,
    pub(crate) event_type: &'static str,
    /// When it was first asked for.
    pub(crate) asked: Moment,
    pub(crate) answer: Answer,
}

/// What a client knows of its publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A 202, with the events' ids in order.
    Accepted { at: Moment, events: Vec<String> },
    /// An answer that says that the request was wrong.
    Refused { status: u16, text: String },
    /// No answer, or one that promises nothing. It may have been accepted all the same.
    Unknown,
}

/// An endpoint, as its owner and its receiver know it.
#[derive(Debug, Clone)]
pub(crate) struct EndpointEntry {
    pub(crate) id: i64,
    pub(crate) tenant: i64,
    /// The types that it is subscribed to as long as it lives.
    pub(crate) types: Vec<&'static str>,
    /// The types that its owner now subscribes it to and now not.
    pub(crate) sometimes: Vec<&'static str>,
    pub(crate) created: Span,
    pub(crate) deleted: Option<Span>,
    /// Whether its owner pauses it now and then.
    pub(crate) is_paused_at_times: bool,
    /// Whether its receiver takes everything in the end.
    pub(crate) takes_all: bool,
}

/// An accepted event.
#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub(crate) id: String,
    pub(crate) mark: String,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    Succeeded,
    Failed,
    Exhausted,
    Skipped,
}

impl Status {
    /// By its name in the database.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "pending" => Self::Pending,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "exhausted" => Self::Exhausted,
            "skipped" => Self::Skipped,
            _ => return None,
        })
    }
}

/// A delivery.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryRow {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) endpoint: i64,
    pub(crate) is_replay: bool,
    pub(crate) created: Moment,
    pub(crate) status: Status,
    pub(crate) attempt_count: usize,
    pub(crate) error: Option<String>,
}

/// An attempt.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRow {
    pub(crate) delivery: String,
    pub(crate) number: usize,
    /// The signature that it was sent with: by it, it is known again at the receiver.
    pub(crate) signature: String,
    /// The answer's status; `None` when there was none.
    pub(crate) status: Option<u16>,
}

impl AttemptRow {
    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// A request that a receiver has read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) delivery: String,
    pub(crate) event: String,
    pub(crate) endpoint: i64,
    pub(crate) mark: String,
    pub(crate) signature: String,
    pub(crate) at: Moment,
    pub(crate) reaction: Reaction,
}

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Takes it, and says so after this many milliseconds.
    Takes { after_ms: u64 },
    /// Takes it, and its answer is lost.
    TakesSilently,
    /// Answers with this status, which is no 2xx.
    Refuses(u16),
    /// Never answers.
    Hangs,
}

impl Reaction {
    pub(crate) fn took(self) -> bool {
        matches!(self, Self::Takes { .. } | Self::TakesSilently)
    }
}

/// A fault that struck.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// When it began.
    pub(crate) struck: Moment,
    /// When it was undone: what was killed runs again, what was cut off is reachable again.
    pub(crate) lifted: Moment,
    /// When everything was ready again and an event went through; `None` when the next fault came first.
    pub(crate) recovered: Option<Moment>,
}
