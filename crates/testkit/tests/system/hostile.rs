//! What strangers write stays text: no line of a log is theirs.

use hyper::Method;
use plumbline_testkit::{Receiver, Reply, Stack};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Begins another line, wherever somebody writes it as it is; and colours the terminal of who reads that.
const EVIL: &str =
    "x\nFORGED 2026-11-25T00:00:00Z ERROR all is lost\r\nFORGED\u{1b}[31m\u{85}FORGED\u{2028}FORGED\u{8}";

/// Put it wherever a stranger can put text, and return the logs.
async fn logs_of_everything(format: &str) -> (String, String) {
    let stack = Stack::builder()
        .setting("LOG", "trace")
        .setting("LOG_FORMAT", format)
        .setting("RETRY_SCHEDULE", "1h")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.always_on(
        "/evil",
        Reply::status(500)
            .header("content-type", "FORGED\u{1b}[31m")
            .body(EVIL),
    );
    let malformed = "HTTP/1.1 FORGED\u{1b}[31m\nFORGED: \u{1b}\r\n\r\n";
    receiver.always_on("/malformed", Reply::Raw(malformed.into()));
    let api = stack.api();
    let url = receiver.url("/");
    let with = |name: &str, value: Value| json!({"url": url, "eventTypes": ["bid.created"], name: value});
    let record = |name: &str| json!({name: EVIL});
    for (path, body) in [
        ("webhook-endpoints", with("description", json!(EVIL))),
        ("webhook-endpoints", with(EVIL, json!(1))),
        ("webhook-endpoints", with("headers", json!({EVIL: "x"}))),
        ("webhook-endpoints", with("headers", json!({"X-A": EVIL}))),
        ("webhook-endpoints", with("eventTypes", json!([EVIL]))),
        (
            "webhook-endpoints",
            json!({"url": format!("{url}{EVIL}"), "eventTypes": ["bid.created"]}),
        ),
        ("webhook-event-types", json!({"name": EVIL})),
        (
            "webhook-event-types",
            json!({"name": "own.type", "description": EVIL, "schema": {"required": [EVIL]}}),
        ),
        ("events", json!({"type": EVIL, "data": {}})),
        ("events", json!({"type": "own.type", "data": {EVIL: EVIL}})),
        (
            "events",
            json!({"type": "bid.created", "data": {EVIL: EVIL}, "occurredAt": EVIL}),
        ),
        ("contacts", record("firstName")),
        ("companies", record("name")),
        ("bids", record("title")),
        ("session", json!({"email": EVIL, "password": EVIL})),
    ] {
        let answer = api.send(Method::POST, path, &body).await;
        assert!(answer.status.as_u16() < 500, "{path}: {}", answer.text());
    }
    let escaped: String = EVIL.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in [
        format!("contacts/{escaped}"),
        format!("webhook-event-types/{escaped}"),
        format!("events?type={escaped}&{escaped}={escaped}&cursor={escaped}"),
        escaped.clone(),
    ] {
        let answer = api.send(Method::GET, &path, &Value::Null).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }

    // What no client library would send.
    for head in [
        "GET /\u{1b}[31mFORGED HTTP/1.1\r\nhost: a\r\n",
        "FORGED\u{1b} / HTTP/1.1\r\nhost: a\r\n",
        "FORGED /api/v1/me HTTP/1.1\r\nhost: a\r\n",
        "GET /api/v1/me HTTP/1.1\r\nhost: FORGED\u{1b}[31m\r\nauthorization: Bearer \u{1b}[31mFORGED\r\n",
        "GET /api/v1/me HTTP/1.1\r\nhost: a\r\nuser-agent: a\tFORGED\r\n FORGED: folded\r\n",
        "GET /api/v1/me HTTP/1.1\r\nhost: a\r\ncookie: plumbline_session=FORGED\u{c3}\u{28}\r\nx-forwarded-for: FORGED\r\n",
    ] {
        let mut stream = TcpStream::connect(stack.listen()).await.expect("it listens");
        stream
            .write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
            .await
            .expect("written");
        // A reset is an answer, too.
        let _ = stream.read_to_end(&mut vec![]).await;
    }

    // What a receiver answers, and where it is.
    for path in ["/evil", "/malformed", &format!("/{escaped}")] {
        let endpoint = api.create_endpoint(&receiver.url(path), &["bid.created"]).await;
        let event = api.publish("bid.created", json!({EVIL: EVIL})).await;
        api.wait_attempts(endpoint.id, &event, 1).await;
    }
    (stack.logs(), stack.cli_log())
}

#[tokio::test]
async fn no_text_of_a_stranger_is_a_line_of_the_log() {
    let (logs, of_cli) = logs_of_everything("text").await;
    assert!(logs.contains("FORGED"), "what they wrote is there, as text");
    for text in [&logs, &of_cli] {
        let forged = text
            .split(['\n', '\r', '\u{85}', '\u{2028}'])
            .find(|line| line.trim_start().starts_with("FORGED"));
        assert_eq!(forged, None, "a line that none of us wrote");
        let control = text.chars().find(|c| c.is_control() && !['\n', '\t'].contains(c));
        assert_eq!(control, None, "what a terminal obeys");
    }
}

#[tokio::test]
async fn every_line_of_a_log_for_machines_is_one_object() {
    let (logs, _) = logs_of_everything("json").await;
    assert!(logs.contains("FORGED"), "what they wrote is there, as text");
    for line in logs.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
        // The fields of a line cannot be a stranger's either.
        assert!(
            line.as_object()
                .expect("an object")
                .keys()
                .all(|key| !key.contains("FORGED")),
            "{line}"
        );
    }
}
