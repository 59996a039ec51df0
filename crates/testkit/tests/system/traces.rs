//! Traces: what a collector is told, what messages carry, and what it costs when nobody listens.

use std::collections::{BTreeMap, HashMap};

use hyper::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use plumbline_testkit::{Received, Receiver, Reply, Stack, eventually};
use prost::Message;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const QUEUE: &str = "plumbline.events.fast.0";

/// A span, as this test looks at it.
#[derive(Clone, Debug)]
struct Told {
    service: String,
    name: String,
    kind: i32,
    trace: String,
    span: String,
    parent: String,
    attributes: BTreeMap<String, String>,
    failed: bool,
    lasted: u64,
}

/// What a collector was told, read with OpenTelemetry's own definitions.
fn told(requests: &[Received]) -> Vec<Told> {
    let mut all = vec![];
    for request in requests {
        assert_eq!(
            (request.path.as_str(), request.the("content-type")),
            ("/v1/traces", "application/x-protobuf")
        );
        let export = ExportTraceServiceRequest::decode(request.body.clone()).expect("OTLP");
        for resource in export.resource_spans {
            let of = attributes(&resource.resource.expect("who says it").attributes);
            assert!(of.contains_key("service.version") && of.contains_key("service.instance.id"));
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                all.push(one(&of["service.name"], &span));
            }
        }
    }
    all
}

fn one(service: &str, span: &Span) -> Told {
    Told {
        service: service.to_owned(),
        name: span.name.clone(),
        kind: span.kind,
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: attributes(&span.attributes),
        failed: span.status.as_ref().is_some_and(|status| status.code == 2),
        lasted: span
            .end_time_unix_nano
            .checked_sub(span.start_time_unix_nano)
            .expect("nothing ends before it begins"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.clone()) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(count)) => count.to_string(),
        Some(any_value::Value::DoubleValue(measure)) => measure.to_string(),
        other => panic!("{} is {other:?}", pair.key),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}

/// Each span of a trace with the names of those that it is part of, such as `publish > fan-out > attempt`.
fn lineages(spans: &[Told]) -> Vec<String> {
    let by_id: HashMap<&str, &Told> = spans.iter().map(|span| (span.span.as_str(), span)).collect();
    let lineage = |span: &Told| {
        let mut names = vec![span.name.as_str()];
        let mut parent = by_id.get(span.parent.as_str());
        while let Some(span) = parent {
            names.push(&span.name);
            parent = by_id.get(span.parent.as_str());
        }
        names.reverse();
        names.join(" > ")
    };
    let mut all: Vec<String> = spans.iter().map(lineage).collect();
    all.sort();
    all
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

async fn publish(stack: &Stack, traceparent: &str, data: Value) -> String {
    let body = json!({"type": "bid.created", "data": data});
    let answer = stack
        .api()
        .send_with(Method::POST, "events", &[("traceparent", traceparent)], &body)
        .await
        .expect(202);
    answer.json()["data"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn one_trace_leads_from_the_publication_through_the_broker_to_each_attempt() {
    let collector = Receiver::start().await;
    let stack = Stack::builder()
        .setting("OTLP_ENDPOINT", &collector.url(""))
        .setting("OTLP_HEADERS", "x-token=let-me-in")
        .setting("TRACES_SAMPLER", "parentbased_always_off")
        .setting("RETRY_SCHEDULE", "60ms")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let path = "/hidden-path?token=hidden-query";
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url(path), &["bid.created"])
        .await;

    // Of what its sender does not record, nothing is: had it been, it would be told before what comes after it.
    let unrecorded = publish(&stack, &traceparent("00"), json!({"n": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &unrecorded, "succeeded")
        .await;

    stack.dispatcher(0).kill();
    receiver.script(path, [Reply::status(500)]);
    let event = publish(&stack, &traceparent("01"), json!({"note": "hidden-payload"})).await;
    let message = eventually("the message to be in its queue", async || {
        stack.broker().peek(QUEUE, 1).await.pop()
    })
    .await;
    stack.dispatcher(0).start().await;
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    assert_eq!(crate::ends(&delivery), ["500", "200"]);

    let requests = collector
        .wait_until("the record of the second attempt", |requests| {
            told(requests).iter().filter(|span| span.name == "record").count() == 2
                && told(requests).iter().any(|span| span.kind == 2)
        })
        .await;
    let spans = told(&requests);
    let server = "POST /api/v1/events";
    let fan_out = format!("{server} > publish > fan-out");
    let retry = format!("{fan_out} > attempt > park > retry");
    let mut expected = vec![
        server.to_owned(),
        format!("{server} > commit"),
        format!("{server} > publish"),
        fan_out.clone(),
        format!("{fan_out} > attempt"),
        format!("{fan_out} > attempt > park"),
        format!("{fan_out} > attempt > record"),
        retry.clone(),
        format!("{retry} > attempt"),
        format!("{retry} > attempt > record"),
    ];
    expected.sort();
    assert_eq!(lineages(&spans), expected, "{spans:#?}");
    let the = |name: &str| spans.iter().find(|span| span.name == name).expect(name);
    assert_eq!(the(server).parent, CALLER);
    for span in &spans {
        assert_eq!(span.trace, TRACE, "{span:?}");
        let service = match span.name.as_str() {
            "commit" | "publish" => "plumbline-api",
            name if name == server => "plumbline-api",
            _ => "plumbline-dispatcher",
        };
        assert_eq!(span.service, service, "{span:?}");
    }

    let attempt = |number: &str| {
        let of = |span: &&Told| span.name == "attempt" && span.attributes["plumbline.attempt"] == number;
        spans.iter().find(of).expect(number)
    };
    for (number, status, failed, delivery_status) in
        [("1", "500", true, "pending"), ("2", "200", false, "succeeded")]
    {
        let span = attempt(number);
        let said = &span.attributes;
        assert_eq!(
            (said["http.response.status_code"].as_str(), span.failed),
            (status, failed)
        );
        assert_eq!(
            said.get("error.type").map(String::as_str),
            failed.then_some(status)
        );
        assert_eq!(said["plumbline.event.id"], event);
        assert_eq!(said["plumbline.delivery.id"], crate::text(&delivery, "id"));
        assert_eq!(said["plumbline.delivery.status"], delivery_status);
        assert_eq!(said["plumbline.endpoint.id"], endpoint.id.to_string());
        assert!(
            span.lasted > 0 && said.contains_key("plumbline.wait_ms"),
            "{span:?}"
        );
    }
    assert_eq!(the("publish").attributes["plumbline.event.id"], event);
    assert_eq!(the("fan-out").attributes["plumbline.endpoints"], "1");

    // What travels names the span that sent it: in the message's header, and in its body, as each event of a bundle does.
    let carried = format!("00-{TRACE}-{}-01", the("publish").span);
    assert_eq!(message.properties["headers"]["traceparent"], carried.as_str());
    let body: Value = serde_json::from_str(&message.payload).expect("JSON");
    assert_eq!(body["traceparent"], carried.as_str());

    for request in &requests {
        assert_eq!(request.the("x-token"), "let-me-in");
        let text = String::from_utf8_lossy(&request.body);
        for hidden in ["hidden-", endpoint.secret.as_str(), stack.api().key()] {
            assert!(
                !text.contains(hidden),
                "{hidden} is in what the collector was told"
            );
        }
    }
    for request in receiver.requests() {
        assert_eq!(
            request.header("traceparent"),
            None,
            "our traces are no receiver's business"
        );
    }
}

#[tokio::test]
async fn what_the_relay_publishes_is_a_trace_by_the_events_own_id() {
    let collector = Receiver::start().await;
    let stack = Stack::builder()
        .setting("OTLP_ENDPOINT", &collector.url("/"))
        .setting("TRACES_SAMPLER", "always_on")
        .start()
        .await;
    let receiver = Receiver::start().await;
    stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let host = stack.database().connect().await;
    let sql = "SELECT plumbline.emit($1, 'bid.created', '{}')";
    let row = host
        .query_one(sql, &[&stack.api().tenant()])
        .await
        .expect("emitted");
    let event: String = row.get(0);
    let trace = event.trim_start_matches("evt_");

    let of = |requests: &[Received]| -> Vec<Told> {
        told(requests)
            .into_iter()
            .filter(|span| span.trace == trace)
            .collect()
    };
    let requests = collector
        .wait_until("the record of its attempt", |requests| {
            of(requests).iter().any(|span| span.name == "record")
        })
        .await;
    let spans = of(&requests);
    assert_eq!(
        lineages(&spans),
        ["fan-out", "fan-out > attempt", "fan-out > attempt > record"]
    );
    let root = spans
        .iter()
        .find(|span| span.name == "fan-out")
        .expect("the first");
    assert_eq!(
        (
            root.parent.as_str(),
            root.attributes["plumbline.event.id"].as_str()
        ),
        ("", event.as_str())
    );
}

#[tokio::test]
async fn without_a_collector_messages_carry_nothing() {
    let stack = Stack::start().await;
    let receiver = Receiver::start().await;
    stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    stack.dispatcher(0).kill();
    publish(&stack, &traceparent("01"), json!({"n": 1})).await;
    let message = eventually("the message to be in its queue", async || {
        stack.broker().peek(QUEUE, 1).await.pop()
    })
    .await;
    assert!(
        message.properties["headers"].get("traceparent").is_none(),
        "{:?}",
        message.properties
    );
    assert!(!message.payload.contains("trace"), "{}", message.payload);
}

/// More spans than the queue holds and the collector gone: nothing waits, nothing fails, and the log is not flooded.
#[tokio::test]
async fn a_collector_that_is_down_stops_nothing_and_is_mentioned_once() {
    const EVENTS: usize = 3_000;
    let collector = Receiver::start().await;
    collector.go_down();
    let stack = Stack::builder()
        .setting("OTLP_ENDPOINT", &collector.url(""))
        .setting("TRACES_SAMPLER", "always_on")
        .start()
        .await;
    let receiver = Receiver::start().await;
    stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    for _ in 0..EVENTS / 1_000 {
        stack
            .api()
            .publish_batch("bid.created", (0..1_000).map(|n| json!({"n": n})))
            .await;
    }
    receiver.wait_for(EVENTS).await;
    let complaint = "traces cannot be sent";
    for process in stack.processes() {
        eventually("the complaint", async || {
            process.log().text().contains(complaint).then_some(())
        })
        .await;
    }

    collector.come_back().await;
    let dispatcher = stack.dispatcher(0);
    let good_news = eventually("traces to be sent again", async || {
        let log = dispatcher.log().text();
        log.lines()
            .find(|line| line.contains("traces can be sent again"))
            .map(str::to_owned)
    })
    .await;
    assert_eq!(dispatcher.log().text().matches(complaint).count(), 1);
    let dropped = good_news
        .split_once("dropped=")
        .and_then(|(_, rest)| rest.trim().parse::<u64>().ok())
        .unwrap_or_else(|| panic!("no figure in {good_news}"));
    assert!(
        dropped > 0,
        "three spans for each event are more than the queue holds"
    );
    collector.wait_for(1).await;
}
