//! Emptying everything: for a database that was restored from a backup and does not know what the messages speak of.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use tokio::time::timeout;

use crate::connection::Link;
use crate::inspect::{Found, InspectedQueue, Purpose, inspect};
use crate::{BrokerConfig, LinkError};

/// How long the broker may take to delete a queue.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A queue that was emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// Its name.
    pub queue: String,
    /// The messages that are gone with it.
    pub messages: u64,
}

/// Why nothing was emptied, or not all.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// The broker.
    #[error("the broker is not available")]
    Link(#[from] LinkError),
    /// Somebody consumes: what he has in hand would come back. Nothing was touched.
    #[error("{queue} is being consumed")]
    Consumed {
        /// The first queue for which that is so.
        queue: String,
    },
    /// The broker does not say what is in a queue, as when a majority of its copies is gone. Nothing was touched.
    #[error("{queue} cannot be looked at: {reason}")]
    Unknown {
        /// The first such queue.
        queue: String,
        /// The broker's words, or that it had none.
        reason: String,
    },
}

/// How many messages lie in our queues, the dead ones included, and in which; queues that are empty or not there are left
/// out. Looking changes nothing.
///
/// # Errors
/// [`PurgeError`], as [`purge`] would say.
pub async fn contents(config: &BrokerConfig) -> Result<Vec<Purged>, PurgeError> {
    let mut present = present(config).await?;
    present.retain(|queue| queue.messages > 0);
    Ok(present)
}

/// Delete every queue of ours with all that is in it, and declare all of them anew. Refused while anybody consumes. Broken
/// off, it may be repeated: what is missing is declared by whoever connects next.
///
/// # Errors
/// [`PurgeError`].
pub async fn purge(config: &BrokerConfig) -> Result<Vec<Purged>, PurgeError> {
    let present = present(config).await?;
    let mut link = Link::connect(config, "purge").await?;
    let channel = link.channel().await.map_err(LinkError::from)?;
    for Purged { queue, .. } in &present {
        // Not `queue.purge`: what a delay queue is just handing over to the work queues would outlive it.
        let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        timeout(ANSWER_TIMEOUT, deleted)
            .await
            .map_err(|_| LinkError::AnswerTimeout(ANSWER_TIMEOUT))?
            .map_err(LinkError::from)?;
    }
    link.close().await;
    Link::open(config, "purge").await?.close().await;
    Ok(present)
}

/// The queues that are there, in an order in which none hands on to one that was emptied before.
async fn present(config: &BrokerConfig) -> Result<Vec<Purged>, PurgeError> {
    let mut inspected = inspect(config).await?.queues;
    inspected.sort_by_key(|queue| match queue.purpose {
        Purpose::Delay => 0,
        Purpose::Work(_) => 1,
        Purpose::Dead => 2,
    });
    let mut present = vec![];
    for InspectedQueue {
        name: queue, found, ..
    } in inspected
    {
        match found {
            Found::Missing => {}
            Found::Unknown(reason) => return Err(PurgeError::Unknown { queue, reason }),
            Found::Present { consumers, .. } if consumers > 0 => return Err(PurgeError::Consumed { queue }),
            Found::Present { ready, .. } => present.push(Purged {
                queue,
                messages: ready,
            }),
        }
    }
    Ok(present)
}
