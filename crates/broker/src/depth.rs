//! How many messages are ready in the work queues, and whether "nearly empty" can be believed.
//!
//! A queue that is recovering after a restart reports 0, so one sample proves nothing.

mod quiet;

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{Backoff, Link, LinkEvent, log_connected, log_lost};
use crate::topology::DEAD;
use crate::{BrokerConfig, BrokerState, Disconnection, LinkError, Topology, WorkQueue, state};

pub use quiet::{QuietWatch, SAMPLES_MIN, Scope};

const PURPOSE: &str = "depths";

/// How many questions may wait.
const QUESTIONS_MAX: usize = 16;
/// How long the broker may take to answer one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the broker how deep queues are, through one supervised connection. Clones share it.
#[derive(Debug, Clone)]
pub struct Depths {
    questions: mpsc::Sender<Question>,
    topology: Arc<Topology>,
    state: watch::Receiver<BrokerState>,
    task: TaskTracker,
}

/// The depth is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DepthError {
    /// There is no connection, or it was lost before the answer.
    #[error("no connection to the broker")]
    Disconnected,
}

/// An answer, and the number of the connection that it came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) ready: u64,
    pub(crate) connection: u64,
}

#[derive(Debug)]
struct Question {
    queues: Vec<String>,
    answer: oneshot::Sender<Reading>,
}

impl Depths {
    /// Start the task that connects and asks, until `shutdown`.
    pub fn spawn(config: BrokerConfig, shutdown: CancellationToken) -> Self {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let (state_sender, state) = state::starting();
        let task = TaskTracker::new();
        let depths = Self {
            questions,
            topology: Arc::new(config.topology.clone()),
            state,
            task: task.clone(),
        };
        task.spawn(run(config, asked, state_sender, shutdown));
        task.close();
        depths
    }

    /// How many messages are ready in a work queue: those in delivery are not counted.
    pub async fn ready(&self, queue: WorkQueue) -> Result<u64, DepthError> {
        self.read(vec![queue.name()]).await.map(|reading| reading.ready)
    }

    /// How many messages are ready in all queues of accepted events.
    pub async fn events_total(&self) -> Result<u64, DepthError> {
        self.sample(Scope::Events).await.map(|reading| reading.ready)
    }

    /// How many dead letters there are.
    pub async fn dead(&self) -> Result<u64, DepthError> {
        self.read(vec![DEAD.into()]).await.map(|reading| reading.ready)
    }

    /// The state of the connection, now and whenever it changes.
    pub fn on_state_change(&self) -> watch::Receiver<BrokerState> {
        self.state.clone()
    }

    /// Wait until there is a connection; false if it is shut down instead.
    pub async fn connected(&self) -> bool {
        state::ready(self.state.clone()).await
    }

    /// Wait until the connection has ended for good.
    pub async fn closed(&self) {
        self.task.wait().await;
    }

    async fn sample(&self, scope: Scope) -> Result<Reading, DepthError> {
        let queues = match scope {
            Scope::Events => self.topology.events_queues(),
            Scope::Queue(queue) => vec![queue],
        };
        self.read(queues.into_iter().map(WorkQueue::name).collect()).await
    }

    async fn read(&self, queues: Vec<String>) -> Result<Reading, DepthError> {
        if self.state.borrow().is_disconnected() {
            return Err(DepthError::Disconnected);
        }
        let (answer, reading) = oneshot::channel();
        let asked = self.questions.send(Question { queues, answer }).await;
        asked.map_err(|_| DepthError::Disconnected)?;
        reading.await.map_err(|_| DepthError::Disconnected)
    }
}

async fn run(
    config: BrokerConfig,
    mut questions: mpsc::Receiver<Question>,
    state: watch::Sender<BrokerState>,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::new();
    let mut connection = 0;
    while !shutdown.is_cancelled() {
        let error = match unanswered(Link::open(&config, PURPOSE), &mut questions, &shutdown).await {
            None => break,
            Some(Err(error)) => error,
            Some(Ok(mut link)) => {
                connection += 1;
                log_connected(&link, PURPOSE);
                state.send_replace(BrokerState::Connected);
                let end = answer(&mut link, connection, &mut questions, &shutdown).await;
                backoff.after(&link);
                match end {
                    Ok(()) => {
                        link.close().await;
                        break;
                    }
                    Err(error) => error,
                }
            }
        };
        let wait = backoff.next();
        log_lost(&config, PURPOSE, &error, wait);
        let failed = Disconnection::Failed(Arc::new(error));
        state.send_replace(BrokerState::Disconnected(failed));
        unanswered(sleep(wait), &mut questions, &shutdown).await;
    }
    state.send_replace(BrokerState::Disconnected(Disconnection::ShutDown));
}

/// Wait for something while there is no connection: questions go unanswered at once. None when shut down.
async fn unanswered<T>(
    wait: impl Future<Output = T>,
    questions: &mut mpsc::Receiver<Question>,
    shutdown: &CancellationToken,
) -> Option<T> {
    tokio::pin!(wait);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            done = &mut wait => return Some(done),
            Some(question) = questions.recv() => drop(question),
        }
    }
}

/// Answer until shut down, or nobody can ask any more.
async fn answer(
    link: &mut Link,
    connection: u64,
    questions: &mut mpsc::Receiver<Question>,
    shutdown: &CancellationToken,
) -> Result<(), LinkError> {
    let channel = timeout(ANSWER_TIMEOUT, link.channel())
        .await
        .map_err(|_| LinkError::AnswerTimeout(ANSWER_TIMEOUT))??;
    loop {
        let question = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            event = link.event() => match event {
                LinkEvent::Blocked | LinkEvent::Unblocked => continue,
                LinkEvent::Lost(error) => return Err(error),
            },
            question = questions.recv() => question,
        };
        let Some(Question { queues, answer }) = question else {
            return Ok(());
        };
        let ready = timeout(ANSWER_TIMEOUT, total(&channel, &queues))
            .await
            .map_err(|_| LinkError::AnswerTimeout(ANSWER_TIMEOUT))??;
        // Whoever asked may have gone away.
        let _ = answer.send(Reading { ready, connection });
    }
}

async fn total(channel: &Channel, queues: &[String]) -> Result<u64, LinkError> {
    let mut total = 0;
    for queue in queues {
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let queue = channel
            .queue_declare(queue.as_str().into(), passive, FieldTable::default())
            .await?;
        total += u64::from(queue.message_count());
    }
    Ok(total)
}
