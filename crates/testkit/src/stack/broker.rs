//! A test's broker: a virtual host of its own on the shared RabbitMQ, or a RabbitMQ of its own.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::{Value, json};
use url::Url;

use super::{Servers, script};
use crate::http::{Answer, HttpClient};

/// A virtual host that only one test uses.
#[derive(Debug)]
pub struct Broker {
    amqp_url: Url,
    management_url: Url,
    /// As it stands in a URL.
    vhost: String,
    home: Home,
    http: HttpClient,
}

#[derive(Debug)]
enum Home {
    Shared,
    Private { script: String, directory: PathBuf },
}

/// What a broker may be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Disk.
    Disk,
}

/// A message that lies in a queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its payload, as text.
    pub payload: String,
    /// Its properties, headers among them.
    pub properties: Value,
}

impl Broker {
    pub(super) async fn shared(servers: &Servers, id: &str, http: HttpClient) -> Self {
        let mut amqp_url = servers.amqp.clone();
        let vhost = format!("plumbline-test-{id}");
        amqp_url.set_path(&vhost);
        let broker = Self {
            amqp_url,
            management_url: servers.management.clone(),
            vhost,
            home: Home::Shared,
            http,
        };
        broker
            .management(Method::PUT, &format!("/api/vhosts/{}", broker.vhost), &json!({}))
            .await
            .expect(201);
        let permissions = format!("/api/permissions/{}/{}", broker.vhost, broker.amqp_url.username());
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        let answer = broker.management(Method::PUT, &permissions, &all).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        broker
    }

    pub(super) async fn private(script: String, directory: &Path, http: HttpClient) -> Self {
        let mut broker = Self::unstarted(script, directory, http);
        broker.start_at_last().await;
        broker
    }

    /// A private one that does not run yet.
    pub(super) fn unstarted(script: String, directory: &Path, http: HttpClient) -> Self {
        let nowhere: Url = "amqp://nowhere".parse().expect("a URL");
        Self {
            amqp_url: nowhere.clone(),
            management_url: nowhere,
            vhost: "%2f".to_owned(),
            home: Home::Private {
                script,
                directory: directory.to_owned(),
            },
            http,
        }
    }

    /// Choose who it will be, with the cookie and the password of another one, if there is one.
    pub(super) async fn prepare(&self, first: Option<&Self>) {
        let first = first.map(|first| first.directory().display().to_string());
        let extra: Vec<&str> = first.as_deref().into_iter().collect();
        self.private_script_with("prepare", &extra).await;
    }

    /// Start it for the first time, and learn where it is.
    pub(super) async fn start_at_last(&mut self) {
        self.start().await;
        let file = self.directory().join("broker.env");
        self.amqp_url = script::value(&file, "AMQP_URL").parse().expect("a URL");
        self.management_url = script::value(&file, "MANAGEMENT_URL").parse().expect("a URL");
    }

    /// Where a private one keeps its state.
    pub(super) fn directory(&self) -> &Path {
        let Home::Private { directory, .. } = &self.home else {
            panic!("the broker is shared")
        };
        directory
    }

    /// The Erlang VM of a private one that runs.
    pub(super) fn pid(&self) -> u32 {
        let pid = script::value(&self.directory().join("broker.env"), "PID");
        pid.parse().expect("a pid")
    }

    /// Where it speaks AMQP.
    pub fn amqp_url(&self) -> Url {
        self.amqp_url.clone()
    }

    /// Start a private broker (again): same place, and same data unless wiped.
    ///
    /// # Panics
    /// When the broker is shared, or does not start.
    pub async fn start(&self) {
        self.private_script("start").await;
    }

    /// Stop a private broker in an orderly way.
    ///
    /// # Panics
    /// When the broker is shared.
    pub async fn stop(&self) {
        self.private_script("stop").await;
    }

    /// Stop a private broker in an orderly way, to start it again: its name server stays.
    ///
    /// # Panics
    /// When the broker is shared.
    pub async fn halt(&self) {
        self.private_script("halt").await;
    }

    /// Kill a private broker, as a crash would.
    ///
    /// # Panics
    /// When the broker is shared.
    pub async fn kill(&self) {
        self.private_script("kill").await;
    }

    /// Remove all data of a private broker that does not run, as a lost disk would.
    ///
    /// # Panics
    /// When the broker is shared, or runs.
    pub async fn wipe(&self) {
        self.private_script("wipe").await;
    }

    /// Raise a private broker's alarm: it blocks everybody who publishes.
    ///
    /// # Panics
    /// When the broker is shared, or does not run.
    pub async fn raise_alarm(&self, resource: Resource) {
        self.control(match resource {
            Resource::Memory => &["set_vm_memory_high_watermark", "0.00001"],
            Resource::Disk => &["set_disk_free_limit", "1000000000000000"],
        })
        .await;
    }

    /// End the alarm.
    ///
    /// # Panics
    /// When the broker is shared, or does not run.
    pub async fn clear_alarm(&self, resource: Resource) {
        self.control(match resource {
            Resource::Memory => &["set_vm_memory_high_watermark", "0.4"],
            Resource::Disk => &["set_disk_free_limit", "50MB"],
        })
        .await;
    }

    async fn control(&self, command: &[&str]) {
        self.private_script_with("control", command).await;
    }

    async fn private_script(&self, verb: &str) {
        self.private_script_with(verb, &[]).await;
    }

    async fn private_script_with(&self, verb: &str, extra: &[&str]) {
        let Home::Private { script, directory } = &self.home else {
            panic!("the broker is shared")
        };
        let mut arguments = vec![verb.to_owned(), directory.display().to_string()];
        arguments.extend(extra.iter().map(|&argument| argument.to_owned()));
        script::run(script, arguments).await;
    }

    /// Put a payload into a queue, past everything that Plumbline would check.
    ///
    /// # Panics
    /// When the broker does not take it, or there is no such queue.
    pub async fn publish_raw(&self, queue: &str, payload: &[u8]) {
        self.publish_with(queue, payload, &json!({})).await;
    }

    /// The same with headers.
    ///
    /// # Panics
    /// When the broker does not take it, or there is no such queue.
    pub async fn publish_with(&self, queue: &str, payload: &[u8], headers: &Value) {
        let message = json!({
            "properties": {"delivery_mode": 2, "headers": headers},
            "routing_key": queue,
            "payload": STANDARD.encode(payload),
            "payload_encoding": "base64",
        });
        let path = format!("/api/exchanges/{}/amq.default/publish", self.vhost);
        let answer = self.management(Method::POST, &path, &message).await.expect(200);
        assert_eq!(answer.json()["routed"], true, "there is no queue {queue}");
    }

    /// The messages at the head of a queue, which stay there.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn peek(&self, queue: &str, count: usize) -> Vec<Message> {
        let question = json!({"count": count, "ackmode": "ack_requeue_true", "encoding": "auto"});
        let path = format!("/api/queues/{}/{queue}/get", self.vhost);
        let answer = self
            .management(Method::POST, &path, &question)
            .await
            .expect(200)
            .json();
        let message = |message: &Value| Message {
            payload: message["payload"].as_str().unwrap_or_default().to_owned(),
            properties: message["properties"].clone(),
        };
        answer
            .as_array()
            .expect("a list of messages")
            .iter()
            .map(message)
            .collect()
    }

    /// The names of the queues, sorted.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn queues(&self) -> Vec<String> {
        let path = format!("/api/queues/{}?columns=name", self.vhost);
        let answer = self
            .management(Method::GET, &path, &Value::Null)
            .await
            .expect(200)
            .json();
        let queues = answer.as_array().expect("a list of queues").iter();
        let mut names: Vec<String> = queues
            .filter_map(|queue| queue["name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    /// How many messages lie in a queue; `None` when there is no such queue, or the broker
    /// does not know yet.
    ///
    /// # Panics
    /// When the broker does not answer.
    pub async fn messages(&self, queue: &str) -> Option<u64> {
        let path = format!("/api/queues/{}/{queue}?columns=messages", self.vhost);
        let answer = self.management(Method::GET, &path, &Value::Null).await;
        (answer.status.as_u16() == 200).then(|| answer.json()["messages"].as_u64())?
    }

    /// The logs of a private broker.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let Home::Private { directory, .. } = &self.home else {
            return vec![];
        };
        let own = std::fs::read_dir(directory.join("log"))
            .into_iter()
            .flatten()
            .flatten();
        own.map(|entry| entry.path())
            .chain([directory.join("rabbitmq.log")])
            .collect()
    }

    async fn management(&self, method: Method, path: &str, body: &Value) -> Answer {
        let answer = self.try_management(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("the broker's management API failed: {error}"))
    }

    pub(super) async fn try_management(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer, String> {
        let (user, password) = (
            self.management_url.username(),
            self.management_url.password().unwrap_or_default(),
        );
        let authorization = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let host = self.management_url.host_str().expect("a server's URL has a host");
        let port = self
            .management_url
            .port()
            .expect("the test servers' URLs have ports");
        let url = format!("http://{host}:{port}{path}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.http.send(method, &url, &headers, body).await
    }

    pub(super) async fn remove(&self) {
        match &self.home {
            Home::Shared => {
                let path = format!("/api/vhosts/{}", self.vhost);
                // The pool's connections belong to the test's runtime; this one may be another.
                let fresh = Self {
                    amqp_url: self.amqp_url.clone(),
                    management_url: self.management_url.clone(),
                    vhost: self.vhost.clone(),
                    home: Home::Shared,
                    http: HttpClient::new(),
                };
                fresh
                    .management(Method::DELETE, &path, &Value::Null)
                    .await
                    .expect(204);
            }
            Home::Private { directory, .. } => {
                self.kill().await;
                // Its name server, too.
                self.stop().await;
                let _ = std::fs::remove_dir_all(directory);
            }
        }
    }
}
