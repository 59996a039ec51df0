//! Buildmarkets' webhooks from its customer's request to its customer's receiver.

use std::collections::BTreeSet;

use hyper::Method;
use plumbline_testkit::{Api, Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};

use crate::peers::{Library, Peer};
use crate::text;

const WEBHOOKS: &str = "/v1/webhooks";

/// Register a webhook: the answer, with its secret.
async fn webhook(api: &Api, url: &str, events: &[&str]) -> Value {
    let body = json!({"url": url, "events": events});
    api.at(Method::POST, WEBHOOKS, &body).await.expect(201).json()
}

fn path(webhook: &Value) -> String {
    format!("{WEBHOOKS}/{}", text(webhook, "id"))
}

/// The attempts of a webhook, newest first.
async fn history(api: &Api, webhook: &Value) -> Vec<Value> {
    let path = format!("{}/deliveries", path(webhook));
    let history = api.at(Method::GET, &path, &Value::Null).await.expect(200).json();
    history["data"].as_array().expect("a list").clone()
}

/// Wait until the newest attempt has this status.
async fn until(api: &Api, webhook: &Value, status: &str) -> Vec<Value> {
    eventually(&format!("the newest attempt to be {status}"), async || {
        let history = history(api, webhook).await;
        history
            .first()
            .is_some_and(|row| row["status"] == status)
            .then_some(history)
    })
    .await
}

#[tokio::test]
async fn s4_16_s4_20_s4_26_an_event_arrives_in_the_references_envelope() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let webhook = webhook(api, &receiver.url("/hook"), &["order.filled"]).await;
    let body = json!({
        "type": "order.filled",
        "data": {"order_id": "ord_1", "qty": 10},
        "previous_attributes": {"qty": 0},
        "occurredAt": "2026-03-24T14:32:00.750Z",
    });
    let accepted = api.post("events", body, 202).await;
    api.publish("order.rejected", json!({"order_id": "ord_2"})).await;
    let request = receiver.next().await;
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook")
    );
    assert_eq!(
        request.body,
        format!(
            r#"{{"id":"{}","event_type":"order.filled","created_at":"2026-03-24T14:32:00Z","data":{{"order_id":"ord_1","qty":10}}}}"#,
            text(&accepted, "id")
        )
    );
    assert_eq!(request.the("Content-Type"), "application/json");
    assert_eq!(request.the("User-Agent"), "Buildmarkets-Webhooks/1.0");
    assert_eq!(request.the("webhook-id"), text(&accepted, "id"));
    assert!(request.the("webhook-signature").starts_with("v1,"));
    let rows = until(api, &webhook, "succeeded").await;
    assert_eq!(rows.len(), 1, "the other type is not for it: {rows:?}");
    assert_eq!(
        (&rows[0]["response_status"], &rows[0]["attempt"]),
        (&json!(200), &json!(1))
    );
    assert!(rows[0]["attempted_at"].is_string());
}

#[tokio::test]
async fn s4_04_no_names_are_all_types_also_those_that_are_added_later() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    webhook(api, &receiver.url("/"), &[]).await;
    api.post("webhook-event-types", json!({"name": "invoice.paid"}), 201)
        .await;
    let types = ["order.filled", "bid.created", "contact.updated", "invoice.paid"];
    for event_type in types {
        api.publish(event_type, json!({"id": 1})).await;
    }
    let requests = receiver.wait_for(types.len()).await;
    let arrived: BTreeSet<String> = requests
        .iter()
        .map(|request| text(&request.json(), "event_type").to_owned())
        .collect();
    assert_eq!(arrived, types.map(str::to_owned).into());
}

#[tokio::test]
async fn s4_13_a_paused_webhook_receives_nothing_until_it_is_resumed() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let webhook = webhook(api, &receiver.url("/"), &["order.filled"]).await;
    let set = async |status: &str| {
        let answer = api
            .at(Method::PATCH, &path(&webhook), &json!({"status": status}))
            .await;
        assert_eq!(answer.expect(200).json()["status"], status);
    };
    set("disabled").await;
    let missed = api.publish("order.filled", json!({"n": 1})).await;
    let number = api.get("webhook-endpoints").await[0]["id"]
        .as_i64()
        .expect("a number");
    api.wait_delivery_status(number, &missed, "skipped").await;
    assert!(history(api, &webhook).await.is_empty(), "nothing was attempted");
    set("active").await;
    let sent = api.publish("order.filled", json!({"n": 2})).await;
    let request = receiver.next().await;
    assert_eq!(request.json()["id"], sent.as_str());
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn s4_15_s4_16_s4_17_s4_18_a_test_event_arrives_and_stands_in_the_history() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let webhook = webhook(api, &receiver.url("/"), &["order.filled"]).await;
    let test = format!("{}/test", path(&webhook));
    let sent = api.at(Method::POST, &test, &Value::Null).await.expect(202).json();
    let request = receiver.next().await;
    let envelope = request.json();
    assert_eq!(envelope["event_type"], "webhook.test");
    assert_eq!(envelope["id"], sent["id"]);
    assert!(envelope["data"].is_object());
    let rows = until(api, &webhook, "succeeded").await;
    assert_eq!(rows[0]["event_type"], "webhook.test");
    assert_eq!(rows[0]["event_id"], sent["id"]);

    // A test that fails is tried once, and a paused webhook can be tested, too.
    receiver.always(Reply::status(503));
    api.at(Method::PATCH, &path(&webhook), &json!({"status": "disabled"}))
        .await
        .expect(200);
    api.at(Method::POST, &test, &Value::Null).await.expect(202);
    let rows = until(api, &webhook, "failed").await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["response_status"], 503);
}

#[tokio::test]
async fn s4_18_s4_21_failed_deliveries_are_tried_again_and_each_attempt_is_a_row() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "300ms,300ms")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    receiver.script("/", [Reply::status(500), Reply::status(429)]);
    let webhook = webhook(api, &receiver.url("/"), &["order.filled"]).await;
    let event = api.publish("order.filled", json!({})).await;
    let rows = until(api, &webhook, "succeeded").await;
    let lines: Vec<(u64, &str, u64)> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["event_id"], event.as_str());
            let number = |field: &str| row[field].as_u64().expect(field);
            (number("attempt"), text(row, "status"), number("response_status"))
        })
        .collect();
    assert_eq!(
        lines,
        [(3, "succeeded", 200), (2, "failed", 429), (1, "failed", 500)]
    );
    // A receiver that is not there has no status, and the reason instead.
    receiver.go_down();
    api.publish("order.filled", json!({})).await;
    let rows = eventually("an attempt to fail", async || {
        let rows = history(api, &webhook).await;
        rows.iter()
            .any(|row| row["error"] == "connect_failed")
            .then_some(rows)
    })
    .await;
    let failed = rows
        .iter()
        .find(|row| row["error"] == "connect_failed")
        .expect("found");
    assert_eq!(
        (&failed["response_status"], &failed["status"]),
        (&Value::Null, &json!("failed"))
    );
}

#[tokio::test]
async fn s4_19_a_deleted_webhook_receives_nothing_more() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "1s,1s").start().await;
    let (api, receiver) = (stack.api(), Receiver::answering(Reply::status(500)).await);
    let webhook = webhook(api, &receiver.url("/"), &["order.filled"]).await;
    let marker = api
        .create_endpoint(&receiver.url("/marker"), &["bid.created"])
        .await;
    receiver.always_on("/marker", Reply::status(200));
    api.publish("order.filled", json!({})).await;
    receiver.wait_for_on("/", 1).await;
    api.at(Method::DELETE, &path(&webhook), &Value::Null)
        .await
        .expect(204);
    let arrived = receiver.requests_on("/").len();
    api.publish("order.filled", json!({})).await;
    // Longer than the retry would have waited: a delivery that fails twice elsewhere on the same schedule.
    receiver.script("/marker", [Reply::status(500), Reply::status(500)]);
    let event = api.publish("bid.created", json!({})).await;
    api.wait_delivery_status(marker.id, &event, "succeeded").await;
    assert_eq!(receiver.requests_on("/").len(), arrived);
    api.at(Method::GET, &path(&webhook), &Value::Null)
        .await
        .expect(404);
}

#[tokio::test]
async fn s4_07_s4_22_the_standard_libraries_of_three_languages_believe_us_and_no_forger() {
    let stack = Stack::start().await;
    let api = stack.api();
    let receiver = Receiver::start().await;
    for library in [
        Library::Node("standardwebhooks"),
        Library::Python("standardwebhooks"),
        Library::Rust("standardwebhooks"),
        // svix's library reads these headers, too.
        Library::Node("svix"),
    ] {
        // The secret is known only when the webhook exists.
        let webhook = webhook(api, &receiver.url("/"), &["order.filled"]).await;
        let peer = Peer::library(stack.directory(), library, text(&webhook, "secret")).await;
        let url = json!({"url": peer.url()});
        api.at(Method::PATCH, &path(&webhook), &url).await.expect(200);
        api.publish("order.filled", json!({"note": "é"})).await;
        let [genuine, changed, old] = peer.verdicts().await;
        assert_eq!(genuine, "believed", "{library:?}");
        assert!(
            changed.to_lowercase().contains("signature"),
            "{library:?}: {changed}"
        );
        assert!(old.to_lowercase().contains("timestamp"), "{library:?}: {old}");
        until(api, &webhook, "succeeded").await;
        api.at(Method::DELETE, &path(&webhook), &Value::Null)
            .await
            .expect(204);
    }
}

#[tokio::test]
async fn s4_27_another_accounts_webhook_is_not_there() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let (api, neighbour) = (stack.api(), stack.tenant("Neighbour").await);
    let webhook = webhook(api, &receiver.url("/"), &[]).await;
    for (method, suffix, body) in [
        (Method::GET, "", Value::Null),
        (Method::PATCH, "", json!({"status": "disabled"})),
        (Method::DELETE, "", Value::Null),
        (Method::POST, "/test", Value::Null),
        (Method::GET, "/deliveries", Value::Null),
    ] {
        let answer = neighbour
            .at(method, &format!("{}{suffix}", path(&webhook)), &body)
            .await;
        assert_eq!(answer.expect(404).json()["error"], "WEBHOOK_NOT_FOUND");
    }
    let listed = neighbour
        .at(Method::GET, WEBHOOKS, &Value::Null)
        .await
        .expect(200)
        .json();
    assert_eq!(listed, json!({"data": []}));
    // Nor does the neighbour's event reach it, though it takes every type.
    neighbour
        .publish("order.filled", json!({"whose": "neighbour"}))
        .await;
    api.publish("order.filled", json!({"whose": "mine"})).await;
    assert_eq!(receiver.next().await.json()["data"]["whose"], "mine");
    assert_eq!(receiver.requests().len(), 1);
}
