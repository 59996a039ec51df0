//! `Idempotency-Key`: a repetition gets the first answer, and nothing is done twice.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, with_server};

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";
const EVENTS: &str = "/api/v1/events";
const ENDPOINT: &str = r#"{"url":"https://a.example.com/","eventTypes":["bid.created"]}"#;
const EVENT: &str = r#"{"type":"bid.created","data":{"id":1}}"#;

/// A repetition, and what it says.
#[track_caller]
fn replayed(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.header("idempotency-replayed"), "true", "{}", answer.text());
    answer.expect(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_the_first_answer_without_the_secret() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let first = client.keyed("k", Method::POST, ENDPOINTS, ENDPOINT).await;
        assert_eq!(first.header("idempotency-replayed"), "");
        let mut first = first.expect(201);
        let second = client.keyed("k", Method::POST, ENDPOINTS, ENDPOINT).await;
        first["data"]
            .as_object_mut()
            .expect("an endpoint")
            .remove("signingSecret");
        assert_eq!(replayed(&second, 201), first);
        assert_eq!(
            client.get(ENDPOINTS).await.expect(200)["data"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        assert_ne!(
            second.header("x-request-id"),
            first["meta"]["request_id"],
            "each request has its own id"
        );

        let path = format!("{ENDPOINTS}/{}", first["data"]["id"]);
        let rotate = format!("{path}/rotate-secret");
        let rotated = client.keyed("r", Method::POST, &rotate, "").await.expect(200);
        assert!(rotated["data"]["signingSecret"].is_string());
        let again = replayed(&client.keyed("r", Method::POST, &rotate, "").await, 200);
        assert_eq!(
            again["data"],
            json!({"id": rotated["data"]["id"], "activatesAt": rotated["data"]["activatesAt"]})
        );

        client.keyed("d", Method::DELETE, &path, "").await.expect(204);
        replayed(&client.keyed("d", Method::DELETE, &path, "").await, 204);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_publication_publishes_once() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let batch = format!(r#"{{"events":[{EVENT},{EVENT}]}}"#);
        for (key, body) in [("one", EVENT), ("two", &*batch)] {
            let first = client.keyed(key, Method::POST, EVENTS, body).await;
            let second = client.keyed(key, Method::POST, EVENTS, body).await;
            replayed(&second, 202);
            assert_eq!(first.body, second.body, "byte for byte");
        }
        assert_eq!(
            client.get(EVENTS).await.expect(200)["data"]
                .as_array()
                .map(Vec::len),
            Some(3)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request_of_one_tenant() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client
            .keyed("k", Method::POST, ENDPOINTS, ENDPOINT)
            .await
            .expect(201);
        let other = ENDPOINT.replace("bid.created", "bid.accepted");
        client
            .keyed("k", Method::POST, ENDPOINTS, other)
            .await
            .problem(409, "idempotency_key_reused");
        client.keyed("e", Method::POST, EVENTS, EVENT).await.expect(202);
        client
            .keyed("e", Method::POST, EVENTS, EVENT.replace('1', "2"))
            .await
            .problem(409, "idempotency_key_reused");

        let stranger = rig.tenant("*").await;
        let answer = stranger.keyed("k", Method::POST, ENDPOINTS, ENDPOINT).await;
        assert_eq!(answer.header("idempotency-replayed"), "");
        answer.expect(201);
        for key in ["", "a b", &"k".repeat(256)] {
            assert_eq!(
                client.keyed(key, Method::POST, EVENTS, EVENT).await.faults(),
                ["Idempotency-Key: invalid"]
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_the_key_to_the_next_request() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client
            .keyed("k", Method::POST, ENDPOINTS, "{}")
            .await
            .problem(422, "validation_failed");
        client
            .keyed("k", Method::POST, ENDPOINTS, ENDPOINT)
            .await
            .expect(201);
        client
            .keyed("e", Method::POST, EVENTS, "{}")
            .await
            .problem(422, "validation_failed");
        client.keyed("e", Method::POST, EVENTS, EVENT).await.expect(202);
        let none = format!("{ENDPOINTS}/999999999/enable");
        client
            .keyed("n", Method::POST, &none, "")
            .await
            .problem(404, "not_found");
        client.keyed("n", Method::POST, EVENTS, EVENT).await.expect(202);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_repetitions_one_runs_and_the_others_get_its_answer() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        for (path, body, status) in [(ENDPOINTS, ENDPOINT, 201), (EVENTS, EVENT, 202)] {
            let requests = (0..8).map(|_| client.keyed("same", Method::POST, path, body));
            let answers = futures_util::future::join_all(requests).await;
            let ids: BTreeSet<_> = answers
                .iter()
                .map(|answer| answer.expect(status)["data"]["id"].to_string())
                .collect();
            assert_eq!(ids.len(), 1, "{path}");
            let fresh = answers
                .iter()
                .filter(|answer| answer.header("idempotency-replayed").is_empty())
                .count();
            assert_eq!(fresh, 1, "{path}");
            assert_eq!(
                client.get(path).await.expect(200)["data"]
                    .as_array()
                    .map(Vec::len),
                Some(1),
                "{path}"
            );
        }
    })
    .await;
}
