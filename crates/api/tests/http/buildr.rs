//! `/api/2023-01`: Buildr's requests, as its guide shows them.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Client, with_server};

const WEBHOOKS: &str = "/api/2023-01/webhooks";

/// The page's own request body.
const PAGE: &str = r#"{
"webhook": {
"url": "https://example.com/webhook",
"description": "Webhook for example.com",
"filter_types": [
"opportunity.create"
],
"secret": "secret",
"rate_limit": 100
}
}"#;

/// Create a webhook with these members beside a URL and a type; returns its path.
async fn webhook(client: &Client<'_>, members: Value) -> String {
    let mut webhook = json!({"url": "https://example.com/webhook", "filter_types": ["contact.create"]});
    for (name, value) in members.as_object().expect("an object") {
        webhook[name] = value.clone();
    }
    let created = client.post(WEBHOOKS, json!({"webhook": webhook})).await.json(201);
    format!("{WEBHOOKS}/{}", created["webhook"]["id"].as_str().expect("an id"))
}

/// The sentences about a field of a 422.
#[track_caller]
fn about(answer: &Answer, field: &str) -> String {
    let errors = answer.json(422);
    let sentences = errors["errors"][field].as_array();
    let sentences = sentences.unwrap_or_else(|| panic!("nothing about {field}: {errors}"));
    let sentences: Vec<&str> = sentences
        .iter()
        .map(|text| text.as_str().expect("text"))
        .collect();
    sentences.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_03_s2_04_s2_05_s2_06_s3_01_the_pages_own_request_is_accepted() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let mut created = client.post(WEBHOOKS, PAGE).await.json(201);
        let id = created["webhook"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(id.parse::<uuid::Uuid>().map(|id| id.to_string()), Ok(id.clone()));
        created["webhook"]["id"] = json!("…");
        insta::assert_json_snapshot!(created, @r#"
        {
          "warnings": [
            "the secret is base64 of 4 bytes, which can be guessed: use `whsec_` and the base64 of 32 random bytes",
            "the secret is not padded base64: svix's JavaScript library reads it, libraries of other languages may not"
          ],
          "webhook": {
            "description": "Webhook for example.com",
            "filter_types": [
              "opportunity.create"
            ],
            "id": "…",
            "rate_limit": 100,
            "url": "https://example.com/webhook",
            "version": 1
          }
        }
        "#);
        // The native surface knows the same endpoint by its canonical type, and shows no secret.
        let listed = client.get("/api/v1/webhook-endpoints").await;
        assert!(!listed.text().to_lowercase().contains("secret"));
        let listed = listed.expect(200);
        assert_eq!(listed["data"][0]["uid"], id.as_str());
        assert_eq!(listed["data"][0]["profile"], "buildr");
        assert_eq!(listed["data"][0]["eventTypes"], json!(["opportunity.created"]));
        // There, too, it receives only what its own surface could ask for.
        let path = format!("/api/v1/webhook-endpoints/{}", listed["data"][0]["id"]);
        let faults = client.patch(&path, json!({"eventTypes": ["bid.accepted"]})).await.faults();
        assert_eq!(faults, ["eventTypes[0]: unknown_event_type"]);
        let changed = client.patch(&path, json!({"eventTypes": ["company.updated"]})).await.expect(200);
        assert_eq!(changed["data"]["eventTypes"], json!(["company.updated"]));
        // And a rotation is a change.
        let webhook = format!("{WEBHOOKS}/{id}");
        let before = client.get(&webhook).await.json(200)["webhook"]["version"].as_i64();
        client.act(&format!("{path}/rotate-secret")).await.expect(200);
        assert!(client.get(&webhook).await.json(200)["webhook"]["version"].as_i64() > before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_02_the_token_comes_bare_or_as_a_bearer_token() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let key = client.key.clone().expect("a key");
        let send = async |authorization: Option<&str>| {
            let mut request = Request::builder()
                .method(Method::POST)
                .uri(format!("http://{}{WEBHOOKS}", rig.address))
                .header(CONTENT_TYPE, "application/json");
            if let Some(value) = authorization {
                request = request.header(AUTHORIZATION, value);
            }
            rig.send(request.body(PAGE.into()).expect("a request")).await
        };
        send(Some(&key)).await.json(201);
        send(Some(&format!("Bearer {key}"))).await.json(201);
        for wrong in [None, Some("plk_live_0"), Some("Basic abc"), Some("Bearer ")] {
            let refused = send(wrong).await;
            let errors = refused.json(401);
            assert!(errors["errors"]["base"][0].is_string(), "{errors}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        // The other surfaces take a bearer token only.
        let native = Request::get(format!("http://{}/api/v1/me", rig.address)).header(AUTHORIZATION, &key);
        rig.send(native.body("".into()).expect("a request"))
            .await
            .problem(401, "unauthorized");
        let other = rig.tenant("events:write").await;
        let refused = other.post(WEBHOOKS, PAGE).await.json(403);
        assert!(refused.to_string().contains("webhooks:manage"), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_07_s2_09_s2_10_what_may_be_left_out_has_its_default() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let path = webhook(&client, json!({})).await;
        let read = client.get(&path).await.json(200);
        assert_eq!(read["webhook"]["rate_limit"], 60);
        assert_eq!(read["webhook"]["description"], Value::Null);
        assert_eq!(read["webhook"]["filter_types"], json!(["contact.create"]));
        assert_eq!(read["warnings"], Value::Null);
        for limit in [json!(1), json!(2_147_483_647)] {
            let path = webhook(&client, json!({"rate_limit": limit})).await;
            assert_eq!(client.get(&path).await.json(200)["webhook"]["rate_limit"], limit);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_g20_what_cannot_be_accepted_is_named_with_the_remedy() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let good = json!({"url": "https://example.com/webhook", "filter_types": ["contact.create"]});
        for (member, value, remedy) in [
            ("url", json!("http://example.com/"), "https"),
            ("url", json!("https://localhost/"), ""),
            ("url", json!(null), "must be a string"),
            ("filter_types", json!([]), "at least one"),
            ("filter_types", json!(["contact.created"]), "opportunity.create"),
            (
                "filter_types",
                json!(["contact.create", "bid.created"]),
                "[1]: `bid.created`",
            ),
            ("filter_types", json!(["webhook.test"]), "webhook.test"),
            ("filter_types", json!("contact.create"), "array"),
            (
                "secret",
                json!("your-webhook-secret"),
                "base64 of 32 random bytes",
            ),
            ("secret", json!("abc"), "base64"),
            ("secret", json!(""), "leave it out"),
            ("secret", json!(7), "a string"),
            ("rate_limit", json!(0), "from 1"),
            ("rate_limit", json!(-5), "from 1"),
            ("rate_limit", json!("100"), "whole number"),
            ("rate_limit", json!(1.5), "whole number"),
            ("rate_limit", json!(2_147_483_648_u64), "2147483647"),
            ("description", json!("x".repeat(1001)), "1000"),
            ("filter_type", json!([]), "not a field"),
        ] {
            let mut webhook = good.clone();
            webhook[member] = value.clone();
            let answer = client.post(WEBHOOKS, json!({"webhook": webhook})).await;
            let sentence = about(&answer, member);
            assert!(sentence.contains(remedy), "{member} {value}: {sentence}");
        }
        about(
            &client.post(WEBHOOKS, json!({"webhook": {}})).await,
            "filter_types",
        );
        about(&client.post(WEBHOOKS, json!({})).await, "webhook");
        about(&client.post(WEBHOOKS, json!({"webhook": 5})).await, "webhook");
        about(&client.post(WEBHOOKS, &good).await, "webhook");
        let broken = client.post(WEBHOOKS, "{").await.json(400);
        assert!(
            broken["errors"]["base"][0]
                .as_str()
                .is_some_and(|text| text.contains("not valid JSON"))
        );
        assert_eq!(
            client.get(WEBHOOKS).await.json(200),
            json!({"webhooks": []}),
            "nothing was made"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_listed_changed_and_deleted() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let first = webhook(&client, json!({"description": "one"})).await;
        let second = webhook(&client, json!({"description": "two"})).await;
        let listed = client.get(WEBHOOKS).await.json(200);
        let descriptions: Vec<&Value> = listed["webhooks"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|webhook| &webhook["description"])
            .collect();
        assert_eq!(descriptions, ["two", "one"]);
        // Endpoints of the other surfaces are not webhooks of this one.
        client.endpoint().await;
        assert_eq!(client.get(WEBHOOKS).await.json(200), listed);

        let before = client.get(&first).await.json(200);
        assert_eq!(
            client.patch(&first, json!({"webhook": {}})).await.json(200),
            before
        );
        let change =
            json!({"webhook": {"filter_types": ["company.update", "contact.update"], "rate_limit": 5}});
        let changed = client.patch(&first, change).await.json(200);
        assert_eq!(changed["webhook"]["version"], 2);
        assert_eq!(
            changed["webhook"]["filter_types"],
            json!(["company.update", "contact.update"])
        );
        assert_eq!(
            changed["webhook"]["url"], before["webhook"]["url"],
            "what is left out stays"
        );
        let change = json!({"webhook": {"description": null, "rate_limit": null, "secret": "secret"}});
        let changed = client.put(&first, change).await.json(200);
        assert_eq!(changed["webhook"]["description"], Value::Null);
        assert_eq!(changed["webhook"]["rate_limit"], 60);
        assert_eq!(changed["warnings"].as_array().map(Vec::len), Some(2));
        assert!(changed["webhook"]["version"].as_i64() > Some(2));
        let change = json!({"webhook": {"url": "http://example.com", "secret": "a b c d"}});
        let refused = client.patch(&first, change).await;
        about(&refused, "secret");
        let refused = client
            .patch(&first, json!({"webhook": {"url": "http://example.com"}}))
            .await;
        about(&refused, "url");

        client.delete(&first).await.json(204);
        for answer in [
            client.get(&first).await,
            client.patch(&first, json!({"webhook": {}})).await,
            client.delete(&first).await,
            client.get(&format!("{WEBHOOKS}/17")).await,
        ] {
            let missing = answer.json(404);
            assert_eq!(missing, json!({"errors": {"base": ["there is no such webhook"]}}));
        }
        client.get(&second).await.json(200);
        let stranger = rig.tenant("*").await;
        stranger.get(&second).await.json(404);
        stranger.delete(&second).await.json(404);
        stranger
            .patch(&second, json!({"webhook": {"rate_limit": 1}}))
            .await
            .json(404);
        assert_eq!(client.get(&second).await.json(200)["webhook"]["version"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_does_nothing_again() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let first = client.keyed("k1", Method::POST, WEBHOOKS, PAGE).await;
        let again = client.keyed("k1", Method::POST, WEBHOOKS, PAGE).await;
        assert_eq!(first.json(201), again.json(201));
        assert_eq!(again.header("idempotency-replayed"), "true");
        let other = client
            .keyed("k1", Method::POST, WEBHOOKS, PAGE.replace("100", "99"))
            .await;
        assert!(other.json(409).to_string().contains("Idempotency-Key"));
        let path = format!(
            "{WEBHOOKS}/{}",
            first.json(201)["webhook"]["id"].as_str().expect("an id")
        );
        client.keyed("k2", Method::DELETE, &path, "").await.json(204);
        client.keyed("k2", Method::DELETE, &path, "").await.json(204);
        assert_eq!(client.get(WEBHOOKS).await.json(200), json!({"webhooks": []}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_surface_has_a_document_and_its_own_words_for_what_is_not_there() {
    with_server(async |rig| {
        let stranger = rig.stranger();
        let document = stranger.get("/api/2023-01/openapi.json").await.json(200);
        assert!(document["paths"]["/api/2023-01/webhooks"]["post"].is_object());
        let missing = stranger.get("/api/2023-01/nothing").await.json(404);
        assert!(missing["errors"]["base"][0].is_string());
        let refused = stranger.put(WEBHOOKS, "{}").await;
        refused.json(405);
        assert_eq!(refused.header("allow"), "POST, GET");
    })
    .await;
}
