//! Rate limits: delayed, never dropped, never exceeded, whoever sends.

use std::time::{Duration, Instant};

use hyper::Method;
use plumbline_testkit::{Api, Receiver, Reply, Stack, eventually, within};
use serde_json::json;

use crate::text;

const MINUTE: Duration = Duration::from_secs(60);
/// Less than a runner lets a test take.
const AMPLE: Duration = Duration::from_secs(240);

/// An endpoint for `bid.created` with this limit: its id.
async fn limited(api: &Api, url: &str, per_minute: u32) -> i64 {
    let body = json!({"url": url, "eventTypes": ["bid.created"], "rateLimit": per_minute});
    let made = api.post("webhook-endpoints", body, 201).await;
    made["id"].as_i64().expect("an endpoint's id is a number")
}

/// When requests on a path arrived.
fn arrivals(receiver: &Receiver, path: &str) -> Vec<Instant> {
    receiver
        .requests_on(path)
        .iter()
        .map(|request| request.at)
        .collect()
}

/// The most that arrived in any 60 s.
fn busiest(arrivals: &[Instant]) -> usize {
    let in_minute = |from: &Instant| {
        let until = *from + MINUTE;
        arrivals.iter().filter(|at| *from <= **at && **at < until).count()
    };
    arrivals.iter().map(in_minute).max().unwrap_or(0)
}

/// Wait until so many requests have arrived on a path.
async fn arrived(receiver: &Receiver, path: &str, count: usize) -> Vec<Instant> {
    within(AMPLE, &format!("{count} requests on {path}"), async || {
        let arrivals = arrivals(receiver, path);
        (arrivals.len() >= count).then_some(arrivals)
    })
    .await
}

/// Wait until each of an endpoint's deliveries has arrived or waits; the ids of those that wait. All of one look: what is
/// recorded between two would be taken for waiting.
async fn decided(api: &Api, endpoint: i64, deliveries: usize) -> Vec<String> {
    eventually("all deliveries to have left or to wait", async || {
        let seen = api.deliveries(endpoint).await;
        let of = |status: &str| {
            let matching = seen.iter().filter(|delivery| delivery["status"] == status);
            matching
                .map(|delivery| text(delivery, "id").to_owned())
                .collect::<Vec<_>>()
        };
        let waiting = of("pending");
        (waiting.len() + of("succeeded").len() == deliveries).then_some(waiting)
    })
    .await
}

/// S2-09, G12: the limit is per minute and per endpoint, over all dispatchers.
#[tokio::test]
async fn g12_s2_09_three_dispatchers_never_send_more_than_the_limit_in_any_minute_and_lose_nothing() {
    const LIMIT: u32 = 20;
    const EVENTS: usize = 50;
    const FAILURES: usize = 5;
    let stack = Stack::builder()
        .dispatchers(3)
        .setting("RETRY_SCHEDULE", "2s,2s")
        .start()
        .await;
    let (receiver, api) = (Receiver::start().await, stack.api());
    receiver.script("/limited", vec![Reply::status(503); FAILURES]);
    let slow = limited(api, &receiver.url("/limited"), LIMIT).await;
    let free = api
        .create_endpoint(&receiver.url("/free"), &["bid.created"])
        .await;
    let started = Instant::now();
    let events = api
        .publish_batch("bid.created", (0..EVENTS).map(|id| json!({"id": id})))
        .await;

    let limited = arrived(&receiver, "/limited", EVENTS + FAILURES).await;
    let most = busiest(&limited);
    assert!(most <= LIMIT as usize, "{most} in a minute");
    let (mut sharing, mut missed) = (0, 0.0);
    for index in 0..3 {
        let dispatcher = stack.dispatcher(index);
        let value = async |series: &str| dispatcher.metric(series).await.expect("a metric");
        if value("plumbline_rate_slots_reserved_total").await > 0.0 {
            sharing += 1;
        }
        missed += value("plumbline_rate_slots_missed_total").await;
    }
    assert!(sharing >= 2, "{sharing} dispatchers took part");
    // The other endpoint had everything before this one's second minute began.
    let free_arrivals = arrivals(&receiver, "/free");
    assert_eq!(free_arrivals.len(), EVENTS);
    assert!(free_arrivals.iter().all(|at| *at < limited[LIMIT as usize]));

    let mut twice = 0;
    for event in &events {
        let delivery = api.wait_delivery_status(slow, event, "succeeded").await;
        match delivery["attemptCount"].as_u64() {
            Some(1) => {}
            Some(2) => twice += 1,
            other => panic!("{other:?} attempts: waiting uses none: {delivery:#}"),
        }
    }
    assert_eq!(twice, FAILURES);
    assert_eq!(api.count_deliveries(free.id, "succeeded").await, EVENTS);
    // Nothing comes after: neither twice nor beyond the limit.
    let all = arrivals(&receiver, "/limited");
    assert_eq!(all.len(), EVENTS + FAILURES);

    let gaps: Vec<u128> = all
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_millis())
        .collect();
    eprintln!(
        "{} requests in {:?}, {most} in the busiest minute, {missed} slots missed, gaps in ms: {gaps:?}",
        all.len(),
        all[all.len() - 1] - started
    );
}

#[tokio::test]
async fn g12_a_raised_limit_takes_effect_on_what_waits() {
    let stack = Stack::builder().dispatchers(2).start().await;
    let (receiver, api) = (Receiver::start().await, stack.api());
    let endpoint = limited(api, &receiver.url("/"), 12).await;
    api.publish_batch("bid.created", (0..24).map(|id| json!({"id": id})))
        .await;
    let first = receiver.next().await.at;
    let waiting = decided(api, endpoint, 24).await;
    assert!(waiting.len() >= 12, "{} wait", waiting.len());
    api.patch(
        &format!("webhook-endpoints/{endpoint}"),
        json!({"rateLimit": 600}),
    )
    .await;
    // The old limit would let twelve go in the first minute, and the next one only after it.
    let raised = arrived(&receiver, "/", 18).await;
    let early = raised.iter().filter(|at| **at - first < MINUTE).count();
    assert!(early > 12, "{early} in the first minute");
    // The rest hold slots that the old limit gave them.
    arrived(&receiver, "/", 24).await;
}

#[tokio::test]
async fn g12_tests_and_replays_count_and_what_waits_has_used_no_attempt() {
    let stack = Stack::start().await;
    let (receiver, api) = (Receiver::start().await, stack.api());
    let endpoint = limited(api, &receiver.url("/"), 5).await;
    let event = api.publish("bid.created", json!({"id": 1})).await;
    let delivery = api.wait_delivery_status(endpoint, &event, "succeeded").await;
    api.send(
        Method::POST,
        &format!("webhook-endpoints/{endpoint}/test"),
        &json!({}),
    )
    .await
    .expect(202);
    let replay = format!("webhook-deliveries/{}/replay", text(&delivery, "id"));
    api.send(Method::POST, &replay, &json!({})).await.expect(202);
    receiver.wait_for(3).await;

    // Four events are fewer than the limit; with the test and the replay it is one request more.
    api.publish_batch("bid.created", (2..5).map(|id| json!({"id": id})))
        .await;
    let waiting = decided(api, endpoint, 6).await;
    assert!(!waiting.is_empty(), "one of the six waits");
    for id in &waiting {
        let delivery = api.delivery(id).await;
        assert_eq!(
            (text(&delivery, "status"), &delivery["attemptCount"]),
            ("pending", &json!(0))
        );
    }
    assert_eq!(receiver.requests().len(), 6 - waiting.len());
}

#[tokio::test]
async fn g12_what_waits_for_a_slot_is_settled_when_its_endpoint_is_disabled_or_deleted() {
    let stack = Stack::start().await;
    let (receiver, api) = (Receiver::start().await, stack.api());
    let mut endpoints = vec![];
    for path in ["/paused", "/deleted"] {
        endpoints.push(limited(api, &receiver.url(path), 12).await);
    }
    let [paused, deleted] = endpoints[..] else {
        panic!("two endpoints")
    };
    api.publish_batch("bid.created", (0..14).map(|id| json!({"id": id})))
        .await;
    let (stopped, doomed) = (decided(api, paused, 14).await, decided(api, deleted, 14).await);
    assert!(stopped.len() >= 2 && doomed.len() >= 2, "{stopped:?} {doomed:?}");
    api.patch(&format!("webhook-endpoints/{paused}"), json!({"isActive": false}))
        .await;
    api.delete_endpoint(deleted).await;

    // Of the deleted one at once; of the disabled one when each comes due: one in seconds, one in a minute.
    for id in &doomed {
        let delivery = api.wait_delivery(id, "failed").await;
        assert_eq!(
            (text(&delivery, "error"), &delivery["attemptCount"]),
            ("endpoint_deleted", &json!(0))
        );
    }
    within(
        AMPLE,
        "those of the disabled endpoint to be skipped",
        async || (api.count_deliveries(paused, "skipped").await == stopped.len()).then_some(()),
    )
    .await;
    for (path, waited) in [("/paused", stopped.len()), ("/deleted", doomed.len())] {
        assert_eq!(receiver.requests_on(path).len(), 14 - waited, "{path}");
    }
}
