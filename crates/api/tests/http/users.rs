//! Users and roles: who manages whom, and what it does to sessions.

use hyper::Method;
use plumbline_domain::Role;
use serde_json::{Value, json};

use crate::people::PASSWORD;
use crate::support::with_server;

const USERS: &str = "/api/v1/users";

#[tokio::test(flavor = "multi_thread")]
async fn s0_39_an_admin_may_do_everything_of_the_tenant_and_a_member_reads() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let member = rig.person(admin.tenant, Role::Member).await;
        let endpoint = json!({"url": "https://hooks.example.com/x", "eventTypes": ["bid.accepted"]});
        let created = admin
            .post("/api/v1/webhook-endpoints", endpoint.clone())
            .await
            .expect(201);
        let path = format!("/api/v1/webhook-endpoints/{}", created["data"]["id"]);
        let writes = [
            (Method::POST, "/api/v1/webhook-endpoints".to_owned(), endpoint),
            (Method::PATCH, path.clone(), json!({"description": "theirs"})),
            (Method::POST, format!("{path}/rotate-secret"), json!({})),
            (Method::POST, format!("{path}/test"), json!({})),
            (
                Method::POST,
                "/api/v1/webhook-event-types".to_owned(),
                json!({"name": "a.b"}),
            ),
            (
                Method::POST,
                "/api/v1/events".to_owned(),
                json!({"type": "bid.created", "data": {}}),
            ),
            (
                Method::PATCH,
                "/api/v1/webhook-settings".to_owned(),
                json!({"resourceUrlTemplate": "https://a.example/{id}"}),
            ),
            (
                Method::POST,
                USERS.to_owned(),
                json!({"email": "new@example.com", "role": "member", "password": PASSWORD}),
            ),
            (
                Method::POST,
                "/api/v1/api-keys".to_owned(),
                json!({"name": "ci", "scopes": ["*"]}),
            ),
            (Method::PATCH, member.path(), json!({"role": "member"})),
            (Method::DELETE, path.clone(), json!({})),
        ];
        for (method, path, body) in &writes {
            let refused = member.ask(method.clone(), path, body).await;
            let problem = refused.problem(403, "forbidden");
            assert!(problem.to_string().contains("company_admin"), "{problem}");
        }
        for read in [
            "/api/v1/webhook-endpoints",
            &path,
            &format!("{path}/deliveries"),
            "/api/v1/webhook-event-types",
            "/api/v1/webhook-settings",
            "/api/v1/events",
            USERS,
            &admin.path(),
            "/api/v1/api-keys",
            "/api/v1/me",
            "/api/v1/session",
        ] {
            member.get(read).await.expect(200);
            admin.get(read).await.expect(200);
        }
        for (method, path, body) in &writes {
            let answer = admin.ask(method.clone(), path, body).await;
            assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        }
        let me = member.get("/api/v1/me").await.expect(200)["data"].clone();
        assert_eq!((&me["role"], &me["scopes"]), (&json!("member"), &json!([])));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_manages_neither_users_nor_keys_whatever_its_scopes() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let key = rig.client(admin.tenant, "*").await;
        let me = key.get("/api/v1/me").await.expect(200)["data"].clone();
        assert_eq!((&me["userId"], &me["role"]), (&json!(null), &json!(null)));
        let own = format!("/api/v1/api-keys/{}", me["keyId"]);
        for (method, path, body) in [
            (Method::GET, USERS, ""),
            (
                Method::POST,
                USERS,
                r#"{"email":"new@example.com","role":"company_admin","password":"correct horse battery"}"#,
            ),
            (Method::GET, &admin.path(), ""),
            (Method::PATCH, &admin.path(), r#"{"role":"member"}"#),
            (Method::DELETE, &admin.path(), ""),
            (Method::GET, "/api/v1/api-keys", ""),
            (
                Method::POST,
                "/api/v1/api-keys",
                r#"{"name":"more","scopes":["*"]}"#,
            ),
            (Method::GET, &own, ""),
            (Method::DELETE, &own, ""),
        ] {
            let refused = key.keyed("k", method.clone(), path, body).await;
            let problem = refused.problem(403, "forbidden");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(
                detail.contains("`company_admin` alone manages API keys and users"),
                "{method} {path}: {detail}"
            );
        }
        assert_eq!(
            admin.get(USERS).await.expect(200)["meta"]["pagination"]["count"],
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_added_listed_changed_and_deleted() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let new = json!({"email": " New@Example.COM ", "role": "member", "password": PASSWORD});
        let created = admin.keyed("u", Method::POST, USERS, &new).await.expect(201);
        let user = created["data"].clone();
        assert_eq!(
            (&user["email"], &user["role"]),
            (&json!("new@example.com"), &json!("member"))
        );
        assert_eq!(
            user.as_object().map(serde_json::Map::len),
            Some(4),
            "and no password: {user}"
        );
        let again = admin.keyed("u", Method::POST, USERS, &new).await;
        assert_eq!(again.expect(201), created);
        let mut other = new.clone();
        other["password"] = json!("another password");
        admin
            .keyed("u", Method::POST, USERS, &other)
            .await
            .problem(409, "idempotency_key_reused");
        admin.post(USERS, new).await.problem(409, "conflict");

        let path = format!("{USERS}/{}", user["id"]);
        assert_eq!(admin.get(&path).await.expect(200)["data"], user);
        let first = admin.get(&format!("{USERS}?limit=1")).await.expect(200);
        assert_eq!(first["data"], json!([user]));
        let cursor = first["meta"]["pagination"]["cursor"]
            .as_str()
            .expect("a next page");
        let next = admin
            .get(&format!("{USERS}?limit=1&cursor={cursor}"))
            .await
            .expect(200);
        assert_eq!(next["data"][0]["id"], admin.id);
        assert_eq!(next["meta"]["pagination"]["has_more"], false);

        assert_eq!(admin.patch(&path, json!({})).await.expect(200)["data"], user);
        let changed = admin
            .patch(&path, json!({"email": "newer@example.com"}))
            .await
            .expect(200);
        assert_eq!(changed["data"]["email"], "newer@example.com");
        rig.sign_in("newer@example.com", PASSWORD).await.expect(201);
        let taken = admin.patch(&path, json!({"email": admin.email})).await;
        taken.problem(409, "conflict");
        admin.delete(&path).await.expect(204);
        admin.get(&path).await.problem(404, "not_found");
        admin.delete(&path).await.problem(404, "not_found");
        rig.sign_in("newer@example.com", PASSWORD)
            .await
            .problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_faulty_field_of_a_user_is_named() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let refused = admin
            .post(
                USERS,
                json!({"email": "nobody", "role": "king", "password": "short", "admin": true}),
            )
            .await;
        assert_eq!(refused.faults(), ["admin: unknown_field"]);
        let body = json!({"email": "nobody", "role": "king", "password": "a secret"});
        let refused = admin.post(USERS, body).await;
        assert_eq!(
            refused.faults(),
            ["email: invalid", "role: invalid", "password: invalid"]
        );
        assert!(!refused.text().contains("a secret"));
        let member = rig.person(admin.tenant, Role::Member).await;
        let refused = admin
            .patch(
                &member.path(),
                json!({"email": "x y@example.com", "role": null, "password": 7}),
            )
            .await;
        assert_eq!(refused.faults(), ["role: invalid_type", "password: invalid_type"]);
        let refused = admin
            .patch(&admin.path(), json!({"password": "another password"}))
            .await;
        assert_eq!(refused.faults(), ["password: own_password"]);
        rig.sign_in(&admin.email, PASSWORD).await.expect(201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_or_role_and_a_deletion_end_sessions() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let member = rig.person(admin.tenant, Role::Member).await;
        admin
            .patch(
                &member.path(),
                json!({"email": "m@example.com", "role": "member"}),
            )
            .await
            .expect(200);
        assert!(member.is_signed_in().await, "neither changed");

        admin
            .patch(&member.path(), json!({"role": "company_admin"}))
            .await
            .expect(200);
        assert!(!member.is_signed_in().await);
        let second = rig
            .sign_in_person(admin.tenant, member.id, "m@example.com".to_owned())
            .await;
        second.get(USERS).await.expect(200);

        admin
            .patch(&second.path(), json!({"password": "tractor staple paper"}))
            .await
            .expect(200);
        assert!(!second.is_signed_in().await);
        rig.sign_in("m@example.com", PASSWORD)
            .await
            .problem(401, "unauthorized");
        rig.sign_in("m@example.com", "tractor staple paper")
            .await
            .expect(201);

        // An admin who steps down keeps the session that it was done by, with the new role, and loses the others.
        let elsewhere = rig
            .sign_in_person(admin.tenant, admin.id, admin.email.clone())
            .await;
        admin
            .patch(&admin.path(), json!({"role": "member"}))
            .await
            .expect(200);
        assert!(admin.is_signed_in().await && !elsewhere.is_signed_in().await);
        admin
            .patch(&admin.path(), json!({"role": "company_admin"}))
            .await
            .problem(403, "forbidden");

        let third = rig.person(admin.tenant, Role::CompanyAdmin).await;
        third.delete(&admin.path()).await.expect(204);
        assert!(!admin.is_signed_in().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_one() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        rig.person(admin.tenant, Role::Member).await;
        let last = async |answer: crate::support::Answer| {
            let problem = answer.problem(409, "conflict");
            assert!(problem.to_string().contains("last company_admin"), "{problem}");
        };
        last(admin.patch(&admin.path(), json!({"role": "member"})).await).await;
        last(admin.delete(&admin.path()).await).await;
        admin
            .patch(&admin.path(), json!({"role": "company_admin"}))
            .await
            .expect(200);

        // Two who leave at once: one of them stays.
        let second = rig.person(admin.tenant, Role::CompanyAdmin).await;
        let (path, other) = (admin.path(), second.path());
        let (one, two) = tokio::join!(
            admin.patch(&path, json!({"role": "member"})),
            second.delete(&other)
        );
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert!(statuses == [200, 409] || statuses == [204, 409], "{statuses:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_users_and_keys_are_not_found_and_not_touched() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let member = rig.person(admin.tenant, Role::Member).await;
        let key = admin
            .post(
                "/api/v1/api-keys",
                json!({"name": "ci", "scopes": ["events:read"]}),
            )
            .await
            .expect(201)["data"]["id"]
            .clone();
        let key = format!("/api/v1/api-keys/{key}");
        let stranger = rig.admin_person().await;
        for (method, path, body) in [
            (Method::GET, member.path(), Value::Null),
            (
                Method::PATCH,
                member.path(),
                json!({"password": "tractor staple paper"}),
            ),
            (Method::PATCH, member.path(), json!({})),
            (Method::DELETE, member.path(), json!({})),
            (Method::GET, key.clone(), Value::Null),
            (Method::DELETE, key.clone(), json!({})),
        ] {
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            stranger.ask(method, &path, body).await.problem(404, "not_found");
        }
        for list in [USERS, "/api/v1/api-keys"] {
            let seen = stranger.get(list).await.expect(200);
            let seen = seen["data"].as_array().expect("a list");
            assert!(
                seen.iter()
                    .all(|record| record["id"] == stranger.id && list == USERS),
                "{seen:?}"
            );
        }
        assert!(member.is_signed_in().await);
        rig.sign_in(&member.email, PASSWORD).await.expect(201);
        assert_eq!(
            admin.get(&key).await.expect(200)["data"]["revokedAt"],
            Value::Null
        );
        for path in ["0", "x", "-1", "9223372036854775808"] {
            admin
                .get(&format!("{USERS}/{path}"))
                .await
                .problem(404, "not_found");
        }
    })
    .await;
}

/// What the console's Settings -> Developer -> Webhooks sends when somebody fills in its form.
#[tokio::test(flavor = "multi_thread")]
async fn s0_08_s0_39_who_is_signed_in_as_an_admin_registers_an_endpoint_as_in_the_app() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let body = json!({"url": "https://hooks.example.com/bwp", "eventTypes": ["bid.accepted"]});
        let created = admin
            .post("/api/v1/webhook-endpoints", body.clone())
            .await
            .expect(201);
        let secret = created["data"]["signingSecret"].as_str().expect("shown once");
        assert!(secret.starts_with("whsec_"));
        let listed = admin.get("/api/v1/webhook-endpoints").await;
        assert!(!listed.text().contains(secret));
        assert_eq!(listed.expect(200)["data"][0]["id"], created["data"]["id"]);

        let member = rig.person(admin.tenant, Role::Member).await;
        member
            .post("/api/v1/webhook-endpoints", body)
            .await
            .problem(403, "forbidden");
        assert_eq!(
            member.get("/api/v1/webhook-endpoints").await.expect(200)["data"][0]["id"],
            created["data"]["id"]
        );
    })
    .await;
}
