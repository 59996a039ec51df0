//! Building an engine from what an operator writes, so that no process above names a store or a broker.

use std::num::NonZeroU16;
use std::sync::Arc;

use plumbline_broker::{AmqpUrl, BrokerConfig, Publisher, Topology};
use plumbline_store::secrets::Vault;
use plumbline_store::{Store, StoreConfig};
use tokio_util::sync::CancellationToken;

use crate::administration::Administration;
use crate::{Engine, EngineConfig, Error, ResolveName, story};

pub use plumbline_broker::Depths;
pub use plumbline_store::PoolStatus;

/// Where the database is. Its `Debug` shows no URL.
#[derive(Debug, Clone)]
pub struct DatabaseSettings(StoreConfig);

impl DatabaseSettings {
    /// PostgreSQL at this URL, with so many connections at most, which call themselves by this name.
    pub fn new(database_url: &str, pool_size: usize, application_name: &str) -> Self {
        Self(StoreConfig {
            database_url: database_url.to_owned(),
            pool_size,
            application_name: application_name.to_owned(),
        })
    }

    pub(crate) fn open(&self) -> Result<Store, SettingError> {
        Store::new(&self.0).map_err(|error| SettingError::Database(story(&error)))
    }
}

/// Where the broker is, and what exists there.
pub struct BrokerSettings<'a> {
    /// `amqp[s]://…`
    pub amqp_url: &'a str,
    /// What the connections are called in the broker's own lists.
    pub connection_name: &'a str,
    /// Queues that each lane of events is spread over.
    pub event_shards: NonZeroU16,
}

impl BrokerSettings<'_> {
    pub(crate) fn config(&self) -> Result<BrokerConfig, SettingError> {
        let url: AmqpUrl = self
            .amqp_url
            .parse()
            .map_err(|error| SettingError::Broker(story(&error)))?;
        let topology = Topology::new(self.event_shards);
        Ok(BrokerConfig::new(url, self.connection_name, topology))
    }
}

/// A setting that parsed as text and is still wrong. Messages hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The database's URL.
    #[error("{0}")]
    Database(String),
    /// The broker's URL.
    #[error("{0}")]
    Broker(String),
    /// The master keys.
    #[error("{0}")]
    MasterKeys(String),
}

impl Administration {
    /// Administration of a database, which may be down.
    ///
    /// # Errors
    /// [`SettingError::Database`].
    pub fn connect(database: &DatabaseSettings) -> Result<Self, SettingError> {
        Ok(Self::new(database.open()?))
    }
}

impl Engine {
    /// An engine over a database and a broker, either of which may be down, and what the relay asks for depths.
    /// The connections to the broker end at `broker_stop`, once everything that publishes has ended.
    ///
    /// # Errors
    /// [`SettingError`] names the setting that is wrong.
    pub fn connect(
        database: &DatabaseSettings,
        broker: &BrokerSettings<'_>,
        master_keys: &str,
        names: Arc<dyn ResolveName>,
        config: EngineConfig,
        broker_stop: &CancellationToken,
    ) -> Result<(Self, Depths), SettingError> {
        let store = database.open()?;
        let vault = Vault::parse(master_keys).map_err(|error| SettingError::MasterKeys(story(&error)))?;
        let broker = broker.config()?;
        let publisher = Publisher::spawn(broker.clone(), broker_stop.clone());
        let depths = Depths::spawn(broker, broker_stop.clone());
        Ok((Self::new(store, vault, publisher, names, config), depths))
    }

    /// Whether the database answers and takes writes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping_database(&self) -> Result<(), Error> {
        Ok(self.store().ping().await?)
    }

    /// How busy the pool of database connections is.
    pub fn pool_status(&self) -> PoolStatus {
        self.store().pool_status()
    }

    /// Whether messages can be published now; if not, why.
    ///
    /// # Errors
    /// The reason, for an operator; it holds no secret.
    pub fn broker_status(&self) -> Result<(), String> {
        use plumbline_broker::BrokerState;
        match &*self.inner.publisher.on_state_change().borrow() {
            BrokerState::Connected => Ok(()),
            BrokerState::Blocked => Err("the broker accepts no messages: it lacks memory or disk".to_owned()),
            BrokerState::Disconnected(reason) => Err(story(reason)),
        }
    }

    /// Wait until the connection to the broker has ended; it ends when its token is cancelled.
    pub async fn broker_closed(&self) {
        self.inner.publisher.closed().await;
    }

    /// The operator's use cases on the same database.
    pub fn administration(&self) -> Administration {
        Administration::new(self.store().clone())
    }
}
