//! What an operator does after a disaster: a database from a backup, queues that speak of another one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use plumbline_testkit::{Ledger, Receiver, Reply, Stack, eventually, within};
use serde_json::json;

use crate::faults::{RECOVERY_PATIENCE, publish_until};

const EVENTS: &str = "plumbline.events.fast.0";

/// Wait until nothing is unfinished.
async fn all_done(stack: &Stack) {
    let unfinished = "
        SELECT (SELECT count(*) FROM plumbline.outbox)
            + (SELECT count(*) FROM plumbline.deliveries WHERE status = 'pending')";
    within(RECOVERY_PATIENCE, "everything to be finished", async || {
        (stack.database().number(unfinished).await == 0).then_some(())
    })
    .await;
}

/// The most that one round of the sweep has published again, by the dispatcher's log.
fn largest_round(stack: &Stack) -> u64 {
    let log = stack.dispatcher(0).log().text();
    let rounds = log
        .lines()
        .filter(|line| line.contains("this round of the sweep is over"));
    let counts = rounds.filter_map(|line| {
        let digits = line.split_once("deliveries=")?.1;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    });
    counts.max().unwrap_or(0)
}

#[tokio::test]
async fn a_database_restored_from_a_backup_is_finished_and_nothing_of_the_lost_time_goes_astray() {
    const PARKED: i64 = 1_500;
    let stack = Stack::builder()
        .setting("RECOVERY_GRACE", "3s")
        .setting("RETRY_SCHEDULE", "20s,2s,2s,2s")
        .setting("DISABLE_AFTER", "0")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    let endpoint = api.create_endpoint(&receiver.url("/a"), &["bid.created"]).await;

    // A backup in the middle of traffic, with retries parked.
    receiver.always_on("/a", Reply::status(503));
    for _ in 0..PARKED / 100 {
        api.publish_batch("bid.created", (0..100).map(|id| json!({"id": id})))
            .await;
    }
    let parked = "SELECT count(*) FROM plumbline.deliveries WHERE status = 'pending' AND attempt_count = 1";
    within(RECOVERY_PATIENCE, "the first attempts to fail", async || {
        (stack.database().number(parked).await == PARKED).then_some(())
    })
    .await;
    receiver.always_on("/a", Reply::status(200));
    let (archive, stop) = (stack.directory().join("backup"), AtomicBool::new(false));
    let backing_up = async {
        receiver
            .wait_until("traffic", |requests| requests.len() > 1_600)
            .await;
        stack.database().back_up(&archive).await;
        // What was parked is delivered now, which the backup does not know.
        receiver
            .wait_until("retries", |requests| requests.len() > 2_800)
            .await;
        stop.store(true, Ordering::Relaxed);
    };
    let (accepted, ()) = tokio::join!(publish_until(&stack, &stop), backing_up);

    // What the backup does not know either: a tenant, its endpoint, a retry and an event that waits.
    let late = stack.tenant("Late").await;
    let late_endpoint = late
        .create_endpoint(&receiver.url("/late"), &["bid.created"])
        .await;
    receiver.always_on("/late", Reply::status(503));
    let retried = late.publish("bid.created", json!({"secret": 1})).await;
    late.wait_attempts(late_endpoint.id, &retried, 1).await;
    let refused = stack.cli_ends(&["queues", "purge", "--yes"]).await;
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("is being consumed"), "{refused:#?}");
    stack.dispatcher(0).stop().await;
    let waiting = late.publish("bid.created", json!({"secret": 2})).await;
    let lost = api.publish("bid.created", json!({"id": "lost"})).await;
    eventually("both in their queue", async || {
        let messages = stack.broker().peek(EVENTS, 10).await;
        let holds = |event: &String| messages.iter().any(|message| message.payload.contains(event));
        (holds(&waiting) && holds(&lost)).then_some(())
    })
    .await;

    // The disaster, and the procedure of docs/OPERATIONS.md.
    stack.api_process().stop().await;
    stack.database().restore(&archive).await;
    assert_eq!(stack.cli(&["migrate", "--json"]).await["applied"], json!([]));
    let asked = stack.cli_ends(&["queues", "purge"]).await;
    assert_eq!(asked.code, Some(64), "{asked:#?}");
    assert!(
        asked.stderr.contains("messages would be thrown away"),
        "{asked:#?}"
    );
    let purged = stack.cli(&["queues", "purge", "--yes", "--json"]).await;
    let queues = purged["queues"].as_array().expect("a list");
    for begins in [EVENTS, "plumbline.delay."] {
        let named = |queue: &serde_json::Value| queue["queue"].as_str().expect("text").starts_with(begins);
        assert!(queues.iter().any(named), "{begins} was not empty: {purged:#}");
    }
    let again = stack.cli(&["queues", "purge", "--yes", "--json"]).await;
    assert_eq!(
        again,
        json!({"messages": 0, "queues": []}),
        "they are there, and empty"
    );

    // Numbers are given out again, which is what makes old messages dangerous.
    let restored = stack.database().connect().await;
    let known = "SELECT 'evt_' || replace(id::text, '-', '') FROM plumbline.events";
    let known: HashSet<String> = restored
        .query(known, &[])
        .await
        .expect("the database answers")
        .iter()
        .map(|row| row.get(0))
        .collect();
    let still_pending = stack.database().number(parked).await;
    assert!(still_pending > 1_000, "the backup has {still_pending} that wait");
    let arrived_before = receiver.requests().len();
    stack.api_process().start().await;
    let new = stack.tenant("New").await;
    let new_endpoint = new.create_endpoint(&receiver.url("/new"), &["bid.created"]).await;
    assert_eq!((new.tenant(), new_endpoint.id), (late.tenant(), late_endpoint.id));
    let overdue = "SELECT count(*) FROM plumbline.deliveries WHERE status = 'pending' AND next_attempt_at > now() - interval '3 s'";
    within(RECOVERY_PATIENCE, "all of it to be overdue", async || {
        (stack.database().number(overdue).await == 0).then_some(())
    })
    .await;
    stack.dispatcher(0).start().await;
    let fresh = new.publish("bid.created", json!({"id": 1})).await;
    let next = api.publish("bid.created", json!({"id": 2})).await;
    all_done(&stack).await;

    // All that the backup knew has ended well, once on record and at the receiver.
    let unlike = "
        SELECT count(*)
        FROM plumbline.events AS event
        LEFT JOIN plumbline.deliveries AS delivery ON delivery.event_id = event.id
        WHERE delivery.status IS DISTINCT FROM 'succeeded'";
    assert_eq!(stack.database().number(unlike).await, 0);
    let same = "SELECT (SELECT count(*) FROM plumbline.events) - (SELECT count(*) FROM plumbline.deliveries)";
    assert_eq!(stack.database().number(same).await, 0);
    let taken: HashSet<String> = receiver.taken().into_iter().collect();
    let missing: Vec<&String> = known.iter().filter(|event| !taken.contains(*event)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What was delivered since the backup comes again under its id; what was accepted since is not known.
    let requests = receiver.requests();
    let (before, after) = requests.split_at(arrived_before);
    let had: HashSet<&str> = before.iter().map(|request| request.event_id()).collect();
    assert!(after.iter().any(|request| had.contains(request.event_id())));
    assert!(
        accepted.iter().any(|event| !known.contains(event)),
        "traffic went on after the backup"
    );
    for event in [&lost, &waiting, &retried] {
        assert!(!known.contains(event));
        assert!(
            after.iter().all(|request| request.event_id() != event),
            "{event} was sent"
        );
    }
    // Nothing goes where it does not belong.
    let of = |path: &str| -> Vec<&str> {
        let there = after.iter().filter(|request| request.path == path);
        there.map(|request| request.event_id()).collect()
    };
    assert_eq!(of("/new"), [fresh.as_str()]);
    assert_eq!(of("/late"), [""; 0]);
    assert!(
        of("/a")
            .iter()
            .all(|event| *event == next || known.contains(*event))
    );
    assert_eq!(api.endpoint(endpoint.id).await["isActive"], true);
    let largest = largest_round(&stack);
    assert!(
        largest > 1_000,
        "the sweep stopped after {largest}, to be quiet before it goes on"
    );
    eventually("the doctor to be content", async || {
        let ended = stack.cli_ends(&["doctor"]).await;
        (ended.code == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn queues_that_are_emptied_lose_nothing_that_the_database_knows() {
    let stack = Stack::builder()
        .setting("RECOVERY_GRACE", "3s")
        .setting("RETRY_SCHEDULE", "2s,2s,2s,2s")
        .setting("DISABLE_AFTER", "0")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    receiver.script("/", (0..50).map(|_| Reply::status(503)));
    let mut ledger = Ledger::new();
    let mut publish = async || {
        let ids = api
            .publish_batch("bid.created", (0..50).map(|id| json!({"id": id})))
            .await;
        ids.into_iter().for_each(|event| ledger.accept(event));
    };
    publish().await;
    retries_wait(&stack, 50).await;
    stack.dispatcher(0).stop().await;
    publish().await;
    stack.broker().publish_raw("plumbline.dead", b"by hand").await;
    eventually("the events in their queue", async || {
        stack.broker().peek(EVENTS, 1).await.pop()
    })
    .await;
    // The API is still there, and publishes on.
    let purged = stack.cli_ends(&["queues", "purge", "--yes"]).await;
    assert_eq!(purged.code, Some(0), "{purged:#?}");
    assert!(purged.stdout.contains("plumbline.dead: 1"), "{purged:#?}");
    publish().await;
    stack.dispatcher(0).start().await;
    all_done(&stack).await;
    assert_eq!(api.count_deliveries(endpoint.id, "succeeded").await, 150);
    ledger.receive_all(receiver.taken());
    let balance = ledger.balance();
    assert_eq!((balance.lost.len(), balance.duplicates), (0, 0));
}

#[tokio::test]
async fn a_new_broker_at_another_address_needs_nothing_but_its_address() {
    let mut stack = Stack::builder()
        .setting("RECOVERY_GRACE", "3s")
        .setting("RETRY_SCHEDULE", "5s,5s")
        .setting("DISABLE_AFTER", "0")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let endpoint = receiver.url("/");
    let endpoint = stack.api().create_endpoint(&endpoint, &["bid.created"]).await;
    receiver.script("/", (0..50).map(|_| Reply::status(503)));
    let mut ledger = Ledger::new();
    let events = || (0..50).map(|id| json!({"id": id}));
    // Some wait for their retry, some in their queue; some are accepted while there is no broker.
    for event in stack.api().publish_batch("bid.created", events()).await {
        ledger.accept(event);
    }
    retries_wait(&stack, 50).await;
    stack.dispatcher(0).kill();
    for event in stack.api().publish_batch("bid.created", events()).await {
        ledger.accept(event);
    }
    eventually("an event in its queue", async || {
        stack.broker().peek(EVENTS, 1).await.pop()
    })
    .await;
    stack.replace_broker().await;
    stack.api_process().wait_not_ready().await;
    let found = stack.cli_ends(&["doctor"]).await;
    assert_eq!(found.code, Some(2));
    assert!(found.stdout.contains("fail topology"), "{found:#?}");
    for event in stack.api().publish_batch("bid.created", events()).await {
        ledger.accept(event);
    }
    stack.api_process().stop().await;
    stack.dispatcher(0).start().await;
    stack.api_process().start().await;
    all_done(&stack).await;
    assert_eq!(stack.api().count_deliveries(endpoint.id, "succeeded").await, 150);
    ledger.receive_all(receiver.taken());
    assert!(ledger.balance().lost.is_empty(), "{:?}", ledger.balance());
}

/// Wait until so many deliveries wait for their retry.
async fn retries_wait(stack: &Stack, count: i64) {
    let waiting = "SELECT count(*) FROM plumbline.deliveries WHERE status = 'pending' AND attempt_count > 0";
    eventually("retries to wait", async || {
        (stack.database().number(waiting).await == count).then_some(())
    })
    .await;
}
