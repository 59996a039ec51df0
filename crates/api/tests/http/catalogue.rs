//! The catalogue: what a type's schema means for its events, and a tenant's own types.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::with_server;

const EVENTS: &str = "/api/v1/events";
const TYPES: &str = "/api/v1/webhook-event-types";
const ENDPOINTS: &str = "/api/v1/webhook-endpoints";

fn event(name: &str, data: &Value) -> Value {
    json!({"type": name, "data": data})
}

fn order_type() -> Value {
    json!({
        "name": "order.placed",
        "schema": {
            "type": "object",
            "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
            "$defs": {"item": {"required": ["price"], "properties": {"price": {"type": "number"}}}}
        },
        "example": {"items": [{"price": 1}]}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_01_every_built_in_type_has_a_description_an_example_and_a_schema_that_fit() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        for (query, count) in [
            ("", 10),
            ("&profile=buildworkpro", 10),
            ("&profile=buildr", 8),
            ("&profile=buildmarkets", 13),
        ] {
            let listed = client.get(&format!("{TYPES}?limit=100{query}")).await.expect(200);
            let types = listed["data"].as_array().expect("types");
            assert_eq!(types.len(), count, "{query}");
            for built_in in types {
                let name = built_in["name"].as_str().expect("a name");
                assert!(
                    built_in["description"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{name}"
                );
                assert_eq!(built_in["schema"]["type"], "object", "{name}");
                assert_eq!(
                    (&built_in["isCustom"], &built_in["deprecated"]),
                    (&json!(false), &json!(false)),
                    "{name}"
                );
                client
                    .post(EVENTS, event(name, &built_in["example"]))
                    .await
                    .expect(202);
                // The schemas require nothing and allow everything else.
                client
                    .post(EVENTS, event(name, &json!({"whatever": [{"n": 1}]})))
                    .await
                    .expect(202);
                client.post(EVENTS, event(name, &json!({}))).await.expect(202);
            }
        }
        let one = client.get(&format!("{TYPES}/bid.accepted")).await.expect(200);
        assert_eq!(one["data"]["example"], json!({"id": 22, "status": "accepted"}));
        client
            .get(&format!("{TYPES}/bid.exploded"))
            .await
            .problem(404, "not_found");
        client
            .get(&format!("{TYPES}/Bid"))
            .await
            .problem(404, "not_found");
        let page = async |query: &str| client.get(&format!("{TYPES}?profile=plumbline{query}")).await;
        let own = page("&limit=1").await.expect(200);
        let cursor = own["meta"]["pagination"]["cursor"].as_str().expect("a second page");
        let own = [&own["data"], &page(&format!("&cursor={cursor}")).await.expect(200)["data"]]
            .map(|page| page.as_array().expect("types").clone())
            .concat();
        let names: Vec<_> = own.iter().map(|known| &known["name"]).collect();
        assert_eq!(names, ["endpoint.disabled", "endpoint.failing"]);
        for known in &own {
            let name = known["name"].as_str().expect("a name");
            assert_eq!(&client.get(&format!("{TYPES}/{name}")).await.expect(200)["data"], known);
            // Its schema is one that we could be given, and its example satisfies it.
            let like = json!({"name": format!("our_{name}"), "schema": known["schema"], "example": known["example"]});
            client.post(TYPES, like).await.expect(201);
            assert_eq!(
                client.post(EVENTS, event(name, &known["example"])).await.faults(),
                ["type: reserved"]
            );
            client
                .patch(&format!("{TYPES}/{name}"), json!({"deprecated": true}))
                .await
                .problem(409, "conflict");
        }
        assert_eq!(
            client.get(&format!("{TYPES}?profile=svix")).await.faults(),
            ["profile: invalid"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_violates_a_schema_is_refused_with_the_path_of_each_fault() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client.post(TYPES, order_type()).await.expect(201);

        let broken = json!({"items": [{"price": 1}, {}, {"price": "free"}]});
        let refused = client.post(EVENTS, event("order.placed", &broken)).await;
        assert_eq!(
            refused.faults(),
            [
                "data.items[1].price: schema_violation",
                "data.items[2].price: schema_violation"
            ]
        );
        let problem = client
            .post(
                EVENTS,
                event("bid.created", &json!({"id": true, "status": "lost"})),
            )
            .await;
        assert_eq!(
            problem.faults(),
            ["data.id: schema_violation", "data.status: schema_violation"]
        );
        let message = problem.expect(422)["errors"][1]["message"]
            .as_str()
            .expect("words")
            .to_owned();
        assert!(
            message.contains("\"draft\"") && !message.contains("lost"),
            "{message}"
        );

        let good = event("order.placed", &json!({"items": [{"price": 1e3}]}));
        let batch = json!({"events": [good, good, event("order.placed", &broken)]});
        assert_eq!(
            client.post(EVENTS, batch).await.faults(),
            [
                "events[2].data.items[1].price: schema_violation",
                "events[2].data.items[2].price: schema_violation"
            ]
        );
        let many = json!({"events": vec![event("order.placed", &broken); 1_000]});
        assert_eq!(client.post(EVENTS, many).await.faults().len(), 20, "bounded");
        assert_eq!(
            client.get(EVENTS).await.expect(200)["data"],
            json!([]),
            "nothing was accepted"
        );
        client.post(EVENTS, good).await.expect(202);

        // Only `data` is checked, and what no f64 holds goes through byte for byte.
        let data = r#"{ "id":1e400,"id":7, "n":1e400,"items":[],"s":"\ud800" }"#;
        let body = format!(r#"{{"type":"bid.created","data":{data},"previous_attributes":{{"status":7}}}}"#);
        client.post(EVENTS, body).await.expect(202);
        assert!(client.get(EVENTS).await.text().contains(data));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_checked_when_it_is_given_and_nothing_is_ever_fetched() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        for (members, fault) in [
            (json!({"schema": {"type": "strin"}}), "schema: invalid_schema"),
            (json!({"schema": {"$ref": "https://example.com/schema.json"}}), "schema: invalid_schema"),
            (json!({"schema": {"properties": {"a": {"$ref": "file:///etc/passwd"}}}}), "schema: invalid_schema"),
            (json!({"schema": {"$schema": "https://example.com/mine"}}), "schema: invalid_schema"),
            (json!({"schema": {"pattern": "(?=a)"}}), "schema: invalid_schema"),
            (json!({"schema": {"description": "x".repeat(70_000)}}), "schema: invalid_schema"),
            (json!({"schema": true}), "schema: invalid"),
            (json!({"example": "x"}), "example: invalid"),
            (json!({"example": {"a": "x".repeat(70_000)}}), "example: too_long"),
            (json!({"schema": {"required": ["id"]}, "example": {}}), "example.id: schema_violation"),
        ] {
            let mut body = json!({"name": "invoice.paid"});
            body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
            assert_eq!(client.post(TYPES, &body).await.faults(), [fault], "{members}");
        }
        client.get(&format!("{TYPES}/invoice.paid")).await.problem(404, "not_found");
        let draft_7 = json!({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"n": {"exclusiveMinimum": 5}}});
        client.post(TYPES, json!({"name": "invoice.paid", "schema": draft_7})).await.expect(201);
        assert_eq!(client.post(EVENTS, event("invoice.paid", &json!({"n": 5}))).await.faults(), ["data.n: schema_violation"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_type_changes_and_its_events_are_checked_by_what_it_is_now() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client.post(TYPES, order_type()).await.expect(201);
        let path = format!("{TYPES}/order.placed");
        let text_price = event("order.placed", &json!({"items": [{"price": "1.00"}]}));
        client.post(EVENTS, &text_price).await.expect(422);

        // A schema that the stored example does not satisfy comes with another example, or not at all.
        let stricter = json!({"required": ["total"]});
        assert_eq!(
            client.patch(&path, json!({"schema": stricter})).await.faults(),
            ["example.total: schema_violation"]
        );
        let both = json!({"schema": stricter, "example": {"total": 5}, "description": "Ordered."});
        let changed = client.patch(&path, both).await.expect(200);
        assert_eq!(changed["data"]["description"], "Ordered.");
        assert_eq!(changed["data"]["example"], json!({"total": 5}));
        assert_eq!(
            client.post(EVENTS, &text_price).await.faults(),
            ["data.total: schema_violation"],
            "at once"
        );

        client.patch(&path, json!({"schema": null})).await.expect(200);
        client.post(EVENTS, &text_price).await.expect(202);
        let before = client.get(&path).await.expect(200)["data"].clone();
        assert_eq!(
            (&before["schema"], &before["example"]),
            (&Value::Null, &json!({"total": 5}))
        );
        assert_eq!(
            client.patch(&path, json!({})).await.expect(200)["data"],
            before,
            "nothing to change"
        );

        for (body, fault) in [
            (json!({"schema": {"type": 7}}), "schema: invalid_schema"),
            (json!({"example": []}), "example: invalid"),
            (json!({"description": "x".repeat(1_001)}), "description: too_long"),
            (json!({"deprecated": null}), "deprecated: invalid_type"),
            (json!({"name": "order.other"}), "name: unknown_field"),
        ] {
            assert_eq!(client.patch(&path, &body).await.faults(), [fault], "{body}");
        }
        client
            .patch(&format!("{TYPES}/bid.created"), json!({"deprecated": true}))
            .await
            .problem(409, "conflict");
        client
            .patch(&format!("{TYPES}/bid.exploded"), json!({}))
            .await
            .problem(404, "not_found");
        let other = rig.tenant("*").await;
        other
            .patch(&path, json!({"deprecated": true}))
            .await
            .problem(404, "not_found");
        other.get(&path).await.problem(404, "not_found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deprecated_type_takes_no_new_subscriptions_and_keeps_the_old() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client
            .post(TYPES, json!({"name": "invoice.paid"}))
            .await
            .expect(201);
        let subscribe = |types: &[&str]| json!({"url": "https://hooks.example.com/", "eventTypes": types});
        let made = client
            .post(ENDPOINTS, subscribe(&["invoice.paid"]))
            .await
            .expect(201);
        let old = format!("{ENDPOINTS}/{}", made["data"]["id"]);
        let made = client
            .post(ENDPOINTS, subscribe(&["bid.created"]))
            .await
            .expect(201);
        let new = format!("{ENDPOINTS}/{}", made["data"]["id"]);

        let path = format!("{TYPES}/invoice.paid");
        let changed = client.patch(&path, json!({"deprecated": true})).await.expect(200);
        assert_eq!(changed["data"]["deprecated"], true);
        client
            .post(EVENTS, event("invoice.paid", &json!({})))
            .await
            .expect(202);

        let refused = client
            .post(ENDPOINTS, subscribe(&["bid.created", "invoice.paid"]))
            .await;
        assert_eq!(refused.faults(), ["eventTypes[1]: deprecated_event_type"]);
        let types = json!({"eventTypes": ["bid.created", "invoice.paid"]});
        assert_eq!(
            client.patch(&new, &types).await.faults(),
            ["eventTypes[1]: deprecated_event_type"]
        );
        let kept = client.patch(&old, &types).await.expect(200);
        assert_eq!(kept["data"]["eventTypes"], json!(["bid.created", "invoice.paid"]));

        client
            .patch(&path, json!({"deprecated": false}))
            .await
            .expect(200);
        client.patch(&new, &types).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_gets_its_answer_though_the_schema_has_become_stricter() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client
            .post(TYPES, json!({"name": "invoice.paid"}))
            .await
            .expect(201);
        let body = event("invoice.paid", &json!({"id": 7}));
        let first = client.keyed("k", Method::POST, EVENTS, &body).await.expect(202);
        let stricter = json!({"schema": {"required": ["total"]}});
        client
            .patch(&format!("{TYPES}/invoice.paid"), stricter)
            .await
            .expect(200);
        assert_eq!(
            client.keyed("k", Method::POST, EVENTS, &body).await.expect(202),
            first
        );
        assert_eq!(
            client.keyed("l", Method::POST, EVENTS, &body).await.faults(),
            ["data.total: schema_violation"]
        );
        let other = event("invoice.paid", &json!({"id": 8}));
        client
            .keyed("k", Method::POST, EVENTS, other)
            .await
            .problem(409, "idempotency_key_reused");
    })
    .await;
}
