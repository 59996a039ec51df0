//! A server of each test's own, in this process, over a database of its own; and a client that says what it saw.
//!
//! There is no broker on purpose: nothing that is asked here may need one.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use clap::Parser;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use plumbline_api::Server;
use plumbline_api::config::Config;
use plumbline_domain::{Scopes, TenantId};
use plumbline_engine::administration::Administration;
use plumbline_engine::assembly::DatabaseSettings;
use plumbline_runtime::shutdown::Shutdown;
use plumbline_testkit::FakeDns;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) administration: Administration,
    pub(crate) stop: Shutdown,
    pub(crate) dns: FakeDns,
    serving: JoinHandle<()>,
    connections: Connections<HttpConnector, Full<Bytes>>,
}

/// Run a test with a server that is as ready as it can be without a broker.
pub(crate) async fn with_server(test: impl AsyncFnOnce(&Rig)) {
    with_server_and(&[], test).await;
}

/// The same with more flags.
pub(crate) async fn with_server_and(flags: &[&str], test: impl AsyncFnOnce(&Rig)) {
    with_database(async |url| {
        let rig = Rig::start(url, flags).await;
        rig.until_database_is_ready().await;
        test(&rig).await;
        rig.end().await;
    })
    .await;
}

/// Run a test with a database's URL. The database exists and is empty.
pub(crate) async fn with_database(test: impl AsyncFnOnce(&str)) {
    let (url, name) = new_database_url();
    administer(&format!("CREATE DATABASE {name}")).await;
    let result = AssertUnwindSafe(test(&url)).catch_unwind().await;
    administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// The URL and the name of a database that does not exist yet.
fn new_database_url() -> (String, String) {
    let name = format!("plumbline_api_{:032x}", rand::random::<u128>());
    let server = server();
    let (base, _) = server.rsplit_once('/').expect("a path");
    (format!("{base}/{name}"), name)
}

fn server() -> String {
    std::env::var("PLUMBLINE_TEST_DATABASE_URL")
        .expect("PLUMBLINE_TEST_DATABASE_URL names the tests' PostgreSQL: `make test-up` starts one")
}

/// Run a statement on the server's own database.
async fn administer(sql: &str) {
    let (client, connection) = tokio_postgres::connect(&server(), NoTls)
        .await
        .expect("the tests' PostgreSQL runs");
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.expect(sql);
    drop(client);
    connection.await.expect("it ends").expect("cleanly");
}

/// A look at a test's database, for what the API does not show.
pub(crate) struct Sql {
    client: tokio_postgres::Client,
}

impl Sql {
    pub(crate) async fn connect(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("it runs");
        // Ends with the client.
        tokio::spawn(connection);
        Self { client }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.expect(sql);
    }

    /// The first column of the only row.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let row = self.client.query_one(sql, &[]).await.expect(sql);
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// Wait until a query answers this.
    pub(crate) async fn until(&self, sql: &str, wanted: &str) {
        let looking = async {
            while self.text(sql).await != wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect(sql);
    }
}

impl Rig {
    /// Start a server on a database that need not be there.
    pub(crate) async fn start(database_url: &str, flags: &[&str]) -> Self {
        let dns = FakeDns::start().await;
        dns.resolve("hooks.example.com", &["93.184.215.14"]);
        let dns_servers = dns.addr().to_string();
        let standard = [
            "plumbline-api",
            "--database-url",
            database_url,
            // Nobody listens there.
            "--amqp-url",
            "amqp://guest:guest@127.0.0.1:1/%2f",
            "--master-keys",
            "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--drain-timeout",
            "10s",
            "--dns-servers",
            &dns_servers,
        ];
        let config = Config::try_parse_from(standard.iter().chain(flags)).expect("valid flags");
        let server = Server::start(config).expect("it starts");
        let (address, admin) = (server.address(), server.admin_address());
        let stop = Shutdown::manual();
        let serving = tokio::spawn({
            let stop = stop.clone();
            async move { server.run(stop).await.expect("it serves") }
        });
        let database = DatabaseSettings::new(database_url, 2, "plumbline-api-test");
        let administration = Administration::connect(&database).expect("a valid URL");
        let connections = Connections::builder(TokioExecutor::new()).build_http();
        Self {
            address,
            admin,
            administration,
            stop,
            dns,
            serving,
            connections,
        }
    }

    /// Wait until the database is migrated and answers.
    pub(crate) async fn until_database_is_ready(&self) {
        let ready = async {
            loop {
                let answer = self.admin("/readyz").await;
                if !answer.text().contains("\"database\"") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("the database is ready in time");
    }

    /// Stop, and wait for the end of the drain.
    pub(crate) async fn end(self) {
        self.stop.trigger();
        tokio::time::timeout(PATIENCE, self.serving)
            .await
            .expect("it drains in time")
            .expect("and does not panic");
    }

    /// A new tenant and its client, which may do this; `*` is everything.
    pub(crate) async fn tenant(&self, scopes: &str) -> Client<'_> {
        let tenant = self.administration.create_tenant("Acme").await.expect("created");
        self.client(tenant, scopes).await
    }

    /// Another client of a tenant.
    pub(crate) async fn client(&self, tenant: TenantId, scopes: &str) -> Client<'_> {
        let scopes = Scopes::parse(scopes.split(',')).expect("scopes");
        let key = self
            .administration
            .create_api_key(tenant, "test", &scopes)
            .await
            .expect("created");
        Client {
            rig: self,
            tenant,
            key: Some(key.key),
        }
    }

    /// A client without a key.
    pub(crate) fn stranger(&self) -> Client<'_> {
        Client {
            rig: self,
            tenant: TenantId(0),
            key: None,
        }
    }

    /// Ask the admin port.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let request = Request::get(format!("http://{}{path}", self.admin))
            .body(Full::default())
            .expect("a request");
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.connections.request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }
}

/// Somebody who asks.
pub(crate) struct Client<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) tenant: TenantId,
    pub(crate) key: Option<String>,
}

impl Client<'_> {
    /// A request with the key, to be completed.
    pub(crate) fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.rig.address));
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, format!("Bearer {key}")),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.rig
            .send(
                self.request(Method::GET, path)
                    .body(Full::default())
                    .expect("a request"),
            )
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.rig
            .send(
                self.request(Method::DELETE, path)
                    .body(Full::default())
                    .expect("a request"),
            )
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.json(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl ToString) -> Answer {
        self.json(Method::PUT, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl ToString) -> Answer {
        self.json(Method::PATCH, path, body).await
    }

    /// A POST without a body.
    pub(crate) async fn act(&self, path: &str) -> Answer {
        self.rig
            .send(
                self.request(Method::POST, path)
                    .body(Full::default())
                    .expect("a request"),
            )
            .await
    }

    /// With an idempotency key.
    pub(crate) async fn keyed(&self, key: &str, method: Method, path: &str, body: impl ToString) -> Answer {
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .body(body.to_string().into())
            .expect("a request");
        self.rig.send(request).await
    }

    async fn json(&self, method: Method, path: &str, body: impl ToString) -> Answer {
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string().into())
            .expect("a request");
        self.rig.send(request).await
    }

    /// Register an endpoint for `bid.accepted`; returns its path.
    pub(crate) async fn endpoint(&self) -> String {
        let body = r#"{"url":"https://hooks.example.com/x","eventTypes":["bid.accepted"]}"#;
        let created = self.post("/api/v1/webhook-endpoints", body).await.expect(201);
        format!("/api/v1/webhook-endpoints/{}", created["data"]["id"])
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    /// The JSON of an answer of this status, after a look at what every answer has.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let id = self.header("x-request-id");
        assert!(id.starts_with("req_") && id.len() == 36, "{id}");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        assert_eq!(self.header("cache-control"), "no-store");
        if status == 204 {
            assert!(self.body.is_empty());
            return Value::Null;
        }
        let json: Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()));
        if status >= 400 {
            assert_eq!(self.header("content-type"), "application/problem+json");
            assert_eq!(json["request_id"], id);
            assert_eq!(json["status"], status);
        } else {
            assert_eq!(self.header("content-type"), "application/json");
            if self.header("idempotency-replayed").is_empty() {
                assert_eq!(json["meta"]["request_id"], id);
            }
        }
        json
    }

    /// The JSON of an answer of another dialect, whose shape is its own.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert!(self.header("x-request-id").starts_with("req_"));
        if status == 204 {
            assert!(self.body.is_empty());
            return Value::Null;
        }
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// A problem of this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        problem
    }

    /// The fields of a 422, as `field: code`.
    #[track_caller]
    pub(crate) fn faults(&self) -> Vec<String> {
        let problem = self.problem(422, "validation_failed");
        let faults = problem["errors"].as_array().expect("errors");
        assert!(!faults.is_empty());
        let text = |fault: &Value, member: &str| fault[member].as_str().expect(member).to_owned();
        faults
            .iter()
            .map(|fault| {
                assert!(!text(fault, "message").is_empty());
                format!("{}: {}", text(fault, "field"), text(fault, "code"))
            })
            .collect()
    }
}
