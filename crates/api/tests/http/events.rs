//! Events: publish, refuse, read back; and the catalogue.

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde_json::json;

use crate::support::{with_server, with_server_and};

const EVENTS: &str = "/api/v1/events";
const TYPES: &str = "/api/v1/webhook-event-types";

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_accepted_without_a_broker_and_reads_back_byte_for_byte() {
    with_server(async |rig| {
        let client = rig.tenant("events:write,events:read").await;
        let data = r#"{ "n":1e400,"b":1,"a":2, "a":3,"u":"\u00e9\ud800","s":"\/","z":"\u0000" }"#;
        let previous = r#"{"n" : -0.0E-0}"#;
        let body = format!(
            r#"{{"type":"project.status_changed","data":{data},"previous_attributes":{previous},"occurredAt":"2026-04-25T19:42:01.8125+02:00"}}"#
        );
        let accepted = client.post(EVENTS, body).await.expect(202);
        let id = accepted["data"]["id"].as_str().expect("an id").to_owned();
        assert!(id.starts_with("evt_") && id.len() == 36, "s1_03: {id}");

        for path in [EVENTS.to_owned(), format!("{EVENTS}/{id}")] {
            let text = client.get(&path).await.text();
            assert!(text.contains(&format!(r#""data":{data},"previousAttributes":{previous}"#)), "s1_22: {text}");
            assert!(text.contains(r#""createdAt":"2026-04-25T17:42:01.812Z""#), "s1_05: {text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_all_or_nothing() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let batch = |types: &[&str]| {
            json!({"events": types.iter().map(|name| json!({"type": name, "data": {"name": name}})).collect::<Vec<_>>()})
        };
        let refused = client.post(EVENTS, batch(&["bid.created", "bid.sent", "webhook.test", "Bid"])).await;
        assert_eq!(
            refused.faults(),
            ["events[1].type: unknown_event_type", "events[2].type: reserved", "events[3].type: invalid"]
        );
        assert_eq!(client.get(EVENTS).await.expect(200)["data"], json!([]));

        let accepted = client.post(EVENTS, batch(&["bid.created", "bid.accepted", "bid.rejected"])).await.expect(202);
        let ids: Vec<_> = accepted["data"].as_array().expect("ids").iter().map(|event| event["id"].clone()).collect();
        assert_eq!(ids.len(), 3);
        for (id, name) in ids.iter().zip(["bid.created", "bid.accepted", "bid.rejected"]) {
            let event = client.get(&format!("{EVENTS}/{}", id.as_str().expect("an id"))).await.expect(200);
            assert_eq!(event["data"]["type"], name);
        }
        let accepted = client.get(&format!("{EVENTS}?type=bid.accepted")).await.expect(200);
        assert_eq!(accepted["meta"]["pagination"]["count"], 1);

        let thousand = client.post(EVENTS, batch(&["bid.created"; 1_000])).await.expect(202);
        assert_eq!(thousand["data"].as_array().map(Vec::len), Some(1_000));
        assert_eq!(client.post(EVENTS, batch(&["bid.created"; 1_001])).await.faults(), ["events: too_many"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_kept_is_refused() {
    with_server_and(&["--max-payload-bytes", "1000"], async |rig| {
        let client = rig.tenant("*").await;
        let nested = |depth: usize| {
            format!(
                r#"{{"type":"bid.created","data":{}1{}}}"#,
                r#"{"a":"#.repeat(depth),
                "}".repeat(depth)
            )
        };
        client.post(EVENTS, nested(64)).await.expect(202);
        for depth in [65, 10_000, 200_000] {
            assert_eq!(
                client.post(EVENTS, nested(depth)).await.faults(),
                ["data: too_deep"],
                "{depth}"
            );
        }
        let sized = |bytes: usize| {
            format!(
                r#"{{"type":"bid.created","data":{{"a":"{}"}}}}"#,
                "x".repeat(bytes - 8)
            )
        };
        client.post(EVENTS, sized(1_000)).await.expect(202);
        client
            .post(EVENTS, sized(1_001))
            .await
            .problem(413, "payload_too_large");
        client
            .post(EVENTS, sized(17 * 1024 * 1024))
            .await
            .problem(413, "payload_too_large");
        for (body, faults) in [
            (r#"{"type":"bid.created","data":[]}"#, "data: invalid"),
            (r#"{"type":"bid.created","data":null}"#, "data: invalid"),
            (r#"{"type":"bid.created"}"#, "data: required"),
            (
                r#"{"type":"bid.created","data":{},"previous_attributes":7}"#,
                "previous_attributes: invalid",
            ),
            (
                r#"{"type":"bid.created","data":{},"occurredAt":"2999-01-01T00:00:00Z"}"#,
                "occurredAt: invalid",
            ),
            (
                r#"{"type":"bid.created","data":{},"created_at":"2026-01-01T00:00:00Z"}"#,
                "created_at: unknown_field",
            ),
        ] {
            assert_eq!(client.post(EVENTS, body).await.faults(), [faults], "{body}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_bad_request() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let send = async |content_type: Option<&str>, body: &[u8]| {
            let mut request = client.request(Method::POST, EVENTS);
            if let Some(content_type) = content_type {
                request = request.header(CONTENT_TYPE, content_type);
            }
            rig.send(request.body(body.to_vec().into()).expect("a request"))
                .await
        };
        let json = Some("application/json");
        send(json, b"{\"type\":\"bid.created\",\"data\":{\"a\":\"\xff\"}}")
            .await
            .problem(400, "bad_request");
        send(json, b"{\"type\":\"bid.created\",\"data\":{\"a\":01}}")
            .await
            .problem(400, "bad_request");
        send(json, b"not json").await.problem(400, "bad_request");
        send(None, b"{}").await.problem(415, "unsupported_media_type");
        send(Some("text/plain"), b"{}")
            .await
            .problem(415, "unsupported_media_type");
        assert_eq!(
            send(json, b"").await.faults(),
            ["type: required", "data: required"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_01_s0_03_the_catalogue_has_the_ten_types() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let catalogue = client.get(TYPES).await.expect(200);
        let mut names: Vec<_> = catalogue["data"]
            .as_array()
            .expect("types")
            .iter()
            .map(|t| t["name"].as_str().expect("a name").to_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "bid.accepted",
                "bid.created",
                "bid.rejected",
                "change_order.approved",
                "change_order.submitted",
                "contact.created",
                "pay_app.approved",
                "pay_app.submitted",
                "project.created",
                "project.status_changed",
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_04_a_tenant_adds_types_of_its_own() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let new = r#"{"name":"invoice.paid","description":"Paid.","schema":{"type":"object","x":1e400},"example":{ "id":7,"z":"\u0000"}}"#;
        let created = client.post(TYPES, new).await;
        assert!(created.text().contains(r#""schema":{"type":"object","x":1e400},"example":{ "id":7,"z":"\u0000"}"#), "{}", created.text());
        assert_eq!(created.status, 201);
        assert!(created.text().contains(r#""isCustom":true"#));
        client.post(TYPES, new).await.problem(409, "conflict");
        client.post(EVENTS, r#"{"type":"invoice.paid","data":{}}"#).await.expect(202);
        let endpoint = json!({"url": "https://a.example.com/", "eventTypes": ["invoice.paid"]});
        client.post("/api/v1/webhook-endpoints", &endpoint).await.expect(201);

        let other = rig.tenant("*").await;
        assert_eq!(other.get(TYPES).await.expect(200)["meta"]["pagination"]["count"], 10);
        assert_eq!(other.post(EVENTS, r#"{"type":"invoice.paid","data":{}}"#).await.faults(), ["type: unknown_event_type"]);
        for (body, fault) in [
            (r#"{"name":"Invoice"}"#, "name: invalid"),
            (r#"{"name":"webhook.mine"}"#, "name: reserved"),
            (r#"{"name":"a.b","schema":[]}"#, "schema: invalid"),
            (r#"{"name":"a.b","description":"\u0000"}"#, "description: invalid"),
            ("{}", "name: required"),
        ] {
            assert_eq!(client.post(TYPES, body).await.faults(), [fault], "{body}");
        }
    })
    .await;
}
