//! Connections: kept, used again, closed, broken.

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc};

use super::receiver::{OK, Receiver, within};
use super::*;

#[tokio::test]
async fn a_connection_is_used_again() {
    let receiver = Receiver::answering(OK).await;
    let transport = transport(AMPLE);
    for _ in 0..100 {
        assert_eq!(status(post(&transport, &receiver.url()).await), 200);
    }
    assert_eq!(transport.open_connections(), 1);
    assert_eq!(receiver.connections().await, 1);
    assert_eq!(receiver.requests().len(), 100);
}

#[tokio::test]
async fn an_attempt_says_where_its_time_went_and_what_it_did_without() {
    let receiver = Receiver::answering(OK).await;
    let transport = transport(AMPLE);
    let first = attempted(&transport, request(&receiver.url())).await;
    let parts = first.timing.parts().map(|part| part.is_some());
    assert_eq!(
        parts,
        [false, true, false, true, true],
        "to an address, in the clear"
    );
    let sum: Duration = first.timing.parts().into_iter().flatten().sum();
    assert!(sum <= first.duration, "{first:?}");
    let second = attempted(&transport, request(&receiver.url())).await;
    let parts = second.timing.parts().map(|part| part.is_some());
    assert_eq!(parts, [false, false, false, true, true], "a kept connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_once_use_connections_of_their_own_and_keep_them() {
    let receiver = Receiver::answering(OK).await;
    let transport = transport(AMPLE);
    for _ in 0..10 {
        let posts = join_all((0..20).map(async |_| status(post(&transport, &receiver.url()).await)));
        assert_eq!(posts.await, [200; 20]);
    }
    let connections = receiver.connections().await;
    assert!((1..=20).contains(&connections), "{connections}");
    assert_eq!(transport.open_connections(), connections);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let receiver = Receiver::answering(OK).await;
    for (config, kept) in [
        (
            TransportConfig {
                idle_per_origin_max: 3,
                ..TransportConfig::new(loopback(), AMPLE)
            },
            3,
        ),
        (
            TransportConfig {
                kept_max: 2,
                ..TransportConfig::new(loopback(), AMPLE)
            },
            2,
        ),
        (
            TransportConfig {
                idle_timeout: Duration::ZERO,
                ..TransportConfig::new(loopback(), AMPLE)
            },
            0,
        ),
    ] {
        let transport = Transport::new(config, Arc::new(Names::default()));
        join_all((0..10).map(async |_| post(&transport, &receiver.url()).await)).await;
        assert_eq!(transport.open_connections(), kept);
    }
}

/// The test closes the connection itself, with no wait before the next request: not even tokio has heard of it then.
#[tokio::test]
async fn a_connection_closed_while_unused_costs_nothing() {
    let (give, mut given) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut connection, _| {
        let give = give.clone();
        async move {
            connection.request().await;
            connection.send(OK).await;
            let _ = give.send(connection);
        }
    })
    .await;
    let transport = transport(AMPLE);
    for number in 1..10 {
        assert_eq!(status(post(&transport, &receiver.url()).await), 200);
        assert_eq!(transport.open_connections(), 1);
        assert_eq!(
            receiver.requests().len(),
            number,
            "each request was received once"
        );
        drop(within(given.recv()).await.expect("a connection"));
    }
    assert_eq!(receiver.connections().await, 9);
}

#[tokio::test]
async fn a_request_that_may_have_been_received_is_not_sent_again() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.request().await;
        connection.send(OK).await;
        connection.request().await;
    })
    .await;
    let transport = transport(AMPLE);
    assert_eq!(status(post(&transport, &receiver.url()).await), 200);
    let expected = format!(
        "{} closed the connection before its answer was complete",
        receiver.address()
    );
    assert_eq!(
        failure(post(&transport, &receiver.url()).await),
        (FailureCode::Reset, expected)
    );
    assert_eq!(receiver.connections().await, 1);
    assert_eq!(receiver.requests().len(), 2);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_spoil_a_connection() {
    let (speak, spoken) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let receiver = Receiver::start({
        let signals = (speak.clone(), spoken.clone());
        move |mut connection, number| {
            let (speak, spoken) = signals.clone();
            async move {
                connection.request().await;
                connection.send(OK).await;
                if number == 0 {
                    speak.notified().await;
                    connection
                        .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
                        .await;
                    spoken.notify_one();
                }
                connection.request().await;
            }
        }
    })
    .await;
    let transport = transport(AMPLE);
    assert_eq!(status(post(&transport, &receiver.url()).await), 200);
    speak.notify_one();
    within(spoken.notified()).await;
    assert_eq!(answer(post(&transport, &receiver.url()).await).body, "ok");
    assert_eq!(receiver.connections().await, 2);
}

/// An answer behind the answer, in the same bytes: it is nobody's, least of all the next request's.
#[tokio::test]
async fn an_answer_too_many_is_never_taken_for_the_next_requests() {
    const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let transport = transport(AMPLE);
    for (honest, body) in [
        (OK, "ok"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "ok",
        ),
        // Where it ends depends on the reader.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "ok",
        ),
    ] {
        for forged in [FORGED, "x", "\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
            let receiver = Receiver::answering(format!("{honest}{forged}")).await;
            for number in 1..4 {
                let answer = answer(post(&transport, &receiver.url()).await);
                assert_eq!(answer.body, body, "{honest:?} and {forged:?}");
                assert_eq!(
                    receiver.requests().len(),
                    number,
                    "each request was received once"
                );
            }
            assert_eq!(receiver.connections().await, 3, "{honest:?} and {forged:?}");
        }
    }
    assert_eq!(transport.open_connections(), 0);
}

/// Its end is where two headers that contradict each other say: no second request follows it.
#[tokio::test]
async fn an_answer_of_two_lengths_ends_its_connection() {
    let receiver = Receiver::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let transport = transport(AMPLE);
    for _ in 0..2 {
        assert_eq!(answer(post(&transport, &receiver.url()).await).body, "ok");
    }
    assert_eq!(receiver.connections().await, 2);
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn a_reset_before_the_headers_are_complete_is_a_reset() {
    for sent in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let receiver = Receiver::start(move |mut connection, _| async move {
            connection.request().await;
            connection.send(sent).await;
            connection.reset();
        })
        .await;
        let expected = format!(
            "connection reset by {} before its answer was complete",
            receiver.address()
        );
        assert_eq!(
            failure(post(&transport(AMPLE), &receiver.url()).await),
            (FailureCode::Reset, expected)
        );
    }
}

#[tokio::test]
async fn an_end_before_the_headers_are_complete_is_a_reset() {
    for sent in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let receiver = Receiver::start(move |mut connection, _| async move {
            connection.request().await;
            connection.send(sent).await;
        })
        .await;
        assert_eq!(
            failure(post(&transport(AMPLE), &receiver.url()).await).0,
            FailureCode::Reset
        );
    }
    let receiver = Receiver::start(async |_, _| ()).await;
    assert_eq!(
        failure(post(&transport(AMPLE), &receiver.url()).await).0,
        FailureCode::Reset
    );
}

#[tokio::test]
async fn g21_a_reset_after_the_headers_leaves_the_status() {
    let receiver = Receiver::start(async |mut connection, _| {
        connection.request().await;
        connection
            .send("HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
        connection.reset();
    })
    .await;
    let transport = transport(AMPLE);
    assert_eq!(status(post(&transport, &receiver.url()).await), 500);
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn a_connection_that_the_receiver_gives_up_is_not_used_again() {
    let transport = transport(AMPLE);
    for bytes in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 0\r\n\r\n",
    ] {
        let receiver = Receiver::answering(bytes).await;
        for _ in 0..2 {
            answer(post(&transport, &receiver.url()).await);
        }
        assert_eq!(receiver.connections().await, 2, "{bytes}");
    }
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn an_unused_connection_is_closed() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut connection, _| {
        let closed = closed.clone();
        async move {
            connection.request().await;
            connection.send(OK).await;
            connection.closed().await;
            let _ = closed.send(());
        }
    })
    .await;
    let config = TransportConfig {
        idle_timeout: SHORT,
        ..TransportConfig::new(loopback(), AMPLE)
    };
    let transport = Transport::new(config, Arc::new(Names::default()));
    assert_eq!(status(post(&transport, &receiver.url()).await), 200);
    assert_eq!(transport.open_connections(), 1);
    within(was_closed.recv()).await.expect("the receiver sees it");
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn an_abandoned_attempt_closes_its_connection() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut connection, _| {
        let events = events.clone();
        async move {
            connection.request().await;
            let _ = events.send("received");
            connection.closed().await;
            let _ = events.send("closed");
        }
    })
    .await;
    let transport = transport(AMPLE);
    let attempt = tokio::spawn({
        let (transport, url) = (transport.clone(), receiver.url());
        async move { post(&transport, &url).await }
    });
    assert_eq!(within(seen.recv()).await, Some("received"));
    attempt.abort();
    assert_eq!(within(seen.recv()).await, Some("closed"));
    assert_eq!(transport.open_connections(), 0);
}

#[tokio::test]
async fn the_last_clone_closes_what_was_kept() {
    let (closed, mut was_closed) = mpsc::unbounded_channel();
    let receiver = Receiver::start(move |mut connection, _| {
        let closed = closed.clone();
        async move {
            connection.request().await;
            connection.send(OK).await;
            connection.closed().await;
            let _ = closed.send(());
        }
    })
    .await;
    let transport = transport(AMPLE);
    assert_eq!(status(post(&transport, &receiver.url()).await), 200);
    drop(transport);
    within(was_closed.recv()).await.expect("the receiver sees it");
}

/// The environment of a process cannot be changed safely, so this test runs itself in another one.
#[tokio::test]
async fn proxies_in_the_environment_are_ignored() {
    const NAME: &str = "proxies_in_the_environment_are_ignored";
    if std::env::var_os("HTTP_PROXY").is_some() {
        let receiver = Receiver::answering(OK).await;
        assert_eq!(status(post(&transport(AMPLE), &receiver.url()).await), 200);
        assert_eq!(receiver.requests().len(), 1);
        return;
    }
    let proxy = Receiver::answering(OK).await;
    let mut again = std::process::Command::new(std::env::current_exe().expect("this test"));
    for variable in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        again.env(variable, format!("http://{}", proxy.address()));
    }
    let thread = std::thread::current();
    let full_name = thread
        .name()
        .filter(|name| name.ends_with(NAME))
        .map(str::to_owned);
    let full_name = full_name.unwrap_or_else(|| format!("transport::tests::connections::{NAME}"));
    let output = tokio::task::spawn_blocking(move || again.args(["--exact", &full_name]).output()).await;
    let output = output.expect("not cancelled").expect("this test again");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}"
    );
    assert_eq!(proxy.connections().await, 0);
}

#[tokio::test]
async fn a_request_whose_time_is_over_is_not_sent_and_leaves_its_connection_to_the_next() {
    let receiver = Receiver::answering(OK).await;
    let transport = transport(AMPLE);
    let over = AttemptRequest {
        not_after: Some(Instant::now()),
        ..request(&receiver.url())
    };
    // Once with a new connection, once with the kept one.
    for _ in 0..2 {
        assert_eq!(transport.post(over.clone()).await.err(), Some(Missed));
        assert_eq!(transport.open_connections(), 1);
    }
    let in_time = AttemptRequest {
        not_after: Some(Instant::now() + AMPLE),
        ..request(&receiver.url())
    };
    assert_eq!(status(attempted(&transport, in_time).await.outcome), 200);
    assert_eq!(receiver.connections().await, 1);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_dial_that_fails_is_a_failed_attempt_even_if_it_took_too_long() {
    let gone = std::net::TcpListener::bind("127.0.0.9:0").expect("an address of this machine");
    let url = format!("http://{}/", gone.local_addr().expect("it is bound"));
    drop(gone);
    let over = AttemptRequest {
        not_after: Some(Instant::now()),
        ..request(&url)
    };
    let outcome = attempted(&transport(AMPLE), over).await.outcome;
    assert_eq!(failure(outcome).0, FailureCode::ConnectFailed);
}
