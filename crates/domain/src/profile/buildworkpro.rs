//! BuildWorkPro: the envelope and headers of its webhooks pages.

use std::fmt::Write as _;

use bytes::Bytes;

use super::Header;
use crate::json::push_string;
use crate::signing::Signer;
use crate::{DeliveryId, Event, Timestamp};

/// The envelope (S1-02): `data` and `previous_attributes` go through byte for byte.
pub(super) fn body(event: &Event) -> Bytes {
    let previous = event
        .previous_attributes
        .as_ref()
        .map_or(0, |json| json.as_str().len());
    let mut out = String::with_capacity(192 + event.data.as_str().len() + previous);
    let _ = write!(out, r#"{{"id":"{}","type":"#, event.id);
    push_string(&mut out, event.event_type.as_str());
    let _ = write!(
        out,
        r#","created_at":"{:.3}","tenant_id":{},"data":{}"#,
        event.occurred_at,
        event.tenant,
        event.data.as_str()
    );
    if let Some(previous) = &event.previous_attributes {
        let _ = write!(out, r#","previous_attributes":{}"#, previous.as_str());
    }
    out.push('}');
    Bytes::from(out)
}

pub(super) fn headers(
    event: &Event,
    delivery: DeliveryId,
    signer: &Signer,
    body: &[u8],
    now: Timestamp,
) -> Vec<Header> {
    let mut headers = vec![
        ("BuildWorkPro-Event", event.event_type.to_string()),
        ("BuildWorkPro-Event-Id", event.id.to_string()),
        ("BuildWorkPro-Delivery-Id", delivery.to_string()),
    ];
    headers.extend(
        signer
            .buildworkpro(now, body)
            .map(|value| ("BuildWorkPro-Signature", value)),
    );
    headers
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;
    use crate::{KeyDerivation, SecretVersion, SigningSecret};

    #[test]
    fn s1_02_s1_05_s1_06_the_envelope() {
        let text = |event: &Event| String::from_utf8(body(event).to_vec()).expect("UTF-8");
        assert_eq!(
            text(&event("bid.accepted", r#"{"id":22,"status":"accepted"}"#, None)),
            concat!(
                r#"{"id":"evt_01900000000070008000000000000001","type":"bid.accepted","#,
                r#""created_at":"2026-04-25T17:42:01.812Z","tenant_id":17,"data":{"id":22,"status":"accepted"}}"#
            )
        );
        assert!(
            text(&event("bid.accepted", "{}", Some(r#"{"status":"active"}"#)))
                .ends_with(r#""data":{},"previous_attributes":{"status":"active"}}"#)
        );
    }

    #[test]
    fn s1_22_data_passes_through_byte_for_byte() {
        let data = r#"{ "n":1e400,"b":1,"a":2, "a":3,"u":"\u00e9\ud800","s":"\/" }"#;
        let body = body(&event("bid.accepted", data, None));
        assert!(String::from_utf8_lossy(&body).contains(data));
    }

    #[test]
    fn s0_17_every_request_is_signed_and_names_its_event() {
        let versions = [SecretVersion {
            secret: SigningSecret::generate([7; 32]),
            derivation: KeyDerivation::Literal,
            activates_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        }];
        let signer = Signer::new(&versions).expect("decodable");
        let event = event("bid.accepted", "{}", None);
        let delivery = DeliveryId::derive(event.id, crate::EndpointId(1));
        let headers = headers(&event, delivery, &signer, &body(&event), event.occurred_at);
        let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "BuildWorkPro-Event",
                "BuildWorkPro-Event-Id",
                "BuildWorkPro-Delivery-Id",
                "BuildWorkPro-Signature"
            ]
        );
        assert_eq!(headers[2].1, delivery.to_string());
    }
}
