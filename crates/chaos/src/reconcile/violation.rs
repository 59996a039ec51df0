//! What must never be found, in words.

use std::fmt;

use crate::books::{Moment, Status};

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Answered 202, and not there.
    LostEvent { mark: String, event: String },
    /// A replay was answered 202, and is not there.
    LostReplay { delivery: String },
    /// An endpoint that an event matched has no delivery of it.
    MissingDelivery { event: String, endpoint: i64 },
    /// The database says that a receiver answered, and the receiver does not.
    NeverReceived {
        delivery: String,
        attempt: usize,
        status: u16,
    },
    /// One publication, two events.
    PublishedTwice { mark: String },
    /// The 202 named another event than the one that was stored.
    WrongId {
        mark: String,
        stored: String,
        told: String,
    },
    /// A request in order was refused.
    Refused { mark: String, status: u16, text: String },
    /// A batch is there in part.
    HalfBatch { mark: String, there: usize, of: usize },
    /// An event that nobody published.
    UnknownEvent { event: String },
    /// A delivery to an endpoint that the event did not match.
    UnexpectedDelivery { event: String, endpoint: i64 },
    /// An event has more than one delivery to an endpoint.
    DoubledDelivery {
        event: String,
        endpoint: i64,
        count: usize,
    },
    /// An event still waits for its deliveries to be recorded.
    StuckEvent { event: String },
    /// A delivery is still pending.
    StuckDelivery { delivery: String },
    /// A delivery ended in a way for which there was no reason.
    WrongEnd {
        delivery: String,
        endpoint: i64,
        status: Status,
        attempts: usize,
        error: String,
    },
    /// The attempts of a delivery do not add up to where it stands.
    WrongLog {
        delivery: String,
        status: Status,
        attempt_count: usize,
        attempts: Vec<(usize, Option<u16>)>,
    },
    /// An attempt was made and not recorded, and no fault explains it.
    Unrecorded {
        delivery: String,
        endpoint: i64,
        at: Moment,
    },
    /// A receiver got again what it had taken, and nothing explains it.
    UnexplainedDuplicate {
        delivery: String,
        endpoint: i64,
        first: Moment,
        again: Moment,
    },
    /// A receiver took it, the delivery ended otherwise, and nothing explains it.
    TakenNotRecorded { delivery: String, status: Status },
    /// A request for no delivery that there is.
    UnknownRequest {
        delivery: String,
        endpoint: i64,
        mark: String,
    },
    /// A request to an endpoint whose deletion was answered.
    AfterDeletion {
        delivery: String,
        endpoint: i64,
        late_ms: u64,
    },
    /// A request whose signature or body is not as it must be.
    Forged { door: u32, why: String },
    /// Something about the processes themselves.
    Process { what: String },
}

impl Violation {
    /// Whether something that was promised is not there.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::LostEvent { .. }
                | Self::LostReplay { .. }
                | Self::MissingDelivery { .. }
                | Self::NeverReceived { .. }
        )
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostEvent { mark, event } => write!(
                f,
                "lost: event {event} ({mark}) was answered 202 and is not there"
            ),
            Self::LostReplay { delivery } => {
                write!(f, "lost: replay {delivery} was answered 202 and is not there")
            }
            Self::MissingDelivery { event, endpoint } => {
                write!(f, "lost: event {event} has no delivery to endpoint {endpoint}")
            }
            Self::NeverReceived {
                delivery,
                attempt,
                status,
            } => write!(
                f,
                "lost: attempt {attempt} of {delivery} is recorded with status {status}, which no receiver gave"
            ),
            Self::PublishedTwice { mark } => write!(f, "{mark} was published once and is there twice"),
            Self::WrongId { mark, stored, told } => {
                write!(f, "{mark} is stored as {stored}, and its 202 said {told:?}")
            }
            Self::Refused { mark, status, text } => write!(f, "{mark} was refused with {status}: {text}"),
            Self::HalfBatch { mark, there, of } => {
                write!(
                    f,
                    "of the batch that begins with {mark}, {there} of {of} events are there"
                )
            }
            Self::UnknownEvent { event } => write!(f, "nobody published event {event}"),
            Self::UnexpectedDelivery { event, endpoint } => {
                write!(
                    f,
                    "event {event} has a delivery to endpoint {endpoint}, which it did not match"
                )
            }
            Self::DoubledDelivery {
                event,
                endpoint,
                count,
            } => {
                write!(f, "event {event} has {count} deliveries to endpoint {endpoint}")
            }
            Self::StuckEvent { event } => {
                write!(f, "stuck: event {event} waits for its deliveries to be recorded")
            }
            Self::StuckDelivery { delivery } => write!(f, "stuck: delivery {delivery} is pending"),
            Self::WrongEnd {
                delivery,
                endpoint,
                status,
                attempts,
                error,
            } => write!(
                f,
                "delivery {delivery} to endpoint {endpoint} ended as {status:?} after {attempts} attempts ({error}), \
                 without a reason"
            ),
            Self::WrongLog {
                delivery,
                status,
                attempt_count,
                attempts,
            } => write!(
                f,
                "delivery {delivery} is {status:?} after {attempt_count} attempts, and its log is {attempts:?}"
            ),
            Self::Unrecorded {
                delivery,
                endpoint,
                at,
            } => write!(
                f,
                "endpoint {endpoint} got {delivery} at {}, which nobody recorded, and no fault explains it",
                at.0
            ),
            Self::UnexplainedDuplicate {
                delivery,
                endpoint,
                first,
                again,
            } => write!(
                f,
                "unexplained duplicate: endpoint {endpoint} took {delivery} at {} and got it again at {}",
                first.0, again.0
            ),
            Self::TakenNotRecorded { delivery, status } => {
                write!(f, "a receiver took {delivery}, and it ended as {status:?}")
            }
            Self::UnknownRequest {
                delivery,
                endpoint,
                mark,
            } => {
                write!(
                    f,
                    "endpoint {endpoint} got {delivery} ({mark}), which is no delivery of its own"
                )
            }
            Self::AfterDeletion {
                delivery,
                endpoint,
                late_ms,
            } => write!(
                f,
                "endpoint {endpoint} got {delivery} {late_ms} ms after its deletion was answered"
            ),
            Self::Forged { door, why } => write!(
                f,
                "the receiver at door {door} got a request that is not ours: {why}"
            ),
            Self::Process { what } => f.write_str(what),
        }
    }
}
