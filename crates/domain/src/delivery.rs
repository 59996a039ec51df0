//! A delivery: one event to one endpoint, over all its attempts.

use std::fmt;

use crate::{DeliveryId, EndpointId, EventId, EventType, TenantId, Timestamp};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Not settled yet; also while it waits for a retry.
    Pending,
    /// The endpoint answered 2xx.
    Succeeded,
    /// We stopped: a permanent 4xx, the endpoint deleted or disabled.
    Failed,
    /// The retry schedule ran out.
    Exhausted,
    /// The endpoint was disabled when the event was fanned out.
    Skipped,
}

impl DeliveryStatus {
    /// Every status, in the order of a delivery's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Succeeded,
        Self::Failed,
        Self::Exhausted,
        Self::Skipped,
    ];

    /// The status as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Exhausted => "exhausted",
            Self::Skipped => "skipped",
        }
    }

    /// The status of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What caused a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryKind {
    /// An event was fanned out.
    Event,
    /// Somebody asked for an earlier delivery to be sent again.
    Replay,
    /// Somebody asked for a test event: one attempt, no retries, not counted in the endpoint's health.
    Test,
}

impl DeliveryKind {
    /// The kind as the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Replay => "replay",
            Self::Test => "test",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Event, Self::Replay, Self::Test]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// Why an attempt or a delivery failed when there was no acceptable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// No status line and headers within the attempt timeout.
    Timeout,
    /// No TCP connection.
    ConnectFailed,
    /// The name did not resolve.
    DnsFailed,
    /// The TLS handshake or the certificate was not acceptable.
    TlsFailed,
    /// The connection broke before the headers were complete.
    Reset,
    /// The address policy forbids every address of the name; nothing was dialled.
    AddressForbidden,
    /// The answer was not HTTP, or not a success.
    BadResponse,
    /// The endpoint was disabled when the retry came due.
    EndpointDisabled,
    /// The endpoint was deleted.
    EndpointDeleted,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::ConnectFailed,
        Self::DnsFailed,
        Self::TlsFailed,
        Self::Reset,
        Self::AddressForbidden,
        Self::BadResponse,
        Self::EndpointDisabled,
        Self::EndpointDeleted,
    ];

    /// The code as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectFailed => "connect_failed",
            Self::DnsFailed => "dns_failed",
            Self::TlsFailed => "tls_failed",
            Self::Reset => "reset",
            Self::AddressForbidden => "address_forbidden",
            Self::BadResponse => "bad_response",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::EndpointDeleted => "endpoint_deleted",
        }
    }

    /// The code of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A delivery as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id; a replay has one of its own.
    pub id: DeliveryId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The event that it carries.
    pub event: EventId,
    /// The event's canonical type.
    pub event_type: EventType,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// What caused it.
    pub kind: DeliveryKind,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts made so far.
    pub attempt_count: u16,
    /// When the next attempt is due; only while pending.
    pub next_attempt_at: Option<Timestamp>,
    /// The last answer's status.
    pub response_status: Option<u16>,
    /// Why the last attempt, or the delivery itself, failed.
    pub error: Option<FailureCode>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When it was settled.
    pub completed_at: Option<Timestamp>,
    /// The delivery that it repeats.
    pub replay_of: Option<DeliveryId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for status in DeliveryStatus::ALL {
            assert_eq!(DeliveryStatus::parse(status.as_str()), Some(status));
        }
        for code in FailureCode::ALL {
            assert_eq!(FailureCode::parse(code.as_str()), Some(code));
        }
        for kind in [DeliveryKind::Event, DeliveryKind::Replay, DeliveryKind::Test] {
            assert_eq!(DeliveryKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(DeliveryStatus::parse("Pending"), None);
    }
}
