//! Endpoints that fail, are disabled, paused, enabled, recovered and deleted.

use std::time::{Duration, Instant};

use hyper::Method;
use plumbline_testkit::{Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};

use crate::{ends, text};

/// Wait until an endpoint is disabled, and return it.
async fn disabled(stack: &Stack, id: i64) -> Value {
    eventually("the endpoint to be disabled", async || {
        let endpoint = stack.api().endpoint(id).await;
        (endpoint["isActive"] == false).then_some(endpoint)
    })
    .await
}

#[tokio::test]
async fn s0_33_s0_34_twenty_consecutive_failures_disable_an_endpoint_until_it_is_enabled_again() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms,10ms,10ms,10ms,10ms,10ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.always_on("/bad", Reply::status(500));
    let bad = stack
        .api()
        .create_endpoint(&receiver.url("/bad"), &["bid.created"])
        .await;
    let good = stack
        .api()
        .create_endpoint(&receiver.url("/good"), &["bid.created"])
        .await;

    for (id, failures) in [(1, 7), (2, 14)] {
        let event = stack.api().publish("bid.created", json!({"id": id})).await;
        stack
            .api()
            .wait_delivery_status(bad.id, &event, "exhausted")
            .await;
        let endpoint = stack.api().endpoint(bad.id).await;
        assert_eq!(
            (&endpoint["isActive"], &endpoint["consecutiveFailures"]),
            (&json!(true), &json!(failures))
        );
    }
    let third = stack.api().publish("bid.created", json!({"id": 3})).await;
    // Its seventh attempt would be the twenty-first failure; the endpoint is disabled when it comes due.
    let stopped = stack.api().wait_delivery_status(bad.id, &third, "failed").await;
    assert_eq!(ends(&stopped), ["500"; 6]);
    assert_eq!(text(&stopped, "error"), "endpoint_disabled");
    let endpoint = disabled(&stack, bad.id).await;
    assert_eq!(
        (
            text(&endpoint, "disabledReason"),
            &endpoint["consecutiveFailures"]
        ),
        ("consecutive_failures", &json!(20))
    );
    assert_eq!(receiver.requests_on("/bad").len(), 20);

    // It stays so: what happens meanwhile is recorded as skipped, and others are not affected.
    for id in 4..7 {
        let event = stack.api().publish("bid.created", json!({"id": id})).await;
        stack
            .api()
            .wait_delivery_status(good.id, &event, "succeeded")
            .await;
        let skipped = stack.api().wait_delivery_status(bad.id, &event, "skipped").await;
        assert_eq!(
            (&skipped["attemptCount"], crate::attempts(&skipped).len()),
            (&json!(0), 0)
        );
    }
    assert_eq!(stack.api().endpoint(bad.id).await["isActive"], false);

    // Enabled, it starts anew, and nothing is sent by itself.
    receiver.always_on("/bad", Reply::status(200));
    let enabled = stack
        .api()
        .post(&format!("webhook-endpoints/{}/enable", bad.id), json!({}), 200)
        .await;
    assert_eq!(
        (&enabled["isActive"], &enabled["consecutiveFailures"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(enabled["disabledReason"], Value::Null);
    let seventh = stack.api().publish("bid.created", json!({"id": 7})).await;
    stack
        .api()
        .wait_delivery_status(bad.id, &seventh, "succeeded")
        .await;
    assert_eq!(receiver.requests_on("/bad").len(), 21);
    assert_eq!(stack.api().count_deliveries(bad.id, "skipped").await, 3);
}

#[tokio::test]
async fn g9_a_success_resets_the_count_and_every_kind_of_failure_counts() {
    let stack = Stack::builder()
        .setting("DISABLE_AFTER", "4")
        .setting("RETRY_SCHEDULE", "10ms,10ms")
        .setting("ATTEMPT_TIMEOUT", "1s")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.script("/", [500, 503, 200].map(Reply::status));
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let count = async || stack.api().endpoint(endpoint.id).await["consecutiveFailures"].clone();
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    assert_eq!(count().await, 0);

    // A permanent 4xx, a timeout, a reset, a 5xx.
    receiver.script(
        "/",
        [Reply::status(404), Reply::Hang, Reply::Reset, Reply::status(500)],
    );
    let event = stack.api().publish("bid.created", json!({"id": 2})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "failed")
        .await;
    assert_eq!(count().await, 1);
    let event = stack.api().publish("bid.created", json!({"id": 3})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "exhausted")
        .await;
    assert_eq!(disabled(&stack, endpoint.id).await["consecutiveFailures"], 4);
}

#[tokio::test]
async fn with_zero_an_endpoint_is_never_disabled() {
    let stack = Stack::builder()
        .setting("DISABLE_AFTER", "0")
        .setting("RETRY_SCHEDULE", &["1ms"; 24].join(","))
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
    assert_eq!(ends(&delivery).len(), 25);
    let endpoint = stack.api().endpoint(endpoint.id).await;
    assert_eq!(
        (&endpoint["isActive"], &endpoint["consecutiveFailures"]),
        (&json!(true), &json!(25))
    );
}

#[tokio::test]
async fn g9_g20_a_test_event_is_one_attempt_reaches_a_disabled_endpoint_and_never_counts() {
    let stack = Stack::builder()
        .setting("DISABLE_AFTER", "2")
        .setting("RETRY_SCHEDULE", "10ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let path = format!("webhook-endpoints/{}", endpoint.id);
    let test = async || stack.api().post(&format!("{path}/test"), json!({}), 202).await;

    receiver.always(Reply::status(500));
    for _ in 0..3 {
        let sent = test().await;
        let delivery = stack
            .api()
            .wait_delivery(text(&sent, "deliveryId"), "exhausted")
            .await;
        assert_eq!(ends(&delivery), ["500"]);
        assert_eq!(
            (text(&delivery, "eventId"), text(&delivery, "eventType")),
            (text(&sent, "eventId"), "webhook.test")
        );
    }
    let seen = stack.api().endpoint(endpoint.id).await;
    assert_eq!(
        (&seen["isActive"], &seen["consecutiveFailures"]),
        (&json!(true), &json!(0))
    );

    receiver.always(Reply::status(200));
    stack.api().patch(&path, json!({"isActive": false})).await;
    let sent = test().await;
    stack
        .api()
        .wait_delivery(text(&sent, "deliveryId"), "succeeded")
        .await;
    let request = receiver.wait_for(4).await.swap_remove(3);
    assert_eq!(
        (request.event_type(), request.event_id()),
        ("webhook.test", text(&sent, "eventId"))
    );
    assert_eq!(request.json()["type"], "webhook.test");
    request
        .verify(&endpoint.secret)
        .expect("a test is signed like any other");
    assert_eq!(
        stack.api().endpoint(endpoint.id).await["isActive"],
        false,
        "it is still disabled"
    );
}

#[tokio::test]
async fn a_retry_that_comes_due_while_its_endpoint_is_paused_ends_and_sends_nothing() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "1s").start().await;
    let receiver = Receiver::answering(Reply::status(500)).await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    receiver.next().await;
    let path = format!("webhook-endpoints/{}", endpoint.id);
    let paused = stack.api().patch(&path, json!({"isActive": false})).await;
    assert_eq!(
        (&paused["isActive"], text(&paused, "disabledReason")),
        (&json!(false), "manual")
    );
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "failed")
        .await;
    assert_eq!(
        (ends(&delivery), text(&delivery, "error")),
        (vec!["500".to_owned()], "endpoint_disabled")
    );
    assert_eq!(receiver.requests().len(), 1);

    // A replay to a paused endpoint is refused rather than lost.
    let replay = format!("webhook-deliveries/{}/replay", text(&delivery, "id"));
    stack
        .api()
        .send(Method::POST, &replay, &json!({}))
        .await
        .expect(409);
    receiver.always(Reply::status(200));
    stack.api().patch(&path, json!({"isActive": true})).await;
    let replay = stack.api().post(&replay, json!({}), 202).await;
    stack.api().wait_delivery(text(&replay, "id"), "succeeded").await;
}

/// What a dispatcher knew of the endpoint before it was enabled does not end what was loaded after it.
#[tokio::test]
async fn g10_what_is_recovered_right_after_enabling_is_sent_however_long_it_waits_its_turn() {
    const MISSED: usize = 300;
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    // More at once than an endpoint is given, and each takes its time: most wait for a place.
    receiver.always(Reply::status(200).after(Duration::from_millis(150)));
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let path = format!("webhook-endpoints/{}", endpoint.id);
    api.patch(&path, json!({"isActive": false})).await;
    let since = jiff::Timestamp::now().to_string();
    let missed = api
        .publish_batch("bid.created", (0..MISSED).map(|id| json!({"id": id})))
        .await;
    eventually("all to be skipped", async || {
        (api.count_deliveries(endpoint.id, "skipped").await == MISSED).then_some(())
    })
    .await;
    // The dispatcher knows it as disabled from a moment ago.
    let last = api.publish("bid.created", json!({"id": MISSED})).await;
    api.wait_delivery_status(endpoint.id, &last, "skipped").await;
    api.post(&format!("{path}/enable"), json!({}), 200).await;
    let sent = api
        .post(&format!("{path}/recover"), json!({"since": since}), 202)
        .await;
    assert_eq!(sent["deliveries"], json!(missed.len() + 1));
    receiver.wait_for(missed.len() + 1).await;
    assert_eq!(api.count_deliveries(endpoint.id, "failed").await, 0);
}

#[tokio::test]
async fn g10_after_an_outage_recovery_sends_what_was_missed_and_nothing_twice() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms")
        .setting("DISABLE_AFTER", "5")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let publish = async |id: u32| stack.api().publish("bid.created", json!({"id": id})).await;
    let settled = async |event: &str, status: &str| {
        stack.api().wait_delivery_status(endpoint.id, event, status).await;
    };
    let delivered = publish(1).await;
    settled(&delivered, "succeeded").await;

    // The outage: one refused for good, two that ran out, and then it is disabled.
    let mut missed = vec![];
    receiver.script("/", [Reply::status(404)]);
    missed.push(publish(2).await);
    settled(&missed[0], "failed").await;
    receiver.go_down();
    for id in 3..5 {
        let event = publish(id).await;
        settled(&event, "exhausted").await;
        missed.push(event);
    }
    disabled(&stack, endpoint.id).await;
    for id in 5..8 {
        let event = publish(id).await;
        settled(&event, "skipped").await;
        missed.push(event);
    }

    let path = format!("webhook-endpoints/{}/recover", endpoint.id);
    let since = "2020-01-01T00:00:00Z";
    let counted = stack
        .api()
        .post(&path, json!({"since": since, "dryRun": true}), 202)
        .await;
    assert_eq!(counted["deliveries"], json!(missed.len()));
    stack
        .api()
        .send(Method::POST, &path, &json!({"since": since}))
        .await
        .expect(409);

    receiver.come_back().await;
    stack
        .api()
        .post(
            &format!("webhook-endpoints/{}/enable", endpoint.id),
            json!({}),
            200,
        )
        .await;
    let before = receiver.requests().len();
    let sent = stack.api().post(&path, json!({"since": since}), 202).await;
    assert_eq!(sent["deliveries"], json!(missed.len()));
    let received = receiver.wait_for(before + missed.len()).await;
    let mut recovered: Vec<&str> = received[before..]
        .iter()
        .map(|request| request.event_id())
        .collect();
    recovered.sort_unstable();
    missed.sort_unstable();
    assert_eq!(recovered, missed, "what had arrived before is not sent again");

    eventually("nothing to be missing any more", async || {
        let left = stack
            .api()
            .post(&path, json!({"since": since, "dryRun": true}), 202)
            .await;
        (left["deliveries"] == 0).then_some(())
    })
    .await;
    let again = stack.api().post(&path, json!({"since": since}), 202).await;
    assert_eq!(again["deliveries"], json!(0));
    let none = stack
        .api()
        .post(
            &path,
            json!({"since": since, "until": "2020-01-02T00:00:00Z"}),
            202,
        )
        .await;
    assert_eq!(none["deliveries"], json!(0));
}

#[tokio::test]
async fn g11_a_deleted_endpoints_waiting_retries_end_and_send_nothing() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "2s")
        .setting("RETRY_JITTER", "0")
        .start()
        .await;
    let receiver = Receiver::answering(Reply::status(500)).await;
    let doomed = stack
        .api()
        .create_endpoint(&receiver.url("/doomed"), &["bid.created"])
        .await;
    let clock = stack
        .api()
        .create_endpoint(&receiver.url("/clock"), &["bid.rejected"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let delivery = stack.api().wait_attempts(doomed.id, &event, 1).await;
    stack.api().delete_endpoint(doomed.id).await;

    let delivery = stack.api().wait_delivery(text(&delivery, "id"), "failed").await;
    assert_eq!(
        (ends(&delivery), text(&delivery, "error")),
        (vec!["500".to_owned()], "endpoint_deleted")
    );
    let replay = format!("webhook-deliveries/{}/replay", text(&delivery, "id"));
    stack
        .api()
        .send(Method::POST, &replay, &json!({}))
        .await
        .expect(409);
    // Another endpoint's retry on the same schedule, begun later, shows that ours would have come by now.
    let later = stack.api().publish("bid.rejected", json!({"id": 2})).await;
    stack
        .api()
        .wait_delivery_status(clock.id, &later, "exhausted")
        .await;
    assert_eq!(receiver.requests_on("/doomed").len(), 1);
}

#[tokio::test]
async fn g11_no_new_request_starts_once_a_deletion_is_answered() {
    let stack = Stack::builder().dispatchers(2).start().await;
    let receiver = Receiver::start().await;
    let doomed = stack
        .api()
        .create_endpoint(&receiver.url("/doomed"), &["bid.created"])
        .await;
    let witness = stack
        .api()
        .create_endpoint(&receiver.url("/witness"), &["bid.created"])
        .await;
    let publishing = async {
        let mut last = String::new();
        for id in 0..150 {
            last = stack.api().publish("bid.created", json!({"id": id})).await;
        }
        last
    };
    let deleting = async {
        receiver.wait_for_on("/doomed", 20).await;
        stack.api().delete_endpoint(doomed.id).await;
        Instant::now()
    };
    let (_, deleted) = tokio::join!(publishing, deleting);
    let mut last = String::new();
    for id in 0..20 {
        last = stack.api().publish("bid.created", json!({"id": id})).await;
    }
    stack
        .api()
        .wait_delivery_status(witness.id, &last, "succeeded")
        .await;
    let late: Vec<Duration> = receiver
        .requests_on("/doomed")
        .iter()
        .filter_map(|request| request.at.checked_duration_since(deleted))
        .filter(|after| !after.is_zero())
        .collect();
    assert!(late.is_empty(), "requests came after the answer: {late:?}");
    assert!(
        receiver
            .requests_on("/witness")
            .iter()
            .any(|request| request.at > deleted)
    );
}
