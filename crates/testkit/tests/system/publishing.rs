//! Publishing: idempotent, all or nothing, bounded.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use hyper::Method;
use plumbline_testkit::{Receiver, Stack};
use serde_json::{Value, json};

use crate::text;

#[tokio::test]
async fn twenty_requests_with_one_key_are_one_event() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let body = json!({"type": "bid.created", "data": {"id": 1}});
    let headers = [("Idempotency-Key", "bid-1")];
    let publish = || api.send_with(Method::POST, "events", &headers, &body);
    let answers = join_all((0..20).map(|_| publish())).await;
    let ids: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| text(&answer.expect(202).json()["data"], "id").to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");

    let other = json!({"type": "bid.created", "data": {"id": 2}});
    let refused = api
        .send_with(Method::POST, "events", &headers, &other)
        .await
        .expect(409);
    assert_eq!(refused.json()["code"], "idempotency_key_reused");

    // A key whose request was refused is free.
    let bad = json!({"type": "bid.exploded", "data": {}});
    let free = [("Idempotency-Key", "bid-2")];
    api.send_with(Method::POST, "events", &free, &bad)
        .await
        .expect(422);
    let second = api
        .send_with(Method::POST, "events", &free, &body)
        .await
        .expect(202)
        .json();
    let second = text(&second["data"], "id").to_owned();

    api.wait_delivery_status(endpoint.id, &second, "succeeded").await;
    let first = ids.first().expect("one");
    api.wait_delivery_status(endpoint.id, first, "succeeded").await;
    let received: BTreeSet<String> = receiver
        .requests()
        .iter()
        .map(|r| r.event_id().to_owned())
        .collect();
    assert_eq!(
        (receiver.requests().len(), received),
        (2, BTreeSet::from([first.clone(), second]))
    );
    assert_eq!(api.get("events").await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let good = |id: usize| json!({"type": "bid.created", "data": {"id": id}});
    for (bad, field) in [
        (json!({"type": "bid.exploded", "data": {}}), "events[1].type"),
        (json!({"type": "webhook.test", "data": {}}), "events[1].type"),
        (json!({"type": "bid.created"}), "events[1].data"),
        (json!({"type": "bid.created", "data": [1]}), "events[1].data"),
        (
            json!({"type": "bid.created", "data": {}, "occurredAt": "yesterday"}),
            "events[1].occurredAt",
        ),
        (
            json!({"type": "bid.created", "data": {}, "colour": 1}),
            "events[1].colour",
        ),
    ] {
        let problem = api
            .send(
                Method::POST,
                "events",
                &json!({"events": [good(0), bad, good(2)]}),
            )
            .await;
        let problem = problem.expect(422).json();
        assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
    }
    let too_many: Vec<Value> = (0..1_001).map(good).collect();
    api.send(Method::POST, "events", &json!({"events": too_many}))
        .await
        .expect(422);
    api.send(Method::POST, "events", &json!({"events": []}))
        .await
        .expect(422);
    assert_eq!(api.get("events").await, json!([]), "nothing was accepted");

    let ids = api
        .publish_batch("bid.created", (0..1_000).map(|id| json!({"id": id})))
        .await;
    let received = receiver.wait_for(1_000).await;
    for (index, id) in ids.iter().enumerate().step_by(100) {
        let request = received
            .iter()
            .find(|request| request.event_id() == id)
            .expect("each has arrived");
        assert_eq!(
            request.json()["data"]["id"],
            index,
            "the ids are in the order of the events"
        );
    }
    let distinct: BTreeSet<&str> = received.iter().map(|request| request.event_id()).collect();
    assert_eq!(distinct.len(), 1_000);
    api.wait_delivery_status(endpoint.id, &ids[999], "succeeded")
        .await;
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_or_not_json_is_refused() {
    let stack = Stack::builder()
        .setting("MAX_PAYLOAD_BYTES", "1000")
        .start()
        .await;
    let publish = async |body: String| {
        stack
            .api()
            .try_send(Method::POST, "events", &[], body)
            .await
            .expect("an answer")
    };
    let sized = |bytes: usize| {
        format!(
            r#"{{"type":"bid.created","data":{{"a":"{}"}}}}"#,
            "x".repeat(bytes - 8)
        )
    };
    publish(sized(1_000)).await.expect(202);
    let refused = publish(sized(1_001)).await.expect(413);
    assert_eq!(refused.json()["code"], "payload_too_large");
    let previous = format!(r#","previous_attributes":{{"b":"{}"}}}}"#, "x".repeat(600));
    let both = sized(500).strip_suffix('}').expect("an object").to_owned() + &previous;
    publish(both).await.expect(413);

    let nested = |levels: usize| {
        format!(
            r#"{{"type":"bid.created","data":{}{}}}"#,
            r#"{"a":"#.repeat(levels - 1) + "{}",
            "}".repeat(levels - 1)
        )
    };
    publish(nested(64)).await.expect(202);
    publish(nested(65)).await.expect(422);
    for body in [
        "",
        "{",
        "nonsense",
        "[]",
        r#"{"type":"bid.created","data":{"a":1,}}"#,
        "{\"type\":\"bid.created\",\"data\":{\"a\":\"\u{0}\"}}",
    ] {
        let refused = publish(body.to_owned()).await;
        assert!(
            matches!(refused.status.as_u16(), 400 | 422),
            "{body}: {} {}",
            refused.status,
            refused.text()
        );
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json"),
            "{body}"
        );
    }
    let not_utf8 = b"{\"type\":\"bid.created\",\"data\":{\"a\":\"\xff\"}}".to_vec();
    let refused = stack
        .api()
        .try_send(Method::POST, "events", &[], not_utf8)
        .await
        .expect("an answer");
    assert!(matches!(refused.status.as_u16(), 400 | 422), "{}", refused.text());
}

#[tokio::test]
async fn accepted_events_can_be_read_back_page_by_page() {
    let stack = Stack::start().await;
    let api = stack.api();
    let ids = api
        .publish_batch("bid.created", (0..5).map(|id| json!({"id": id})))
        .await;
    let other = api.publish("bid.accepted", json!({"id": 5})).await;
    let one = api.get(&format!("events/{}", ids[0])).await;
    assert_eq!(
        (text(&one, "id"), text(&one, "type")),
        (ids[0].as_str(), "bid.created")
    );
    assert_eq!(
        (&one["data"], &one["previousAttributes"]),
        (&json!({"id": 0}), &Value::Null)
    );

    let (mut seen, mut cursor) = (vec![], String::new());
    loop {
        let page = api
            .send(Method::GET, &format!("events?limit=2{cursor}"), &Value::Null)
            .await
            .expect(200)
            .json();
        seen.extend(
            page["data"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|event| text(event, "id").to_owned()),
        );
        match page["meta"]["pagination"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0], other, "newest first");
    assert_eq!(
        seen.iter().cloned().collect::<BTreeSet<_>>(),
        ids.into_iter().chain([other]).collect()
    );
    for query in ["limit=0", "limit=101", "limit=x"] {
        api.send(Method::GET, &format!("events?{query}"), &Value::Null)
            .await
            .expect(422);
    }
}
