//! Whatever is killed, cut off or wiped: every event that was answered 202 arrives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use plumbline_testkit::stack::{Builder, Resource};
use plumbline_testkit::{Ledger, Receiver, Reply, Stack, within};
use serde_json::{Value, json};

use crate::text;

/// Recovery from a fault has its own pace: a grace, a sweep, the servers' own restart.
pub(crate) const RECOVERY_PATIENCE: Duration = Duration::from_secs(150);

/// A system that notices soon what was lost.
fn prompt() -> Builder {
    Stack::builder()
        .setting("RECOVERY_GRACE", "3s")
        .setting("RETRY_SCHEDULE", "1s,1s,1s,2s,2s,5s")
        .setting("DISABLE_AFTER", "0")
}

/// Wait until everything accepted has arrived, and everything has been recorded as delivered.
async fn settle(stack: &Stack, endpoint: i64, receiver: &Receiver, ledger: &mut Ledger) {
    within(RECOVERY_PATIENCE, "every accepted event to arrive", async || {
        ledger.receive_all(receiver.taken());
        ledger.balance().lost.is_empty().then_some(())
    })
    .await;
    within(RECOVERY_PATIENCE, "every delivery to be recorded", async || {
        let pending = stack
            .api()
            .deliveries_with(endpoint, "status=pending&limit=1")
            .await;
        let succeeded = stack.api().count_deliveries(endpoint, "succeeded").await;
        (pending.is_empty() && succeeded >= ledger.accepted()).then_some(())
    })
    .await;
    let balance = ledger.balance();
    eprintln!(
        "{} accepted, {} duplicates, {} unannounced",
        ledger.accepted(),
        balance.duplicates,
        balance.unannounced
    );
}

/// Publish one by one until told to stop, through whatever happens; returns what was answered 202.
pub(crate) async fn publish_until(stack: &Stack, stop: &AtomicBool) -> Vec<String> {
    let mut accepted = vec![];
    while !stop.load(Ordering::Relaxed) {
        let body = json!({"type": "bid.created", "data": {"id": accepted.len()}}).to_string();
        match stack.api().try_send(Method::POST, "events", &[], body).await {
            Ok(answer) if answer.status.as_u16() == 202 => {
                accepted.push(text(&answer.json()["data"], "id").to_owned());
            }
            Ok(answer) => assert!(
                answer.status.is_server_error(),
                "{}: {}",
                answer.status,
                answer.text()
            ),
            // Nobody listens for a moment: look again soon.
            Err(_) => tokio::time::sleep(plumbline_testkit::LOOK_EVERY).await,
        }
    }
    accepted
}

async fn system(builder: Builder) -> (Stack, Receiver, i64) {
    let (stack, receiver) = (builder.start().await, Receiver::start().await);
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    (stack, receiver, endpoint.id)
}

/// Check that the fault struck while there was something to lose.
fn in_the_middle(receiver: &Receiver, ledger: &mut Ledger) {
    ledger.receive_all(receiver.taken());
    assert!(
        !ledger.balance().lost.is_empty(),
        "everything had arrived before the fault: it proves nothing"
    );
}

async fn publish(stack: &Stack, ledger: &mut Ledger, count: usize) {
    for _ in 0..count.div_ceil(100) {
        let ids = stack
            .api()
            .publish_batch("bid.created", (0..100.min(count)).map(|id| json!({"id": id})))
            .await;
        ids.into_iter().for_each(|event| ledger.accept(event));
    }
}

#[tokio::test]
async fn events_are_accepted_while_the_broker_is_down_and_arrive_when_it_is_back() {
    let (stack, receiver, endpoint) = system(prompt().broker_proxy()).await;
    let mut ledger = Ledger::new();
    publish(&stack, &mut ledger, 100).await;
    stack.broker_proxy().refuse();
    publish(&stack, &mut ledger, 200).await;
    for process in stack.processes() {
        process.wait_not_ready().await;
    }
    // A load balancer leaves the API where it is.
    let balanced = stack.admin(stack.api_process(), "/readyz?ignore=broker").await;
    balanced.expect(200);
    publish(&stack, &mut ledger, 200).await;
    stack.broker_proxy().resume();
    publish(&stack, &mut ledger, 100).await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn connections_to_the_broker_that_break_again_and_again_lose_nothing() {
    let (stack, receiver, endpoint) = system(prompt().broker_proxy().dispatchers(2)).await;
    let (mut ledger, stop) = (Ledger::new(), AtomicBool::new(false));
    receiver.script("/", (0..50).map(|_| Reply::status(503)));
    let breaking = async {
        for arrived in [50, 150, 250, 350] {
            receiver.wait_for(arrived).await;
            stack.broker_proxy().cut();
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = tokio::join!(publish_until(&stack, &stop), breaking);
    accepted.into_iter().for_each(|event| ledger.accept(event));
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn connections_to_the_database_that_break_again_and_again_lose_nothing() {
    let (stack, receiver, endpoint) = system(prompt().database_proxy().dispatchers(2)).await;
    let (mut ledger, stop) = (Ledger::new(), AtomicBool::new(false));
    receiver.script("/", (0..50).map(|_| Reply::status(503)));
    let breaking = async {
        for arrived in [50, 150, 250, 350] {
            receiver.wait_for(arrived).await;
            stack.database_proxy().cut();
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = tokio::join!(publish_until(&stack, &stop), breaking);
    accepted.into_iter().for_each(|event| ledger.accept(event));
    // Who asks before the API has noticed the last break is told to try again.
    within(RECOVERY_PATIENCE, "an API that answers again", async || {
        let path = format!("webhook-endpoints/{endpoint}");
        let answer = stack.api().send(Method::GET, &path, &Value::Null).await;
        (answer.status.as_u16() == 200).then_some(())
    })
    .await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn s0_36_g14_a_dispatcher_killed_in_the_middle_of_2000_deliveries_loses_none() {
    let (stack, receiver, endpoint) = system(prompt()).await;
    let mut ledger = Ledger::new();
    receiver.always(Reply::status(200).after(Duration::from_millis(5)));
    publish(&stack, &mut ledger, 2_000).await;
    for arrived in [300, 900] {
        receiver.wait_for(arrived).await;
        stack.dispatcher(0).kill();
        in_the_middle(&receiver, &mut ledger);
        stack.dispatcher(0).start().await;
    }
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_dispatcher_that_dies_leaves_its_work_and_its_retries_to_the_other() {
    let (stack, receiver, endpoint) = system(prompt().dispatchers(2)).await;
    let mut ledger = Ledger::new();
    receiver.script("/", (0..300).map(|_| Reply::status(500)));
    publish(&stack, &mut ledger, 500).await;
    receiver.wait_for(200).await;
    // Never started again.
    stack.dispatcher(0).kill();
    in_the_middle(&receiver, &mut ledger);
    publish(&stack, &mut ledger, 200).await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn an_api_killed_in_the_middle_of_publishing_keeps_what_it_promised() {
    let (stack, receiver, endpoint) = system(prompt()).await;
    let (mut ledger, stop) = (Ledger::new(), AtomicBool::new(false));
    let killing = async {
        for arrived in [100, 300, 500] {
            receiver.wait_for(arrived).await;
            stack.api_process().kill();
            stack.api_process().start().await;
        }
        receiver.wait_for(700).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = tokio::join!(join_all((0..8).map(|_| publish_until(&stack, &stop))), killing);
    accepted
        .into_iter()
        .flatten()
        .for_each(|event| ledger.accept(event));
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_broker_that_loses_its_disk_in_the_middle_loses_nothing_of_ours() {
    let (stack, receiver, endpoint) = system(prompt().private_broker()).await;
    let mut ledger = Ledger::new();
    // Some are delivered, some wait for their retry, some have not been looked at.
    receiver.script("/", (0..400).map(|_| Reply::status(503)));
    publish(&stack, &mut ledger, 1_000).await;
    receiver.wait_for(300).await;
    stack.broker().kill().await;
    in_the_middle(&receiver, &mut ledger);
    stack.broker().wipe().await;
    publish(&stack, &mut ledger, 200).await;
    stack.broker().start().await;
    publish(&stack, &mut ledger, 200).await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_broker_killed_and_restarted_loses_nothing() {
    let (stack, receiver, endpoint) = system(prompt().private_broker().dispatchers(2)).await;
    let mut ledger = Ledger::new();
    receiver.script("/", (0..200).map(|_| Reply::status(500)));
    publish(&stack, &mut ledger, 500).await;
    receiver.wait_for(200).await;
    stack.broker().kill().await;
    in_the_middle(&receiver, &mut ledger);
    publish(&stack, &mut ledger, 200).await;
    stack.broker().start().await;
    for process in stack.processes() {
        process.wait_ready().await;
    }
    publish(&stack, &mut ledger, 200).await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_database_killed_and_restarted_ends_no_process_and_loses_nothing() {
    let (stack, receiver, endpoint) = system(prompt().private_database()).await;
    let (mut ledger, stop) = (Ledger::new(), AtomicBool::new(false));
    receiver.script("/", (0..100).map(|_| Reply::status(500)));
    let killing = async {
        receiver.wait_for(200).await;
        stack.database().kill().await;
        for process in stack.processes() {
            process.wait_not_ready().await;
        }
        stack.database().start().await;
        for process in stack.processes() {
            process.wait_ready().await;
        }
        let before = receiver.requests().len();
        receiver.wait_for(before + 200).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = tokio::join!(publish_until(&stack, &stop), killing);
    accepted.into_iter().for_each(|event| ledger.accept(event));
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_process_that_starts_before_its_servers_waits_for_them() {
    let stack = Stack::builder().database_proxy().broker_proxy().start().await;
    let receiver = Receiver::start().await;
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    stack.database_proxy().refuse();
    stack.broker_proxy().refuse();
    for process in stack.processes() {
        process.kill();
        process.launch();
        process.wait_not_ready().await;
    }
    stack.broker_proxy().resume();
    stack.database_proxy().resume();
    for process in stack.processes() {
        process.wait_ready().await;
    }
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
}

#[tokio::test]
async fn a_database_that_falls_silent_is_noticed_and_taken_up_again() {
    let (stack, receiver, endpoint) = system(prompt().database_proxy()).await;
    let mut ledger = Ledger::new();
    publish(&stack, &mut ledger, 300).await;
    receiver.wait_for(20).await;
    // Nothing is closed: only the silence tells.
    stack.database_proxy().black_hole();
    for process in stack.processes() {
        process.wait_not_ready().await;
    }
    stack.database_proxy().resume();
    for process in stack.processes() {
        process.wait_ready().await;
    }
    publish(&stack, &mut ledger, 100).await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn while_the_database_is_silent_requests_are_refused_and_not_left_hanging() {
    let (stack, receiver, endpoint) = system(prompt().database_proxy()).await;
    let mut ledger = Ledger::new();
    publish(&stack, &mut ledger, 100).await;
    stack.database_proxy().black_hole();
    // The client gives up after a minute.
    let event = json!({"type": "bid.created", "data": {}}).to_string();
    for (method, path, body) in [
        (Method::POST, "events", event.as_str()),
        (Method::GET, "webhook-endpoints", ""),
        (Method::POST, "events", event.as_str()),
    ] {
        let answer = stack.api().try_send(method, path, &[], body.to_owned()).await;
        let answer = answer.expect("every request is answered");
        assert_eq!(answer.status.as_u16(), 503, "{}", answer.text());
        assert!(
            answer.header("retry-after").is_some(),
            "it says when to come again"
        );
    }
    stack.database_proxy().resume();
    for process in stack.processes() {
        process.wait_ready().await;
    }
    publish(&stack, &mut ledger, 100).await;
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_broker_that_falls_silent_delays_nothing_but_deliveries() {
    let (stack, receiver, endpoint) = system(prompt().broker_proxy()).await;
    let mut ledger = Ledger::new();
    publish(&stack, &mut ledger, 100).await;
    receiver.wait_for(20).await;
    stack.broker_proxy().black_hole();
    // Accepted all the same, before anybody has noticed and after.
    publish(&stack, &mut ledger, 100).await;
    for process in stack.processes() {
        process.wait_not_ready().await;
    }
    publish(&stack, &mut ledger, 100).await;
    stack.broker_proxy().resume();
    for process in stack.processes() {
        process.wait_ready().await;
    }
    settle(&stack, endpoint, &receiver, &mut ledger).await;
}

#[tokio::test]
async fn a_large_fan_out_whose_chunks_cannot_be_published_waits_and_is_not_sent_again_and_again() {
    const ENDPOINTS: usize = 120;
    let stack = prompt()
        .private_broker()
        .setting("MAX_ENDPOINTS_PER_TENANT", "200")
        // What is not answered for is not taken for lost meanwhile.
        .setting("RECOVERY_GRACE", "60s")
        .start()
        .await;
    let receiver = Receiver::start().await;
    for index in 0..ENDPOINTS {
        stack
            .api()
            .create_endpoint(&receiver.url(&format!("/{index}")), &["bid.created"])
            .await;
    }
    // The event reaches the queue before the alarm, and the dispatcher after it.
    stack.dispatcher(0).freeze();
    stack.api().publish("bid.created", json!({"id": 1})).await;
    within(RECOVERY_PATIENCE, "the event in its queue", async || {
        let count = stack.broker().messages("plumbline.events.fast.0").await;
        (count == Some(1)).then_some(())
    })
    .await;
    stack.broker().raise_alarm(Resource::Memory).await;
    stack.dispatcher(0).thaw();
    let database = stack.database().connect().await;
    within(RECOVERY_PATIENCE, "both chunks left to the relay", async || {
        let sql = "SELECT count(*) FROM plumbline.outbox WHERE chunk > 0 AND state = 'unsent'";
        let row = database.query_one(sql, &[]).await.expect("the database answers");
        (row.get::<_, i64>(0) == 2).then_some(())
    })
    .await;
    stack.broker().clear_alarm(Resource::Memory).await;
    within(RECOVERY_PATIENCE, "every endpoint to be reached", async || {
        (receiver.requests().len() >= ENDPOINTS).then_some(())
    })
    .await;
    within(RECOVERY_PATIENCE, "everything to be recorded", async || {
        let sql = "SELECT count(*) FROM plumbline.outbox";
        let row = database.query_one(sql, &[]).await.expect("the database answers");
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    // A publication that timed out may have arrived all the same: once more at most, not once for each try.
    let requests = receiver.requests().len();
    assert!(
        requests <= 2 * ENDPOINTS,
        "{requests} requests for {ENDPOINTS} deliveries"
    );
    assert_eq!(
        stack.broker().peek("plumbline.dead", 1).await.len(),
        0,
        "nothing is buried"
    );
}
