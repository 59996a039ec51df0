//! An event arrives: signed, once per subscribed endpoint, in the published envelope, byte for byte.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::Method;
use plumbline_testkit::{Endpoint, Receiver, Stack, eventually};
use serde_json::{Value, json};

use crate::peers::Peer;
use crate::{ends, text};

/// "The moment it happens" (S0-01), on a machine that runs other tests at the same time.
const ARRIVAL_P99_MAX: Duration = Duration::from_secs(5);

#[tokio::test]
async fn s0_01_s0_02_s0_11_s0_17_an_event_arrives_as_a_signed_post_the_moment_it_happens() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/hook?a=b"), &["bid.accepted"])
        .await;
    let mut waits = vec![];
    for id in 0..100 {
        let published = Instant::now();
        let event = stack.api().publish("bid.accepted", json!({"id": id})).await;
        let request = receiver.next().await;
        waits.push(request.at.saturating_duration_since(published));

        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/hook?a=b")
        );
        assert_eq!(request.the("Content-Type"), "application/json");
        assert_eq!(request.the("User-Agent"), "BuildWorkPro-Webhooks/1.0");
        assert_eq!(request.the("Host"), receiver.addr().to_string());
        assert_eq!(request.the("Content-Length"), request.body.len().to_string());
        assert_eq!(
            (request.event_type(), request.event_id()),
            ("bid.accepted", event.as_str())
        );
        assert!(request.delivery_id().starts_with("dlv_"));
        request.verify(&endpoint.secret).expect("the signature is right");
    }
    waits.sort();
    assert!(
        waits[98] < ARRIVAL_P99_MAX,
        "99 of 100 should arrive within {ARRIVAL_P99_MAX:?}: {waits:?}"
    );
    assert_eq!(receiver.requests().len(), 100);
}

#[tokio::test]
async fn s0_18_to_s0_23_s0_35_the_published_receiver_believes_us_and_only_us() {
    let stack = Stack::start().await;
    // The secret is known only when the endpoint exists, and the published receiver wants it from the start.
    let endpoint = stack
        .api()
        .create_endpoint("http://127.0.0.1:9/", &["bid.accepted"])
        .await;
    let receiver = Peer::buildworkpro(stack.directory(), &endpoint.secret).await;
    let stranger = Peer::buildworkpro(stack.directory(), "whsec_5f3c1b2a").await;
    let path = format!("webhook-endpoints/{}", endpoint.id);
    stack.api().patch(&path, json!({"url": receiver.url()})).await;
    let mistaken = stack
        .api()
        .create_endpoint(stranger.url(), &["bid.accepted"])
        .await;

    let event = stack
        .api()
        .publish("bid.accepted", json!({"id": 22, "note": "é \u{1f3d7} \u{7f}"}))
        .await;

    let believed = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    assert_eq!(ends(&believed), ["200"]);
    assert_eq!(attempts_body(&believed), "ok");
    assert_eq!(receiver.wait_for_line("bid accepted: ").await, "22");

    // A 400 from a receiver with another key is a permanent failure (S0-23, S0-30).
    let refused = stack
        .api()
        .wait_delivery_status(mistaken.id, &event, "failed")
        .await;
    assert_eq!(ends(&refused), ["400"]);
    assert_eq!(attempts_body(&refused), "bad signature");
    assert!(
        !stranger.output().contains("bid accepted"),
        "{}",
        stranger.output()
    );
}

fn attempts_body(delivery: &Value) -> &str {
    text(&crate::attempts(delivery)[0], "responseBody")
}

#[tokio::test]
async fn s1_02_s1_03_s1_05_s1_06_s1_08_every_event_ships_in_the_published_envelope() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    stack
        .api()
        .create_endpoint(&receiver.url("/"), &["project.status_changed", "contact.created"])
        .await;

    let body = json!({
        "type": "project.status_changed",
        "data": {"id": 44, "name": "Acme HQ Renovation", "status": "completed"},
        "previous_attributes": {"status": "active"},
        "occurredAt": "2026-04-25T18:30:00Z",
    });
    let accepted = stack.api().post("events", body, 202).await;
    let tenant = stack.api().tenant();
    let expected = format!(
        concat!(
            r#"{{"id":"{}","type":"project.status_changed","created_at":"2026-04-25T18:30:00.000Z","#,
            r#""tenant_id":{},"data":{{"id":44,"name":"Acme HQ Renovation","status":"completed"}},"#,
            r#""previous_attributes":{{"status":"active"}}}}"#
        ),
        text(&accepted, "id"),
        tenant
    );
    assert_eq!(receiver.next().await.body, expected);

    // Without previous attributes there is no such field, and the time is that of acceptance.
    let before = jiff::Timestamp::now();
    let event = stack
        .api()
        .publish("contact.created", json!({"id": 5, "firstName": "Jane"}))
        .await;
    let envelope = receiver.next().await.json();
    let fields: BTreeSet<&str> = envelope
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        BTreeSet::from(["id", "type", "created_at", "tenant_id", "data"])
    );
    assert_eq!(envelope["id"], event.as_str());
    assert_eq!(envelope["tenant_id"], tenant);
    let created = text(&envelope, "created_at");
    assert!(
        created.len() == 24 && created.ends_with('Z') && created.as_bytes()[19] == b'.',
        "{created}"
    );
    let created: jiff::Timestamp = created.parse().expect("a time");
    let slack = Duration::from_millis(1);
    assert!(
        before - slack <= created && created <= jiff::Timestamp::now() + slack,
        "{before} {created}"
    );
}

#[tokio::test]
async fn s1_22_the_payload_passes_byte_for_byte() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    // No JSON library would write it so: numbers out of range, repeated keys, odd spaces, escapes of all kinds.
    let payload = concat!(
        r#"{ "bidNumber":"BID-001","n":1e400,"m":-0.0, "big":123456789012345678901234567890,"b":1,"a":2, "a":3,"#,
        r#""first_name":"\u00e9\/é","lone":"\ud800", "FirstName" : null,"deep":[[[]],{}] }"#
    );
    let previous = r#"{"n" :1E-400}"#;
    let body = format!(r#"{{"type":"bid.created","data":{payload},"previous_attributes":{previous}}}"#);
    let accepted = stack
        .api()
        .try_send(Method::POST, "events", &[], body)
        .await
        .expect("an answer")
        .expect(202);
    let event = text(&accepted.json()["data"], "id").to_owned();

    let request = receiver.next().await;
    request
        .verify(&endpoint.secret)
        .expect("what was signed is what was sent");
    let received = String::from_utf8(request.body.to_vec()).expect("UTF-8");
    let expected = format!(r#""data":{payload},"previous_attributes":{previous}}}"#);
    assert!(received.ends_with(&expected), "{received}");

    // The logs show it unchanged, too.
    for path in [
        format!("events/{event}"),
        format!("webhook-deliveries/{}", request.delivery_id()),
    ] {
        // The delivery is recorded a moment after it has arrived.
        let shown = eventually(&path, async || {
            let answer = stack
                .api()
                .try_send(Method::GET, &path, &[], "")
                .await
                .expect("an answer");
            answer.status.is_success().then(|| answer.text())
        })
        .await;
        assert!(shown.contains(payload), "{path}: {shown}");
    }
}

#[tokio::test]
async fn s0_05_an_event_reaches_every_subscribed_endpoint_once_and_no_other() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    for (path, types) in [
        ("/bids", &["bid.created", "bid.accepted"][..]),
        ("/accepted", &["bid.accepted"]),
        ("/accepted-too", &["bid.accepted"]),
        ("/projects", &["project.created"]),
    ] {
        stack.api().create_endpoint(&receiver.url(path), types).await;
    }
    let mut wanted = BTreeSet::new();
    for (event_type, paths) in [
        ("bid.accepted", &["/accepted", "/accepted-too", "/bids"][..]),
        ("bid.created", &["/bids"]),
        ("bid.rejected", &[]),
        ("project.created", &["/projects"]),
    ] {
        let event = stack.api().publish(event_type, json!({"id": 1})).await;
        wanted.extend(paths.iter().map(|path| ((*path).to_owned(), event.clone())));
    }
    let received = receiver.wait_for(wanted.len()).await;
    let received: Vec<_> = received
        .iter()
        .map(|r| (r.path.clone(), r.event_id().to_owned()))
        .collect();
    assert_eq!(received.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(received.len(), wanted.len());
}

#[tokio::test]
async fn an_endpoint_receives_only_what_was_accepted_after_its_creation() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    // Nobody fans out meanwhile: the first event is fanned out after the second endpoint exists.
    stack.dispatcher(0).stop().await;
    stack
        .api()
        .create_endpoint(&receiver.url("/first"), &["bid.created"])
        .await;
    let early = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .create_endpoint(&receiver.url("/second"), &["bid.created"])
        .await;
    let late = stack.api().publish("bid.created", json!({"id": 2})).await;
    stack.dispatcher(0).start().await;

    let received: BTreeSet<_> = receiver
        .wait_for(3)
        .await
        .iter()
        .map(|r| (r.path.clone(), r.event_id().to_owned()))
        .collect();
    let wanted = [("/first", &early), ("/first", &late), ("/second", &late)];
    assert_eq!(
        received,
        wanted
            .into_iter()
            .map(|(path, event)| (path.to_owned(), event.clone()))
            .collect()
    );
}

#[tokio::test]
async fn a_large_fan_out_reaches_each_of_250_endpoints_once() {
    const ENDPOINTS: usize = 250;
    let stack = Stack::builder()
        .setting("MAX_ENDPOINTS_PER_TENANT", "250")
        .dispatchers(2)
        .start()
        .await;
    let receiver = Receiver::start().await;
    let api = stack.api();
    let endpoints: Vec<Endpoint> = stream::iter(0..ENDPOINTS)
        .map(async |n| {
            api.create_endpoint(&receiver.url(&format!("/{n}")), &["bid.accepted"])
                .await
        })
        .buffer_unordered(4)
        .collect()
        .await;
    let event = api.publish("bid.accepted", json!({"id": 1})).await;
    receiver.wait_for(ENDPOINTS).await;
    for endpoint in &endpoints {
        api.wait_delivery_status(endpoint.id, &event, "succeeded").await;
    }
    // All are settled, so no more will come.
    let received = receiver.requests();
    let paths: BTreeSet<&str> = received.iter().map(|request| request.path.as_str()).collect();
    assert_eq!((received.len(), paths.len()), (ENDPOINTS, ENDPOINTS));
}

#[tokio::test]
async fn s0_03_s0_04_s1_01_the_catalogue_has_the_ten_types_and_room_for_a_tenants_own() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let names = async || -> BTreeSet<String> {
        let found = stack.api().get("webhook-event-types?limit=100").await;
        found
            .as_array()
            .expect("a list")
            .iter()
            .map(|found| text(found, "name").to_owned())
            .collect()
    };
    let published = [
        "bid.created",
        "bid.accepted",
        "bid.rejected",
        "project.created",
        "project.status_changed",
        "pay_app.submitted",
        "pay_app.approved",
        "change_order.submitted",
        "change_order.approved",
        "contact.created",
    ];
    assert_eq!(names().await, published.map(str::to_owned).into());

    let old = stack
        .api()
        .create_endpoint(&receiver.url("/old"), &published)
        .await;
    stack
        .api()
        .post(
            "webhook-event-types",
            json!({"name": "invoice.paid", "description": "Money!"}),
            201,
        )
        .await;
    assert_eq!(names().await.len(), 11);
    let new = stack
        .api()
        .create_endpoint(&receiver.url("/new"), &["invoice.paid"])
        .await;

    let paid = stack.api().publish("invoice.paid", json!({"id": 1})).await;
    stack.api().wait_delivery_status(new.id, &paid, "succeeded").await;
    let created = stack.api().publish("contact.created", json!({"id": 2})).await;
    stack
        .api()
        .wait_delivery_status(old.id, &created, "succeeded")
        .await;
    // Old subscribers are not disturbed by what they do not know.
    let received: Vec<_> = receiver
        .requests()
        .iter()
        .map(|r| (r.path.clone(), r.event_type().to_owned()))
        .collect();
    let wanted = [("/new", "invoice.paid"), ("/old", "contact.created")];
    assert_eq!(
        received,
        wanted.map(|(path, name)| (path.to_owned(), name.to_owned()))
    );
}

#[tokio::test]
async fn an_endpoints_own_headers_travel_with_every_request() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let body = json!({
        "url": receiver.url("/"),
        "eventTypes": ["bid.created"],
        "headers": {"X-Team": "blue sky", "Authorization": "Bearer theirs"},
    });
    stack.api().post("webhook-endpoints", body, 201).await;
    stack.api().publish("bid.created", json!({"id": 1})).await;
    let request = receiver.next().await;
    assert_eq!(
        (request.the("x-team"), request.the("authorization")),
        ("blue sky", "Bearer theirs")
    );
}

#[tokio::test]
async fn many_events_over_two_dispatchers_arrive_once_each() {
    let (stack, receiver) = (
        Stack::builder().dispatchers(2).start().await,
        Receiver::start().await,
    );
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let batches: Result<Vec<Vec<String>>, std::convert::Infallible> = stream::iter(0..5)
        .map(async |batch| {
            Ok(stack
                .api()
                .publish_batch("bid.created", (0..100).map(|n| json!({"id": batch * 100 + n})))
                .await)
        })
        .buffer_unordered(2)
        .try_collect()
        .await;
    let accepted: BTreeSet<String> = batches
        .expect("publishing panics instead")
        .into_iter()
        .flatten()
        .collect();
    receiver.wait_for(500).await;
    eventually("all to be recorded", async || {
        (stack.api().count_deliveries(endpoint.id, "succeeded").await == 500).then_some(())
    })
    .await;
    let received: Vec<String> = receiver
        .requests()
        .iter()
        .map(|r| r.event_id().to_owned())
        .collect();
    assert_eq!(received.len(), 500, "nothing failed, so nothing came twice");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), accepted);
    for process in [stack.dispatcher(0), stack.dispatcher(1)] {
        let fanned_out = process.metric("plumbline_events_fanned_out_total").await;
        assert!(
            fanned_out.is_some_and(|count| count > 0.0),
            "{} had no share: {fanned_out:?}",
            process.name()
        );
    }
}
