//! Memory is bounded whatever the receiver, the payload and the fan-out: what a dispatcher has resident at the most.

use std::time::Duration;

use hyper::Method;
use plumbline_testkit::{Receiver, Reply, Stack, eventually, within};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
/// Payloads as large as they may be, less what is around the text.
const LARGE_BYTES: usize = 256 * 1024 - 100;
const TYPES: [&str; 4] = ["bid.created", "bid.accepted", "bid.rejected", "project.created"];
/// The end of a hang: these move hundreds of megabytes, with unoptimised binaries.
const PATIENCE: Duration = Duration::from_secs(150);

/// Begin to measure.
fn forget(stack: &Stack) {
    stack.dispatcher(0).forget_peak_memory();
}

/// The dispatcher had no more than this since then. The bounds are two to three times what was measured.
#[track_caller]
fn check(stack: &Stack, bound_mib: u64) {
    let peak = stack.dispatcher(0).peak_memory() / MIB;
    // For whoever wants the figure: shown by `--no-capture`.
    eprintln!("the dispatcher had {peak} MiB at the most");
    assert!(peak < bound_mib, "{peak} MiB, and not less than {bound_mib}");
}

fn large() -> Value {
    json!({"id": 1, "text": "x".repeat(LARGE_BYTES)})
}

/// Wait until this many deliveries have ended, each in this status.
async fn wait_ended(stack: &Stack, count: i64, status: &str) {
    let database = stack.database().connect().await;
    within(PATIENCE, &format!("{count} deliveries to be {status}"), async || {
        let sql = "SELECT count(*) FILTER (WHERE status = $1), count(*) FILTER (WHERE status <> ALL (ARRAY[$1, 'pending']))
            FROM plumbline.deliveries";
        let row = database.query_one(sql, &[&status]).await.expect("it can be asked");
        assert_eq!(row.get::<_, i64>(1), 0, "some ended otherwise");
        (row.get::<_, i64>(0) == count).then_some(())
    })
    .await;
}

/// Wait until this many deliveries are known to the database, whatever became of them.
async fn wait_recorded(stack: &Stack, count: i64) {
    let database = stack.database().connect().await;
    within(
        PATIENCE,
        &format!("{count} deliveries to be recorded"),
        async || {
            let sql = "SELECT count(*) FROM plumbline.deliveries";
            let row = database.query_one(sql, &[]).await.expect("it can be asked");
            (row.get::<_, i64>(0) == count).then_some(())
        },
    )
    .await;
}

/// Endpoints of the first tenant as large numbers need them: by SQL, as Buildr's without a secret, each with its path.
async fn add_endpoints(stack: &Stack, receiver: &Receiver, count: i32) {
    let database = stack.database().connect().await;
    let tenant = stack.api().tenant();
    let url = receiver.url("");
    // One by the front door, so that what an endpoint needs besides its row is there.
    let body = json!({"webhook": {"url": format!("{url}/0"), "filter_types": ["contact.create"]}});
    let made = stack.api().at(Method::POST, "/api/2023-01/webhooks", &body).await;
    made.expect(201);
    let sql = "
        WITH version AS (
            UPDATE plumbline.tenants SET endpoints_version = endpoints_version + 1 WHERE id = $1
            RETURNING endpoints_version
        )
        INSERT INTO plumbline.endpoints (tenant_id, profile, url, event_types, rate_limit, since_version)
        SELECT $1, profile, $2 || number, event_types, NULL, endpoints_version
        FROM plumbline.endpoints, version, generate_series(1, $3 - 1) AS number
        WHERE tenant_id = $1";
    let url = format!("{url}/");
    let added = database
        .execute(sql, &[&tenant, &url, &count])
        .await
        .expect("they fit");
    assert_eq!(i64::try_from(added), Ok(i64::from(count) - 1));
    let sql = "UPDATE plumbline.endpoints SET rate_limit = NULL WHERE tenant_id = $1";
    database.execute(sql, &[&tenant]).await.expect("no limit");
}

#[tokio::test]
async fn bodies_without_end_cost_no_memory() {
    let stack = Stack::start().await;
    let receiver = Receiver::answering(Reply::EndlessBody { status: 200 }).await;
    add_endpoints(&stack, &receiver, 200).await;
    forget(&stack);
    stack
        .api()
        .publish_batch("contact.created", (0..5).map(|id| json!({"id": id})))
        .await;
    wait_ended(&stack, 1_000, "succeeded").await;
    check(&stack, 160);
}

#[tokio::test]
async fn large_payloads_to_many_endpoints_share_their_bytes() {
    let stack = Stack::start().await;
    let receiver = Receiver::start().await;
    let urls = (0..40).map(|n| receiver.url(&format!("/{n}")));
    for url in urls {
        stack.api().create_endpoint(&url, &["bid.created"]).await;
    }
    forget(&stack);
    for _ in 0..5 {
        stack.api().publish("bid.created", large()).await;
    }
    wait_ended(&stack, 200, "succeeded").await;
    check(&stack, 160);
}

#[tokio::test]
async fn a_backlog_of_large_payloads_is_taken_in_hand_in_parts() {
    let stack = Stack::builder()
        .setting("ATTEMPT_TIMEOUT", "2s")
        .setting("RETRY_SCHEDULE", "")
        .setting("DISABLE_AFTER", "0")
        .start()
        .await;
    let receiver = Receiver::answering(Reply::Hang).await;
    for n in 0..8 {
        let url = receiver.url(&format!("/{n}"));
        stack.api().create_endpoint(&url, &[TYPES[n % TYPES.len()]]).await;
    }
    stack.dispatcher(0).kill();
    for n in 0..240 {
        stack.api().publish(TYPES[n % 4], large()).await;
    }
    stack.dispatcher(0).start().await;
    forget(&stack);
    // Each of them is in flight or was put off; those that hang are probed by a few for as long as it takes.
    wait_recorded(&stack, 480).await;
    check(&stack, 250);
}

#[tokio::test]
async fn retries_of_large_payloads_are_loaded_in_parts() {
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "5s")
        .setting("DISABLE_AFTER", "0")
        .start()
        .await;
    let receiver = Receiver::answering(Reply::status(500)).await;
    add_endpoints(&stack, &receiver, 300).await;
    stack.api().publish("contact.created", large()).await;
    eventually("the first attempts", async || {
        (receiver.requests().len() >= 300).then_some(())
    })
    .await;
    forget(&stack);
    wait_ended(&stack, 300, "exhausted").await;
    check(&stack, 200);
}

#[tokio::test]
async fn ten_thousand_endpoints_cost_little_more_than_themselves() {
    let stack = Stack::start().await;
    let receiver = Receiver::start().await;
    add_endpoints(&stack, &receiver, 10_000).await;
    forget(&stack);
    stack.api().publish("contact.created", json!({"id": 1})).await;
    wait_ended(&stack, 10_000, "succeeded").await;
    check(&stack, 250);
    assert_eq!(receiver.requests().len(), 10_000);
}
