//! What travels through the broker: versioned JSON, in which a customer's payload passes through unread.
//!
//! A reader ignores fields that it does not know and refuses versions that it does not know, so a field can be
//! added while old and new processes run side by side; whatever old readers would misread needs a new version.

use plumbline_domain::lane::Lane;
use plumbline_domain::rate::{Held, Place, Slot};
use plumbline_domain::{DeliveryId, Event, EventId, JsonText, Payload, TenantId, Timestamp, TraceContext};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of a message that carries one thing.
pub const VERSION: u16 = 1;
/// The version of a message that carries several events, each as its own message would.
pub const BUNDLE_VERSION: u16 = 2;
/// The version of a message that carries an event without its payload, which is in the database.
pub const REFERENCE_VERSION: u16 = 3;
/// Events in one message at most: several dispatchers share what was published together.
pub const BUNDLE_EVENTS_MAX: usize = 64;
/// The largest message with several events, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 32 * 1024;
/// How a bundle begins, and no other message.
const BUNDLE_HEAD: &str = r#"{"v":2,"events":["#;

/// An accepted event on its way to its fan-out, or a chunk of a large one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMessage {
    /// The event; without its payload if that is stored.
    pub event: Event,
    /// Where its payload is.
    pub payload: Payload,
    /// The lane in which it was accepted.
    pub lane: Lane,
    /// Which endpoints this message is for; none means all of them.
    pub chunk: Option<Chunk>,
    /// Whether it was published before, so that whoever receives it must look up what exists already.
    pub republished: bool,
    /// The span that published it, where its trace is recorded.
    pub trace: Option<TraceContext>,
}

/// A share of a large fan-out: the endpoints with ids in `(after, upto]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Which chunk it is, from 0.
    pub number: i32,
    /// The endpoint id below its first.
    pub after: i64,
    /// Its last endpoint id.
    pub upto: i64,
}

/// A delivery whose next attempt is due at `not_before`: a reference, never the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryMessage {
    /// Whose delivery it is.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The number of the attempt to make.
    pub attempt: u16,
    /// When, at the earliest.
    pub not_before: Timestamp,
    /// Whether it was published before.
    pub republished: bool,
    /// What it holds of its endpoint's rate limit. A slot opens at `not_before`, by the database's clock.
    pub held: Option<Held>,
    /// The span that published it, where its trace is recorded.
    pub trace: Option<TraceContext>,
}

/// The bytes are not a message of the kind that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// It is not text.
    #[error("not UTF-8")]
    NotText(#[from] std::str::Utf8Error),
    /// It is not JSON, or it lacks what such a message has.
    #[error("not a message of this kind")]
    Malformed(#[from] serde_json::Error),
    /// It is from a newer release, or not ours.
    #[error("unknown message version {0}")]
    UnknownVersion(u64),
    /// A field does not hold what it must.
    #[error("the field `{0}` has no valid value")]
    Field(&'static str),
}

impl Undecodable {
    /// One line for a dead letter's reason. It never quotes the message.
    pub fn reason(&self) -> String {
        match self {
            Self::Malformed(error) => {
                format!(
                    "{self}: {:?} error at line {} column {}",
                    error.classify(),
                    error.line(),
                    error.column()
                )
            }
            Self::NotText(_) | Self::UnknownVersion(_) | Self::Field(_) => self.to_string(),
        }
    }
}

impl EventMessage {
    /// The first message of an event, which leaves a large payload behind: see [`Event::travelling`].
    pub fn new(event: Event, lane: Lane) -> Self {
        let (event, payload) = event.travelling();
        Self {
            event,
            payload,
            lane,
            chunk: None,
            republished: false,
            trace: None,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Event {
            id,
            tenant,
            event_type,
            data,
            previous_attributes,
            occurred_at,
            endpoints_version,
        } = &self.event;
        let (v, stored_bytes) = match self.payload {
            Payload::Carried => (VERSION, None),
            Payload::Stored { bytes } => (REFERENCE_VERSION, Some(bytes)),
        };
        let head = EventHead {
            v,
            id: &id.to_string(),
            tenant: tenant.0,
            event_type: event_type.as_str(),
            occurred_at: &occurred_at.to_string(),
            endpoints_version: *endpoints_version,
            lane: self.lane.as_str(),
            chunk: self.chunk.map(Into::into),
            republished: self.republished,
            traceparent: self.trace.map(|trace| trace.to_string()),
            stored_bytes,
        };
        let mut body = Vec::with_capacity(self.event.payload_bytes() + 384);
        write(&mut body, &head);
        if stored_bytes.is_some() {
            return body;
        }
        // Payloads are spliced in rather than serialised: they are valid JSON already, and parsing them once
        // more to prove it is what most of the time would go to.
        body.pop();
        body.extend_from_slice(br#","data":"#);
        body.extend_from_slice(data.as_str().as_bytes());
        if let Some(previous) = previous_attributes {
            body.extend_from_slice(br#","previous_attributes":"#);
            body.extend_from_slice(previous.as_str().as_bytes());
        }
        body.push(b'}');
        body
    }

    /// From bytes that carry one event.
    ///
    /// # Errors
    /// [`Undecodable`], also for a bundle.
    pub fn decode(body: &[u8]) -> Result<Self, Undecodable> {
        read::<EventWire<'_>>(body)?.try_into()
    }

    /// From bytes that carry one event or several: all of them, or none.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub fn decode_all(body: &[u8]) -> Result<Vec<Self>, Undecodable> {
        if !body.starts_with(BUNDLE_HEAD.as_bytes()) {
            return Ok(vec![Self::decode(body)?]);
        }
        let BundleWire { events } = serde_json::from_str(str::from_utf8(body)?)?;
        if events.is_empty() {
            return Err(Undecodable::Field("events"));
        }
        events.into_iter().map(Self::try_from).collect()
    }

    /// Names this message to the broker: the event's id, and the chunk's number if it is one.
    pub(crate) fn message_id(&self) -> String {
        message_id(self.event.id, self.chunk)
    }
}

impl TryFrom<EventWire<'_>> for EventMessage {
    type Error = Undecodable;

    fn try_from(wire: EventWire<'_>) -> Result<Self, Undecodable> {
        const CARRYING: u64 = VERSION as u64;
        const REFERRING: u64 = REFERENCE_VERSION as u64;
        let (data, payload) = match (wire.v, wire.data, wire.stored_bytes) {
            (CARRYING, Some(data), _) => (data.get(), Payload::Carried),
            (CARRYING, None, _) => return Err(Undecodable::Field("data")),
            (REFERRING, _, Some(bytes)) => ("null", Payload::Stored { bytes }),
            (REFERRING, _, None) => return Err(Undecodable::Field("stored_bytes")),
            _ => return Err(Undecodable::UnknownVersion(wire.v)),
        };
        Ok(Self {
            event: Event {
                id: wire.id.parse().map_err(|_| Undecodable::Field("id"))?,
                tenant: TenantId(wire.tenant),
                event_type: wire.event_type.parse().map_err(|_| Undecodable::Field("type"))?,
                data: JsonText::from_valid(data),
                previous_attributes: wire
                    .previous_attributes
                    .filter(|_| payload == Payload::Carried)
                    .map(|text| JsonText::from_valid(text.get())),
                occurred_at: wire
                    .occurred_at
                    .parse()
                    .map_err(|_| Undecodable::Field("occurred_at"))?,
                endpoints_version: wire.endpoints_version,
            },
            payload,
            lane: Lane::parse(wire.lane).ok_or(Undecodable::Field("lane"))?,
            chunk: wire.chunk.map(Into::into),
            republished: wire.republished,
            trace: wire.traceparent.and_then(TraceContext::carried),
        })
    }
}

/// A message as it is published: one event, or several that were accepted together and travel in the same lane.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Of the first event: it names the message, and chooses the shard.
    pub(crate) first: EventId,
    pub(crate) lane: Lane,
    /// How many it carries.
    pub(crate) count: usize,
    /// Of the first event that is traced: what the message's header says. Each event says its own.
    pub(crate) trace: Option<TraceContext>,
    body: Vec<u8>,
}

impl Bundle {
    /// As few messages as are within the bounds; in the order of the events.
    pub(crate) fn of(messages: &[EventMessage]) -> Vec<Self> {
        let mut bundles: Vec<Self> = vec![];
        for message in messages {
            let body = message.encode();
            match bundles.last_mut() {
                Some(bundle) if bundle.takes(message.lane, &body) => bundle.push(&body, message.trace),
                _ => bundles.push(Self {
                    first: message.event.id,
                    lane: message.lane,
                    count: 1,
                    trace: message.trace,
                    body,
                }),
            }
        }
        bundles
    }

    fn takes(&self, lane: Lane, event: &[u8]) -> bool {
        let bytes = BUNDLE_HEAD.len() + self.body.len() + event.len() + ",]}".len();
        self.lane == lane && self.count < BUNDLE_EVENTS_MAX && bytes <= BUNDLE_BYTES_MAX
    }

    fn push(&mut self, event: &[u8], trace: Option<TraceContext>) {
        if self.count == 1 {
            self.body.splice(..0, BUNDLE_HEAD.bytes());
        }
        self.body.push(b',');
        self.body.extend_from_slice(event);
        self.count += 1;
        self.trace = self.trace.or(trace);
    }

    /// As bytes.
    pub(crate) fn encode(mut self) -> Vec<u8> {
        if self.count > 1 {
            self.body.extend_from_slice(b"]}");
        }
        self.body
    }

    /// Names this message to the broker.
    pub(crate) fn message_id(&self) -> String {
        match self.count {
            1 => self.first.to_string(),
            count => format!("{}+{}", self.first, count - 1),
        }
    }
}

fn message_id(event: EventId, chunk: Option<Chunk>) -> String {
    match chunk {
        None => event.to_string(),
        Some(chunk) => format!("{event}/{}", chunk.number),
    }
}

impl RetryMessage {
    /// The message that brings a delivery back for this attempt at `not_before`.
    pub fn due(tenant: TenantId, delivery: DeliveryId, attempt: u16, not_before: Timestamp) -> Self {
        Self {
            tenant,
            delivery,
            attempt,
            not_before,
            republished: false,
            held: None,
            trace: None,
        }
    }

    /// The slot that it holds, if it holds one.
    pub fn slot(&self) -> Option<Slot> {
        match self.held {
            Some(Held::Slot(slot)) => Some(slot),
            Some(Held::Place(_)) | None => None,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(192);
        let traceparent = self.trace.map(|trace| trace.to_string());
        let wire = RetryWire {
            v: VERSION,
            tenant: self.tenant.0,
            delivery: &self.delivery.to_string(),
            attempt: self.attempt,
            not_before: &self.not_before.to_string(),
            republished: self.republished,
            slot: self.slot().map(|slot| slot.0),
            place: match self.held {
                Some(Held::Place(place)) => Some(place.0),
                Some(Held::Slot(_)) | None => None,
            },
            traceparent: traceparent.as_deref(),
        };
        write(&mut body, &wire);
        body
    }

    /// From bytes.
    pub fn decode(body: &[u8]) -> Result<Self, Undecodable> {
        let wire: RetryWire<'_> = read(body)?;
        Ok(Self {
            tenant: TenantId(wire.tenant),
            delivery: wire
                .delivery
                .parse()
                .map_err(|_| Undecodable::Field("delivery"))?,
            attempt: wire.attempt,
            not_before: wire
                .not_before
                .parse()
                .map_err(|_| Undecodable::Field("not_before"))?,
            republished: wire.republished,
            held: match (wire.slot, wire.place) {
                (Some(slot), _) => Some(Held::Slot(Slot(slot))),
                (None, Some(place)) => Some(Held::Place(Place(place))),
                (None, None) => None,
            },
            trace: wire.traceparent.and_then(TraceContext::carried),
        })
    }

    /// Names this message to the broker.
    pub(crate) fn message_id(&self) -> String {
        format!("{}/{}", self.delivery, self.attempt)
    }
}

/// What precedes an event's payloads.
#[derive(Serialize)]
struct EventHead<'a> {
    v: u16,
    id: &'a str,
    tenant: i64,
    #[serde(rename = "type")]
    event_type: &'a str,
    occurred_at: &'a str,
    endpoints_version: i64,
    lane: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<ChunkWire>,
    #[serde(skip_serializing_if = "is_false")]
    republished: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_bytes: Option<u32>,
}

#[derive(Deserialize)]
struct EventWire<'a> {
    v: u64,
    id: &'a str,
    tenant: i64,
    #[serde(rename = "type")]
    event_type: &'a str,
    occurred_at: &'a str,
    endpoints_version: i64,
    lane: &'a str,
    #[serde(default)]
    chunk: Option<ChunkWire>,
    #[serde(default)]
    republished: bool,
    #[serde(default)]
    traceparent: Option<&'a str>,
    #[serde(default)]
    stored_bytes: Option<u32>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    previous_attributes: Option<&'a RawValue>,
}

/// Its version is known by how it begins.
#[derive(Deserialize)]
struct BundleWire<'a> {
    #[serde(borrow)]
    events: Vec<EventWire<'a>>,
}

#[derive(Serialize, Deserialize)]
struct ChunkWire {
    number: i32,
    after: i64,
    upto: i64,
}

#[derive(Serialize, Deserialize)]
struct RetryWire<'a> {
    v: u16,
    tenant: i64,
    delivery: &'a str,
    attempt: u16,
    not_before: &'a str,
    #[serde(default, skip_serializing_if = "is_false")]
    republished: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

/// Of a message that cannot be read otherwise, the version tells why.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
}

impl From<Chunk> for ChunkWire {
    fn from(Chunk { number, after, upto }: Chunk) -> Self {
        Self { number, after, upto }
    }
}

impl From<ChunkWire> for Chunk {
    fn from(ChunkWire { number, after, upto }: ChunkWire) -> Self {
        Self { number, after, upto }
    }
}

trait Wire {
    /// What it can be read from.
    const VERSIONS: &'static [u16];

    fn version(&self) -> u64;
}

impl Wire for EventWire<'_> {
    const VERSIONS: &'static [u16] = &[VERSION, REFERENCE_VERSION];

    fn version(&self) -> u64 {
        self.v
    }
}

impl Wire for RetryWire<'_> {
    const VERSIONS: &'static [u16] = &[VERSION];

    fn version(&self) -> u64 {
        self.v.into()
    }
}

fn write(body: &mut Vec<u8>, message: &impl Serialize) {
    serde_json::to_writer(body, message).expect("plain fields serialise, and memory does not refuse");
}

fn read<'a, T: Wire + Deserialize<'a>>(body: &'a [u8]) -> Result<T, Undecodable> {
    let text = str::from_utf8(body)?;
    let is_known = |version: u64| T::VERSIONS.iter().any(|known| u64::from(*known) == version);
    match serde_json::from_str::<T>(text) {
        Ok(wire) if is_known(wire.version()) => Ok(wire),
        Ok(wire) => Err(Undecodable::UnknownVersion(wire.version())),
        Err(error) => match serde_json::from_str::<Versioned>(text) {
            Ok(Versioned { v }) if !is_known(v) => Err(Undecodable::UnknownVersion(v)),
            _ => Err(error.into()),
        },
    }
}

/// `null` is a payload too, and not the absence of one.
fn even_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
