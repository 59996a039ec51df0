//! What an operator's command line finds out and puts right, on a system that runs.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use plumbline_testkit::stack::Ended;
use plumbline_testkit::{Receiver, Reply, Stack, eventually};
use serde_json::{Value, json};

use crate::text;

/// What the doctor found, by what it looked at: the status, and the explanation with the remedy.
fn findings(ended: &Ended) -> BTreeMap<String, (String, String)> {
    let report = ended.json();
    let checks = report["checks"].as_array().expect("a list").iter();
    checks
        .map(|check| {
            let said = format!(
                "{}; {}",
                text(check, "explanation"),
                check["remedy"].as_str().unwrap_or_default()
            );
            (
                text(check, "what").to_owned(),
                (text(check, "status").to_owned(), said),
            )
        })
        .collect()
}

/// The doctor's finding about this, when it has this status.
fn finding<'a>(found: &'a BTreeMap<String, (String, String)>, what: &str, status: &str) -> &'a str {
    let (is, said) = found
        .get(what)
        .unwrap_or_else(|| panic!("nothing about {what} in {found:#?}"));
    assert_eq!(is, status, "{what}: {said}");
    said
}

#[tokio::test]
async fn the_doctor_finds_a_sound_system_sound_and_names_each_thing_that_is_not() {
    let stack = Stack::builder()
        .broker_proxy()
        .database_proxy()
        .setting("DISABLE_AFTER", "2")
        .setting("RETRY_SCHEDULE", "10ms,1h")
        .start()
        .await;
    let (api, receiver) = (stack.api(), Receiver::start().await);
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    let event = api.publish("bid.created", json!({"id": 1})).await;
    api.wait_delivery_status(endpoint.id, &event, "succeeded").await;
    let doctor = async || stack.cli_ends(&["doctor", "--json"]).await;

    let sound = doctor().await;
    assert_eq!(
        (sound.code, &sound.json()["status"]),
        (Some(0), &json!("ok")),
        "{sound:#?}"
    );
    let words = stack.cli_ends(&["doctor"]).await;
    assert!(words.stdout.lines().count() > 8, "{words:#?}");
    assert!(
        words
            .stdout
            .lines()
            .all(|line| line.starts_with("ok ") && line.contains(" - ")),
        "{words:#?}"
    );

    // Something to look at: a dead message, and an endpoint that is no more.
    stack.broker().publish_raw("plumbline.retries", b"\xff").await;
    let bad = api
        .create_endpoint(&receiver.url("/bad"), &["bid.accepted"])
        .await;
    receiver.always_on("/bad", Reply::status(500));
    api.publish("bid.accepted", json!({"id": 2})).await;
    let seen = eventually("the doctor to see both", async || {
        let ended = doctor().await;
        let found = findings(&ended);
        let both = ["dead messages", "disabled endpoints"].map(|what| found[what].0 == "warn");
        (both == [true, true]).then_some((ended, found))
    })
    .await;
    let (ended, found) = seen;
    assert_eq!((ended.code, &ended.json()["status"]), (Some(1), &json!("warn")));
    assert!(finding(&found, "dead messages", "warn").contains("1 × `not UTF-8` (from plumbline.retries)"));
    let named = format!("{} of tenant {} (2 failures)", bad.id, api.tenant());
    assert!(
        finding(&found, "disabled endpoints", "warn").contains(&named),
        "{found:#?}"
    );

    // Nobody consumes, somebody else's key, a day's partition is gone.
    stack.dispatcher(0).stop().await;
    api.publish("bid.created", json!({"id": 3})).await;
    let sql = stack.database().connect().await;
    let spoil = "
        UPDATE plumbline.endpoint_secrets SET master_key_id = 'lost' WHERE endpoint_id = (SELECT min(id) FROM plumbline.endpoints);
        UPDATE plumbline.deliveries SET next_attempt_at = now() - interval '10 minutes' WHERE status = 'pending';
        INSERT INTO plumbline.outbox (event_id, tenant_id, lane, state)
        VALUES (plumbline.uuid_v7(now() - interval '2 minutes'), 1, 'fast', 'sent');
        DO $$ BEGIN
            EXECUTE 'DROP TABLE plumbline.events_p' || to_char(now() AT TIME ZONE 'UTC' + interval '2 days', 'YYYYMMDD');
        END $$";
    sql.batch_execute(spoil).await.expect("spoilt");
    let ended = doctor().await;
    assert_eq!(
        (ended.code, &ended.json()["status"]),
        (Some(2), &json!("fail")),
        "{ended:#?}"
    );
    let found = findings(&ended);
    let idle = finding(&found, "queue plumbline.events.fast.0", "fail");
    assert!(
        idle.contains("no dispatcher is consuming; 1 message waits"),
        "{idle}"
    );
    finding(&found, "sweep", "fail");
    finding(&found, "relay", "ok");
    assert!(finding(&found, "outbox", "warn").contains("2 rows"), "{found:#?}");
    finding(&found, "deliveries", "fail");
    assert!(
        finding(&found, "partitions", "warn").contains("only 1 day is made ahead"),
        "{found:#?}"
    );
    assert!(
        finding(&found, "master keys", "fail").contains("`lost`, which is not given"),
        "{found:#?}"
    );

    // Neither answers.
    stack.broker_proxy().refuse();
    stack.database_proxy().refuse();
    let ended = doctor().await;
    assert_eq!(ended.code, Some(2));
    let found = findings(&ended);
    finding(&found, "PostgreSQL", "fail");
    finding(&found, "RabbitMQ", "fail");
    assert_eq!(
        found.len(),
        2,
        "what cannot be looked at is not guessed: {found:#?}"
    );
    assert!(!ended.stdout.contains(stack.master_keys()));
}

#[tokio::test]
async fn the_doctor_knows_a_wrong_password_from_a_wrong_name_and_an_empty_database() {
    let mut stack = Stack::start().await;
    let sql = stack.database().connect().await;
    sql.batch_execute("DELETE FROM plumbline.refinery_schema_history WHERE version = 9")
        .await
        .expect("deleted");
    let found = findings(&stack.cli_ends(&["doctor", "--json"]).await);
    let missing = finding(&found, "schema", "fail");
    assert!(
        missing.contains("V9__endpoint_news; run `plumbline migrate`"),
        "{missing}"
    );

    let mut elsewhere = stack.broker().amqp_url();
    elsewhere.set_path("nowhere");
    let mut stranger = stack.broker().amqp_url();
    stranger
        .set_password(Some("swordfish"))
        .expect("a URL with a user");
    for (url, remedy) in [(elsewhere, "virtual host"), (stranger, "password")] {
        stack.set("AMQP_URL", url.as_str());
        let ended = stack.cli_ends(&["doctor", "--json"]).await;
        let found = findings(&ended);
        assert!(finding(&found, "RabbitMQ", "fail").contains(remedy), "{found:#?}");
        assert!(!format!("{ended:?}").contains("swordfish"), "{ended:#?}");
    }
    stack.set("AMQP_URL", "amqp//");
    let refused = stack.cli_ends(&["doctor"]).await;
    assert_eq!(refused.code, Some(64));
    assert!(refused.stderr.contains("PLUMBLINE_AMQP_URL"), "{refused:#?}");
}

#[tokio::test]
async fn dead_messages_are_listed_put_back_and_forgotten_and_nothing_is_delivered_twice() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let endpoint = api.create_endpoint(&receiver.url("/"), &["bid.created"]).await;
    // A message that is in order: a copy of one that was delivered, as if its consumer had given it up half-way.
    stack.dispatcher(0).stop().await;
    let event = api.publish("bid.created", json!({"id": 1})).await;
    let queue = "plumbline.events.fast.0";
    let message = eventually("the event in its queue", async || {
        stack.broker().peek(queue, 1).await.pop()
    })
    .await;
    let headers = json!({"x-plumbline-reason": "a fault of ours", "x-plumbline-queue": queue});
    stack
        .broker()
        .publish_with("plumbline.dead", message.payload.as_bytes(), &headers)
        .await;
    stack.dispatcher(0).start().await;
    api.wait_delivery_status(endpoint.id, &event, "succeeded").await;
    // One that nobody can read, and one from nowhere.
    let newer = format!(r#"{{"v":9,"id":"{event}","tenant":{},"news":[]}}"#, api.tenant());
    stack.broker().publish_raw(queue, newer.as_bytes()).await;
    stack.broker().publish_raw("plumbline.dead", b"by hand").await;

    let list = async || stack.cli_ends(&["dead", "list", "--json"]).await.json();
    let listed = eventually("three dead messages", async || {
        let listed = list().await;
        (listed["total"] == 3).then_some(listed)
    })
    .await;
    let of = |listed: &Value, reason: Value| -> Value {
        let mut messages = listed["messages"].as_array().expect("a list").iter();
        let found = messages.find(|message| message["reason"] == reason);
        found
            .unwrap_or_else(|| panic!("none for {reason} in {listed:#}"))
            .clone()
    };
    let copy = of(&listed, json!("a fault of ours"));
    let unread = of(&listed, json!("unknown message version 9"));
    let strange = of(&listed, json!(null));
    for (member, value) in [
        ("queue", json!(queue)),
        ("by", json!("consumer")),
        ("bytes", json!(newer.len())),
        ("events", json!([event])),
        ("tenantId", json!(api.tenant())),
    ] {
        assert_eq!(unread[member], value, "{member} of {unread:#}");
    }
    let died_at: jiff::Timestamp = text(&unread, "diedAt").parse().expect("a time");
    assert!(died_at.duration_until(jiff::Timestamp::now()).as_secs() < 600);
    assert_eq!(list().await, listed, "looking changes nothing, ids included");
    let words = stack.cli_ends(&["dead", "list", "--limit", "1"]).await.stdout;
    assert!(
        words.contains("1 of 3 dead messages.") && words.contains(&event),
        "{words}"
    );

    // The copy goes back, and what is on record is not sent again.
    let ended = stack
        .cli_ends(&["dead", "requeue", text(&copy, "id"), "--json"])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(
        ended.json(),
        json!({"requeued": [copy["id"]], "failed": [], "unknown": []})
    );
    eventually("it to be dealt with", async || {
        (stack
            .database()
            .number("SELECT count(*) FROM plumbline.outbox")
            .await
            == 0)
            .then_some(())
    })
    .await;
    // What nobody can read comes back dead, as another one; what is from nowhere stays.
    let ended = stack.cli_ends(&["dead", "requeue", "--all", "--json"]).await;
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert_eq!(ended.json()["requeued"], json!([unread["id"]]));
    assert_eq!(ended.json()["failed"][0]["id"], strange["id"]);
    let again = eventually("two dead messages", async || {
        let listed = list().await;
        (listed["total"] == 2).then_some(listed)
    })
    .await;
    let again = of(&again, json!("unknown message version 9"));
    assert_ne!(again["id"], unread["id"]);

    let asked = stack.cli_ends(&["dead", "drop", text(&again, "id")]).await;
    assert_eq!(asked.code, Some(64));
    assert!(asked.stderr.contains("--yes"), "{asked:#?}");
    let gone = stack
        .cli_ends(&[
            "dead",
            "drop",
            text(&unread, "id"),
            text(&again, "id"),
            "--yes",
            "--json",
        ])
        .await;
    assert_eq!(gone.code, Some(1), "{gone:#?}");
    assert_eq!(
        gone.json(),
        json!({"dropped": [again["id"]], "unknown": [unread["id"]]})
    );
    let rest = stack
        .cli_ends(&["dead", "drop", "--all", "--yes", "--json"])
        .await;
    assert_eq!(rest.json()["dropped"], json!([strange["id"]]));
    assert_eq!(list().await, json!({"total": 0, "messages": []}));

    // Behind all that, the next event: nothing of the copy came before it.
    let next = api.publish("bid.created", json!({"id": 2})).await;
    api.wait_delivery_status(endpoint.id, &next, "succeeded").await;
    let arrived: Vec<_> = receiver.taken();
    assert_eq!(arrived, [event, next]);
}

#[tokio::test]
async fn the_master_key_is_rotated_while_everything_runs_and_the_old_one_is_taken_away() {
    let mut stack = Stack::start().await;
    let receiver = Receiver::start().await;
    let old = stack.master_keys().to_owned();
    let new = format!("newer:{}", STANDARD.encode([7; 32]));
    let mut endpoints = vec![];
    for path in ["/a", "/b", "/c"] {
        endpoints.push(
            stack
                .api()
                .create_endpoint(&receiver.url(path), &["bid.created"])
                .await,
        );
    }
    // A secret that waits for its time is one, too.
    let prepare = json!({"activateInSeconds": 3600});
    let path = format!("webhook-endpoints/{}/rotate-secret", endpoints[0].id);
    let prepared = stack.api().post(&path, prepare, 200).await;
    let restart = async |stack: &mut Stack, keys: &str| {
        stack.set("MASTER_KEYS", keys);
        for process in stack.processes() {
            process.stop().await;
        }
        for process in stack.processes() {
            process.start().await;
        }
    };
    restart(&mut stack, &format!("{new},{old}")).await;
    assert!(
        stack
            .cli_ends(&["doctor"])
            .await
            .stdout
            .contains("`plumbline secrets rekey`"),
        "it says what is left to do"
    );

    // While events are delivered and one secret after the other is replaced by its owner.
    let api = stack.api();
    let rotated = async {
        let mut secret = endpoints[1].secret.clone();
        let path = format!("webhook-endpoints/{}/rotate-secret", endpoints[1].id);
        for id in 0..10 {
            secret = text(&api.post(&path, json!({}), 200).await, "signingSecret").to_owned();
            api.publish("bid.created", json!({"id": id})).await;
        }
        secret
    };
    let rekeyed = async {
        let mut ended = vec![];
        for _ in 0..3 {
            ended.push(stack.cli_ends(&["secrets", "rekey", "--json"]).await);
        }
        ended
    };
    let (secret, ended) = tokio::join!(rotated, rekeyed);
    for ended in &ended {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    let last = ended.last().expect("three").json();
    assert_eq!(
        (&last["key"], &last["unopened"]),
        (&json!("newer"), &json!([])),
        "{last:#}"
    );
    assert_eq!(last["removable"], json!(["test"]), "{last:#}");
    assert!(ended[0].stderr.contains("secrets sealed anew"), "{ended:#?}");
    let again = stack.cli_ends(&["secrets", "rekey", "--json"]).await.json();
    assert_eq!(again["sealed"], 0, "repeated, it does nothing");
    let others = "SELECT count(*) FROM plumbline.endpoint_secrets WHERE master_key_id <> 'newer'";
    assert_eq!(stack.database().number(others).await, 0);

    restart(&mut stack, &new).await;
    let api = stack.api();
    let path = format!("webhook-endpoints/{}/activate-secret", endpoints[0].id);
    api.post(&path, json!({}), 200).await;
    endpoints[0].secret = text(&prepared, "signingSecret").to_owned();
    endpoints[1].secret = secret;
    let event = api.publish("bid.created", json!({"id": 99})).await;
    for (endpoint, path) in endpoints.iter().zip(["/a", "/b", "/c"]) {
        api.wait_delivery_status(endpoint.id, &event, "succeeded").await;
        let requests = receiver.requests_on(path);
        let request = requests.iter().find(|request| request.event_id() == event);
        request
            .expect("it arrived")
            .verify(&endpoint.secret)
            .unwrap_or_else(|error| panic!("{path} is signed with its owner's secret: {error:?}"));
    }
    let sound = stack.cli_ends(&["doctor", "--json"]).await;
    finding(&findings(&sound), "master keys", "ok");

    // The key that is gone opens nothing; that is said, and nothing is broken.
    stack.set("MASTER_KEYS", &old);
    let refused = stack.cli_ends(&["secrets", "rekey", "--json"]).await;
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.json()["sealed"], 0, "{refused:#?}");
    assert!(!format!("{refused:?}").contains(&old));
    assert_eq!(stack.database().number(others).await, 0);
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_with_all_that_was_its_own_and_nobody_else_notices() {
    let stack = Stack::builder()
        .setting("ATTEMPT_TIMEOUT", "1s")
        .setting("RETRY_SCHEDULE", "4s")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.always_on("/doomed", Reply::status(500));
    let doomed = stack.tenant("Doomed").await;
    let endpoint = doomed
        .create_endpoint(&receiver.url("/doomed"), &["bid.created"])
        .await;
    let event = doomed.publish("bid.created", json!({"id": 1})).await;
    doomed.wait_attempts(endpoint.id, &event, 1).await;
    let project = doomed.post("projects", json!({"name": "Tower"}), 201).await;
    let order = json!({"projectId": project["id"], "items": [{"description": "Door", "quantity": 1, "unitPrice": 2}]});
    doomed.post("change-orders", order, 201).await;
    let type_name = json!({"name": "tower.fell"});
    doomed.post("webhook-event-types", type_name, 201).await;
    let survivor = stack
        .api()
        .create_endpoint(&receiver.url("/survivor"), &["bid.created"])
        .await;
    let theirs = stack.api().publish("bid.created", json!({"id": 2})).await;
    stack
        .api()
        .wait_delivery_status(survivor.id, &theirs, "succeeded")
        .await;

    let id = doomed.tenant().to_string();
    let asked = stack.cli_ends(&["tenant", "delete", "--tenant", &id]).await;
    assert_eq!(asked.code, Some(64));
    assert!(
        asked.stderr.contains("Doomed") && asked.stderr.contains("--yes"),
        "{asked:#?}"
    );

    let ended = stack
        .cli_ends(&["tenant", "delete", "--tenant", &id, "--yes", "--json"])
        .await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let deleted = ended.json();
    assert_eq!(
        (&deleted["name"], &deleted["deleted"]["deliveries"]),
        (&json!("Doomed"), &json!(1)),
        "{deleted:#}"
    );
    let refused = doomed
        .send(
            Method::POST,
            "events",
            &json!({"type": "bid.created", "data": {}}),
        )
        .await;
    assert_eq!(refused.status.as_u16(), 401, "{}", refused.text());

    // Nothing is left in any table, whatever it is called.
    let tables = "
        SELECT table_name::text FROM information_schema.columns
        WHERE table_schema = 'plumbline' AND column_name = 'tenant_id'";
    let sql = stack.database().connect().await;
    let tables = sql.query(tables, &[]).await.expect("read");
    assert!(tables.len() > 15, "{} tables", tables.len());
    for table in &tables {
        let table: &str = table.get(0);
        let left = format!("SELECT count(*) FROM plumbline.{table} WHERE tenant_id = {id}");
        assert_eq!(stack.database().number(&left).await, 0, "{table}");
    }
    // Its retry comes back from its queue, finds nothing, and ends.
    eventually("the queues to be empty", async || {
        let found = findings(&stack.cli_ends(&["doctor", "--json"]).await);
        let queues = finding(&found, "queues", "ok");
        queues
            .contains("0 messages wait for dispatchers, 0 for their retries")
            .then_some(())
    })
    .await;
    assert_eq!(receiver.requests_on("/doomed").len(), 1);
    let sound = stack.cli_ends(&["doctor", "--json"]).await;
    assert_eq!(
        sound.code,
        Some(0),
        "no dead messages, nothing past due: {sound:#?}"
    );

    let again = stack
        .cli_ends(&["tenant", "delete", "--tenant", &id, "--yes"])
        .await;
    assert_eq!(again.code, Some(64), "{again:#?}");
    let next = stack.api().publish("bid.created", json!({"id": 3})).await;
    stack
        .api()
        .wait_delivery_status(survivor.id, &next, "succeeded")
        .await;
    let kept = stack.api().deliveries(survivor.id).await;
    assert_eq!(kept.len(), 2);
}

#[tokio::test]
async fn the_api_drops_days_beyond_retention_by_itself_and_keeps_what_is_pending() {
    let stack = Stack::builder().setting("RETENTION_DAYS", "7").start().await;
    let sql = stack.database().connect().await;
    // As if it had run for ten days: one delivery of nine days ago still waits, one of a tenant that is no more.
    let age = format!(
        "SELECT plumbline.ensure_partitions(current_date - 10, current_date);
        INSERT INTO plumbline.events (tenant_id, id, type, data, occurred_at, endpoints_version)
        SELECT {tenant}, plumbline.uuid_v7(now() - interval '9 days'), 'bid.created', '{{}}', now(), 1;
        INSERT INTO plumbline.deliveries (tenant_id, id, event_id, event_type, endpoint_id, kind, status, next_attempt_at)
        SELECT tenant_id, id, id, type, 1, 'event', 'pending', now() + interval '1 hour' FROM plumbline.events;
        INSERT INTO plumbline.deliveries (tenant_id, id, event_id, event_type, endpoint_id, kind, status, next_attempt_at)
        SELECT 4711, id, id, 'bid.created', 1, 'event', 'pending', now() + interval '1 hour'
        FROM plumbline.uuid_v7(now() - interval '8 days') AS id",
        tenant = stack.api().tenant()
    );
    sql.batch_execute(&age).await.expect("aged");
    stack.api_process().stop().await;
    stack.api_process().start().await;
    let days = "SELECT count(*) FROM plumbline.partition_days() AS day WHERE day < current_date - 7";
    eventually("all old days but one to be gone", async || {
        (stack.database().number(days).await == 1).then_some(())
    })
    .await;
    assert_eq!(
        stack
            .database()
            .number("SELECT count(*) FROM plumbline.deliveries")
            .await,
        1
    );
    assert_eq!(
        stack
            .database()
            .number("SELECT count(*) FROM plumbline.events")
            .await,
        1
    );
    let partitions = findings(&stack.cli_ends(&["doctor", "--json"]).await);
    finding(&partitions, "partitions", "ok");
}
