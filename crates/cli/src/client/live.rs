//! A stream of the API's that goes on: it reconnects by itself, and says so.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use plumbline_runtime::backoff::Backoff;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::sse::{Message, Reader};
use super::{Client, ClientError, Query, words};

/// The first wait before a new connection, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A stream that says nothing for this long is dead: it should speak every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The longest that the answer's head may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Happenings that wait for who reads them; beyond that the connection waits.
const WAITING_MAX: usize = 64;

/// What happens on a stream.
#[derive(Debug)]
pub(crate) enum Happening {
    /// It is connected, for the first time or again.
    Connected,
    /// It says something.
    Message(Message),
    /// The connection is lost; another one is tried after the wait.
    Lost {
        /// What happened.
        why: String,
        /// How long until then.
        wait: Duration,
    },
    /// It ended for good.
    Failed(ClientError),
}

/// A stream. Dropped, it ends.
pub(crate) struct Live {
    happenings: mpsc::Receiver<Happening>,
    task: JoinHandle<()>,
}

impl Live {
    /// Open the stream at a path below `/api/v1/`. What does not work at the first try is a failure, unless it may pass;
    /// after that only what cannot pass is.
    pub(crate) fn open(client: Client, path: &'static str, query: Query) -> Self {
        let (sender, happenings) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(async move {
            let mut stream = Stream {
                client,
                path,
                query,
                last_id: None,
                backoff: Backoff::new(WAITS.0, WAITS.1),
                was_connected: false,
                sender,
            };
            if let Err(Ended::Failed(error)) = stream.run().await {
                // Who does not read any more does not want to know.
                let _ = stream.sender.send(Happening::Failed(error)).await;
            }
        });
        Self { happenings, task }
    }

    /// The next happening. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Happening {
        match self.happenings.recv().await {
            Some(happening) => happening,
            // A failure was the last one: there is nothing more to come.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why nothing more comes.
enum Ended {
    /// Nobody reads.
    Unread,
    /// It cannot go on.
    Failed(ClientError),
}

struct Stream {
    client: Client,
    path: &'static str,
    query: Query,
    last_id: Option<String>,
    backoff: Backoff,
    was_connected: bool,
    sender: mpsc::Sender<Happening>,
}

impl Stream {
    async fn run(&mut self) -> Result<(), Ended> {
        loop {
            let why = match self.connect().await {
                Ok(body) => self.follow(body).await?,
                Err(error) if self.was_connected && error.is_passing() => error.to_string(),
                Err(error) => return Err(Ended::Failed(error)),
            };
            let wait = self.backoff.next();
            self.tell(Happening::Lost { why, wait }).await?;
            sleep(wait).await;
        }
    }

    async fn connect(&self) -> Result<Incoming, ClientError> {
        let mut headers = vec![];
        let last = self.last_id.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(last)) = last {
            headers.push(("last-event-id", last));
        }
        let path = self.query.after(self.path);
        let asking = self.client.ask(Method::GET, &path, Bytes::new(), &headers);
        let response = timeout(ANSWER_TIMEOUT, asking).await.unwrap_or_else(|_| {
            Err(self
                .client
                .unreachable(format!("no answer within {ANSWER_TIMEOUT:?}")))
        })?;
        Ok(response.into_body())
    }

    /// Read until it ends: why it did.
    async fn follow(&mut self, mut body: Incoming) -> Result<String, Ended> {
        let mut reader = Reader::default();
        loop {
            let frame = match timeout(SILENCE_MAX, body.frame()).await {
                Err(_) => return Ok(format!("it said nothing for {SILENCE_MAX:?}")),
                Ok(None) => return Ok("the connection was closed".to_owned()),
                Ok(Some(Err(error))) => return Ok(words(&error)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            let messages = reader
                .push(&piece)
                .map_err(|_| Ended::Failed(ClientError::Unreadable("a message has no end".to_owned())))?;
            for message in messages {
                match message.event.as_str() {
                    "ready" => {
                        self.was_connected = true;
                        self.backoff.reset();
                        self.tell(Happening::Connected).await?;
                    }
                    "end" => match reason(&message.data).as_str() {
                        "signed_out" => return Err(Ended::Failed(ClientError::SignedOut)),
                        "too_long" => return Ok("it was open for as long as one may be".to_owned()),
                        "shutdown" => return Ok("the API stops".to_owned()),
                        reason => return Ok(format!("the API ended it: {reason}")),
                    },
                    _ => {
                        self.last_id.clone_from(&message.id);
                        self.tell(Happening::Message(message)).await?;
                    }
                }
            }
        }
    }

    async fn tell(&self, happening: Happening) -> Result<(), Ended> {
        self.sender.send(happening).await.map_err(|_| Ended::Unread)
    }
}

fn reason(data: &str) -> String {
    #[derive(Deserialize)]
    struct End {
        reason: String,
    }
    serde_json::from_str(data).map_or_else(|_| "it did not say why".to_owned(), |end: End| end.reason)
}
