//! What a workload is measured on: private servers, the binaries under test, and a fresh system for each run.

use std::fs::{self, File, TryLockError};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use plumbline_testkit::Stack;
use plumbline_testkit::stack::{Servers, script_value};
use tokio_postgres::Client;

use crate::accounting::Meter;
use crate::failure::Failure;
use crate::journal::{Clock, Journal, Size};

/// How long a system may take to have recorded everything.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a system is started until it runs.
const STARTS_MAX: usize = 2;

/// PostgreSQL and RabbitMQ for this bench alone, with the durability of production. Dropped, they are stopped and their
/// data are gone.
#[derive(Debug)]
pub(crate) struct PrivateServers {
    script: PathBuf,
    directory: PathBuf,
    servers: Servers,
    postgresql: u32,
    rabbitmq: u32,
    /// One bench at a time in a directory.
    _lock: File,
}

impl PrivateServers {
    /// Start them below a directory, with the scripts of the development stack.
    pub(crate) fn start(scripts: &Path, directory: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let lock = File::create(directory.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(format!(
                    "another bench is running in {}: wait for it, or give another --directory",
                    directory.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let script = scripts.join("bench-servers.sh");
        let guard = Stopping(&script, &directory);
        run(&script, "up", &directory)?;
        let (database, broker) = (
            directory.join("database/database.env"),
            directory.join("broker/broker.env"),
        );
        let scratch = directory.join("scratch");
        fs::create_dir_all(&scratch)?;
        let started = (
            Servers::started(&database, &broker, &scratch),
            script_value(&database, "PID").parse()?,
            script_value(&broker, "PID").parse()?,
        );
        std::mem::forget(guard);
        let (servers, postgresql, rabbitmq) = started;
        Ok(Self {
            script,
            directory,
            servers,
            postgresql,
            rabbitmq,
            _lock: lock,
        })
    }
}

impl Drop for PrivateServers {
    fn drop(&mut self) {
        drop(Stopping(&self.script, &self.directory));
    }
}

/// Stops the servers when dropped: also when only one of them came up.
struct Stopping<'a>(&'a Path, &'a Path);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        if let Err(error) = run(self.0, "down", self.1) {
            eprintln!("error: {error}");
        }
    }
}

fn run(script: &Path, verb: &str, directory: &Path) -> Result<(), Failure> {
    let status = Command::new(script)
        .arg(verb)
        .arg(directory)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::new(format!("cannot run {}: {error}", script.display())))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} {verb} failed: {status}",
            script.display()
        )))
    }
}

/// The servers and one set of binaries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bed<'a> {
    servers: &'a PrivateServers,
    binaries: &'a Path,
    /// What sizes and times are divided by: more than 1 for a quick look.
    divisor: usize,
}

/// What a workload wants of its system beyond the defaults of production.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// 0 is one.
    pub(crate) dispatchers: usize,
    /// Settings without `PLUMBLINE_`.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Other variables.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl<'a> Bed<'a> {
    /// These binaries on these servers.
    pub(crate) fn new(servers: &'a PrivateServers, binaries: &'a Path, divisor: usize) -> Self {
        Self {
            servers,
            binaries,
            divisor,
        }
    }

    /// A number of things, fewer for a quick look, but never fewer than `least`.
    pub(crate) fn scaled(&self, count: usize, least: usize) -> usize {
        (count / self.divisor).max(least.min(count))
    }

    /// A time, shorter for a quick look, but never shorter than `least`.
    pub(crate) fn scaled_time(&self, time: Duration, least: Duration) -> Duration {
        let divisor = u32::try_from(self.divisor).unwrap_or(u32::MAX);
        (time / divisor).max(least.min(time))
    }

    /// Where a workload may put files.
    pub(crate) fn scratch(&self) -> &Path {
        &self.servers.servers.scratch
    }

    /// A fresh system: a new database, a new virtual host, new processes.
    pub(crate) async fn system(&self, wish: Wish) -> Result<System, Failure> {
        // A port that was free may be somebody else's before our process has it; then the testkit panics.
        for _ in 1..STARTS_MAX {
            match AssertUnwindSafe(self.start(&wish)).catch_unwind().await {
                Ok(started) => return started,
                Err(_) => eprintln!("    the system did not start; trying once more"),
            }
        }
        self.start(&wish).await
    }

    async fn start(&self, wish: &Wish) -> Result<System, Failure> {
        let dispatchers = wish.dispatchers.max(1);
        let mut builder = Stack::builder()
            .servers(self.servers.servers.clone())
            .binaries(self.binaries)
            .dispatchers(dispatchers);
        for (name, value) in &wish.settings {
            builder = builder.setting(name, value);
        }
        for (name, value) in &wish.variables {
            builder = builder.variable(name, value);
        }
        let stack = builder.start().await;
        let meter = Meter {
            api: stack.api_process().pid(),
            dispatchers: (0..dispatchers)
                .map(|index| stack.dispatcher(index).pid())
                .collect(),
            postgresql: self.servers.postgresql,
            rabbitmq: self.servers.rabbitmq,
            data: self.scratch().to_owned(),
        };
        let database = stack.database().connect().await;
        // What earlier runs wrote is not to be written out during this one.
        database.batch_execute("CHECKPOINT").await?;
        Ok(System {
            database,
            meter,
            clock: Clock::start(),
            stack,
        })
    }
}

/// A running Plumbline. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct System {
    /// For a workload's own questions and its seed.
    pub(crate) database: Client,
    pub(crate) meter: Meter,
    clock: Clock,
    pub(crate) stack: Stack,
}

impl System {
    /// A journal on the system's clock.
    pub(crate) fn journal(&self, events: usize, endpoints: usize, requests: u8) -> Arc<Journal> {
        let size = Size {
            events,
            endpoints,
            requests,
        };
        Arc::new(Journal::new(self.clock, size))
    }

    /// Bytes that PostgreSQL has written ahead since it exists.
    pub(crate) async fn wal_bytes(&self) -> Result<u64, Failure> {
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
        let bytes: i64 = self.database.query_one(sql, &[]).await?.get(0);
        Ok(u64::try_from(bytes)?)
    }

    /// Bytes that events, deliveries and attempts take in the database, their indexes included.
    pub(crate) async fn kept_bytes(&self) -> Result<u64, Failure> {
        let sql = "
            SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
            FROM pg_inherits
            WHERE inhparent IN ('plumbline.events'::regclass, 'plumbline.deliveries'::regclass,
                'plumbline.delivery_attempts'::regclass)";
        let bytes: i64 = self.database.query_one(sql, &[]).await?.get(0);
        Ok(u64::try_from(bytes)?)
    }

    /// Wait until everything is recorded and nobody works any more.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        self.wait_recorded().await?;
        if !self.meter.wait_calm(SETTLE_PATIENCE).await? {
            eprintln!("    still busy after {SETTLE_PATIENCE:?}: the CPU figures miss what is done later");
        }
        Ok(())
    }

    /// Wait until no accepted event waits for its deliveries to be recorded.
    pub(crate) async fn wait_recorded(&self) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + SETTLE_PATIENCE;
        loop {
            let waits = "SELECT EXISTS (SELECT FROM plumbline.outbox)";
            if !self.database.query_one(waits, &[]).await?.get::<_, bool>(0) {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Failure::new(format!(
                    "after {SETTLE_PATIENCE:?} the outbox still holds events"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How many deliveries of this run are recorded in a status; what was seeded is older than its first tenant.
    pub(crate) async fn recorded(&self, status: &str) -> Result<usize, Failure> {
        let sql = "
            SELECT count(*) FROM plumbline.deliveries
            WHERE status = $1
            AND id >= (SELECT plumbline.uuid_floor(min(created_at)) FROM plumbline.tenants)";
        let count: i64 = self.database.query_one(sql, &[&status]).await?.get(0);
        Ok(usize::try_from(count)?)
    }
}
