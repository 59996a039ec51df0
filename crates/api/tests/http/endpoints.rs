//! Endpoints: register, change, rotate, test, enable, delete.

use serde_json::json;

use crate::support::with_server;

const ENDPOINTS: &str = "/api/v1/webhook-endpoints";

#[tokio::test(flavor = "multi_thread")]
async fn s0_06_s0_10_s0_13_s0_14_the_pages_request_makes_an_endpoint() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let body = "{\n\"url\": \"https://hooks.example.com/bwp\",\n\"eventTypes\": [\"bid.accepted\"],\n\"description\": \"Notify sales when a bid is won\"\n}";
        let created = client.post(ENDPOINTS, body).await.expect(201);
        let endpoint = &created["data"];
        assert!(endpoint["id"].as_i64().is_some_and(|id| id > 0));
        assert_eq!(endpoint["url"], "https://hooks.example.com/bwp");
        assert_eq!(endpoint["eventTypes"], json!(["bid.accepted"]));
        assert_eq!(endpoint["description"], "Notify sales when a bid is won");
        assert_eq!(endpoint["isActive"], true);
        assert_eq!(endpoint["profile"], "buildworkpro");
        for (member, value) in [("disabledReason", json!(null)), ("rateLimit", json!(null)), ("consecutiveFailures", json!(0))] {
            assert_eq!(endpoint[member], value, "{member}");
        }
        let secret = endpoint["signingSecret"].as_str().expect("a secret");
        assert!(secret.starts_with("whsec_") && secret.len() == 70);
        assert_eq!(endpoint["uid"].as_str().map(str::len), Some(36));
        assert!(endpoint["createdAt"].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_15_a_secret_is_shown_once_and_never_again() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let created = client
            .keyed(
                "create",
                hyper::Method::POST,
                ENDPOINTS,
                r#"{"url":"https://hooks.example.com/","eventTypes":["bid.created"]}"#,
            )
            .await;
        let endpoint = created.expect(201)["data"].clone();
        let path = format!("{ENDPOINTS}/{}", endpoint["id"]);
        let rotated = client.act(&format!("{path}/rotate-secret")).await.expect(200);
        let secrets = [&endpoint["signingSecret"], &rotated["data"]["signingSecret"]]
            .map(|s| s.as_str().expect("a secret").to_owned());
        assert_ne!(secrets[0], secrets[1], "s0_16: a rotation makes a new one");

        let repeated = client
            .keyed(
                "create",
                hyper::Method::POST,
                ENDPOINTS,
                r#"{"url":"https://hooks.example.com/","eventTypes":["bid.created"]}"#,
            )
            .await;
        for answer in [
            repeated,
            client.get(ENDPOINTS).await,
            client.get(&path).await,
            client.patch(&path, r#"{"description":"new"}"#).await,
            client.act(&format!("{path}/enable")).await,
            client.act(&format!("{path}/test")).await,
            client.get(&format!("{path}/deliveries")).await,
        ] {
            assert!(answer.status.is_success());
            let text = answer.text();
            assert!(
                !text.contains("signingSecret") && !text.contains("whsec_"),
                "{text}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_09_s0_40_a_url_is_public_and_https() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        for (url, code) in [
            ("http://hooks.example.com/", "not_https"),
            ("https://127.0.0.1/", "forbidden_address"),
            ("https://10.1.2.3/", "forbidden_address"),
            ("https://[::1]/", "forbidden_address"),
            ("https://169.254.169.254/latest", "forbidden_address"),
            ("https://0x7f000001/", "forbidden_address"),
            ("https://2130706433/", "forbidden_address"),
            ("https://[::ffff:127.0.0.1]/", "forbidden_address"),
            ("https://localhost/", "forbidden_address"),
            ("https://printer.local/", "forbidden_address"),
            ("https://intranet/", "forbidden_address"),
            ("https://hooks.example.com:25/", "forbidden_address"),
            ("https://user:pass@hooks.example.com/", "invalid"),
            ("https://hooks.example.com/#part", "invalid"),
            ("hooks.example.com", "invalid"),
            ("", "invalid"),
        ] {
            let body = json!({"url": url, "eventTypes": ["bid.accepted"]});
            assert_eq!(
                client.post(ENDPOINTS, body).await.faults(),
                [format!("url: {code}")],
                "{url}"
            );
        }
        rig.dns
            .resolve("mixed.example.com", &["93.184.215.14", "192.168.0.1"]);
        let body = json!({"url": "https://mixed.example.com/", "eventTypes": ["bid.accepted"]});
        assert_eq!(
            client.post(ENDPOINTS, body).await.faults(),
            ["url: forbidden_address"],
            "one address is enough"
        );
        for url in [
            "https://93.184.215.14/x",
            "https://hooks.example.com:8443/",
            "https://unknown.example.com/",
        ] {
            client
                .post(ENDPOINTS, json!({"url": url, "eventTypes": ["bid.accepted"]}))
                .await
                .expect(201);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_faulty_field_is_named_as_the_client_wrote_it() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        for (body, faults) in [
            ("{}", vec!["url: required", "eventTypes: required"]),
            (r#"{"url":7,"eventTypes":"bid.accepted","colour":1}"#, vec!["url: invalid_type", "eventTypes: invalid_type", "colour: unknown_field"]),
            (r#"{"url":"https://a.example.com/","eventTypes":[]}"#, vec!["eventTypes: required"]),
            (r#"{"url":"https://a.example.com/","eventTypes":["bid.created","bid.sent","webhook.test"]}"#, vec!["eventTypes[1]: unknown_event_type", "eventTypes[2]: unknown_event_type"]),
            (r#"{"url":"https://a.example.com/","eventTypes":["bid.created"],"rateLimit":0,"headers":{"Host":"x"}}"#, vec!["rateLimit: invalid", "headers: invalid"]),
            (r#"{"url":"https://a.example.com/","url":"https://a.example.com/","eventTypes":["bid.created"]}"#, vec!["url: duplicate_field"]),
            (r#"{"url":"https://a.example.com/","eventTypes":["bid.created"],"description":"\u0000"}"#, vec!["description: invalid"]),
            ("[]", vec!["body: invalid_type"]),
        ] {
            assert_eq!(client.post(ENDPOINTS, body).await.faults(), faults, "{body}");
        }
        let malformed = client.post(ENDPOINTS, "{\"url\":").await.problem(400, "bad_request");
        assert!(malformed["detail"].as_str().is_some_and(|detail| detail.contains("line 1 column 7")), "{malformed}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g20_a_change_changes_what_it_names_and_nothing_else() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let full = json!({
            "url": "https://a.example.com/x", "eventTypes": ["bid.created"], "description": "one", "rateLimit": 60,
            "headers": {"X-Team": "blue"}
        });
        let created = client.post(ENDPOINTS, full).await.expect(201)["data"].clone();
        let path = format!("{ENDPOINTS}/{}", created["id"]);
        let change = async |body: &str| client.patch(&path, body).await.expect(200)["data"].clone();

        let mut expected = client.get(&path).await.expect(200)["data"].clone();
        assert_eq!(expected["headerNames"], json!(["X-Team"]));
        assert_eq!(change("{}").await, expected, "nothing is no change");
        let steps = [
            (r#"{"description":null}"#, "description", json!(null)),
            (r#"{"rateLimit":null}"#, "rateLimit", json!(null)),
            (r#"{"rateLimit":5}"#, "rateLimit", json!(5)),
            (r#"{"eventTypes":["bid.rejected","bid.accepted"]}"#, "eventTypes", json!(["bid.accepted", "bid.rejected"])),
            (r#"{"url":"https://b.example.com/"}"#, "url", json!("https://b.example.com/")),
            (r#"{"headers":{"Authorization":"b","X-A":"a"}}"#, "headerNames", json!(["Authorization", "X-A"])),
            (r#"{"headers":{}}"#, "headerNames", json!([])),
        ];
        for (body, member, value) in steps {
            let changed = change(body).await;
            expected[member] = value;
            expected["updatedAt"] = changed["updatedAt"].clone();
            assert_eq!(changed, expected, "{body}");
        }
        let paused = change(r#"{"isActive":false}"#).await;
        assert_eq!((&paused["isActive"], &paused["disabledReason"]), (&json!(false), &json!("manual")));
        let enabled = client.act(&format!("{path}/enable")).await.expect(200);
        assert_eq!((&enabled["data"]["isActive"], &enabled["data"]["disabledReason"]), (&json!(true), &json!(null)));

        let refused = client.patch(&path, r#"{"url":null,"eventTypes":[],"isActive":"no","signingSecret":"x"}"#).await;
        assert_eq!(
            refused.faults(),
            ["url: invalid_type", "isActive: invalid_type", "signingSecret: unknown_field"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_secret_may_be_prepared_and_activated() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let path = client.endpoint().await;
        let activate = format!("{path}/activate-secret");
        client.act(&activate).await.problem(409, "conflict");
        let rotate = format!("{path}/rotate-secret");
        let prepared = client
            .post(&rotate, r#"{"activateInSeconds":3600}"#)
            .await
            .expect(200);
        assert!(
            prepared["data"]["signingSecret"]
                .as_str()
                .is_some_and(|secret| secret.starts_with("whsec_"))
        );
        client.act(&activate).await.expect(200);
        client.act(&activate).await.problem(409, "conflict");
        for body in [r#"{"activateInSeconds":0}"#, r#"{"activateInSeconds":99999999}"#] {
            assert_eq!(
                client.post(&rotate, body).await.faults(),
                ["activateInSeconds: invalid"]
            );
        }
        assert_eq!(
            client
                .post(&rotate, r#"{"activateInSeconds":"1h"}"#)
                .await
                .faults(),
            ["activateInSeconds: invalid_type"]
        );
        client.post(&rotate, "{}").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_endpoint_is_gone() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let path = client.endpoint().await;
        client.delete(&path).await.expect(204);
        for answer in [
            client.get(&path).await,
            client.delete(&path).await,
            client.act(&format!("{path}/test")).await,
        ] {
            answer.problem(404, "not_found");
        }
        assert_eq!(client.get(ENDPOINTS).await.expect(200)["data"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tests_delivery_is_in_the_log_and_can_be_sent_again() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let path = client.endpoint().await;
        client.patch(&path, r#"{"isActive":false}"#).await.expect(200);
        let sent = client.act(&format!("{path}/test")).await.expect(202)["data"].clone();
        client.act(&format!("{path}/enable")).await.expect(200);

        let log = client
            .get(&format!(
                "{path}/deliveries?status=pending&eventType=webhook.test&since=2020-01-01T00:00:00Z"
            ))
            .await;
        let log = log.expect(200);
        let delivery = &log["data"][0];
        assert_eq!(delivery["id"], sent["deliveryId"]);
        assert_eq!(delivery["eventId"], sent["eventId"]);
        assert_eq!(delivery["status"], "pending");
        for query in [
            "status=failed",
            "eventId=evt_00000000000000000000000000000000",
            "until=2020-01-01T00:00:00Z",
        ] {
            assert_eq!(
                client
                    .get(&format!("{path}/deliveries?{query}"))
                    .await
                    .expect(200)["data"],
                json!([]),
                "{query}"
            );
        }
        for (query, faults) in [
            ("status=Pending", "status: invalid"),
            ("eventType=Bid", "eventType: invalid"),
            ("eventId=1", "eventId: invalid"),
            ("since=yesterday", "since: invalid"),
            ("until=2026-01-01", "until: invalid"),
            ("sort=asc", "sort: unknown_parameter"),
        ] {
            assert_eq!(
                client.get(&format!("{path}/deliveries?{query}")).await.faults(),
                [faults]
            );
        }

        let detail = format!(
            "/api/v1/webhook-deliveries/{}",
            sent["deliveryId"].as_str().expect("an id")
        );
        let answer = client.get(&detail).await;
        let shown = answer.expect(200)["data"].clone();
        assert_eq!(shown["attempts"], json!([]));
        assert_eq!(shown["payload"]["type"], "webhook.test");
        assert_eq!(shown["payload"]["id"], sent["eventId"]);
        assert_eq!(shown["payload"]["tenant_id"], client.tenant.0);

        let replay = client.act(&format!("{detail}/replay")).await.expect(202)["data"].clone();
        assert_ne!(replay["id"], sent["deliveryId"]);
        assert_eq!(
            (&replay["eventId"], &replay["replayOf"]),
            (&sent["eventId"], &sent["deliveryId"])
        );

        let recover = format!("{path}/recover");
        let recovered = client
            .post(&recover, r#"{"since":"2020-01-01T00:00:00Z","dryRun":true}"#)
            .await
            .expect(202);
        assert_eq!(recovered["data"]["deliveries"], 0);
        assert!(recovered["data"]["startedAt"].is_string());
        assert_eq!(client.post(&recover, "{}").await.faults(), ["since: required"]);
        assert_eq!(
            client
                .post(&recover, r#"{"since":"2999-01-01T00:00:00Z"}"#)
                .await
                .faults(),
            ["since: invalid"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g20_a_tenant_has_as_many_endpoints_as_it_may() {
    crate::support::with_server_and(&["--max-endpoints-per-tenant", "2"], async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        for _ in 0..2 {
            client.endpoint().await;
        }
        let body = json!({"url": "https://a.example.com/", "eventTypes": ["bid.created"]});
        client.post(ENDPOINTS, body).await.problem(409, "conflict");
        rig.tenant("webhooks:manage").await.endpoint().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_registrations_at_once_do_not_wait_for_each_others_connections() {
    crate::support::with_server_and(&["--database-pool-size", "4"], async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        let one = || {
            client.post(
                ENDPOINTS,
                json!({"url": "https://a.example.com/", "eventTypes": ["bid.created"]}),
            )
        };
        let answers = futures_util::future::join_all((0..32).map(|_| one())).await;
        for answer in answers {
            answer.expect(201);
        }
    })
    .await;
}
