//! What waits in the database, and how full it is: looked at by one process for all, the one that leads the relay.
//!
//! So a sum over the replicas counts nothing twice, and the database is asked once, however many there are.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_store::inspection::{self, Backlog, EndpointsTroubled, Fullness, Overdue, Partitions};
use plumbline_store::{Store, StoreError};

use crate::Engine;

/// Between two looks at what waits.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A look at the rest, which moves slowly, is due after so many of them.
const ROUNDS_BETWEEN: u32 = 12;
/// What is older than this is no longer told: better nothing than what was.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// What the leader has seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// What has been accepted and is not completely recorded.
    pub outbox: Backlog,
    /// Pending deliveries whose time has come.
    pub due: Overdue,
    /// The days that have partitions; a minute old at most.
    pub partitions: Partitions,
    /// How full the server is; a minute old at most.
    pub fullness: Fullness,
    /// Endpoints in trouble; a minute old at most.
    pub endpoints: EndpointsTroubled,
}

/// The last look, and when it was.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Mutex<Option<(Instant, Waiting)>>);

impl LastLook {
    /// Forget it: somebody else leads, or nobody.
    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }

    fn at(&self, now: Instant) -> Option<Waiting> {
        let (looked_at, waiting) = (*self.0.lock())?;
        (now.duration_since(looked_at) <= STALE_AFTER).then_some(waiting)
    }
}

impl Engine {
    /// What waits, if this process leads the relay and has looked within the last half minute.
    pub fn waiting(&self) -> Option<Waiting> {
        self.inner.last_look.at(Instant::now())
    }

    /// Look again and again.
    pub(crate) async fn keep_looking(&self, retention_days: u32) -> Infallible {
        let mut slow = None;
        let mut round = 0;
        loop {
            match look(self.store(), retention_days, &mut slow).await {
                Ok(waiting) => {
                    *self.inner.last_look.0.lock() = Some((Instant::now(), waiting));
                    round += 1;
                    if round % ROUNDS_BETWEEN == 0 {
                        slow = None;
                    }
                }
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "what waits could not be looked at"
                ),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What moves slowly is looked at where it is not known.
async fn look(
    store: &Store,
    retention_days: u32,
    slow: &mut Option<(Partitions, Fullness, EndpointsTroubled)>,
) -> Result<Waiting, StoreError> {
    let session = store.session().await?;
    let outbox = inspection::outbox(&session).await?;
    let due = inspection::overdue(&session, Duration::ZERO).await?;
    let (partitions, fullness, endpoints) = match *slow {
        Some(known) => known,
        None => *slow.insert((
            inspection::partitions(&session, retention_days).await?,
            inspection::fullness(&session).await?,
            inspection::endpoints_troubled(&session).await?,
        )),
    };
    Ok(Waiting {
        outbox,
        due,
        partitions,
        fullness,
        endpoints,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_look_is_not_told() {
        let (last, now) = (LastLook::default(), Instant::now());
        assert_eq!(last.at(now), None);
        let waiting = Waiting {
            outbox: Backlog::default(),
            due: Overdue::default(),
            partitions: Partitions {
                today: true,
                days_ahead: 8,
                days_over: 0,
            },
            fullness: Fullness::default(),
            endpoints: EndpointsTroubled::default(),
        };
        *last.0.lock() = Some((now, waiting));
        for (later, told) in [(0, true), (30, true), (31, false)] {
            assert_eq!(
                last.at(now + Duration::from_secs(later)).is_some(),
                told,
                "{later} s"
            );
        }
        last.forget();
        assert_eq!(last.at(now), None);
    }
}
