//! Tenants, by the documents: for every operation that names a record, another tenant's record is not there, and
//! nothing happens to it. A new route is covered by itself; only how a new kind of record is made must be said here.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::{Value, json};

use crate::people::{PASSWORD, Person};
use crate::support::{Rig, Sql, with_database};

const DOCUMENTS: [&str; 3] = [
    "/api/v1/openapi.json",
    "/api/2023-01/openapi.json",
    "/v1/openapi.json",
];

/// An operation that names a record in its path.
struct Operation {
    method: Method,
    /// With one placeholder.
    path: String,
    /// The document's own example, where there is a body.
    body: String,
}

impl Operation {
    /// What stands before the placeholder: which kind of record it is.
    fn collection(&self) -> &str {
        self.path.split("/{").next().expect("a beginning")
    }

    fn on(&self, id: &str) -> String {
        let (before, rest) = self.path.split_once('{').expect("a placeholder");
        let (_, after) = rest.split_once('}').expect("its end");
        assert!(!after.contains('{'), "{}: one placeholder is expected", self.path);
        format!("{before}{id}{after}")
    }
}

/// The operations of a document that name a record.
fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = vec![];
    for (path, item) in document["paths"].as_object().expect("paths") {
        if !path.contains('{') {
            continue;
        }
        for (method, operation) in item.as_object().expect("operations") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            operations.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                body: example(document, schema).map_or_else(String::new, |body| body.to_string()),
            });
        }
    }
    operations
}

/// The example of a schema, or of what it refers to; an empty object where there is none.
fn example(document: &Value, schema: &Value) -> Option<Value> {
    if schema.is_null() {
        return None;
    }
    let one_of = schema["oneOf"].as_array().into_iter().flatten();
    let referred = std::iter::once(schema)
        .chain(one_of)
        .find_map(|schema| schema["$ref"].as_str())
        .map(|reference| document.pointer(&reference[1..]).expect("it leads somewhere"));
    let schema = referred.unwrap_or(schema);
    Some(schema.get("example").cloned().unwrap_or_else(|| json!({})))
}

/// Make a record of a collection; returns what its path calls it.
async fn make(owner: &Person<'_>, collection: &str) -> String {
    let unique = rand::random::<u64>();
    let url = "https://hooks.example.com/x";
    let made = async |path: &str, body: Value| {
        let answer = owner.post(path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        answer.get("data").cloned().unwrap_or(answer)
    };
    let endpoint = json!({"url": url, "eventTypes": ["bid.accepted"]});
    let record = match collection {
        "/api/v1/webhook-endpoints" => made(collection, endpoint).await,
        "/api/v1/webhook-deliveries" => {
            let endpoint = made("/api/v1/webhook-endpoints", endpoint).await;
            let test = format!("/api/v1/webhook-endpoints/{}/test", endpoint["id"]);
            let sent = made(&test, json!({})).await;
            json!({"id": sent["deliveryId"]})
        }
        "/api/v1/webhook-event-types" => {
            let made = made(collection, json!({"name": format!("own.type_{unique}")})).await;
            json!({"id": made["name"]})
        }
        "/api/v1/events" => made(collection, json!({"type": "bid.accepted", "data": {"id": 1}})).await,
        "/api/v1/users" => {
            let email = format!("u{unique}@example.com");
            made(
                collection,
                json!({"email": email, "role": "member", "password": PASSWORD}),
            )
            .await
        }
        "/api/v1/api-keys" => made(collection, json!({"name": "a", "scopes": ["*"]})).await,
        "/api/v1/contacts" => made(collection, json!({"firstName": "Jane"})).await,
        "/api/v1/companies" | "/api/v1/opportunities" | "/api/v1/projects" => {
            made(collection, json!({"name": "Acme"})).await
        }
        "/api/v1/bids" => made(collection, json!({})).await,
        "/api/v1/pay-apps" | "/api/v1/change-orders" => {
            let project = made("/api/v1/projects", json!({"name": "Acme HQ"})).await;
            let body = if collection.ends_with("pay-apps") {
                json!({"projectId": project["id"], "amount": 100})
            } else {
                json!({"projectId": project["id"]})
            };
            made(collection, body).await
        }
        "/api/2023-01/webhooks" => {
            let webhook = json!({"url": url, "filter_types": ["contact.create"]});
            made(collection, json!({"webhook": webhook})).await["webhook"].clone()
        }
        "/v1/webhooks" => made(collection, json!({"url": url, "events": []})).await,
        other => panic!("say here how a record of {other} is made"),
    };
    match &record["id"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    }
}

/// Everything that the database holds of a tenant, as one hash.
async fn holdings(sql: &Sql, tenant: i64) -> String {
    let query = sql
        .text(&format!(
            "SELECT string_agg(format('SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), %L)) AS h
                FROM plumbline.%I AS t WHERE %I = {tenant}', '', c.table_name, c.column_name), ' UNION ALL ')
             FROM information_schema.columns AS c
             WHERE c.table_schema = 'plumbline'
                AND (c.column_name = 'tenant_id' OR c.table_name = 'tenants' AND c.column_name = 'id')"
        ))
        .await;
    sql.text(&format!(
        "SELECT string_agg(h, ',' ORDER BY h) FROM ({query}) AS hashes"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_06_s4_27_on_every_documented_route_another_tenants_record_is_not_there() {
    with_database(async |url| {
        let rig = Rig::start(
            url,
            &["--rate-limit-per-key", "0", "--max-endpoints-per-tenant", "1000"],
        )
        .await;
        rig.until_database_is_ready().await;
        let sql = Sql::connect(url).await;
        let (owner, intruder) = (rig.admin_person().await, rig.admin_person().await);
        let key = rig.client(intruder.tenant, "*").await;
        let mut covered = 0;
        for document in DOCUMENTS {
            let document: Value =
                serde_json::from_slice(&rig.stranger().get(document).await.body).expect("a document");
            let operations = operations(&document);
            let mut records = BTreeMap::new();
            for operation in &operations {
                let collection = operation.collection();
                if !records.contains_key(collection) {
                    records.insert(collection.to_owned(), make(&owner, collection).await);
                }
            }
            for operation in &operations {
                let what = format!("{} {}", operation.method, operation.path);
                let path = operation.on(&records[operation.collection()]);
                let before = holdings(&sql, owner.tenant.0).await;
                let answer = intruder
                    .ask(operation.method.clone(), &path, &operation.body)
                    .await;
                assert_eq!(answer.status, 404, "{what} by a user: {}", answer.text());
                let answer = key
                    .keyed(
                        &format!("{covered}"),
                        operation.method.clone(),
                        &path,
                        &operation.body,
                    )
                    .await;
                // Users and keys are no key's business, whoever's they are.
                let expected = if ["/api/v1/users", "/api/v1/api-keys"].contains(&operation.collection()) {
                    403
                } else {
                    404
                };
                assert_eq!(answer.status, expected, "{what} by a key: {}", answer.text());
                assert_eq!(
                    holdings(&sql, owner.tenant.0).await,
                    before,
                    "{what} changed something"
                );
                covered += 1;
            }
            // The same requests are well-formed: their owner is not told that there is no such thing.
            for operation in &operations {
                let path = operation.on(&make(&owner, operation.collection()).await);
                let answer = owner.ask(operation.method.clone(), &path, &operation.body).await;
                let status = answer.status.as_u16();
                // An example names records that this owner does not have: what it refers to, not itself.
                let refers_to_nothing = status == 422
                    && answer
                        .faults()
                        .iter()
                        .all(|fault| fault.ends_with("Id: not_found"));
                assert!(
                    refers_to_nothing || ![400, 404, 415, 422, 500].contains(&status),
                    "{} {path} {}: {}",
                    operation.method,
                    operation.body,
                    answer.text()
                );
            }
        }
        assert!(covered >= 50, "only {covered} operations were found");
        rig.end().await;
    })
    .await;
}
