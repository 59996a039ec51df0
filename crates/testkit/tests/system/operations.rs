//! What an operator sees and does: readiness, metrics, draining, poison, bad settings.

use std::process::Command;

use plumbline_testkit::{Gate, Ledger, Receiver, Reply, Stack, eventually, stack};
use serde_json::json;

use crate::{ends, text};

#[tokio::test]
async fn readiness_follows_the_database_and_the_broker() {
    let stack = Stack::builder().database_proxy().broker_proxy().start().await;
    let receiver = Receiver::start().await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    for (proxy, check) in [
        (stack.database_proxy(), "database"),
        (stack.broker_proxy(), "broker"),
    ] {
        proxy.refuse();
        for process in stack.processes() {
            process.wait_not_ready().await;
            let answer = stack.admin(process, "/readyz").await.text();
            assert!(
                answer.contains(check),
                "{} should name the {check}: {answer}",
                process.name()
            );
            assert_eq!(
                stack.admin(process, "/livez").await.status.as_u16(),
                200,
                "it lives"
            );
        }
        proxy.resume();
        for process in stack.processes() {
            process.wait_ready().await;
        }
        let event = stack.api().publish("bid.created", json!({"after": check})).await;
        stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "succeeded")
            .await;
    }
}

#[tokio::test]
async fn metrics_tell_the_story_of_an_event_and_name_no_customer() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "60ms").start().await;
    let receiver = Receiver::start().await;
    receiver.script("/hook", [Reply::status(500)]);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/hook"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;

    let promised = [
        (
            stack.api_process(),
            &[
                "plumbline_http_requests_total",
                "plumbline_http_request_duration_seconds",
                "plumbline_events_accepted_total",
                "plumbline_intake_commits_total",
                "plumbline_events_unsent_total",
                "plumbline_outbox_age_seconds",
                "plumbline_check_ready",
                "plumbline_deliveries_due_age_seconds",
                "process_resident_memory_bytes",
            ][..],
        ),
        (
            stack.dispatcher(0),
            &[
                "plumbline_events_fanned_out_total",
                "plumbline_attempts_total",
                "plumbline_attempt_duration_seconds",
                "plumbline_event_to_first_attempt_seconds",
                "plumbline_retry_lateness_seconds",
                "plumbline_retries_parked_total",
                "plumbline_deliveries_deferred_total",
                "plumbline_deliveries_skipped_total",
                "plumbline_endpoints_disabled_total",
                "plumbline_attempts_in_flight",
                "plumbline_queue_messages_ready",
                "plumbline_dead_messages",
                "process_resident_memory_bytes",
            ],
        ),
    ];
    let mut shown = String::new();
    for (process, families) in promised {
        // Some are refreshed now and then, so their first appearance may take a moment.
        eventually(&format!("{}'s metrics", process.name()), async || {
            let text = stack.admin(process, "/metrics").await.expect(200).text();
            families
                .iter()
                .all(|family| text.contains(&format!("# TYPE {family} ")))
                .then_some(())
        })
        .await;
        let text = stack.admin(process, "/metrics").await.text();
        for private in ["127.0.0.1", "/hook", "bid.created", &event, "tenant"] {
            let leaking = text
                .lines()
                .find(|line| line.contains(private) && !line.starts_with('#'));
            assert_eq!(leaking, None, "a customer's choice is no label");
        }
        shown.push_str(&text);
    }
    // What the operator's page names is there to be alerted on.
    let page = include_str!("../../../../docs/OPERATIONS.md");
    let words = page.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    for family in words.filter(|word| word.starts_with("plumbline_")) {
        assert!(
            shown.contains(&format!("# TYPE {family} ")),
            "docs/OPERATIONS.md names {family}, which no process shows"
        );
    }
    assert_eq!(
        stack
            .api_process()
            .metric("plumbline_events_accepted_total")
            .await,
        Some(1.0)
    );
    let attempts = async |series: &str| stack.dispatcher(0).metric(series).await;
    assert_eq!(
        attempts(r#"plumbline_attempts_total{next="retry",outcome="5xx"}"#).await,
        Some(1.0)
    );
    assert_eq!(
        attempts(r#"plumbline_attempts_total{next="succeeded",outcome="2xx"}"#).await,
        Some(1.0)
    );
}

#[tokio::test]
async fn on_sigterm_a_dispatcher_finishes_what_is_in_flight_and_leaves_the_rest_to_others() {
    let (stack, receiver, gate) = (Stack::start().await, Receiver::start().await, Gate::closed());
    receiver.always(Reply::status(200).behind(&gate));
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let mut accepted = stack
        .api()
        .publish_batch("bid.created", (0..20).map(|id| json!({"id": id})))
        .await;
    receiver.wait_for(20).await;

    let dispatcher = stack.dispatcher(0);
    dispatcher.terminate();
    dispatcher.wait_not_ready().await;
    let draining = stack.admin(dispatcher, "/readyz").await.text();
    assert!(draining.contains("draining"), "{draining}");
    // What comes now waits for somebody else.
    accepted.extend(
        stack
            .api()
            .publish_batch("bid.created", (20..40).map(|id| json!({"id": id})))
            .await,
    );
    gate.open();
    let status = dispatcher.wait_exit().await;
    assert!(status.success(), "{status}");
    assert_eq!(stack.api().count_deliveries(endpoint.id, "succeeded").await, 20);
    assert_eq!(receiver.requests().len(), 20);

    dispatcher.start().await;
    receiver.wait_for(40).await;
    eventually("all to be recorded", async || {
        (stack.api().count_deliveries(endpoint.id, "succeeded").await == 40).then_some(())
    })
    .await;
    let mut ledger = Ledger::new();
    accepted.into_iter().for_each(|event| ledger.accept(event));
    ledger.receive_all(receiver.taken());
    let balance = ledger.balance();
    assert_eq!(
        (balance.lost.len(), balance.duplicates),
        (0, 0),
        "an orderly end loses and doubles nothing"
    );
    for delivery in stack.api().deliveries(endpoint.id).await {
        assert_eq!(delivery["attemptCount"], 1, "{delivery:#}");
    }
}

#[tokio::test]
async fn on_sigterm_the_api_answers_what_it_has_begun_and_ends_with_0() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let mut ledger = Ledger::new();
    let publishing = async {
        let mut accepted = vec![];
        loop {
            let body = json!({"type": "bid.created", "data": {"id": accepted.len()}}).to_string();
            match stack
                .api()
                .try_send(hyper::Method::POST, "events", &[], body)
                .await
            {
                Ok(answer) if answer.status.as_u16() == 202 => {
                    accepted.push(text(&answer.json()["data"], "id").to_owned());
                }
                // It may refuse while it drains; it may not break off what it has begun.
                Ok(answer) if answer.status.as_u16() == 503 => {}
                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                Err(error) => {
                    assert!(error.contains("connect"), "a request was cut off: {error}");
                    return accepted;
                }
            }
        }
    };
    let stopping = async {
        receiver.wait_for(30).await;
        stack.api_process().stop().await
    };
    let (accepted, status) = tokio::join!(publishing, stopping);
    assert!(status.success(), "{status}");
    accepted.into_iter().for_each(|event| ledger.accept(event));
    receiver
        .wait_until("every accepted event", |requests| {
            ledger.receive_all(requests.iter().map(|request| request.event_id().to_owned()));
            ledger.balance().lost.is_empty()
        })
        .await;
    stack.api_process().start().await;
}

#[tokio::test]
async fn a_poisonous_message_is_buried_with_its_reason_and_stops_nothing() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let poison: [(&str, &[u8]); 4] = [
        ("plumbline.events.fast.0", b"not even JSON"),
        ("plumbline.events.bulk.0", b"{\"v\":1}"),
        ("plumbline.retries", b"\xff\x00"),
        ("plumbline.fanout", b""),
    ];
    for (queue, payload) in poison {
        stack.broker().publish_raw(queue, payload).await;
    }
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    let buried = eventually("all four in the dead queue", async || {
        let buried = stack.broker().peek("plumbline.dead", 10).await;
        (buried.len() == poison.len()).then_some(buried)
    })
    .await;
    assert!(
        buried.iter().any(|message| message.payload == "not even JSON"),
        "{buried:?}"
    );
    for message in &buried {
        let headers = message.properties["headers"].to_string();
        assert!(headers.contains("reason"), "it says why: {headers}");
    }
    stack.dispatcher(0).assert_runs();
    assert_eq!(
        stack
            .dispatcher(0)
            .metric("plumbline_messages_undecodable_total")
            .await,
        Some(4.0)
    );
    eventually("the gauge of the dead", async || {
        stack
            .dispatcher(0)
            .metric("plumbline_dead_messages")
            .await
            .filter(|count| *count == 4.0)
    })
    .await;
}

#[tokio::test]
async fn several_shards_deliver_like_one() {
    let stack = Stack::builder().setting("EVENT_SHARDS", "3").start().await;
    let receiver = Receiver::start().await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    stack
        .api()
        .publish_batch("bid.created", (0..60).map(|id| json!({"id": id})))
        .await;
    receiver.wait_for(60).await;
    eventually("all to be recorded", async || {
        (stack.api().count_deliveries(endpoint.id, "succeeded").await == 60).then_some(())
    })
    .await;
    let queues = stack.broker().queues().await;
    for shard in 0..3 {
        assert!(
            queues.contains(&format!("plumbline.events.fast.{shard}")),
            "{queues:?}"
        );
    }
}

#[tokio::test]
async fn a_tenants_burst_takes_the_bulk_lane_and_all_of_it_arrives() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let mut ledger = Ledger::new();
    // Beyond the burst of 250 that a quiet tenant may send at once.
    for batch in 0..4 {
        let events = (0..1_000).map(|id| json!({"id": batch * 1_000 + id}));
        stack
            .api()
            .publish_batch("bid.created", events)
            .await
            .into_iter()
            .for_each(|event| ledger.accept(event));
    }
    receiver
        .wait_until("every accepted event", |requests| {
            requests.len() >= ledger.accepted() && {
                ledger.receive_all(requests.iter().map(|request| request.event_id().to_owned()));
                ledger.balance().lost.is_empty()
            }
        })
        .await;
    let other = stack.tenant("Bolts & Beams").await;
    let quiet = other
        .create_endpoint(&receiver.url("/quiet"), &["bid.created"])
        .await;
    let event = other.publish("bid.created", json!({"id": 1})).await;
    let delivery = other.wait_delivery_status(quiet.id, &event, "succeeded").await;
    assert_eq!(ends(&delivery), ["200"]);
    assert_eq!(stack.api().endpoint(endpoint.id).await["isActive"], true);
}

#[tokio::test]
async fn a_bad_setting_ends_a_process_at_once_with_its_name_and_a_remedy() {
    for (binary, name, value) in [
        ("plumbline-api", "PLUMBLINE_LISTEN", "nowhere"),
        ("plumbline-api", "PLUMBLINE_MASTER_KEYS", "short:AAAA"),
        ("plumbline-dispatcher", "PLUMBLINE_RETRY_SCHEDULE", "30 seconds"),
        ("plumbline-dispatcher", "PLUMBLINE_ALLOW_NETWORKS", "10.0.0.0/33"),
        ("plumbline-dispatcher", "PLUMBLINE_DATABASE_URL", ""),
    ] {
        let mut command = Command::new(stack::binary(binary));
        command.env_clear();
        for (known, good) in [
            (
                "PLUMBLINE_DATABASE_URL",
                "postgres://plumbline@127.0.0.1:1/plumbline",
            ),
            ("PLUMBLINE_AMQP_URL", "amqp://plumbline:swordfish@127.0.0.1:1/%2f"),
            (
                "PLUMBLINE_MASTER_KEYS",
                "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
        ] {
            command.env(known, good);
        }
        let output = command.env(name, value).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{binary} with {name}={value}: {said}"
        );
        assert!(said.contains(name), "{binary} with {name}={value}: {said}");
        assert!(
            !said.contains("swordfish") && !said.contains("AAAA"),
            "a secret is shown: {said}"
        );
    }
}
