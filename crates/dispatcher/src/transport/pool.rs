//! Connections that wait for their next request, by origin, within bounds.
//!
//! The newest is used first, so that what a burst opened grows old and is closed. A connection is used again only if
//! it leads to an address of the route that was just vetted: when a name moves, the old connections are left alone.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use plumbline_domain::EndpointUrl;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use super::TransportConfig;
use super::connection::{Connection, Http1, Http2, Lease};
use super::failure::Failure;
use super::origin::{Origin, split};
use super::route::Route;

/// The most shared connections that are kept to one origin.
const SHARED_PER_ORIGIN_MAX: usize = 16;
/// How often unused connections are looked through, at the least.
const SWEEP_EVERY_MAX: Duration = Duration::from_secs(5);
const SWEEP_EVERY_MIN: Duration = Duration::from_millis(50);

pub(super) struct Pool {
    origins: Mutex<HashMap<Box<str>, Arc<Origin>>>,
    idle_timeout: Duration,
    idle_per_origin_max: usize,
    /// One permit for each connection that is kept.
    places: Arc<Semaphore>,
    _sweeper: AbortOnDropHandle<()>,
}

/// The connections kept to one origin.
#[derive(Default)]
pub(super) struct Kept {
    /// Not in use; the newest last.
    idle: Vec<Idle>,
    /// In use or not.
    shared: Vec<Shared>,
}

struct Idle {
    connection: Box<Http1>,
    since: Instant,
}

struct Shared {
    connection: Arc<Http2>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(config: &TransportConfig) -> Arc<Self> {
        let every = config.idle_timeout.clamp(SWEEP_EVERY_MIN, SWEEP_EVERY_MAX);
        Arc::new_cyclic(|pool| Self {
            origins: Mutex::default(),
            idle_timeout: config.idle_timeout,
            idle_per_origin_max: config.idle_per_origin_max,
            places: Arc::new(Semaphore::new(config.kept_max.min(Semaphore::MAX_PERMITS))),
            _sweeper: AbortOnDropHandle::new(tokio::spawn(sweep(pool.clone(), every))),
        })
    }

    /// The origin of a URL, remembered while it is in use.
    pub(super) fn origin(&self, url: &EndpointUrl) -> Result<Arc<Origin>, Failure> {
        let (name, _) = split(url);
        if let Some(origin) = self.origins.lock().get(name) {
            return Ok(origin.clone());
        }
        let origin = Arc::new(Origin::new(url)?);
        Ok(self.origins.lock().entry(name.into()).or_insert(origin).clone())
    }

    /// A connection that leads where the route does.
    pub(super) fn take(&self, origin: &Origin, route: &Route, now: Instant) -> Option<Connection> {
        let mut stale = vec![]; // Closed after the lock is released.
        let mut kept = origin.kept.lock();
        stale.extend(
            kept.shared
                .extract_if(.., |shared| !shared.connection.is_fresh(self.idle_timeout, now)),
        );
        let shared = kept.shared.iter().map(|shared| &shared.connection);
        if let Some(shared) = shared
            .rev()
            .find(|shared| shared.has_room() && route.contains(&shared.peer()))
        {
            return Some(Connection::Http2(Lease::new(shared.clone())));
        }
        let newest = kept.idle.iter().rposition(|idle| {
            route.contains(&idle.connection.peer())
                && idle.connection.is_fresh(idle.since, self.idle_timeout, now)
        })?;
        Some(Connection::Http1(kept.idle.remove(newest).connection))
    }

    /// Keep a connection for the next request, if there is room.
    pub(super) fn keep(&self, origin: &Origin, mut connection: Box<Http1>, now: Instant) {
        if connection.permit.is_none() {
            connection.permit = self.places.clone().try_acquire_owned().ok();
        }
        if connection.permit.is_none() || !connection.is_fresh(now, self.idle_timeout, now) {
            return;
        }
        let mut kept = origin.kept.lock();
        if kept.idle.len() < self.idle_per_origin_max {
            kept.idle.push(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Let others use a new connection, if its protocol shares.
    pub(super) fn share(&self, origin: &Origin, connection: &Connection) {
        let Connection::Http2(lease) = connection else {
            return;
        };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return;
        };
        let mut kept = origin.kept.lock();
        if kept.shared.len() < SHARED_PER_ORIGIN_MAX {
            kept.shared.push(Shared {
                connection: lease.connection().clone(),
                _place: place,
            });
        }
    }

    /// Close what has been unused for too long, and forget the origins that nothing is known of.
    fn close_unused(&self, now: Instant) {
        let origins: Vec<_> = self.origins.lock().values().cloned().collect();
        for origin in origins {
            let mut kept = origin.kept.lock();
            let idle: Vec<_> = kept
                .idle
                .extract_if(.., |idle| {
                    !idle.connection.is_fresh(idle.since, self.idle_timeout, now)
                })
                .collect();
            let shared: Vec<_> = kept
                .shared
                .extract_if(.., |shared| !shared.connection.is_fresh(self.idle_timeout, now))
                .collect();
            drop(kept);
            drop((idle, shared)); // Closing is a system call each: not under the lock.
        }
        self.origins.lock().retain(|_, origin| {
            let kept = origin.kept.lock();
            Arc::strong_count(origin) > 1 || !kept.idle.is_empty() || !kept.shared.is_empty()
        });
    }
}

async fn sweep(pool: Weak<Pool>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(pool) = pool.upgrade() {
            pool.close_unused(Instant::now());
        }
    }
}
