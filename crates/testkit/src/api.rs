//! A customer's client of the management API.

use hyper::Method;
use serde_json::{Value, json};

use crate::eventually;
use crate::http::{Answer, HttpClient};

/// A client with one API key. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Api {
    http: HttpClient,
    base: String,
    key: String,
    tenant: i64,
}

/// An endpoint, as its creator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number.
    pub id: i64,
    /// Its signing secret.
    pub secret: String,
}

impl Api {
    pub(crate) fn new(http: HttpClient, base: String, key: String, tenant: i64) -> Self {
        Self {
            http,
            base,
            key,
            tenant,
        }
    }

    /// The same client, of a replica that listens there.
    pub(crate) fn at_address(&self, listen: std::net::SocketAddr) -> Self {
        Self {
            base: format!("http://{listen}"),
            ..self.clone()
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> i64 {
        self.tenant
    }

    /// The API key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Send a request with the key; `path` is below `/api/v1/`. A null body is none.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.send_with(method, path, &[], body).await
    }

    /// As [`send`](Self::send), with more headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.try_send(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`send_with`](Self::send_with), with a body of any bytes.
    ///
    /// # Errors
    /// When there is no answer: why.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Result<Answer, String> {
        let authorization = format!("Bearer {}", self.key);
        let mut all = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        all.extend(headers);
        self.http
            .send(method, &format!("{}/api/v1/{path}", self.base), &all, body)
            .await
    }

    /// Send a request with the key to any path of the service, such as `/v1/webhooks`. A null body is none.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn at(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let authorization = format!("Bearer {}", self.key);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        self.http
            .send(method, &format!("{}{path}", self.base), &headers, body)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Ask for something that exists: the `data` of the answer.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn get(&self, path: &str) -> Value {
        data(&self.send(Method::GET, path, &Value::Null).await.expect(200))
    }

    /// Post something, and expect this status: the `data` of the answer.
    ///
    /// # Panics
    /// When the answer has another one.
    pub async fn post(&self, path: &str, body: Value, status: u16) -> Value {
        data(&self.send(Method::POST, path, &body).await.expect(status))
    }

    /// Change something: the `data` of the answer.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn patch(&self, path: &str, body: Value) -> Value {
        data(&self.send(Method::PATCH, path, &body).await.expect(200))
    }

    /// Register an endpoint for these event types.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn create_endpoint(&self, url: &str, event_types: &[&str]) -> Endpoint {
        let body = json!({"url": url, "eventTypes": event_types});
        let made = self.post("webhook-endpoints", body, 201).await;
        Endpoint {
            id: made["id"].as_i64().expect("an endpoint's id is a number"),
            secret: made["signingSecret"]
                .as_str()
                .expect("the secret is shown at creation")
                .to_owned(),
        }
    }

    /// An endpoint, as it is now.
    ///
    /// # Panics
    /// When there is none.
    pub async fn endpoint(&self, id: i64) -> Value {
        self.get(&format!("webhook-endpoints/{id}")).await
    }

    /// Delete an endpoint.
    ///
    /// # Panics
    /// When the answer is not 204.
    pub async fn delete_endpoint(&self, id: i64) {
        self.send(Method::DELETE, &format!("webhook-endpoints/{id}"), &Value::Null)
            .await
            .expect(204);
    }

    /// Publish an event: its id.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn publish(&self, event_type: &str, event_data: Value) -> String {
        let body = json!({"type": event_type, "data": event_data});
        let accepted = self.post("events", body, 202).await;
        accepted["id"].as_str().expect("an event's id is text").to_owned()
    }

    /// Publish many events at once: their ids, in order.
    ///
    /// # Panics
    /// When they are not accepted.
    pub async fn publish_batch(
        &self,
        event_type: &str,
        events: impl IntoIterator<Item = Value>,
    ) -> Vec<String> {
        let events: Vec<Value> = events
            .into_iter()
            .map(|event_data| json!({"type": event_type, "data": event_data}))
            .collect();
        let accepted = self.post("events", json!({"events": events}), 202).await;
        let ids = accepted.as_array().expect("a list of ids").iter();
        ids.map(|accepted| accepted["id"].as_str().expect("an event's id is text").to_owned())
            .collect()
    }

    /// The newest hundred deliveries of an endpoint, newest first.
    ///
    /// # Panics
    /// When there is no such endpoint.
    pub async fn deliveries(&self, endpoint: i64) -> Vec<Value> {
        self.deliveries_with(endpoint, "limit=100").await
    }

    /// A page of an endpoint's deliveries, by a query.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn deliveries_with(&self, endpoint: i64, query: &str) -> Vec<Value> {
        let found = self
            .get(&format!("webhook-endpoints/{endpoint}/deliveries?{query}"))
            .await;
        found.as_array().expect("a list of deliveries").clone()
    }

    /// How many deliveries of an endpoint have this status, over all pages.
    ///
    /// # Panics
    /// When an answer is not 200.
    pub async fn count_deliveries(&self, endpoint: i64, status: &str) -> usize {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let path = format!("webhook-endpoints/{endpoint}/deliveries?status={status}&limit=100{cursor}");
            let page = self
                .send(Method::GET, &path, &Value::Null)
                .await
                .expect(200)
                .json();
            count += page["data"].as_array().expect("a list of deliveries").len();
            match page["meta"]["pagination"]["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return count,
            }
        }
    }

    /// A delivery with its payload and attempts.
    ///
    /// # Panics
    /// When there is none.
    pub async fn delivery(&self, id: &str) -> Value {
        self.get(&format!("webhook-deliveries/{id}")).await
    }

    /// Wait until a delivery has this status, and return it with its attempts.
    ///
    /// # Panics
    /// When it settles in another one, or takes too long; the message shows it.
    pub async fn wait_delivery(&self, id: &str, status: &str) -> Value {
        eventually(&format!("delivery {id} to be {status}"), async || {
            let delivery = self.delivery(id).await;
            let is = delivery["status"].as_str().unwrap_or_default();
            assert!(
                is == status || is == "pending",
                "{id} should be {status}: {delivery:#}"
            );
            (is == status).then_some(delivery)
        })
        .await
    }

    /// Wait until an event's delivery to an endpoint has this status, and return it with its attempts.
    ///
    /// # Panics
    /// As [`wait_delivery`](Self::wait_delivery).
    pub async fn wait_delivery_status(&self, endpoint: i64, event: &str, status: &str) -> Value {
        let id = eventually(
            &format!("a delivery of {event} to endpoint {endpoint}"),
            async || {
                let found = self.deliveries_with(endpoint, &format!("eventId={event}")).await;
                let first = found.iter().find(|delivery| delivery["replayOf"].is_null())?;
                Some(first["id"].as_str().expect("a delivery's id is text").to_owned())
            },
        )
        .await;
        self.wait_delivery(&id, status).await
    }

    /// Wait until an event's delivery to an endpoint has been attempted this often, and return it with its attempts.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn wait_attempts(&self, endpoint: i64, event: &str, count: usize) -> Value {
        eventually(
            &format!("{count} attempts of {event} at endpoint {endpoint}"),
            async || {
                let found = self.deliveries_with(endpoint, &format!("eventId={event}")).await;
                let id = found.first()?["id"].as_str()?.to_owned();
                let delivery = self.delivery(&id).await;
                (delivery["attempts"].as_array()?.len() >= count).then_some(delivery)
            },
        )
        .await
    }
}

/// What an answer is about.
#[track_caller]
fn data(answer: &Answer) -> Value {
    answer
        .json()
        .get("data")
        .cloned()
        .unwrap_or_else(|| panic!("no data in {}", answer.text()))
}
