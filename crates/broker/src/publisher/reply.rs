//! How a publish learns how it ended: alone, or as one of a batch that is woken once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::PublishError;

type Verdict = Result<(), PublishError>;

/// Where one message's verdict goes. Dropped unresolved, it means that the connection was lost.
#[derive(Debug)]
pub(super) enum Reply {
    One(oneshot::Sender<Verdict>),
    Of(Arc<Batch>, usize),
}

/// The verdicts of a batch, sent when the last of its messages has one.
#[derive(Debug)]
pub(super) struct Batch {
    verdicts: Mutex<Vec<Verdict>>,
    done: Mutex<Option<oneshot::Sender<Vec<Verdict>>>>,
}

/// Hands out a place for each message of a batch.
pub(super) struct Results {
    batch: Arc<Batch>,
}

impl Reply {
    pub(super) fn one() -> (Self, impl Future<Output = Verdict>) {
        let (sender, receiver) = oneshot::channel();
        let verdict = async { receiver.await.unwrap_or(Err(PublishError::Disconnected)) };
        (Self::One(sender), verdict)
    }

    pub(super) fn resolve(self, verdict: Verdict) {
        match self {
            // A caller that no longer waits does not want to know.
            Self::One(sender) => {
                let _ = sender.send(verdict);
            }
            Self::Of(batch, index) => {
                let mut verdicts = batch.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
                verdicts[index] = verdict;
            }
        }
    }
}

impl Results {
    pub(super) fn new() -> (Self, impl Future<Output = Vec<Verdict>>) {
        let (sender, receiver) = oneshot::channel();
        let batch = Batch {
            verdicts: Mutex::default(),
            done: Mutex::new(Some(sender)),
        };
        let verdicts = async {
            receiver
                .await
                .expect("a batch sends its verdicts when it is dropped")
        };
        (
            Self {
                batch: Arc::new(batch),
            },
            verdicts,
        )
    }

    /// A place for the next message.
    pub(super) fn slot(&self) -> Reply {
        let mut verdicts = self.batch.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.push(Err(PublishError::Disconnected));
        Reply::Of(Arc::clone(&self.batch), verdicts.len() - 1)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let verdicts = std::mem::take(self.verdicts.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(done) = self.done.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = done.send(verdicts);
        }
    }
}
