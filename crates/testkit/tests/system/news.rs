//! What the service itself tells a tenant: endpoints that fail, and endpoints that are disabled.

use hyper::Method;
use plumbline_testkit::{Api, Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};

use crate::{ends, text};

/// A path with a password in its query.
const BAD: &str = "/bad?token=swordfish";
const NEWS: [&str; 2] = ["endpoint.disabled", "endpoint.failing"];

/// The operational events of a tenant, the oldest first.
async fn told(api: &Api) -> Vec<Value> {
    let mut told = vec![];
    for name in NEWS {
        let events = api.get(&format!("events?limit=100&type={name}")).await;
        told.extend(events.as_array().expect("a list").clone());
    }
    told.sort_by_key(|event| text(event, "id").to_owned());
    told
}

#[tokio::test]
async fn who_subscribes_is_told_of_a_failing_endpoint_and_of_its_end_and_no_storm_follows() {
    let stack = Stack::builder()
        .setting("DISABLE_AFTER", "4")
        .setting("RETRY_SCHEDULE", "10ms")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    let watcher = api.create_endpoint(&receiver.url("/watcher"), &NEWS).await;
    let types = ["bid.created", "endpoint.failing", "endpoint.disabled"];
    let bad = api.create_endpoint(&receiver.url(BAD), &types).await;
    // Everything of the tenant is not everything of the service.
    let body = json!({"url": receiver.url("/all"), "events": []});
    api.at(Method::POST, "/v1/webhooks", &body).await.expect(201);
    let other = stack.tenant("Other").await;
    other.create_endpoint(&receiver.url("/other"), &NEWS).await;
    receiver.always_on(BAD, Reply::status(500));

    // Two failures are half-way. It fails on being told so itself, and that counts for nothing.
    let first = api.publish("bid.created", json!({"id": 1})).await;
    api.wait_delivery_status(bad.id, &first, "exhausted").await;
    let failing = receiver.wait_for_on("/watcher", 1).await.swap_remove(0);
    failing.verify(&watcher.secret).expect("signed like any other");
    assert_eq!(failing.event_type(), "endpoint.failing");
    let own = api
        .wait_delivery_status(bad.id, failing.event_id(), "exhausted")
        .await;
    assert_eq!(ends(&own), ["500", "500"]);
    assert_eq!(api.endpoint(bad.id).await["consecutiveFailures"], 2);
    assert_eq!(told(api).await.len(), 1);

    // A success ends the row; the next row is told of again, then its end.
    receiver.always_on(BAD, Reply::status(200));
    let second = api.publish("bid.created", json!({"id": 2})).await;
    api.wait_delivery_status(bad.id, &second, "succeeded").await;
    receiver.always_on(BAD, Reply::status(503));
    for id in [3, 4] {
        let event = api.publish("bid.created", json!({"id": id})).await;
        api.wait_delivery_status(bad.id, &event, "exhausted").await;
    }
    let news = receiver.wait_for_on("/watcher", 3).await;
    assert_eq!(news[1].event_type(), "endpoint.failing");
    let disabled = news[2].json();
    assert_eq!(
        (text(&disabled, "type"), &disabled["tenant_id"]),
        ("endpoint.disabled", &json!(api.tenant()))
    );
    let endpoint = api.endpoint(bad.id).await;
    for (member, value) in [
        ("id", json!(bad.id)),
        ("uid", endpoint["uid"].clone()),
        ("url", json!(receiver.url("/bad"))),
        ("isActive", json!(false)),
        ("reason", json!("consecutive_failures")),
        ("consecutiveFailures", json!(4)),
        ("disableAfter", json!(4)),
        ("lastResponseStatus", json!(503)),
        ("lastError", json!(null)),
    ] {
        assert_eq!(disabled["data"][member], value, "{member} of {disabled:#}");
    }
    assert_eq!(endpoint["isActive"], false);
    // Of its own end it is told when it is enabled and recovered, as of anything else.
    api.wait_delivery_status(bad.id, text(&disabled, "id"), "skipped")
        .await;

    let told = told(api).await;
    let types: Vec<_> = told.iter().map(|event| text(event, "type")).collect();
    assert_eq!(
        types,
        ["endpoint.failing", "endpoint.failing", "endpoint.disabled"]
    );
    assert_eq!(told[2]["data"], disabled["data"]);
    // Nothing is left to be sent: each is recorded once for each of its endpoints.
    eventually("the outbox to be empty", async || {
        let sql = stack.database().connect().await;
        let row = sql.query_one("SELECT count(*) FROM plumbline.outbox", &[]).await;
        (row.expect("counted").get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    assert_eq!(receiver.requests_on("/watcher").len(), 3);
    assert_eq!(receiver.requests_on("/all").len(), 4, "the tenant's own");
    assert_eq!(receiver.requests_on("/other").len(), 0, "another tenant's");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_of_by_the_native_surface_to_any_endpoint_and_a_pause_is_not() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let hook =
        |path: &str, types: &[&str]| json!({"webhook": {"url": receiver.url(path), "filter_types": types}});
    let refused = api
        .at(
            Method::POST,
            "/api/2023-01/webhooks",
            &hook("/thin", &["endpoint.disabled"]),
        )
        .await
        .expect(422);
    assert!(
        !refused.text().contains("one of endpoint"),
        "Buildr's page has no such type: {}",
        refused.text()
    );
    let gone = hook("/gone", &["contact.create"]);
    let gone = api
        .at(Method::POST, "/api/2023-01/webhooks", &gone)
        .await
        .expect(201)
        .json();
    let thin = hook("/thin", &["contact.create"]);
    let thin = api
        .at(Method::POST, "/api/2023-01/webhooks", &thin)
        .await
        .expect(201)
        .json();
    // The native surface manages every endpoint, and offers what is its own.
    let listed = api.get("webhook-endpoints?limit=100").await;
    let number = |uid: &Value| -> i64 {
        let mut endpoints = listed.as_array().expect("a list").iter();
        let found = endpoints.find(|endpoint| endpoint["uid"] == *uid);
        found
            .and_then(|endpoint| endpoint["id"].as_i64())
            .expect("a number")
    };
    let (gone, thin_id) = (number(&gone["webhook"]["id"]), number(&thin["webhook"]["id"]));
    let types = json!({"eventTypes": ["endpoint.disabled"]});
    api.patch(&format!("webhook-endpoints/{thin_id}"), types).await;
    // What it has there, it may keep through its own surface.
    let path = format!("/api/2023-01/webhooks/{}", text(&thin["webhook"], "id"));
    let kept = json!({"webhook": {"filter_types": ["endpoint.disabled", "contact.update"]}});
    api.at(Method::PATCH, &path, &kept).await.expect(200);

    let paused = api
        .create_endpoint(&receiver.url("/paused"), &["bid.created"])
        .await;
    api.patch(
        &format!("webhook-endpoints/{}", paused.id),
        json!({"isActive": false}),
    )
    .await;
    receiver.always_on("/gone", Reply::status(410));
    api.publish("contact.created", json!({"id": 5})).await;

    let request = receiver.wait_for_on("/thin", 1).await.swap_remove(0);
    assert_eq!(request.the("Buildr-Event"), "endpoint.disabled");
    assert_eq!(request.json(), json!({"id": gone, "url": receiver.url("/gone")}));
    let told = told(api).await;
    assert_eq!(told.len(), 1, "whoever paused one knows: {told:?}");
    assert_eq!(
        (
            text(&told[0]["data"], "reason"),
            &told[0]["data"]["lastResponseStatus"]
        ),
        ("gone", &json!(410))
    );
}
