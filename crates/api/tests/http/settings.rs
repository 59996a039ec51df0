//! The tenant's settings.

use serde_json::{Value, json};

use crate::support::{Rig, Sql, with_database, with_server};

const SETTINGS: &str = "/api/v1/webhook-settings";

#[tokio::test(flavor = "multi_thread")]
async fn the_resource_url_template_is_set_and_removed() {
    with_database(async |url| {
        let rig = Rig::start(url, &[]).await;
        rig.until_database_is_ready().await;
        let client = rig.tenant("webhooks:manage").await;
        let other = rig.tenant("webhooks:manage").await;
        let sql = Sql::connect(url).await;
        let version = async || {
            let tenant = client.tenant;
            sql.text(&format!(
                "SELECT endpoints_version::text FROM plumbline.tenants WHERE id = {tenant}"
            ))
            .await
        };
        let template = |value: Value| json!({"resourceUrlTemplate": value});
        assert_eq!(
            client.get(SETTINGS).await.expect(200)["data"],
            template(Value::Null)
        );
        let before = version().await;
        let set = template(json!("https://app.example.com/{plural}/{id}?type={type}"));
        assert_eq!(client.patch(SETTINGS, &set).await.expect(200)["data"], set);
        let after = version().await;
        assert_ne!(before, after, "dispatchers must see it");
        // What changes nothing tells nobody.
        for body in [&set, &json!({})] {
            assert_eq!(client.patch(SETTINGS, body).await.expect(200)["data"], set);
            assert_eq!(version().await, after);
        }
        assert_eq!(client.get(SETTINGS).await.expect(200)["data"], set);
        assert_eq!(
            other.get(SETTINGS).await.expect(200)["data"],
            template(Value::Null)
        );
        let removed = template(Value::Null);
        assert_eq!(
            client.patch(SETTINGS, &removed).await.expect(200)["data"],
            removed
        );
        assert_ne!(version().await, after);
        drop(sql);
        rig.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_template_is_refused_and_changes_nothing() {
    with_server(async |rig| {
        let client = rig.tenant("webhooks:manage").await;
        for (value, named) in [
            (json!("https://a.example/{id}/{name}"), "{name}"),
            (json!("https://a.example/{plural}"), "{id}"),
            (json!("ftp://a.example/{id}"), "http"),
            (json!("https://a.example/{id"), "brace"),
            (
                json!(format!("https://a.example/{{id}}{}", "x".repeat(2_048))),
                "2048",
            ),
        ] {
            let refused = client
                .patch(SETTINGS, json!({"resourceUrlTemplate": value}))
                .await;
            assert_eq!(refused.faults(), ["resourceUrlTemplate: invalid"]);
            assert!(refused.text().contains(named), "{}", refused.text());
        }
        let refused = client.patch(SETTINGS, json!({"resourceUrlTemplate": 7})).await;
        assert_eq!(refused.faults(), ["resourceUrlTemplate: invalid_type"]);
        assert_eq!(
            client.get(SETTINGS).await.expect(200)["data"]["resourceUrlTemplate"],
            Value::Null
        );
        let without = rig.client(client.tenant, "events:read").await;
        without.get(SETTINGS).await.problem(403, "scope_insufficient");
        without
            .patch(SETTINGS, "{}")
            .await
            .problem(403, "scope_insufficient");
    })
    .await;
}
