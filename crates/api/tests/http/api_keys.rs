//! API keys: made and revoked by an admin, shown once, and used from where they may be.

use hyper::header::AUTHORIZATION;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::people::Person;
use crate::support::{Answer, Client, Rig, Sql, with_database, with_server, with_server_and};

const KEYS: &str = "/api/v1/api-keys";

impl<'a> Person<'a> {
    /// A client with a new key; and the key's path.
    async fn key(&self, body: Value) -> (Client<'a>, String) {
        let created = self.post(KEYS, body).await.expect(201)["data"].clone();
        let client = Client {
            rig: self.rig,
            tenant: self.tenant,
            key: created["key"].as_str().map(str::to_owned),
        };
        (client, format!("{KEYS}/{}", created["id"]))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_may_do_what_its_scopes_say() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let body = json!({"name": "CI", "scopes": ["events:write", "events:read"], "mode": "test",
            "allowedIps": ["127.0.0.1", "::1", "2001:db8::/32"]});
        let created = admin.keyed("k", Method::POST, KEYS, &body).await.expect(201)["data"].clone();
        let key = created["key"].as_str().expect("shown").to_owned();
        assert!(key.starts_with("plk_test_") && key.len() == 73, "{key}");
        let mut record = created.clone();
        record.as_object_mut().expect("an object").remove("key");
        let hint = format!("plk_test_…{}", &key[69..]);
        assert_eq!(
            record,
            json!({"id": created["id"], "name": "CI", "hint": hint, "scopes": ["events:write", "events:read"],
                "allowedIps": ["127.0.0.1", "::1", "2001:db8::/32"], "createdAt": created["createdAt"],
                "lastUsedAt": null, "revokedAt": null})
        );
        let again = admin.keyed("k", Method::POST, KEYS, &body).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.expect(201)["data"], record, "without the key");
        let path = format!("{KEYS}/{}", created["id"]);
        assert_eq!(admin.get(&path).await.expect(200)["data"], record);
        let list = admin.get(KEYS).await;
        assert_eq!(list.expect(200)["data"], json!([record]));
        assert!(!list.text().contains(&key));

        let client = Client {
            rig,
            tenant: admin.tenant,
            key: Some(key),
        };
        let me = client.get("/api/v1/me").await.expect(200)["data"].clone();
        assert_eq!(
            (&me["keyId"], &me["scopes"]),
            (&created["id"], &json!(["events:write", "events:read"]))
        );
        client
            .get("/api/v1/webhook-endpoints")
            .await
            .problem(403, "scope_insufficient");
        let (live, _) = admin.key(json!({"name": "all", "scopes": ["*"]})).await;
        assert!(live.key.as_ref().is_some_and(|key| key.starts_with("plk_live_")));
        live.get("/api/v1/webhook-endpoints").await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_dead_when_that_is_answered() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let (client, path) = admin.key(json!({"name": "ci", "scopes": ["*"]})).await;
        client.get("/api/v1/me").await.expect(200);
        admin.delete(&path).await.expect(204);
        client.get("/api/v1/me").await.problem(401, "unauthorized");
        client
            .post("/api/v1/events", r#"{"type":"bid.created","data":{}}"#)
            .await
            .problem(401, "unauthorized");
        let revoked = admin.get(&path).await.expect(200)["data"]["revokedAt"].clone();
        assert!(revoked.is_string());
        admin.delete(&path).await.expect(204);
        assert_eq!(
            admin.get(&path).await.expect(200)["data"]["revokedAt"],
            revoked,
            "since the first time"
        );
        admin
            .delete(&format!("{KEYS}/999999"))
            .await
            .problem(404, "not_found");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_from_its_networks_only() {
    async fn from(rig: &Rig, client: &Client<'_>, forwarded_for: &str) -> Answer {
        let key = client.key.as_ref().expect("a key");
        let request = Request::get(format!("http://{}/api/v1/me", rig.address))
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .header("x-forwarded-for", forwarded_for);
        rig.send(request.body("".into()).expect("a request")).await
    }
    let body = |allowed: &[&str]| json!({"name": "ci", "scopes": ["*"], "allowedIps": allowed});
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        for (allowed, is_allowed) in [
            (vec!["127.0.0.0/8"], true),
            (vec!["::ffff:127.0.0.1"], true),
            (vec!["10.0.0.0/8", "127.0.0.1"], true),
            (vec!["10.0.0.0/8", "::1"], false),
            (vec!["127.0.0.2"], false),
        ] {
            let (client, _) = admin.key(body(&allowed)).await;
            // Nobody in front is trusted here: what a client says of itself is nothing.
            for answer in [
                client.get("/api/v1/me").await,
                from(rig, &client, "127.0.0.1").await,
            ] {
                assert_eq!(answer.status == 200, is_allowed, "{allowed:?}: {}", answer.text());
                if !is_allowed {
                    let problem = answer.problem(401, "unauthorized");
                    assert!(problem.to_string().contains("this address"), "{problem}");
                }
            }
        }
    })
    .await;
    with_server_and(&["--trusted-proxies", "127.0.0.0/8, fd00::/8"], async |rig| {
        let admin = rig.admin_person().await;
        let (client, _) = admin.key(body(&["203.0.113.0/24", "2001:db8::/32"])).await;
        for (forwarded_for, is_allowed) in [
            ("203.0.113.9", true),
            ("203.0.113.9, fd00::1", true),
            ("::ffff:203.0.113.9", true),
            ("2001:db8::9", true),
            ("198.51.100.1", false),
            ("203.0.113.9, 198.51.100.1", false),
            ("unknown", false),
        ] {
            let answer = from(rig, &client, forwarded_for).await;
            assert_eq!(answer.status == 200, is_allowed, "{forwarded_for}");
        }
        client.get("/api/v1/me").await.problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_faulty_field_of_a_key_is_named_and_a_tenant_has_a_hundred() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        for (body, faults) in [
            (json!({}), vec!["name: required", "scopes: required"]),
            (json!({"name": "a", "scopes": []}), vec!["scopes: unknown_scope"]),
            (
                json!({"name": "a", "scopes": ["events:fly"], "allowedIps": ["10.0.0.1/8", "x"], "mode": "prod"}),
                vec![
                    "scopes: unknown_scope",
                    "allowedIps[0]: invalid",
                    "allowedIps[1]: invalid",
                    "mode: invalid",
                ],
            ),
            (
                json!({"name": "a", "scopes": ["*"], "key": "plk_live_mine"}),
                vec!["key: unknown_field"],
            ),
        ] {
            assert_eq!(admin.post(KEYS, body).await.faults(), faults);
        }
        let new = json!({"name": "a", "scopes": ["*"]});
        let (_, path) = admin.key(new.clone()).await;
        for _ in 1..100 {
            admin.post(KEYS, new.clone()).await.expect(201);
        }
        let problem = admin.post(KEYS, new.clone()).await.problem(409, "conflict");
        assert!(problem.to_string().contains("revoke one"), "{problem}");
        admin.delete(&path).await.expect(204);
        admin.post(KEYS, new).await.expect(201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_key_was_used_last_is_noted_off_the_requests_path() {
    with_database(async |url| {
        let rig = Rig::start(url, &[]).await;
        rig.until_database_is_ready().await;
        let admin = rig.admin_person().await;
        let (client, path) = admin.key(json!({"name": "ci", "scopes": ["*"]})).await;
        let sql = Sql::connect(url).await;
        client.get("/api/v1/me").await.expect(200);
        sql.until(
            "SELECT (last_used_at > now() - interval '1 minute')::text FROM plumbline.api_keys",
            "true",
        )
        .await;
        assert!(admin.get(&path).await.expect(200)["data"]["lastUsedAt"].is_string());
        let token = client.key.as_ref().expect("a key");
        let kept = sql
            .text("SELECT string_agg(t::text, ' ') FROM plumbline.api_keys AS t")
            .await;
        assert!(!kept.contains(token), "only a hash is kept");
        drop(sql);
        rig.end().await;
    })
    .await;
}
