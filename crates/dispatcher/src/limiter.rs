//! Leave to send: slots of rate-limited endpoints, reserved over all dispatchers.
//!
//! Requests for one endpoint share a reservation: while one is being made, those that come next gather. So an endpoint
//! costs a dispatcher one transaction at a time, however many wait, and an endpoint without a limit costs nothing.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use plumbline_domain::rate::{Place, Slot, Turn};
use plumbline_domain::{Endpoint, EndpointId, TenantId};
use plumbline_store::{Store, rate_windows};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Pass, Reading};
use crate::fanout::patiently;
use crate::metrics::Metrics;

/// Requests that share a reservation at most. What waits for the next one is bounded by the attempts in flight.
const BATCH_MAX: usize = 256;

/// Reserves slots.
pub struct Limiter {
    store: Store,
    clock: Arc<Clock>,
    /// Who waits, by endpoint; an entry is there as long as a task reserves for its endpoint.
    gathering: Mutex<HashMap<EndpointId, Vec<Asking>>>,
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
}

struct Asking {
    limit: NonZeroU32,
    place: Option<Place>,
    reply: oneshot::Sender<Turn>,
}

/// The reservation was broken off by a fault of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenOff;

impl Limiter {
    /// Reservations run on `tasks`.
    pub fn new(store: Store, clock: Arc<Clock>, metrics: Arc<Metrics>, tasks: &TaskTracker) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            gathering: Mutex::default(),
            tasks: tasks.clone(),
            metrics,
        })
    }

    /// Ask for a slot, for the first time or with a place in the line; waits until the database answers.
    ///
    /// # Errors
    /// [`BrokenOff`]: nothing is known, and the message had better go back.
    pub async fn turn(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        limit: NonZeroU32,
        place: Option<Place>,
    ) -> Result<Turn, BrokenOff> {
        let (reply, answer) = oneshot::channel();
        let asking = Asking { limit, place, reply };
        let begins = {
            let mut gathering = self.gathering.lock();
            let begins = !gathering.contains_key(&endpoint.id);
            gathering.entry(endpoint.id).or_default().push(asking);
            begins
        };
        if begins {
            let reservations = Reservations {
                limiter: self.clone(),
                tenant: endpoint.tenant,
                endpoint: endpoint.id,
            };
            self.tasks.spawn(async move { reservations.run().await });
        }
        answer.await.map_err(|_| BrokenOff)
    }

    /// When a request with this slot may leave.
    pub async fn pass(&self, slot: Slot) -> Pass {
        self.clock.pass(slot).await
    }

    async fn reserve(&self, tenant: TenantId, endpoint: EndpointId, asking: Vec<Asking>) {
        // The newest is the one that has looked at the endpoint last.
        let Some(limit) = asking.last().map(|asking| asking.limit) else {
            return;
        };
        let asks: Vec<Option<Place>> = asking.iter().map(|asking| asking.place).collect();
        let (asks, store) = (&asks, &self.store);
        let turns = patiently("slots could not be reserved yet", || async move {
            let session = store.begin().await?;
            let asked = Instant::now();
            let reserved = rate_windows::reserve(&session, tenant, endpoint, limit, asks).await?;
            let answered = Instant::now();
            session.commit().await?;
            self.clock.learn(Reading {
                now: reserved.now,
                asked,
                answered,
            });
            Ok(reserved.turns)
        })
        .await;
        for (asking, turn) in asking.into_iter().zip(turns) {
            if matches!(turn, Turn::Slot(_)) {
                self.metrics.slots_reserved.inc();
            }
            // Who has gone leaves a slot unused.
            let _ = asking.reply.send(turn);
        }
    }
}

/// The reservations for one endpoint, until nobody waits for one.
struct Reservations {
    limiter: Arc<Limiter>,
    tenant: TenantId,
    endpoint: EndpointId,
}

impl Reservations {
    async fn run(self) {
        while let Some(batch) = self.next() {
            self.limiter.reserve(self.tenant, self.endpoint, batch).await;
        }
    }

    /// Those that have gathered. When nobody has, the entry goes, and who comes next begins anew.
    fn next(&self) -> Option<Vec<Asking>> {
        let mut gathering = self.limiter.gathering.lock();
        let waiting = gathering.get_mut(&self.endpoint)?;
        if waiting.is_empty() {
            gathering.remove(&self.endpoint);
            return None;
        }
        let count = waiting.len().min(BATCH_MAX);
        Some(waiting.drain(..count).collect())
    }
}

impl Drop for Reservations {
    /// After a panic nobody answers those who wait: they are told so by losing their entry.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.limiter.gathering.lock().remove(&self.endpoint);
        }
    }
}
