//! Upkeep of the database: partitions made ahead and dropped after retention, expired keys and secrets deleted.

use std::time::Duration;

use plumbline_domain::Timestamp;
use plumbline_store::leadership::{self, Duty};
use plumbline_store::{StoreError, partitions};
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// How often the upkeep runs.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// How soon it is tried again after an error, or by a replica that may not lead.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

impl Engine {
    /// Keep the database in order until `shutdown`; one replica at a time.
    pub async fn run_maintenance(&self, retention_days: u32, shutdown: CancellationToken) {
        let _ = shutdown
            .run_until_cancelled(Box::pin(async {
                loop {
                    let pause = match self.maintain(retention_days).await {
                        Ok(true) => EVERY,
                        Ok(false) => AGAIN_AFTER,
                        Err(error) => {
                            tracing::warn!(
                                error = &error as &dyn std::error::Error,
                                "the upkeep of the database failed; it will be tried again"
                            );
                            AGAIN_AFTER
                        }
                    };
                    tokio::time::sleep(pause).await;
                }
            }))
            .await;
    }

    /// One round; `false` when another replica is at it.
    async fn maintain(&self, retention_days: u32) -> Result<bool, StoreError> {
        let Some(_leader) = leadership::try_lead(self.store(), Duty::Maintenance).await? else {
            return Ok(false);
        };
        let session = self.store().session().await?;
        let done = partitions::maintain(&session, Timestamp::now(), retention_days).await?;
        if done.made > 0 || !done.dropped.is_empty() {
            tracing::info!(
                made = done.made,
                dropped = done.dropped.len(),
                "partitions maintained"
            );
        }
        Ok(true)
    }
}
