//! Construction records: shapes, rules, steps, scopes, tenants, and the events that tell of them.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::support::{Answer, Client, with_database, with_server, with_server_and};

/// The path of a collection.
fn v1(path: &str) -> String {
    format!("/api/v1/{path}")
}

/// Create a record and expect it: its path and the record.
async fn made(client: &Client<'_>, collection: &str, body: Value) -> (String, Value) {
    let made = client.post(&v1(collection), body).await.expect(201)["data"].clone();
    (v1(&format!("{collection}/{}", made["id"])), made)
}

/// The text of an answer's `data`, byte for byte.
fn data(answer: &Answer) -> String {
    let text = answer.text();
    let (data, _) = text.rsplit_once(r#","meta":"#).expect("an envelope");
    data.strip_prefix(r#"{"data":"#).expect("an envelope").to_owned()
}

/// Every event of the tenant, oldest first.
async fn events(client: &Client<'_>) -> Vec<Value> {
    let page = client.get(&v1("events?limit=100")).await.expect(200);
    let mut events = page["data"].as_array().expect("a list").clone();
    events.reverse();
    events
}

/// The types of every event of the tenant, oldest first; those of one change in the order of their names.
async fn told(client: &Client<'_>) -> Vec<String> {
    let mut types: Vec<String> = events(client)
        .await
        .iter()
        .map(|event| event["type"].as_str().expect("a type").to_owned())
        .collect();
    types.sort();
    types
}

/// How many events there are.
async fn count(client: &Client<'_>) -> usize {
    events(client).await.len()
}

/// The last event must be of this type and carry what was answered, byte for byte; its previous attributes.
#[track_caller]
fn carries(event: &Value, event_type: &str, answer: &Answer) -> Value {
    assert_eq!(event["type"], event_type);
    let answered: Value = serde_json::from_str(&data(answer)).expect("JSON");
    assert_eq!(event["data"], answered, "{event_type}");
    event["previousAttributes"].clone()
}

const DOOR: &str = r#"{"description":"Oak door","quantity":2,"unitPrice":499.5}"#;

fn doors() -> Value {
    json!({"items": [serde_json::from_str::<Value>(DOOR).expect("JSON")]})
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_21_a_contact_is_the_full_row_and_told_byte_for_byte() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let body = json!({"firstName": "Jane", "lastName": "Doe", "type": "customer"});
        let created = client.post(&v1("contacts"), body).await;
        let contact = created.expect(201)["data"].clone();
        let members: Vec<_> = contact.as_object().expect("an object").keys().cloned().collect();
        let mut expected = [
            "id",
            "firstName",
            "lastName",
            "companyName",
            "email",
            "phone",
            "type",
            "createdAt",
            "updatedAt",
        ];
        expected.sort_unstable();
        assert_eq!(members, expected);
        assert_eq!(
            (&contact["companyName"], &contact["createdAt"]),
            (&Value::Null, &contact["updatedAt"])
        );

        let path = v1(&format!("contacts/{}", contact["id"]));
        assert_eq!(
            data(&client.get(&path).await),
            data(&created),
            "one rendering everywhere"
        );
        let text = client.get(&v1("events")).await.text();
        assert!(
            text.contains(&format!(
                r#""type":"contact.created","createdAt":"{}""#,
                events(&client).await[0]["createdAt"].as_str().expect("a time")
            )),
            "{text}"
        );
        assert!(text.contains(&format!(r#""data":{}"#, data(&created))), "{text}");

        let changed = client
            .patch(
                &path,
                json!({"phone": "+1 555 0100", "lastName": null, "firstName": "Jane"}),
            )
            .await;
        let contact = changed.expect(200)["data"].clone();
        assert_eq!(
            (&contact["lastName"], &contact["phone"]),
            (&Value::Null, &json!("+1 555 0100"))
        );
        let all = events(&client).await;
        let previous = carries(&all[1], "contact.updated", &changed);
        assert_eq!(
            previous,
            json!({"lastName": "Doe", "phone": null}),
            "only what changed"
        );
        assert_eq!(all.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_record_is_named() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let long = "x".repeat(201);
        for (collection, body, faults) in [
            ("contacts", json!({"lastName": "Doe"}), vec!["firstName: required"]),
            ("contacts", json!({"firstName": " ", "type": "friend"}), vec!["type: invalid"]),
            ("contacts", json!({"firstName": " ", "email": "jane"}), vec!["firstName: invalid", "email: invalid"]),
            ("contacts", json!({"firstName": 1, "nick": "J"}), vec!["firstName: invalid_type", "nick: unknown_field"]),
            ("contacts", json!({"companyName": long}), vec!["companyName: too_long"]),
            ("companies", json!({}), vec!["name: required"]),
            ("opportunities", json!({"name": "Wing", "value": -1, "companyId": 1}), vec!["value: invalid", "companyId: not_found"]),
            ("opportunities", json!({"name": "Wing", "value": 0.001}), vec!["value: too_precise"]),
            ("projects", json!({"contractValue": 1}), vec!["name: required"]),
            ("projects", json!({"name": "HQ", "status": "active"}), vec!["status: unknown_field"]),
            ("projects", json!({"name": "HQ", "contractValue": -0.01}), vec!["contractValue: invalid"]),
            ("projects", json!({"name": "HQ", "contractValue": "1"}), vec!["contractValue: invalid_type"]),
            ("projects", json!({"name": "HQ", "contractValue": 1_000_000_000_000_u64}), vec!["contractValue: too_large"]),
            ("projects", json!({"name": "HQ", "contactId": 999_999}), vec!["contactId: not_found"]),
            ("bids", json!({"projectId": 999_999}), vec!["projectId: not_found"]),
            ("bids", json!({"items": [{"description": "Door", "quantity": 1, "unitPrice": -1}]}), vec!["items[0].unitPrice: invalid"]),
            ("bids", json!({"items": [{"description": "Door", "quantity": 1_000_000, "unitPrice": 999_999_999.99}]}), vec!["items: too_large"]),
            ("pay-apps", json!({}), vec!["projectId: required", "amount: required"]),
            ("pay-apps", json!({"projectId": 999_999, "amount": -5}), vec!["amount: invalid", "projectId: not_found"]),
            ("pay-apps", json!({"projectId": 1, "amount": 5, "periodEnd": "30.4.2026"}), vec!["periodEnd: invalid"]),
            ("change-orders", json!({"title": ""}), vec!["projectId: required"]),
        ] {
            assert_eq!(client.post(&v1(collection), &body).await.faults(), faults, "{collection} {body}");
        }
        for exponent in [r#"{"name":"HQ","contractValue":1e3}"#, r#"{"name":"HQ","contractValue":1e400}"#] {
            assert_eq!(client.post(&v1("projects"), exponent).await.faults(), ["contractValue: invalid"]);
        }
        assert_eq!(count(&client).await, 0, "what is refused is not told");
        let empty = json!([]);
        for collection in ["contacts", "companies", "opportunities", "projects", "bids", "pay-apps", "change-orders"] {
            assert_eq!(client.get(&v1(collection)).await.expect(200)["data"], empty, "{collection}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn companies_and_opportunities_are_kept_and_told() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (company, acme) = made(
            &client,
            "companies",
            json!({"name": "Acme", "website": "https://acme.example"}),
        )
        .await;
        let wing = json!({"name": "Wing", "stage": "lead", "value": 250000.5, "companyId": acme["id"]});
        let (opportunity, made) = made(&client, "opportunities", wing).await;
        assert_eq!(
            (&made["stage"], &made["companyId"]),
            (&json!("lead"), &acme["id"])
        );
        assert!(
            client
                .get(&opportunity)
                .await
                .text()
                .contains(r#""value":250000.50,"#),
            "two decimals"
        );

        let won = client
            .patch(&opportunity, json!({"stage": "won", "value": 250000.5}))
            .await;
        won.expect(200);
        client.patch(&company, json!({"name": "Acme"})).await.expect(200);
        client.patch(&company, "{}").await.expect(200);
        assert_eq!(
            client
                .patch(&opportunity, json!({"companyId": 999_999}))
                .await
                .faults(),
            ["companyId: not_found"]
        );
        let renamed = client
            .patch(
                &company,
                json!({"name": "Acme Ltd", "email": "office@acme.example"}),
            )
            .await;

        let all = events(&client).await;
        assert_eq!(
            told(&client).await,
            [
                "company.created",
                "company.updated",
                "opportunity.created",
                "opportunity.updated"
            ]
        );
        assert_eq!(
            carries(&all[2], "opportunity.updated", &won),
            json!({"stage": "lead"})
        );
        assert_eq!(
            carries(&all[3], "company.updated", &renamed),
            json!({"name": "Acme", "email": null})
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_12_projects_are_numbered_without_repeats_under_concurrency() {
    with_server(async |rig| {
        let (ours, theirs) = (rig.tenant("*").await, rig.tenant("*").await);
        let create = |client| made(client, "projects", json!({"name": "HQ"}));
        let created = join_all((0..12).map(|_| create(&ours))).await;
        let mut numbers: Vec<String> = created
            .iter()
            .map(|(_, project)| project["projectNumber"].as_str().expect("a number").to_owned())
            .collect();
        numbers.sort();
        let expected: Vec<String> = (1..=12).map(|number| format!("PRJ-{number:03}")).collect();
        assert_eq!(numbers, expected);
        let (_, first) = create(&theirs).await;
        assert_eq!(first["projectNumber"], "PRJ-001", "each tenant counts for itself");
        let bids = join_all((0..6).map(|_| made(&ours, "bids", json!({})))).await;
        let mut numbers: Vec<&str> = bids
            .iter()
            .map(|(_, bid)| bid["bidNumber"].as_str().expect("one"))
            .collect();
        numbers.sort_unstable();
        assert_eq!(
            numbers,
            ["BID-001", "BID-002", "BID-003", "BID-004", "BID-005", "BID-006"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_12_numbers_grow_past_three_digits() {
    with_database(async |url| {
        let rig = crate::support::Rig::start(url, &[]).await;
        rig.until_database_is_ready().await;
        let client = rig.tenant("*").await;
        let (sql, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected");
        let connection = tokio::spawn(connection);
        let insert = "INSERT INTO plumbline.projects (tenant_id, number, name, contract_value_cents, status)
            VALUES ($1, 999, 'HQ', 0, 'active')";
        sql.execute(insert, &[&client.tenant.0]).await.expect("inserted");
        let (_, project) = made(&client, "projects", json!({"name": "HQ"})).await;
        assert_eq!(project["projectNumber"], "PRJ-1000");
        drop(sql);
        connection.await.expect("it ends").expect("cleanly");
        rig.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_13_s1_14_s1_15_s1_16_a_status_is_told_only_when_it_changes() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (path, project) = made(&client, "projects", json!({"name": "HQ", "contractValue": 1000})).await;
        assert_eq!(project["status"], "active");
        assert_eq!(told(&client).await, ["project.created"]);

        // No-ops: nothing given, the same values, the current status.
        for body in [
            json!({}),
            json!({"status": "active"}),
            json!({"name": "HQ", "contractValue": 1000.0}),
        ] {
            let answer = client.patch(&path, &body).await.expect(200);
            assert_eq!(answer["data"], project, "{body}: not even updatedAt changes");
        }
        assert_eq!(count(&client).await, 1);

        // A change without a status tells of an update only.
        let renamed = client.patch(&path, json!({"name": "HQ 2"})).await;
        let all = events(&client).await;
        assert_eq!(
            carries(&all[1], "project.updated", &renamed),
            json!({"name": "HQ"})
        );
        assert_eq!(all.len(), 2);

        // A change of both tells of both, and of each only what it is about.
        let done = client
            .patch(&path, json!({"name": "HQ", "status": "completed"}))
            .await;
        let all = events(&client).await;
        assert_eq!(all.len(), 4);
        let of = |name: &str| {
            all[2..]
                .iter()
                .find(|event| event["type"] == name)
                .expect("one")
                .clone()
        };
        assert_eq!(
            carries(&of("project.status_changed"), "project.status_changed", &done),
            json!({"status": "active"})
        );
        assert_eq!(
            carries(&of("project.updated"), "project.updated", &done),
            json!({"name": "HQ 2", "status": "active"})
        );
        assert_eq!(
            client.patch(&path, json!({"status": "done"})).await.faults(),
            ["status: invalid"]
        );
        assert_eq!(
            client.patch(&path, json!({"status": null})).await.faults(),
            ["status: invalid_type"]
        );
        assert_eq!(count(&client).await, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_09_s1_10_s1_11_a_bid_moves_by_its_steps_and_is_told_as_it_is_answered() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let created = client.post(&v1("bids"), doors()).await;
        let bid = created.expect(201)["data"].clone();
        assert_eq!(
            (&bid["bidNumber"], &bid["status"]),
            (&json!("BID-001"), &json!("draft"))
        );
        let text = data(&created);
        assert!(
            text.contains(
                r#""items":[{"description":"Oak door","quantity":2,"unitPrice":499.50}],"total":999.00,"#
            ),
            "{text}"
        );
        assert_eq!(
            carries(&events(&client).await[0], "bid.created", &created),
            Value::Null
        );
        let path = v1(&format!("bids/{}", bid["id"]));
        let step = async |path: &str, name: &str| client.act(&format!("{path}/{name}")).await;

        let refused = step(&path, "accept").await.problem(409, "conflict");
        assert_eq!(
            refused["detail"],
            "the bid is `draft`, which does not allow `accept`; allowed now: `send`"
        );
        for name in ["view", "reject"] {
            step(&path, name).await.problem(409, "conflict");
        }
        let retitled = client
            .patch(&path, json!({"title": "Doors", "items": []}))
            .await
            .expect(200)["data"]
            .clone();
        assert_eq!(
            (&retitled["title"], &retitled["items"], &retitled["total"]),
            (&json!("Doors"), &json!([]), &json!(0.0))
        );
        let sent = step(&path, "send").await.expect(200)["data"].clone();
        assert_eq!(
            (&sent["status"], sent["sentAt"].is_string()),
            (&json!("sent"), true)
        );
        client.patch(&path, "{}").await.expect(200);
        client
            .patch(&path, json!({"title": "Windows"}))
            .await
            .problem(409, "conflict");
        step(&path, "send").await.problem(409, "conflict");
        assert_eq!(step(&path, "view").await.expect(200)["data"]["status"], "viewed");
        step(&path, "view").await.problem(409, "conflict");
        assert_eq!(count(&client).await, 1, "none of this is told");

        let accepted = step(&path, "accept").await;
        assert_eq!(accepted.expect(200)["data"]["status"], "accepted");
        assert_eq!(
            carries(&events(&client).await[1], "bid.accepted", &accepted),
            Value::Null
        );
        for name in ["accept", "reject", "send", "view"] {
            step(&path, name).await.problem(409, "conflict");
        }
        let (other, _) = made(&client, "bids", json!({})).await;
        step(&other, "send").await.expect(200);
        let rejected = step(&other, "reject").await;
        rejected.expect(200);
        let all = events(&client).await;
        carries(&all[3], "bid.rejected", &rejected);
        step(&other, "accept").await.problem(409, "conflict");
        assert_eq!(count(&client).await, 4, "a step that fails is not told");
        assert_eq!(
            client.post(&format!("{other}/send"), r#"{"x":1}"#).await.faults(),
            ["x: unknown_field"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_17_s1_18_a_pay_app_is_submitted_then_approved_and_told() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (_, project) = made(&client, "projects", json!({"name": "HQ"})).await;
        let body = json!({"projectId": project["id"], "amount": 2500.25, "periodEnd": "2026-04-30"});
        let (path, pay_app) = made(&client, "pay-apps", body).await;
        assert_eq!(
            (&pay_app["status"], &pay_app["periodEnd"]),
            (&json!("draft"), &json!("2026-04-30"))
        );
        client
            .act(&format!("{path}/approve"))
            .await
            .problem(409, "conflict");
        client
            .patch(&path, json!({"amount": 2500, "periodEnd": null}))
            .await
            .expect(200);
        let submitted = client.act(&format!("{path}/submit")).await;
        submitted.expect(200);
        assert!(
            submitted
                .text()
                .contains(r#""amount":2500.00,"periodEnd":null,"status":"submitted""#),
            "{}",
            submitted.text()
        );
        client
            .act(&format!("{path}/submit"))
            .await
            .problem(409, "conflict");
        client
            .patch(&path, json!({"amount": 1}))
            .await
            .problem(409, "conflict");
        let approved = client.act(&format!("{path}/approve")).await;
        approved.expect(200);
        client
            .act(&format!("{path}/approve"))
            .await
            .problem(409, "conflict");
        let all = events(&client).await;
        assert_eq!(
            told(&client).await,
            ["pay_app.approved", "pay_app.submitted", "project.created"]
        );
        carries(&all[1], "pay_app.submitted", &submitted);
        carries(&all[2], "pay_app.approved", &approved);
    })
    .await;
}

/// A submitted change order of one item for a project: its path.
async fn submitted(client: &Client<'_>, project: &Value, price: f64) -> String {
    let item = json!({"description": "Extra", "quantity": 1, "unitPrice": price});
    let (path, _) = made(
        client,
        "change-orders",
        json!({"projectId": project["id"], "items": [item]}),
    )
    .await;
    client.act(&format!("{path}/submit")).await.expect(200);
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_19_s1_20_a_change_order_is_applied_whole_when_it_is_approved() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (project_path, project) = made(&client, "projects", json!({"name": "HQ", "contractValue": 1000})).await;
        let mut bids = vec![];
        for _ in 0..3 {
            let (bid, _) = made(&client, "bids", json!({"projectId": project["id"], "items": doors()["items"]})).await;
            client.act(&format!("{bid}/send")).await.expect(200);
            bids.push(bid);
        }
        client.act(&format!("{}/accept", bids[1])).await.expect(200);
        client.act(&format!("{}/accept", bids[0])).await.expect(200);

        let (path, order) = made(&client, "change-orders", json!({"projectId": project["id"], "title": "Larger doors"})).await;
        assert_eq!((&order["status"], &order["items"]), (&json!("draft"), &json!([])));
        let before = count(&client).await;
        let refused = client.act(&format!("{path}/submit")).await.problem(409, "conflict");
        assert_eq!(refused["detail"], "the change order is empty: add an item before it is submitted");
        let items = format!("{path}/items");
        assert_eq!(client.post(&items, r#"{"items":[]}"#).await.faults(), ["items: required"]);
        assert_eq!(client.post(&items, "{}").await.faults(), ["description: required", "quantity: required", "unitPrice: required"]);
        client.post(&items, DOOR).await.expect(201);
        let more = json!({"items": [{"description": "Deduction", "quantity": 0.5, "unitPrice": -100.01}]});
        let grown = client.post(&items, more).await;
        grown.expect(201);
        assert!(grown.text().contains(r#""quantity":0.5,"unitPrice":-100.01}],"total":948.99,"bidId":null"#), "{}", grown.text());
        assert_eq!(count(&client).await, before, "none of this is told");
        client.act(&format!("{path}/approve")).await.problem(409, "conflict");
        let sent = client.act(&format!("{path}/submit")).await;
        carries(&events(&client).await[before], "change_order.submitted", &sent);
        client.post(&items, DOOR).await.problem(409, "conflict");

        let approved = client.act(&format!("{path}/approve")).await;
        let record = approved.expect(200)["data"].clone();
        let newest: i64 = bids[0].rsplit('/').next().expect("an id").parse().expect("a number");
        assert_eq!((&record["status"], &record["bidId"]), (&json!("approved"), &json!(newest)));
        let bid = client.get(&bids[0]).await.text();
        assert!(bid.contains(r#""items":[{"description":"Oak door","quantity":2,"unitPrice":499.50},{"description":"Oak door","quantity":2,"unitPrice":499.50},{"description":"Deduction","quantity":0.5,"unitPrice":-100.01}],"total":1947.99"#), "{bid}");
        for other in [&bids[1], &bids[2]] {
            assert_eq!(client.get(other).await.expect(200)["data"]["items"].as_array().map(Vec::len), Some(1));
        }
        let value = client.get(&project_path).await;
        assert!(value.text().contains(r#""contractValue":1948.99,"#), "{}", value.text());

        let all = events(&client).await;
        assert_eq!(all.len(), before + 3);
        let of = |name: &str| all[before + 1..].iter().find(|event| event["type"] == name).expect("one").clone();
        carries(&of("change_order.approved"), "change_order.approved", &approved);
        assert_eq!(carries(&of("project.updated"), "project.updated", &value), json!({"contractValue": 1000.0}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_20_of_two_approvals_at_once_one_wins_and_it_is_applied_once() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (project_path, project) = made(&client, "projects", json!({"name": "HQ"})).await;
        let (bid, _) = made(&client, "bids", json!({"projectId": project["id"]})).await;
        for step in ["send", "accept"] {
            client.act(&format!("{bid}/{step}")).await.expect(200);
        }
        for round in 1..=3_usize {
            let (one, other) = (
                submitted(&client, &project, 10.0).await,
                submitted(&client, &project, 0.5).await,
            );
            let approve = |path: &str| {
                let path = format!("{path}/approve");
                let client = &client;
                async move { client.act(&path).await }
            };
            // Two of the same, and beside them one of another order of the same project.
            let answers = join_all([approve(&one), approve(&one), approve(&one), approve(&other)]).await;
            let won = answers[..3].iter().filter(|answer| answer.status == 200).count();
            assert_eq!(won, 1);
            for lost in answers[..3].iter().filter(|answer| answer.status != 200) {
                lost.problem(409, "conflict");
            }
            answers[3].expect(200);
            let value = client.get(&project_path).await.text();
            let cents = round * 1_050;
            let expected = format!(r#""contractValue":{}.{:02},"#, cents / 100, cents % 100);
            assert!(value.contains(&expected), "{value}");
            let items = client.get(&bid).await.expect(200)["data"]["items"]
                .as_array()
                .map(Vec::len);
            assert_eq!(items, Some(2 * round));
        }
        let approvals = told(&client)
            .await
            .iter()
            .filter(|name| *name == "change_order.approved")
            .count();
        assert_eq!(approvals, 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_without_an_accepted_bid_changes_the_contract_value_only() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let (project_path, project) =
            made(&client, "projects", json!({"name": "HQ", "contractValue": 5})).await;
        let (bid, _) = made(&client, "bids", json!({"projectId": project["id"]})).await;
        let path = submitted(&client, &project, 7.25).await;
        let approved = client.act(&format!("{path}/approve")).await.expect(200);
        assert_eq!(
            (&approved["data"]["status"], &approved["data"]["bidId"]),
            (&json!("approved"), &Value::Null)
        );
        assert_eq!(
            client.get(&project_path).await.expect(200)["data"]["contractValue"],
            12.25
        );
        assert_eq!(client.get(&bid).await.expect(200)["data"]["items"], json!([]));

        // More is taken away than there is: nothing happens, and nothing is told.
        let before = count(&client).await;
        let path = submitted(&client, &project, -12.26).await;
        let refused = client
            .act(&format!("{path}/approve"))
            .await
            .problem(409, "conflict");
        assert!(
            refused["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("12.25")),
            "{refused}"
        );
        assert_eq!(client.get(&path).await.expect(200)["data"]["status"], "submitted");
        assert_eq!(
            client.get(&project_path).await.expect(200)["data"]["contractValue"],
            12.25
        );
        assert_eq!(count(&client).await, before + 1, "its submission only");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g18_a_repetition_does_nothing_again_and_tells_nothing_again() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let body = json!({"firstName": "Jane"});
        let first = client.keyed("c", Method::POST, &v1("contacts"), &body).await;
        let again = client.keyed("c", Method::POST, &v1("contacts"), &body).await;
        assert_eq!(
            (first.expect(201), again.header("idempotency-replayed")),
            (again.expect(201), "true")
        );
        assert_eq!(first.body, again.body);
        client
            .keyed("c", Method::POST, &v1("contacts"), json!({"firstName": "Joe"}))
            .await
            .problem(409, "idempotency_key_reused");

        let (path, _) = made(&client, "projects", json!({"name": "HQ"})).await;
        let done = json!({"status": "completed"});
        let requests = (0..4).map(|_| client.keyed("p", Method::PATCH, &path, &done));
        for answer in join_all(requests).await {
            assert_eq!(answer.expect(200)["data"]["status"], "completed");
        }
        let (bid, _) = made(&client, "bids", json!({})).await;
        for step in ["send", "accept"] {
            let path = format!("{bid}/{step}");
            client.keyed(step, Method::POST, &path, "").await.expect(200);
            let again = client.keyed(step, Method::POST, &path, "").await;
            assert_eq!(
                again.header("idempotency-replayed"),
                "true",
                "the first answer, not a conflict"
            );
            again.expect(200);
        }
        // A refusal leaves the key to the next request.
        client
            .keyed("v", Method::POST, &format!("{bid}/view"), "")
            .await
            .problem(409, "conflict");
        client
            .keyed("v", Method::PATCH, &path, json!({"status": "active"}))
            .await
            .expect(200);
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for name in told(&client).await {
            *expected.entry(name).or_default() += 1;
        }
        let counts = json!({"bid.accepted": 1, "bid.created": 1, "contact.created": 1, "project.created": 1,
            "project.status_changed": 2, "project.updated": 2});
        assert_eq!(json!(expected), counts);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g18_a_change_that_cannot_commit_tells_nothing() {
    with_database(async |url| {
        let rig = crate::support::Rig::start(url, &[]).await;
        rig.until_database_is_ready().await;
        let client = rig.tenant("*").await;
        let (path, _) = made(&client, "projects", json!({"name": "HQ"})).await;
        let order = submitted(&client, &client.get(&path).await.expect(200)["data"], 5.0).await;
        let before = told(&client).await;

        // A rule that is checked at the commit, when the event and its outbox row are already inserted.
        let (sql, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected");
        let connection = tokio::spawn(connection);
        let rule = "
            CREATE FUNCTION plumbline.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'no commit today'; END $$;
            CREATE CONSTRAINT TRIGGER no_commit AFTER INSERT ON plumbline.outbox
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION plumbline.refuse()";
        sql.batch_execute(rule).await.expect("made");
        client
            .post(&v1("contacts"), json!({"firstName": "Jane"}))
            .await
            .problem(500, "internal_error");
        client
            .patch(&path, json!({"status": "completed"}))
            .await
            .problem(500, "internal_error");
        client
            .keyed("a", Method::POST, &format!("{order}/approve"), "")
            .await
            .problem(500, "internal_error");
        assert_eq!(told(&client).await, before, "nothing is told");
        assert_eq!(client.get(&v1("contacts")).await.expect(200)["data"], json!([]));
        let project = client.get(&path).await.expect(200)["data"].clone();
        assert_eq!(
            (&project["status"], &project["contractValue"]),
            (&json!("active"), &json!(0.0))
        );
        assert_eq!(
            client.get(&order).await.expect(200)["data"]["status"],
            "submitted"
        );

        sql.batch_execute("DROP TRIGGER no_commit ON plumbline.outbox")
            .await
            .expect("dropped");
        client
            .keyed("a", Method::POST, &format!("{order}/approve"), "")
            .await
            .expect(200);
        assert_eq!(
            count(&client).await,
            before.len() + 2,
            "the key was left to this one"
        );
        drop(sql);
        connection.await.expect("it ends").expect("cleanly");
        rig.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_for_an_event_is_not_changed() {
    with_server_and(&["--max-payload-bytes", "300"], async |rig| {
        let client = rig.tenant("*").await;
        let (path, _) = made(&client, "contacts", json!({"firstName": "Jane"})).await;
        client
            .patch(&path, json!({"lastName": "x".repeat(200)}))
            .await
            .problem(413, "payload_too_large");
        assert_eq!(
            client.get(&path).await.expect(200)["data"]["lastName"],
            Value::Null
        );
        assert_eq!(told(&client).await, ["contact.created"]);
    })
    .await;
}

/// One of each record; their paths by collection.
async fn one_of_each(client: &Client<'_>) -> BTreeMap<&'static str, (String, Value)> {
    let mut all = BTreeMap::new();
    let contact = made(
        client,
        "contacts",
        json!({"firstName": "Jane", "email": "ours@example.com"}),
    )
    .await;
    let company = made(client, "companies", json!({"name": "ours"})).await;
    let opportunity = made(
        client,
        "opportunities",
        json!({"name": "ours", "companyId": company.1["id"]}),
    )
    .await;
    let project = made(
        client,
        "projects",
        json!({"name": "ours", "contactId": contact.1["id"]}),
    )
    .await;
    let bid = made(
        client,
        "bids",
        json!({"title": "ours", "projectId": project.1["id"]}),
    )
    .await;
    let pay_app = made(
        client,
        "pay-apps",
        json!({"projectId": project.1["id"], "amount": 1}),
    )
    .await;
    let items = doors()["items"].clone();
    let order = json!({"title": "ours", "projectId": project.1["id"], "items": items});
    let order = made(client, "change-orders", order).await;
    all.extend([
        ("contacts", contact),
        ("companies", company),
        ("opportunities", opportunity),
        ("projects", project),
        ("bids", bid),
        ("pay-apps", pay_app),
        ("change-orders", order),
    ]);
    all
}

/// Every route on one record: the collection, the method, the rest of the path, the body, and the scope.
const ROUTES: [(&str, &str, &str, &str, &str); 23] = [
    ("contacts", "GET", "", "", "contacts:read"),
    (
        "contacts",
        "PATCH",
        "",
        r#"{"firstName":"theirs"}"#,
        "contacts:write",
    ),
    ("companies", "GET", "", "", "companies:read"),
    (
        "companies",
        "PATCH",
        "",
        r#"{"name":"theirs"}"#,
        "companies:write",
    ),
    ("opportunities", "GET", "", "", "opportunities:read"),
    (
        "opportunities",
        "PATCH",
        "",
        r#"{"name":"theirs"}"#,
        "opportunities:write",
    ),
    ("projects", "GET", "", "", "projects:read"),
    (
        "projects",
        "PATCH",
        "",
        r#"{"status":"cancelled"}"#,
        "projects:write",
    ),
    ("bids", "GET", "", "", "bids:read"),
    ("bids", "PATCH", "", r#"{"title":"theirs"}"#, "bids:write"),
    ("bids", "POST", "/send", "", "bids:send"),
    ("bids", "POST", "/view", "", "bids:write"),
    ("bids", "POST", "/accept", "", "bids:accept_reject"),
    ("bids", "POST", "/reject", "", "bids:accept_reject"),
    ("pay-apps", "GET", "", "", "pay_apps:read"),
    ("pay-apps", "PATCH", "", r#"{"amount":2}"#, "pay_apps:write"),
    ("pay-apps", "POST", "/submit", "", "pay_apps:write"),
    ("pay-apps", "POST", "/approve", "", "pay_apps:approve"),
    ("change-orders", "GET", "", "", "change_orders:read"),
    (
        "change-orders",
        "PATCH",
        "",
        r#"{"title":"theirs"}"#,
        "change_orders:write",
    ),
    ("change-orders", "POST", "/items", DOOR, "change_orders:write"),
    ("change-orders", "POST", "/submit", "", "change_orders:write"),
    ("change-orders", "POST", "/approve", "", "change_orders:approve"),
];

async fn ask(client: &Client<'_>, method: &str, path: &str, body: &str) -> Answer {
    let request = client
        .request(method.parse().expect("a method"), path)
        .header("content-type", "application/json");
    client
        .rig
        .send(request.body(body.to_owned().into()).expect("a request"))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_a_record_needs_its_scope() {
    with_server(async |rig| {
        let owner = rig.tenant("*").await;
        let all = one_of_each(&owner).await;
        let of_lists = all.keys().flat_map(|collection| {
            let family = collection.replace('-', "_");
            let (read, write) = (format!("{family}:read"), format!("{family}:write"));
            [
                (v1(collection), "GET", "", read),
                (v1(collection), "POST", "{}", write),
            ]
        });
        let of_records = ROUTES.iter().map(|(collection, method, rest, body, scope)| {
            (
                format!("{}{rest}", all[collection].0),
                *method,
                *body,
                (*scope).to_owned(),
            )
        });
        let scopes: Vec<&str> = plumbline_domain::Scope::ALL
            .iter()
            .map(|scope| scope.as_str())
            .collect();
        for (path, method, body, scope) in of_lists.chain(of_records) {
            let others: Vec<&str> = scopes.iter().copied().filter(|other| *other != scope).collect();
            let without = rig.client(owner.tenant, &others.join(",")).await;
            let refused = ask(&without, method, &path, body)
                .await
                .problem(403, "scope_insufficient");
            assert!(
                refused["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(&scope)),
                "{method} {path}: {refused}"
            );
            let with = rig.client(owner.tenant, &scope).await;
            let answer = ask(&with, method, &path, body).await;
            let is_let_in = answer.status != 403 && answer.status != 401;
            assert!(is_let_in, "{method} {path}: {}", answer.text());
            ask(&rig.stranger(), method, &path, body)
                .await
                .problem(401, "unauthorized");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_06_another_tenants_records_are_neither_found_nor_referred_to() {
    with_server(async |rig| {
        let (owner, stranger) = (rig.tenant("*").await, rig.tenant("*").await);
        let all = one_of_each(&owner).await;
        let before = told(&owner).await;
        for (collection, method, rest, body, _) in ROUTES {
            let path = format!("{}{rest}", all[collection].0);
            let foreign = ask(&stranger, method, &path, body)
                .await
                .problem(404, "not_found");
            assert!(
                !foreign.to_string().contains("ours"),
                "{method} {path}: {foreign}"
            );
            let nobodys = ask(
                &stranger,
                method,
                &v1(&format!("{collection}/999999{rest}")),
                body,
            )
            .await;
            assert_eq!(
                nobodys.problem(404, "not_found")["detail"],
                foreign["detail"],
                "{method} {path}"
            );
        }
        for path in [
            "contacts/0",
            "contacts/x",
            "bids/-1",
            "projects/9223372036854775808",
            "bids/1.0/send",
        ] {
            let method = if path.ends_with("send") { "POST" } else { "GET" };
            ask(&owner, method, &v1(path), "").await.problem(404, "not_found");
        }
        let id = |collection: &str| all[collection].1["id"].clone();
        for (collection, body, field) in [
            (
                "projects",
                json!({"name": "HQ", "contactId": id("contacts")}),
                "contactId",
            ),
            (
                "opportunities",
                json!({"name": "Wing", "companyId": id("companies")}),
                "companyId",
            ),
            ("bids", json!({"projectId": id("projects")}), "projectId"),
            (
                "pay-apps",
                json!({"projectId": id("projects"), "amount": 1}),
                "projectId",
            ),
            ("change-orders", json!({"projectId": id("projects")}), "projectId"),
        ] {
            assert_eq!(
                stranger.post(&v1(collection), body).await.faults(),
                [format!("{field}: not_found")]
            );
        }
        // Nor by a change.
        let (theirs, _) = made(&stranger, "bids", json!({})).await;
        let stolen = stranger
            .patch(&theirs, json!({"projectId": id("projects")}))
            .await;
        assert_eq!(stolen.faults(), ["projectId: not_found"]);
        for (collection, (path, record)) in &all {
            assert_eq!(
                owner.get(path).await.expect(200)["data"],
                *record,
                "{collection}: nothing changed"
            );
            let listed = stranger.get(&v1(collection)).await.expect(200)["data"].clone();
            assert!(!listed.to_string().contains("ours"), "{collection}");
        }
        assert_eq!(
            (told(&owner).await, told(&stranger).await),
            (before, vec!["bid.created".to_owned()])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_listed_newest_first_page_by_page() {
    with_server(async |rig| {
        let client = rig.tenant("*").await;
        let mut expected = vec![];
        for _ in 0..5 {
            expected.insert(0, made(&client, "bids", doors()).await.1);
        }
        let (mut seen, mut cursor) = (vec![], String::new());
        loop {
            let page = client
                .get(&v1(&format!("bids?limit=2{cursor}")))
                .await
                .expect(200);
            seen.extend(page["data"].as_array().expect("a list").clone());
            match page["meta"]["pagination"]["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected);
        client
            .get(&v1(&format!("contacts?limit=2{cursor}")))
            .await
            .problem(400, "bad_request");
        for limit in ["0", "101"] {
            assert_eq!(
                client.get(&v1(&format!("projects?limit={limit}"))).await.faults(),
                ["limit: invalid"]
            );
        }
        assert_eq!(
            client.get(&v1("projects?status=active")).await.faults(),
            ["status: unknown_parameter"]
        );
    })
    .await;
}
