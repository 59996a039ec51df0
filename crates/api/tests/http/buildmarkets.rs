//! `/v1`: Buildmarkets' requests, as its webhook reference describes them.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Client, with_server};

const WEBHOOKS: &str = "/v1/webhooks";
const URL: &str = "https://example.com/webhooks";

/// Register a webhook for these events; returns its path.
async fn webhook(client: &Client<'_>, events: &[&str]) -> String {
    let created = client
        .post(WEBHOOKS, json!({"url": URL, "events": events}))
        .await
        .json(201);
    format!("{WEBHOOKS}/{}", created["id"].as_str().expect("an id"))
}

/// An error of this status and code, with a sentence.
#[track_caller]
fn refused(answer: &Answer, status: u16, error: &str) -> String {
    let body = answer.json(status);
    assert_eq!(body["error"], error, "{body}");
    let message = body["message"].as_str().expect("a message");
    assert!(!message.is_empty());
    message.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_01_s4_05_s4_06_s4_07_s4_08_a_webhook_is_registered_and_its_secret_shown_once() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let request = json!({"url": URL, "events": ["order.filled", "funding.deposit_completed"]});
        let mut created = client.post(WEBHOOKS, &request).await.json(201);
        let id = created["id"].as_str().expect("an id").to_owned();
        assert_eq!(id.parse::<uuid::Uuid>().map(|id| id.to_string()), Ok(id.clone()));
        let secret = created["secret"].as_str().expect("a secret").to_owned();
        assert!(secret.starts_with("whsec_") && secret.len() == 6 + 44, "{secret}");
        assert!(created["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
        for (member, shown) in [("id", "…"), ("secret", "whsec_…"), ("created_at", "…Z")] {
            created[member] = json!(shown);
        }
        insta::assert_json_snapshot!(created, @r#"
        {
          "created_at": "…Z",
          "events": [
            "funding.deposit_completed",
            "order.filled"
          ],
          "id": "…",
          "secret": "whsec_…",
          "status": "active",
          "url": "https://example.com/webhooks"
        }
        "#);

        let path = format!("{WEBHOOKS}/{id}");
        for answer in [
            client.get(&path).await,
            client.get(WEBHOOKS).await,
            client.patch(&path, json!({"status": "disabled"})).await,
        ] {
            let text = answer.text();
            assert!(!text.contains("secret") && !text.contains(&secret), "{text}");
            answer.json(200);
        }
        // Nor does a repetition show it.
        let keyed = async || {
            client
                .keyed("k", Method::POST, WEBHOOKS, &request)
                .await
                .json(201)
        };
        assert!(keyed().await["secret"].is_string());
        assert_eq!(keyed().await["secret"], Value::Null);
        // There is no rotation here: the documented remedy is to register anew.
        refused(
            &client.act(&format!("{path}/rotate-secret")).await,
            404,
            "NOT_FOUND",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_02_s4_03_s4_23_s4_24_what_cannot_be_accepted_has_a_code_and_a_sentence() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let path = webhook(&client, &[]).await;
        for (url, _) in [
            (json!("http://example.com/"), ""),
            (json!("example.com"), ""),
            (json!(""), ""),
            (json!("https://"), ""),
            (json!("https://127.0.0.1/"), ""),
            (json!("https://user@example.com/"), ""),
            (json!(17), ""),
            (json!(null), ""),
        ] {
            let answer = client.post(WEBHOOKS, json!({"url": url, "events": []})).await;
            assert!(refused(&answer, 400, "INVALID_URL").starts_with("url: "));
            refused(
                &client.patch(&path, json!({"url": url})).await,
                400,
                "INVALID_URL",
            );
        }
        refused(
            &client.post(WEBHOOKS, json!({"events": []})).await,
            400,
            "INVALID_URL",
        );
        for events in [
            json!(["order.filled", "order.flown"]),
            json!(["webhook.test"]),
            json!(["bid.created"]),
            json!(["contact.create"]),
            json!([17]),
        ] {
            let answer = client.post(WEBHOOKS, json!({"url": URL, "events": events})).await;
            let message = refused(&answer, 400, "INVALID_EVENT");
            assert!(message.contains("events["), "{message}");
            refused(
                &client.patch(&path, json!({"events": events})).await,
                400,
                "INVALID_EVENT",
            );
        }
        for body in [
            json!({"url": URL}),
            json!({"url": URL, "events": "order.filled"}),
            json!({"url": URL, "events": null}),
            json!({"url": URL, "events": [], "secret": "mine"}),
        ] {
            refused(&client.post(WEBHOOKS, body).await, 400, "INVALID_REQUEST");
        }
        for body in [
            json!({"status": "paused"}),
            json!({"status": true}),
            json!({"id": "x"}),
        ] {
            refused(&client.patch(&path, body).await, 400, "INVALID_REQUEST");
        }
        refused(&client.post(WEBHOOKS, "{").await, 400, "INVALID_REQUEST");
        let listed = client.get(WEBHOOKS).await.json(200);
        assert_eq!(
            listed["data"].as_array().map(Vec::len),
            Some(1),
            "nothing else was made"
        );
        assert_eq!(listed["data"][0]["events"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_10_s4_11_s4_12_s4_13_s4_14_webhooks_are_listed_read_and_changed() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let first = webhook(&client, &["order.filled"]).await;
        let second = webhook(&client, &[]).await;
        client.endpoint().await;
        let listed = client.get(WEBHOOKS).await.json(200);
        let of = |path: &str| path.rsplit('/').next().expect("an id").to_owned();
        let ids: Vec<&str> = listed["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|webhook| webhook["id"].as_str().expect("an id"))
            .collect();
        assert_eq!(
            ids,
            [of(&second), of(&first)],
            "all of this surface's, newest first"
        );

        let before = client.get(&first).await.json(200);
        assert_eq!(before, listed["data"][1]);
        let patched = async |body: Value| client.patch(&first, body).await.json(200);
        assert_eq!(patched(json!({})).await, before);
        let disabled = patched(json!({"status": "disabled"})).await;
        assert_eq!(disabled["status"], "disabled");
        assert_eq!(
            (&disabled["url"], &disabled["events"]),
            (&before["url"], &before["events"])
        );
        assert_eq!(patched(json!({"status": "active"})).await, before);
        let replaced =
            patched(json!({"events": ["account.closed"], "url": "https://example.com/other"})).await;
        assert_eq!(replaced["events"], json!(["account.closed"]));
        assert_eq!(replaced["url"], "https://example.com/other");
        assert_eq!(
            patched(json!({"events": []})).await["events"],
            json!([]),
            "all again"
        );
        // The native surface says so with the same words.
        let endpoints = client.get("/api/v1/webhook-endpoints").await.expect(200);
        let endpoints = endpoints["data"].as_array().expect("a list");
        let endpoint = endpoints.iter().find(|endpoint| endpoint["uid"] == before["id"]);
        let native = format!("/api/v1/webhook-endpoints/{}", endpoint.expect("listed")["id"]);
        for types in [json!(["order.filled"]), json!([])] {
            let changed = client
                .patch(&native, json!({"eventTypes": types}))
                .await
                .expect(200);
            assert_eq!(changed["data"]["eventTypes"], types);
            assert_eq!(client.get(&first).await.json(200)["events"], types);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_15_s4_17_s4_18_a_test_is_sent_and_appears_in_the_history() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let path = webhook(&client, &["order.filled"]).await;
        assert_eq!(
            client.get(&format!("{path}/deliveries")).await.json(200),
            json!({"data": []})
        );
        let mut sent = vec![];
        for _ in 0..3 {
            let test = client.act(&format!("{path}/test")).await.json(202);
            assert_eq!(test["event_type"], "webhook.test");
            sent.insert(0, test);
        }
        let history = client.get(&format!("{path}/deliveries")).await.json(200);
        let rows = history["data"].as_array().expect("a list");
        assert_eq!(rows.len(), 3);
        for (row, test) in rows.iter().zip(&sent) {
            assert_eq!(row["event_id"], test["id"]);
            assert_eq!(row["event_type"], "webhook.test");
            assert_eq!((&row["status"], &row["attempt"]), (&json!("pending"), &json!(1)));
            assert_eq!(row["response_status"], Value::Null);
            assert_eq!(row["error"], Value::Null);
            assert_eq!(row["attempted_at"], Value::Null);
            assert_eq!(
                row["id"],
                format!("{}-1", test["delivery_id"].as_str().expect("an id"))
            );
        }
        let page = client.get(&format!("{path}/deliveries?limit=2")).await.json(200);
        assert_eq!(page["data"].as_array().expect("a page"), &rows[..2]);
        let before = rows[1]["id"].as_str().expect("an id");
        let page = client
            .get(&format!("{path}/deliveries?limit=2&before={before}"))
            .await
            .json(200);
        assert_eq!(page["data"].as_array().expect("a page"), &rows[2..]);
        for query in ["limit=0", "limit=101", "before=x", "page=2"] {
            refused(
                &client.get(&format!("{path}/deliveries?{query}")).await,
                400,
                "INVALID_REQUEST",
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_19_s4_25_s4_27_what_is_not_the_accounts_is_not_there() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let neighbour = rig.tenant("*").await;
        let kept = webhook(&neighbour, &["order.filled"]).await;
        let path = webhook(&client, &[]).await;
        client.delete(&path).await.json(204);
        let unknown = format!("{WEBHOOKS}/8a7d3c1e-0000-4000-8000-000000000000");
        for path in [&*path, &unknown, "/v1/webhooks/17", &kept] {
            for answer in [
                client.get(path).await,
                client.patch(path, json!({"status": "disabled"})).await,
                client.delete(path).await,
                client.act(&format!("{path}/test")).await,
                client.get(&format!("{path}/deliveries")).await,
            ] {
                refused(&answer, 404, "WEBHOOK_NOT_FOUND");
            }
        }
        assert_eq!(
            neighbour.get(&kept).await.json(200)["status"],
            "active",
            "nothing was changed"
        );
        assert_eq!(client.get(WEBHOOKS).await.json(200), json!({"data": []}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_in_the_surfaces_own_words() {
    with_server(async |rig| {
        let stranger = rig.stranger();
        let answer = stranger.get(WEBHOOKS).await;
        refused(&answer, 401, "UNAUTHORIZED");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        let reader = rig.tenant("events:read").await;
        assert!(refused(&reader.get(WEBHOOKS).await, 403, "FORBIDDEN").contains("webhooks:manage"));
        let answer = reader.put(WEBHOOKS, "{}").await;
        refused(&answer, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), "POST, GET");
        refused(&stranger.get("/v1/nothing").await, 404, "NOT_FOUND");
        let document = stranger.get("/v1/openapi.json").await.json(200);
        assert!(document["paths"]["/v1/webhooks/{webhookId}/test"]["post"].is_object());
    })
    .await;
}
