//! The headers of Standard Webhooks, which svix's differ from in name only.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use super::Header;
use crate::signing::Signer;
use crate::{Event, Timestamp};

/// What a scheme calls its three headers.
pub(super) struct Names {
    pub(super) id: &'static str,
    pub(super) timestamp: &'static str,
    pub(super) signature: &'static str,
}

/// Id, time and signature; without a key, which only Buildr's endpoints may lack, no signature (S2-08).
///
/// The id is the event's: it is what a receiver tells repetitions by.
pub(super) fn headers(
    names: &Names,
    event: &Event,
    signer: &Signer,
    body: &[u8],
    now: Timestamp,
) -> Vec<Header> {
    let id = event.id.to_string();
    let signature = signer.standard(&id, now, body);
    let mut headers = vec![(names.id, id), (names.timestamp, now.as_second().to_string())];
    headers.extend(signature.map(|value| (names.signature, value)));
    headers
}
