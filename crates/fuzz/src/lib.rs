//! What strangers send, put to every parser that reads it: each target takes any bytes and asserts what must hold.
//!
//! `make fuzz` looks for bytes that break one, with libFuzzer (`targets/`). What it found worth keeping lies in
//! `corpus/<target>/`, and the ordinary tests read that again. A target fails by panicking; one that takes longer than
//! a few seconds for a few kilobytes has failed, too.

mod addresses;
mod bodies;
mod deliveries;
mod messages;
mod values;

pub use addresses::{address, header, network, url};
pub use bodies::{body, cursor, json, publication, query, schema};
pub use deliveries::{render, resource, retry_after, secret, signature};
pub use messages::message;
pub use values::{decimal, name, time};

/// A target: it panics when what must hold of these bytes does not.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus and of its file in `targets/`.
pub const TARGETS: [(&str, Target); 19] = [
    ("address", address),
    ("body", body),
    ("cursor", cursor),
    ("decimal", decimal),
    ("header", header),
    ("json", json),
    ("message", message),
    ("name", name),
    ("network", network),
    ("publication", publication),
    ("query", query),
    ("render", render),
    ("resource", resource),
    ("retry_after", retry_after),
    ("schema", schema),
    ("secret", secret),
    ("signature", signature),
    ("time", time),
    ("url", url),
];

/// The bytes as text: most of what strangers send is text, and what is not is refused before it is parsed.
fn text(data: &[u8]) -> &str {
    match str::from_utf8(data) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&data[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// Two inputs in one: what stands before the first line feed, and what stands behind it.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// Bytes of a fixed number, zeros where there are too few, and the rest.
fn split<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = data.split_at(data.len().min(N));
    let mut bytes = [0; N];
    bytes[..head.len()].copy_from_slice(head);
    (bytes, rest)
}
