//! Where the task leaves an inbox the feed of a new connection. A newer one replaces what was not taken.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Feed;

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    content: Mutex<Content>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Content {
    feed: Option<Feed>,
    closed: bool,
}

impl Mailbox {
    pub(super) fn put(&self, feed: Feed) {
        // The one that it replaces is dropped after the lock.
        let _replaced = self.content().feed.replace(feed);
        self.changed.notify_one();
    }

    /// There will be no more.
    pub(super) fn close(&self) {
        self.content().closed = true;
        self.changed.notify_one();
    }

    /// The next feed; none once closed. Cancel-safe, for one waiter.
    pub(super) async fn next(&self) -> Option<Feed> {
        loop {
            match self.take() {
                Some(taken) => return taken,
                None => self.changed.notified().await,
            }
        }
    }

    /// The feed, if there is one now, or the news that there will be none.
    fn take(&self) -> Option<Option<Feed>> {
        let mut content = self.content();
        if content.closed {
            Some(None)
        } else {
            content.feed.take().map(Some)
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
