//! What the console and the command line look at: the whole log, its counts, and the streams.

use std::time::Duration;

use hyper::Method;
use plumbline_testkit::{Api, PATIENCE, Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A stream of server-sent events, read line by line from its socket.
struct Listener {
    lines: BufReader<TcpStream>,
}

/// One message: its kind, its id, its data.
type Heard = (String, Option<String>, Value);

impl Listener {
    async fn open(stack: &Stack, api: &Api, path: &str, headers: &str) -> Self {
        let credentials = format!("Authorization: Bearer {}\r\n", api.key());
        Self::open_with(stack, path, &format!("{credentials}{headers}")).await
    }

    async fn open_with(stack: &Stack, path: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(stack.listen()).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", stack.listen());
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut listener = Self {
            lines: BufReader::new(socket),
        };
        let status = listener.line().await;
        assert!(status.contains("200"), "{status}");
        assert_eq!(listener.next().await.0, "ready");
        listener
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.lines.read_line(&mut line));
        let read = read.await.expect("something in time").expect("read");
        assert!(read > 0, "the stream ended");
        line.trim_end().to_owned()
    }

    /// The next message; the head, the chunks' lengths and the comments are passed over.
    async fn next(&mut self) -> Heard {
        let (mut kind, mut id) = (String::new(), None);
        loop {
            let line = self.line().await;
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (kind, id, serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    /// The next message of a delivery that stands so.
    async fn until(&mut self, status: &str) -> Value {
        loop {
            let (kind, _, delivery) = self.next().await;
            assert_eq!(kind, "delivery");
            if delivery["status"] == status {
                return delivery;
            }
        }
    }
}

#[tokio::test]
async fn the_log_of_all_endpoints_is_read_by_every_filter_and_page_by_page() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "60s").start().await;
    let api = stack.api();
    let (good, bad) = (
        Receiver::start().await,
        Receiver::answering(Reply::status(400)).await,
    );
    let first = api
        .create_endpoint(&good.url("/"), &["bid.created", "bid.accepted"])
        .await;
    let second = api.create_endpoint(&bad.url("/"), &["bid.created"]).await;
    let event = api.publish("bid.created", json!({"id": 1})).await;
    let other = api.publish("bid.accepted", json!({"id": 2})).await;
    for (endpoint, event, status) in [
        (first.id, &event, "succeeded"),
        (second.id, &event, "failed"),
        (first.id, &other, "succeeded"),
    ] {
        api.wait_delivery_status(endpoint, event, status).await;
    }

    let all = api.get("webhook-deliveries").await;
    let ids: Vec<String> = list(&all);
    assert_eq!(ids.len(), 3);
    for (query, count) in [
        (format!("endpointId={}", first.id), 2),
        ("status=failed".to_owned(), 1),
        ("status=succeeded".to_owned(), 2),
        ("status=pending".to_owned(), 0),
        ("eventType=bid.accepted".to_owned(), 1),
        (format!("eventId={event}"), 2),
        (format!("eventId={event}&status=failed"), 1),
        ("until=2020-01-01T00:00:00Z".to_owned(), 0),
    ] {
        let found = api.get(&format!("webhook-deliveries?{query}")).await;
        assert_eq!(list(&found).len(), count, "{query}: {found:#}");
    }
    let mut paged = vec![];
    let mut query = "limit=1".to_owned();
    loop {
        let path = format!("webhook-deliveries?{query}");
        let page = api
            .send(Method::GET, &path, &Value::Null)
            .await
            .expect(200)
            .json();
        paged.extend(list(&page["data"]));
        let Some(cursor) = page["meta"]["pagination"]["cursor"].as_str() else {
            break;
        };
        query = format!("limit=1&cursor={cursor}");
    }
    assert_eq!(paged, ids);

    // A replay is found by its event, and a deleted endpoint's deliveries stay.
    let failed = api.get("webhook-deliveries?status=failed").await;
    let failed = failed[0]["id"].as_str().expect("an id").to_owned();
    let replay = api
        .post(&format!("webhook-deliveries/{failed}/replay"), Value::Null, 202)
        .await;
    api.wait_delivery(replay["id"].as_str().expect("an id"), "failed")
        .await;
    api.delete_endpoint(second.id).await;
    for (query, count) in [(format!("eventId={event}"), 3), ("status=failed".to_owned(), 2)] {
        let found = api.get(&format!("webhook-deliveries?{query}")).await;
        assert_eq!(list(&found).len(), count, "{query}: {found:#}");
    }
    let detail = api.delivery(&failed).await;
    assert_eq!(
        (&detail["endpointUrl"], &detail["profile"]),
        (&Value::Null, &json!("buildworkpro"))
    );

    let stats = api.get("webhook-stats").await;
    assert_eq!(
        stats["totals"],
        json!({"succeeded": 2, "failed": 2, "exhausted": 0, "pending": 0, "skipped": 0})
    );
    assert_eq!(
        (&stats["complete"], &stats["bucketSeconds"]),
        (&json!(true), &json!(1800))
    );
    assert_eq!(stats["buckets"].as_array().map(Vec::len), Some(48));
    assert!(stats["latency"]["p95Ms"].is_u64(), "{stats:#}");
    let of_first = stats["endpoints"]
        .as_array()
        .and_then(|endpoints| {
            endpoints
                .iter()
                .find(|endpoint| endpoint["endpointId"] == first.id)
        })
        .expect("the endpoint");
    assert_eq!(
        (
            &of_first["successRate"],
            &of_first["lastStatus"],
            &of_first["succeeded"]
        ),
        (&json!(1.0), &json!("succeeded"), &json!(2))
    );
    let replays = &api.get("webhook-stats?kind=replay").await["totals"];
    assert_eq!(replays["failed"], 1);
    let others = stack.tenant("Other").await;
    assert_eq!(list(&others.get("webhook-deliveries").await).len(), 0);
    assert_eq!(others.get("webhook-stats").await["totals"]["succeeded"], 0);
}

fn list(page: &Value) -> Vec<String> {
    let rows = page.as_array().expect("a list");
    rows.iter()
        .map(|row| row["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn who_watches_sees_a_delivery_fail_wait_and_succeed() {
    let stack = Stack::builder().setting("RETRY_SCHEDULE", "2s").start().await;
    let api = stack.api();
    let receiver = Receiver::start().await;
    receiver.script("/", [Reply::status(500)]);
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let mut watching = Listener::open(&stack, api, "/api/v1/webhook-deliveries/stream", "").await;
    let others = stack.tenant("Other").await;
    let path = "/api/v1/webhook-deliveries/stream?status=succeeded";
    let mut elsewhere = Listener::open(&stack, &others, path, "").await;

    let event = api.publish("bid.created", json!({"id": 1})).await;
    let failed = watching.until("pending").await;
    assert_eq!(
        (
            &failed["eventId"],
            &failed["responseStatus"],
            &failed["attemptCount"]
        ),
        (&json!(event), &json!(500), &json!(1))
    );
    let succeeded = watching.until("succeeded").await;
    assert_eq!(
        (&succeeded["id"], &succeeded["attemptCount"]),
        (&failed["id"], &json!(2))
    );

    // Recovery says from when on its replays are found.
    receiver.script("/", [Reply::status(400)]);
    let lost = api.publish("bid.created", json!({"id": 2})).await;
    api.wait_delivery_status(endpoint.id, &lost, "failed").await;
    let recovery = api
        .post(
            &format!("webhook-endpoints/{}/recover", endpoint.id),
            json!({"since": "2026-01-01T00:00:00Z"}),
            202,
        )
        .await;
    assert_eq!(recovery["deliveries"], 1);
    let since = recovery["startedAt"].as_str().expect("a time");
    let progress = format!(
        "webhook-stats?endpointId={}&kind=replay&since={since}",
        endpoint.id
    );
    eventually("the recovery is counted", async || {
        (api.get(&progress).await["totals"]["succeeded"] == 1).then_some(())
    })
    .await;

    // Nothing of this was heard next door.
    let stranger = Receiver::start().await;
    others.create_endpoint(&stranger.url("/"), &["bid.created"]).await;
    let own = others.publish("bid.created", json!({"id": 3})).await;
    assert_eq!(elsewhere.until("succeeded").await["eventId"], json!(own));
}

#[tokio::test]
async fn who_listens_hears_each_event_also_across_a_restart() {
    let stack = Stack::start().await;
    let api = stack.api();
    let before = api.publish("bid.created", json!({"id": 0})).await;
    let path = "/api/v1/events/stream?types=bid.created,bid.accepted";
    let mut listener = Listener::open(&stack, api, path, "").await;
    api.publish("bid.rejected", json!({"id": 1})).await;
    let first = api.publish("bid.created", json!({"id": 2})).await;
    let (kind, id, event) = listener.next().await;
    assert_eq!((kind.as_str(), id.as_deref()), ("event", Some(first.as_str())));
    assert_eq!(event, api.get(&format!("events/{first}")).await);

    stack.api_process().terminate();
    let (kind, _, data) = listener.next().await;
    assert_eq!((kind.as_str(), data), ("end", json!({"reason": "shutdown"})));
    assert!(stack.api_process().wait_exit().await.success());
    stack.api_process().start().await;
    let second = api.publish("bid.accepted", json!({"id": 3})).await;
    let mut resumed = Listener::open(&stack, api, path, &format!("Last-Event-ID: {first}\r\n")).await;
    let mut heard = vec![];
    while heard.last() != Some(&second) {
        heard.extend(resumed.next().await.1);
    }
    assert!(
        !heard.contains(&first),
        "what was heard last is not told again: {heard:?}"
    );
    assert!(heard.iter().all(|id| *id == before || *id == second), "{heard:?}");

    for (path, header, status) in [
        ("/api/v1/events/stream?types=nothing", "", "422"),
        ("/api/v1/events/stream", "Last-Event-ID: 17\r\n", "400"),
    ] {
        let answer = refused(&stack, api, path, header).await;
        assert!(answer.contains(status), "{path}: {answer}");
    }
}

/// The status line of a stream that is not given.
async fn refused(stack: &Stack, api: &Api, path: &str, headers: &str) -> String {
    let mut socket = TcpStream::connect(stack.listen()).await.expect("it listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
        api.key()
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).await.expect("read");
    line
}

#[tokio::test]
async fn a_stream_ends_when_its_listener_signs_out() {
    let stack = Stack::start().await;
    let api = stack.api();
    stack
        .user(api.tenant(), "ann@example.com", "member", "correct horse battery")
        .await;
    let credentials = json!({"email": "ann@example.com", "password": "correct horse battery"});
    let signed_in = api.at(Method::POST, "/api/v1/session", &credentials).await;
    let cookie = signed_in.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let headers = format!("Cookie: {cookie}\r\n");
    let mut listener = Listener::open_with(&stack, "/api/v1/webhook-deliveries/stream", &headers).await;
    let mut socket = TcpStream::connect(stack.listen()).await.expect("it listens");
    let sign_out = format!(
        "DELETE /api/v1/session HTTP/1.1\r\nHost: x\r\n{headers}Sec-Fetch-Site: same-origin\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(sign_out.as_bytes()).await.expect("sent");
    let ended = tokio::time::timeout(Duration::from_secs(60), listener.next()).await;
    let (kind, _, data) = ended.expect("it ends");
    assert_eq!((kind.as_str(), data), ("end", json!({"reason": "signed_out"})));
}
