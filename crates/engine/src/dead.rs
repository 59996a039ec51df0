//! What an operator does with dead messages: look, put back, forget.

use std::time::Duration;

use plumbline_broker::dead::{self, Deed};
use plumbline_broker::{BrokerConfig, LinkError, Publisher};
use tokio_util::sync::CancellationToken;

use crate::assembly::{BrokerSettings, SettingError};

pub use plumbline_broker::dead::{About, DeadLetter, DeadReason, RequeueError, Selection, Settled};

/// How long the publisher may take to be ready on a broker that has just answered.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// Why the dead messages could not be dealt with. What was settled before stays settled, and nothing is lost.
#[derive(Debug, thiserror::Error)]
pub enum DeadError {
    /// The broker.
    #[error("the broker is not available")]
    Broker(#[from] LinkError),
    /// The broker takes nothing that could be put back.
    #[error("the broker takes no messages: see `plumbline doctor`")]
    NotReady,
}

/// The dead messages of a broker.
#[derive(Debug, Clone)]
pub struct DeadLetters(BrokerConfig);

impl DeadLetters {
    /// Those of this broker, which may be down.
    ///
    /// # Errors
    /// [`SettingError::Broker`].
    pub fn at(broker: &BrokerSettings<'_>) -> Result<Self, SettingError> {
        Ok(Self(broker.config()?))
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`DeadError::Broker`].
    pub async fn count(&self) -> Result<u64, DeadError> {
        Ok(dead::count(&self.0).await?)
    }

    /// The oldest, at most `limit`. They stay where they are.
    ///
    /// # Errors
    /// [`DeadError::Broker`].
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, DeadError> {
        Ok(dead::peek(&self.0, limit).await?)
    }

    /// Put letters back into the queues that they came from. Each leaves only when its copy is confirmed.
    ///
    /// # Errors
    /// [`DeadError`].
    pub async fn requeue(&self, selection: &Selection) -> Result<Vec<Settled>, DeadError> {
        let stop = CancellationToken::new();
        let publisher = Publisher::spawn(self.0.clone(), stop.clone());
        let settled = async {
            if !matches!(
                tokio::time::timeout(READY_WITHIN, publisher.ready()).await,
                Ok(true)
            ) {
                return Err(DeadError::NotReady);
            }
            Ok(dead::settle(&self.0, selection, Deed::Requeue(&publisher)).await?)
        }
        .await;
        stop.cancel();
        publisher.closed().await;
        settled
    }

    /// Forget letters for ever.
    ///
    /// # Errors
    /// [`DeadError`].
    pub async fn forget(&self, selection: &Selection) -> Result<Vec<Settled>, DeadError> {
        Ok(dead::settle(&self.0, selection, Deed::Drop).await?)
    }
}
