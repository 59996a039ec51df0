//! What is retried, when, and when we stop.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use plumbline_testkit::{Received, Receiver, Reply, Stack};
use serde_json::{Value, json};

use crate::{attempts, ends, text, time};

/// The shares of a millisecond that the records leave out.
const ROUNDING: Duration = Duration::from_millis(2);

/// Check that each retry came no sooner than its delay after the attempt before it.
fn never_early(requests: &[Received], delivery: &Value, delays: &[Duration]) {
    assert_eq!(requests.len(), delays.len() + 1);
    for (pair, delay) in requests.windows(2).zip(delays) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited >= *delay, "{waited:?} is less than {delay:?}");
    }
    let recorded = attempts(delivery);
    for (pair, delay) in recorded.windows(2).zip(delays) {
        let taken = Duration::from_millis(pair[0]["durationMs"].as_u64().expect("a number"));
        let due = time(&pair[0], "startedAt") + taken + *delay;
        let started = time(&pair[1], "startedAt") + ROUNDING;
        assert!(started >= due, "{started} is before {due}");
    }
}

#[tokio::test]
async fn s0_32_a_server_error_is_retried_on_schedule_and_never_early() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "60ms,300ms,700ms,1500ms")
        .setting("RETRY_JITTER", "0")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.script("/", [500, 502, 503, 599].map(Reply::status));
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;

    assert_eq!(ends(&delivery), ["500", "502", "503", "599", "200"]);
    let numbers: Vec<u64> = attempts(&delivery)
        .iter()
        .filter_map(|attempt| attempt["number"].as_u64())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    never_early(
        &receiver.requests(),
        &delivery,
        &[60, 300, 700, 1_500].map(Duration::from_millis),
    );
    assert_eq!(
        (&delivery["attemptCount"], &delivery["nextAttemptAt"]),
        (&json!(5), &Value::Null)
    );
}

#[tokio::test]
async fn s0_27_s1_05_s1_07_a_retry_is_the_same_event_and_body_signed_anew() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "1100ms,1100ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.script("/", [500, 500].map(Reply::status));
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack
        .api()
        .publish("bid.created", json!({"id": 1, "big": 1}))
        .await;
    let requests = receiver.wait_for(3).await;
    let mut signed = vec![];
    for request in &requests {
        assert_eq!(request.body, requests[0].body, "`created_at` and all");
        assert_eq!(
            request.event_id(),
            event,
            "what the receiver remembers to process once"
        );
        assert_eq!(request.json()["id"], event.as_str());
        assert_eq!(request.delivery_id(), requests[0].delivery_id());
        signed.push(
            request
                .verify(&endpoint.secret)
                .expect("each attempt has its own signature"),
        );
    }
    assert!(
        signed[0] < signed[1] && signed[1] < signed[2],
        "a fresh time in each: {signed:?}"
    );
}

#[tokio::test]
async fn s0_28_seven_attempts_and_the_delivery_is_exhausted() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms,10ms,10ms,10ms,10ms,10ms")
        .start()
        .await;
    let receiver = Receiver::answering(Reply::status(500)).await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "exhausted")
        .await;
    assert_eq!(ends(&delivery), ["500"; 7]);
    assert_eq!(
        (&delivery["attemptCount"], &delivery["responseStatus"]),
        (&json!(7), &json!(500))
    );
    assert_eq!(
        (&delivery["nextAttemptAt"], receiver.requests().len()),
        (&Value::Null, 7)
    );
    assert!(delivery["completedAt"].is_string());
}

#[tokio::test]
async fn s0_28_s0_29_unless_configured_the_first_retry_is_due_after_30_s_give_or_take_a_tenth() {
    let stack = Stack::start().await;
    let receiver = Receiver::answering(Reply::status(500)).await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let delivery = stack.api().wait_attempts(endpoint.id, &event, 1).await;
    assert_eq!(text(&delivery, "status"), "pending");
    let attempt = &attempts(&delivery)[0];
    let taken = Duration::from_millis(attempt["durationMs"].as_u64().expect("a number"));
    let wait = time(&delivery, "nextAttemptAt").duration_since(time(attempt, "startedAt") + taken);
    let wait = Duration::try_from(wait).expect("it lies in the future");
    let (least, most) = (
        Duration::from_secs(27) - ROUNDING,
        Duration::from_secs(33) + Duration::from_secs(1),
    );
    assert!(least <= wait && wait <= most, "{wait:?}");
}

#[tokio::test]
async fn s0_26_any_2xx_is_success() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let statuses = [200_u16, 201, 202, 203, 204, 206, 226, 299];
    let mut endpoints = vec![];
    for status in statuses {
        let path = format!("/{status}");
        receiver.always_on(&path, Reply::status(status));
        endpoints.push(
            stack
                .api()
                .create_endpoint(&receiver.url(&path), &["bid.created"])
                .await,
        );
    }
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    for (status, endpoint) in statuses.iter().zip(&endpoints) {
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "succeeded")
            .await;
        assert_eq!(ends(&delivery), [status.to_string()]);
    }
    assert_eq!(receiver.requests().len(), statuses.len());
}

#[tokio::test]
async fn s0_30_a_permanent_4xx_stops_at_once() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms,10ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let statuses = [400_u16, 401, 402, 403, 404, 405, 409, 410, 413, 422, 425, 451];
    let mut endpoints = vec![];
    for status in statuses {
        let path = format!("/{status}");
        receiver.always_on(&path, Reply::status(status));
        endpoints.push(
            stack
                .api()
                .create_endpoint(&receiver.url(&path), &["bid.created"])
                .await,
        );
    }
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    for (status, endpoint) in statuses.iter().zip(&endpoints) {
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "failed")
            .await;
        assert_eq!(ends(&delivery), [status.to_string()]);
        // 410 is no more than that in this dialect (G15).
        assert_eq!(
            stack.api().endpoint(endpoint.id).await["isActive"],
            true,
            "{status}"
        );
    }
    assert_eq!(receiver.requests().len(), statuses.len());
}

#[tokio::test]
async fn s0_31_408_and_429_are_retried_and_a_redirect_is_never_followed() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "10ms").start().await;
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    let statuses = [408_u16, 429, 301, 302, 303, 304, 307, 308];
    let mut endpoints = vec![];
    for status in statuses {
        let path = format!("/{status}");
        let location = elsewhere.url("/followed");
        receiver.script(&path, [Reply::status(status).header("Location", &location)]);
        endpoints.push(
            stack
                .api()
                .create_endpoint(&receiver.url(&path), &["bid.created"])
                .await,
        );
    }
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    for (status, endpoint) in statuses.iter().zip(&endpoints) {
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "succeeded")
            .await;
        assert_eq!(ends(&delivery), [status.to_string(), "200".to_owned()]);
    }
    assert_eq!(
        elsewhere.connections(),
        0,
        "where a redirect points, nothing arrives"
    );
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_is_given_it() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms,10ms")
        .setting("RETRY_JITTER", "0")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let until = Timestamp::try_from(SystemTime::now()).expect("a time") + Duration::from_secs(5);
    let date = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&until)
        .expect("it has a year of four digits");
    receiver.script(
        "/seconds",
        [
            Reply::status(429).header("Retry-After", "2"),
            Reply::status(503).header("Retry-After", "1"),
        ],
    );
    receiver.script("/date", [Reply::status(503).header("Retry-After", &date)]);
    // Nobody can speed us up.
    receiver.script("/zero", [Reply::status(429).header("Retry-After", "0")]);
    let mut endpoints = vec![];
    for path in ["/seconds", "/date", "/zero"] {
        endpoints.push(
            stack
                .api()
                .create_endpoint(&receiver.url(path), &["bid.created"])
                .await,
        );
    }
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let mut deliveries = vec![];
    for endpoint in &endpoints {
        deliveries.push(
            stack
                .api()
                .wait_delivery_status(endpoint.id, &event, "succeeded")
                .await,
        );
    }
    let [seconds, _, zero] = &deliveries[..] else {
        panic!("three deliveries")
    };
    assert_eq!(ends(seconds), ["429", "503", "200"]);
    never_early(
        &receiver.requests_on("/seconds"),
        seconds,
        &[2, 1].map(Duration::from_secs),
    );
    never_early(&receiver.requests_on("/zero"), zero, &[Duration::from_millis(10)]);
    let again = Timestamp::try_from(receiver.requests_on("/date")[1].wall).expect("a time");
    // A date has whole seconds.
    let asked = Timestamp::from_second(until.as_second()).expect("a time");
    assert!(again >= asked, "{again} is before {asked}");
}
