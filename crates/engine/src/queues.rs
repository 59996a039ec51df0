//! What an operator does with the broker's queues as a whole: empty them, after the database was restored from a backup.

use plumbline_broker::{BrokerConfig, purge};

use crate::assembly::{BrokerSettings, SettingError};

pub use plumbline_broker::purge::{PurgeError, Purged};

/// The queues of a broker, all of them.
#[derive(Debug, Clone)]
pub struct Queues(BrokerConfig);

impl Queues {
    /// Those of this broker, which may be down.
    ///
    /// # Errors
    /// [`SettingError::Broker`].
    pub fn at(broker: &BrokerSettings<'_>) -> Result<Self, SettingError> {
        Ok(Self(broker.config()?))
    }

    /// What is in them: those that are not empty.
    ///
    /// # Errors
    /// [`PurgeError`], as [`purge`](Self::purge) would say.
    pub async fn contents(&self) -> Result<Vec<Purged>, PurgeError> {
        purge::contents(&self.0).await
    }

    /// Empty them, the dead messages included. What is unfinished in the database is published again by the relay and the
    /// sweep; refused while a dispatcher consumes.
    ///
    /// # Errors
    /// [`PurgeError`].
    pub async fn purge(&self) -> Result<Vec<Purged>, PurgeError> {
        purge::purge(&self.0).await
    }
}
