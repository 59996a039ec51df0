//! The developers' other commands: publish, look, send again, and what each exit code means.

use plumbline_testkit::{Receiver, Reply, Stack};
use serde_json::{Value, json};

use crate::text;

#[tokio::test]
async fn what_failed_is_seen_explained_and_sent_again() {
    let (stack, receiver) = (Stack::start().await, Receiver::start().await);
    let api = stack.api();
    let developer = stack.developer(api);
    let url = receiver.url("/hook");
    let created = developer
        .ends(&["endpoints", "create", &url, "--events", "bid.accepted", "--json"])
        .await;
    assert_eq!(created.code, Some(0), "{created:#?}");
    let created = created.json();
    let secret = text(&created, "signingSecret").to_owned();
    let id = created["id"].to_string();

    // A receiver that says no: `trigger --wait` says so, and the log says what to do.
    receiver.always_on("/hook", Reply::status(400).body("bad signature"));
    let triggered = developer.ends(&["trigger", "bid.accepted", "--wait"]).await;
    assert_eq!(triggered.code, Some(1), "{triggered:#?}");
    assert!(
        triggered.stdout.contains("failed") && triggered.stdout.contains("400"),
        "{triggered:#?}"
    );
    let failed = developer
        .ends(&["deliveries", "--status", "failed", "--endpoint", &id, "--json"])
        .await
        .json();
    let [delivery] = &failed["deliveries"].as_array().expect("a list")[..] else {
        panic!("one delivery: {failed:#}");
    };
    let delivery = text(delivery, "id");
    let shown = developer.ends(&["delivery", delivery, "--payload"]).await;
    for words in [
        "bad signature",
        "plumbline verify",
        "plumbline replay",
        "\"type\":\"bid.accepted\"",
    ] {
        assert!(shown.stdout.contains(words), "{words}: {}", shown.stdout);
    }

    receiver.always_on("/hook", Reply::status(200));
    let replayed = developer.ends(&["replay", delivery, "--wait", "--json"]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:#?}");
    assert_eq!(replayed.json()["replayOf"], *delivery);

    // Its maintenance: what it skipped is counted, asked about, and sent; what arrived meanwhile is not among it.
    let disabled = developer
        .ends(&["endpoints", "disable", &id, "--json"])
        .await
        .json();
    assert_eq!(disabled["isActive"], false);
    for number in 0..3 {
        let data = json!({ "id": number }).to_string();
        let wait = ["trigger", "bid.accepted", "--data", &data, "--wait", "--json"];
        let skipped = developer.ends(&wait).await.json();
        assert_eq!(skipped["deliveries"][0]["status"], "skipped", "{skipped:#}");
    }
    assert_eq!(developer.ends(&["endpoints", "enable", &id]).await.code, Some(0));
    let recover = ["recover", &id, "--since", "1h", "--json"];
    let counted = developer.ends(&[&recover[..], &["--dry-run"]].concat()).await;
    assert_eq!(
        counted.json(),
        json!({"deliveries": 3, "dryRun": true}),
        "{counted:#?}"
    );
    let asked = developer.ends(&recover).await;
    assert_eq!(asked.code, Some(64));
    assert!(
        asked.stderr.contains("3 deliveries") && asked.stderr.contains("--yes"),
        "{asked:#?}"
    );
    let recovered = developer.ends(&[&recover[..], &["--yes"]].concat()).await;
    assert_eq!(recovered.code, Some(0), "{recovered:#?}");
    let expected = json!({"deliveries": 3, "dryRun": false, "succeeded": 3, "failed": 0, "pending": 0});
    assert_eq!(recovered.json(), expected);

    // How it fares, its test, and another secret.
    let listed = developer.ends(&["endpoints", "--json"]).await.json();
    assert_eq!(listed["endpoints"][0]["id"].to_string(), id, "{listed:#}");
    assert_eq!(listed["stats"][0]["endpointId"].to_string(), id, "{listed:#}");
    let tested = developer.ends(&["endpoints", "test", &id, "--json"]).await;
    assert_eq!(
        (tested.code, &tested.json()["eventType"]),
        (Some(0), &json!("webhook.test"))
    );
    let rotated = developer.ends(&["endpoints", "rotate", &id, "--yes"]).await;
    assert!(
        rotated.stdout.starts_with("whsec_") && !rotated.stdout.contains(&secret),
        "{rotated:#?}"
    );
    let events = developer
        .ends(&["events", "--type", "bid.accepted", "--limit", "2", "--json"])
        .await
        .json();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2), "{events:#}");
    let types = developer.ends(&["event-types"]).await.stdout;
    assert!(
        types.contains("bid.accepted") && !types.contains('\u{1b}'),
        "{types}"
    );

    // Following shows what is there, then what comes.
    let mut following = developer.start(
        "follow",
        &[
            "deliveries",
            "--follow",
            "--endpoint",
            &id,
            "--limit",
            "1",
            "--json",
        ],
    );
    following.wait_for("dlv_", 1).await;
    let event = api.publish("bid.accepted", json!({"id": 7})).await;
    following.wait_for(&event, 1).await;
    following.interrupt();
    let followed = following.wait_exit().await;
    assert_eq!(followed.code, Some(0), "{followed:#?}");
    let rows = followed.stdout.lines().map(serde_json::from_str::<Value>);
    assert!(rows.into_iter().all(|row| row.is_ok()), "{followed:#?}");
    let deleted = developer
        .ends(&["endpoints", "delete", &id, "--yes", "--json"])
        .await;
    assert_eq!(deleted.json()["deleted"].to_string(), id);
}

#[tokio::test]
async fn every_way_to_fail_has_its_exit_code_and_names_the_remedy() {
    let stack = Stack::start().await;
    let developer = stack.developer(stack.api());
    let reader = stack.key(stack.api().tenant(), "events:read").await;
    let unknown = "dlv_01900000000070008000000000000001";
    for (developer, arguments, code, remedy) in [
        (
            developer.clone().with("PLUMBLINE_URL", ""),
            &["events"][..],
            64,
            "PLUMBLINE_URL (--url)",
        ),
        (
            developer.clone().with("PLUMBLINE_API_KEY", ""),
            &["events"],
            64,
            "PLUMBLINE_API_KEY (--api-key)",
        ),
        (
            developer.clone().with("PLUMBLINE_API_KEY", "plk_live_wrong"),
            &["events"],
            77,
            "PLUMBLINE_API_KEY",
        ),
        (
            developer.clone().with("PLUMBLINE_URL", "http://127.0.0.1:1"),
            &["events"],
            69,
            "PLUMBLINE_URL (--url)",
        ),
        (
            stack.developer(&reader),
            &["trigger", "bid.accepted", "--data", "{}"],
            77,
            "`events:write`",
        ),
        (stack.developer(&reader), &["events", "--limit", "1"], 0, ""),
        (developer.clone(), &["delivery", unknown], 64, ""),
        (
            developer.clone(),
            &["trigger", "bid.exploded"],
            64,
            "plumbline event-types",
        ),
        (
            developer.clone(),
            &["trigger", "bid.accepted", "--data", "[1]"],
            64,
            "--data",
        ),
        (
            developer.clone(),
            &["listen", "--forward-to", "localhost"],
            64,
            "http://localhost:3000/hook",
        ),
        (
            developer.clone(),
            &[
                "endpoints",
                "create",
                "ftp://a.example",
                "--events",
                "bid.accepted",
            ],
            64,
            "url ",
        ),
        (
            developer.clone(),
            &[
                "verify",
                "--secret",
                "whsec_x",
                "--header",
                "BuildWorkPro-Signature: t=1",
            ],
            1,
            "v1=<64 hex digits>",
        ),
        (
            developer.clone(),
            &["completions", "zsh"],
            0,
            "#compdef plumbline",
        ),
    ] {
        let ended = developer.ends(arguments).await;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:#?}");
        assert!(said.contains(remedy), "{arguments:?}: {ended:#?}");
        assert!(
            !said.contains("plk_live_") && !said.contains("panicked"),
            "{arguments:?}: {ended:#?}"
        );
    }
}
