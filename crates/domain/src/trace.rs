//! Traces: what becomes of a request or an event, across processes, as spans that name their parents.
//!
//! A context that travels is one that is recorded: what is not sampled carries nothing and costs nothing. Contexts are
//! read and written as W3C Trace Context has them, spans as OTLP has them (`otlp`). Time and chance come in as values.

mod otlp;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::{EventId, Timestamp};

pub use self::otlp::{Resource, export_request};

/// The bits of a trace's id that are chance, in a UUIDv7 as in any other: sampling reads only these.
const CHANCE_BITS: u32 = 56;

/// Where in which trace something happens: the trace, and the span that what comes next is part of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
}

/// A trace's number, never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A span's number, never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SpanId([u8; 8]);

impl TraceContext {
    /// What a `traceparent` header says, and whether its sender records the trace. `None` when it is not one: then a
    /// trace begins here, as the standard has it, and nobody is told.
    pub fn parse(text: &str) -> Option<(Self, bool)> {
        let bytes = text.as_bytes();
        let version: [u8; 1] = hex(bytes.get(..2)?)?;
        // Later versions may have more behind a further hyphen; this one has nothing.
        let complete = match version[0] {
            0xff => false,
            0 => bytes.len() == 55,
            _ => bytes.len() == 55 || bytes.get(55) == Some(&b'-'),
        };
        if !complete || [2, 35, 52].iter().any(|&at| bytes[at] != b'-') {
            return None;
        }
        let context = Self {
            trace: TraceId::new(hex(&bytes[3..35])?)?,
            span: SpanId::new(hex(&bytes[36..52])?)?,
        };
        let flags: [u8; 1] = hex(&bytes[53..55])?;
        Some((context, flags[0] & 1 == 1))
    }

    /// What a message of ours says; `None` where it is not recorded, or says nothing that can be read.
    pub fn carried(text: &str) -> Option<Self> {
        Self::parse(text)
            .filter(|(_, sampled)| *sampled)
            .map(|(context, _)| context)
    }
}

/// A `traceparent`, of a trace that is recorded.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-01",
            u128::from_be_bytes(self.trace.0),
            u64::from_be_bytes(self.span.0)
        )
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TraceId {
    fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// A trace of its own; `chance` must be drawn for it.
    pub fn drawn(chance: u128) -> Self {
        // Zero has no meaning, and comes once in the age of the universe.
        Self(chance.max(1).to_be_bytes())
    }
}

/// The trace of what no carried context belongs to: whoever has an event's id has the trace's.
impl From<EventId> for TraceId {
    fn from(event: EventId) -> Self {
        Self::drawn(event.0.as_u128())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl SpanId {
    fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    fn drawn(chance: u64) -> Self {
        Self(chance.max(1).to_be_bytes())
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The bytes that twice as many lower-case digits name.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether who sends a context decides for it; else every trace is judged here.
    pub heeds_parent: bool,
    /// Of the others, the share that is recorded: 0 none, 1 all. The same trace is judged alike everywhere.
    pub ratio: f64,
}

impl Sampler {
    /// Whether this trace is recorded, which somebody's context may have brought.
    fn samples(&self, trace: TraceId, parent_sampled: Option<bool>) -> bool {
        if let Some(sampled) = parent_sampled.filter(|_| self.heeds_parent) {
            return sampled;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "56 bits to 53: nobody counts that finely"
        )]
        let place = (u128::from_be_bytes(trace.0) & ((1 << CHANCE_BITS) - 1)) as f64;
        place < self.ratio * (1_u64 << CHANCE_BITS) as f64
    }
}

/// Begins spans. Cloning is cheap; one that is off does nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recording>>);

struct Recording {
    sampler: Sampler,
    sink: Box<dyn Fn(FinishedSpan) + Send + Sync>,
}

impl Tracer {
    /// Nothing is recorded.
    pub fn off() -> Self {
        Self(None)
    }

    /// Finished spans of the traces that the sampler takes go to `sink`, which must neither wait nor fail.
    pub fn new(sampler: Sampler, sink: impl Fn(FinishedSpan) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(Recording {
            sampler,
            sink: Box::new(sink),
        })))
    }

    /// Whether anything is recorded at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begin the first span of what came from outside: in the trace that its `traceparent` names, else in one of its
    /// own. `None` when it is not recorded.
    pub fn enter(&self, traceparent: Option<&str>, kind: SpanKind, at: Moment) -> Option<Span> {
        let recording = self.0.as_ref()?;
        let incoming = traceparent.and_then(TraceContext::parse);
        let (trace, parent) = match incoming {
            Some((context, _)) => (context.trace, Some(context.span)),
            None => (TraceId::drawn(at.trace_chance()), None),
        };
        recording
            .sampler
            .samples(trace, incoming.map(|(_, sampled)| sampled))
            .then(|| Span::begin(recording, trace, parent, "", kind, at))
    }

    /// Begin a trace with this id, if such a trace is recorded.
    pub fn root(&self, trace: TraceId, name: &'static str, kind: SpanKind, at: Moment) -> Option<Span> {
        let recording = self.0.as_ref()?;
        recording
            .sampler
            .samples(trace, None)
            .then(|| Span::begin(recording, trace, None, name, kind, at))
    }

    /// Begin a part of what is recorded already.
    pub fn child(&self, of: TraceContext, name: &'static str, kind: SpanKind, at: Moment) -> Option<Span> {
        let recording = self.0.as_ref()?;
        Some(Span::begin(recording, of.trace, Some(of.span), name, kind, at))
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Tracer(off)"),
            Some(recording) => write!(f, "Tracer({:?})", recording.sampler),
        }
    }
}

/// When something begins, and the chance that its number is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// When.
    pub time: Timestamp,
    /// Drawn for it alone.
    pub chance: [u8; 24],
}

impl Moment {
    /// This moment, with 24 fresh random bytes.
    pub fn new(time: Timestamp, chance: [u8; 24]) -> Self {
        Self { time, chance }
    }

    fn span_chance(&self) -> u64 {
        u64::from_be_bytes(*self.chance.first_chunk().expect("24 bytes begin with 8"))
    }

    fn trace_chance(&self) -> u128 {
        u128::from_be_bytes(*self.chance.last_chunk().expect("24 bytes end with 16"))
    }
}

/// Which side of what a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Something between.
    Internal,
    /// A request that is answered.
    Server,
    /// A request that is made.
    Client,
    /// A message that is sent.
    Producer,
    /// A message that is dealt with.
    Consumer,
}

/// Something that goes on. One that is dropped before it is finished is never heard of.
#[must_use]
pub struct Span(Box<Open>);

struct Open {
    recording: Arc<Recording>,
    span: FinishedSpan,
}

/// What a span says. It holds ids, kinds and figures: never a payload, a secret, a header's value or a URL.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedSpan {
    context: TraceContext,
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: SpanKind,
    started: Timestamp,
    ended: Timestamp,
    attributes: Vec<(&'static str, Value)>,
    failure: Option<Cow<'static, str>>,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// In words.
    Text(Cow<'static, str>),
    /// A count.
    Count(i64),
    /// A measure.
    Measure(f64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<u16> for Value {
    fn from(count: u16) -> Self {
        Self::Count(count.into())
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(measure: f64) -> Self {
        Self::Measure(measure)
    }
}

impl Span {
    fn begin(
        recording: &Arc<Recording>,
        trace: TraceId,
        parent: Option<SpanId>,
        name: &'static str,
        kind: SpanKind,
        at: Moment,
    ) -> Self {
        let span = SpanId::drawn(at.span_chance());
        Self(Box::new(Open {
            recording: recording.clone(),
            span: FinishedSpan {
                context: TraceContext { trace, span },
                parent,
                name: Cow::Borrowed(name),
                kind,
                started: at.time,
                ended: at.time,
                attributes: vec![],
                failure: None,
            },
        }))
    }

    /// What happens within it has this as its context.
    pub fn context(&self) -> TraceContext {
        self.0.span.context
    }

    /// Begin what follows it as a part of the same.
    pub fn sibling(&self, name: &'static str, kind: SpanKind, at: Moment) -> Self {
        let Open { recording, span } = &*self.0;
        Self::begin(recording, span.context.trace, span.parent, name, kind, at)
    }

    /// Call it something that is known only now.
    pub fn rename(&mut self, name: String) {
        self.0.span.name = Cow::Owned(name);
    }

    /// Say something of it.
    pub fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.span.attributes.push((key, value.into()));
    }

    /// Say that it failed, and how: a kind of failure, not a story.
    pub fn fail(&mut self, failure: impl Into<Cow<'static, str>>) {
        self.0.span.failure = Some(failure.into());
    }

    /// It ends.
    pub fn finish(self, now: Timestamp) {
        let Open { recording, mut span } = *self.0;
        // A clock that was set back must not make it last for centuries.
        span.ended = now.max(span.started);
        (recording.sink)(span);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.span.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn moment(chance: u8) -> Moment {
        Moment::new(Timestamp::UNIX_EPOCH, [chance; 24])
    }

    fn tracer(heeds_parent: bool, ratio: f64) -> (Tracer, Arc<Mutex<Vec<FinishedSpan>>>) {
        let spans = Arc::new(Mutex::new(vec![]));
        let sink = spans.clone();
        let sampler = Sampler { heeds_parent, ratio };
        let tracer = Tracer::new(sampler, move |span| sink.lock().unwrap().push(span));
        (tracer, spans)
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let (context, sampled) = TraceContext::parse(&good).expect("the standard's own example");
        assert!(sampled);
        assert_eq!(context.to_string(), good);
        for (text, sampled) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), false),
            (format!("00-{TRACE}-00f067aa0ba902b7-03"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), true),
            (
                format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"),
                true,
            ),
        ] {
            let read = TraceContext::parse(&text);
            assert_eq!(read, Some((context, sampled)), "{text}");
            assert_eq!(TraceContext::carried(&text), sampled.then_some(context), "{text}");
        }
        for bad in [
            String::new(),
            "00".to_owned(),
            good.to_uppercase(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-00f067aa0ba902b7-01 "),
            format!("cc-{TRACE}-00f067aa0ba902b7-01.more"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{:032}-00f067aa0ba902b7-01", 0),
            format!("00-{TRACE}-00f067aa0ba902b-701"),
            format!("00_{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}é-00f067aa0ba902b7-01", &TRACE[2..]),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn who_sends_a_context_decides_unless_told_otherwise() {
        let sent = |flags: &str| format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
        for (heeds_parent, ratio, traceparent, recorded) in [
            (true, 0.0, Some(sent("01")), true),
            (true, 1.0, Some(sent("00")), false),
            (true, 1.0, None, true),
            (true, 0.0, None, false),
            (true, 1.0, Some("rubbish".to_owned()), true),
            (false, 0.0, Some(sent("01")), false),
            (false, 1.0, Some(sent("00")), true),
        ] {
            let (tracer, _) = tracer(heeds_parent, ratio);
            let span = tracer.enter(traceparent.as_deref(), SpanKind::Server, moment(7));
            assert_eq!(span.is_some(), recorded, "{heeds_parent} {ratio} {traceparent:?}");
            if let (Some(span), Some((context, _))) =
                (span, traceparent.as_deref().and_then(TraceContext::parse))
            {
                assert_eq!(
                    (span.0.span.parent, span.context().trace),
                    (Some(context.span), context.trace)
                );
            }
        }
    }

    /// The variant bits of a UUID are no chance: read as chance, they would make half of all ratios mean "none".
    #[test]
    fn a_ratio_is_the_share_of_events_that_are_recorded() {
        let (tracer, _) = tracer(true, 0.25);
        let recorded = (0..4_000_u32)
            .filter(|n| {
                let mut random = [0; 10];
                // Spread by a multiplier that has no short cycle.
                random[2..].copy_from_slice(&u64::from(*n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
                let event = EventId::new(Timestamp::UNIX_EPOCH, random);
                tracer
                    .root(event.into(), "fan-out", SpanKind::Consumer, moment(1))
                    .is_some()
            })
            .count();
        assert!((900..1_100).contains(&recorded), "{recorded} of 4,000");
    }

    #[test]
    fn what_is_off_records_nothing() {
        let (context, _) = TraceContext::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        let off = Tracer::off();
        assert!(
            off.child(context, "attempt", SpanKind::Client, moment(1))
                .is_none()
        );
        assert!(
            off.enter(Some(&context.to_string()), SpanKind::Server, moment(1))
                .is_none()
        );
        assert!(!off.is_on());
    }

    #[test]
    fn spans_name_their_parents() {
        let (tracer, spans) = tracer(true, 1.0);
        let server = tracer
            .enter(None, SpanKind::Server, moment(1))
            .expect("all are recorded");
        let commit = tracer
            .child(server.context(), "commit", SpanKind::Internal, moment(2))
            .unwrap();
        let publish = commit.sibling("publish", SpanKind::Producer, moment(3));
        let ids = (server.context(), publish.context());
        commit.finish(Timestamp::UNIX_EPOCH);
        publish.finish(Timestamp::MIN);
        let spans = spans.lock().unwrap();
        assert_eq!(spans.len(), 2);
        for span in spans.iter() {
            assert_eq!((span.context.trace, span.parent), (ids.0.trace, Some(ids.0.span)));
            assert_eq!(span.ended, span.started, "never before it began");
        }
        assert_eq!(spans[1].context, ids.1);
    }
}
