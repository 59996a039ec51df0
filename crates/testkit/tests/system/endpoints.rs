//! Registering endpoints and reading the delivery log, as the published page shows it.

use hyper::Method;
use plumbline_testkit::{FakeDns, Receiver, Reply, Stack};
use serde_json::{Value, json};

use crate::text;

#[tokio::test]
async fn s0_06_s0_10_to_s0_14_the_published_registration_works_as_it_stands() {
    let dns = FakeDns::start().await;
    let stack = Stack::builder().public_addresses_only().dns(&dns).start().await;
    let published = r#"{
"url": "https://hooks.example.com/bwp",
"eventTypes": ["bid.accepted"],
"description": "Notify sales when a bid is won"
}"#;
    let answer = stack
        .api()
        .try_send(Method::POST, "webhook-endpoints", &[], published)
        .await;
    let answer = answer.expect("an answer").expect(201).json();
    let endpoint = &answer["data"];
    assert!(endpoint["id"].as_i64().is_some_and(|id| id > 0), "{answer:#}");
    assert_eq!(endpoint["url"], "https://hooks.example.com/bwp");
    assert_eq!(endpoint["eventTypes"], json!(["bid.accepted"]));
    assert_eq!(endpoint["description"], "Notify sales when a bid is won");
    assert_eq!(endpoint["isActive"], true);
    let secret = text(endpoint, "signingSecret");
    let hex = secret.strip_prefix("whsec_").expect("the published prefix");
    assert!(
        hex.len() >= 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "{secret}"
    );
    assert!(
        text(&answer["meta"], "request_id").starts_with("req_"),
        "{answer:#}"
    );

    // `description` is optional; the others are not.
    let bare = json!({"url": "https://hooks.example.com/bwp", "eventTypes": ["bid.accepted"]});
    stack.api().post("webhook-endpoints", bare, 201).await;
    for (body, field) in [
        (json!({"eventTypes": ["bid.accepted"]}), "url"),
        (json!({"url": "https://hooks.example.com/bwp"}), "eventTypes"),
        (
            json!({"url": "https://hooks.example.com/bwp", "eventTypes": []}),
            "eventTypes",
        ),
        (
            json!({"url": "https://hooks.example.com/bwp", "eventTypes": ["bid.exploded"]}),
            "eventTypes",
        ),
        (
            json!({"url": "https://hooks.example.com/bwp", "eventTypes": ["webhook.test"]}),
            "eventTypes",
        ),
        (
            json!({"url": "https://hooks.example.com/bwp", "eventTypes": ["bid.accepted"], "colour": "red"}),
            "colour",
        ),
    ] {
        let problem = stack
            .api()
            .send(Method::POST, "webhook-endpoints", &body)
            .await
            .expect(422);
        assert_eq!(problem.header("content-type"), Some("application/problem+json"));
        let problem = problem.json();
        assert_eq!(problem["code"], "validation_failed", "{problem:#}");
        let named = text(&problem["errors"][0], "field");
        assert!(named.starts_with(field), "{body}: {problem:#}");
    }
}

/// Every route under `webhook-*` that touches an endpoint or a delivery.
pub(crate) fn routes(endpoint: i64, delivery: &str) -> Vec<(Method, String, Value)> {
    let of = |suffix: &str| format!("webhook-endpoints/{endpoint}{suffix}");
    vec![
        (Method::GET, of(""), Value::Null),
        (Method::PATCH, of(""), json!({"description": "mine now"})),
        (Method::POST, of("/rotate-secret"), json!({})),
        (Method::POST, of("/activate-secret"), json!({})),
        (Method::POST, of("/enable"), json!({})),
        (Method::POST, of("/test"), json!({})),
        (
            Method::POST,
            of("/recover"),
            json!({"since": "2020-01-01T00:00:00Z", "dryRun": true}),
        ),
        (Method::GET, of("/deliveries"), Value::Null),
        (Method::GET, format!("webhook-deliveries/{delivery}"), Value::Null),
        (
            Method::POST,
            format!("webhook-deliveries/{delivery}/replay"),
            json!({}),
        ),
        (Method::DELETE, of(""), Value::Null),
    ]
}

#[tokio::test]
async fn s0_07_s0_11_s0_38_managing_webhooks_needs_a_key_with_the_scope() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    let delivery = text(&delivery, "id").to_owned();

    let mut all = routes(endpoint.id, &delivery);
    let new = json!({"url": receiver.url("/"), "eventTypes": ["bid.created"]});
    all.push((Method::POST, "webhook-endpoints".to_owned(), new));
    all.push((Method::GET, "webhook-endpoints".to_owned(), Value::Null));
    let others = stack
        .key(stack.api().tenant(), "events:write,events:read,event_types:write")
        .await;
    for (method, path, body) in &all {
        let refused = others.send(method.clone(), path, body).await;
        assert_eq!(
            refused.status.as_u16(),
            403,
            "{method} {path}: {}",
            refused.text()
        );
        assert_eq!(refused.json()["code"], "scope_insufficient", "{method} {path}");

        for authorization in [
            None,
            Some("Bearer plk_live_0000"),
            Some("Basic YTpi"),
            Some("Bearer "),
        ] {
            let headers: Vec<(&str, &str)> = authorization
                .map(|value| ("authorization", value))
                .into_iter()
                .collect();
            let url = format!("http://{}/api/v1/{path}", stack.listen());
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let refused = stack
                .http()
                .send(method.clone(), &url, &headers, body)
                .await
                .expect("an answer");
            assert_eq!(
                refused.status.as_u16(),
                401,
                "{method} {path} with {authorization:?}: {}",
                refused.text()
            );
            assert_eq!(refused.json()["code"], "unauthorized", "{method} {path}");
        }
    }
    // The scope alone is enough, and nothing above has changed anything.
    let manager = stack.key(stack.api().tenant(), "webhooks:manage").await;
    let seen = manager.endpoint(endpoint.id).await;
    assert_eq!(
        (&seen["description"], &seen["isActive"]),
        (&Value::Null, &json!(true))
    );
    for (method, path, body) in &all {
        let done = manager.send(method.clone(), path, body).await;
        let expected =
            done.status.is_success() || path.ends_with("/activate-secret") && done.status.as_u16() == 409;
        assert!(expected, "{method} {path}: {}", done.text());
    }
    // It is not enough for publishing.
    let refused = manager
        .send(
            Method::POST,
            "events",
            &json!({"type": "bid.created", "data": {}}),
        )
        .await;
    assert_eq!(refused.expect(403).json()["code"], "scope_insufficient");
}

#[tokio::test]
async fn s0_37_the_delivery_log_shows_what_was_sent_and_answered_and_replays_it() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let answer = Reply::status(200)
        .header("Content-Type", "text/plain")
        .header("X-Request-Id", "r-1")
        .header("X-Trace-Id", "t-1")
        .header("Set-Cookie", "private=1")
        .body("y".repeat(20_000));
    receiver.always(answer);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack
        .api()
        .publish("bid.created", json!({"id": 11, "bidNumber": "BID-001"}))
        .await;
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;

    let first = receiver.next().await;
    assert_eq!(text(&delivery, "id"), first.delivery_id());
    assert_eq!(
        (text(&delivery, "eventId"), text(&delivery, "eventType")),
        (event.as_str(), "bid.created")
    );
    assert_eq!(
        (&delivery["attemptCount"], &delivery["responseStatus"]),
        (&json!(1), &json!(200))
    );
    assert_eq!(
        (&delivery["nextAttemptAt"], &delivery["replayOf"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(delivery["payload"], first.json());
    let attempt = &crate::attempts(&delivery)[0];
    assert_eq!(
        (&attempt["number"], &attempt["responseStatus"]),
        (&json!(1), &json!(200))
    );
    assert_eq!(
        text(attempt, "responseBody"),
        "y".repeat(10 * 1024),
        "the first 10 KB"
    );
    let shown = attempt["responseHeaders"].to_string().to_lowercase();
    for kept in ["text/plain", "r-1", "t-1"] {
        assert!(shown.contains(kept), "{shown}");
    }
    assert!(
        !shown.contains("private"),
        "only the promised headers are kept: {shown}"
    );
    let sent = attempt["requestHeaders"].to_string();
    assert!(
        sent.contains(&event) && sent.contains(first.delivery_id()),
        "{sent}"
    );

    // A replay is the same event under a new delivery id, byte for byte (S1-07).
    let path = format!("webhook-deliveries/{}/replay", first.delivery_id());
    let replay = stack.api().post(&path, json!({}), 202).await;
    let second = receiver.next().await;
    assert_eq!((second.event_id(), &second.body), (event.as_str(), &first.body));
    assert_eq!(second.delivery_id(), text(&replay, "id"));
    assert_ne!(second.delivery_id(), first.delivery_id());
    second.verify(&endpoint.secret).expect("signed anew");
    let replay = stack.api().wait_delivery(text(&replay, "id"), "succeeded").await;
    assert_eq!(text(&replay, "replayOf"), first.delivery_id());

    // The list, its filters and its pages.
    let log = stack.api().deliveries(endpoint.id).await;
    let ids: Vec<&str> = log.iter().map(|delivery| text(delivery, "id")).collect();
    assert_eq!(ids, [second.delivery_id(), first.delivery_id()], "newest first");
    for (query, count) in [
        ("status=succeeded", 2),
        ("status=failed", 0),
        ("eventType=bid.created", 2),
        ("eventType=bid.accepted", 0),
        (&format!("eventId={event}"), 2),
        ("since=2020-01-01T00:00:00Z", 2),
        ("until=2020-01-01T00:00:00Z", 0),
        ("limit=1", 1),
    ] {
        assert_eq!(
            stack.api().deliveries_with(endpoint.id, query).await.len(),
            count,
            "{query}"
        );
    }
    let path = format!("webhook-endpoints/{}/deliveries", endpoint.id);
    let page = stack
        .api()
        .send(Method::GET, &format!("{path}?limit=1"), &Value::Null)
        .await
        .expect(200)
        .json();
    let pagination = &page["meta"]["pagination"];
    assert_eq!(
        (&pagination["has_more"], &pagination["count"]),
        (&json!(true), &json!(1))
    );
    let cursor = text(pagination, "cursor");
    let rest = stack
        .api()
        .deliveries_with(endpoint.id, &format!("limit=1&cursor={cursor}"))
        .await;
    assert_eq!(text(&rest[0], "id"), first.delivery_id());
    let flipped = if cursor.ends_with('A') { 'B' } else { 'A' };
    let tampered = format!("{path}?cursor={}{flipped}", &cursor[..cursor.len() - 1]);
    stack
        .api()
        .send(Method::GET, &tampered, &Value::Null)
        .await
        .expect(400);
}

#[tokio::test]
async fn an_endpoint_can_be_changed_field_by_field() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/old"), &["bid.created"])
        .await;
    let path = format!("webhook-endpoints/{}", endpoint.id);
    let before = stack.api().endpoint(endpoint.id).await;

    let after = stack.api().patch(&path, json!({})).await;
    assert_eq!(after, before, "no change is no change");
    let after = stack
        .api()
        .patch(
            &path,
            json!({"description": "sales", "url": receiver.url("/new")}),
        )
        .await;
    assert_eq!(
        (text(&after, "description"), text(&after, "url")),
        ("sales", receiver.url("/new").as_str())
    );
    assert_eq!(after["eventTypes"], json!(["bid.created"]));
    let after = stack
        .api()
        .patch(&path, json!({"eventTypes": ["bid.accepted"]}))
        .await;
    assert_eq!(
        (&after["eventTypes"], text(&after, "description")),
        (&json!(["bid.accepted"]), "sales")
    );

    let event = stack.api().publish("bid.accepted", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    assert_eq!(receiver.next().await.path, "/new");

    let list = stack.api().get("webhook-endpoints").await;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    stack.api().delete_endpoint(endpoint.id).await;
    stack
        .api()
        .send(Method::GET, &path, &Value::Null)
        .await
        .expect(404);
    stack
        .api()
        .send(Method::DELETE, &path, &Value::Null)
        .await
        .expect(404);
}
