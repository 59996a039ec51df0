//! Bodies of large events: read and rendered when a delivery's turn has come, within a bound of bytes.
//!
//! A large payload stays in the database while its event travels and waits ([`Payload::Stored`]). Everything else that a
//! dispatcher has in hand is bounded by its number, this by its bytes: whatever finds no room is put off.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use plumbline_domain::{Event, EventId, Payload, Profile, TenantId, gate};
use plumbline_store::{Store, events};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::attempt::Share;
use crate::endpoints::Target;
use crate::fanout::patiently;

/// What bodies of stored payloads may take in all, in KiB, a quarter of it set aside for retries: the connections that
/// they are sent on are as many as the permits allow, but only so many of the largest ones at once.
const ROOM_KIB: u32 = 64 * 1024;
/// Events remembered before those are forgotten that nobody has in hand.
const KNOWN_MAX: usize = 1_024;

/// The body that a delivery sends.
#[derive(Debug, Clone)]
pub enum Body {
    /// Rendered.
    Ready(Bytes),
    /// Of an event whose payload is in the database.
    Stored(Arc<Stored>),
}

/// Why there is no body now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBody {
    /// Others take all the room, and went on to for [`gate::WAIT_MAX`].
    NoRoom,
    /// The event is not in the database any more.
    Gone,
}

/// An event whose payload is in the database, and what has been rendered of it and is in use.
#[derive(Debug)]
pub struct Stored {
    tenant: TenantId,
    event: EventId,
    bytes: usize,
    rendered: tokio::sync::Mutex<Vec<(Profile, Weak<Rendered>)>>,
}

/// A body in memory, for as long as somebody sends it.
#[derive(Debug)]
struct Rendered {
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

/// What a request holds of it: also a connection that is still writing.
struct InUse(Arc<Rendered>);

impl AsRef<[u8]> for InUse {
    fn as_ref(&self) -> &[u8] {
        &self.0.body
    }
}

/// Renders bodies.
pub struct Bodies {
    store: Store,
    fresh: Room,
    retries: Room,
    /// Deliveries of one event share its body, whatever message brought them.
    known: Mutex<HashMap<EventId, Weak<Stored>>>,
}

impl Bodies {
    /// With payloads from this database.
    pub fn new(store: Store) -> Self {
        let retries = ROOM_KIB / 4;
        Self {
            store,
            fresh: Room::new(ROOM_KIB - retries),
            retries: Room::new(retries),
            known: Mutex::default(),
        }
    }

    /// The body of one delivery: rendered now, unless the payload is stored.
    pub fn body(&self, event: &Event, payload: Payload, target: &Target) -> Body {
        match payload {
            Payload::Carried => Body::Ready(target.endpoint.profile.body(event, &target.urls)),
            Payload::Stored { bytes } => Body::Stored(self.stored(event, bytes)),
        }
    }

    fn stored(&self, event: &Event, bytes: u32) -> Arc<Stored> {
        let mut known = self.known.lock();
        if let Some(stored) = known.get(&event.id).and_then(Weak::upgrade) {
            return stored;
        }
        if known.len() >= KNOWN_MAX {
            known.retain(|_, stored| stored.strong_count() > 0);
        }
        let stored = Arc::new(Stored {
            tenant: event.tenant,
            event: event.id,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            rendered: tokio::sync::Mutex::default(),
        });
        known.insert(event.id, Arc::downgrade(&stored));
        stored
    }

    /// The bytes to send to a target; read from the database unless somebody has them, and asked for until it answers.
    ///
    /// # Errors
    /// [`NoBody`].
    pub async fn read(&self, body: &Body, target: &Target, share: Share) -> Result<Bytes, NoBody> {
        let stored = match body {
            Body::Ready(body) => return Ok(body.clone()),
            Body::Stored(stored) => stored,
        };
        let profile = target.endpoint.profile;
        let room = match share {
            Share::Fresh => &self.fresh,
            Share::Retries => &self.retries,
        };
        let turn = async {
            let rendered = stored.rendered.lock().await;
            match in_use(&rendered, profile) {
                Some(body) => Err(body),
                // The payload, and what is rendered of it.
                None => Ok((room.take(stored.bytes.saturating_mul(2)).await, rendered)),
            }
        };
        let (mut taken, mut rendered) = match tokio::time::timeout(gate::WAIT_MAX, turn).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(in_use)) => return Ok(in_use),
            Err(_) => return Err(NoBody::NoRoom),
        };
        let found = patiently("a payload could not be read yet", || async {
            events::get(&self.store.session().await?, stored.tenant, stored.event).await
        })
        .await;
        let event = found.ok_or(NoBody::Gone)?;
        let body = profile.body(&event, &target.urls);
        drop(event);
        taken.shrink(body.len());
        let body = Arc::new(Rendered {
            body,
            _room: taken.permit,
        });
        rendered.retain(|(_, body)| body.strong_count() > 0);
        rendered.push((profile, Arc::downgrade(&body)));
        Ok(Bytes::from_owner(InUse(body)))
    }
}

fn in_use(rendered: &[(Profile, Weak<Rendered>)], profile: Profile) -> Option<Bytes> {
    let (_, body) = rendered.iter().find(|(of, _)| *of == profile)?;
    Some(Bytes::from_owner(InUse(body.upgrade()?)))
}

/// A bound of bytes, counted in KiB.
struct Room {
    kib: Arc<Semaphore>,
    kib_max: u32,
}

/// A part of it, given back when dropped.
struct Taken {
    permit: OwnedSemaphorePermit,
}

impl Room {
    fn new(kib_max: u32) -> Self {
        Self {
            kib: Arc::new(Semaphore::new(kib_max as usize)),
            kib_max,
        }
    }

    /// Wait for so much of it, in turn. What is larger than all of it gets all of it.
    async fn take(&self, bytes: usize) -> Taken {
        let kib = kibibytes(bytes).min(self.kib_max);
        let permit = self.kib.clone().acquire_many_owned(kib).await;
        Taken {
            permit: permit.expect("it is never closed"),
        }
    }
}

impl Taken {
    /// Only so much is needed any more.
    fn shrink(&mut self, bytes: usize) {
        let held = u32::try_from(self.permit.num_permits()).unwrap_or(u32::MAX);
        let spare = held.saturating_sub(kibibytes(bytes));
        drop(self.permit.split(spare as usize));
    }
}

/// Whole ones, at least one.
fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// What is free of it, in KiB.
    fn free(room: &Room) -> usize {
        room.kib.available_permits()
    }

    #[tokio::test]
    async fn what_is_larger_than_all_the_room_gets_all_of_it_and_gives_it_back() {
        let room = Room::new(100);
        for (bytes, taken) in [
            (0, 1),
            (1, 1),
            (1024, 1),
            (1025, 2),
            (100 * 1024, 100),
            (1 << 40, 100),
            (usize::MAX, 100),
        ] {
            let held = room.take(bytes).now_or_never().expect("nobody has any of it");
            assert_eq!(free(&room), 100 - taken, "{bytes} bytes");
            drop(held);
            assert_eq!(free(&room), 100, "{bytes} bytes");
        }
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_until_others_need_less() {
        let room = Room::new(100);
        let mut large = room.take(200 * 1024).await;
        let mut next = Box::pin(room.take(40 * 1024));
        assert!((&mut next).now_or_never().is_none());
        large.shrink(61 * 1024);
        assert!((&mut next).now_or_never().is_none(), "39 of 40 are free");
        large.shrink(60 * 1024);
        let next = next.now_or_never().expect("40 are free");
        assert_eq!(free(&room), 0);
        drop((large, next));
        assert_eq!(free(&room), 100);
    }

    #[tokio::test]
    async fn nobody_needs_more_than_he_took() {
        let room = Room::new(100);
        let mut held = room.take(10 * 1024).await;
        held.shrink(50 * 1024);
        assert_eq!(free(&room), 90);
    }
}
