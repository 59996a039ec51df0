//! Upkeep of the database: partitions made ahead and dropped after retention, expired keys and secrets deleted.

use std::time::Duration;

use plumbline_domain::Timestamp;
use plumbline_store::leadership::{self, Duty};
use plumbline_store::{StoreError, endpoints, partitions};
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// How often the upkeep runs.
const EVERY: Duration = Duration::from_secs(15 * 60);
/// How soon it is tried again after an error.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How soon a replica asks again while another one is at it: that one may die in the middle.
const STAND_BY: Duration = Duration::from_secs(5);
/// Endpoints whose headers are encrypted in one transaction.
const SEALED_AT_ONCE_MAX: usize = 100;

impl Engine {
    /// Keep the database in order until `shutdown`; one replica at a time.
    pub async fn run_maintenance(&self, retention_days: u32, shutdown: CancellationToken) {
        let _ = shutdown
            .run_until_cancelled(Box::pin(async {
                loop {
                    let pause = match self.maintain(retention_days).await {
                        Ok(true) => EVERY,
                        Ok(false) => STAND_BY,
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
        drop(session);
        self.seal_headers_in_clear().await?;
        Ok(true)
    }

    /// Encrypt the custom headers that a version before V10 wrote in clear; afterwards there are none, and this is one
    /// look at a small table.
    async fn seal_headers_in_clear(&self) -> Result<(), StoreError> {
        loop {
            let session = self.store().begin().await?;
            let found = endpoints::in_clear(&session, SEALED_AT_ONCE_MAX).await?;
            for (tenant, endpoint, headers) in &found {
                let sealed = self.inner.vault.seal_headers(headers, *tenant, *endpoint);
                endpoints::set_headers(&session, *tenant, *endpoint, Some((headers, &sealed))).await?;
            }
            session.commit().await?;
            if found.is_empty() {
                return Ok(());
            }
            tracing::info!(endpoints = found.len(), "custom headers encrypted");
        }
    }
}
