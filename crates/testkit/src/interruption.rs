//! The end that somebody outside asks for.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when somebody wants this process to end: Ctrl-C, SIGTERM or SIGHUP, which from this call on no longer end it
/// by themselves.
///
/// # Errors
/// When a signal cannot be listened to.
pub fn interrupted() -> io::Result<impl Future<Output = ()>> {
    let mut signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    Ok(async move {
        futures_util::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
    })
}
