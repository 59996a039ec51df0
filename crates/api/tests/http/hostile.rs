//! Clients that mean harm: they hold connections, nest, guess, inject and tamper. None of them gets further than an
//! answer, and the others are served meanwhile.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures_util::future::join_all;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep, timeout};

use crate::people::{PASSWORD, cookie_of};
use crate::support::{Answer, Client, PATIENCE, Rig, with_database, with_server, with_server_and};

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";
const EVENTS: &str = "/api/v1/events";
const TYPES: &str = "/api/v1/webhook-event-types";
const SESSION: &str = "/api/v1/session";
const DOCUMENTS: [&str; 3] = [
    "/api/v1/openapi.json",
    "/api/2023-01/openapi.json",
    "/v1/openapi.json",
];

/// How often somebody slow sends one more byte.
const DRIBBLE_EVERY: Duration = Duration::from_millis(100);

/// Send something, then `more` again and again, until the server ends it: what it answered.
async fn linger(address: SocketAddr, first: &str, more: &str) -> String {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut from, mut to) = stream.into_split();
    // It may be refused before all of it is there.
    let _ = to.write_all(first.as_bytes()).await;
    let dribbling = async {
        while more.is_empty() || to.write_all(more.as_bytes()).await.is_ok() {
            sleep(DRIBBLE_EVERY).await;
        }
        // It is over; what is left to be read says how.
        std::future::pending::<()>().await;
    };
    let mut answer = vec![];
    let reading = async {
        // A reset ends it as well as a close does.
        let _ = from.read_to_end(&mut answer).await;
    };
    let ended = timeout(PATIENCE, async {
        tokio::select! {
            () = dribbling => {}
            () = reading => {}
        }
    });
    ended.await.unwrap_or_else(|_| {
        panic!(
            "the server held on to {first:?}, and {} bytes again and again",
            more.len()
        )
    });
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_a_connection_without_using_it() {
    with_server_and(&["--keep-alive", "1s"], async |rig| {
        let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        let unread = "POST /api/v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer plk_live_0\r\n\
                      content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let announced = unread.replace("transfer-encoding: chunked", "content-length: 1000000");
        let half = format!("{get}GET / HTTP/1.1\r\nhost");
        let cases: [(&str, &str, Option<&str>); 6] = [
            // A head that never comes, one that never ends, and the same after a request that was answered.
            ("", "", None),
            ("GET / HTTP/1.1\r\nhost: a\r\n", "x", None),
            (get, "", Some("HTTP/1.1 200")),
            (&half, "t", Some("HTTP/1.1 200")),
            // A body that goes on after its answer.
            (unread, "1\r\na\r\n", Some("HTTP/1.1 401")),
            (&announced, "a", Some("HTTP/1.1 401")),
        ];
        let answers = join_all(
            cases
                .iter()
                .map(|(first, more, _)| linger(rig.address, first, more)),
        )
        .await;
        for ((first, _, status), answer) in cases.iter().zip(answers) {
            match status {
                Some(status) => assert!(answer.starts_with(status), "{first:?}: {answer:?}"),
                None => assert!(
                    answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
                    "{first:?}: {answer:?}"
                ),
            }
        }
        rig.tenant("*").await.get("/api/v1/me").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_is_bounded_and_the_admin_port_answers() {
    with_server_and(&["--max-connections", "20", "--workers", "2"], async |rig| {
        let client = rig.tenant("*").await;
        let mut flood = vec![];
        for _ in 0..40 {
            flood.push(
                TcpStream::connect(rig.address)
                    .await
                    .expect("the kernel takes it"),
            );
        }
        let open = async || {
            let metrics = rig.admin("/metrics").await.text();
            let count = metrics
                .lines()
                .find_map(|line| line.strip_prefix("plumbline_http_connections "));
            count
                .and_then(|count| count.parse::<usize>().ok())
                .expect("the gauge")
        };
        let full = timeout(PATIENCE, async {
            while open().await < 20 {
                sleep(Duration::from_millis(10)).await;
            }
        });
        full.await.expect("the flood arrives");
        // It does not recede by itself; who is in the line behind it is served when its heads have not come in time.
        let (answer, ()) = tokio::join!(client.get("/api/v1/me"), async {
            for path in ["/livez", "/metrics"] {
                assert_eq!(rig.admin(path).await.status, 200, "{path}");
            }
            // actix stops accepting when every worker is full, and each may have taken one more by then.
            assert!(open().await <= 22, "{} connections are open", open().await);
        });
        answer.expect(200);
        drop(flood);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_has_come() {
    // Who goes on sending after its answer is cut off as any connection without a request is.
    with_server_and(&["--keep-alive", "1s"], async |rig| {
        let client = rig.tenant("*").await;
        let key = client.key.as_ref().expect("a key");
        let head = |framing: &str| {
            format!(
                "POST /api/v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
                 content-type: application/json\r\n{framing}\r\n\r\n"
            )
        };
        // Announced: refused by its head. Not announced: as soon as it is too much, however much would follow.
        let megabyte = format!("100000\r\n{}\r\n", " ".repeat(0x10_0000));
        for (first, more) in [
            (head("content-length: 16777217"), ""),
            (head("content-length: 18446744073709551615"), ""),
            (head("transfer-encoding: chunked"), megabyte.as_str()),
        ] {
            let answer = linger(rig.address, &first, more).await;
            assert!(answer.contains("HTTP/1.1 413 "), "{first}: {answer:?}");
            assert!(answer.contains("payload_too_large"), "{first}: {answer:?}");
        }
        // A head that nobody needs is no reason to read on.
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {}", "x".repeat(1 << 20));
        let answer = linger(rig.address, &long, "").await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer:?}"
        );
        client.get("/api/v1/me").await.expect(200);
    })
    .await;
}

/// Every mutation of the documents, with a number for each placeholder.
async fn mutations(rig: &Rig) -> Vec<(Method, String)> {
    let mut mutations = vec![];
    for document in DOCUMENTS {
        let document: Value =
            serde_json::from_slice(&rig.stranger().get(document).await.body).expect("a document");
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("operations").keys() {
                let method: Method = method.to_uppercase().parse().expect("a method");
                let path = path.replace("{id}", "1").replace("{name}", "a.b");
                if method != Method::GET {
                    mutations.push((method, path));
                }
            }
        }
    }
    assert!(mutations.len() >= 40, "only {} were found", mutations.len());
    mutations
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn nested_objects(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_depth_of_nesting_breaks_a_parser() {
    with_server_and(&["--rate-limit-per-key", "0"], async |rig| {
        let (client, admin) = (rig.tenant("*").await, rig.admin_person().await);
        let deep = 200_000;
        for (method, path) in mutations(rig).await {
            for body in [
                nested(deep),
                "[".repeat(deep),
                nested_objects(deep),
                format!(r#"{{"webhook":{}}}"#, nested(deep)),
            ] {
                let person =
                    path.contains("/users") || path.contains("/api-keys") || path.contains("/session/");
                let answer = if person {
                    admin.ask(method.clone(), &path, &body).await
                } else {
                    let request = client
                        .request(method.clone(), &path)
                        .header(CONTENT_TYPE, "application/json");
                    rig.send(request.body(body.into()).expect("a request")).await
                };
                let status = answer.status.as_u16();
                // A record that is not there, or a state that forbids it, may be said first; signing out reads no body.
                assert!(
                    [400, 403, 404, 409, 422].contains(&status) || (path == SESSION && status == 401),
                    "{method} {path}: {}",
                    answer.text()
                );
            }
        }
        // Where depth is allowed, it has a limit that is named.
        for (path, body, fault) in [
            (
                EVENTS,
                format!(r#"{{"type":"bid.created","data":{}}}"#, nested_objects(65)),
                "data: too_deep",
            ),
            (
                EVENTS,
                format!(
                    r#"{{"type":"bid.created","data":{{}},"previous_attributes":{}}}"#,
                    nested_objects(65)
                ),
                "previous_attributes: too_deep",
            ),
        ] {
            assert_eq!(client.post(path, body).await.faults(), [fault]);
        }
        let schema = |depth: usize| format!("{}{{}}{}", r#"{"not":"#.repeat(depth), "}".repeat(depth));
        for depth in [65, 1_000, 7_000] {
            for (member, value) in [("schema", schema(depth)), ("example", nested_objects(depth))] {
                let body = format!(r#"{{"name":"a.b","{member}":{value}}}"#);
                let problem = client.post(TYPES, body).await.problem(422, "validation_failed");
                assert_eq!(problem["errors"][0]["field"], member, "{depth}: {problem}");
            }
        }
        // A schema that is itself allowed, against data of the greatest depth.
        let tree = json!({"name": "a.tree", "schema": {"additionalProperties": {"$ref": "#"}}});
        let answer = client.post(TYPES, tree).await;
        assert!([201, 422].contains(&answer.status.as_u16()), "{}", answer.text());
        if answer.status == 201 {
            let body = format!(r#"{{"type":"a.tree","data":{}}}"#, nested_objects(64));
            let answer = client.post(EVENTS, body).await;
            assert!([202, 422].contains(&answer.status.as_u16()), "{}", answer.text());
        }
        client.get("/api/v1/me").await.expect(200);
    })
    .await;
}

/// Ask who this is, with a key, from behind a proxy that names this address.
async fn me_from(rig: &Rig, path: &str, key: &str, address: &str) -> Answer {
    let request = rig
        .stranger()
        .request(Method::GET, path)
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .header("x-forwarded-for", address);
    rig.send(request.body("".into()).expect("a request")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_keys_is_slowed_down_and_shuts_nobody_else_out() {
    with_server_and(&["--trusted-proxies", "127.0.0.1"], async |rig| {
        let me = "/api/v1/me";
        let (known, fresh) = (rig.tenant("*").await, rig.tenant("*").await);
        let key = |client: &Client<'_>| client.key.clone().expect("a key");
        let guess = |number: usize| format!("plk_live_{number:064x}");
        let (guesser, other) = ("203.0.113.9", "203.0.113.10");
        me_from(rig, me, &key(&known), guesser).await.expect(200);

        for number in 0..100 {
            me_from(rig, me, &guess(number), guesser)
                .await
                .problem(401, "unauthorized");
        }
        let refused = me_from(rig, me, &guess(100), guesser).await;
        refused.problem(429, "rate_limited");
        let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        // In every dialect's words, and whatever is asked for.
        for (path, words) in [
            ("/api/2023-01/webhooks", r#"{"errors":{"base":"#),
            ("/v1/webhooks", r#""error":"RATE_LIMITED""#),
        ] {
            let refused = me_from(rig, path, &guess(100), guesser).await;
            assert_eq!(refused.status, 429, "{path}");
            assert!(refused.text().contains(words), "{path}: {}", refused.text());
        }
        // A right guess would not be told from a wrong one, but who was right before goes on.
        me_from(rig, me, &key(&fresh), guesser)
            .await
            .problem(429, "rate_limited");
        me_from(rig, me, &key(&known), guesser).await.expect(200);
        // Elsewhere nothing has happened.
        me_from(rig, me, &key(&fresh), other).await.expect(200);
        me_from(rig, me, &guess(0), other)
            .await
            .problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_planted_is_not_the_one_that_begins() {
    with_server(async |rig| {
        let (attacker, victim) = (rig.admin_person().await, rig.admin_person().await);
        let made_up = format!("plumbline_session={}", "ab".repeat(32));
        for planted in [&made_up, &attacker.cookie] {
            let request = rig
                .stranger()
                .request(Method::POST, SESSION)
                .header(CONTENT_TYPE, "application/json")
                .header(COOKIE, planted);
            let body = json!({"email": victim.email, "password": PASSWORD}).to_string();
            let answer = rig.send(request.body(body.into()).expect("a request")).await;
            answer.expect(201);
            assert_ne!(&cookie_of(&answer), planted, "a session's token is drawn here");
        }
        let who = async |cookie: &str| {
            let request = rig
                .stranger()
                .request(Method::GET, SESSION)
                .header(COOKIE, cookie);
            rig.send(request.body("".into()).expect("a request")).await
        };
        who(&made_up).await.problem(401, "unauthorized");
        assert_eq!(
            who(&attacker.cookie).await.expect(200)["data"]["email"],
            attacker.email
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_that_it_is_not_to_be_framed_sniffed_or_kept() {
    with_server(async |rig| {
        let (client, stranger) = (rig.tenant("*").await, rig.stranger());
        let mut answers = vec![
            ("the page", stranger.get("/").await),
            ("nothing", stranger.get("/nothing").await),
            ("a method", stranger.delete("/").await),
            ("a list", client.get(ENDPOINTS).await),
            ("not found", client.get("/v1/webhooks/7").await),
            ("unauthorised", stranger.get("/api/2023-01/webhooks").await),
            ("invalid", client.post(ENDPOINTS, "{}").await),
            ("malformed", client.post(EVENTS, "{").await),
            (
                "accepted",
                client.post(EVENTS, r#"{"type":"bid.created","data":{}}"#).await,
            ),
            ("too large", client.post(EVENTS, " ".repeat(17 << 20)).await),
            ("deleted", client.delete(&client.endpoint().await).await),
        ];
        for document in DOCUMENTS {
            answers.push((document, stranger.get(document).await));
        }
        for (what, answer) in &answers {
            // The console's page has nothing of a customer's in it.
            let kept = if *what == "the page" {
                "no-cache"
            } else {
                "no-store"
            };
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", kept),
            ] {
                assert_eq!(answer.header(name), value, "{what}: {name}");
            }
            let policy = answer.header("content-security-policy");
            assert!(
                policy.contains("default-src") && policy.contains("frame-ancestors 'none'"),
                "{what}: {policy}"
            );
            assert_eq!(answer.header("server"), "", "{what}");
            assert!(
                answer.body.is_empty() || !answer.header("content-type").is_empty(),
                "{what} has no content type"
            );
        }
        for path in ["/livez", "/readyz", "/metrics", "/nothing"] {
            assert_eq!(
                rig.admin(path).await.header("x-content-type-options"),
                "nosniff",
                "{path}"
            );
        }
    })
    .await;
}

/// What would end a statement, a string, a pattern, a line or a format that somebody forgot to close.
const METACHARACTERS: &str =
    r#"'; DROP TABLE plumbline.tenants; -- " \' \\ % _ $1 {0} ${x} <b> &amp; /* */ 名 🏗"#;

#[tokio::test(flavor = "multi_thread")]
async fn metacharacters_are_kept_as_they_are_and_do_nothing() {
    with_server(async |rig| {
        let (client, admin) = (rig.tenant("*").await, rig.admin_person().await);
        let text = METACHARACTERS;
        let contact = client.post("/api/v1/contacts", json!({"firstName": text})).await.expect(201)["data"].clone();
        let project = client.post("/api/v1/projects", json!({"name": text})).await.expect(201)["data"].clone();
        let url = "https://hooks.example.com/x";
        let cases: [(&str, Value, &[&str]); 9] = [
            (
                "/api/v1/contacts",
                json!({"firstName": text, "lastName": text, "companyName": text, "email": "o'hara--%_$1@example.com", "phone": r#"'; -- " \ % _ $1"#}),
                &["firstName", "lastName", "companyName", "email", "phone"],
            ),
            ("/api/v1/companies", json!({"name": text, "website": text}), &["name", "website"]),
            ("/api/v1/opportunities", json!({"name": text, "stage": r#"'; -- " \ % _ $1"#}), &["name", "stage"]),
            ("/api/v1/projects", json!({"name": text, "contactId": contact["id"]}), &["name"]),
            ("/api/v1/bids", json!({"title": text, "items": [{"description": text, "quantity": 1, "unitPrice": 1}]}), &["title", "items"]),
            ("/api/v1/change-orders", json!({"projectId": project["id"], "title": text}), &["title"]),
            (ENDPOINTS, json!({"url": url, "eventTypes": ["bid.created"], "description": text}), &["description"]),
            (TYPES, json!({"name": "own.type", "description": text, "example": {"a": text}}), &["description", "example"]),
            (EVENTS, json!({"type": "bid.created", "data": {"name": text, text: 1}}), &[]),
        ];
        for (path, body, members) in cases {
            let made = client.post(path, &body).await;
            assert!(made.status.is_success(), "{path}: {}", made.text());
            let made: Value = serde_json::from_slice(&made.body).expect("JSON");
            let id = made["data"].get("id").unwrap_or(&made["data"]["name"]);
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            let read = client.get(&format!("{path}/{id}")).await.expect(200)["data"].clone();
            for member in members {
                if *member == "items" {
                    assert_eq!(read["items"][0]["description"], body["items"][0]["description"], "{path}");
                } else {
                    assert_eq!(read[*member], body[*member], "{path}: {member}");
                }
            }
            if path == EVENTS {
                assert_eq!(read["data"], body["data"]);
            }
        }
        let key = admin.post("/api/v1/api-keys", json!({"name": text, "scopes": ["*"]})).await.expect(201);
        assert_eq!(key["data"]["name"], text);
        let webhook = json!({"webhook": {"url": url, "filter_types": ["contact.create"], "description": text}});
        assert_eq!(client.post("/api/2023-01/webhooks", webhook).await.json(201)["webhook"]["description"], text);

        // In a path, a filter, a parameter's name and a key of repetition it is text, too.
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let endpoint = client.endpoint().await;
        for (path, status) in [
            (format!("{ENDPOINTS}/{escaped}"), 404),
            (format!("{TYPES}/{escaped}"), 404),
            (format!("{EVENTS}/{escaped}"), 404),
            (format!("/v1/webhooks/{escaped}"), 404),
            (format!("/api/2023-01/webhooks/{escaped}"), 404),
            ("/api/v1/contacts/1%20OR%201=1".to_owned(), 404),
            (format!("{EVENTS}?type={escaped}"), 422),
            (format!("{EVENTS}?{escaped}=1"), 422),
            (format!("{EVENTS}?limit={escaped}"), 422),
            (format!("{EVENTS}?cursor={escaped}"), 400),
            (format!("{endpoint}/deliveries?status={escaped}"), 422),
            (format!("{endpoint}/deliveries?eventType={escaped}"), 422),
            (format!("{endpoint}/deliveries?eventId={escaped}"), 422),
            (format!("{endpoint}/deliveries?since={escaped}"), 422),
            (format!("{TYPES}?profile={escaped}"), 422),
        ] {
            let answer = client.get(&path).await;
            assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        }
        let repeated = r#"';DROP--"\%_$1{}"#;
        for replayed in ["", "true"] {
            let answer = client.keyed(repeated, Method::POST, EVENTS, r#"{"type":"bid.created","data":{}}"#).await;
            answer.expect(202);
            assert_eq!(answer.header("idempotency-replayed"), replayed);
        }
        let wrong = rig.sign_in(text, text).await;
        wrong.problem(401, "unauthorized");

        // What PostgreSQL cannot keep as text is a fault of its field, and none of ours.
        let zero = "a\u{0}b";
        for (path, body, field) in [
            ("/api/v1/contacts", json!({"firstName": zero}), "firstName"),
            ("/api/v1/projects", json!({"name": zero}), "name"),
            ("/api/v1/bids", json!({"title": zero}), "title"),
            (ENDPOINTS, json!({"url": url, "eventTypes": ["bid.created"], "description": zero}), "description"),
            (ENDPOINTS, json!({"url": format!("{url}{zero}"), "eventTypes": ["bid.created"]}), "url"),
        ] {
            let faults = client.post(path, body).await.faults();
            assert!(faults[0].starts_with(field), "{path}: {faults:?}");
        }
        client.get(&format!("{EVENTS}?type=a%00b")).await.faults();
        client.get(&format!("{TYPES}/a%00b")).await.problem(404, "not_found");
        assert_eq!(
            rig.sign_in(zero, zero).await.faults(),
            ["email: invalid", "password: invalid"]
        );
        client.get("/api/v1/me").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_begin_another_header_is_refused_by_its_field() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let url = "https://hooks.example.com/x";
        let with = |headers: Value| json!({"url": url, "eventTypes": ["bid.created"], "headers": headers});
        for evil in [
            "a\r\nEvil: 1",
            "a\nEvil: 1",
            "a\rEvil: 1",
            "a\u{0}",
            "a\u{7f}",
            "a\u{85}Evil: 1",
            "a\u{2028}b",
        ] {
            for (field, body) in [
                ("headers", with(json!({"X-A": evil}))),
                ("headers", with(json!({evil: "x"}))),
                (
                    "url",
                    json!({"url": format!("{url}?{evil}"), "eventTypes": ["bid.created"]}),
                ),
            ] {
                let faults = client.post(ENDPOINTS, body).await.faults();
                assert!(
                    faults.len() == 1 && faults[0].starts_with(field),
                    "{evil:?}: {faults:?}"
                );
            }
            let types = json!({"url": url, "eventTypes": [evil]});
            assert_eq!(client.post(ENDPOINTS, types).await.faults().len(), 1, "{evil:?}");
            client
                .post(TYPES, json!({"name": format!("a.{evil}")}))
                .await
                .faults();
            let template = json!({"resourceUrlTemplate": format!("https://a.example.com/{{id}}{evil}")});
            client.patch("/api/v1/webhook-settings", template).await.faults();
        }
    })
    .await;
}

/// A cursor of every list that a tenant with everything twice has, by the list's path.
async fn cursors(rig: &Rig) -> (Vec<(String, String)>, crate::people::Person<'_>) {
    let admin = rig.admin_person().await;
    rig.person(admin.tenant, plumbline_domain::Role::Member).await;
    let twice = async |path: &str, body: Value| {
        let mut made = Value::Null;
        for number in 0..2 {
            let body: Value =
                serde_json::from_str(&body.to_string().replace("NUMBER", &number.to_string())).expect("JSON");
            let answer = admin.post(path, body).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text());
            made = serde_json::from_slice::<Value>(&answer.body).expect("JSON")["data"].clone();
        }
        made
    };
    let endpoint = twice(
        ENDPOINTS,
        json!({"url": "https://hooks.example.com/x", "eventTypes": ["bid.created"]}),
    )
    .await;
    let deliveries = format!("{ENDPOINTS}/{}/deliveries", endpoint["id"]);
    twice(&format!("{ENDPOINTS}/{}/test", endpoint["id"]), json!({})).await;
    twice(TYPES, json!({"name": "own.typeNUMBER"})).await;
    twice(EVENTS, json!({"type": "bid.created", "data": {}})).await;
    twice("/api/v1/contacts", json!({"firstName": "a"})).await;
    for path in ["companies", "opportunities"] {
        twice(&format!("/api/v1/{path}"), json!({"name": "a"})).await;
    }
    let project = twice("/api/v1/projects", json!({"name": "a"})).await;
    twice("/api/v1/bids", json!({})).await;
    twice(
        "/api/v1/pay-apps",
        json!({"projectId": project["id"], "amount": 1}),
    )
    .await;
    twice("/api/v1/change-orders", json!({"projectId": project["id"]})).await;
    twice("/api/v1/api-keys", json!({"name": "a", "scopes": ["*"]})).await;
    let mut cursors = vec![];
    for path in [
        ENDPOINTS,
        &deliveries,
        TYPES,
        EVENTS,
        "/api/v1/contacts",
        "/api/v1/companies",
        "/api/v1/opportunities",
        "/api/v1/projects",
        "/api/v1/bids",
        "/api/v1/pay-apps",
        "/api/v1/change-orders",
        "/api/v1/users",
        "/api/v1/api-keys",
    ] {
        let page = admin.get(&format!("{path}?limit=1")).await.expect(200);
        let cursor = page["meta"]["pagination"]["cursor"]
            .as_str()
            .unwrap_or_else(|| panic!("{path}: {page}"));
        cursors.push((path.to_owned(), cursor.to_owned()));
    }
    (cursors, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_opens_nothing_but_the_list_that_gave_it_out() {
    with_server_and(&["--rate-limit-per-key", "0"], async |rig| {
        let ((ours, admin), (theirs, _other)) = (cursors(rig).await, cursors(rig).await);
        let refused = async |path: &str, cursor: &str| {
            let problem = admin
                .get(&format!("{path}?limit=1&cursor={cursor}"))
                .await
                .problem(400, "bad_request");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(
                detail.contains("cursor") && problem.get("data").is_none(),
                "{path}: {problem}"
            );
        };
        for (index, (path, cursor)) in ours.iter().enumerate() {
            admin
                .get(&format!("{path}?limit=1&cursor={cursor}"))
                .await
                .expect(200);
            for (other, (_, foreign)) in ours.iter().enumerate() {
                if other != index {
                    refused(path, foreign).await;
                }
            }
            refused(path, &theirs[index].1).await;
            for cut in [1, cursor.len() / 2, cursor.len() - 1] {
                refused(path, &cursor[..cut]).await;
            }
        }
        let (path, cursor) = &ours[0];
        for at in 0..cursor.len() {
            for bit in 0..6 {
                let mut bytes = cursor.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                match String::from_utf8(bytes) {
                    Ok(flipped) if flipped.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                        refused(path, &flipped).await;
                    }
                    _ => {}
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_sent_to_two_replicas_by_many_connections_is_one_event_and_one_answer() {
    with_database(async |url| {
        let (one, other) = (Rig::start(url, &[]).await, Rig::start(url, &[]).await);
        one.until_database_is_ready().await;
        other.until_database_is_ready().await;
        let client = one.tenant("*").await;
        let elsewhere = Client {
            rig: &other,
            tenant: client.tenant,
            key: client.key.clone(),
        };
        let batch =
            r#"{"events":[{"type":"bid.created","data":{"id":1}},{"type":"bid.created","data":{"id":2}}]}"#;
        for (key, body, events) in [
            ("one", r#"{"type":"bid.created","data":{"id":1}}"#, 1),
            ("many", batch, 2),
        ] {
            let before = client.get(EVENTS).await.expect(200)["meta"]["pagination"]["count"].as_u64();
            // A replica that is too busy says so, and its client repeats: that is what the key is for.
            let until_done = async |client: &Client<'_>| loop {
                let answer = client.keyed(key, Method::POST, EVENTS, body).await;
                if answer.status != 503 {
                    return answer;
                }
            };
            let requests =
                (0..32).map(|number| until_done(if number % 2 == 0 { &client } else { &elsewhere }));
            let answers = join_all(requests).await;
            for answer in &answers {
                answer.expect(202);
            }
            let bodies: BTreeSet<_> = answers.iter().map(|answer| answer.body.clone()).collect();
            assert_eq!(bodies.len(), 1, "every answer is the first one, byte for byte");
            let fresh = answers
                .iter()
                .filter(|answer| answer.header("idempotency-replayed").is_empty())
                .count();
            assert_eq!(fresh, 1, "{key}");
            let after = client.get(EVENTS).await.expect(200)["meta"]["pagination"]["count"].as_u64();
            assert_eq!(after, before.map(|before| before + events), "{key}");
        }
        one.end().await;
        other.end().await;
    })
    .await;
}
