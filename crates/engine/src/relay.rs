//! The relay: publishes what the intake could not, and what the broker lost.
//!
//! One leader among the API's replicas. Rows marked `unsent` go out at once, whatever the queues hold. Rows that
//! were sent and are still there after a grace are lost only if the queues that should hold them have been quiet
//! for as long: a deep queue means "waiting".

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plumbline_broker::{Chunk, Depths, EventMessage, QuietWatch, Scope};
use plumbline_domain::{EventId, Timestamp};
use plumbline_store::leadership::{self, Duty, Leadership};
use plumbline_store::listen::Notifications;
use plumbline_store::outbox::{self, Helping, OutboxRow};
use plumbline_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::Engine;

/// What is published at once: the largest events, too, fit into a small part of the process's memory.
const ROUND: Helping = Helping {
    rows: 500,
    bytes: 8 * 1024 * 1024,
};
/// How often the leader looks without being called.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often another replica asks whether it may lead.
const CAMPAIGN_EVERY: Duration = Duration::from_secs(2);
/// A queue with fewer messages ready than this is nearly empty.
const NEARLY_EMPTY: u64 = 100;
/// How long to wait after an error.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

/// How the relay and the sweep judge that something is lost.
#[derive(Debug, Clone, Copy)]
pub struct RelayConfig {
    /// The age from which a sent row counts as lost, and how long the queues must have been quiet for it.
    pub recovery_grace: Duration,
    /// How many days events are kept, which decides what partitions are too old.
    pub retention_days: u32,
}

/// What the relay of this process has done since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayFigures {
    /// Whether it leads now.
    pub leads: bool,
    /// Messages published that had never been.
    pub unsent_total: u64,
    /// Messages published again that no queue seemed to hold.
    pub lost_total: u64,
}

/// The same while it is counted.
#[derive(Default)]
pub(crate) struct Relayed {
    leads: AtomicBool,
    unsent: AtomicU64,
    lost: AtomicU64,
}

impl Engine {
    /// Lead or stand by until `shutdown`.
    pub async fn run_relay(&self, config: RelayConfig, depths: Depths, shutdown: CancellationToken) {
        let relay = Relay {
            engine: self.clone(),
            config,
        };
        let _ = shutdown
            .run_until_cancelled(Box::pin(async {
                loop {
                    match leadership::try_lead(relay.store(), Duty::Relay).await {
                        Ok(Some(leader)) => {
                            tracing::info!("this process leads the relay");
                            relay.leads(true);
                            let lost = tokio::select! {
                                lost = relay.lead(leader, &depths) => lost,
                                never = self.keep_looking(config.retention_days) => match never {},
                            };
                            relay.leads(false);
                            if let Err(error) = lost {
                                tracing::warn!(
                                    error = &error as &dyn std::error::Error,
                                    "the relay lost its lead"
                                );
                            }
                            tokio::time::sleep(ERROR_PAUSE).await;
                        }
                        Ok(None) => tokio::time::sleep(CAMPAIGN_EVERY).await,
                        Err(error) => {
                            tracing::debug!(
                                error = &error as &dyn std::error::Error,
                                "the relay cannot reach the database"
                            );
                            tokio::time::sleep(CAMPAIGN_EVERY).await;
                        }
                    }
                }
            }))
            .await;
        relay.leads(false);
    }

    /// What the relay of this process has done.
    pub fn relay_figures(&self) -> RelayFigures {
        let relayed = &self.inner.relayed;
        RelayFigures {
            leads: relayed.leads.load(Ordering::Relaxed),
            unsent_total: relayed.unsent.load(Ordering::Relaxed),
            lost_total: relayed.lost.load(Ordering::Relaxed),
        }
    }

    /// The age of the oldest event that is not completely recorded yet; `None` when there is none.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`].
    pub async fn outbox_age(&self) -> Result<Option<Duration>, crate::Error> {
        Ok(outbox::age(&self.store().session().await?).await?)
    }
}

struct Relay {
    engine: Engine,
    config: RelayConfig,
}

impl Relay {
    fn store(&self) -> &Store {
        self.engine.store()
    }

    /// What only a leader tells is forgotten with the lead.
    fn leads(&self, leads: bool) {
        let inner = &self.engine.inner;
        inner.relayed.leads.store(leads, Ordering::Relaxed);
        if !leads {
            inner.last_look.forget();
        }
    }

    /// Relay until the database or the lead is lost.
    async fn lead(&self, leader: Leadership, depths: &Depths) -> Result<(), StoreError> {
        let mut notifications = Notifications::connect(self.store()).await?;
        let watch = || QuietWatch::new(depths.clone(), Scope::Events, NEARLY_EMPTY);
        let mut quiet = watch();
        loop {
            if !leader.still_leads().await {
                return Err(StoreError::unavailable("the advisory lock's connection is gone"));
            }
            // A failed sample counts, too: it says that nothing is known.
            let _ = quiet.observe().await;
            if self.engine.inner.publisher.is_ready() {
                self.publish_unsent(&leader).await?;
                if quiet.is_quiet(self.config.recovery_grace) && self.publish_lost(&leader).await? {
                    // Judge anew before the next round: what was published now fills the queues.
                    quiet = watch();
                }
            }
            // A timeout is the regular look; a notification is a producer's SQL, to be served at once.
            if let Ok(received) = tokio::time::timeout(LOOK_EVERY, notifications.recv()).await {
                received?;
            }
        }
    }

    /// Publish all that never was, page by page, for as long as the broker takes it and nobody else leads.
    async fn publish_unsent(&self, leader: &Leadership) -> Result<(), StoreError> {
        while self.publish_unsent_page().await? && leader.still_leads().await {}
        Ok(())
    }

    /// Whether there was something, and all of it is with the broker: there may be more.
    async fn publish_unsent_page(&self) -> Result<bool, StoreError> {
        let rows = outbox::unsent(&self.store().session().await?, ROUND).await?;
        let count = rows.len();
        if count == 0 {
            return Ok(false);
        }
        let published = self.publish(rows).await?;
        let unsent = &self.engine.inner.relayed.unsent;
        unsent.fetch_add(published as u64, Ordering::Relaxed);
        Ok(published == count)
    }

    /// Publish again all that is lost, page by page. Whether there was something.
    ///
    /// The quiet that lies behind us speaks for all of it, as for the sweep: what was sent before that quiet began was in
    /// no queue then.
    async fn publish_lost(&self, leader: &Leadership) -> Result<bool, StoreError> {
        let before = Timestamp::now() - self.config.recovery_grace;
        let (mut total, mut last) = (0, None);
        loop {
            let rows = outbox::stale(&self.store().session().await?, before, before, ROUND).await?;
            // What was sent is younger from now on. Where the database's clock is behind ours by more than the grace, it is
            // not, and the oldest comes again.
            if rows.first().map(key) <= last {
                break;
            }
            tracing::warn!(
                events = rows.len(),
                "publishing events again that no queue seems to hold"
            );
            last = rows.last().map(key);
            let found = rows.len();
            let published = self.publish(rows).await?;
            let lost = &self.engine.inner.relayed.lost;
            lost.fetch_add(published as u64, Ordering::Relaxed);
            total += found;
            // A broker that does not take all of it is in trouble: it is judged anew.
            if published < found || !leader.still_leads().await {
                break;
            }
            // What was emitted meanwhile does not wait for all that.
            self.publish_unsent(leader).await?;
        }
        if total > 0 {
            tracing::info!(events = total, "this round of the relay is over");
        }
        Ok(total > 0)
    }

    /// Publish rows and mark those that were confirmed. Returns how many were.
    async fn publish(&self, rows: Vec<OutboxRow>) -> Result<usize, StoreError> {
        let count = rows.len();
        let publisher = &self.engine.inner.publisher;
        let (chunks, events): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .map(message)
            .partition(|message| message.chunk.is_some());
        let mut confirmed = vec![];
        for (messages, results) in [
            (keys(&events), publisher.publish_events(events).await),
            (keys(&chunks), publisher.publish_chunks(chunks).await),
        ] {
            let sent = messages
                .into_iter()
                .zip(&results)
                .filter(|(_, result)| result.is_ok());
            confirmed.extend(sent.map(|(key, _)| key));
        }
        outbox::mark_sent(&self.store().session().await?, &confirmed).await?;
        if confirmed.len() < count {
            // The broker is in trouble: leave it a moment.
            tokio::time::sleep(ERROR_PAUSE).await;
        }
        Ok(confirmed.len())
    }
}

fn key(row: &OutboxRow) -> (EventId, i32) {
    (row.event.id, row.chunk.as_ref().map_or(0, |chunk| chunk.number))
}

fn keys(messages: &[EventMessage]) -> Vec<(EventId, i32)> {
    messages
        .iter()
        .map(|message| {
            (
                message.event.id,
                message.chunk.as_ref().map_or(0, |chunk| chunk.number),
            )
        })
        .collect()
}

/// What the relay publishes may have been published before: even a publication that failed may have arrived.
fn message(row: OutboxRow) -> EventMessage {
    EventMessage {
        chunk: row.chunk.map(|chunk| Chunk {
            number: chunk.number,
            after: chunk.after.0,
            upto: chunk.upto.0,
        }),
        republished: true,
        // What carried it is forgotten: its fan-out begins a trace by the event's id.
        trace: None,
        ..EventMessage::new(row.event, row.lane)
    }
}
