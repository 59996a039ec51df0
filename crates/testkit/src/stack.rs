//! A whole Plumbline of one test's own: the real binaries over a database and a virtual host that nobody shares.

mod broker;
mod cluster;
mod database;
mod developer;
mod process;
mod script;
mod servers;

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use url::Url;

pub use broker::{Broker, Resource};
pub use cluster::{Cluster, Copies, NODES, TICK};
pub use database::Database;
pub use developer::{Developer, Running};
pub use process::{Log, Process, binary};
pub use script::value as script_value;
pub use servers::Servers;

use crate::api::Api;
use crate::dns::FakeDns;
use crate::http::{Answer, HttpClient};
use crate::ports;
use crate::proxy::FaultProxy;
use process::Program;

/// What every test's processes are told unless the test says otherwise.
const SETTINGS: [(&str, &str); 4] = [
    ("ALLOW_HTTP", "true"),
    ("ALLOW_NETWORKS", "127.0.0.0/8,::1/128"),
    // Tests look often.
    ("RATE_LIMIT_PER_KEY", "1000000"),
    ("LOG", "info"),
];

/// What a variable that `make test` sets says.
///
/// # Panics
/// Without it: a test that cannot run has failed.
pub(crate) fn test_variable(name: &str) -> String {
    match env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: this test needs private servers. Run `make test`, or `make test-up` once and then \
             `. .local/test/test.env` in the shell that runs the tests"
        ),
    }
}

/// A running system. Dropped, everything that it started and made is gone; if the test failed, the logs of its
/// processes are shown.
#[derive(Debug)]
pub struct Stack {
    // In the order in which they end: first who talks, then who is talked to.
    api_process: Process,
    dispatchers: Vec<Process>,
    database_proxy: Option<FaultProxy>,
    broker_proxy: Option<FaultProxy>,
    broker: Arc<Broker>,
    /// What the broker is the first node of, if the test asked for one.
    cluster: Option<Arc<Cluster>>,
    database: Arc<Database>,
    environment: Vec<(String, String)>,
    listen: SocketAddr,
    http: HttpClient,
    directory: PathBuf,
    binaries: PathBuf,
    /// `None` only until it is made.
    api: Option<Api>,
    secrets: Vec<String>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its result.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Ended {
    /// The JSON that it printed.
    ///
    /// # Panics
    /// When it printed something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// What a test wants of its system.
#[derive(Debug, Default)]
pub struct Builder {
    dispatchers: Option<usize>,
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    private_broker: bool,
    cluster: bool,
    private_database: bool,
    standby: bool,
    broker_proxy: bool,
    database_proxy: bool,
    servers: Option<Servers>,
    place: Option<Place>,
    binaries: Option<PathBuf>,
}

impl Builder {
    /// The servers that it shares with others; those of `make test` unless said.
    #[must_use]
    pub fn servers(mut self, servers: Servers) -> Self {
        self.servers = Some(servers);
        self
    }

    /// Servers of its own only: their data live below `scratch`, and the development stack's scripts in `scripts` start
    /// them.
    #[must_use]
    pub fn all_private(mut self, scratch: &Path, scripts: &Path) -> Self {
        self.place = Some(Place {
            scratch: scratch.to_owned(),
            scripts: scripts.to_owned(),
        });
        self.private_broker().private_database()
    }

    /// The directory of the binaries to run; the one of the running test's own build unless said.
    #[must_use]
    pub fn binaries(mut self, directory: &Path) -> Self {
        self.binaries = Some(directory.to_owned());
        self
    }

    /// How many dispatchers; one unless said.
    #[must_use]
    pub fn dispatchers(mut self, count: usize) -> Self {
        self.dispatchers = Some(count);
        self
    }

    /// A setting of all processes, by its name without `PLUMBLINE_`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An environment variable of all processes.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The address policy of production: https, public addresses, ports 443 and 8443.
    #[must_use]
    pub fn public_addresses_only(self) -> Self {
        self.setting("ALLOW_HTTP", "false").setting("ALLOW_NETWORKS", "")
    }

    /// Names are looked up here.
    #[must_use]
    pub fn dns(self, dns: &FakeDns) -> Self {
        self.setting("DNS_SERVERS", &dns.addr().to_string())
    }

    /// A RabbitMQ of its own, which the test may kill and wipe.
    #[must_use]
    pub fn private_broker(mut self) -> Self {
        self.private_broker = true;
        self
    }

    /// A RabbitMQ of its own with three nodes. Processes are told the addresses of all three, which are proxies'.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self.private_broker()
    }

    /// A PostgreSQL of its own, which the test may kill.
    #[must_use]
    pub fn private_database(mut self) -> Self {
        self.private_database = true;
        self
    }

    /// A PostgreSQL of its own with a standby, to which it may fail over. Processes reach both without a proxy.
    #[must_use]
    pub fn standby(mut self) -> Self {
        self.standby = true;
        self.private_database()
    }

    /// A fault proxy before the broker.
    #[must_use]
    pub fn broker_proxy(mut self) -> Self {
        self.broker_proxy = true;
        self
    }

    /// A fault proxy before the database.
    #[must_use]
    pub fn database_proxy(mut self) -> Self {
        self.database_proxy = true;
        self
    }

    /// Start it: when this returns, every process is ready and there is a tenant with a key for everything.
    ///
    /// # Panics
    /// When something does not start; the message shows its log.
    pub async fn start(self) -> Stack {
        let ground = match self.place {
            Some(place) => Ground::Private(place),
            None => Ground::Shared(Box::new(self.servers.unwrap_or_else(Servers::of_the_tests))),
        };
        let scratch = ground.scratch().to_owned();
        let binaries = self.binaries.unwrap_or_else(process::built_beside);
        let id = format!("{:016x}", rand::random::<u64>());
        let directory = scratch.join(&id);
        fs::create_dir_all(&directory)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", directory.display()));

        let http = HttpClient::new();
        assert!(
            !(self.cluster && self.broker_proxy),
            "a cluster has proxies of its own"
        );
        let (database, (broker, cluster)) = tokio::join!(
            async {
                match &ground {
                    Ground::Shared(servers) if !self.private_database => {
                        Database::shared(&servers.database, &id).await
                    }
                    _ => {
                        let directory = scratch.join(format!("{id}-database"));
                        Database::private(ground.script("DATABASE"), &directory).await
                    }
                }
            },
            async {
                let directory = scratch.join(format!("{id}-broker"));
                let (script, http) = (|| ground.script("BROKER"), http.clone());
                match &ground {
                    _ if self.cluster => {
                        let cluster = Cluster::start(script(), &directory, http).await;
                        (cluster.first(), Some(Arc::new(cluster)))
                    }
                    Ground::Shared(servers) if !self.private_broker => {
                        (Arc::new(Broker::shared(servers, &id, http).await), None)
                    }
                    _ => (Arc::new(Broker::private(script(), &directory, http).await), None),
                }
            }
        );
        let mut database = database;
        if self.standby {
            assert!(!self.database_proxy, "a proxy leads to one server");
            database.add_standby().await;
        }
        let (mut database_url, mut amqp_url) = (database.url(), broker.amqp_url());
        let database_proxy = proxy_before(&mut database_url, self.database_proxy);
        let broker_proxy = proxy_before(&mut amqp_url, self.broker_proxy);
        let amqp_url = cluster
            .as_ref()
            .map_or_else(|| amqp_url.to_string(), |cluster| cluster.amqp_url());

        let mut settings: Vec<(String, String)> = SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let master_key = format!("test:{}", STANDARD.encode(rand::random::<[u8; 32]>()));
        for (name, value) in [
            ("DATABASE_URL", database.urls(&database_url)),
            ("AMQP_URL", amqp_url),
            ("MASTER_KEYS", master_key.clone()),
        ] {
            settings.push((name.to_owned(), value));
        }
        settings.extend(self.settings);
        let mut environment: Vec<(String, String)> = vec![];
        for (name, value) in settings {
            let name = format!("PLUMBLINE_{name}");
            environment.retain(|(known, _)| *known != name);
            environment.push((name, value));
        }
        environment.extend(self.variables);

        let listen = ports::free();
        let program = |name: &str, binary: &str| Program {
            name: name.to_owned(),
            binary: binaries.join(binary),
            environment: environment.clone(),
            log: Log::new(directory.join(format!("{name}.log"))),
        };
        let api_process = api_process(program("api", "plumbline-api"), listen, &http);
        let dispatchers: Vec<Process> = (0..self.dispatchers.unwrap_or(1))
            .map(|index| program(&format!("dispatcher-{index}"), "plumbline-dispatcher"))
            .map(|program| service(program, &http))
            .collect();

        let mut stack = Stack {
            api_process,
            dispatchers,
            database_proxy,
            broker_proxy,
            broker,
            cluster,
            database: Arc::new(database),
            environment,
            listen,
            http,
            directory,
            binaries,
            api: None,
            secrets: vec![master_key],
        };
        stack.cli(&["migrate", "--json"]).await;
        stack.start_processes().await;
        stack.api = Some(stack.tenant("Acme").await);
        stack
    }
}

/// An API that listens there.
fn api_process(mut program: Program, listen: SocketAddr, http: &HttpClient) -> Process {
    process::set_variable(&mut program.environment, "PLUMBLINE_LISTEN", &listen.to_string());
    service(program, http)
}

/// A service with an admin port of its own.
fn service(mut program: Program, http: &HttpClient) -> Process {
    let admin = ports::free();
    process::set_variable(
        &mut program.environment,
        "PLUMBLINE_ADMIN_LISTEN",
        &admin.to_string(),
    );
    Process::new(program, admin, http.clone())
}

/// Where servers of a system's own live.
#[derive(Debug)]
struct Place {
    scratch: PathBuf,
    scripts: PathBuf,
}

/// Where a system's servers come from.
enum Ground {
    Shared(Box<Servers>),
    Private(Place),
}

impl Ground {
    fn scratch(&self) -> &Path {
        match self {
            Self::Shared(servers) => &servers.scratch,
            Self::Private(place) => &place.scratch,
        }
    }

    /// The script that starts and stops a `DATABASE` or a `BROKER`.
    fn script(&self, server: &str) -> String {
        match self {
            Self::Shared(_) => test_variable(&format!("PLUMBLINE_TEST_{server}_SCRIPT")),
            Self::Private(place) => {
                let script = place.scripts.join(format!("{}.sh", server.to_lowercase()));
                script.display().to_string()
            }
        }
    }
}

fn proxy_before(url: &mut Url, wanted: bool) -> Option<FaultProxy> {
    if !wanted {
        return None;
    }
    let address = format!(
        "{}:{}",
        url.host_str().expect("a server's URL has a host"),
        url.port().expect("the test servers' URLs have ports")
    );
    let target = address.parse().expect("the test servers listen on an IP address");
    let proxy = FaultProxy::start(target);
    url.set_port(Some(proxy.addr().port()))
        .expect("this URL takes a port");
    Some(proxy)
}

impl Stack {
    /// A system with one API process, one dispatcher and the shared test servers.
    ///
    /// # Panics
    /// See [`Builder::start`].
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Say what the test wants of its system.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start_processes(&self) {
        let all = std::iter::once(&self.api_process).chain(&self.dispatchers);
        futures_util::future::join_all(all.map(Process::start)).await;
    }

    /// The first tenant's client, which may do everything.
    pub fn api(&self) -> &Api {
        self.api.as_ref().expect("it is made when the system starts")
    }

    /// A new tenant's client, which may do everything.
    pub async fn tenant(&self, name: &str) -> Api {
        let tenant = self.cli(&["tenant", "create", "--name", name, "--json"]).await;
        self.key(tenant["id"].as_i64().expect("a tenant's id is a number"), "*")
            .await
    }

    /// A client of a tenant with these scopes only.
    pub async fn key(&self, tenant: i64, scopes: &str) -> Api {
        let id = tenant.to_string();
        let key = self
            .cli(&[
                "api-key", "create", "--tenant", &id, "--name", "test", "--scopes", scopes, "--json",
            ])
            .await;
        let key = key["key"].as_str().expect("a key is text").to_owned();
        Api::new(self.http.clone(), format!("http://{}", self.listen), key, tenant)
    }

    /// A new user of a tenant: their number.
    ///
    /// # Panics
    /// When they are refused.
    pub async fn user(&self, tenant: i64, email: &str, role: &str, password: &str) -> i64 {
        let tenant = tenant.to_string();
        let arguments = [
            "user",
            "create",
            "--tenant",
            &tenant,
            "--email",
            email,
            "--role",
            role,
            "--password-stdin",
            "--json",
        ];
        let made = self.cli_with_input(&arguments, password).await;
        made["id"].as_i64().expect("a user's id is a number")
    }

    /// Run the command line program and read its answer. `{}` for an empty one.
    ///
    /// # Panics
    /// When it fails; the message shows what it said.
    pub async fn cli(&self, arguments: &[&str]) -> Value {
        self.cli_with_input(arguments, "").await
    }

    /// As [`cli`](Self::cli), with this as its standard input.
    ///
    /// # Panics
    /// When it fails; the message shows what it said.
    pub async fn cli_with_input(&self, arguments: &[&str], input: &str) -> Value {
        let answer = self.program().run(arguments, input).await;
        if answer.trim().is_empty() {
            return Value::Object(serde_json::Map::new());
        }
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("plumbline {arguments:?}: {error}: {answer}"))
    }

    /// Run the command line program, however it ends.
    pub async fn cli_ends(&self, arguments: &[&str]) -> Ended {
        let output = self.program().output(arguments, "", Stdio::piped()).await;
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn program(&self) -> Program {
        self.program_of("cli", "plumbline")
    }

    fn program_of(&self, name: &str, binary: &str) -> Program {
        Program {
            name: name.to_owned(),
            binary: self.binaries.join(binary),
            environment: self.environment.clone(),
            log: Log::new(self.directory.join(format!("{name}.log"))),
        }
    }

    /// Another replica of the API, which does not run yet and is the caller's; and the first tenant's client of it.
    pub fn another_api(&self, name: &str) -> (Process, Api) {
        let listen = ports::free();
        let process = api_process(self.program_of(name, "plumbline-api"), listen, &self.http);
        (process, self.api().at_address(listen))
    }

    /// Another dispatcher, which does not run yet and is the caller's.
    pub fn another_dispatcher(&self, name: &str) -> Process {
        service(self.program_of(name, "plumbline-dispatcher"), &self.http)
    }

    /// Give a setting, by its name without `PLUMBLINE_`, another value: for the command line from now on, for each process
    /// from its next start on.
    pub fn set(&mut self, setting: &str, value: &str) {
        let name = format!("PLUMBLINE_{setting}");
        process::set_variable(&mut self.environment, &name, value);
        for process in std::iter::once(&mut self.api_process).chain(&mut self.dispatchers) {
            process.set_variable(&name, value);
        }
    }

    /// Lose the broker with all that is in it, and get another one at another address, of which the processes learn at their
    /// next start.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn replace_broker(&mut self) {
        let id = format!("{:016x}", rand::random::<u64>());
        let other = Broker::shared(&Servers::of_the_tests(), &id, self.http.clone()).await;
        let lost = std::mem::replace(&mut self.broker, Arc::new(other));
        lost.remove().await;
        let address = self.broker.amqp_url();
        self.set("AMQP_URL", address.as_str());
    }

    /// The API's process.
    pub fn api_process(&self) -> &Process {
        &self.api_process
    }

    /// A dispatcher's process.
    pub fn dispatcher(&self, index: usize) -> &Process {
        &self.dispatchers[index]
    }

    /// Every process.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.api_process).chain(&self.dispatchers)
    }

    /// The proxy before the broker.
    ///
    /// # Panics
    /// When the test did not ask for one.
    pub fn broker_proxy(&self) -> &FaultProxy {
        self.broker_proxy
            .as_ref()
            .expect("the test asked for a broker proxy")
    }

    /// The proxy before the database.
    ///
    /// # Panics
    /// When the test did not ask for one.
    pub fn database_proxy(&self) -> &FaultProxy {
        self.database_proxy
            .as_ref()
            .expect("the test asked for a database proxy")
    }

    /// The broker; of a cluster, its first node.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The broker's three nodes.
    ///
    /// # Panics
    /// When the test did not ask for a cluster.
    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("the test asked for a cluster")
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where the API listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// A client for anything else.
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// A directory for a test's own files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What nobody may ever see: the master keys.
    pub fn master_keys(&self) -> &str {
        &self.secrets[0]
    }

    /// Copy the logs of the processes and of private servers into a directory, which is made anew.
    ///
    /// # Errors
    /// When they cannot be copied.
    pub fn keep_logs(&self, directory: &Path) -> std::io::Result<()> {
        // What an earlier run left there is not mixed with this one.
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory)?;
        let own = self.processes().map(|process| process.log().path().to_owned());
        let broker: Vec<PathBuf> = match &self.cluster {
            Some(cluster) => (0..NODES).flat_map(|index| cluster.node(index).logs()).collect(),
            None => self.broker.logs(),
        };
        for log in own.chain(self.database.logs()).chain(broker) {
            if let (true, Some(name)) = (log.is_file(), log.file_name()) {
                // Two servers call theirs the same.
                let mut kept = directory.join(name);
                while kept.exists() {
                    kept.as_mut_os_string().push(".2");
                }
                fs::copy(&log, kept)?;
            }
        }
        Ok(())
    }

    /// Everything that the processes have written so far.
    pub fn logs(&self) -> String {
        self.processes().map(|process| process.log().text()).collect()
    }

    /// What the command line program has written to standard error so far.
    pub fn cli_log(&self) -> String {
        self.cli_log_file().text()
    }

    fn cli_log_file(&self) -> Log {
        Log::new(self.directory.join("cli.log"))
    }

    /// Ask a process's admin port.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn admin(&self, process: &Process, path: &str) -> Answer {
        process
            .admin(path)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", process.name()))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for process in self.processes() {
            process.kill();
        }
        // A server waits a minute for a client that broke off while it logged in: let it know now.
        drop((self.database_proxy.take(), self.broker_proxy.take()));
        if thread::panicking() {
            for process in self.processes() {
                process.log().show(process.name());
            }
        }
        if thread::panicking() || env::var_os("PLUMBLINE_TEST_KEEP_LOGS").is_some() {
            eprintln!("--- the whole logs are in {}", self.directory.display());
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
        let (broker, cluster, database) = (self.broker.clone(), self.cluster.clone(), self.database.clone());
        // A thread of its own: a runtime cannot be entered from inside another one.
        let cleaning = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(async {
                let broker = async {
                    match cluster {
                        Some(cluster) => cluster.remove().await,
                        None => broker.remove().await,
                    }
                };
                tokio::join!(broker, database.remove())
            })
        });
        if cleaning.join().is_err() && !thread::panicking() {
            panic!("the test's database or virtual host could not be removed");
        }
    }
}
