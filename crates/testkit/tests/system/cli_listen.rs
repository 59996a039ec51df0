//! `plumbline listen`: what reaches a developer's machine, and that nothing of it is missed.

use std::collections::BTreeSet;

use plumbline_testkit::{Received, Receiver, Reply, Stack};
use serde_json::{Value, json};

use crate::text;

/// The lines of a command with `--json`.
fn parsed(stdout: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    stdout.lines().map(parse).collect()
}

/// The names of its headers, in order, but for those that name the place.
fn names(request: &Received) -> BTreeSet<String> {
    request
        .headers
        .iter()
        .map(|(name, _)| name.to_lowercase())
        .collect()
}

#[tokio::test]
async fn events_arrive_as_the_dispatcher_sends_them_and_none_is_missed_while_the_api_is_away() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let endpoint = api
        .create_endpoint(&receiver.url("/real"), &["bid.accepted"])
        .await;
    let target = receiver.url("/local");
    let developer = stack.developer(api);
    let arguments = [
        "listen",
        "--forward-to",
        &target,
        "--events",
        "bid.accepted",
        "--json",
    ];
    let mut listening = developer.start("listen", &arguments);
    listening.wait_for("Connected", 1).await;

    // The same event to both, written as its publisher likes it: the same bytes, the same headers, each signed with its own secret.
    let data = "{\n  \"id\": 22,\n  \"n\": 1e400\n}";
    let triggered = developer
        .ends(&["trigger", "bid.accepted", "--data", data, "--json"])
        .await;
    assert_eq!(triggered.code, Some(0), "{triggered:#?}");
    let event = text(&triggered.json(), "eventId").to_owned();
    api.publish("bid.rejected", json!({"id": 1})).await;
    let local = receiver.wait_for_on("/local", 1).await.remove(0);
    let real = receiver.wait_for_on("/real", 1).await.remove(0);
    listening.wait_for("\"attempt\":1", 1).await;
    let introduced = parsed(&listening.lines().join("\n")).remove(0);
    let secret = text(&introduced["listening"], "secret").to_owned();
    assert!(secret.starts_with("whsec_"), "{introduced:#}");
    local.verify(&secret).expect("signed with the session's secret");
    real.verify(&endpoint.secret).expect("signed with the endpoint's");
    assert_eq!((local.event_id(), &local.body), (real.event_id(), &real.body));
    assert_eq!((local.event_id(), names(&local)), (&*event, names(&real)));
    assert!(String::from_utf8_lossy(&local.body).contains(data));

    // What is accepted while nobody streams comes when somebody does again.
    let host = stack.database().connect().await;
    let emit = async |id: usize| -> String {
        let sql = format!(
            "SELECT plumbline.emit({}, 'bid.accepted', '{{\"id\": {id}}}')",
            api.tenant()
        );
        host.query_one(&sql, &[]).await.expect("emitted").get(0)
    };
    stack.api_process().stop().await;
    listening.wait_for("The connection is lost", 1).await;
    let mut expected = BTreeSet::from([event]);
    for id in 0..5 {
        expected.insert(emit(id).await);
    }
    stack.api_process().start().await;
    expected.insert(api.publish("bid.accepted", json!({"id": 99})).await);
    receiver.wait_for_on("/local", expected.len()).await;
    listening.wait_for("\"attempt\":1", expected.len()).await;

    listening.interrupt();
    let ended = listening.wait_exit().await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let lines = parsed(&ended.stdout);
    let forwarded: Vec<&str> = lines.iter().filter_map(|line| line["eventId"].as_str()).collect();
    assert_eq!(forwarded.len(), expected.len(), "none of them twice: {ended:#?}");
    assert_eq!(
        forwarded.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
        expected
    );
    let summary = &lines.last().expect("a summary")["summary"];
    assert_eq!(summary, &json!({"events": 7, "succeeded": 7, "failed": 0}));

    // A receiver that fails is told of, and asked again where that was asked for.
    receiver.script("/flaky", [Reply::status(500), Reply::status(204)]);
    let target = receiver.url("/flaky");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let arguments = [
        "listen",
        "--forward-to",
        &target,
        "--profile",
        "buildmarkets",
        "--secret",
        secret,
        "--retry",
        "--count",
        "1",
    ];
    let mut listening = developer.start("flaky", &arguments);
    listening.wait_for("Connected", 1).await;
    let event = api.publish("bid.accepted", json!({"id": 1})).await;
    let ended = listening.wait_exit().await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("500") && ended.stdout.contains("again in 1 s"),
        "{all}"
    );
    assert!(ended.stdout.contains("1 event: 1 succeeded, 0 failed."), "{all}");
    assert!(
        !all.contains(secret) && !all.contains(api.key()) && !all.contains('\u{1b}'),
        "{all}"
    );
    let [first, second] = &receiver.requests_on("/flaky")[..] else {
        panic!("two attempts: {all}");
    };
    assert_eq!((first.the("webhook-id"), &first.body), (&*event, &second.body));
    // And what came verifies, or says why not.
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| format!("{name}: {}", second.the(name)));
    let mut arguments = vec!["verify", "--secret", secret, "--json"];
    for header in &headers {
        arguments.extend(["--header", header]);
    }
    let body = String::from_utf8(second.body.to_vec()).expect("UTF-8");
    let right = developer.ends_with_input(&arguments, &body).await;
    assert_eq!(
        (right.code, &right.json()["valid"]),
        (Some(0), &json!(true)),
        "{right:#?}"
    );
    let wrong = developer
        .ends_with_input(&arguments, &body.replace(',', ", "))
        .await;
    assert_eq!(wrong.code, Some(1), "{wrong:#?}");
    assert_eq!(wrong.json()["faults"][0]["code"], "body_changed", "{wrong:#?}");
}
