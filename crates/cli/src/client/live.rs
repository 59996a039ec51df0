//! A stream of the API's that goes on: it reconnects by itself, and says so.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{DATE, HeaderMap, HeaderValue};
use plumbline_domain::{EventId, Timestamp};
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

/// Where a stream goes on that lost its connection before it told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Where it began: its messages are events, which are in order of their ids, and these of their times.
    Event,
    /// Anew.
    Anew,
}

/// A stream. Dropped, it ends.
pub(crate) struct Live {
    happenings: mpsc::Receiver<Happening>,
    task: JoinHandle<()>,
}

impl Live {
    /// Open the stream at a path below `/api/v1/`. What does not work at the first try is a failure, unless it may pass;
    /// after that only what cannot pass is.
    pub(crate) fn open(client: Client, path: &'static str, query: Query, start: Start) -> Self {
        let (sender, happenings) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(async move {
            let mut stream = Stream {
                client,
                path,
                query,
                start,
                began: None,
                last_id: None,
                backoff: Backoff::new(WAITS.0, WAITS.1),
                was_connected: false,
                is_resumed: false,
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
    start: Start,
    /// The id that an event would have had when the stream began.
    began: Option<EventId>,
    last_id: Option<String>,
    backoff: Backoff,
    was_connected: bool,
    is_resumed: bool,
    sender: mpsc::Sender<Happening>,
}

impl Stream {
    async fn run(&mut self) -> Result<(), Ended> {
        loop {
            let why = match self.connect().await {
                Ok(body) => self.follow(body).await?,
                Err(error) if self.was_connected && error.is_passing() => error.why(),
                Err(error) => return Err(Ended::Failed(error)),
            };
            let wait = self.backoff.next();
            self.is_resumed = self.was_connected;
            self.tell(Happening::Lost { why, wait }).await?;
            sleep(wait).await;
        }
    }

    async fn connect(&mut self) -> Result<Incoming, ClientError> {
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
        if self.start == Start::Event && self.began.is_none() {
            // By the service's clock: ours may be another one.
            self.began = first_id(response.headers());
            self.last_id = self.began.map(|id| id.to_string());
        }
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
                        if self.is_from_before(&message) {
                            continue;
                        }
                        if message.id.is_some() {
                            self.last_id.clone_from(&message.id);
                        }
                        self.tell(Happening::Message(message)).await?;
                    }
                }
            }
        }
    }

    /// Whether a message is of an event from before the stream began. A stream that goes on tells again what came shortly
    /// before the last event, and so what nobody asked for, if that was one of the first.
    fn is_from_before(&self, message: &Message) -> bool {
        let id = message.id.as_deref().and_then(|id| id.parse::<EventId>().ok());
        self.is_resumed && id.zip(self.began).is_some_and(|(id, began)| id < began)
    }

    async fn tell(&self, happening: Happening) -> Result<(), Ended> {
        self.sender.send(happening).await.map_err(|_| Ended::Unread)
    }
}

/// The id that an event would have had when this answer was given; none that there is.
fn first_id(headers: &HeaderMap) -> Option<EventId> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = httpdate::parse_http_date(date).ok()?;
    let date = Timestamp::try_from(date).ok()?;
    Some(EventId::new(date, [0; 10]))
}

fn reason(data: &str) -> String {
    #[derive(Deserialize)]
    struct End {
        reason: String,
    }
    serde_json::from_str(data).map_or_else(|_| "it did not say why".to_owned(), |end: End| end.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Access;
    use plumbline_runtime::config::Sensitive;
    use plumbline_testkit::{Receiver, Reply};

    const PATH: &str = "/api/v1/events/stream";

    /// An answer that streams this, and then breaks off.
    fn streaming(text: &str) -> Reply {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\
            date: Sat, 25 Apr 2026 17:42:01 GMT\r\n\r\n";
        Reply::Raw(format!("{head}{text}").into())
    }

    fn live(url: String) -> Live {
        plumbline_runtime::rustls_provider::install();
        let client = Client::new(&Access {
            url: Some(url),
            api_key: Some(Sensitive::new("plk_test_x")),
        });
        Live::open(
            client.expect("a client"),
            "events/stream",
            Query::default(),
            Start::Event,
        )
    }

    async fn told(live: &mut Live) -> String {
        match live.next().await {
            Happening::Connected => "connected".to_owned(),
            Happening::Message(message) => message.data,
            Happening::Lost { why, .. } => format!("lost: {why}"),
            Happening::Failed(error) => format!("failed: {error}"),
        }
    }

    /// The id of an event of that time.
    fn id(time: &str) -> String {
        EventId::new(time.parse().expect("a time"), [0; 10]).to_string()
    }

    #[tokio::test]
    async fn it_goes_on_after_the_last_message_until_the_key_is_gone() {
        let api = Receiver::start().await;
        let (before, began) = (id("2026-04-25T17:42:00Z"), id("2026-04-25T17:42:01Z"));
        let (one, two) = (id("2026-04-25T17:42:02Z"), id("2026-04-25T17:42:03Z"));
        let ready = "event: ready\ndata: {}\n\n";
        api.script(
            PATH,
            [
                streaming(ready),
                streaming(&format!(
                    "{ready}id: {before}\ndata: nobody asked\n\nid: {one}\ndata: one\n\n: here\n\nid: {two}\ndata: tw"
                )),
                Reply::status(502),
                streaming(&format!(
                    "{ready}id: {two}\ndata: two\n\nevent: end\ndata: {{\"reason\":\"shutdown\"}}\n\n"
                )),
                streaming(&format!(
                    "{ready}event: end\ndata: {{\"reason\":\"signed_out\"}}\n\n"
                )),
            ],
        );
        let mut live = live(api.url(""));
        for expected in [
            "connected",
            "lost: the connection was closed",
            "connected",
            "one",
            "lost: ",
            "lost: ",
            "connected",
            "two",
            "lost: the API stops",
            "connected",
            "failed: the API ended the stream, because the API key is no longer valid",
        ] {
            let told = told(&mut live).await;
            assert!(told.starts_with(expected), "{told}, not {expected}");
        }
        let asked = api.requests_on(PATH);
        let after: Vec<_> = asked
            .iter()
            .map(|request| request.header("last-event-id"))
            .collect();
        assert_eq!(
            after,
            [None, Some(&*began), Some(&*one), Some(&*one), Some(&*two)]
        );
        let is_ours =
            |request: &plumbline_testkit::Received| request.the("authorization") == "Bearer plk_test_x";
        assert!(asked.iter().all(is_ours));
    }

    #[tokio::test]
    async fn what_does_not_work_at_first_is_said_at_once() {
        let api = Receiver::start().await;
        let problem = r#"{"detail":"the API key lacks the scope `events:read`","code":"scope_insufficient"}"#;
        api.always_on(PATH, Reply::status(403).body(problem));
        let told_of_scope = told(&mut live(api.url(""))).await;
        assert!(
            told_of_scope.contains("`events:read`; use a key that has it"),
            "{told_of_scope}"
        );
        api.go_down();
        let told_of_nobody = told(&mut live(api.url(""))).await;
        assert!(told_of_nobody.contains("cannot be reached"), "{told_of_nobody}");
    }
}
