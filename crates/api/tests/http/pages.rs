//! Lists, page by page.

use serde_json::{Value, json};

use crate::support::{Client, with_server};

/// The ids of every element, read in pages of `limit`, and the sizes of the pages.
async fn walk(client: &Client<'_>, path: &str, limit: usize, id: &str) -> (Vec<String>, Vec<u64>) {
    let (mut ids, mut sizes, mut cursor) = (vec![], vec![], String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = client
            .get(&format!("{path}{separator}limit={limit}{cursor}"))
            .await
            .expect(200);
        let pagination = &page["meta"]["pagination"];
        let elements = page["data"].as_array().expect("a list");
        assert_eq!(pagination["count"], elements.len());
        ids.extend(elements.iter().map(|element| element[id].to_string()));
        sizes.push(pagination["count"].as_u64().expect("a count"));
        match &pagination["cursor"] {
            Value::String(next) => {
                assert_eq!(pagination["has_more"], true);
                cursor = format!("&cursor={next}");
            }
            _ => {
                assert_eq!(
                    *pagination,
                    json!({"cursor": null, "has_more": false, "count": elements.len()})
                );
                return (ids, sizes);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_read_whole_and_newest_first() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (mut endpoints, mut events, mut deliveries) = (vec![], vec![], vec![]);
        let path = client.endpoint().await;
        for _ in 0..6 {
            let other = client.endpoint().await;
            endpoints.push(other.rsplit('/').next().expect("an id").to_owned());
            deliveries.push(
                client.act(&format!("{path}/test")).await.expect(202)["data"]["deliveryId"].to_string(),
            );
            events.push(
                client
                    .post("/api/v1/events", r#"{"type":"bid.created","data":{}}"#)
                    .await
                    .expect(202)["data"]["id"]
                    .to_string(),
            );
        }
        endpoints.insert(0, path.rsplit('/').next().expect("an id").to_owned());
        for expected in [&mut endpoints, &mut events, &mut deliveries] {
            expected.reverse();
        }

        assert_eq!(
            walk(&client, "/api/v1/webhook-endpoints", 3, "id").await,
            (endpoints, vec![3, 3, 1])
        );
        let log = format!("{path}/deliveries?status=pending");
        assert_eq!(walk(&client, &log, 2, "id").await, (deliveries, vec![2, 2, 2]));
        assert_eq!(
            walk(&client, "/api/v1/events?type=bid.created", 4, "id").await,
            (events, vec![4, 2])
        );
        let (types, sizes) = walk(&client, "/api/v1/webhook-event-types", 4, "name").await;
        assert_eq!((types.len(), sizes), (10, vec![4, 4, 2]));
        assert!(types.is_sorted());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_its_list_and_tenant_only() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        for _ in 0..2 {
            client.endpoint().await;
        }
        let page = client.get("/api/v1/webhook-endpoints?limit=1").await.expect(200);
        let cursor = page["meta"]["pagination"]["cursor"]
            .as_str()
            .expect("a cursor")
            .to_owned();
        let mut tampered = cursor.clone();
        tampered.replace_range(0..1, if cursor.starts_with('A') { "B" } else { "A" });
        client
            .get(&format!("/api/v1/webhook-endpoints?cursor={cursor}"))
            .await
            .expect(200);
        client
            .get(&format!("/api/v1/webhook-endpoints?cursor={tampered}"))
            .await
            .problem(400, "bad_request");
        client
            .get("/api/v1/webhook-endpoints?cursor=")
            .await
            .problem(400, "bad_request");
        client
            .get(&format!("/api/v1/events?cursor={cursor}"))
            .await
            .problem(400, "bad_request");
        let other = rig.tenant("*").await;
        other
            .get(&format!("/api/v1/webhook-endpoints?cursor={cursor}"))
            .await
            .problem(400, "bad_request");
        for limit in ["0", "101", "x"] {
            assert_eq!(
                client
                    .get(&format!("/api/v1/events?limit={limit}"))
                    .await
                    .faults(),
                ["limit: invalid"]
            );
        }
    })
    .await;
}
