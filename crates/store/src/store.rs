//! The pool of connections, and how each of them is made.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod};
use tokio_postgres::Config;

use crate::session::STATEMENT_TIME_MAX;
use crate::tls::{self, Tls};
use crate::{Session, StoreError, migration};

/// The longest wait for a connection, pooled or new.
const ACQUIRE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a socket may be silent before it is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// Between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long sent bytes may go unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// How to reach PostgreSQL.
#[derive(Clone)]
pub struct StoreConfig {
    /// `postgres://user:password@host[,host…]/database?sslmode=…&target_session_attrs=…`
    pub database_url: String,
    /// The most connections at once.
    pub pool_size: usize,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
}

/// The URL holds a password: it is not shown.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig")
            .field("pool_size", &self.pool_size)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}

/// How busy the pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections that exist.
    pub size: usize,
    /// Of those, the idle ones.
    pub available: usize,
    /// Callers waiting for one.
    pub waiting: usize,
    /// The most that may exist.
    pub max: usize,
}

/// The database. Cloning is cheap; nothing connects before it is needed.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    connector: Arc<Connector>,
}

/// Makes connections, inside and outside the pool.
pub(crate) struct Connector {
    pub(crate) config: Config,
    pub(crate) tls: Tls,
}

impl Store {
    /// A store at this address. PostgreSQL may be down.
    ///
    /// # Errors
    /// [`StoreError::Other`] when the URL is not one, or its TLS settings cannot be met.
    pub fn new(config: &StoreConfig) -> Result<Self, StoreError> {
        let (url, wish) = tls::read_url(&config.database_url)?;
        let mut postgres = Config::from_str(&url)
            .map_err(|_| StoreError::other("the database URL is not a PostgreSQL connection string"))?;
        let hosts = u32::try_from(postgres.get_hosts().len().max(1)).unwrap_or(1);
        if postgres.get_connect_timeout().is_none() {
            // All hosts must have had their turn before the caller's wait ends.
            postgres.connect_timeout(ACQUIRE_TIME_MAX / hosts);
        }
        let options = format!(
            "{} {}",
            postgres.get_options().unwrap_or_default(),
            server_settings()
        );
        postgres
            .options(options.trim())
            .application_name(&config.application_name)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(3)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX);
        let tls = tls::connector(postgres.get_ssl_mode(), &wish)?;
        let manager = Manager::from_config(
            postgres.clone(),
            tls.clone(),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(config.pool_size.max(1))
            // The one that was used last: a connection keeps buffers as large as its largest statement, so few of them do.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| StoreError::other(error.to_string()))?;
        Ok(Self {
            pool,
            connector: Arc::new(Connector {
                config: postgres,
                tls,
            }),
        })
    }

    /// A connection on which each statement is its own transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is none within 5 s.
    pub async fn session(&self) -> Result<Session, StoreError> {
        within(async { Ok(Session::autocommit(self.pool.get().await?)) }).await
    }

    /// A connection in a transaction, which ends with [`Session::commit`] or, dropped, with a rollback.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is none within 5 s.
    pub async fn begin(&self) -> Result<Session, StoreError> {
        within(async { Session::begin(self.pool.get().await?).await }).await
    }

    /// Whether PostgreSQL answers and would take a write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not within 5 s, or is read-only.
    pub async fn ping(&self) -> Result<(), StoreError> {
        within(async {
            let session = Session::autocommit(self.pool.get().await?);
            let row = session
                .query_one("SELECT pg_is_in_recovery() AS standby", &[])
                .await?;
            match row.get("standby") {
                false => Ok(()),
                true => Err(StoreError::Unavailable(crate::Cause::new(
                    "the server is a read-only standby",
                ))),
            }
        })
        .await
    }

    /// How busy the pool is.
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus {
            size: status.size,
            available: status.available,
            waiting: status.waiting,
            max: status.max_size,
        }
    }

    /// Bring the schema up to date. Several processes may do so at once: one works, the others wait.
    /// Returns the names of the migrations that were applied now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Other`] when a migration fails, which is rolled back then.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        migration::run(&self.connector).await
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.pool_status()).finish()
    }
}

/// What the server is told at each connect. Every statement here is made for its indexes, so the planner's freedom
/// costs more than it saves:
///
/// - a plan is made once per statement and connection: with a partition for each day, planning takes ten times as
///   long as running, and pruning at run time does as well as pruning in the plan;
/// - a table that is small or empty now (the outbox, today's partition) is not read whole by a plan that is kept while
///   it grows;
/// - JIT compilation takes longer than statements of milliseconds.
///
/// The keepalives let the server notice a vanished client and free its locks.
fn server_settings() -> String {
    let statement_ms = STATEMENT_TIME_MAX.as_millis();
    format!(
        "-c search_path=plumbline -c timezone=UTC -c plan_cache_mode=force_generic_plan -c enable_seqscan=off \
         -c random_page_cost=1.1 -c jit=off -c work_mem=16MB -c statement_timeout={statement_ms} \
         -c idle_in_transaction_session_timeout={statement_ms} -c lock_timeout=15s \
         -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    )
}

/// Wait for a connection and its first answer, but not for ever.
pub(crate) async fn within<T>(wait: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(ACQUIRE_TIME_MAX, wait)
        .await
        .unwrap_or_else(|_| Err(StoreError::timeout("waiting for a connection")))
}
