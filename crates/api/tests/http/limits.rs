//! How many requests a key may make to the management API in a minute.

use hyper::Method;

use crate::support::{Answer, with_server, with_server_and};

const HEADERS: [&str; 4] = [
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-policy",
];

#[track_caller]
fn standing(answer: &Answer, limit: u32, remaining: u32) {
    let [given, left, reset, policy] = HEADERS.map(|name| answer.header(name).to_owned());
    assert_eq!(
        (given, left, policy),
        (limit.to_string(), remaining.to_string(), format!("{limit};w=60"))
    );
    let reset: u64 = reset.parse().expect("seconds");
    assert!((1..=60).contains(&reset), "{reset}");
}

#[track_caller]
fn uncounted(answer: &Answer) {
    for name in HEADERS {
        assert_eq!(answer.header(name), "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_limit_a_key_is_told_when_to_come_back_and_publishing_is_not_counted() {
    with_server_and(&["--rate-limit-per-key", "5"], async |rig| {
        let client = rig.tenant("events:write,webhooks:manage").await;
        let event = r#"{"type":"bid.created","data":{}}"#;
        // Whatever the answer is, it says how its sender stands.
        let me = client.get("/api/v1/me").await;
        me.expect(200);
        standing(&me, 5, 4);
        let missing = client.get("/api/v1/webhook-endpoints/7").await;
        missing.problem(404, "not_found");
        standing(&missing, 5, 3);
        let denied = client.get("/api/v1/events").await;
        denied.problem(403, "scope_insufficient");
        standing(&denied, 5, 2);
        let invalid = client.post("/api/v1/webhook-endpoints", "{}").await;
        invalid.faults();
        standing(&invalid, 5, 1);
        let unknown = rig.stranger().get("/api/v1/me").await;
        unknown.problem(401, "unauthorized");
        uncounted(&unknown);
        for _ in 0..7 {
            let published = client.post("/api/v1/events", event).await;
            published.expect(202);
            uncounted(&published);
        }
        let last = client.get("/api/v1/me").await;
        last.expect(200);
        standing(&last, 5, 0);

        for _ in 0..2 {
            let refused = client.get("/api/v1/me").await;
            let problem = refused.problem(429, "rate_limited");
            standing(&refused, 5, 0);
            let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert!(
                problem["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(&format!("{seconds} seconds"))),
                "{problem}"
            );
        }
        // What is refused does nothing, and is not remembered under its idempotency key.
        let created = client
            .keyed(
                "k",
                Method::POST,
                "/api/v1/webhook-event-types",
                r#"{"name":"a.b"}"#,
            )
            .await;
        created.problem(429, "rate_limited");
        client.post("/api/v1/events", event).await.expect(202);

        // Another key of the same tenant has its own, and so has a user.
        let other = rig.client(client.tenant, "event_types:write").await;
        let created = other
            .keyed(
                "k",
                Method::POST,
                "/api/v1/webhook-event-types",
                r#"{"name":"a.b"}"#,
            )
            .await;
        created.expect(201);
        standing(&created, 5, 4);
        let admin = rig.admin_person().await;
        for remaining in (0..5).rev() {
            standing(&admin.get("/api/v1/session").await, 5, remaining);
        }
        admin.get("/api/v1/session").await.problem(429, "rate_limited");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_is_6000_unless_configured_and_0_is_none() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        standing(&client.get("/api/v1/me").await, 6_000, 5_999);
        uncounted(&client.get("/api/v1/openapi.json").await);
        uncounted(&client.get("/api/v1/nothing").await);
    })
    .await;
    with_server_and(&["--rate-limit-per-key", "0"], async |rig| {
        let client = rig.tenant("*").await;
        let answer = client.get("/api/v1/me").await;
        answer.expect(200);
        uncounted(&answer);
    })
    .await;
}
