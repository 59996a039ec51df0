//! The whole system through its front doors: real binaries, real PostgreSQL, real RabbitMQ, real sockets.
//!
//! A test's name is a fact; the numbers in it are the rows of the products' pages that it proves.

mod addresses;
mod arrival;
mod buildmarkets;
mod buildr;
mod care;
mod catalogue;
mod cli_deliveries;
mod cli_listen;
mod console;
mod documents;
mod emit;
mod encrypted;
mod endpoints;
mod faults;
mod health;
mod hostile;
mod isolation;
mod live;
mod memory;
mod metrics;
mod news;
mod operations;
mod peers;
mod publishing;
mod rates;
mod receiving;
mod records;
mod recovery;
mod retries;
#[path = "../receiving/sample.rs"]
mod sample;
mod scaling;
mod secrecy;
mod secrets;
mod traces;
mod transport;
mod updates;

use jiff::Timestamp;
use serde_json::Value;

/// A field that is text.
#[track_caller]
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} should be text in {value:#}"))
}

/// A field that is a time.
#[track_caller]
fn time(value: &Value, field: &str) -> Timestamp {
    text(value, field)
        .parse()
        .unwrap_or_else(|error| panic!("{field} should be a time in {value:#}: {error}"))
}

/// The attempts of a delivery.
#[track_caller]
fn attempts(delivery: &Value) -> &Vec<Value> {
    delivery["attempts"]
        .as_array()
        .unwrap_or_else(|| panic!("there should be attempts in {delivery:#}"))
}

/// The statuses and error codes of a delivery's attempts, in order: `500`, `timeout`, …
#[track_caller]
fn ends(delivery: &Value) -> Vec<String> {
    let end = |attempt: &Value| match attempt["responseStatus"].as_u64() {
        Some(status) => status.to_string(),
        None => text(&attempt["error"], "code").to_owned(),
    };
    attempts(delivery).iter().map(end).collect()
}
