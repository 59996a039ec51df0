//! Spans as a collector reads them: OTLP's `ExportTraceServiceRequest`, in protobuf's binary form.
//!
//! Written by hand because so little of it is needed: nothing is read, and the field numbers never change (the
//! protocol is stable). `testkit` reads it back with OpenTelemetry's own definitions.

use super::{FinishedSpan, SpanKind, Value};
use crate::Timestamp;

/// Who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `service.name`.
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`: one of its processes.
    pub instance: String,
}

/// The body of a request that hands these spans to a collector.
pub fn export_request(resource: &Resource, spans: &[FinishedSpan]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + spans.len() * 384);
    message(&mut out, 1, |resource_spans| {
        message(resource_spans, 1, |out| {
            for (key, value) in [
                ("service.name", resource.service),
                ("service.version", resource.version),
                ("service.instance.id", &resource.instance),
            ] {
                attribute(out, 1, key, |out| bytes(out, 1, value.as_bytes()));
            }
        });
        message(resource_spans, 2, |scope_spans| {
            message(scope_spans, 1, |scope| bytes(scope, 1, b"plumbline"));
            for span in spans {
                message(scope_spans, 2, |out| self::span(out, span));
            }
        });
    });
    out
}

fn span(out: &mut Vec<u8>, span: &FinishedSpan) {
    bytes(out, 1, &span.context.trace.0);
    bytes(out, 2, &span.context.span.0);
    if let Some(parent) = span.parent {
        bytes(out, 4, &parent.0);
    }
    bytes(out, 5, span.name.as_bytes());
    integer(
        out,
        6,
        match span.kind {
            SpanKind::Internal => 1,
            SpanKind::Server => 2,
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
    );
    fixed(out, 7, nanoseconds(span.started));
    fixed(out, 8, nanoseconds(span.ended));
    for (key, value) in &span.attributes {
        attribute(out, 9, key, |out| match value {
            Value::Text(text) => bytes(out, 1, text.as_bytes()),
            Value::Count(count) => integer(out, 3, count.cast_unsigned()),
            Value::Measure(measure) => fixed(out, 4, measure.to_bits()),
        });
    }
    if let Some(failure) = &span.failure {
        message(out, 15, |status| {
            bytes(status, 2, failure.as_bytes());
            // Error.
            integer(status, 3, 2);
        });
    }
}

fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    message(out, field, |pair| {
        bytes(pair, 1, key.as_bytes());
        message(pair, 2, value);
    });
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

// Protobuf: a field is its number and its form, then its value.

fn integer(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, 0);
    varint(out, value);
}

fn fixed(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn message(out: &mut Vec<u8>, field: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    bytes(out, field, &inner);
}

fn tag(out: &mut Vec<u8>, field: u32, form: u32) {
    varint(out, u64::from(field << 3 | form));
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::super::{SpanId, TraceContext, TraceId};
    use super::*;

    /// A small one, by hand from the protocol's definition; all of it is read back by `testkit`.
    #[test]
    fn a_span_is_what_the_protocol_says() {
        let span = FinishedSpan {
            context: TraceContext {
                trace: TraceId([1; 16]),
                span: SpanId([2; 8]),
            },
            parent: None,
            name: "park".into(),
            kind: SpanKind::Producer,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::from_nanosecond(258).unwrap(),
            attributes: vec![("n", Value::Count(300))],
            failure: Some("no".into()),
        };
        let mut out = vec![];
        super::span(&mut out, &span);
        let mut expected = vec![0x0a, 16];
        expected.extend([1; 16]);
        expected.extend([0x12, 8]);
        expected.extend([2; 8]);
        expected.extend(b"\x2a\x04park\x30\x04");
        expected.extend(b"\x39\0\0\0\0\0\0\0\0\x41\x02\x01\0\0\0\0\0\0");
        expected.extend(b"\x4a\x08\x0a\x01n\x12\x03\x18\xac\x02");
        expected.extend(b"\x7a\x06\x12\x02no\x18\x02");
        assert_eq!(out, expected);
    }
}
