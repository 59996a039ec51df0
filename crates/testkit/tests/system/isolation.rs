//! No tenant can read, list, guess or affect anything of another: a foreign id is a 404.

use hyper::Method;
use plumbline_testkit::{Receiver, Reply, Stack};
use serde_json::{Value, json};

use crate::endpoints::routes;
use crate::text;

#[tokio::test]
async fn s1_06_another_tenants_things_do_not_exist_on_any_route() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "1h").start().await;
    let receiver = Receiver::answering(Reply::status(500)).await;
    let (ours, theirs) = (stack.api(), stack.tenant("Bolts & Beams").await);
    let endpoint = ours.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let event = ours.publish("bid.created", json!({"id": 1})).await;
    let delivery = ours.wait_attempts(endpoint.id, &event, 1).await;
    ours.post("webhook-event-types", json!({"name": "invoice.paid"}), 201)
        .await;
    let before = ours.endpoint(endpoint.id).await;

    let mut all = routes(endpoint.id, text(&delivery, "id"));
    all.push((Method::GET, format!("events/{event}"), Value::Null));
    for (method, path, body) in &all {
        let nothing = theirs.send(method.clone(), path, body).await;
        assert_eq!(
            nothing.status.as_u16(),
            404,
            "{method} {path}: {}",
            nothing.text()
        );
        assert_eq!(nothing.json()["code"], "not_found", "{method} {path}");
        // Exactly as for what nobody has.
        let other = path.replace(&endpoint.id.to_string(), "999999999");
        let other = theirs.send(method.clone(), &other, body).await;
        assert_eq!(other.status.as_u16(), 404, "{method} {path}");
    }
    for list in ["webhook-endpoints", "events"] {
        assert_eq!(theirs.get(list).await, json!([]), "{list}");
    }
    let types = theirs.get("webhook-event-types?limit=100").await;
    assert!(!types.to_string().contains("invoice.paid"), "{types}");
    let unknown = json!({"type": "invoice.paid", "data": {}});
    theirs.send(Method::POST, "events", &unknown).await.expect(422);

    // Nothing has happened to us, and their events do not come to us.
    assert_eq!(ours.endpoint(endpoint.id).await, before);
    assert_eq!(ours.delivery(text(&delivery, "id")).await, delivery);
    let own = Receiver::start().await;
    let witness = theirs.create_endpoint(&own.url("/"), &["bid.created"]).await;
    let foreign = theirs.publish("bid.created", json!({"id": 2})).await;
    theirs
        .wait_delivery_status(witness.id, &foreign, "succeeded")
        .await;
    assert_eq!(own.next().await.json()["tenant_id"], theirs.tenant());
    assert_eq!(ours.deliveries(endpoint.id).await.len(), 1);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn idempotency_keys_and_page_cursors_belong_to_their_tenant() {
    let stack = Stack::start().await;
    let (ours, theirs) = (stack.api(), stack.tenant("Bolts & Beams").await);
    let body = json!({"type": "bid.created", "data": {"id": 1}});
    let key = [("Idempotency-Key", "same")];
    let mut ids = vec![];
    for api in [ours, &theirs, ours, &theirs] {
        let accepted = api
            .send_with(Method::POST, "events", &key, &body)
            .await
            .expect(202)
            .json();
        ids.push(text(&accepted["data"], "id").to_owned());
    }
    assert!(
        ids[0] == ids[2] && ids[1] == ids[3] && ids[0] != ids[1],
        "{ids:?}"
    );

    ours.publish("bid.created", json!({"id": 2})).await;
    let page = ours
        .send(Method::GET, "events?limit=1", &Value::Null)
        .await
        .expect(200)
        .json();
    let cursor = text(&page["meta"]["pagination"], "cursor").to_owned();
    ours.send(
        Method::GET,
        &format!("events?limit=1&cursor={cursor}"),
        &Value::Null,
    )
    .await
    .expect(200);
    theirs
        .send(
            Method::GET,
            &format!("events?limit=1&cursor={cursor}"),
            &Value::Null,
        )
        .await
        .expect(400);
}

#[tokio::test]
async fn a_tenants_failing_endpoint_does_not_disable_or_delay_another_tenants() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "10ms,10ms")
        .setting("DISABLE_AFTER", "3")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.always_on("/ours", Reply::status(500));
    let (ours, theirs) = (stack.api(), stack.tenant("Bolts & Beams").await);
    let failing = ours
        .create_endpoint(&receiver.url("/ours"), &["bid.created"])
        .await;
    let healthy = theirs
        .create_endpoint(&receiver.url("/theirs"), &["bid.created"])
        .await;
    let event = ours.publish("bid.created", json!({"id": 1})).await;
    ours.wait_delivery_status(failing.id, &event, "exhausted").await;
    let event = theirs.publish("bid.created", json!({"id": 1})).await;
    theirs.wait_delivery_status(healthy.id, &event, "succeeded").await;
    assert_eq!(ours.endpoint(failing.id).await["isActive"], false);
    assert_eq!(theirs.endpoint(healthy.id).await["isActive"], true);
}
