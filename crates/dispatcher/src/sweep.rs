//! The sweep: pending deliveries that nothing seems to bring back.
//!
//! One leader among the dispatchers. A delivery overdue by a grace is lost only if the retries queue has been quiet
//! for as long; then its message is published again. With the relay, this is what survives a broker that lost its
//! disk.

use std::sync::Arc;
use std::time::Duration;

use plumbline_broker::{Depths, Publisher, QuietWatch, RetryMessage, Scope, WorkQueue};
use plumbline_domain::Timestamp;
use plumbline_store::deliveries::{self, Overdue};
use plumbline_store::leadership::{self, Duty, Leadership};
use plumbline_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Deliveries published again at once.
const PAGE_MAX: usize = 1_000;
/// A queue with fewer messages ready than this is nearly empty.
const NEARLY_EMPTY: u64 = 100;
/// How often another dispatcher asks whether it may lead.
const CAMPAIGN_EVERY: Duration = Duration::from_secs(2);

/// The sweep of one dispatcher.
pub struct Sweep {
    /// The truth.
    pub store: Store,
    /// For what is published again.
    pub publisher: Publisher,
    /// How overdue a delivery must be, and how long the retries queue must have been quiet.
    pub grace: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Sweep {
    /// Lead or stand by until `shutdown`.
    pub async fn run(self, depths: Depths, shutdown: CancellationToken) {
        let _ = shutdown
            .run_until_cancelled(Box::pin(async {
                loop {
                    match leadership::try_lead(&self.store, Duty::Sweep).await {
                        Ok(Some(leader)) => {
                            tracing::info!("this process leads the sweep");
                            self.metrics.sweep_leader.set(1);
                            let lost = self.lead(leader, &depths).await;
                            self.metrics.sweep_leader.set(0);
                            if let Err(error) = lost {
                                tracing::warn!(
                                    error = &error as &dyn std::error::Error,
                                    "the sweep lost its lead"
                                );
                            }
                        }
                        Ok(None) => {}
                        Err(error) => tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "the sweep cannot reach the database"
                        ),
                    }
                    tokio::time::sleep(CAMPAIGN_EVERY).await;
                }
            }))
            .await;
        self.metrics.sweep_leader.set(0);
    }

    async fn lead(&self, leader: Leadership, depths: &Depths) -> Result<(), StoreError> {
        let look_every = (self.grace / 6).clamp(Duration::from_millis(200), Duration::from_secs(10));
        let watch = || QuietWatch::new(depths.clone(), Scope::Queue(WorkQueue::Retries), NEARLY_EMPTY);
        let mut quiet = watch();
        loop {
            tokio::time::sleep(look_every).await;
            if !leader.still_leads().await {
                return Err(StoreError::unavailable("the advisory lock's connection is gone"));
            }
            // A failed sample counts, too: it says that nothing is known.
            let _ = quiet.observe().await;
            if self.publisher.is_ready() && quiet.is_quiet(self.grace) && self.round(&leader).await? > 0 {
                // Judge anew before the next round: what was published now fills the queue.
                quiet = watch();
            }
        }
    }

    /// Publish again all that is overdue, page by page. Returns how many there were.
    ///
    /// The quiet that lies behind us speaks for all of it: what is due before that quiet began was in no queue then. A
    /// page at a time with a quiet before each would be a thousand deliveries in a grace, and a broker that lost its
    /// disk may have held a million.
    async fn round(&self, leader: &Leadership) -> Result<usize, StoreError> {
        let before = Timestamp::now() - self.grace;
        let mut total = 0;
        loop {
            let (found, sent) = self.page(before).await?;
            total += found;
            // A broker that does not take all of it is in trouble: it is judged anew.
            if found < PAGE_MAX || sent < found || !leader.still_leads().await {
                break;
            }
        }
        if total > 0 {
            tracing::info!(deliveries = total, "this round of the sweep is over");
        }
        Ok(total)
    }

    /// Publish again some of what was due before then. What was sent is due later from now on, so that the next page has
    /// others. Returns how many there were, and how many of them were sent.
    async fn page(&self, before: Timestamp) -> Result<(usize, usize), StoreError> {
        let session = self.store.session().await?;
        let overdue = deliveries::overdue(&session, before, PAGE_MAX).await?;
        drop(session);
        if overdue.is_empty() {
            return Ok((0, 0));
        }
        tracing::warn!(
            deliveries = overdue.len(),
            "publishing retries again that no queue seems to hold"
        );
        let now = Timestamp::now();
        let message = |(tenant, delivery, attempt, _): &Overdue| RetryMessage {
            republished: true,
            ..RetryMessage::due(*tenant, *delivery, *attempt, now)
        };
        let results = self
            .publisher
            .publish_retries(overdue.iter().map(message).collect())
            .await;
        let sent: Vec<_> = overdue
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(row, _)| *row)
            .collect();
        deliveries::touch_overdue(&self.store.session().await?, &sent, now).await?;
        self.metrics.swept.inc_by(sent.len() as u64);
        Ok((overdue.len(), sent.len()))
    }
}
