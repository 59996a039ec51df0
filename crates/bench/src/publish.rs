//! The host application's side: publishes events over kept connections, in a closed or an open loop.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use plumbline_testkit::Api;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::journal::Journal;
use crate::schedule::{self, Schedule};
use crate::wire::Messages;

/// An API that does not answer for so long has failed.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Events in one batch: as many as the API takes.
pub(crate) const BATCH: usize = 1_000;

/// Who publishes, and what.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    api: SocketAddr,
    key: String,
    /// The type of each event; event *n* has the one at *n* modulo their number.
    types: Vec<String>,
    /// Size of each event's data.
    bytes: usize,
    journal: Arc<Journal>,
}

impl Publisher {
    /// A tenant's publisher of `bid.accepted` with 300 bytes of data.
    pub(crate) fn new(api: SocketAddr, tenant: &Api, journal: Arc<Journal>) -> Self {
        Self {
            api,
            key: tenant.key().to_owned(),
            types: vec!["bid.accepted".to_owned()],
            bytes: 300,
            journal,
        }
    }

    /// With so many bytes of data in each event.
    pub(crate) fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// With events of these types in turn.
    pub(crate) fn types(mut self, types: &[&str]) -> Self {
        self.types = types.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Publish events over so many connections, each of which waits for its answer.
    pub(crate) async fn closed(&self, numbers: Range<usize>, connections: usize) -> Result<(), Failure> {
        let next = Arc::new(AtomicUsize::new(numbers.start));
        let connection = || async {
            let mut connection = self.connect().await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok::<_, Failure>(());
                }
                self.journal.note_due(number, self.journal.clock().now());
                self.publish(&mut connection, number).await?;
            }
        };
        self.on_tasks(connections, &connection).await
    }

    /// Publish one event after the other on one connection, with a pause before each.
    pub(crate) async fn spaced(&self, numbers: Range<usize>, pause: Duration) -> Result<(), Failure> {
        let mut connection = self.connect().await?;
        for number in numbers {
            tokio::time::sleep(pause).await;
            self.journal.note_due(number, self.journal.clock().now());
            self.publish(&mut connection, number).await?;
        }
        Ok(())
    }

    /// Publish batches over so many connections, each of which waits for its answer.
    pub(crate) async fn batches(&self, numbers: Range<usize>, connections: usize) -> Result<(), Failure> {
        let next = Arc::new(AtomicUsize::new(numbers.start));
        let connection = || async {
            let mut connection = self.connect().await?;
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= numbers.end {
                    return Ok::<_, Failure>(());
                }
                let batch = first..numbers.end.min(first + BATCH);
                let due = self.journal.clock().now();
                let mut body = Vec::with_capacity(batch.len() * (self.bytes + 64));
                body.extend_from_slice(b"{\"events\":[");
                for number in batch.clone() {
                    self.journal.note_due(number, due);
                    if number > batch.start {
                        body.push(b',');
                    }
                    self.event(number, &mut body);
                }
                body.extend_from_slice(b"]}");
                self.send(&mut connection, &body).await?;
                batch.for_each(|number| self.journal.note_accepted(number));
            }
        };
        self.on_tasks(connections, &connection).await
    }

    /// Publish events at their times, whatever the answers, over at most so many connections. An event that finds none
    /// free waits, and that counts as its latency. Returns the numbers that were sent: all, unless told to stop.
    pub(crate) async fn open(
        &self,
        numbers: Range<usize>,
        rate: u32,
        connections: usize,
        stop: Arc<AtomicBool>,
    ) -> Result<Range<usize>, Failure> {
        let first = numbers.start;
        // Connected before the first event is due.
        let connected = try_join_all((0..connections).map(|_| self.connect())).await?;
        let ticks = schedule::run(
            Schedule::per_second(rate),
            numbers.len(),
            self.journal.clock(),
            stop,
        );
        let ticks = Arc::new(Mutex::new(ticks));
        let mut tasks = vec![];
        for mut connection in connected {
            let (ticks, publisher) = (ticks.clone(), self.clone());
            tasks.push(tokio::spawn(async move {
                let mut end = first;
                loop {
                    let Some(tick) = ticks.lock().await.recv().await else {
                        return Ok::<_, Failure>(end);
                    };
                    let number = first + tick.index;
                    publisher.journal.note_due(number, tick.due);
                    publisher.publish(&mut connection, number).await?;
                    end = end.max(number + 1);
                }
            }));
        }
        let mut end = first;
        for task in tasks {
            end = end.max(task.await??);
        }
        Ok(first..end)
    }

    async fn on_tasks<F>(&self, count: usize, connection: &impl Fn() -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        try_join_all((0..count).map(|_| connection())).await?;
        Ok(())
    }

    async fn connect(&self) -> io::Result<Messages<TcpStream>> {
        let stream = TcpStream::connect(self.api).await?;
        stream.set_nodelay(true)?;
        Ok(Messages::new(stream))
    }

    async fn publish(&self, connection: &mut Messages<TcpStream>, number: usize) -> Result<(), Failure> {
        let mut body = Vec::with_capacity(self.bytes + 64);
        self.event(number, &mut body);
        self.journal.note_sent(number);
        self.send(connection, &body).await?;
        self.journal.note_accepted(number);
        Ok(())
    }

    async fn send(&self, connection: &mut Messages<TcpStream>, body: &[u8]) -> Result<(), Failure> {
        let mut request = Vec::with_capacity(body.len() + 256);
        let head = format!(
            "POST /api/v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.api,
            self.key,
            body.len()
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body);
        connection.stream().write_all(&request).await?;
        let answer = timeout(ANSWER_PATIENCE, connection.next())
            .await
            .map_err(|_| Failure::new(format!("the API has not answered for {ANSWER_PATIENCE:?}")))??
            .ok_or_else(|| Failure::new("the API closed a connection"))?;
        match answer.status() {
            Some(202) => Ok(()),
            status => Err(Failure::new(format!(
                "publishing was answered {status:?}: {}",
                String::from_utf8_lossy(answer.body)
            ))),
        }
    }

    /// One event as JSON, its data exactly as long as asked for.
    fn event(&self, number: usize, body: &mut Vec<u8>) {
        let event_type = &self.types[number % self.types.len()];
        let data = format!("{{\"number\":{number},\"filling\":\"");
        body.extend_from_slice(format!("{{\"type\":\"{event_type}\",\"data\":{data}").as_bytes());
        let filling = self.bytes.saturating_sub(data.len() + 2);
        body.resize(body.len() + filling, b'x');
        body.extend_from_slice(b"\"}}");
    }
}
