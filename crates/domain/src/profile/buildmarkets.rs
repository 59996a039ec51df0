//! Buildmarkets: the envelope of its webhook reference, and Standard Webhooks' headers.

use std::fmt::Write as _;

use bytes::Bytes;

use super::Header;
use super::standard::{self, Names};
use crate::json::push_string;
use crate::signing::Signer;
use crate::{Event, Timestamp};

const NAMES: Names = Names {
    id: "webhook-id",
    timestamp: "webhook-timestamp",
    signature: "webhook-signature",
};

/// The envelope (S4-16): the type is called `event_type`, and the time has whole seconds. `data` goes through byte
/// for byte.
pub(super) fn body(event: &Event) -> Bytes {
    let mut out = String::with_capacity(160 + event.data.as_str().len());
    let _ = write!(out, r#"{{"id":"{}","event_type":"#, event.id);
    push_string(&mut out, event.event_type.as_str());
    let _ = write!(
        out,
        r#","created_at":"{:.0}","data":{}}}"#,
        event.occurred_at,
        event.data.as_str()
    );
    Bytes::from(out)
}

pub(super) fn headers(event: &Event, signer: &Signer, body: &[u8], now: Timestamp) -> Vec<Header> {
    standard::headers(&NAMES, event, signer, body, now)
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    #[test]
    fn s4_16_the_envelope() {
        let event = event(
            "order.filled",
            r#"{ "qty":1e400, "qty":2 }"#,
            Some(r#"{"qty":1}"#),
        );
        assert_eq!(
            String::from_utf8(body(&event).to_vec()).expect("UTF-8"),
            concat!(
                r#"{"id":"evt_01900000000070008000000000000001","event_type":"order.filled","#,
                r#""created_at":"2026-04-25T17:42:01Z","data":{ "qty":1e400, "qty":2 }}"#
            )
        );
        let names: Vec<_> = headers(&event, &Signer::new(&[]).expect("empty"), b"", event.occurred_at);
        assert_eq!(names[0].0, "webhook-id");
    }
}
