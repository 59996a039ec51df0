//! Who may do what, and that nobody reaches another tenant.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Client, with_server};

/// Every route that needs a key, with a body that it takes.
fn routes(endpoint: &str, delivery: &str, event: &str) -> Vec<(Method, String, &'static str, &'static str)> {
    const MANAGE: &str = "webhooks:manage";
    let v1 = |path: &str| format!("/api/v1/{path}");
    let of = |action: &str| format!("{endpoint}{action}");
    vec![
        (
            Method::POST,
            v1("webhook-endpoints"),
            r#"{"url":"https://a.example.com/","eventTypes":["bid.created"]}"#,
            MANAGE,
        ),
        (Method::GET, v1("webhook-endpoints"), "", MANAGE),
        (Method::GET, of(""), "", MANAGE),
        (Method::PATCH, of(""), r#"{"description":"theirs"}"#, MANAGE),
        (Method::POST, of("/rotate-secret"), "", MANAGE),
        (Method::POST, of("/activate-secret"), "", MANAGE),
        (Method::POST, of("/test"), "", MANAGE),
        (Method::POST, of("/enable"), "", MANAGE),
        (
            Method::POST,
            of("/recover"),
            r#"{"since":"2020-01-01T00:00:00Z"}"#,
            MANAGE,
        ),
        (Method::GET, of("/deliveries"), "", MANAGE),
        (
            Method::GET,
            v1(&format!("webhook-deliveries/{delivery}")),
            "",
            MANAGE,
        ),
        (
            Method::POST,
            v1(&format!("webhook-deliveries/{delivery}/replay")),
            "",
            MANAGE,
        ),
        (Method::GET, v1("webhook-event-types"), "", MANAGE),
        (
            Method::POST,
            v1("webhook-event-types"),
            r#"{"name":"a.b"}"#,
            "event_types:write",
        ),
        (Method::GET, v1("webhook-event-types/bid.created"), "", MANAGE),
        (
            Method::PATCH,
            v1("webhook-event-types/a.b"),
            r#"{"deprecated":true}"#,
            "event_types:write",
        ),
        (
            Method::POST,
            v1("events"),
            r#"{"type":"bid.created","data":{}}"#,
            "events:write",
        ),
        (Method::GET, v1("events"), "", "events:read"),
        (Method::GET, v1(&format!("events/{event}")), "", "events:read"),
        (Method::DELETE, of(""), "", MANAGE),
    ]
}

async fn ask(client: &Client<'_>, method: &Method, path: &str, body: &str) -> crate::support::Answer {
    let request = client
        .request(method.clone(), path)
        .header("content-type", "application/json");
    client
        .rig
        .send(request.body(body.to_owned().into()).expect("a request"))
        .await
}

struct Records {
    endpoint: String,
    delivery: String,
    event: String,
}

async fn records(client: &Client<'_>) -> Records {
    let endpoint = client.endpoint().await;
    let sent = client.act(&format!("{endpoint}/test")).await.expect(202);
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let event = client
        .post(
            "/api/v1/events",
            r#"{"type":"bid.created","data":{"whose":"ours"}}"#,
        )
        .await
        .expect(202);
    Records {
        endpoint,
        delivery: text(&sent["data"]["deliveryId"]),
        event: text(&event["data"]["id"]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_07_s0_11_s0_38_a_request_needs_a_key_with_the_scope() {
    with_server(async |rig| {
        let owner = rig.tenant("*").await;
        let Records {
            endpoint,
            delivery,
            event,
        } = records(&owner).await;
        let all = [
            "webhooks:manage",
            "event_types:write",
            "events:write",
            "events:read",
        ];
        let mut unknown = rig.stranger();
        unknown.key = Some(format!("plk_live_{}", "0".repeat(64)));
        for (method, path, body, scope) in routes(&endpoint, &delivery, &event) {
            for stranger in [&rig.stranger(), &unknown] {
                let refused = ask(stranger, &method, &path, body).await;
                refused.problem(401, "unauthorized");
                assert_eq!(refused.header("www-authenticate"), "Bearer");
            }
            // Whoever manages webhooks also defines their types.
            let others: Vec<_> = all
                .iter()
                .filter(|other| {
                    **other != scope && !(scope == "event_types:write" && **other == "webhooks:manage")
                })
                .copied()
                .collect();
            let without = rig.client(owner.tenant, &others.join(",")).await;
            let refused = ask(&without, &method, &path, body)
                .await
                .problem(403, "scope_insufficient");
            assert!(
                refused["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(scope)),
                "{method} {path}: {refused}"
            );
            let with = rig.client(owner.tenant, scope).await;
            let answer = ask(&with, &method, &path, body).await;
            let expected = if path.ends_with("/activate-secret") {
                answer.status == 409
            } else {
                answer.status.is_success()
            };
            assert!(expected, "{method} {path}: {}", answer.text());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_records_are_not_found_and_not_touched() {
    with_server(async |rig| {
        let owner = rig.tenant("*").await;
        let Records {
            endpoint,
            delivery,
            event,
        } = records(&owner).await;
        let before = owner.get(&endpoint).await.expect(200)["data"].clone();
        let stranger = rig.tenant("*").await;
        for (method, path, body, _) in routes(&endpoint, &delivery, &event) {
            let is_one_record = path.contains(&endpoint) || path.contains(&delivery) || path.contains(&event);
            let answer = ask(&stranger, &method, &path, body).await;
            if is_one_record {
                let problem = answer.problem(404, "not_found");
                assert!(!problem.to_string().contains("example.com"), "{problem}");
            } else if method == Method::GET {
                assert!(!answer.text().contains("ours"), "{method} {path}");
            }
        }
        assert_eq!(owner.get(&endpoint).await.expect(200)["data"], before);
        for path in [
            "webhook-endpoints/0",
            "webhook-endpoints/x",
            "webhook-deliveries/dlv_1",
            "events/evt_1",
            "events/%00",
        ] {
            owner
                .get(&format!("/api/v1/{path}"))
                .await
                .problem(404, "not_found");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn me_tells_any_key_whose_it_is() {
    with_server(async |rig| {
        let client = rig.tenant("events:read,webhooks:manage").await;
        let me = client.get("/api/v1/me").await.expect(200)["data"].clone();
        assert_eq!(me["tenantId"], client.tenant.0);
        assert_eq!(me["tenantName"], "Acme");
        assert!(me["keyId"].as_i64().is_some());
        assert_eq!(me["scopes"], json!(["webhooks:manage", "events:read"]));
        let all = rig.client(client.tenant, "*").await;
        assert_eq!(
            all.get("/api/v1/me").await.expect(200)["data"]["scopes"],
            json!(["*"])
        );
        rig.stranger()
            .get("/api/v1/me")
            .await
            .problem(401, "unauthorized");
    })
    .await;
}
