//! Updates while everything runs: no request fails, nothing is lost or doubled.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use hyper::Method;
use plumbline_testkit::api::Api;
use plumbline_testkit::stack::Process;
use plumbline_testkit::{LOOK_EVERY, Ledger, Receiver, Reply, Stack, eventually};
use serde_json::json;

use crate::scaling::delivered_once;
use crate::text;

/// A replica of the API as a load balancer sees it.
struct Replica<'a> {
    process: &'a Process,
    api: Api,
    /// What its health check said last.
    is_ready: AtomicBool,
    /// It gets no new requests, whatever its health.
    is_leaving: AtomicBool,
    /// Requests that it was given and has not answered.
    under_way: AtomicUsize,
}

impl<'a> Replica<'a> {
    fn new((process, api): (&'a Process, Api)) -> Self {
        Self {
            process,
            api,
            is_ready: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
        }
    }

    /// Publish here, unless it is not in the balance.
    async fn publish(&self, body: String) -> Option<String> {
        // Counted first: who leaves waits for whoever may not have seen it.
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let is_in = self.is_ready.load(Ordering::SeqCst) && !self.is_leaving.load(Ordering::SeqCst);
        let event = match is_in {
            false => None,
            true => match self.api.try_send(Method::POST, "events", &[], body).await {
                Ok(answer) => Some(text(&answer.expect(202).json()["data"], "id").to_owned()),
                Err(error) => panic!("a request has failed: {error}"),
            },
        };
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        event
    }

    /// Take it out of the balance, as the chart does by waiting before the SIGTERM: a connection that ends is given nothing.
    async fn leave(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
        eventually("its last answers", async || {
            (self.under_way.load(Ordering::SeqCst) == 0).then_some(())
        })
        .await;
    }
}

/// Check every replica's health, again and again.
async fn check_health(replicas: &[Replica<'_>], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for replica in replicas {
            let is_ready = replica.process.is_ready().await;
            replica.is_ready.store(is_ready, Ordering::SeqCst);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Publish one by one, at the replicas in turn: each request is taken by the first that is in the balance.
async fn publish_through(replicas: &[Replica<'_>], stop: &AtomicBool) -> Vec<String> {
    let (mut accepted, mut turn) = (vec![], 0);
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let mut taken = None;
        for index in 0..replicas.len() {
            let body = json!({"type": "bid.created", "data": {"id": turn}}).to_string();
            taken = replicas[(turn + index) % replicas.len()].publish(body).await;
            if taken.is_some() {
                break;
            }
        }
        accepted.push(taken.expect("a replica in the balance"));
    }
    accepted
}

#[tokio::test]
async fn every_process_is_replaced_under_load_and_no_request_fails_and_nothing_is_doubled() {
    let stack = Stack::builder()
        .dispatchers(2)
        .setting("RETRY_SCHEDULE", "1s,1s,2s,5s")
        .setting("DISABLE_AFTER", "0")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let endpoint = receiver.url("/");
    stack.api().create_endpoint(&endpoint, &["bid.created"]).await;
    receiver.always(Reply::status(200).after(std::time::Duration::from_millis(20)));
    receiver.script("/", (0..200).map(|_| Reply::status(503)));

    let others = ["api-2", "api-3", "api-4"].map(|name| stack.another_api(name));
    let [second, third, fourth] = others.each_ref().map(|(process, api)| (process, api.clone()));
    second.0.start().await;
    let replicas = [(stack.api_process(), stack.api().clone()), second, third, fourth].map(Replica::new);
    let new_dispatchers = ["dispatcher-3", "dispatcher-4"].map(|name| stack.another_dispatcher(name));
    eventually("both replicas to be in the balance", async || {
        let ready = join_all(replicas[..2].iter().map(|replica| replica.process.is_ready())).await;
        (ready == [true, true]).then_some(())
    })
    .await;
    replicas[..2]
        .iter()
        .for_each(|replica| replica.is_ready.store(true, Ordering::Relaxed));

    let stop = AtomicBool::new(false);
    let traffic = async || {
        let before = receiver.requests().len();
        receiver.wait_for(before + 100).await;
    };
    let updating = async {
        for (index, new) in new_dispatchers.iter().enumerate() {
            traffic().await;
            new.start().await;
            traffic().await;
            let old = stack.dispatcher(index);
            let status = old.stop().await;
            assert!(status.success(), "{}: {status}", old.name());
        }
        let (old_apis, new_apis) = replicas.split_at(2);
        for (old, new) in old_apis.iter().zip(new_apis) {
            traffic().await;
            new.process.start().await;
            eventually("the new one to be in the balance", async || {
                new.is_ready.load(Ordering::SeqCst).then_some(())
            })
            .await;
            traffic().await;
            old.leave().await;
            let status = old.process.stop().await;
            assert!(status.success(), "{}: {status}", old.process.name());
        }
        traffic().await;
        stop.store(true, Ordering::Relaxed);
    };
    let publishing = join_all((0..4).map(|_| publish_through(&replicas, &stop)));
    let (accepted, (), ()) = tokio::join!(publishing, updating, check_health(&replicas, &stop));

    let mut ledger = Ledger::new();
    accepted
        .into_iter()
        .flatten()
        .for_each(|event| ledger.accept(event));
    delivered_once(&stack, &receiver, ledger).await;
}

#[tokio::test]
async fn a_dispatcher_newer_than_its_schema_keeps_its_records_until_it_is_migrated() {
    let stack = Stack::builder()
        .setting("MIGRATE_AT_START", "false")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let endpoint = receiver.url("/");
    stack.api().create_endpoint(&endpoint, &["bid.created"]).await;
    for process in stack.processes() {
        process.stop().await;
    }
    let older = "
        ALTER TABLE plumbline.delivery_attempts DROP COLUMN timing;
        DELETE FROM plumbline.refinery_schema_history WHERE version >= 12";
    let sql = stack.database().connect().await;
    sql.batch_execute(older).await.expect("the schema before V12");
    for process in stack.processes() {
        process.start().await;
    }
    let events = (0..20).map(|id| json!({"id": id}));
    let mut ledger = Ledger::new();
    for event in stack.api().publish_batch("bid.created", events).await {
        ledger.accept(event);
    }
    receiver.wait_for(20).await;
    eventually("the dispatcher to complain", async || {
        let log = stack.dispatcher(0).log().text();
        (log.contains("timing") && log.contains("42703")).then_some(())
    })
    .await;
    let outbox = "SELECT count(*) FROM plumbline.outbox";
    assert_eq!(stack.database().number(outbox).await, 20, "nothing is given up");

    let applied = stack.cli(&["migrate", "--json"]).await;
    assert_eq!(applied["applied"][0], "V12__attempt_timing");
    eventually("all to be recorded", async || {
        (stack.database().number(outbox).await == 0).then_some(())
    })
    .await;
    let recorded =
        "SELECT count(*) FROM plumbline.deliveries WHERE status = 'succeeded' AND attempt_count = 1";
    assert_eq!(stack.database().number(recorded).await, 20);
    ledger.receive_all(receiver.taken());
    let balance = ledger.balance();
    assert_eq!((balance.lost.len(), balance.duplicates), (0, 0));
}
