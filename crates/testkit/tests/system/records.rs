//! Construction records end to end: what a change answers arrives, signed, byte for byte, and nothing else does.

use hyper::Method;
use plumbline_testkit::{Api, Endpoint, Receiver, Stack};
use serde_json::{Value, json};

/// The event types of BuildWorkPro's catalogue.
const TEN: [&str; 10] = [
    "bid.created",
    "bid.accepted",
    "bid.rejected",
    "project.created",
    "project.status_changed",
    "pay_app.submitted",
    "pay_app.approved",
    "change_order.submitted",
    "change_order.approved",
    "contact.created",
];

/// A customer who works with records, and the endpoint that hears of it.
struct Story<'a> {
    api: &'a Api,
    receiver: Receiver,
    endpoint: Endpoint,
}

impl<'a> Story<'a> {
    async fn begin(api: &'a Api) -> Self {
        let receiver = Receiver::start().await;
        let endpoint = api.create_endpoint(&receiver.url("/"), &TEN).await;
        Self {
            api,
            receiver,
            endpoint,
        }
    }

    /// Change something: the text of the answer's `data`.
    async fn change(&self, method: Method, path: &str, body: Value) -> String {
        let answer = self.api.send(method, path, &body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        let text = answer.text();
        let (data, _) = text.rsplit_once(r#","meta":"#).expect("an envelope");
        data.strip_prefix(r#"{"data":"#).expect("an envelope").to_owned()
    }

    /// Change something that tells nothing: the record.
    async fn quietly(&self, method: Method, path: &str, body: Value) -> Value {
        serde_json::from_str(&self.change(method, path, body).await).expect("JSON")
    }

    /// Change something that is told by this event, with these previous attributes, byte for byte: the record.
    async fn told(
        &self,
        event_type: &str,
        previous: Option<&str>,
        method: Method,
        path: &str,
        body: Value,
    ) -> Value {
        let data = self.change(method, path, body).await;
        let request = self.receiver.next().await;
        assert_eq!(request.event_type(), event_type);
        request
            .verify(&self.endpoint.secret)
            .expect("the signature is right");
        let sent = String::from_utf8(request.body.to_vec()).expect("text");
        let end = match previous {
            Some(previous) => format!(r#","data":{data},"previous_attributes":{previous}}}"#),
            None => format!(r#","data":{data}}}"#),
        };
        assert!(
            sent.ends_with(&end),
            "{sent} should end as it was answered: {end}"
        );
        let envelope = request.json();
        assert_eq!(
            (&envelope["type"], &envelope["tenant_id"]),
            (&json!(event_type), &json!(self.api.tenant()))
        );
        serde_json::from_str(&data).expect("JSON")
    }

    /// The types of what was delivered, by name, once everything that has arrived is recorded.
    async fn delivered(&self) -> Vec<String> {
        for request in self.receiver.requests() {
            self.api
                .wait_delivery_status(self.endpoint.id, request.event_id(), "succeeded")
                .await;
        }
        let deliveries = self.api.deliveries(self.endpoint.id).await;
        let mut types: Vec<String> = deliveries
            .iter()
            .map(|delivery| crate::text(delivery, "eventType").to_owned())
            .collect();
        types.sort();
        types
    }
}

#[tokio::test]
async fn s1_09_to_s1_21_the_catalogues_events_arrive_as_answered_and_no_others() {
    let stack = Stack::start().await;
    let story = Story::begin(stack.api()).await;
    let (post, patch) = (|| Method::POST, || Method::PATCH);

    let jane = json!({"firstName": "Jané \u{1f3d7}", "lastName": "Doe", "type": "customer"});
    let contact = story
        .told("contact.created", None, post(), "contacts", jane)
        .await;
    story
        .quietly(
            patch(),
            &format!("contacts/{}", contact["id"]),
            json!({"phone": "1"}),
        )
        .await;

    let hq = json!({"name": "Acme HQ Renovation", "contactId": contact["id"], "contractValue": 120000.5});
    let project = story.told("project.created", None, post(), "projects", hq).await;
    assert_eq!(project["projectNumber"], "PRJ-001");
    let project_path = format!("projects/{}", project["id"]);

    let door = json!({"description": "Oak door", "quantity": 2, "unitPrice": 499.5});
    let offer = json!({"projectId": project["id"], "title": "Doors", "items": [door]});
    let bid = story.told("bid.created", None, post(), "bids", offer).await;
    assert_eq!(
        (&bid["bidNumber"], &bid["status"]),
        (&json!("BID-001"), &json!("draft"))
    );
    let of_bid = |step: &str| format!("bids/{}/{step}", bid["id"]);
    story
        .api
        .send(post(), &of_bid("accept"), &Value::Null)
        .await
        .expect(409);
    story.quietly(post(), &of_bid("send"), Value::Null).await;
    story.quietly(post(), &of_bid("view"), Value::Null).await;
    let accepted = story
        .told("bid.accepted", None, post(), &of_bid("accept"), Value::Null)
        .await;
    assert_eq!(accepted["status"], "accepted");
    story
        .api
        .send(post(), &of_bid("accept"), &Value::Null)
        .await
        .expect(409);

    let other = story.told("bid.created", None, post(), "bids", json!({})).await;
    story
        .quietly(post(), &format!("bids/{}/send", other["id"]), Value::Null)
        .await;
    let reject = format!("bids/{}/reject", other["id"]);
    story
        .told("bid.rejected", None, post(), &reject, Value::Null)
        .await;

    let amount = json!({"projectId": project["id"], "amount": 25000, "periodEnd": "2026-04-30"});
    let pay_app = story.quietly(post(), "pay-apps", amount).await;
    for (step, event) in [("submit", "pay_app.submitted"), ("approve", "pay_app.approved")] {
        let path = format!("pay-apps/{}/{step}", pay_app["id"]);
        story.told(event, None, post(), &path, Value::Null).await;
    }

    let order = story
        .quietly(post(), "change-orders", json!({"projectId": project["id"]}))
        .await;
    let of_order = |step: &str| format!("change-orders/{}/{step}", order["id"]);
    story
        .api
        .send(post(), &of_order("submit"), &Value::Null)
        .await
        .expect(409);
    story
        .quietly(post(), &of_order("items"), json!({"items": [door]}))
        .await;
    story
        .told(
            "change_order.submitted",
            None,
            post(),
            &of_order("submit"),
            Value::Null,
        )
        .await;
    let approved = story
        .told(
            "change_order.approved",
            None,
            post(),
            &of_order("approve"),
            Value::Null,
        )
        .await;
    assert_eq!(approved["bidId"], bid["id"]);
    assert_eq!(story.api.get(&project_path).await["contractValue"], 120_999.5);

    for nothing in [json!({}), json!({"status": "active"}), json!({"name": "Acme HQ"})] {
        story.quietly(patch(), &project_path, nothing).await;
    }
    let done = json!({"name": "HQ", "status": "completed"});
    let prior = Some(r#"{"status":"active"}"#);
    story
        .told("project.status_changed", prior, patch(), &project_path, done)
        .await;

    // A witness: whatever else was told would have been told before it.
    let witness = json!({"companyName": "Witness"});
    let last = story
        .told("contact.created", None, post(), "contacts", witness)
        .await;
    let mut expected = TEN.to_vec();
    expected.extend(["bid.created", "contact.created"]);
    expected.sort_unstable();
    assert_eq!(story.delivered().await, expected, "the last contact is {last}");
    assert_eq!(story.receiver.requests().len(), expected.len());
}

#[tokio::test]
async fn a_repeated_change_is_one_event() {
    let stack = Stack::start().await;
    let story = Story::begin(stack.api()).await;
    let body = json!({"firstName": "Jane"});
    let headers = [("Idempotency-Key", "jane")];
    let create = || stack.api().send_with(Method::POST, "contacts", &headers, &body);
    let answers = futures_util::future::join_all((0..8).map(|_| create())).await;
    let first = answers[0].text();
    for answer in answers {
        assert_eq!(answer.expect(201).text(), first);
    }
    assert_eq!(story.receiver.next().await.event_type(), "contact.created");
    story
        .told(
            "contact.created",
            None,
            Method::POST,
            "contacts",
            json!({"firstName": "Joe"}),
        )
        .await;
    assert_eq!(story.delivered().await, ["contact.created"; 2]);
}

#[tokio::test]
async fn g18_records_change_while_the_broker_is_down_and_their_events_arrive_when_it_is_back() {
    let stack = Stack::builder().broker_proxy().start().await;
    let story = Story::begin(stack.api()).await;
    stack.broker_proxy().refuse();
    stack.api_process().wait_not_ready().await;
    let data = story
        .change(Method::POST, "contacts", json!({"firstName": "Jane"}))
        .await;
    stack.broker_proxy().resume();
    let request = story.receiver.next().await;
    request
        .verify(&story.endpoint.secret)
        .expect("the signature is right");
    let sent = String::from_utf8(request.body.to_vec()).expect("text");
    assert!(sent.ends_with(&format!(r#","data":{data}}}"#)), "{sent}");
}
