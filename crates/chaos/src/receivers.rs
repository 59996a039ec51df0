//! The customers' receivers: steady, slow, flaky, hanging, forgetful and hopeless ones.
//!
//! A receiver that has taken a delivery takes it again: it knows what it has.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use plumbline_testkit::signature;
use plumbline_testkit::{Received, Receiver, Reply};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::books::Reaction;
use crate::event;
use crate::journal::{Door, Journal, Request, moment};
use crate::reconcile::Violation;

/// A slow one takes up to this long, in milliseconds: longer than an attempt is kept in memory only.
const SLOW_MS: std::ops::Range<u64> = 200..1_500;
/// A steady one takes up to this long, in milliseconds.
const STEADY_MS: std::ops::Range<u64> = 0..20;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Takes everything at once.
    Steady,
    /// Takes everything after a while.
    Slow,
    /// Refuses now and then, for a moment.
    Flaky,
    /// Does not answer now and then.
    Hanging,
    /// Takes everything, and loses its answer now and then.
    Forgetful,
    /// Fails always.
    Hopeless,
    /// Refuses for good.
    Closed,
}

impl Behaviour {
    /// Whether it takes everything in the end, as long as the schedule has attempts.
    pub(crate) fn takes_all(self) -> bool {
        matches!(self, Self::Steady | Self::Slow | Self::Forgetful)
    }

    /// What it does with a delivery that it does not have.
    fn reaction(self, random: &mut StdRng) -> Reaction {
        let steadily = Reaction::Takes {
            after_ms: random.random_range(STEADY_MS),
        };
        let chance = random.random_range(0..100);
        match self {
            Self::Slow => Reaction::Takes {
                after_ms: random.random_range(SLOW_MS),
            },
            Self::Flaky if chance < 30 => Reaction::Refuses([500, 502, 503, 429, 408][chance % 5]),
            Self::Hanging if chance < 8 => Reaction::Hangs,
            Self::Forgetful if chance < 15 => Reaction::TakesSilently,
            Self::Hopeless => Reaction::Refuses(500),
            Self::Closed => Reaction::Refuses(404),
            Self::Steady | Self::Flaky | Self::Hanging | Self::Forgetful => steadily,
        }
    }
}

/// All receivers. Those that hang do not share a port with those that do not.
#[derive(Debug)]
pub(crate) struct Receivers {
    steady: Receiver,
    unsteady: Receiver,
    house: Arc<House>,
}

/// What they share.
#[derive(Debug)]
struct House {
    journal: Arc<Journal>,
    doors: Mutex<HashMap<Door, Occupant>>,
    next_door: AtomicU32,
    /// How wrong their clock is, in seconds.
    clock_off: AtomicI64,
    random: Mutex<StdRng>,
    taken: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Occupant {
    behaviour: Behaviour,
    /// Known once its creation is answered.
    secret: Option<String>,
}

impl Receivers {
    pub(crate) async fn start(seed: u64, journal: Arc<Journal>) -> Self {
        let house = Arc::new(House {
            journal,
            doors: Mutex::default(),
            next_door: AtomicU32::new(1),
            clock_off: AtomicI64::new(0),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            taken: Mutex::default(),
        });
        let receivers = Self {
            steady: Receiver::start().await,
            unsteady: Receiver::start().await,
            house,
        };
        for receiver in [&receivers.steady, &receivers.unsteady] {
            let house = receivers.house.clone();
            receiver.judge(move |request| house.judge(request));
        }
        receivers
    }

    /// A door for an endpoint to be made, and its URL.
    pub(crate) fn door(&self, behaviour: Behaviour) -> (Door, String) {
        let door = self.house.next_door.fetch_add(1, Ordering::Relaxed);
        let occupant = Occupant {
            behaviour,
            secret: None,
        };
        lock(&self.house.doors).insert(door, occupant);
        let receiver = if behaviour == Behaviour::Steady {
            &self.steady
        } else {
            &self.unsteady
        };
        (door, receiver.url(&format!("/{door}")))
    }

    /// From now on, signatures at this door are verified.
    pub(crate) fn secret(&self, door: Door, secret: String) {
        if let Some(occupant) = lock(&self.house.doors).get_mut(&door) {
            occupant.secret = Some(secret);
        }
    }

    /// Put their clock forward by this many seconds.
    pub(crate) fn set_clock_off(&self, seconds: i64) {
        self.house.clock_off.store(seconds, Ordering::Relaxed);
    }

    /// Close the ports and break all connections.
    pub(crate) fn go_down(&self) {
        self.steady.go_down();
        self.unsteady.go_down();
    }

    /// Listen again.
    pub(crate) async fn come_back(&self) {
        self.steady.come_back().await;
        self.unsteady.come_back().await;
    }
}

impl House {
    fn judge(&self, request: &Received) -> Reply {
        let Some((door, behaviour, secret)) = self.occupant(request) else {
            return Reply::status(404);
        };
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        let (delivery, signature) = (header("BuildWorkPro-Delivery-Id"), header(signature::HEADER));
        let mark = event::mark_in(&request.body).unwrap_or_default();
        let off = self.clock_off.load(Ordering::Relaxed);
        let clock = moment(request.wall).0 / 1_000;
        let believed = match &secret {
            Some(secret) => {
                let now = clock.saturating_add_signed(off);
                signature::verify(secret, &signature, &request.body, now).map(|_| ())
            }
            None => Ok(()),
        };
        let reaction = match believed {
            Ok(()) => {
                self.check(request, &mark);
                self.reaction(behaviour, &delivery)
            }
            // By its clock, the signature is too old or from the future.
            Err(signature::Invalid::Stale) if off != 0 => Reaction::Refuses(503),
            Err(invalid) => {
                self.complain(door, format!("{delivery}: {invalid}"));
                Reaction::Refuses(503)
            }
        };
        self.journal.request(Request {
            door,
            delivery,
            event: header("BuildWorkPro-Event-Id"),
            mark,
            signature,
            at: moment(request.wall),
            reaction,
        });
        let date = http_date(UNIX_EPOCH + Duration::from_secs(clock.saturating_add_signed(off)));
        match reaction {
            Reaction::Takes { after_ms } => Reply::status(200)
                .header("Date", &date)
                .after(Duration::from_millis(after_ms)),
            Reaction::TakesSilently => Reply::Reset,
            Reaction::Refuses(429) => Reply::status(429)
                .header("Retry-After", "1")
                .header("Date", &date),
            Reaction::Refuses(status) => Reply::status(status).header("Date", &date),
            Reaction::Hangs => Reply::Hang,
        }
    }

    fn occupant(&self, request: &Received) -> Option<(Door, Behaviour, Option<String>)> {
        let door = request.path.strip_prefix('/')?.parse().ok()?;
        let doors = lock(&self.doors);
        let occupant = doors.get(&door)?;
        Some((door, occupant.behaviour, occupant.secret.clone()))
    }

    /// What was published is what arrives, byte for byte.
    fn check(&self, request: &Received, mark: &str) {
        let data = event::data(mark);
        let is_whole = request
            .body
            .windows(data.len())
            .any(|window| window == data.as_bytes());
        if mark.is_empty() || !is_whole {
            let door = request.path.trim_start_matches('/').parse().unwrap_or_default();
            let body = String::from_utf8_lossy(&request.body);
            self.complain(door, format!("its data is not {data}: {body}"));
        }
    }

    fn reaction(&self, behaviour: Behaviour, delivery: &str) -> Reaction {
        let mut taken = lock(&self.taken);
        if taken.contains(delivery) {
            return Reaction::Takes { after_ms: 0 };
        }
        let reaction = behaviour.reaction(&mut lock(&self.random));
        if reaction.took() {
            taken.insert(delivery.to_owned());
        }
        reaction
    }

    fn complain(&self, door: Door, why: String) {
        self.journal.violation(Violation::Forged { door, why });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time as HTTP writes it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(time: std::time::SystemTime) -> String {
    httpdate::fmt_http_date(time)
}
