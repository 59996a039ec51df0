//! Waiting for the database's notifications, on a connection of its own.

use std::future::poll_fn;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio_postgres::{AsyncMessage, Client};

use crate::store::within;
use crate::{Cause, Store, StoreError};

/// The channel on which unsent outbox rows are announced.
pub(crate) const CHANNEL: &str = "plumbline_outbox";

type Messages = BoxStream<'static, Result<AsyncMessage, tokio_postgres::Error>>;

/// A listener to the outbox's channel. It has no task: the connection moves on while [`Notifications::recv`] is
/// awaited, and closes when this is dropped.
pub struct Notifications {
    messages: Messages,
    /// Keeps the connection open.
    _client: Client,
}

impl Notifications {
    /// Connect, and listen.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connect(store: &Store) -> Result<Self, StoreError> {
        let connector = store.connector();
        within(async {
            let (client, mut connection) = connector.config.connect(connector.tls.clone()).await?;
            let mut messages: Messages =
                futures_util::stream::poll_fn(move |context| connection.poll_message(context)).boxed();
            {
                let listen = format!("LISTEN {CHANNEL}");
                let mut answered = std::pin::pin!(client.batch_execute(&listen));
                // The answer arrives only while somebody reads from the connection.
                poll_fn(|context: &mut Context<'_>| {
                    while let Poll::Ready(message) = messages.poll_next_unpin(context) {
                        match message {
                            Some(Ok(_)) => {}
                            Some(Err(error)) => return Poll::Ready(Err(StoreError::from(error))),
                            None => return Poll::Ready(Err(closed())),
                        }
                    }
                    answered.as_mut().poll(context).map_err(StoreError::from)
                })
                .await?;
            }
            Ok(Self {
                messages,
                _client: client,
            })
        })
        .await
    }

    /// Wait until there is news. Several notifications may be told as one; none that arrives after
    /// [`Notifications::connect`] is missed while this returns `Ok`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is lost: connect again, and look for what was missed.
    pub async fn recv(&mut self) -> Result<(), StoreError> {
        loop {
            if is_news(self.messages.next().await)? {
                break;
            }
        }
        // What has arrived meanwhile is the same news: a thousand host transactions are one look at the outbox.
        while let Some(message) = self.messages.next().now_or_never() {
            is_news(message)?;
        }
        Ok(())
    }
}

fn is_news(message: Option<Result<AsyncMessage, tokio_postgres::Error>>) -> Result<bool, StoreError> {
    match message {
        Some(Ok(message)) => Ok(matches!(message, AsyncMessage::Notification(_))),
        Some(Err(error)) => Err(error.into()),
        None => Err(closed()),
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable(Cause::new("the listener's connection was closed"))
}
