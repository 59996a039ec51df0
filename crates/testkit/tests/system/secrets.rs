//! A signing secret is shown once, rotates without a gap, and is nowhere in clear.

use hyper::Method;
use plumbline_testkit::{Api, PATIENCE, Receiver, Stack};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{text, time};

/// Publish until what arrives is signed with the new secret; what arrives before must be signed with the old one.
async fn until_signed_with(api: &Api, receiver: &Receiver, new: &str, old: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        api.publish("bid.created", json!({"id": 1})).await;
        let request = receiver.next().await;
        if request.verify(new).is_ok() {
            break;
        }
        request.verify(old).expect("it is signed with one of the two");
        assert!(Instant::now() < deadline, "the new secret never signed");
    }
    // It stays so.
    for _ in 0..3 {
        api.publish("bid.created", json!({"id": 1})).await;
        let request = receiver.next().await;
        request.verify(new).expect("the new secret signs from now on");
        request.verify(old).expect_err("the old one does not");
    }
}

#[tokio::test]
async fn s0_16_a_lost_secret_is_replaced_at_once() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let path = format!("webhook-endpoints/{}/rotate-secret", endpoint.id);
    // As published: a POST, and no body.
    let answer = stack
        .api()
        .try_send(Method::POST, &path, &[], "")
        .await
        .expect("an answer")
        .expect(200);
    let rotated = &answer.json()["data"];
    assert_eq!(rotated["id"], endpoint.id);
    let secret = text(rotated, "signingSecret");
    assert!(secret.starts_with("whsec_") && secret != endpoint.secret);
    until_signed_with(stack.api(), &receiver, secret, &endpoint.secret).await;
}

#[tokio::test]
async fn g5_a_prepared_secret_takes_over_when_its_owner_says_so_or_at_its_time() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let of = |verb: &str| format!("webhook-endpoints/{}/{verb}", endpoint.id);
    api.send(Method::POST, &of("activate-secret"), &json!({}))
        .await
        .expect(409);

    let prepared = api
        .post(&of("rotate-secret"), json!({"activateInSeconds": 3600}), 200)
        .await;
    let second = text(&prepared, "signingSecret");
    let wait = time(&prepared, "activatesAt").duration_since(jiff::Timestamp::now());
    assert!(wait.as_secs() > 3_000 && wait.as_secs() <= 3_600, "{wait:?}");
    for _ in 0..3 {
        api.publish("bid.created", json!({"id": 1})).await;
        receiver
            .next()
            .await
            .verify(&endpoint.secret)
            .expect("the old one signs until the new one is activated");
    }
    api.post(&of("activate-secret"), json!({}), 200).await;
    until_signed_with(api, &receiver, second, &endpoint.secret).await;
    api.send(Method::POST, &of("activate-secret"), &json!({}))
        .await
        .expect(409);

    let prepared = api
        .post(&of("rotate-secret"), json!({"activateInSeconds": 2}), 200)
        .await;
    until_signed_with(api, &receiver, text(&prepared, "signingSecret"), second).await;
    for seconds in [json!(-1), json!("soon"), json!(10_000_000_000_i64)] {
        api.send(
            Method::POST,
            &of("rotate-secret"),
            &json!({"activateInSeconds": seconds}),
        )
        .await
        .expect(422);
    }
}

#[tokio::test]
async fn s0_15_a_secret_is_in_the_answer_that_made_it_and_nowhere_else() {
    let stack = Stack::builder()
        .setting("LOG", "debug")
        .setting("RETRY_SCHEDULE", "10ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let api = stack.api();
    let new = json!({"url": receiver.url("/"), "eventTypes": ["bid.created"]});
    let create = async || {
        api.send_with(
            Method::POST,
            "webhook-endpoints",
            &[("Idempotency-Key", "once")],
            &new,
        )
        .await
    };
    let made = create().await.expect(201).json();
    let first = text(&made["data"], "signingSecret").to_owned();
    let id = made["data"]["id"].as_i64().expect("a number");
    let rotation = format!("webhook-endpoints/{id}/rotate-secret");
    let rotate = async || {
        api.send_with(
            Method::POST,
            &rotation,
            &[("Idempotency-Key", "turn")],
            &json!({}),
        )
        .await
    };
    let second = text(&rotate().await.expect(200).json()["data"], "signingSecret").to_owned();
    let secrets = [first.as_str(), second.as_str()];

    // The same requests again are the same endpoint and the same rotation, without the secret.
    let again = create().await.expect(201);
    assert_eq!(again.json()["data"]["id"], id);
    let mut shown = vec![again.text(), rotate().await.expect(200).text()];
    assert_eq!(
        api.get("webhook-endpoints").await.as_array().map(Vec::len),
        Some(1)
    );

    let event = api.publish("bid.created", json!({"id": 1})).await;
    let delivery = api.wait_delivery_status(id, &event, "succeeded").await;
    shown.push(delivery.to_string());
    let path = format!("webhook-endpoints/{id}");
    for (method, path, body) in [
        (Method::GET, "webhook-endpoints", Value::Null),
        (Method::GET, &path, Value::Null),
        (Method::PATCH, &path, json!({"description": "x"})),
        (
            Method::PATCH,
            &path,
            json!({"url": "http://127.0.0.1:1/", "colour": 1}),
        ),
        (Method::POST, &format!("{path}/enable"), json!({})),
        (Method::POST, &format!("{path}/test"), json!({})),
        (Method::GET, &format!("{path}/deliveries"), Value::Null),
        (Method::GET, "events", Value::Null),
        (Method::GET, "me", Value::Null),
    ] {
        shown.push(api.send(method, path, &body).await.text());
    }
    for process in stack.processes() {
        shown.push(stack.admin(process, "/metrics").await.text());
    }
    // A request that fails in the worst place is logged, too.
    api.try_send(Method::POST, "events", &[], "{")
        .await
        .expect("an answer");
    let logs = stack.logs();
    let database = everything(&stack).await;
    let tails = secrets.map(|secret| &secret["whsec_".len()..]);
    for text in shown.iter().chain([&logs, &database]) {
        for tail in tails {
            assert!(!text.contains(tail), "a secret is shown: {}", around(text, tail));
        }
    }
    let master_key = stack.master_keys().split_once(':').expect("an id and a key").1;
    for (what, text) in [("the logs", &logs), ("the database", &database)] {
        assert!(!text.contains(api.key()), "{what} show an API key");
        assert!(!text.contains(master_key), "{what} show the master key");
    }
}

/// All that the database knows, as text, and its bytes as they would read.
async fn everything(stack: &Stack) -> String {
    let client = stack.database().connect().await;
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let tables = client
        .query(tables, &[])
        .await
        .expect("the catalogue can be read");
    let mut all = String::new();
    for table in tables {
        let table: String = table.get(0);
        let rows = client
            .query(&format!("SELECT to_jsonb(t)::text FROM {table} t"), &[])
            .await
            .expect("a table");
        for row in rows {
            let row: String = row.get(0);
            all.push_str(&row);
            // A `bytea` reads as hexadecimal: whoever stored text in one has not hidden it.
            for hex in row.split("\\\\x").skip(1) {
                let digits: Vec<u8> = hex.bytes().take_while(u8::is_ascii_hexdigit).collect();
                let bytes = digits
                    .chunks_exact(2)
                    .filter_map(|pair| std::str::from_utf8(pair).ok());
                let bytes: Vec<u8> = bytes
                    .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
                    .collect();
                all.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    assert!(all.contains("bid.accepted"), "the catalogue, at least, is there");
    all
}

fn around<'a>(text: &'a str, found: &str) -> &'a str {
    let at = text.find(found).unwrap_or(0);
    let (from, to) = (at.saturating_sub(80), (at + 20).min(text.len()));
    text.get(from..to).unwrap_or("(not shown)")
}
