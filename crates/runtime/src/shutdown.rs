//! How a process is asked to stop, and how its parts find out.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Exit code after a second signal: the operator did not want to wait for the drain.
const EXIT_IMPATIENT: i32 = 130;

/// A request to stop that many tasks can wait for. Clones share one request, which is never withdrawn.
#[derive(Clone, Debug)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Stop on SIGTERM or SIGINT. A second signal of either kind ends the process at once with code 130.
    ///
    /// Must be called inside a Tokio runtime. The task that listens lives as long as the process, because
    /// the second signal has to be heard during the drain.
    ///
    /// # Panics
    /// When the operating system refuses a signal handler, which it does only for signals that cannot be
    /// handled.
    pub fn on_signals() -> Self {
        Self::after_signals(
            |name| info!("{name} received: draining; a second signal ends the process at once"),
            |name| warn!("{name} received while draining: ending now"),
        )
    }

    /// As [`on_signals`](Self::on_signals), without a word: for a command that a person stops with Ctrl-C.
    ///
    /// # Panics
    /// As it does.
    pub fn on_interrupt() -> Self {
        Self::after_signals(|_| {}, |_| {})
    }

    fn after_signals(first: fn(&str), second: fn(&str)) -> Self {
        let shutdown = Self::manual();
        let mut terminate = listen(SignalKind::terminate());
        let mut interrupt = listen(SignalKind::interrupt());
        let token = shutdown.token();

        tokio::spawn(async move {
            first(next(&mut terminate, &mut interrupt).await);
            token.cancel();

            second(next(&mut terminate, &mut interrupt).await);
            process::exit(EXIT_IMPATIENT);
        });
        shutdown
    }

    /// Stop only when [`trigger`](Self::trigger) is called.
    pub fn manual() -> Self {
        Self {
            token: CancellationToken::new(),
        }
    }

    /// Request the stop. Further calls do nothing.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Wait until a stop is requested; returns at once if it already was. Safe to cancel.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The token underneath, for what speaks `tokio_util`. Cancelling it requests the stop.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

fn listen(kind: SignalKind) -> Signal {
    signal(kind).expect("SIGTERM and SIGINT can be handled, and we are inside a Tokio runtime")
}

/// Wait for either signal and say which it was.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_request() {
        let shutdown = Shutdown::manual();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.is_requested());

        shutdown.clone().trigger();

        waiting.await.expect("the waiting task ends");
        assert!(shutdown.is_requested());
        assert!(shutdown.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_request_already_made_is_heard_at_once() {
        let shutdown = Shutdown::manual();
        shutdown.trigger();
        shutdown.requested().await;
    }
}
