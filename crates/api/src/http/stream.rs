//! Server-sent events: answers that go on for as long as somebody listens.
//!
//! What is told is looked for again and again, so that a stream holds nothing but its place between two looks: no
//! database connection, no subscription that a crash could leave behind.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use async_trait::async_trait;
use bytes::Bytes;
use plumbline_domain::permission::Access;
use plumbline_domain::{Principal, Scope};
use plumbline_engine::Engine;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::caller::Credentials;
use super::connections::Connection;
use super::door::Counted;
use super::{Door, Failure};

/// Streams of one key or user at once, in this process.
const STREAMS_PER_CALLER_MAX: usize = 10;
/// Streams at once in this process: together they look into the database some hundred times a second.
const STREAMS_MAX: usize = 200;
/// The longest that a stream goes on; its reader opens another one.
const STREAM_TIME_MAX: Duration = Duration::from_secs(60 * 60);
/// How often a silent stream says that it is alive, and is asked whether its caller still may listen.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// The longest that a reader may leave a message untaken.
const TAKE_TIME_MAX: Duration = Duration::from_secs(30);
/// Messages that wait for the reader at most.
const MESSAGES_WAITING_MAX: usize = 16;
/// How long a stream waits when the database did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The streams of this process.
pub(crate) struct Streams {
    open: Mutex<HashMap<Counted, usize>>,
    /// Ends all of them.
    pub(crate) stop: CancellationToken,
}

/// A stream's place, given back when dropped.
struct Place {
    streams: web::Data<Streams>,
    of: Counted,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }
}

impl Streams {
    fn take(streams: &web::Data<Self>, of: Counted) -> Result<Place, Failure> {
        let mut open = streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        let in_all: usize = open.values().sum();
        if in_all >= STREAMS_MAX
            || open
                .get(&of)
                .is_some_and(|count| *count >= STREAMS_PER_CALLER_MAX)
        {
            return Err(Failure::RateLimited {
                what: "streams at once",
                retry_after: ALIVE_EVERY,
            });
        }
        *open.entry(of).or_default() += 1;
        Ok(Place {
            streams: streams.clone(),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.of);
            }
        }
    }
}

/// One message of a stream.
pub(crate) struct Message {
    /// What kind it is.
    pub(crate) event: &'static str,
    /// From where on a reader may go on.
    pub(crate) id: Option<String>,
    /// JSON. It may have line breaks between its tokens, as a publisher wrote it; each is told as a line feed.
    pub(crate) data: String,
}

impl Message {
    fn bytes(&self) -> Bytes {
        let mut text = format!("event: {}\n", self.event);
        if let Some(id) = &self.id {
            let _ = writeln!(text, "id: {id}");
        }
        // What ends a line ends a field: each line is one of its own, and the reader puts them together again.
        for line in self.data.replace("\r\n", "\n").split(['\n', '\r']) {
            let _ = writeln!(text, "data: {line}");
        }
        text.push('\n');
        text.into()
    }
}

/// What a look has found.
pub(crate) struct Found {
    /// To be told, in this order.
    pub(crate) messages: Vec<Message>,
    /// Whether there is more already: look again at once.
    pub(crate) is_more: bool,
}

/// Finds what is to be told.
#[async_trait]
pub(crate) trait Source: Send + 'static {
    /// What is new since the last look.
    async fn look(&mut self) -> Result<Found, plumbline_engine::Error>;
}

/// By what a reader came in, to see whether the door is still open.
struct Pass {
    engine: Engine,
    credentials: Shown,
    scope: Scope,
}

enum Shown {
    Key(String, Option<IpAddr>),
    Session(String),
}

impl Pass {
    /// Whether the caller may still read.
    async fn is_valid(&self) -> Result<bool, plumbline_engine::Error> {
        let principal = match &self.credentials {
            Shown::Key(token, source) => self.engine.authenticate(token, *source).await?,
            Shown::Session(token) => {
                let session = self.engine.open_session(token).await?;
                session.map(|session| session.principal)
            }
        };
        Ok(principal.is_some_and(|principal| principal.require(self.scope, Access::Read).is_ok()))
    }
}

/// Why a stream ends, as its reader is told.
#[derive(Clone, Copy)]
enum End {
    SignedOut,
    Shutdown,
    TooLong,
}

impl End {
    fn message(self) -> Message {
        let reason = match self {
            Self::SignedOut => "signed_out",
            Self::Shutdown => "shutdown",
            Self::TooLong => "too_long",
        };
        Message {
            event: "end",
            id: None,
            data: format!(r#"{{"reason":"{reason}"}}"#),
        }
    }
}

/// Answer with a stream of what `source` finds, which is looked for `every` so often. The caller has been let in for
/// `scope`.
pub(crate) fn stream(
    request: &HttpRequest,
    principal: &Principal,
    scope: Scope,
    source: impl Source,
    every: Duration,
) -> Result<HttpResponse, Failure> {
    let of_application = || Failure::Unexpected("the application has no streams".to_owned());
    let streams = request
        .app_data::<web::Data<Streams>>()
        .ok_or_else(of_application)?;
    let engine = request
        .app_data::<web::Data<Engine>>()
        .ok_or_else(of_application)?;
    let credentials = match Credentials::of(request)? {
        Credentials::Key(token) => Shown::Key(token.to_owned(), Door::of(request)?.source(request)),
        Credentials::Session(token) => Shown::Session(token.to_owned()),
    };
    let pass = Pass {
        engine: engine.get_ref().clone(),
        credentials,
        scope,
    };
    let place = Streams::take(streams, Counted::from(principal))?;
    // The connection is in use until the last byte of the answer, not of its head only.
    let answering = request.conn_data::<Arc<Connection>>().map(Connection::answer);
    let (to_reader, messages) = mpsc::channel::<Bytes>(MESSAGES_WAITING_MAX);
    let stop = streams.stop.clone();
    tokio::spawn(async move {
        let _place = place;
        tell(&to_reader, &pass, source, every, &stop).await;
    });
    let body = futures_util::stream::unfold((messages, answering), async |(mut messages, answering)| {
        let message = messages.recv().await?;
        Some((Ok::<_, actix_web::Error>(message), (messages, answering)))
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        // Proxies that gather an answer before they pass it on would hold back what is told.
        .insert_header((
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ))
        .streaming(body))
}

/// Tell the reader what there is, until it leaves or has to.
async fn tell(
    to_reader: &Sender<Bytes>,
    pass: &Pass,
    mut source: impl Source,
    every: Duration,
    stop: &CancellationToken,
) {
    let started = Instant::now();
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive = tokio::time::interval_at(started + ALIVE_EVERY, ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ready = Message {
        event: "ready",
        id: None,
        data: "{}".to_owned(),
    };
    if !put(to_reader, ready.bytes()).await {
        return;
    }
    loop {
        let end = tokio::select! {
            () = to_reader.closed() => return,
            () = stop.cancelled() => Some(End::Shutdown),
            () = tokio::time::sleep_until(started + STREAM_TIME_MAX) => Some(End::TooLong),
            _ = alive.tick() => {
                if !put(to_reader, Bytes::from_static(b": alive\n\n")).await {
                    return;
                }
                // While the database does not answer, nobody learns anything from it either.
                matches!(pass.is_valid().await, Ok(false)).then_some(End::SignedOut)
            }
            _ = looks.tick() => {
                match source.look().await {
                    Ok(Found { messages, is_more }) => {
                        for message in messages {
                            if !put(to_reader, message.bytes()).await {
                                return;
                            }
                        }
                        if is_more {
                            looks.reset_immediately();
                        }
                    }
                    Err(error) => {
                        tracing::debug!(error = &error as &dyn std::error::Error, "a stream could not look");
                        looks.reset_after(LOOK_AGAIN);
                    }
                }
                None
            }
        };
        if let Some(end) = end {
            put(to_reader, end.message().bytes()).await;
            return;
        }
    }
}

/// Whether the reader is still there and takes what it gets.
async fn put(to_reader: &Sender<Bytes>, bytes: Bytes) -> bool {
    to_reader.send_timeout(bytes, TAKE_TIME_MAX).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::ApiKeyId;

    fn key(number: i64) -> Counted {
        Counted::Key(ApiKeyId(number))
    }

    #[test]
    fn a_caller_has_so_many_streams_and_a_closed_one_makes_room() {
        let streams = web::Data::new(Streams::default());
        let mut places: Vec<Place> = (0..STREAMS_PER_CALLER_MAX)
            .map(|_| Streams::take(&streams, key(1)).expect("there is room"))
            .collect();
        assert!(matches!(
            Streams::take(&streams, key(1)),
            Err(Failure::RateLimited { .. })
        ));
        let others = Streams::take(&streams, key(2)).expect("others have their own");
        places.pop();
        places.push(Streams::take(&streams, key(1)).expect("there is room again"));
        drop((places, others));
        assert!(streams.open.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn a_message_is_lines_and_an_empty_one() {
        let message = Message {
            event: "event",
            id: Some("evt_1".to_owned()),
            data: r#"{"a":"b\n"}"#.to_owned(),
        };
        assert_eq!(
            message.bytes(),
            "event: event\nid: evt_1\ndata: {\"a\":\"b\\n\"}\n\n"
        );
        assert_eq!(
            End::SignedOut.message().bytes(),
            "event: end\ndata: {\"reason\":\"signed_out\"}\n\n"
        );

        let written = Message {
            event: "event",
            id: None,
            data: "{\n \"a\":\r\n1}".to_owned(),
        };
        assert_eq!(
            written.bytes(),
            "event: event\ndata: {\ndata:  \"a\":\ndata: 1}\n\n"
        );
    }
}
