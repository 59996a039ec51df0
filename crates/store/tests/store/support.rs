//! A database of its own for each test, and short ways to fill it.

use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::time::Duration;

use futures_util::FutureExt as _;
use plumbline_domain::{
    AddressPolicy, DeliveryId, DeliveryKind, DeliveryStatus, Endpoint, EndpointId, EndpointUrl, Event,
    EventId, JsonText, Lane, Profile, Subscription, TenantId, Timestamp, Timing,
};
use plumbline_store::deliveries::{AttemptRow, RecordBatch, RecordedAttempt};
use plumbline_store::endpoints::NewEndpoint;
use plumbline_store::events::NewEvent;
use plumbline_store::outbox::Helping;
use plumbline_store::{Session, Store, StoreConfig, endpoints, events, tenants};
use tokio_postgres::{Client, Config, NoTls};

/// A migrated database, dropped when the test ends.
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) url: String,
    /// Beside the store, for what only a test asks.
    pub(crate) sql: Client,
}

fn server() -> String {
    std::env::var("PLUMBLINE_TEST_DATABASE_URL")
        .expect("PLUMBLINE_TEST_DATABASE_URL names the tests' PostgreSQL: `make test-up` starts one")
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the tests' PostgreSQL runs");
    tokio::spawn(connection);
    client
}

/// A connection of its own to a test's database.
pub(crate) async fn connect_to(url: &str) -> Client {
    let mut config = Config::from_str(url).expect("a valid URL");
    connect(config.options("-c search_path=plumbline -c timezone=UTC")).await
}

pub(crate) fn store_at(url: &str, pool_size: usize) -> Store {
    let application_name = "plumbline-store-test".to_owned();
    Store::new(&StoreConfig {
        database_url: url.to_owned(),
        pool_size,
        application_name,
    })
    .expect("a valid URL")
}

/// Run a test with an empty database.
pub(crate) async fn with_empty_database(test: impl AsyncFnOnce(Database)) {
    let admin = connect(&Config::from_str(&server()).expect("a valid URL")).await;
    let name = format!("plumbline_store_{:032x}", rand::random::<u128>());
    admin
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await
        .expect("the tests may create databases");
    let (base, _) = server()
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a path");
    let url = format!("{base}/{name}");
    let sql = connect_to(&url).await;
    let database = Database {
        store: store_at(&url, 8),
        url,
        sql,
    };
    let result = AssertUnwindSafe(test(database)).catch_unwind().await;
    admin
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .expect("dropped");
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Run a test with a migrated database.
pub(crate) async fn with_database(test: impl AsyncFnOnce(Database)) {
    with_empty_database(async |database: Database| {
        database.store.migrate().await.expect("migrated");
        test(database).await;
    })
    .await;
}

impl Database {
    pub(crate) async fn session(&self) -> Session {
        self.store.session().await.expect("a session")
    }

    pub(crate) async fn begin(&self) -> Session {
        self.store.begin().await.expect("a transaction")
    }

    pub(crate) async fn tenant(&self) -> TenantId {
        tenants::create(&self.session().await, "Acme")
            .await
            .expect("a tenant")
    }

    /// An endpoint for everything.
    pub(crate) async fn endpoint(&self, tenant: TenantId) -> Endpoint {
        let session = self.begin().await;
        let since_version = tenants::bump_endpoints_version(&session, tenant)
            .await
            .expect("bumped")
            .expect("a tenant");
        let endpoint = endpoints::insert(&session, &new_endpoint(tenant, since_version))
            .await
            .expect("an endpoint");
        session.commit().await.expect("committed");
        endpoint
    }

    /// An accepted event with its outbox row.
    pub(crate) async fn event(&self, tenant: TenantId) -> Event {
        let mut event = new_event(tenant, Timestamp::now());
        let new = NewEvent {
            event: event.clone(),
            lane: Lane::Fast,
            sent: true,
        };
        let batch = events::insert_batch(&self.session().await, &[new], &[])
            .await
            .expect("accepted");
        event.endpoints_version = batch.versions[&tenant];
        event
    }

    /// One number that a query of the test's own returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.sql.query_one(sql, &[]).await.expect("a row").get(0)
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.sql.batch_execute(sql).await.expect("executed");
    }
}

pub(crate) fn new_endpoint(tenant: TenantId, since_version: i64) -> NewEndpoint {
    NewEndpoint {
        tenant,
        profile: Profile::BuildWorkPro,
        url: EndpointUrl::parse("https://hooks.example.com/in?token=1", &AddressPolicy::default())
            .expect("a URL"),
        description: None,
        subscription: Subscription::All,
        rate_limit: None,
        since_version,
    }
}

pub(crate) fn new_event(tenant: TenantId, at: Timestamp) -> Event {
    Event {
        id: EventId::new(at, rand::random()),
        tenant,
        event_type: "bid.created".parse().expect("a type"),
        data: JsonText::from_valid(r#"{"id":11, "n":1e400,"n":"\u0000"}"#),
        previous_attributes: Some(JsonText::from_valid(r#"{"status": "draft"}"#)),
        occurred_at: micros(at),
        endpoints_version: 0,
    }
}

/// PostgreSQL keeps microseconds.
pub(crate) fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).expect("in range")
}

/// Now and so many seconds, as PostgreSQL keeps it.
pub(crate) fn in_seconds(seconds: i64) -> Timestamp {
    micros(Timestamp::now() + jiff_seconds(seconds))
}

fn jiff_seconds(seconds: i64) -> std::time::Duration {
    std::time::Duration::from_secs(u64::try_from(seconds).expect("not negative"))
}

pub(crate) fn ago(seconds: u64) -> Timestamp {
    micros(Timestamp::now() - std::time::Duration::from_secs(seconds))
}

/// Attempt `number` of an event's own delivery, which ended so.
pub(crate) fn attempted(
    event: &Event,
    endpoint: EndpointId,
    number: u16,
    status: DeliveryStatus,
) -> RecordedAttempt {
    let succeeded = status == DeliveryStatus::Succeeded;
    RecordedAttempt {
        delivery: DeliveryId::derive(event.id, endpoint),
        tenant: event.tenant,
        event: event.id,
        event_type: event.event_type.clone(),
        endpoint,
        kind: DeliveryKind::Event,
        replay_of: None,
        number,
        status,
        next_attempt_at: (status == DeliveryStatus::Pending).then(|| in_seconds(30 * i64::from(number))),
        response_status: Some(if succeeded { 200 } else { 503 }),
        error: None,
        created_at: micros(Timestamp::now()),
        attempt: Some(AttemptRow {
            started_at: micros(Timestamp::now()),
            duration_ms: 12,
            timing: Some(Timing {
                wait: Some(Duration::from_micros(11_234)),
                read: Some(Duration::from_micros(56)),
                ..Timing::default()
            }),
            request_headers: r#"[["Content-Type","application/json"]]"#.to_owned(),
            response_headers: Some("[]".to_owned()),
            response_body: Some("ok".into()),
            error_code: None,
            error_message: None,
        }),
    }
}

/// The same delivery without an attempt; `number` would have been next.
pub(crate) fn unattempted(
    event: &Event,
    endpoint: EndpointId,
    number: u16,
    status: DeliveryStatus,
) -> RecordedAttempt {
    RecordedAttempt {
        response_status: None,
        attempt: None,
        ..attempted(event, endpoint, number, status)
    }
}

pub(crate) fn batch(outcomes: Vec<RecordedAttempt>) -> RecordBatch {
    RecordBatch {
        outcomes,
        disable_after: 20,
        ..RecordBatch::default()
    }
}

/// So many rows of the outbox, whatever their size.
pub(crate) fn at_most(rows: usize) -> Helping {
    Helping {
        rows,
        bytes: i64::MAX,
    }
}
