//! The process: everything wired together, started, and ended in order.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use plumbline_domain::trace::{Resource, Sampler, export_request};
use plumbline_domain::{AddressPolicy, ResourceUrls, Tracer, TrustedProxies};
use plumbline_engine::assembly::{BrokerSettings, DatabaseSettings, Depths, SettingError};
use plumbline_engine::relay::RelayConfig;
use plumbline_engine::{Engine, EngineConfig, story};
use plumbline_runtime::admin::{AdminServer, AdminState, Readiness};
use plumbline_runtime::backoff::Backoff;
use plumbline_runtime::collector::Collector;
use plumbline_runtime::config::{TraceArgs, parse, refuse};
use plumbline_runtime::dns::Resolver;
use plumbline_runtime::shutdown::Shutdown;
use plumbline_runtime::{descriptors, rustls_provider, telemetry};
use prometheus::Registry;
use tokio::net::TcpSocket;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::console;
use crate::dialects;
use crate::figures::{Counted, Figures};
use crate::http::{BodyBudget, Connections, Cursors, Door, Edge, Streams, edge};
use crate::names::Names;
use crate::watch::Watch;

/// The longest that a client may take to send a request's head.
const HEAD_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that a closing connection may take to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Open files that are not clients' connections: the broker's, the admin port's, names being looked up, the log.
const OTHER_DESCRIPTORS: u64 = 192;
/// Open files of one connection: the socket, and the handle by which it can be cut.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Connections that wait to be accepted at most.
const BACKLOG: u32 = 2_048;
/// The share of the drain that requests in flight may use; the rest is for what follows them.
const REQUESTS_DRAIN_SHARE: f64 = 0.8;
/// The shortest wait before a migration is tried again.
const MIGRATE_AGAIN_MIN: Duration = Duration::from_millis(250);
/// The longest.
const MIGRATE_AGAIN_MAX: Duration = Duration::from_secs(10);

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("{setting}: {problem}")]
    Setting {
        /// The variable's name.
        setting: &'static str,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
    /// A fault of ours.
    #[error("cannot be set up: {0}")]
    SetUp(String),
}

impl From<SettingError> for StartError {
    fn from(error: SettingError) -> Self {
        let setting = match &error {
            SettingError::Database(_) => "PLUMBLINE_DATABASE_URL",
            SettingError::Broker(_) => "PLUMBLINE_AMQP_URL",
            SettingError::MasterKeys(_) => "PLUMBLINE_MASTER_KEYS",
        };
        Self::Setting {
            setting,
            problem: error.to_string(),
        }
    }
}

/// The program, from its arguments and settings to its exit code.
#[tokio::main]
pub async fn program() -> ExitCode {
    let config: Config = parse();
    rustls_provider::install();
    telemetry::init(&config.log);
    match serve(config, Shutdown::on_signals()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Setting { setting, problem }) => refuse(setting, problem),
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                "the API could not start"
            );
            ExitCode::FAILURE
        }
    }
}

/// Serve until the shutdown is requested, then drain.
///
/// # Errors
/// [`StartError`], before anything is served. Afterwards nothing ends the process but the shutdown.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), StartError> {
    Server::start(config)?.run(shutdown).await
}

/// A server whose addresses are taken. Requests wait until [`Server::run`].
pub struct Server {
    config: Config,
    engine: Engine,
    duties: Duties,
    figures: Figures,
    connections: Connections,
    readiness: Readiness,
    listener: TcpListener,
    address: SocketAddr,
    admin: AdminServer,
    collector: Option<Collector>,
    broker_stop: Shutdown,
}

/// What the background duties need.
struct Duties {
    relay: RelayConfig,
    depths: Depths,
    retention_days: u32,
    migrate_at_start: bool,
}

impl Server {
    /// Check the settings and take the addresses. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let registry = Registry::new();
        let figures = Figures::register(&registry).map_err(|error| StartError::SetUp(error.to_string()))?;
        let readiness = Readiness::new();
        let broker_stop = Shutdown::manual();
        let resolver = Resolver::from_setting(&config.dns.dns_servers)
            .map_err(|error| StartError::SetUp(story(&error)))?;
        let (tracer, collector) = tracing_to(&config.traces);
        let (engine, depths) = Engine::connect(
            &DatabaseSettings::new(
                config.database.database_url.expose(),
                config.database.database_pool_size,
                "plumbline-api",
            ),
            &BrokerSettings {
                amqp_url: config.broker.amqp_url.expose(),
                connection_name: "plumbline-api",
                event_shards: config.event_shards,
            },
            config.master_keys.master_keys.expose(),
            Arc::new(Names(resolver)),
            engine_config(&config, tracer),
            &broker_stop.token(),
        )?;
        let connections = Connections::new(config.keep_alive + HEAD_READ_TIMEOUT);
        let (counting, open) = (engine.clone(), connections.clone());
        Figures::follow(&registry, move || Counted {
            intake: counting.intake().figures(),
            pool: counting.pool_status(),
            connections: open.count(),
            relay: counting.relay_figures(),
            waiting: counting.waiting(),
        })
        .map_err(|error| StartError::SetUp(error.to_string()))?;
        let duties = Duties {
            relay: RelayConfig {
                recovery_grace: config.recovery_grace,
                retention_days: config.retention_days,
            },
            depths,
            retention_days: config.retention_days,
            migrate_at_start: config.migrate_at_start,
        };
        let admin = AdminServer::bind(config.admin_listen, AdminState::new(registry, readiness.clone()))
            .map_err(StartError::Listen)?;
        let listener = listen(config.listen).map_err(StartError::Listen)?;
        let address = listener.local_addr().map_err(StartError::Listen)?;
        Ok(Self {
            config,
            engine,
            duties,
            figures,
            connections,
            readiness,
            listener,
            address,
            admin,
            collector,
            broker_stop,
        })
    }

    /// Where the API is served, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin port is served, with the port that the system chose.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Serve until the shutdown is requested, then drain.
    ///
    /// # Errors
    /// [`StartError`], before anything is served.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), StartError> {
        let Self {
            config,
            engine,
            duties,
            figures,
            connections,
            readiness,
            listener,
            address,
            admin,
            collector,
            broker_stop,
        } = self;
        let drain = config.drain.drain_timeout;
        let streams = web::Data::new(Streams::default());
        let http = http_server(
            &config,
            &engine,
            &figures,
            listener,
            connections.clone(),
            streams.clone(),
        )?;
        let http_handle = http.handle();

        let (admin_stop, background_stop) = (Shutdown::manual(), Shutdown::manual());
        let admin_address = admin.local_addr();
        // Registers what readiness depends on: before that, anybody who asks would hear "ready".
        let watch = Watch::new(engine.clone(), figures, &readiness);
        let admin = tokio::spawn(admin.serve(admin_stop.clone()));
        let background = spawn_background(&engine, duties, watch, &background_stop);
        let watching = tokio::spawn(connections.run());
        let mut http = tokio::spawn(http);
        info!(%address, %admin_address, "serving");

        tokio::select! {
            () = shutdown.requested() => {}
            ended = &mut http => error!(?ended, "the HTTP server ended by itself; the process ends too"),
        }
        readiness.set_draining();
        streams.stop.cancel();
        let drained = timeout(drain, async {
            // Stops accepting at once, and waits for what is in flight.
            http_handle.stop(true).await;
            watching.abort();
            engine.intake().settled().await;
            engine.noted().await;
            background_stop.trigger();
            background.join_all().await;
            broker_stop.trigger();
            engine.broker_closed().await;
            if let Some(collector) = collector {
                collector.close().await;
            }
        })
        .await;
        match drained {
            Ok(()) => info!("drained"),
            Err(_) => warn!(
                "the drain took longer than {} seconds: ending now",
                drain.as_secs()
            ),
        }
        admin_stop.trigger();
        if let Err(error) = admin.await {
            warn!(%error, "the admin port failed");
        }
        Ok(())
    }
}

/// Where spans go, and the task that sends them, if the settings name a collector.
fn tracing_to(args: &TraceArgs) -> (Tracer, Option<Collector>) {
    let resource = Resource {
        service: "plumbline-api",
        version: env!("CARGO_PKG_VERSION"),
        instance: format!("{:032x}", rand::random::<u128>()),
    };
    let render = move |spans: &[_]| export_request(&resource, spans);
    let Some((collector, outbox)) = Collector::start(args, render) else {
        return (Tracer::off(), None);
    };
    let sampler = Sampler {
        heeds_parent: args.heeds_parent(),
        ratio: args.ratio(),
    };
    (
        Tracer::new(sampler, move |span| outbox.put(span)),
        Some(collector),
    )
}

fn engine_config(config: &Config, tracer: Tracer) -> EngineConfig {
    EngineConfig {
        resource_urls: ResourceUrls::below(config.public_url.as_deref()),
        address_policy: AddressPolicy {
            allow_networks: config.allow_networks.clone(),
            allow_http: config.allow_http,
            allowed_ports: config.allowed_ports.clone(),
        },
        endpoints_per_tenant_max: config.max_endpoints_per_tenant.get(),
        payload_bytes_max: config.max_payload_bytes,
        intake_commits_max: config.intake_commits.get(),
        tracer,
    }
}

/// Taken here and not by actix, so that an address in use is an error before anything has started.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let taken = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    taken().map_err(|error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

fn http_server(
    config: &Config,
    engine: &Engine,
    figures: &Figures,
    listener: TcpListener,
    connections: Connections,
    streams: web::Data<Streams>,
) -> Result<actix_web::dev::Server, StartError> {
    let engine_data = web::Data::new(engine.clone());
    let cursors = web::Data::new(Cursors::new(engine.cursor_key()));
    let budget = web::Data::new(BodyBudget::default());
    let door = web::Data::new(Door::new(
        TrustedProxies(config.trusted_proxies.clone()),
        config.public_url.as_deref(),
        config.rate_limit_per_key,
    ));
    let documents = web::Data::new(dialects::Documents::new(config.public_url.as_deref()));
    let edge_data = web::Data::new(Edge {
        figures: figures.clone(),
        runtime: Handle::current(),
        tracer: engine.config().tracer.clone(),
    });
    let app = move || {
        App::new()
            .app_data(engine_data.clone())
            .app_data(cursors.clone())
            .app_data(budget.clone())
            .app_data(door.clone())
            .app_data(documents.clone())
            .app_data(streams.clone())
            .app_data(edge_data.clone())
            .wrap(from_fn(edge))
            .configure(dialects::configure)
            .default_service(web::to(console::serve))
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = config.workers.unwrap_or(cores);
    let connections_max = connections_max(config, descriptors::raise_limit());
    figures.connections_max(connections_max);
    let requests_drain = config.drain.drain_timeout.mul_f64(REQUESTS_DRAIN_SHARE);
    let server = HttpServer::new(app)
        .on_connect(move |connection, extensions| connections.watch(connection, extensions))
        .workers(workers)
        .client_request_timeout(HEAD_READ_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .keep_alive(KeepAlive::Timeout(config.keep_alive))
        .max_connections(connections_max.div_ceil(workers))
        .tcp_nodelay(true)
        .shutdown_timeout(requests_drain.as_secs())
        // The process hears signals itself.
        .disable_signals()
        .listen(listener)
        .map_err(StartError::Listen)?;
    Ok(server.run())
}

/// Connections that may be open at once: as many as configured, but so few that the database, the broker and the admin
/// port find a descriptor however many strangers connect.
fn connections_max(config: &Config, descriptors: Option<u64>) -> usize {
    let configured = config.max_connections.get();
    let Some(descriptors) = descriptors else {
        return configured;
    };
    let others = OTHER_DESCRIPTORS + u64::try_from(config.database.database_pool_size).unwrap_or(u64::MAX);
    let room = descriptors.saturating_sub(others) / DESCRIPTORS_PER_CONNECTION;
    let possible = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    if possible < configured {
        warn!(
            open_files = descriptors,
            connections = possible,
            "the limit on open files allows fewer connections than PLUMBLINE_MAX_CONNECTIONS: raise it for this process \
             (ulimit -n, LimitNOFILE)"
        );
    }
    configured.min(possible)
}

/// Start what runs beside the requests; every task ends at `stop`.
fn spawn_background(engine: &Engine, duties: Duties, watch: Watch, stop: &Shutdown) -> JoinSet<()> {
    let migrated = Shutdown::manual();
    let mut background = JoinSet::new();
    background.spawn(watch.run(migrated.clone(), stop.clone()));
    let (engine, stop) = (engine.clone(), stop.clone());
    background.spawn(async move {
        if duties.migrate_at_start && !migrate(&engine, &stop).await {
            return;
        }
        migrated.trigger();
        tokio::join!(
            engine.run_relay(duties.relay, duties.depths, stop.token()),
            engine.run_maintenance(duties.retention_days, stop.token()),
        );
    });
    background
}

/// Bring the schema up to date, however long the database takes to appear; `false` when the stop came first.
async fn migrate(engine: &Engine, stop: &Shutdown) -> bool {
    let administration = engine.administration();
    let mut backoff = Backoff::new(MIGRATE_AGAIN_MIN, MIGRATE_AGAIN_MAX);
    let migration = async {
        loop {
            match administration.migrate().await {
                Ok(applied) if applied.is_empty() => return,
                Ok(applied) => {
                    info!(
                        migrations = applied.join(", "),
                        "the database schema is up to date"
                    );
                    return;
                }
                Err(error @ plumbline_engine::Error::Unavailable(_)) => {
                    warn!(
                        error = story(&error),
                        "the database cannot be migrated yet; trying again"
                    );
                }
                Err(error) => {
                    error!(
                        error = story(&error),
                        "the database cannot be migrated; trying again"
                    );
                }
            }
            tokio::time::sleep(backoff.next()).await;
        }
    };
    tokio::select! {
        () = stop.requested() => false,
        () = migration => true,
    }
}
