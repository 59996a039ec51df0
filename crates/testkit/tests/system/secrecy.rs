//! Secrets are nowhere: planted, used in every way that the product has, and looked for in everything that it writes,
//! says and keeps, at the most verbose level of its logs.
//!
//! What a process is started with is another matter: its settings are in `/proc/PID/environ`, which the kernel shows to
//! the process's own user and root only; `/proc/PID/cmdline`, which it shows to everybody, holds none of them.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::Method;
use plumbline_testkit::http::Answer;
use plumbline_testkit::{Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};

use crate::text;

/// What must be found nowhere.
struct Secret {
    what: &'static str,
    text: String,
}

impl Secret {
    /// How it looks in clear, and where somebody has encoded it and hidden nothing.
    fn forms(&self) -> Vec<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let bytes = self.text.as_bytes();
        let mut forms = vec![
            self.text.clone(),
            hex(bytes),
            STANDARD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
        ];
        // The key that a secret stands for, without what it begins with.
        if let Some(tail) = self.text.strip_prefix("whsec_") {
            forms.push(tail.to_owned());
            forms.extend(STANDARD.decode(tail).ok().map(|key| hex(&key)));
        }
        if let Some(tail) = self.text.strip_prefix("test:") {
            forms.push(tail.to_owned());
            forms.extend(STANDARD.decode(tail).ok().map(|key| hex(&key)));
        }
        forms
    }
}

/// Somebody who uses the product and writes down every answer but those that may show a secret, once.
struct Visitor<'a> {
    stack: &'a Stack,
    secrets: RefCell<Vec<Secret>>,
    heard: RefCell<Vec<String>>,
}

impl Visitor<'_> {
    /// Remember a secret.
    fn plant(&self, what: &'static str, text: &str) -> String {
        assert!(text.len() >= 10, "{what}: {text} would be found by chance");
        self.secrets.borrow_mut().push(Secret {
            what,
            text: text.to_owned(),
        });
        text.to_owned()
    }

    /// A secret of our own making.
    fn make(&self, what: &'static str) -> String {
        self.plant(
            what,
            &format!("{}-{:032x}", what.replace(' ', "-"), rand::random::<u128>()),
        )
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let url = format!("http://{}{path}", self.stack.listen());
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        let answer = self.stack.http().send(method, &url, &all, body.to_owned()).await;
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Ask, and write the answer down.
    async fn ask(&self, who: &[(&str, &str)], method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.ask_with(who, method, path, &body).await
    }

    /// The same with a body of any text.
    async fn ask_with(&self, who: &[(&str, &str)], method: Method, path: &str, body: &str) -> Answer {
        let answer = self.send(method.clone(), path, who, body).await;
        // Without what the question itself may hold.
        let asked = path.split('?').next().unwrap_or_default();
        let mut heard = format!("{method} {asked}: {}\n", answer.status);
        for (name, value) in &answer.headers {
            heard.push_str(&format!(
                "{name}: {}\n",
                String::from_utf8_lossy(value.as_bytes())
            ));
        }
        heard.push_str(&answer.text());
        self.heard.borrow_mut().push(heard);
        answer
    }

    /// Ask for what shows a secret this once: the answer is not written down.
    async fn ask_once(&self, who: &[(&str, &str)], path: &str, body: &Value, status: u16) -> Answer {
        self.send(Method::POST, path, who, &body.to_string())
            .await
            .expect(status)
    }
}

#[tokio::test]
async fn a_secret_is_in_no_log_answer_metric_dump_or_message_whatever_happens() {
    let stack = Stack::builder()
        .setting("LOG", "trace")
        .setting("RETRY_SCHEDULE", "1h")
        .database_proxy()
        .broker_proxy()
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.always_on("/fails", Reply::status(500));
    let visitor = Visitor {
        stack: &stack,
        secrets: RefCell::default(),
        heard: RefCell::default(),
    };

    let nobody: &[(&str, &str)] = &[];

    // What the processes were started with.
    visitor.plant("the master key", stack.master_keys());
    for (what, url) in [
        ("the database's password", stack.database().url()),
        ("the broker's password", stack.broker().amqp_url()),
    ] {
        visitor.plant(what, url.password().expect("the tests' servers have passwords"));
    }
    visitor.plant("an operator's API key", stack.api().key());

    // Somebody signs in, and changes the password.
    let tenant = stack.api().tenant();
    let (first, password, wrong) = (
        visitor.make("first password"),
        visitor.make("password"),
        visitor.make("mistyped password"),
    );
    stack
        .user(tenant, "ada@example.com", "company_admin", &first)
        .await;
    let sign_in = |password: &str| json!({"email": "ada@example.com", "password": password});
    visitor
        .ask(nobody, Method::POST, "/api/v1/session", &sign_in(&wrong))
        .await
        .expect(401);
    let signed_in = visitor
        .ask_once(nobody, "/api/v1/session", &sign_in(&first), 201)
        .await;
    let cookie = signed_in
        .header("set-cookie")
        .expect("a session")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    assert!(!signed_in.text().contains(&cookie["plumbline_session=".len()..]));
    visitor.plant("a session", &cookie["plumbline_session=".len()..]);
    let admin: &[(&str, &str)] = &[("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let change = json!({"currentPassword": first, "newPassword": password});
    let keyed = [admin[0], admin[1], ("idempotency-key", "change")];
    for _ in 0..2 {
        visitor
            .ask(&keyed, Method::POST, "/api/v1/session/password", &change)
            .await
            .expect(204);
    }
    let made = visitor
        .ask_once(
            admin,
            "/api/v1/api-keys",
            &json!({"name": "a program", "scopes": ["*"]}),
            201,
        )
        .await
        .json();
    let key = visitor.plant("an API key", text(&made["data"], "key"));
    let bearer = format!("Bearer {key}");
    let program: &[(&str, &str)] = &[("authorization", bearer.as_str())];

    // Endpoints of every profile, each with what it has of secrets.
    let (token, pass) = (visitor.make("Authorization"), visitor.make("X-Team-Pass"));
    let headers = json!({"Authorization": format!("Bearer {token}"), "X-Team-Pass": pass});
    let native =
        |path: &str| json!({"url": receiver.url(path), "eventTypes": ["bid.created"], "headers": headers});
    let mut paths = vec![];
    for path in ["/works", "/fails"] {
        let keyed = [program[0], ("idempotency-key", path)];
        let made = visitor
            .ask_once(&keyed, "/api/v1/webhook-endpoints", &native(path), 201)
            .await
            .json();
        visitor.plant("a signing secret", text(&made["data"], "signingSecret"));
        visitor
            .ask(&keyed, Method::POST, "/api/v1/webhook-endpoints", &native(path))
            .await
            .expect(201);
        paths.push(format!("/api/v1/webhook-endpoints/{}", made["data"]["id"]));
    }
    let (works, fails) = (paths[0].as_str(), paths[1].as_str());
    for body in [json!({}), json!({"activateInSeconds": 3600})] {
        let rotate = format!("{works}/rotate-secret");
        let rotated = visitor.ask_once(program, &rotate, &body, 200).await.json();
        visitor.plant("a rotated secret", text(&rotated["data"], "signingSecret"));
    }
    visitor
        .ask(
            program,
            Method::POST,
            &format!("{works}/activate-secret"),
            &json!({}),
        )
        .await
        .expect(200);
    let buildr_secret = |what| {
        visitor.plant(
            what,
            &format!("whsec_{}", STANDARD.encode(rand::random::<[u8; 32]>())),
        )
    };
    let (supplied, replaced) = (
        buildr_secret("a supplied secret"),
        buildr_secret("a replaced secret"),
    );
    let hook = |secret: &str| json!({"webhook": {"url": receiver.url("/buildr"), "filter_types": ["contact.create"], "secret": secret}});
    let made = visitor
        .ask(program, Method::POST, "/api/2023-01/webhooks", &hook(&supplied))
        .await
        .expect(201)
        .json();
    let buildr = format!("/api/2023-01/webhooks/{}", text(&made["webhook"], "id"));
    visitor
        .ask(program, Method::PUT, &buildr, &hook(&replaced))
        .await
        .expect(200);
    let market = json!({"url": receiver.url("/market"), "events": []});
    let made = visitor
        .ask_once(program, "/v1/webhooks", &market, 201)
        .await
        .json();
    visitor.plant("a Standard Webhooks secret", text(&made, "secret"));
    let market = format!("/v1/webhooks/{}", text(&made, "id"));

    // Deliveries that succeed, fail, wait, and are repeated.
    let publish = async |event_type: &str| {
        let event = json!({"type": event_type, "data": {"id": 1}});
        visitor
            .ask(program, Method::POST, "/api/v1/events", &event)
            .await
            .expect(202)
    };
    publish("bid.created").await;
    publish("contact.created").await;
    for path in ["/works", "/fails", "/buildr", "/market"] {
        let sent = receiver.wait_for_on(path, 1).await;
        let has_headers = path == "/works" || path == "/fails";
        assert_eq!(sent[0].header("x-team-pass").is_some(), has_headers, "{path}");
    }
    let deliveries = async |endpoint: &str| {
        let log = visitor
            .ask(
                program,
                Method::GET,
                &format!("{endpoint}/deliveries"),
                &Value::Null,
            )
            .await;
        log.expect(200).json()["data"].as_array().expect("a list").clone()
    };
    for endpoint in [works, fails] {
        let id = eventually("an attempt in the log", async || {
            let log = deliveries(endpoint).await;
            let done = log.iter().find(|delivery| delivery["attemptCount"] == 1)?;
            Some(text(done, "id").to_owned())
        })
        .await;
        let path = format!("/api/v1/webhook-deliveries/{id}");
        let shown = visitor
            .ask(program, Method::GET, &path, &Value::Null)
            .await
            .expect(200)
            .json();
        let sent = &shown["data"]["attempts"][0]["requestHeaders"];
        assert_eq!(
            (&sent["Authorization"], &sent["X-Team-Pass"]),
            (&json!("[hidden]"), &json!("[hidden]"))
        );
        visitor
            .ask(program, Method::POST, &format!("{path}/replay"), &json!({}))
            .await
            .expect(202);
    }
    receiver.wait_for_on("/works", 2).await;

    // Everything that can be read, and what changes an endpoint.
    for path in [works, fails] {
        visitor
            .ask(program, Method::GET, path, &Value::Null)
            .await
            .expect(200);
        for body in [
            json!({"description": "x"}),
            json!({"headers": headers}),
            json!({}),
        ] {
            let changed = visitor
                .ask(program, Method::PATCH, path, &body)
                .await
                .expect(200)
                .json();
            assert_eq!(
                changed["data"]["headerNames"],
                json!(["Authorization", "X-Team-Pass"])
            );
        }
        visitor
            .ask(program, Method::POST, &format!("{path}/test"), &json!({}))
            .await
            .expect(202);
        visitor
            .ask(program, Method::POST, &format!("{path}/enable"), &json!({}))
            .await
            .expect(200);
        let recovery = json!({"since": "2026-01-01T00:00:00Z", "dryRun": true});
        visitor
            .ask(program, Method::POST, &format!("{path}/recover"), &recovery)
            .await
            .expect(202);
    }
    let history = format!("{market}/deliveries");
    for (who, path) in [
        (program, "/api/v1/webhook-endpoints"),
        (program, "/api/v1/events"),
        (program, "/api/v1/webhook-event-types"),
        (program, "/api/v1/me"),
        (program, "/api/2023-01/webhooks"),
        (program, buildr.as_str()),
        (program, "/v1/webhooks"),
        (program, market.as_str()),
        (program, history.as_str()),
        (admin, "/api/v1/api-keys"),
        (admin, "/api/v1/users"),
        (admin, "/api/v1/session"),
        (admin, "/api/v1/me"),
        (nobody, "/api/v1/openapi.json"),
    ] {
        visitor
            .ask(who, Method::GET, path, &Value::Null)
            .await
            .expect(200);
    }

    // Input that is refused, and would be quoted by somebody careless.
    let (undecodable, short) = (
        visitor.make("undecodable secret!"),
        visitor.plant("a short password", "sh0rt-pAss!"),
    );
    let with = |name: &str, value: Value| json!({"url": receiver.url("/"), "eventTypes": ["bid.created"], name: value});
    let user = |password: Value| json!({"email": "new@example.com", "role": "member", "password": password});
    for (who, method, path, body) in [
        (
            program,
            Method::POST,
            "/api/v1/webhook-endpoints",
            with("signingSecret", json!(replaced)),
        ),
        (
            program,
            Method::POST,
            "/api/v1/webhook-endpoints",
            with("headers", json!({"X-Key": format!("{token}\n")})),
        ),
        (
            program,
            Method::POST,
            "/api/v1/webhook-endpoints",
            with("headers", json!({"Host": token})),
        ),
        (
            program,
            Method::POST,
            "/api/v1/webhook-endpoints",
            with("headers", json!(token)),
        ),
        (
            program,
            Method::PATCH,
            works,
            json!({"headers": {"X-Key": [token]}}),
        ),
        (program, Method::PATCH, works, json!({"isActive": token})),
        (program, Method::POST, "/api/2023-01/webhooks", hook(&undecodable)),
        (program, Method::PUT, buildr.as_str(), hook(&supplied.repeat(20))),
        (
            program,
            Method::PATCH,
            buildr.as_str(),
            json!({"webhook": {"secret": {"is": supplied}}}),
        ),
        (admin, Method::POST, "/api/v1/users", user(json!(short))),
        (admin, Method::POST, "/api/v1/users", user(json!([password]))),
        (
            nobody,
            Method::POST,
            "/api/v1/session",
            json!({"email": "ada@example.com", "password": {"is": password}}),
        ),
        (
            program,
            Method::POST,
            "/api/v1/events",
            json!({"type": "bid.created", "data": key}),
        ),
    ] {
        visitor.ask(who, method, path, &body).await.expect(422);
    }
    visitor
        .ask(
            program,
            Method::GET,
            &format!("/api/v1/events?access_token={key}"),
            &Value::Null,
        )
        .await
        .expect(422);
    let cut_off = format!(r#"{{"url": "https://a.example.com/", "headers": {{"Authorization": "{token}"#);
    visitor
        .ask_with(program, Method::POST, "/api/v1/webhook-endpoints", &cut_off)
        .await
        .expect(400);
    let cut_off = format!(r#"{{"email": "ada@example.com", "password": "{password}", }}"#);
    visitor
        .ask_with(nobody, Method::POST, "/api/v1/session", &cut_off)
        .await
        .expect(400);
    let (longer, other_cookie) = (format!("{bearer}0"), format!("{cookie}0"));
    for who in [
        ("authorization", longer.as_str()),
        ("authorization", "Basic YTpi"),
        ("cookie", other_cookie.as_str()),
    ] {
        visitor
            .ask(&[who], Method::GET, "/api/v1/me", &Value::Null)
            .await
            .expect(401);
    }

    // The servers are away for a moment, each in its turn.
    stack.database_proxy().refuse();
    stack.api_process().wait_not_ready().await;
    for (who, path, body) in [
        (nobody, "/api/v1/session", sign_in(&password)),
        (program, "/api/v1/webhook-endpoints", native("/works")),
        (
            program,
            "/api/v1/events",
            json!({"type": "bid.created", "data": {}}),
        ),
        (admin, "/api/v1/api-keys", json!({"name": "b", "scopes": ["*"]})),
    ] {
        visitor.ask(who, Method::POST, path, &body).await.expect(503);
    }
    stack.database_proxy().resume();
    stack.broker_proxy().refuse();
    for process in stack.processes() {
        process.wait_not_ready().await;
    }
    eventually("the API to accept again", async || {
        let event = json!({"type": "bid.created", "data": {"id": 2}});
        let answer = visitor.ask(program, Method::POST, "/api/v1/events", &event).await;
        (answer.status.as_u16() == 202).then_some(())
    })
    .await;
    stack.broker_proxy().resume();
    for process in stack.processes() {
        process.wait_ready().await;
    }
    // The first event, its replay, a test, and what was accepted while the broker was away.
    receiver.wait_for_on("/works", 4).await;

    let mut places: Vec<(String, String)> = vec![("an answer".to_owned(), visitor.heard.borrow().join("\n"))];
    for process in stack.processes() {
        for path in ["/metrics", "/readyz", "/livez"] {
            let what = format!("{path} of {}", process.name());
            places.push((what, stack.admin(process, path).await.text()));
        }
        let of_process = |file: &str| format!("/proc/{}/{file}", process.pid());
        let command = fs::read(of_process("cmdline")).expect("it runs");
        places.push((
            format!("the command line of {}", process.name()),
            String::from_utf8_lossy(&command).into_owned(),
        ));
        let environment = fs::metadata(of_process("environ")).expect("it runs");
        assert_eq!(
            environment.permissions().mode() & 0o077,
            0,
            "the environment is its owner's alone"
        );
    }

    // What waits in the broker: retries, and events that no dispatcher takes.
    stack.dispatcher(0).kill();
    for event_type in ["bid.created", "contact.created"] {
        publish(event_type).await;
    }
    eventually("both events to wait in the broker", async || {
        (stack.broker().peek("plumbline.events.fast.0", 10).await.len() >= 2).then_some(())
    })
    .await;
    let mut messages = String::new();
    for queue in stack.broker().queues().await {
        for message in stack.broker().peek(&queue, 1_000).await {
            messages.push_str(&format!("{queue}: {} {}\n", message.payload, message.properties));
        }
    }
    assert!(
        messages.contains("plumbline.delay.") && messages.contains("contact.created"),
        "{messages}"
    );
    places.push(("a message".to_owned(), messages));

    let dump = stack.database().dump().await;
    assert!(
        dump.contains("bid.created") && dump.contains("X-Team-Pass"),
        "it is whole"
    );
    places.push((
        "what the database's bytes read as".to_owned(),
        bytes_as_text(&dump),
    ));
    places.push(("a dump of the database".to_owned(), dump));

    let logs = stack.logs();
    assert!(
        [" TRACE ", " DEBUG ", "a request was refused", "a request failed"]
            .iter()
            .all(|part| logs.contains(part)),
        "the logs are as verbose as they can be"
    );
    // A slow hash protects a password only from who does not have it.
    assert!(
        !logs.contains("$argon2"),
        "a password's hash is in the logs: {}",
        around(&logs, "$argon2")
    );
    places.push(("the logs".to_owned(), logs));
    places.push(("the command line program's log".to_owned(), stack.cli_log()));

    let secrets = visitor.secrets.borrow();
    let mut found = vec![];
    for secret in secrets.iter() {
        for form in secret.forms() {
            let shown = places.iter().filter(|(_, text)| text.contains(&form));
            found.extend(
                shown.map(|(place, text)| format!("{place} shows {}: {}", secret.what, around(text, &form))),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What the `bytea` columns of a dump hold, as it would read.
fn bytes_as_text(dump: &str) -> String {
    let mut all = String::new();
    for hex in dump.split("'\\x").skip(1) {
        let digits = hex.split('\'').next().unwrap_or_default();
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .filter_map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        all.push_str(&String::from_utf8_lossy(&bytes));
        all.push('\n');
    }
    assert!(!all.is_empty(), "secrets are kept as bytes");
    all
}

/// The line around what was found, without all of it.
fn around<'a>(text: &'a str, found: &str) -> &'a str {
    let at = text.find(found).unwrap_or(0);
    let from = text[..at]
        .char_indices()
        .rev()
        .nth(200)
        .map_or(0, |(index, _)| index);
    text.get(from..at + 6).unwrap_or("(not shown)")
}
