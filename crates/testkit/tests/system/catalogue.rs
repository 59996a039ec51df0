//! The catalogue is data: what is added to it works, without a new release and without disturbing anybody.

use hyper::Method;
use plumbline_testkit::{Receiver, Stack};
use serde_json::json;

use crate::text;

#[tokio::test]
async fn s0_04_a_built_in_type_that_is_added_later_works_without_a_change_of_code() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    // A tenant that has had a type of this name keeps its own.
    let other = stack.tenant("Other").await;
    other
        .post(
            "webhook-event-types",
            json!({"name": "bid.withdrawn", "description": "Ours."}),
            201,
        )
        .await;
    let old = api.create_endpoint(&receiver.url("/old"), &["bid.created"]).await;
    // The tenants' types are remembered by now.
    api.publish("bid.created", json!({"id": 1})).await;
    other.publish("bid.withdrawn", json!({"id": true})).await;
    receiver.wait_for_on("/old", 1).await;

    let sql = r#"
        INSERT INTO plumbline.event_types (profile, name, description, schema, example)
        VALUES ('buildworkpro', 'bid.withdrawn', 'A bid was withdrawn.',
            '{"type": "object", "properties": {"id": {"type": "integer"}}}', '{"id": 12}')"#;
    stack
        .database()
        .connect()
        .await
        .batch_execute(sql)
        .await
        .expect("inserted");

    let listed = api.get("webhook-event-types/bid.withdrawn").await;
    assert_eq!(
        (text(&listed, "description"), &listed["isCustom"]),
        ("A bid was withdrawn.", &json!(false))
    );
    let new = api
        .create_endpoint(&receiver.url("/new"), &["bid.withdrawn"])
        .await;
    let event = api.publish("bid.withdrawn", json!({"id": 12})).await;
    api.wait_delivery_status(new.id, &event, "succeeded").await;
    let refused = api
        .send(
            Method::POST,
            "events",
            &json!({"type": "bid.withdrawn", "data": {"id": "12"}}),
        )
        .await
        .expect(422);
    assert_eq!(refused.json()["errors"][0]["field"], "data.id");

    // Nobody else is disturbed.
    assert_eq!(receiver.requests_on("/old").len(), 1);
    let event = api.publish("bid.created", json!({"id": 2})).await;
    api.wait_delivery_status(old.id, &event, "succeeded").await;
    other.publish("bid.withdrawn", json!({"id": true})).await;
    let theirs = other.get("webhook-event-types?limit=100").await;
    let theirs: Vec<_> = theirs
        .as_array()
        .expect("a list")
        .iter()
        .filter(|found| found["name"] == "bid.withdrawn")
        .collect();
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0]["description"], "Ours.");
}
