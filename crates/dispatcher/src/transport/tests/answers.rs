//! What a receiver answers, and how slowly, and how badly.

use plumbline_domain::outcome::BODY_KEPT_BYTES_MAX;
use std::time::Instant;
use tokio::sync::mpsc;

use super::receiver::{OK, Receiver, within};
use super::*;

/// What ends for a reason ends before this, on a busy machine too; what does not end, later.
const PROMPT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn the_status_is_the_outcome() {
    let transport = transport(AMPLE);
    for code in [200, 204, 299, 304, 404, 410, 429, 500, 503, 599, 999] {
        let receiver = Receiver::answering(format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(status(post(&transport, &receiver.url()).await), code);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::answering(OK).await;
    let transport = transport(AMPLE);
    for code in [300, 301, 302, 303, 307, 308] {
        let head = format!(
            "HTTP/1.1 {code} Moved\r\nLocation: {}\r\nRefresh: 0; url={0}\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url()
        );
        let receiver = Receiver::answering(head).await;
        assert_eq!(status(post(&transport, &receiver.url()).await), code);
    }
    assert_eq!(elsewhere.connections().await, 0);
}

#[tokio::test]
async fn body_and_headers_arrive_as_they_were_given() {
    let receiver = Receiver::answering(OK).await;
    let body: Bytes = (0..=255u8).cycle().take(256 * 1024).collect();
    let given = AttemptRequest {
        url: EndpointUrl::stored(&format!("http://{}/a%20b/ç?x={{1}}&y='", receiver.address())),
        headers: vec![("BuildWorkPro-Signature", "t=1,v1=abc".to_owned())],
        custom: CustomHeaders::new(vec![
            ("X-Team".to_owned(), "blue sky".to_owned()),
            ("Authorization".to_owned(), "Basic x".to_owned()),
        ]),
        body: body.clone(),
        ..request(&receiver.url())
    };
    let attempted = attempted(&transport(AMPLE), given).await;
    assert_eq!(status(attempted.outcome), 200);

    let [received] = &receiver.requests()[..] else {
        panic!("one request");
    };
    let expected = format!(
        "POST /a%20b/%C3%A7?x={{1}}&y=%27 HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         User-Agent: BuildWorkPro-Webhooks/1.0\r\nAccept-Encoding: identity\r\nBuildworkpro-Signature: t=1,v1=abc\r\n\
         X-Team: blue sky\r\nAuthorization: Basic x\r\nContent-Length: 262144\r\n\r\n",
        receiver.address()
    );
    assert_eq!(received.head, expected);
    assert!(received.body == body, "the body differs");

    let sent = attempted
        .request_headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let expected = [
        ("Content-Type", "application/json"),
        ("User-Agent", "BuildWorkPro-Webhooks/1.0"),
        ("Accept-Encoding", "identity"),
        ("BuildWorkPro-Signature", "t=1,v1=abc"),
        // The log is read by more people than know these.
        ("X-Team", "[hidden]"),
        ("Authorization", "[hidden]"),
    ];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_the_log_needs_of_an_answer_is_kept() {
    let body = "é".repeat(BODY_KEPT_BYTES_MAX);
    let head = format!(
        "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Type: text/plain\r\nX-Request-Id: {}\r\nSet-Cookie: a=b\r\n\
         Content-Length: {}\r\n\r\n",
        "r".repeat(3_000),
        body.len()
    );
    let receiver = Receiver::answering(head + &body).await;
    let transport = transport(AMPLE);
    let answer = answer(post(&transport, &receiver.url()).await);
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    let expected = [
        ("content-type", "text/plain".to_owned()),
        ("x-request-id", "r".repeat(1_024)),
        ("retry-after", "7".to_owned()),
    ];
    assert_eq!(
        answer.headers,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    assert_eq!(answer.body, body.as_bytes()[..BODY_KEPT_BYTES_MAX]);

    // A body that was read to its end leaves the connection good for more; and a cookie is not sent back.
    assert_eq!(status(post(&transport, &receiver.url()).await), 503);
    assert_eq!(receiver.connections().await, 1);
    assert!(
        receiver
            .requests()
            .iter()
            .all(|request| request.header("Cookie").is_none())
    );
}

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_came() {
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 0xff, 0, b'x'];
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n";
    let receiver = Receiver::answering([head.as_bytes(), &bomb].concat()).await;
    let answer = answer(post(&transport(AMPLE), &receiver.url()).await);
    assert_eq!(answer.body, bomb[..]);
}

#[tokio::test]
async fn a_chunked_body_is_read() {
    let receiver = Receiver::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n",
    )
    .await;
    let transport = transport(AMPLE);
    for _ in 0..3 {
        assert_eq!(answer(post(&transport, &receiver.url()).await).body, "abcde");
    }
    assert_eq!(receiver.connections().await, 1);
}

#[tokio::test]
async fn headers_that_trickle_do_not_outlast_the_deadline() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\n").await;
        connection.trickle(b"X-Slow: 1\r\n").await;
    })
    .await;
    let attempted = attempted(&transport(SHORT), request(&receiver.url())).await;
    assert!(
        attempted.duration >= SHORT && attempted.duration < PROMPT,
        "{:?}",
        attempted.duration
    );
    let expected = format!(
        "timed out after 300ms waiting for the answer of {}",
        receiver.address()
    );
    assert_eq!(failure(attempted.outcome), (FailureCode::Timeout, expected));
}

#[tokio::test]
async fn informational_answers_that_trickle_do_not_outlast_the_deadline() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.request().await;
        connection
            .trickle(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
            .await;
    })
    .await;
    let attempted = attempted(&transport(SHORT), request(&receiver.url())).await;
    assert_eq!(failure(attempted.outcome).0, FailureCode::Timeout);
}

/// Reading them until the deadline would keep a processor busy for as long.
#[tokio::test]
async fn a_storm_of_what_is_no_answer_is_cut_off_long_before_the_deadline() {
    let transport = transport(AMPLE);
    for storm in [
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(60_000)),
        "HTTP/1.1 199 \r\n\r\n".to_owned(),
    ] {
        let (sent, receiver) = flooding("", storm).await;
        let attempted = attempted(&transport, request(&receiver.url())).await;
        let expected = "the receiver sent more than 256 KiB for a request".to_owned();
        assert_eq!(failure(attempted.outcome), (FailureCode::BadResponse, expected));
        assert!(sent.all().await < FLOOD_BYTES_MAX);
    }
    assert_eq!(transport.open_connections(), 0);
}

/// Ways to send a body for ever; of each, the status counts and what is read is bounded.
#[tokio::test]
async fn whatever_floods_a_body_is_cut_off() {
    let transport = transport(AMPLE);
    for (head, flood) in [
        // Until the connection is closed.
        ("\r\n", "x".repeat(4_096)),
        ("Content-Length: 9223372036854775807\r\n\r\n", "x".repeat(4_096)),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            format!("1000\r\n{:4096}\r\n", "x"),
        ),
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n".repeat(100)),
        (
            "Transfer-Encoding: chunked\r\n\r\n",
            "1;extension=of-it\r\nx\r\n".repeat(100),
        ),
        ("Transfer-Encoding: chunked\r\n\r\n1;", "x".repeat(4_096)),
        (
            "Transfer-Encoding: chunked\r\n\r\n0\r\n",
            "X-Trailer: 1\r\n".repeat(100),
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ",
            "x".repeat(4_096),
        ),
        ("Transfer-Encoding: chunked\r\n\r\n", "0".repeat(4_096)),
        ("Transfer-Encoding: gzip\r\n\r\n", "\u{1f}".repeat(4_096)),
        (
            "Transfer-Encoding: gzip, chunked\r\nContent-Encoding: br\r\n\r\n",
            format!("1000\r\n{:4096}\r\n", "x"),
        ),
    ] {
        let (sent, receiver) = flooding(&format!("HTTP/1.1 202 Accepted\r\n{head}"), flood).await;
        let attempted = attempted(&transport, request(&receiver.url())).await;
        let answer = answer(attempted.outcome);
        assert_eq!(answer.status.0, 202, "{head:?}");
        assert!(answer.body.len() <= BODY_KEPT_BYTES_MAX, "{head:?}");
        assert!(sent.all().await < FLOOD_BYTES_MAX, "{head:?}");
    }
    assert_eq!(transport.open_connections(), 0);
}

/// Far more than the kernels on both sides hold of what nobody reads, and far less than a second of a flood.
const FLOOD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a flooding receiver got rid of before it was cut off.
struct Sent(mpsc::UnboundedReceiver<usize>);

impl Sent {
    async fn all(mut self) -> usize {
        within(self.0.recv())
            .await
            .expect("the receiver could write for ever")
    }
}

/// A receiver that begins its answer so and then repeats something for as long as it can.
async fn flooding(head: &str, flood: String) -> (Sent, Receiver) {
    let (head, (done, sent)) = (head.to_owned(), mpsc::unbounded_channel());
    let receiver = Receiver::start(move |mut connection, _| {
        let (head, flood, done) = (head.clone(), flood.clone(), done.clone());
        async move {
            connection.request().await;
            connection.send(head).await;
            let mut bytes = 0;
            while connection.send(&flood).await {
                bytes += flood.len();
                if bytes > FLOOD_BYTES_MAX {
                    break;
                }
            }
            let _ = done.send(bytes);
        }
    })
    .await;
    (Sent(sent), receiver)
}

#[tokio::test]
async fn an_informational_answer_is_not_the_answer() {
    let receiver = Receiver::answering(format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}")).await;
    assert_eq!(status(post(&transport(AMPLE), &receiver.url()).await), 200);
}

#[tokio::test]
async fn a_body_that_trickles_is_left_after_a_second() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.request().await;
        connection
            .send("HTTP/1.1 202 OK\r\nContent-Length: 100000\r\n\r\n")
            .await;
        connection.trickle(b"x").await;
    })
    .await;
    let transport = transport(AMPLE);
    let began = Instant::now();
    let answer = answer(post(&transport, &receiver.url()).await);
    assert_eq!(answer.status.0, 202);
    assert!(!answer.body.is_empty());
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < PROMPT, "{took:?}");
    // The rest of the body would be taken for the next answer.
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn a_body_that_trickles_does_not_outlast_the_deadline() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\n\r\n").await;
        connection.trickle(b"x").await;
    })
    .await;
    let attempted = attempted(&transport(SHORT), request(&receiver.url())).await;
    assert!(
        attempted.duration < Duration::from_millis(900),
        "{:?}",
        attempted.duration
    );
    assert_eq!(status(attempted.outcome), 200);
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    let (cut, mut was_cut) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut connection, _| {
        let cut = cut.clone();
        async move {
            connection.request().await;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            while connection.send(format!("1000\r\n{:4096}\r\n", "x")).await {}
            let _ = cut.send(());
        }
    })
    .await;
    let transport = transport(AMPLE);
    let answer = answer(post(&transport, &receiver.url()).await);
    assert_eq!((answer.status.0, answer.body.len()), (200, BODY_KEPT_BYTES_MAX));
    within(was_cut.recv())
        .await
        .expect("the receiver could write for ever");
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_counts() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.head().await;
        connection
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            .await;
        std::future::pending().await
    })
    .await;
    let body = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    let transport = transport(AMPLE);
    let large = AttemptRequest {
        body,
        ..request(&receiver.url())
    };
    let attempted = attempted(&transport, large).await;
    assert_eq!(status(attempted.outcome), 413);
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_response() {
    let giant = format!("HTTP/1.1 200 OK\r\nX-Giant: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: 1\r\n".repeat(200));
    let transport = transport(AMPLE);
    for bytes in [
        "hello\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/3.7 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSpaced : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nFolded: 1\r\n 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n",
        &giant,
        &many,
    ] {
        let receiver = Receiver::answering(bytes).await;
        let (code, message) = failure(post(&transport, &receiver.url()).await);
        assert_eq!(code, FailureCode::BadResponse, "{message}: {bytes:.60}");
    }
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn a_server_that_speaks_first_is_not_http() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.send("220 mail.example.com ESMTP\r\n").await;
        connection.closed().await;
    })
    .await;
    assert_eq!(
        failure(post(&transport(AMPLE), &receiver.url()).await).0,
        FailureCode::BadResponse
    );
}

#[tokio::test]
async fn headers_may_be_large_within_reason() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nX-Large: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(50_000)
    );
    let receiver = Receiver::answering(head).await;
    assert_eq!(status(post(&transport(AMPLE), &receiver.url()).await), 200);
}
