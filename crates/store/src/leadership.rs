//! One leader for each duty among all processes, by advisory lock.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::migration::LOCK_CLASS;
use crate::store::within;
use crate::{Store, StoreError};

/// The longest wait for a sign of life of the leader's connection.
const SIGN_OF_LIFE_TIME_MAX: Duration = Duration::from_secs(5);

/// How often a leader's connection is used, whatever else its process does.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(5);
/// How long PostgreSQL keeps a lead of which it hears nothing: the process hangs. The kernel still answers for it, so that
/// keepalives find nothing.
const SILENCE_MAX: &str = "20s";

/// What only one process does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Publish what the outbox has kept.
    Relay,
    /// Re-queue overdue deliveries.
    Sweep,
    /// Make and drop partitions.
    Maintenance,
}

impl Duty {
    /// The number of its lock; 1 and 2 are taken by partitions and migrations.
    pub(crate) fn lock(self) -> i32 {
        match self {
            Self::Relay => 10,
            Self::Sweep => 11,
            Self::Maintenance => 12,
        }
    }
}

/// Being the leader of a duty. It ends when this is dropped, or when its connection, which holds the lock, is lost, as it is
/// 20 s after the process began to hang: ask [`Leadership::still_leads`] before each round.
pub struct Leadership {
    client: Arc<Client>,
    connection: JoinHandle<()>,
    duty: Duty,
}

/// Become the leader of a duty; `None` while another process is. The lock lives on a connection outside the pool.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn try_lead(store: &Store, duty: Duty) -> Result<Option<Leadership>, StoreError> {
    let connector = store.connector();
    within(async {
        let (client, connection) = connector.config.connect(connector.tls.clone()).await?;
        let client = Arc::new(client);
        let lives = signs_of_life(client.clone());
        let connection = tokio::spawn(async move {
            let ended = tokio::select! {
                ended = connection => ended,
                never = lives => match never {},
            };
            if let Err(error) = ended {
                tracing::warn!(%error, ?duty, "the leader's connection was lost");
            }
        });
        let leadership = Leadership {
            client,
            connection,
            duty,
        };
        let silence = format!("SET idle_session_timeout = '{SILENCE_MAX}'");
        leadership.client.batch_execute(&silence).await?;
        let row = leadership
            .client
            .query_one(
                "SELECT pg_try_advisory_lock($1, $2)",
                &[&LOCK_CLASS, &duty.lock()],
            )
            .await?;
        Ok(row.get::<_, bool>(0).then_some(leadership))
    })
    .await
}

/// Use the connection now and then.
async fn signs_of_life(client: Arc<Client>) -> Infallible {
    loop {
        tokio::time::sleep(SIGN_OF_LIFE_EVERY).await;
        // An error is the end of the connection, which says so itself.
        let _ = client.batch_execute("SELECT 1").await;
    }
}

impl Leadership {
    /// Whether the connection still lives, and with it the lock.
    pub async fn still_leads(&self) -> bool {
        let sign_of_life = self.client.batch_execute("SELECT 1");
        matches!(
            tokio::time::timeout(SIGN_OF_LIFE_TIME_MAX, sign_of_life).await,
            Ok(Ok(()))
        )
    }

    /// The duty.
    pub fn duty(&self) -> Duty {
        self.duty
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
