//! Whether a connection to the broker is of use, and if not, why.

use std::sync::Arc;

use tokio::sync::watch;

use crate::LinkError;

/// The state of one supervised connection.
#[derive(Debug, Clone)]
pub enum BrokerState {
    /// It works.
    Connected,
    /// It is up, but the broker accepts no messages from it, for lack of memory or disk.
    Blocked,
    /// There is none. It is being made, unless it was shut down.
    Disconnected(Disconnection),
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Disconnection {
    /// There has not been one yet.
    #[error("not connected yet")]
    Starting,
    /// It could not be made, or it was lost.
    #[error("connection failed")]
    Failed(#[source] Arc<LinkError>),
    /// It was shut down.
    #[error("shut down")]
    ShutDown,
}

impl BrokerState {
    /// Connected and not blocked.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Connected)
    }

    /// Neither connected nor blocked.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Disconnected(_))
    }
}

/// The state of a task that has not started yet.
pub(crate) fn starting() -> (watch::Sender<BrokerState>, watch::Receiver<BrokerState>) {
    watch::channel(BrokerState::Disconnected(Disconnection::Starting))
}

/// Return once the connection is ready; false if it never will be again.
pub(crate) async fn ready(mut state: watch::Receiver<BrokerState>) -> bool {
    let ended = |state: &BrokerState| matches!(state, BrokerState::Disconnected(Disconnection::ShutDown));
    match state.wait_for(|state| state.is_ready() || ended(state)).await {
        Ok(state) => state.is_ready(),
        Err(_) => false,
    }
}
