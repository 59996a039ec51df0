//! Signing in and out, and what a browser may be tricked into.

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use plumbline_domain::Role;
use serde_json::json;

use crate::people::{PASSWORD, cookie_of};
use crate::support::{Rig, with_database, with_server, with_server_and};

const SESSION: &str = "/api/v1/session";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_cookie_that_ends_at_the_sign_out() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let answer = rig.sign_in(&admin.email.to_uppercase(), PASSWORD).await;
        let signed_in = answer.expect(201)["data"].clone();
        assert_eq!(
            (&signed_in["id"], &signed_in["email"], &signed_in["role"]),
            (&json!(admin.id), &json!(admin.email), &json!("company_admin"))
        );
        assert_eq!(
            (&signed_in["tenantId"], &signed_in["tenantName"]),
            (&json!(admin.tenant.0), &json!("Acme"))
        );
        let cookie = answer.header("set-cookie");
        let token = cookie_of(&answer).replace("plumbline_session=", "");
        assert!(
            token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()),
            "{cookie}"
        );
        for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=604800"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(
            !cookie.contains("Secure") && !cookie.contains("Domain"),
            "not by https here: {cookie}"
        );
        assert!(!answer.text().contains(&token), "the token is in the cookie only");

        let seen = admin.get(SESSION).await.expect(200)["data"].clone();
        assert_eq!(seen["email"], signed_in["email"]);
        assert!(seen["expiresAt"].as_str().is_some());
        let me = admin.get("/api/v1/me").await.expect(200)["data"].clone();
        assert_eq!(
            me,
            json!({"tenantId": admin.tenant.0, "tenantName": "Acme", "keyId": null, "userId": admin.id,
                "role": "company_admin", "scopes": ["*"]})
        );

        // The other session stays.
        let other = rig
            .sign_in_person(admin.tenant, admin.id, admin.email.clone())
            .await;
        let out = admin.delete(SESSION).await;
        out.expect(204);
        assert!(
            out.header("set-cookie")
                .starts_with("plumbline_session=; Path=/; Max-Age=0")
        );
        assert!(!admin.is_signed_in().await && other.is_signed_in().await);
        let refused = admin.delete(SESSION).await;
        refused.problem(401, "unauthorized");
        rig.stranger().get(SESSION).await.problem(401, "unauthorized");
        let key = rig.client(admin.tenant, "*").await;
        key.get(SESSION).await.problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_https_the_cookie_is_secure_and_the_own_origin_is_the_public_one() {
    with_server_and(&["--public-url", "https://hooks.example.com"], async |rig| {
        let admin = rig.admin_person().await;
        let answer = rig.sign_in(&admin.email, PASSWORD).await;
        assert!(answer.header("set-cookie").ends_with("; Secure"));
        for (origin, status) in [
            ("https://hooks.example.com", 200),
            ("http://hooks.example.com", 403),
        ] {
            let request = hyper::Request::patch(format!("http://{}{}", rig.address, admin.path()))
                .header(COOKIE, &admin.cookie)
                .header("origin", origin)
                .header(CONTENT_TYPE, "application/json");
            let answer = rig.send(request.body("{}".into()).expect("a request")).await;
            assert_eq!(answer.status, status, "{origin}: {}", answer.text());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_tell_an_unknown_address_from_a_wrong_password() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let mut answers = vec![];
        for (email, password) in [
            (&*admin.email, "correct horse batterx"),
            ("nobody@example.com", PASSWORD),
            ("", ""),
        ] {
            let answer = rig.sign_in(email, password).await;
            let mut problem = answer.problem(401, "unauthorized");
            assert_eq!(answer.header("set-cookie"), "");
            problem["request_id"] = json!(null);
            answers.push(problem);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        for (body, faults) in [
            ("{}", vec!["email: required", "password: required"]),
            (
                r#"{"email":"a@b","password":"x","tenant":1}"#,
                vec!["tenant: unknown_field"],
            ),
        ] {
            assert_eq!(rig.stranger().post(SESSION, body).await.faults(), faults);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_to_sign_in_are_limited_and_a_success_does_not_count() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        for _ in 0..9 {
            rig.sign_in(&admin.email, "wrong wrong wrong")
                .await
                .problem(401, "unauthorized");
        }
        rig.sign_in(&admin.email, PASSWORD).await.expect(201);
        rig.sign_in(&admin.email, "wrong wrong wrong")
            .await
            .problem(401, "unauthorized");
        let refused = rig.sign_in(&admin.email, PASSWORD).await;
        refused.problem(429, "rate_limited");
        let seconds: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=300).contains(&seconds), "{seconds}");
        // In whatever case the address is written; and it is this user's limit only.
        rig.sign_in(&admin.email.to_uppercase(), PASSWORD)
            .await
            .problem(429, "rate_limited");
        rig.person(admin.tenant, Role::Member).await;
        assert!(
            admin.is_signed_in().await,
            "who is signed in is not bothered by who tries"
        );
        // Nor is a change of one's password a way around it.
        let change = json!({"currentPassword": "wrong wrong wrong", "newPassword": "another password"});
        admin
            .post("/api/v1/session/password", change)
            .await
            .problem(429, "rate_limited");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_limited_for_each_source_behind_a_trusted_proxy_only() {
    let sign_in = async |rig: &Rig, user: usize, forwarded_for: &str| {
        let request = rig
            .stranger()
            .request(Method::POST, SESSION)
            .header(CONTENT_TYPE, "application/json")
            .header("x-forwarded-for", forwarded_for);
        let body = json!({"email": format!("u{user}@example.com"), "password": "p"}).to_string();
        rig.send(request.body(body.into()).expect("a request")).await
    };
    with_server_and(&["--trusted-proxies", "127.0.0.1"], async |rig| {
        for user in 0..50 {
            // What stands left of the proxy's own entry, the client made up.
            let claimed = format!("198.51.100.{user}, 203.0.113.9");
            sign_in(rig, user, &claimed).await.problem(401, "unauthorized");
        }
        sign_in(rig, 50, "203.0.113.9").await.problem(429, "rate_limited");
        sign_in(rig, 50, "203.0.113.10")
            .await
            .problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_cookie_comes_from_our_own_page_or_is_refused() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let own = format!("http://{}", rig.address);
        let site = "sec-fetch-site";
        for (headers, is_accepted) in [
            (vec![(site, "same-origin")], true),
            (vec![("origin", &*own)], true),
            (vec![(site, "cross-site")], false),
            (vec![(site, "same-site"), ("origin", &*own)], false),
            (vec![(site, "none")], false),
            (vec![("origin", "http://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![], false),
        ] {
            for (method, path, body) in [
                (
                    Method::POST,
                    "/api/v1/webhook-endpoints",
                    r#"{"url":"https://hooks.example.com/x","eventTypes":["bid.accepted"]}"#,
                ),
                (
                    Method::POST,
                    "/api/v1/events",
                    r#"{"type":"bid.created","data":{}}"#,
                ),
                (Method::PATCH, &admin.path(), "{}"),
                (Method::GET, "/api/v1/webhook-endpoints", ""),
            ] {
                let mut request = hyper::Request::builder()
                    .method(&method)
                    .uri(format!("http://{}{path}", rig.address))
                    .header(COOKIE, &admin.cookie)
                    .header(CONTENT_TYPE, "application/json");
                for (name, value) in &headers {
                    request = request.header(*name, *value);
                }
                let answer = rig.send(request.body(body.into()).expect("a request")).await;
                if is_accepted || method == Method::GET {
                    assert!(
                        answer.status.is_success(),
                        "{method} {path} {headers:?}: {}",
                        answer.text()
                    );
                } else {
                    let problem = answer.problem(403, "forbidden");
                    let detail = problem["detail"].as_str().expect("a detail");
                    assert!(
                        detail.contains("Sec-Fetch-Site") && detail.contains("API key"),
                        "{detail}"
                    );
                }
            }
        }
        let made = admin.get("/api/v1/webhook-endpoints").await.expect(200);
        assert_eq!(
            made["meta"]["pagination"]["count"], 2,
            "what was refused did nothing"
        );

        // A bearer token is not what a browser adds by itself: it may come from anywhere, and it goes before a cookie.
        let key = rig.client(admin.tenant, "events:read").await;
        let request = hyper::Request::get(format!("http://{}/api/v1/me", rig.address))
            .header(COOKIE, &admin.cookie)
            .header(site, "cross-site")
            .header(
                AUTHORIZATION,
                format!("Bearer {}", key.key.as_ref().expect("a key")),
            );
        let me = rig
            .send(request.body("".into()).expect("a request"))
            .await
            .expect(200);
        assert_eq!(me["data"]["scopes"], json!(["events:read"]));
        let both = admin
            .request(Method::GET, "/api/v1/me")
            .header(AUTHORIZATION, "Bearer plk_live_0");
        rig.send(both.body("".into()).expect("a request"))
            .await
            .problem(401, "unauthorized");

        // Another site's page does not sign anybody in either.
        let request = rig
            .stranger()
            .request(Method::POST, SESSION)
            .header(CONTENT_TYPE, "application/json")
            .header("origin", "http://evil.example");
        let body = json!({"email": admin.email, "password": PASSWORD}).to_string();
        rig.send(request.body(body.into()).expect("a request"))
            .await
            .problem(403, "forbidden");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_ones_own_is_changed_with_the_current_one_and_ends_other_sessions() {
    with_server(async |rig| {
        let admin = rig.admin_person().await;
        let elsewhere = rig
            .sign_in_person(admin.tenant, admin.id, admin.email.clone())
            .await;
        let path = "/api/v1/session/password";
        let body = |current: &str, new: &str| json!({"currentPassword": current, "newPassword": new});
        let new = "tractor staple paper";
        assert_eq!(
            admin.post(path, body("wrong wrong wrong", new)).await.faults(),
            ["currentPassword: wrong"]
        );
        assert_eq!(
            admin.post(path, body(PASSWORD, "short")).await.faults(),
            ["newPassword: invalid"]
        );
        assert!(elsewhere.is_signed_in().await);
        admin
            .keyed("p", Method::POST, path, body(PASSWORD, new))
            .await
            .expect(204);
        assert!(admin.is_signed_in().await && !elsewhere.is_signed_in().await);
        let again = admin.keyed("p", Method::POST, path, body(PASSWORD, new)).await;
        again.expect(204);
        assert_eq!(again.header("idempotency-replayed"), "true");
        rig.sign_in(&admin.email, PASSWORD)
            .await
            .problem(401, "unauthorized");
        rig.sign_in(&admin.email, new).await.expect(201);
        let key = rig.client(admin.tenant, "*").await;
        key.post(path, body(new, PASSWORD))
            .await
            .problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_session_is_over_and_is_not_kept_in_clear() {
    with_database(async |url| {
        let rig = Rig::start(url, &[]).await;
        rig.until_database_is_ready().await;
        let admin = rig.admin_person().await;
        let token = admin.cookie.replace("plumbline_session=", "");
        let sql = crate::support::Sql::connect(url).await;
        let everything = "SELECT coalesce(string_agg(t::text, ' '), '') FROM";
        for table in ["sessions", "users", "idempotency_keys"] {
            let kept = sql.text(&format!("{everything} plumbline.{table} AS t")).await;
            assert!(
                !kept.contains(&token) && !kept.contains(PASSWORD),
                "{table}: {kept}"
            );
        }
        sql.run("UPDATE plumbline.sessions SET expires_at = created_at + interval '1 microsecond'")
            .await;
        assert!(!admin.is_signed_in().await);
        drop(sql);
        rig.end().await;
    })
    .await;
}
