//! A real system per test: real binaries, a database and a virtual host of its own, receivers that misbehave on
//! request, and faults between all of them.
//!
//! For tests only, and it says what is wrong by panicking: a test has nobody else to tell.

pub mod api;
pub mod dns;
pub mod http;
mod interruption;
pub mod ledger;
pub mod ports;
pub mod proxy;
pub mod receiver;
pub mod signature;
pub mod stack;

use std::time::Duration;

use tokio::time::{Instant, sleep};

pub use api::{Api, Endpoint};
pub use dns::FakeDns;
pub use interruption::interrupted;
pub use ledger::Ledger;
pub use proxy::FaultProxy;
pub use receiver::{Gate, Received, Receiver, Reply};
pub use stack::{Process, Stack};

/// How long anything may take before a test gives up: not a promise of speed, only the end of a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a state that sends no signal is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Look until `look` finds what it looks for.
///
/// # Panics
/// After [`PATIENCE`], naming what was awaited.
pub async fn eventually<T>(awaited: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, awaited, look).await
}

/// As [`eventually`], with another patience.
///
/// # Panics
/// When it runs out.
pub async fn within<T>(patience: Duration, awaited: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain for {awaited}"
        );
        sleep(LOOK_EVERY).await;
    }
}
