//! Receivers that are slow, broken or hostile: each costs its own delivery an attempt, and nobody else anything.

use std::time::Duration;

use plumbline_testkit::{FakeDns, Gate, Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};

use crate::{attempts, ends, text};

const DRIP: Duration = Duration::from_millis(50);

fn taken(attempt: &Value) -> Duration {
    Duration::from_millis(attempt["durationMs"].as_u64().expect("a number"))
}

#[tokio::test]
async fn s0_24_s0_25_a_receiver_has_ten_seconds_and_no_more() {
    // The default timeout; only the retry comes sooner than usual.
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "100ms").start().await;
    let receiver = Receiver::start().await;
    receiver.always_on("/slow", Reply::status(200).after(Duration::from_secs(8)));
    receiver.script("/late", [Reply::Hang]);
    let slow = stack
        .api()
        .create_endpoint(&receiver.url("/slow"), &["bid.created"])
        .await;
    let late = stack
        .api()
        .create_endpoint(&receiver.url("/late"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;

    let delivery = stack
        .api()
        .wait_delivery_status(slow.id, &event, "succeeded")
        .await;
    assert_eq!(ends(&delivery), ["200"]);
    assert!(taken(&attempts(&delivery)[0]) >= Duration::from_secs(8));

    let delivery = stack
        .api()
        .wait_delivery_status(late.id, &event, "succeeded")
        .await;
    assert_eq!(ends(&delivery), ["timeout", "200"]);
    assert!(taken(&attempts(&delivery)[0]) >= Duration::from_secs(10));
}

#[tokio::test]
async fn s0_25_headers_that_trickle_are_a_timeout_and_a_body_that_trickles_is_not() {
    let stack = Stack::builder()
        .setting("ATTEMPT_TIMEOUT", "1s")
        .setting("RETRY_SCHEDULE", "10ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    for (path, reply, status, expected) in [
        (
            "/headers",
            Reply::TrickleHeaders { every: DRIP },
            "succeeded",
            &["timeout", "200"][..],
        ),
        ("/hang", Reply::Hang, "succeeded", &["timeout", "200"]),
        // Once the headers are there, the status counts; the body is for the log only.
        (
            "/body",
            Reply::TrickleBody {
                status: 201,
                every: DRIP,
            },
            "succeeded",
            &["201"],
        ),
        (
            "/body-500",
            Reply::TrickleBody {
                status: 500,
                every: DRIP,
            },
            "succeeded",
            &["500", "200"],
        ),
        (
            "/body-404",
            Reply::TrickleBody {
                status: 404,
                every: DRIP,
            },
            "failed",
            &["404"],
        ),
        (
            "/endless",
            Reply::EndlessBody { status: 202 },
            "succeeded",
            &["202"],
        ),
        // G21: what happens to the connection next does not matter.
        (
            "/reset",
            Reply::AnswerThenReset { status: 200 },
            "succeeded",
            &["200"],
        ),
    ] {
        receiver.script(path, [reply]);
        let endpoint = stack
            .api()
            .create_endpoint(&receiver.url(path), &["bid.created"])
            .await;
        let event = stack.api().publish("bid.created", json!({"id": 1})).await;
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, status)
            .await;
        assert_eq!(ends(&delivery), expected, "{path}: {delivery:#}");
        if expected[0] == "timeout" {
            assert!(taken(&attempts(&delivery)[0]) >= Duration::from_secs(1), "{path}");
        }
        let body = attempts(&delivery)[0]["responseBody"]
            .as_str()
            .unwrap_or_default();
        assert!(body.len() <= 10 * 1024, "{path}: {} bytes were kept", body.len());
        stack.api().delete_endpoint(endpoint.id).await;
    }
}

#[tokio::test]
async fn s0_32_every_way_to_fail_has_its_code_and_is_retried() {
    let dns = FakeDns::start().await;
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms")
        .dns(&dns)
        .start()
        .await;
    let receiver = Receiver::start().await;
    let gone = Receiver::start().await;
    gone.go_down();
    receiver.always_on("/reset", Reply::Reset);
    receiver.always_on("/garbage", Reply::Raw("250 OK, send more mail\r\n\r\n".into()));
    let plain = receiver.url("/").replace("http://", "https://");
    for (url, code) in [
        (gone.url("/"), "connect_failed"),
        (receiver.url("/reset"), "reset"),
        (receiver.url("/garbage"), "bad_response"),
        ("http://nowhere.example.test/".to_owned(), "dns_failed"),
        // A server without TLS.
        (plain, "tls_failed"),
    ] {
        let endpoint = stack.api().create_endpoint(&url, &["bid.created"]).await;
        let event = stack.api().publish("bid.created", json!({"id": 1})).await;
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "exhausted")
            .await;
        assert_eq!(ends(&delivery), [code; 2], "{url}: {delivery:#}");
        assert_eq!(
            (text(&delivery, "error"), &delivery["responseStatus"]),
            (code, &Value::Null)
        );
        assert!(!text(&attempts(&delivery)[0]["error"], "message").is_empty());
        stack.api().delete_endpoint(endpoint.id).await;
    }
}

#[tokio::test]
async fn receivers_that_hang_hold_nobody_else_up() {
    // Few places, and more hanging receivers than places.
    let stack = Stack::builder()
        .setting("MAX_IN_FLIGHT", "8")
        .setting("ATTEMPT_TIMEOUT", "1s")
        .setting("RETRY_SCHEDULE", "1h")
        .start()
        .await;
    let receiver = Receiver::start().await;
    for n in 0..12 {
        let path = format!("/hang/{n}");
        let reply = if n % 2 == 0 {
            Reply::Hang
        } else {
            Reply::TrickleHeaders { every: DRIP }
        };
        receiver.always_on(&path, reply);
        stack
            .api()
            .create_endpoint(&receiver.url(&path), &["bid.rejected"])
            .await;
    }
    let good = stack
        .api()
        .create_endpoint(&receiver.url("/good"), &["bid.created"])
        .await;
    stack.api().publish("bid.rejected", json!({"id": 1})).await;
    receiver.wait_for(1).await;
    let event = stack.api().publish("bid.created", json!({"id": 2})).await;
    stack
        .api()
        .wait_delivery_status(good.id, &event, "succeeded")
        .await;
    // The hanging ones have all had their turn, too.
    receiver.wait_for(13).await;
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_keep_its_place() {
    // A single place for fresh events: whoever keeps it stops everybody.
    let stack = Stack::builder().setting("MAX_IN_FLIGHT", "2").start().await;
    let receiver = Receiver::start().await;
    receiver.always_on(
        "/trickle",
        Reply::TrickleBody {
            status: 200,
            every: DRIP,
        },
    );
    receiver.always_on("/endless", Reply::EndlessBody { status: 200 });
    let mut endpoints = vec![];
    for path in ["/trickle", "/endless", "/good"] {
        endpoints.push(
            stack
                .api()
                .create_endpoint(&receiver.url(path), &["bid.created"])
                .await,
        );
    }
    for id in 0..3 {
        let event = stack.api().publish("bid.created", json!({"id": id})).await;
        for endpoint in &endpoints {
            stack
                .api()
                .wait_delivery_status(endpoint.id, &event, "succeeded")
                .await;
        }
    }
}

#[tokio::test]
async fn a_busy_endpoint_uses_up_no_attempt_while_it_waits_for_its_turn() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "10ms").start().await;
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.always_on("/busy", Reply::status(200).behind(&gate));
    let busy = stack
        .api()
        .create_endpoint(&receiver.url("/busy"), &["bid.created"])
        .await;
    let good = stack
        .api()
        .create_endpoint(&receiver.url("/good"), &["bid.rejected"])
        .await;
    // More than one endpoint may have in flight (128 at the start).
    for batch in 0..3 {
        stack
            .api()
            .publish_batch("bid.created", (0..100).map(|n| json!({"id": batch * 100 + n})))
            .await;
    }
    receiver.wait_for_on("/busy", 100).await;
    let event = stack.api().publish("bid.rejected", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(good.id, &event, "succeeded")
        .await;
    assert!(
        receiver.requests_on("/busy").len() < 300,
        "a cap holds the rest back"
    );
    gate.open();
    eventually("all to be delivered", async || {
        (stack.api().count_deliveries(busy.id, "succeeded").await == 300).then_some(())
    })
    .await;
    for delivery in stack.api().deliveries(busy.id).await {
        assert_eq!(delivery["attemptCount"], 1, "{delivery:#}");
    }
    assert_eq!(receiver.requests_on("/busy").len(), 300);
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    for id in 0..20 {
        let event = stack.api().publish("bid.created", json!({"id": id})).await;
        stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "succeeded")
            .await;
    }
    assert_eq!(receiver.connections(), 1);
}
