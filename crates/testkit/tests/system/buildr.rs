//! Buildr's webhooks from its customer's request to its customer's receiver.

use std::collections::BTreeSet;

use hyper::Method;
use plumbline_testkit::{Api, Receiver, Reply, Stack};
use serde_json::{Value, json};

use crate::peers::{Library, Peer};
use crate::{ends, text};

const WEBHOOKS: &str = "/api/2023-01/webhooks";
/// `whsec_` and the base64 of 32 bytes, as the warnings ask for.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A webhook as its creator knows it: the path here, and the number of the native surface.
struct Webhook {
    path: String,
    number: i64,
}

/// Create a webhook with these members.
async fn webhook(api: &Api, members: Value) -> Webhook {
    let made = api.at(Method::POST, WEBHOOKS, &json!({"webhook": members})).await;
    let made = made.expect(201).json();
    let id = text(&made["webhook"], "id");
    let endpoints = api.get("webhook-endpoints?limit=100").await;
    let found = endpoints
        .as_array()
        .expect("a list")
        .iter()
        .find(|endpoint| endpoint["uid"] == id);
    Webhook {
        path: format!("{WEBHOOKS}/{id}"),
        number: found.expect("listed")["id"].as_i64().expect("a number"),
    }
}

/// Every type that the guide lists, as its customers and as producers call it.
const TYPES: [(&str, &str); 6] = [
    ("contact.create", "contact.created"),
    ("contact.update", "contact.updated"),
    ("opportunity.create", "opportunity.created"),
    ("opportunity.update", "opportunity.updated"),
    ("company.create", "company.created"),
    ("company.update", "company.updated"),
];

#[tokio::test]
async fn s2_01_s2_02_s2_05_s2_11_s2_12_s3_02_each_type_arrives_as_an_id_and_a_url() {
    let stack = Stack::builder()
        .setting("PUBLIC_URL", "https://hooks.example.com")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    webhook(
        api,
        json!({"url": receiver.url("/webhook"), "filter_types": names}),
    )
    .await;
    for (name, canonical) in TYPES {
        // The record as it is: more than the receiver is told.
        let event = api
            .publish(
                canonical,
                json!({"id": 2279, "name": "Acme", "email": "a@example.com"}),
            )
            .await;
        let request = receiver.next().await;
        let plural = match canonical.split('.').next() {
            Some("company") => "companies",
            Some("opportunity") => "opportunities",
            _ => "contacts",
        };
        let body = format!(r#"{{"id":2279,"url":"https://hooks.example.com/{plural}/2279"}}"#);
        assert_eq!(request.body, body);
        assert_eq!(request.the("Buildr-Event"), name, "the body does not say it");
        assert_eq!(request.the("svix-id"), event);
        assert_eq!(request.the("Content-Type"), "application/json");
        assert_eq!(request.the("User-Agent"), "Buildr-Webhooks/1.0");
        assert_eq!(request.header("BuildWorkPro-Signature"), None);
    }
    // The guide's own example, whose data says where the resource is.
    let page = json!({"id": 2279, "url": "https://example.com/opportunities/2279"});
    api.publish("opportunity.created", page).await;
    let body = receiver.next().await.body;
    assert_eq!(
        body,
        r#"{"id":2279,"url":"https://example.com/opportunities/2279"}"#
    );
}

#[tokio::test]
async fn s2_06_only_the_types_of_the_filter_arrive_and_the_tenants_own() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    api.post("webhook-event-types", json!({"name": "invoice.paid"}), 201)
        .await;
    let types = ["opportunity.create", "invoice.paid"];
    webhook(api, json!({"url": receiver.url("/"), "filter_types": types})).await;
    for (event_type, id) in [
        ("opportunity.updated", 1),
        ("contact.created", 2),
        ("bid.created", 3),
        ("opportunity.created", 4),
        ("order.filled", 5),
        ("invoice.paid", 6),
    ] {
        api.publish(event_type, json!({"id": id})).await;
    }
    let arrived: BTreeSet<(String, i64)> = receiver
        .wait_for(2)
        .await
        .iter()
        .map(|request| {
            let id = request.json()["id"].as_i64().expect("a number");
            (request.the("Buildr-Event").to_owned(), id)
        })
        .collect();
    let expected = [("invoice.paid", 6), ("opportunity.create", 4)];
    assert_eq!(arrived, expected.map(|(name, id)| (name.to_owned(), id)).into());
}

#[tokio::test]
async fn s2_07_s2_08_deliveries_are_signed_exactly_where_a_secret_was_given() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let members = json!({"url": receiver.url("/plain"), "filter_types": ["contact.create"]});
    let plain = webhook(api, members.clone()).await;
    let mut signed = members;
    signed["url"] = json!(receiver.url("/signed"));
    signed["secret"] = json!("secret");
    webhook(api, signed).await;
    api.publish("contact.created", json!({"id": 5})).await;
    let request = &receiver.wait_for_on("/plain", 1).await[0];
    assert_eq!(request.header("svix-signature"), None);
    let request = &receiver.wait_for_on("/signed", 1).await[0];
    assert!(request.the("svix-signature").starts_with("v1,"));

    // A secret may be given later, and taken away.
    let patch = async |secret: Value| {
        let body = json!({"webhook": {"secret": secret}});
        api.at(Method::PATCH, &plain.path, &body).await.expect(200);
        api.publish("contact.created", json!({"id": 6})).await;
        let count = receiver.requests_on("/plain").len() + 1;
        let requests = receiver.wait_for_on("/plain", count).await;
        requests
            .last()
            .and_then(|request| request.header("svix-signature").map(str::to_owned))
    };
    assert!(patch(json!(SECRET)).await.is_some());
    assert_eq!(patch(json!(null)).await, None);
}

#[tokio::test]
async fn s2_13_s2_14_s3_03_s3_04_the_guides_receiver_believes_us_and_only_us() {
    let stack = Stack::start().await;
    let api = stack.api();
    let friend = Peer::buildr(stack.directory(), SECRET).await;
    let stranger = Peer::buildr(stack.directory(), "c3RyYW5nZXI=").await;
    let at = async |url: &str| {
        let members = json!({"url": url, "filter_types": ["opportunity.create"], "secret": SECRET});
        webhook(api, members).await.number
    };
    let (believing, refusing) = (at(friend.url()).await, at(stranger.url()).await);
    let data = json!({"id": 2279, "url": "https://example.com/opportunities/2279", "name": "é \u{1f3d7}"});
    let event = api.publish("opportunity.created", data).await;

    let believed = api.wait_delivery_status(believing, &event, "succeeded").await;
    assert_eq!(ends(&believed), ["200"]);
    assert_eq!(believed["attempts"][0]["responseBody"], "{}");
    assert_eq!(
        friend.wait_for_line("message: ").await,
        r#"{"id":2279,"url":"https://example.com/opportunities/2279"}"#
    );
    let refused = api.wait_delivery_status(refusing, &event, "failed").await;
    assert_eq!(ends(&refused), ["400"], "permanent");
    assert_eq!(refused["attempts"][0]["responseBody"], "{}");
}

#[tokio::test]
async fn s2_13_every_attempt_is_signed_anew_and_says_the_same() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "1100ms,1100ms")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    let failing = [Reply::status(500), Reply::status(500)];
    receiver.script("/", failing);
    let members = json!({"url": receiver.url("/"), "filter_types": ["contact.create"], "secret": "secret"});
    webhook(api, members).await;
    api.publish("contact.created", json!({"id": 5})).await;
    let requests = receiver.wait_for(3).await;
    let distinct = |name: &str| -> usize {
        let values: BTreeSet<&str> = requests.iter().map(|request| request.the(name)).collect();
        values.len()
    };
    assert_eq!(distinct("svix-id"), 1);
    assert_eq!(distinct("svix-timestamp"), 3);
    assert_eq!(distinct("svix-signature"), 3);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
}

#[tokio::test]
async fn s2_13_the_svix_libraries_of_three_languages_believe_us_and_no_forger() {
    let stack = Stack::start().await;
    let api = stack.api();
    for library in [
        Library::Node("svix"),
        Library::Python("svix.webhooks"),
        Library::Rust("svix"),
    ] {
        let peer = Peer::library(stack.directory(), library, SECRET).await;
        let members = json!({"url": peer.url(), "filter_types": ["contact.update"], "secret": SECRET});
        let webhook = webhook(api, members).await;
        let event = api.publish("contact.updated", json!({"id": 5})).await;
        api.wait_delivery_status(webhook.number, &event, "succeeded")
            .await;
        let [genuine, changed, old] = peer.verdicts().await;
        assert_eq!(genuine, "believed", "{library:?}");
        assert!(
            changed.to_lowercase().contains("signature"),
            "{library:?}: {changed}"
        );
        assert!(old.to_lowercase().contains("timestamp"), "{library:?}: {old}");
        api.at(Method::DELETE, &webhook.path, &Value::Null)
            .await
            .expect(204);
    }
    // The guide's own secret, which is not padded: its library reads it all the same (G2).
    let peer = Peer::library(stack.directory(), Library::Node("svix"), "secret").await;
    let members = json!({"url": peer.url(), "filter_types": ["contact.update"], "secret": "secret"});
    webhook(api, members).await;
    api.publish("contact.updated", json!({"id": 6})).await;
    assert_eq!(peer.verdicts().await[0], "believed");
}

#[tokio::test]
async fn g5_both_secrets_sign_for_a_day_after_a_rotation() {
    let stack = Stack::start().await;
    let api = stack.api();
    let old = Peer::library(stack.directory(), Library::Node("svix"), SECRET).await;
    let members = json!({"url": old.url(), "filter_types": ["contact.update"], "secret": SECRET});
    let webhook = webhook(api, members).await;
    let path = format!("webhook-endpoints/{}", webhook.number);
    let rotated = api.post(&format!("{path}/rotate-secret"), json!({}), 200).await;
    let secret = text(&rotated, "signingSecret");
    assert!(secret.starts_with("whsec_"));
    // A receiver with the old secret and one with the new secret believe the same requests.
    let new = Peer::library(stack.directory(), Library::Node("svix"), secret).await;
    api.publish("contact.updated", json!({"id": 5})).await;
    assert_eq!(old.verdicts().await[0], "believed");
    api.patch(&path, json!({"url": new.url()})).await;
    api.publish("contact.updated", json!({"id": 6})).await;
    assert_eq!(new.verdicts().await[0], "believed");
}

#[tokio::test]
async fn g15_a_410_disables_what_reads_it_so_and_a_410_only_stops_the_others() {
    let (stack, receiver) = (
        Stack::start().await,
        Receiver::answering(Reply::status(410)).await,
    );
    let api = stack.api();
    let buildr = webhook(
        api,
        json!({"url": receiver.url("/"), "filter_types": ["contact.create"]}),
    )
    .await;
    let market = json!({"url": receiver.url("/"), "events": []});
    let market = api
        .at(Method::POST, "/v1/webhooks", &market)
        .await
        .expect(201)
        .json();
    let native = api
        .create_endpoint(&receiver.url("/"), &["contact.created"])
        .await;
    let event = api.publish("contact.created", json!({"id": 5})).await;
    api.wait_delivery_status(native.id, &event, "failed").await;
    assert_eq!(api.endpoint(native.id).await["isActive"], true);
    api.wait_delivery_status(buildr.number, &event, "failed").await;
    let endpoint = api.endpoint(buildr.number).await;
    assert_eq!(
        (&endpoint["isActive"], &endpoint["disabledReason"]),
        (&json!(false), &json!("gone"))
    );
    receiver.wait_for(3).await;
    let path = format!("/v1/webhooks/{}", text(&market, "id"));
    plumbline_testkit::eventually("the webhook to be disabled", async || {
        let webhook = api.at(Method::GET, &path, &Value::Null).await.expect(200).json();
        (webhook["status"] == "disabled").then_some(())
    })
    .await;
}
