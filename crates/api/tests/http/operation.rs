//! The process: what it answers to strangers, how it starts without its servers, and how it ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{PATIENCE, Rig, with_database, with_server};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_problem_too() {
    with_server(async |rig| {
        let stranger = rig.stranger();
        for path in [
            "/nothing",
            "/api/v1",
            "/api/v1/",
            "/api/v1/events/",
            "/api/v2/events",
            "/api/v1/webhook-endpoints/1/fly",
        ] {
            stranger.get(path).await.problem(404, "not_found");
        }
        let refused = stranger.delete("/api/v1/events").await;
        refused.problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), "POST, GET");
        let page = stranger.get("/").await;
        assert!(page.status.is_success() && page.text().contains("/api/v1/openapi.json"));
        assert!(page.header("content-type").starts_with("text/html"));

        let document = stranger.get("/api/v1/openapi.json").await;
        assert_eq!(document.header("content-type"), "application/json");
        let document: serde_json::Value = serde_json::from_slice(&document.body).expect("JSON");
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1"))
        );
        assert!(document["paths"]["/api/v1/events"]["post"].is_object());
        assert_eq!(
            stranger.get("/").await.header("access-control-allow-origin"),
            "",
            "no CORS"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_it_is_not_ready_and_still_accepts() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        client
            .post("/api/v1/events", r#"{"type":"bid.created","data":{}}"#)
            .await
            .expect(202);
        let ready = rig.admin("/readyz").await;
        assert_eq!(ready.status, 503);
        assert!(
            ready.text().contains(r#""check":"broker""#) && !ready.text().contains("database"),
            "{}",
            ready.text()
        );
        assert_eq!(rig.admin("/livez").await.status, 200);
        let counted = async {
            while !rig
                .admin("/metrics")
                .await
                .text()
                .contains("plumbline_events_accepted_total 1")
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, counted)
            .await
            .expect("the event is counted");
        let metrics = rig.admin("/metrics").await.text();
        assert!(
            metrics.contains(
                r#"plumbline_http_requests_total{method="POST",route="/api/v1/events",status="2xx"} 1"#
            ),
            "{metrics}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_late_is_waited_for() {
    with_database(async |url| {
        // Nobody listens there until `forward` does.
        let door = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port")
            .local_addr()
            .expect("bound");
        let mut late_url = url::Url::parse(url).expect("a URL");
        let database = format!(
            "{}:{}",
            late_url.host_str().expect("a host"),
            late_url.port().expect("a port")
        );
        late_url.set_port(Some(door.port())).expect("a port");
        let rig = Rig::start(late_url.as_str(), &[]).await;
        let mut stranger = rig.stranger();
        stranger.key = Some(format!("plk_live_{}", "0".repeat(64)));
        let refused = stranger.get("/api/v1/me").await;
        refused.problem(503, "service_unavailable");
        assert_eq!(refused.header("retry-after"), "1");
        assert!(rig.admin("/readyz").await.text().contains("database"));

        let forwarding = tokio::spawn(forward(door, database));
        rig.until_database_is_ready().await;
        rig.tenant("*").await.endpoint().await;
        rig.end().await;
        forwarding.abort();
    })
    .await;
}

async fn forward(door: SocketAddr, database: String) {
    let listener = TcpListener::bind(door).await.expect("still free");
    loop {
        let (mut inside, _) = listener.accept().await.expect("accepted");
        let mut outside = TcpStream::connect(&database)
            .await
            .expect("the tests' PostgreSQL runs");
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut inside, &mut outside).await });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_runs_and_waits_for_no_idle_connection() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let path = client.endpoint().await;
        let mut idle = TcpStream::connect(rig.address).await.expect("it listens");
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .expect("written");
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.expect("answered");
        // A deletion takes a second, in which the drain begins.
        let (deleted, ()) = tokio::join!(client.delete(&path), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            rig.stop.trigger();
        });
        deleted.expect(204);
        let began = Instant::now();
        let mut rest = vec![];
        let _ = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut rest))
            .await
            .expect("closed");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(
            TcpStream::connect(rig.address).await.is_err(),
            "it accepts nobody any more"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unauthorised_flood_is_not_read() {
    with_server(async |rig| {
        // The answer comes although 16 MiB were announced and few were sent.
        let mut socket = TcpStream::connect(rig.address).await.expect("it listens");
        let head = "POST /api/v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 16000000\r\n\r\n";
        socket.write_all(head.as_bytes()).await.expect("written");
        socket.write_all(&[b' '; 1024]).await.expect("written");
        let mut answer = [0; 12];
        tokio::time::timeout(PATIENCE, socket.read_exact(&mut answer)).await.expect("in time").expect("answered");
        assert_eq!(&answer, b"HTTP/1.1 401");
        // Sent whole, it still gets an answer and no reset.
        rig.stranger().post("/api/v1/events", " ".repeat(4 * 1024 * 1024)).await.problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_is_cut_off() {
    with_server(async |rig| {
        let mut socket = TcpStream::connect(rig.address).await.expect("it listens");
        socket
            .write_all(b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nx-slow")
            .await
            .expect("written");
        let mut answer = vec![];
        let closed = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "a half-sent head must not hold a connection");
    })
    .await;
}
