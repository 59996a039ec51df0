//! The dispatcher: from an event in the queue to its attempts on record.
//!
//! `fanout` and `retries` take messages, `attempt` calls endpoints through `transport`, `recorder` writes outcomes
//! down in batches and parks what must wait, `limiter` reserves slots of rate-limited endpoints, `sweep` finds what was
//! lost. A message is acknowledged when everything
//! that it is responsible for is settled in PostgreSQL; see `work`.

pub mod attempt;
pub mod bodies;
pub mod clock;
pub mod config;
pub mod endpoints;
pub mod fanout;
pub mod limiter;
pub mod metrics;
pub mod recorder;
pub mod retries;
pub mod sweep;
pub mod top;
pub mod transport;
pub mod work;

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use plumbline_broker::{
    AmqpUrl, BrokerConfig, BrokerState, ConsumerGroup, ConsumerSpec, Depths, Inbox, Incoming, Publisher,
    Topology, WorkQueue,
};
use plumbline_domain::lane::{Lane, Pace};
use plumbline_domain::trace::{Moment, Resource, Sampler, export_request};
use plumbline_domain::{AddressPolicy, ResourceUrls, Timestamp, Tracer};
use plumbline_runtime::admin::{AdminServer, AdminState, Readiness, ReadyFlag};
use plumbline_runtime::collector::Collector;
use plumbline_runtime::config::{TraceArgs, parse, refuse};
use plumbline_runtime::dns::{LookupError, Resolver};
use plumbline_runtime::shutdown::Shutdown;
use plumbline_runtime::{descriptors, telemetry};
use plumbline_store::secrets::Vault;
use plumbline_store::{Store, StoreConfig};
use prometheus::Registry;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::Attempts;
use crate::bodies::Bodies;
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::fanout::{FanOut, Room, Until};
use crate::limiter::Limiter;
use crate::metrics::Metrics;
use crate::recorder::Recorder;
use crate::retries::Retries;
use crate::sweep::Sweep;
use crate::top::TopTenants;
use crate::transport::{NameError, ResolveName, Transport, TransportConfig};

/// Messages taken from a queue at once at most.
const TAKE_MAX: usize = 256;
/// Of what may be in flight, how much of a queue may wait for its turn beside it: as little as keeps us busy.
const WAITING_SHARE: usize = 4;
/// Of what may be in flight, how much may be a burst's, waiting or in flight: everybody else's requests stand in line
/// behind it for the processor.
const BULK_SHARE: usize = 16;
/// How often the database is pinged for readiness.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How often the depths of the queues are sampled.
const DEPTHS_EVERY: Duration = Duration::from_secs(5);

/// Why the dispatcher could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting's value.
    #[error("{setting}: {problem}")]
    Setting {
        /// The variable.
        setting: &'static str,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// The admin port.
    #[error("the admin port could not be opened")]
    Admin(#[source] std::io::Error),
    /// Names cannot be resolved.
    #[error("DNS could not be set up")]
    Dns(#[source] plumbline_runtime::dns::SetUpError),
    /// A fault of ours.
    #[error("metrics could not be declared")]
    Metrics(#[from] prometheus::Error),
}

/// The program, from its arguments and settings to its exit code.
#[tokio::main]
pub async fn program() -> ExitCode {
    let config: Config = parse();
    telemetry::init(&config.log);
    // Each request in flight has a socket of its own.
    descriptors::raise_limit();
    match serve(config, Shutdown::on_signals()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Setting { setting, problem }) => refuse(setting, problem),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the dispatcher could not start"
            );
            ExitCode::FAILURE
        }
    }
}

/// Run until `shutdown`, then drain: stop consuming, finish what is in flight, settle.
///
/// PostgreSQL and RabbitMQ may be down at any time, also at the start: not ready then, but alive.
///
/// # Errors
/// [`StartError`]; nothing that happens later ends it.
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), StartError> {
    plumbline_runtime::rustls_provider::install();
    let setting = |setting, problem: String| StartError::Setting { setting, problem };
    let schedule = config
        .schedule()
        .map_err(|problem| setting("PLUMBLINE_RETRY_SCHEDULE", problem))?;
    let vault = Vault::parse(config.master_keys.master_keys.expose())
        .map_err(|error| setting("PLUMBLINE_MASTER_KEYS", error.to_string()))?;
    let store = Store::new(&StoreConfig {
        database_url: config.database.database_url.expose().to_owned(),
        pool_size: config.database.database_pool_size,
        application_name: "plumbline-dispatcher".to_owned(),
    })
    .map_err(|error| setting("PLUMBLINE_DATABASE_URL", error.to_string()))?;
    let names = Names(Resolver::from_setting(&config.dns.dns_servers).map_err(StartError::Dns)?);

    let (tracer, collector) = tracing_to(&config.traces);
    let registry = Registry::new();
    let metrics = Arc::new(Metrics::new(&registry)?);
    let readiness = Readiness::new();
    let (database_ready, broker_ready) = (readiness.check("database"), readiness.check("broker"));
    let admin = AdminServer::bind(
        config.admin_listen,
        AdminState::new(registry.clone(), readiness.clone()),
    )
    .map_err(StartError::Admin)?;
    tracing::info!(address = %admin.local_addr(), "admin port open");
    let admin_stop = Shutdown::manual();
    let admin = tokio::spawn(admin.serve(admin_stop.clone()));

    // Consumers stop first, the publisher last: what is in flight still has to be parked.
    let publisher_stop = CancellationToken::new();
    let amqp_url: AmqpUrl = config
        .broker
        .amqp_url
        .expose()
        .parse()
        .map_err(|error| setting("PLUMBLINE_AMQP_URL", format!("{error}")))?;
    let topology = Topology::new(config.event_shards);
    let broker = BrokerConfig::new(amqp_url, "plumbline-dispatcher", topology.clone());
    let publisher = Publisher::spawn(broker.clone(), publisher_stop.clone());
    let depths = Depths::spawn(broker.clone(), publisher_stop.clone());

    let recording = TaskTracker::new();
    let clock = Arc::new(Clock::new(store.clone()));
    let limiter = Limiter::new(store.clone(), clock.clone(), metrics.clone(), &recording);
    let recorder = Recorder::spawn(
        store.clone(),
        publisher.clone(),
        clock.clone(),
        config.disable_after,
        config.max_in_flight.get(),
        metrics.clone(),
        &recording,
    );
    let policy = AddressPolicy {
        allow_networks: config.allow_networks.clone(),
        allow_http: config.allow_http,
        allowed_ports: config.allowed_ports.clone(),
    };
    let transport = Transport::new(
        TransportConfig::new(policy, config.attempt_timeout),
        Arc::new(names),
    );
    let urls = ResourceUrls::below(config.public_url.as_deref());
    let endpoints = Endpoints::new(store.clone(), vault, urls);
    let bodies = Arc::new(Bodies::new(store.clone()));
    let top_tenants = TopTenants::new(&registry, config.top_tenants.into())?;
    let attempts = Arc::new(Attempts::new(
        transport.clone(),
        endpoints.clone(),
        bodies.clone(),
        limiter,
        recorder,
        schedule,
        config.attempt_timeout,
        config.max_in_flight.get(),
        metrics.clone(),
        top_tenants,
        tracer.clone(),
    ));
    // Weakly: the recorder ends when the last of what attempts has gone.
    let (attempting, pool, connections) = (Arc::downgrade(&attempts), store.clone(), transport.clone());
    metrics::follow(&registry, move || {
        Some(
            attempting
                .upgrade()?
                .headroom(pool.pool_status(), connections.open_connections()),
        )
    })?;
    let fan_out = Arc::new(FanOut {
        store: store.clone(),
        publisher: publisher.clone(),
        endpoints: endpoints.clone(),
        bodies: bodies.clone(),
        attempts: attempts.clone(),
        metrics: metrics.clone(),
        clock: clock.clone(),
        tracer: tracer.clone(),
        pace: parking_lot::Mutex::new(Pace::new(fanout::BULK_RATE_MIN, Instant::now())),
    });
    let retries = Arc::new(Retries {
        store: store.clone(),
        publisher: publisher.clone(),
        endpoints: endpoints.clone(),
        bodies,
        attempts: attempts.clone(),
        metrics: metrics.clone(),
        clock,
        tracer,
        busy: parking_lot::Mutex::default(),
    });

    let background = TaskTracker::new();
    let stop = shutdown.token();
    background.spawn({
        let (endpoints, stop) = (endpoints.clone(), stop.clone());
        async move { endpoints.keep_current(stop).await }
    });
    let sweep = Sweep {
        store: store.clone(),
        publisher: publisher.clone(),
        grace: config.recovery_grace,
        metrics: metrics.clone(),
    };
    background.spawn(sweep.run(depths.clone(), stop.clone()));
    background.spawn(watch_broker(publisher.clone(), broker_ready, stop.clone()));
    background.spawn(watch_database(store, database_ready, stop.clone()));
    background.spawn(sample_depths(depths, topology, metrics, stop.clone()));

    let consuming = consume(&config, broker, &stop, fan_out, retries);
    tracing::info!("dispatching");
    shutdown.requested().await;
    readiness.set_draining();
    tracing::info!("draining: nothing new is taken, what is in flight is finished");

    let drain = async {
        // Ends when every message that was handed out is acknowledged or given back.
        consuming.await;
        drop(attempts);
        recording.close();
        recording.wait().await;
        background.close();
        background.wait().await;
        publisher_stop.cancel();
        publisher.closed().await;
        if let Some(collector) = collector {
            collector.close().await;
        }
    };
    if tokio::time::timeout(config.drain.drain_timeout, drain)
        .await
        .is_err()
    {
        tracing::warn!("the drain timed out: what is not settled goes back to the queues");
    }
    admin_stop.trigger();
    let _ = admin.await;
    tracing::info!("stopped");
    Ok(())
}

/// Where spans go, and the task that sends them, if the settings name a collector.
fn tracing_to(args: &TraceArgs) -> (Tracer, Option<Collector>) {
    let resource = Resource {
        service: "plumbline-dispatcher",
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

/// When a span begins: now.
pub(crate) fn now() -> Moment {
    Moment::new(Timestamp::now(), rand::random())
}

/// Start the consumers; the future ends when they have stopped and everything they took is settled.
fn consume(
    config: &Config,
    broker: BrokerConfig,
    stop: &CancellationToken,
    fan_out: Arc<FanOut>,
    retries: Arc<Retries>,
) -> impl Future<Output = ()> + use<> {
    let share = |divisor: usize| {
        u16::try_from((config.max_in_flight.get() / divisor).clamp(1, 4_096)).unwrap_or(4_096)
    };
    let mut specs = vec![];
    for shard in 0..config.event_shards.get() {
        for (lane, divisor) in [(Lane::Fast, 2), (Lane::Bulk, 8)] {
            let queue = WorkQueue::Events { lane, shard };
            specs.push(ConsumerSpec {
                queue,
                prefetch: share(divisor),
                batch_max: TAKE_MAX,
            });
        }
    }
    specs.push(ConsumerSpec {
        queue: WorkQueue::Fanout,
        prefetch: share(64),
        batch_max: 8,
    });
    specs.push(ConsumerSpec {
        queue: WorkQueue::Retries,
        prefetch: share(4),
        batch_max: TAKE_MAX,
    });
    let tasks = TaskTracker::new();
    let mut group = None;
    for inbox in ConsumerGroup::spawn(broker, specs, stop.clone()) {
        group = Some(inbox.handle());
        match inbox.queue() {
            WorkQueue::Retries => tasks.spawn(take_retries(inbox, retries.clone())),
            WorkQueue::Events { .. } | WorkQueue::Fanout => {
                let room = room(inbox.queue(), config.max_in_flight.get());
                tasks.spawn(take_events(inbox, fan_out.clone(), room, stop.clone()))
            }
        };
    }
    drop((fan_out, retries));
    tasks.close();
    async move {
        tasks.wait().await;
        if let Some(group) = group {
            group.closed().await;
        }
    }
}

/// What of a queue may be in hand at once.
fn room(queue: WorkQueue, in_flight_max: usize) -> Room {
    match queue {
        WorkQueue::Events { lane: Lane::Bulk, .. } => Room::new(in_flight_max / BULK_SHARE, Until::Answered),
        WorkQueue::Events { lane: Lane::Fast, .. } | WorkQueue::Fanout | WorkQueue::Retries => {
            Room::new(in_flight_max / WAITING_SHARE, Until::Sent)
        }
    }
}

/// Fan out what a queue brings.
async fn take_events(mut inbox: Inbox, fan_out: Arc<FanOut>, room: Room, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    while let Some(batch) = inbox.recv_batch().await {
        for incoming in batch {
            fan_out.take(incoming, &room, &tasks, &stop).await;
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Attempt the retries that come due. They are loaded by one statement after the other: while one runs, the next ones gather.
async fn take_retries(mut inbox: Inbox, retries: Arc<Retries>) {
    let tasks = TaskTracker::new();
    let loading = Arc::new(Mutex::new(()));
    loop {
        let turn = loading.clone().lock_owned().await;
        let Some(batch) = inbox.recv_batch().await else {
            break;
        };
        tasks.spawn(retries.clone().take(batch, turn));
    }
    tasks.close();
    tasks.wait().await;
}

/// Move a message that cannot be read to the dead queue.
pub(crate) async fn bury(publisher: &Publisher, incoming: Incoming, reason: &str) {
    tracing::error!(queue = ?incoming.queue, reason, "a message cannot be read; it is moved to the dead queue");
    if let Err(error) = publisher.bury(incoming, reason).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a message could not be moved to the dead queue yet; it comes back"
        );
    }
}

async fn watch_broker(publisher: Publisher, ready: ReadyFlag, stop: CancellationToken) {
    let mut states = publisher.on_state_change();
    let _ = stop
        .run_until_cancelled(async {
            loop {
                match &*states.borrow_and_update() {
                    BrokerState::Connected => ready.set_ready(),
                    BrokerState::Blocked => ready.set_not_ready("the broker has blocked publishing"),
                    BrokerState::Disconnected(reason) => ready.set_not_ready(reason.to_string()),
                }
                if states.changed().await.is_err() {
                    return;
                }
            }
        })
        .await;
}

async fn watch_database(store: Store, ready: ReadyFlag, stop: CancellationToken) {
    let _ = stop
        .run_until_cancelled(async {
            loop {
                match store.ping().await {
                    Ok(()) => ready.set_ready(),
                    Err(error) => ready.set_not_ready(error.to_string()),
                }
                tokio::time::sleep(PING_EVERY).await;
            }
        })
        .await;
}

async fn sample_depths(depths: Depths, topology: Topology, metrics: Arc<Metrics>, stop: CancellationToken) {
    let _ = stop
        .run_until_cancelled(async {
            loop {
                for queue in topology.work_queues() {
                    if let Ok(ready) = depths.ready(queue).await {
                        metrics
                            .queue_ready
                            .with_label_values(&[&queue.name()])
                            .set(i64::try_from(ready).unwrap_or(i64::MAX));
                    }
                }
                if let Ok(dead) = depths.dead().await {
                    metrics.dead_messages.set(i64::try_from(dead).unwrap_or(i64::MAX));
                }
                tokio::time::sleep(DEPTHS_EVERY).await;
            }
        })
        .await;
}

/// The process's resolver, as the transport asks for it.
struct Names(Resolver);

#[async_trait]
impl ResolveName for Names {
    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        self.0.lookup(name).await.map_err(|error| match error {
            LookupError::NotFound => NameError::NotFound,
            LookupError::Failed(reason) => NameError::Failed(reason),
            LookupError::TimedOut => NameError::TimedOut,
        })
    }
}
