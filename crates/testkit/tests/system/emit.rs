//! `plumbline.emit`: a host application's transaction, and what arrives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plumbline_testkit::{Receiver, Stack, eventually};
use serde_json::json;
use tokio_postgres::Client;

/// A relay that only looked once a second would need about twice as long for [`EMITTED`] events, one after the other.
const ARRIVALS_MAX: Duration = Duration::from_secs(10);
const EMITTED: usize = 20;

async fn emit(host: &Client, tenant: i64, event_type: &str, data: &str) -> String {
    let sql = format!("SELECT plumbline.emit({tenant}, '{event_type}', '{data}')");
    host.query_one(&sql, &[]).await.expect("emitted").get(0)
}

async fn run(host: &Client, sql: &str) {
    host.batch_execute(sql).await.expect(sql);
}

#[tokio::test]
async fn g18_s1_07_s1_20_what_a_host_transaction_emits_arrives_when_it_commits_and_never_when_it_rolls_back()
{
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let endpoint = api
        .create_endpoint(&receiver.url("/"), &["change_order.approved", "bid.created"])
        .await;
    let host = stack.database().connect().await;
    let tenant = api.tenant();
    run(&host, "CREATE TABLE public.change_orders (id int, status text)").await;

    run(
        &host,
        "BEGIN; INSERT INTO public.change_orders VALUES (87, 'approved')",
    )
    .await;
    emit(&host, tenant, "change_order.approved", r#"{"id": 87}"#).await;
    run(&host, "ROLLBACK").await;

    run(
        &host,
        "BEGIN; INSERT INTO public.change_orders VALUES (88, 'approved')",
    )
    .await;
    let sql = "SELECT plumbline.emit($1, 'change_order.approved', to_jsonb(approved), '{\"status\": \"submitted\"}')
        FROM public.change_orders AS approved";
    let event: String = host.query_one(sql, &[&tenant]).await.expect("emitted").get(0);
    // The snapshot is that of the call: a later change of the row alters nothing.
    run(&host, "UPDATE public.change_orders SET status = 'paid'; COMMIT").await;

    let request = receiver.next().await;
    request.verify(&endpoint.secret).expect("signed");
    let envelope = request.json();
    assert_eq!(
        envelope,
        json!({
            "id": event,
            "type": "change_order.approved",
            "created_at": envelope["created_at"],
            "tenant_id": tenant,
            "data": {"id": 88, "status": "approved"},
            "previous_attributes": {"status": "submitted"}
        })
    );
    assert_eq!(request.event_id(), event);
    let read = api.get(&format!("events/{event}")).await;
    assert_eq!(
        (&read["data"], &read["createdAt"]),
        (&envelope["data"], &envelope["created_at"])
    );
    api.wait_delivery_status(endpoint.id, &event, "succeeded").await;

    // One after the other, each as soon as the one before has arrived: the relay is called, it does not merely look.
    let started = Instant::now();
    for id in 0..EMITTED {
        let marker = emit(&host, tenant, "bid.created", &format!(r#"{{"id": {id}}}"#)).await;
        assert_eq!(receiver.next().await.event_id(), marker);
    }
    assert!(started.elapsed() < ARRIVALS_MAX, "{:?}", started.elapsed());
    assert_eq!(
        receiver.requests().len(),
        1 + EMITTED,
        "what was rolled back never arrived"
    );
}

#[tokio::test]
async fn a_thousand_events_of_one_transaction_arrive_once_each() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let host = stack.database().connect().await;
    let sql = "SELECT plumbline.emit($1, 'bid.created', jsonb_build_object('id', id)) FROM generate_series(1, 1000) AS id";
    let rows = host.query(sql, &[&api.tenant()]).await.expect("emitted");
    let emitted: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(emitted.len(), 1_000);
    let received = receiver.wait_for(1_000).await;
    let ids: BTreeSet<String> = received
        .iter()
        .map(|request| request.event_id().to_owned())
        .collect();
    assert_eq!(ids, emitted);
    eventually("the outbox to be empty", async || {
        let row = host
            .query_one("SELECT count(*) FROM plumbline.outbox", &[])
            .await
            .expect("counted");
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    assert_eq!(receiver.requests().len(), 1_000);
}

#[tokio::test]
async fn what_is_emitted_while_the_relay_is_dead_and_the_broker_is_away_arrives_when_they_are_back() {
    let receiver = Receiver::start().await;
    let stack = Stack::builder().broker_proxy().start().await;
    let api = stack.api();
    api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let host = stack.database().connect().await;

    stack.broker_proxy().refuse();
    stack.broker_proxy().cut();
    let without_broker = emit(&host, api.tenant(), "bid.created", r#"{"id": 1}"#).await;
    stack.api_process().kill();
    let without_relay = emit(&host, api.tenant(), "bid.created", r#"{"id": 2}"#).await;
    stack.broker_proxy().resume();
    // Another process takes the lead, as a replica would.
    stack.api_process().start().await;

    let received = receiver.wait_for(2).await;
    let ids: BTreeSet<&str> = received.iter().map(|request| request.event_id()).collect();
    assert_eq!(
        ids,
        BTreeSet::from([without_broker.as_str(), without_relay.as_str()])
    );
}
