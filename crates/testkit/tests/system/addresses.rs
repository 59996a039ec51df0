//! No request ever leaves for an address that the policy forbids, whatever DNS says and whenever it changes its mind.

use hyper::Method;
use plumbline_testkit::dns::NameAnswer;
use plumbline_testkit::{FakeDns, Gate, Receiver, Reply, Stack};
use serde_json::json;

use crate::{attempts, ends, text};

const PUBLIC: &str = "93.184.215.14";

#[tokio::test]
async fn s0_09_s0_40_only_public_https_urls_can_be_registered() {
    let dns = FakeDns::start().await;
    dns.resolve("public.example.test", &[PUBLIC, "2606:2800:21f:cb07::1"]);
    dns.resolve("private.example.test", &["10.1.2.3"]);
    dns.resolve("half.example.test", &[PUBLIC, "127.0.0.1"]);
    dns.resolve("six.example.test", &["fd00::1"]);
    dns.resolve("mapped.example.test", &["::ffff:10.0.0.1"]);
    dns.set("lost.example.test", NameAnswer::NoSuchName);
    dns.alias("alias.example.test", "public.example.test");
    dns.alias("hidden.example.test", "second.example.test");
    dns.alias("second.example.test", "private.example.test");
    dns.alias("metadata.example.test", "metadata.google.internal");
    dns.resolve("metadata.google.internal", &["169.254.169.254"]);
    let stack = Stack::builder().public_addresses_only().dns(&dns).start().await;
    let register = async |url: &str| {
        let body = json!({"url": url, "eventTypes": ["bid.created"]});
        stack.api().send(Method::POST, "webhook-endpoints", &body).await
    };

    for url in [
        "https://public.example.test/hook",
        "https://public.example.test:8443/hook",
        "https://alias.example.test/hook",
        "https://public.example.test./hook",
        // What does not resolve now may resolve later, and is judged then.
        "https://lost.example.test/hook",
        "https://1.1.1.1/hook",
    ] {
        register(url).await.expect(201);
    }
    let long = format!("https://public.example.test/{}", "x".repeat(2_048));
    let refused = [
        "http://public.example.test/hook",
        "ftp://public.example.test/hook",
        "not a url",
        "",
        "https://public.example.test:8080/hook",
        "https://user:password@public.example.test/hook",
        "https://@public.example.test/hook",
        "https://public.example.test/hook#part",
        "https://private.example.test/hook",
        "https://half.example.test/hook",
        "https://six.example.test/hook",
        "https://mapped.example.test/hook",
        "https://hidden.example.test/hook",
        "https://metadata.example.test/hook",
        "https://private.example.test./hook",
        "https://localhost/hook",
        "https://hooks.localhost/hook",
        "https://printer.local/hook",
        "https://metadata.google.internal/hook",
        "https://intranet/hook",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://2130706433/hook",
        "https://0x7f000001/hook",
        "https://0177.0.0.1/hook",
        "https://10.0.0.1/hook",
        "https://172.16.0.1/hook",
        "https://192.168.1.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/hook",
        "https://0.0.0.0/hook",
        "https://224.0.0.1/hook",
        "https://255.255.255.255/hook",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://[64:ff9b::7f00:1]/hook",
        "https://[fe80::1]/hook",
        "https://[fd00::1]/hook",
        "https://[2002:7f00:1::]/hook",
        &long,
    ];
    for url in refused {
        let problem = register(url).await;
        assert_eq!(problem.status.as_u16(), 422, "{url}: {}", problem.text());
        let problem = problem.json();
        assert_eq!(problem["code"], "validation_failed", "{url}");
        assert_eq!(problem["errors"][0]["field"], "url", "{url}: {problem:#}");
    }

    // Neither by a change.
    let endpoint = stack
        .api()
        .create_endpoint("https://public.example.test/hook", &["bid.created"])
        .await;
    let path = format!("webhook-endpoints/{}", endpoint.id);
    for url in [
        "https://private.example.test/hook",
        "http://public.example.test/hook",
        "https://127.0.0.1/",
    ] {
        stack
            .api()
            .send(Method::PATCH, &path, &json!({"url": url}))
            .await
            .expect(422);
    }
    assert_eq!(
        text(&stack.api().endpoint(endpoint.id).await, "url"),
        "https://public.example.test/hook"
    );
}

#[tokio::test]
async fn s0_41_a_name_that_turns_private_after_registration_is_not_dialled() {
    let dns = FakeDns::start().await;
    // The trap listens where the name will lead; its port is allowed, so only its address can save it.
    let trap = Receiver::start().await;
    let port = trap.addr().port();
    let stack = Stack::builder()
        .public_addresses_only()
        .setting("ALLOWED_PORTS", &format!("443,{port}"))
        .setting("RETRY_SCHEDULE", "1200ms,10ms")
        .setting("RETRY_JITTER", "0")
        .dns(&dns)
        .start()
        .await;
    dns.resolve("rebind.example.test", &[PUBLIC]);
    dns.set("later.example.test", NameAnswer::NoSuchName);
    dns.alias("alias.example.test", "rebind.example.test");
    let mut endpoints = vec![];
    for name in ["rebind.example.test", "later.example.test", "alias.example.test"] {
        let url = format!("https://{name}:{port}/hook");
        endpoints.push((name, stack.api().create_endpoint(&url, &["bid.created"]).await));
    }

    dns.resolve("rebind.example.test", &["127.0.0.1"]);
    dns.resolve("later.example.test", &["10.0.0.1", "::ffff:127.0.0.1", "fd00::1"]);
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    for (name, endpoint) in &endpoints {
        // A refused address is retried on schedule, because names change; each time it is vetted anew.
        let delivery = stack
            .api()
            .wait_delivery_status(endpoint.id, &event, "exhausted")
            .await;
        assert_eq!(ends(&delivery), ["address_forbidden"; 3], "{name}: {delivery:#}");
        assert_eq!(text(&delivery, "error"), "address_forbidden");
        assert!(!text(&attempts(&delivery)[0]["error"], "message").is_empty());
        assert_eq!(
            stack.api().endpoint(endpoint.id).await["consecutiveFailures"],
            3,
            "it counts"
        );
        assert!(dns.questions_for(name) > 0);
    }
    assert_eq!(trap.connections(), 0, "nothing was dialled");
}

#[tokio::test]
async fn of_a_names_addresses_only_the_allowed_ones_are_dialled() {
    let dns = FakeDns::start().await;
    let receiver = Receiver::start().await;
    let port = receiver.addr().port();
    // On the same port, at an address that the policy forbids.
    let trap = std::net::TcpListener::bind(("127.0.0.2", port)).expect("the port is free there, too");
    trap.set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let stack = Stack::builder()
        .setting("ALLOW_NETWORKS", "127.0.0.1/32")
        .dns(&dns)
        .start()
        .await;
    dns.resolve("two.example.test", &["127.0.0.1"]);
    let url = format!("http://two.example.test:{port}/");
    let endpoint = stack.api().create_endpoint(&url, &["bid.created"]).await;

    dns.resolve("two.example.test", &["127.0.0.2", "127.0.0.1"]);
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    let request = receiver.next().await;
    assert_eq!(request.the("Host"), format!("two.example.test:{port}"));
    let dialled = trap.accept().map(|(_, from)| from);
    assert!(dialled.is_err(), "{dialled:?} was dialled at a forbidden address");
}

#[tokio::test]
async fn a_name_that_moves_to_another_allowed_address_is_followed() {
    let dns = FakeDns::start().await;
    let old = Receiver::start().await;
    let port = old.addr().port();
    let stack = Stack::builder()
        .setting("RETRY_SCHEDULE", "1100ms,1100ms,1100ms")
        .dns(&dns)
        .start()
        .await;
    dns.resolve("moving.example.test", &["127.0.0.1"]);
    let url = format!("http://moving.example.test:{port}/");
    let endpoint = stack.api().create_endpoint(&url, &["bid.created"]).await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;

    // Nothing listens at the new address until the first attempt has failed there.
    old.go_down();
    dns.resolve("moving.example.test", &["127.0.0.3"]);
    let event = stack.api().publish("bid.created", json!({"id": 2})).await;
    stack.api().wait_attempts(endpoint.id, &event, 1).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.3", port))
        .await
        .expect("the port is free there");
    let (mut stream, _) = tokio::time::timeout(plumbline_testkit::PATIENCE, listener.accept())
        .await
        .expect("the retry goes to the new address")
        .expect("a connection");
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut request = vec![0; 16 * 1024];
    let _ = stream.read(&mut request).await.expect("a request");
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .expect("it is read");
    stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
}

/// Each attempt asks anew, and what it is told then decides: for the dial, and for the connection that was kept.
#[tokio::test]
async fn a_name_that_changes_between_two_attempts_is_vetted_at_each() {
    let dns = FakeDns::start().await;
    let receiver = Receiver::start().await;
    let port = receiver.addr().port();
    // On the same port, at an address that the policy forbids.
    let trap = std::net::TcpListener::bind(("127.0.0.2", port)).expect("the port is free there, too");
    trap.set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let stack = Stack::builder()
        .setting("ALLOW_NETWORKS", "127.0.0.1/32")
        .setting("RETRY_SCHEDULE", "1200ms,6s")
        .setting("RETRY_JITTER", "0")
        .dns(&dns)
        .start()
        .await;
    dns.resolve("changing.example.test", &["127.0.0.1"]);
    let url = format!("http://changing.example.test:{port}/");
    let endpoint = stack.api().create_endpoint(&url, &["bid.created"]).await;

    // The name moves while its first attempt is under way, so that the second one comes after it for certain.
    let gate = Gate::closed();
    receiver.script("/", [Reply::status(500).behind(&gate), Reply::status(200)]);
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    receiver.wait_for(1).await;
    dns.resolve("changing.example.test", &["127.0.0.2"]);
    gate.open();
    stack.api().wait_attempts(endpoint.id, &event, 2).await;
    dns.resolve("changing.example.test", &["127.0.0.1"]);
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "succeeded")
        .await;
    assert_eq!(
        ends(&delivery),
        ["500", "address_forbidden", "200"],
        "{delivery:#}"
    );
    assert_eq!(receiver.requests().len(), 2);
    let dialled = trap.accept().map(|(_, from)| from);
    assert!(dialled.is_err(), "{dialled:?} was dialled at a forbidden address");
}

/// What an answer or the environment says of other places changes nothing: the request goes to the endpoint's.
#[tokio::test]
async fn neither_a_redirect_nor_a_proxy_leads_anywhere_else() {
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    let proxy = format!("http://{}", elsewhere.addr());
    let mut stack = Stack::builder().setting("RETRY_SCHEDULE", "10ms,10ms,10ms,10ms");
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        stack = stack.variable(name, &proxy);
    }
    let stack = stack.start().await;
    let statuses = [301, 302, 303, 307, 308];
    let redirect = |status| Reply::status(status).header("Location", &elsewhere.url("/elsewhere"));
    receiver.script("/", statuses.map(redirect));
    let endpoint = stack
        .api()
        .create_endpoint(&receiver.url("/"), &["bid.created"])
        .await;
    let event = stack.api().publish("bid.created", json!({"id": 1})).await;
    let delivery = stack
        .api()
        .wait_delivery_status(endpoint.id, &event, "exhausted")
        .await;
    assert_eq!(
        ends(&delivery),
        statuses.map(|status| status.to_string()),
        "{delivery:#}"
    );
    assert_eq!((receiver.requests().len(), elsewhere.connections()), (5, 0));
}
