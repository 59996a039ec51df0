//! The transport against receivers made of raw bytes: whatever they do, an attempt ends as it should, in time.

mod answers;
mod connections;
mod encrypted;
mod frames;
mod receiver;
mod routes;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use plumbline_domain::{Answer, AttemptOutcome, CustomHeaders, EndpointUrl, FailureCode, Unreachable};

use super::*;

/// Long enough for anything that is meant to succeed.
const AMPLE: Duration = Duration::from_secs(20);
/// Short enough to wait out.
const SHORT: Duration = Duration::from_millis(300);

/// A policy for receivers on this machine.
fn loopback() -> AddressPolicy {
    AddressPolicy {
        allow_networks: ["127.0.0.0/8", "::1/128"]
            .map(|net| net.parse().expect("a network"))
            .to_vec(),
        allow_http: true,
        ..AddressPolicy::default()
    }
}

fn transport(timeout: Duration) -> Transport {
    Transport::new(
        TransportConfig::new(loopback(), timeout),
        Arc::new(Names::default()),
    )
}

fn request(url: &str) -> AttemptRequest {
    AttemptRequest {
        url: EndpointUrl::stored(url),
        user_agent: "BuildWorkPro-Webhooks/1.0",
        headers: vec![("BuildWorkPro-Event", "bid.accepted".to_owned())],
        custom: CustomHeaders::default(),
        body: Bytes::from_static(b"{}"),
        not_after: None,
    }
}

async fn post(transport: &Transport, url: &str) -> AttemptOutcome {
    attempted(transport, request(url)).await.outcome
}

async fn attempted(transport: &Transport, request: AttemptRequest) -> Attempted {
    transport.post(request).await.expect("nothing limits it")
}

#[track_caller]
fn answer(outcome: AttemptOutcome) -> Answer {
    match outcome {
        AttemptOutcome::Answered(answer) => answer,
        other => panic!("expected an answer, got {other:?}"),
    }
}

#[track_caller]
fn status(outcome: AttemptOutcome) -> u16 {
    answer(outcome).status.0
}

#[track_caller]
fn failure(outcome: AttemptOutcome) -> (FailureCode, String) {
    match outcome {
        AttemptOutcome::Unreachable(Unreachable { code, message }) => {
            let lower = message.starts_with(|first: char| !first.is_uppercase());
            assert!(
                message.len() <= 300 && lower && !message.ends_with('.'),
                "{message}"
            );
            (code, message)
        }
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// DNS, as the test says.
#[derive(Default)]
struct Names {
    known: Mutex<HashMap<String, Result<Vec<IpAddr>, NameError>>>,
    lookups: AtomicUsize,
}

impl Names {
    fn say(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        self.known.lock().insert(name.to_owned(), Ok(addresses));
    }

    fn fail(&self, name: &str, error: NameError) {
        self.known.lock().insert(name.to_owned(), Err(error));
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ResolveName for Names {
    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.known
            .lock()
            .get(name)
            .cloned()
            .unwrap_or(Err(NameError::NotFound))
    }
}
