//! A vhost for each test, a broker to kill, and bounded waits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use plumbline_broker::{BrokerConfig, PublishError, Publisher, Topology, WorkQueue};
use plumbline_domain::lane::Lane;
use plumbline_domain::{Event, EventId, JsonText, Payload, TenantId, Timestamp};

use plumbline_broker::EventMessage;

/// Longer than anything here takes on a busy machine: it only ends a hanging test.
pub(crate) const HANGING: Duration = Duration::from_secs(60);

/// The one queue that most tests use.
pub(crate) const EVENTS: WorkQueue = WorkQueue::Events {
    lane: Lane::Fast,
    shard: 0,
};

/// Wait for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGING, what)
        .await
        .expect("it never happened")
}

/// Publish these events at once, each as a message of its own.
pub(crate) async fn publish_each(
    publisher: &Publisher,
    events: impl Iterator<Item = EventMessage>,
) -> Vec<Result<(), PublishError>> {
    let events: Vec<_> = events.collect();
    futures_util::future::join_all(events.iter().map(|event| publisher.publish_event(event))).await
}

/// A broker's virtual host that is the test's own.
pub(crate) struct Vhost {
    name: String,
    amqp_url: String,
    management_url: String,
}

impl Vhost {
    /// A new one in the shared broker.
    pub(crate) fn new() -> Self {
        Self::within(
            &variable("PLUMBLINE_TEST_AMQP_URL"),
            &variable("PLUMBLINE_TEST_AMQP_MANAGEMENT_URL"),
        )
    }

    fn within(amqp_url: &str, management_url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nanos = Timestamp::now().as_nanosecond();
        let name = format!(
            "broker-{}-{}-{nanos}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let vhost = Self {
            amqp_url: amqp_url.replace("%2f", &name),
            management_url: management_url.into(),
            name,
        };
        vhost.put(&format!("/api/vhosts/{}", vhost.name), "{}");
        let (user, _) = credentials(management_url);
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        vhost.put(&format!("/api/permissions/{}/{user}", vhost.name), all);
        vhost
    }

    pub(crate) fn config(&self) -> BrokerConfig {
        self.config_with(Topology::new(NonZeroU16::MIN))
    }

    pub(crate) fn config_with(&self, topology: Topology) -> BrokerConfig {
        BrokerConfig::new(self.amqp_url.parse().expect("a URL"), "test", topology)
    }

    /// As a user that the broker does not know.
    pub(crate) fn config_as(&self, user: &str) -> BrokerConfig {
        let (_, rest) = self.amqp_url.split_once('@').expect("credentials");
        let url = format!("amqp://{user}:wrong@{rest}");
        BrokerConfig::new(
            url.parse().expect("a URL"),
            "test",
            Topology::new(NonZeroU16::MIN),
        )
    }

    /// In another virtual host.
    pub(crate) fn config_at(&self, vhost: &str) -> BrokerConfig {
        let url = self.amqp_url.replace(&self.name, vhost);
        BrokerConfig::new(
            url.parse().expect("a URL"),
            "test",
            Topology::new(NonZeroU16::MIN),
        )
    }

    /// As one of several nodes, behind others at these addresses.
    pub(crate) fn config_behind(&self, others: &[std::net::SocketAddr]) -> BrokerConfig {
        let (credentials, rest) = self.amqp_url.split_once('@').expect("credentials");
        let others: Vec<String> = others.iter().map(|other| format!("{other},")).collect();
        let url = format!("{credentials}@{}{rest}", others.concat());
        BrokerConfig::new(
            url.parse().expect("a URL"),
            "test",
            Topology::new(NonZeroU16::MIN),
        )
    }

    /// Where the management API has something of this virtual host.
    pub(crate) fn path(&self, kind: &str, name: &str) -> String {
        format!("/api/{kind}/{}/{name}", self.name)
    }

    pub(crate) async fn connect(&self) -> lapin::Connection {
        lapin::Connection::connect(&self.amqp_url, lapin::ConnectionProperties::default())
            .await
            .expect("a connection")
    }

    /// Delete `queues/NAME` or `exchanges/NAME`, as a foreign hand would.
    pub(crate) fn delete(&self, kind: &str, name: &str) {
        let path = format!("/api/{kind}/{}/{name}", self.name);
        let status = http(&self.management_url, "DELETE", &path, "").0;
        assert_eq!(status, 204, "DELETE {path}");
    }

    pub(crate) fn put(&self, path: &str, body: &str) {
        let (status, answer) = http(&self.management_url, "PUT", path, body);
        assert!((200..300).contains(&status), "PUT {path}: {status} {answer}");
    }

    pub(crate) fn put_policy(&self, name: &str, definition: &str) {
        self.put(&format!("/api/policies/{}/{name}", self.name), definition);
    }

    pub(crate) fn get(&self, kind: &str) -> String {
        http(
            &self.management_url,
            "GET",
            &format!("/api/{kind}/{}", self.name),
            "",
        )
        .1
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        http(
            &self.management_url,
            "DELETE",
            &format!("/api/vhosts/{}", self.name),
            "",
        );
    }
}

/// A private broker that a test may kill.
pub(crate) struct PrivateBroker {
    directory: PathBuf,
    vhost: Option<Vhost>,
}

impl PrivateBroker {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, "")
    }

    /// With these lines in its configuration.
    pub(crate) fn start_with(name: &str, configuration: &str) -> Self {
        let scratch =
            std::env::var_os("PLUMBLINE_TEST_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
        let mut broker = Self {
            directory: scratch.join(format!("broker-{name}-{}", std::process::id())),
            vhost: None,
        };
        broker.configure(configuration);
        broker.run("start");
        let (amqp_url, management_url) = broker.urls();
        broker.vhost = Some(Vhost {
            name: "%2f".into(),
            amqp_url,
            management_url,
        });
        broker
    }

    pub(crate) fn configure(&self, configuration: &str) {
        let directory = self.directory.join("conf.d");
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("test.conf"), configuration).expect("a file");
    }

    pub(crate) fn vhost(&self) -> &Vhost {
        self.vhost.as_ref().expect("started")
    }

    /// `start`, `stop`, `kill` or `wipe`.
    pub(crate) fn run(&self, verb: &str) {
        let script = variable("PLUMBLINE_TEST_BROKER_SCRIPT");
        let output = Command::new(script)
            .arg(verb)
            .arg(&self.directory)
            .output()
            .expect("the script runs");
        assert!(
            output.status.success(),
            "{verb}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn urls(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.directory.join("broker.env")).expect("broker.env");
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.expect(name).trim_matches(['\'', '"']).replace('\\', "")
        };
        (value("AMQP_URL"), value("MANAGEMENT_URL"))
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        // Its only vhost dies with it.
        std::mem::forget(self.vhost.take());
        let script = variable("PLUMBLINE_TEST_BROKER_SCRIPT");
        for verb in ["kill", "stop"] {
            let _ = Command::new(&script).arg(verb).arg(&self.directory).output();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; `make test-up` prints it, `make test` sets it"))
}

fn credentials(url: &str) -> (String, String) {
    let (_, rest) = url.split_once("://").expect("a scheme");
    let (userinfo, _) = rest.split_once('@').expect("credentials");
    let (user, password) = userinfo.split_once(':').expect("a password");
    (user.into(), password.into())
}

/// One request to the management API: the status and the body.
fn http(url: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let (user, password) = credentials(url);
    let (_, address) = url.trim_end_matches('/').split_once('@').expect("credentials");
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut stream = TcpStream::connect(address).expect("the management API");
    stream.set_read_timeout(Some(HANGING)).expect("a time limit");
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Basic {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

/// The `n`-th event of a test.
pub(crate) fn event(n: u64) -> EventMessage {
    let mut random = [0_u8; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    EventMessage {
        event: Event {
            id: EventId::new(Timestamp::UNIX_EPOCH, random),
            tenant: TenantId(1),
            event_type: "bid.created".parse().expect("a name"),
            data: JsonText::from_valid(format!(r#"{{"n":{n}}}"#)),
            previous_attributes: None,
            occurred_at: Timestamp::UNIX_EPOCH,
            endpoints_version: 1,
        },
        payload: Payload::Carried,
        lane: Lane::Fast,
        chunk: None,
        republished: false,
        trace: None,
    }
}
