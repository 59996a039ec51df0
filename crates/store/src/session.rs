//! One connection from the pool, in a transaction or not.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use deadpool_postgres::{Client, Object};
use tokio_postgres::Row;
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;

use crate::error::is_stale_plan;
use crate::{Cause, StoreError};

/// The longest that the server works on a statement.
pub(crate) const STATEMENT_TIME_MAX: Duration = Duration::from_secs(20);
/// The longest that we wait for an answer: beyond what the server allows itself, it is not coming.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(22);

/// A statement's parameters.
pub(crate) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A pooled connection. From [`crate::Store::session`] each statement is its own transaction; from
/// [`crate::Store::begin`] they are one, which [`Session::commit`] ends.
///
/// Dropped within a transaction or within a statement, the connection is closed, which makes PostgreSQL roll
/// back; only a clean connection returns to the pool.
pub struct Session {
    /// `None` once it has been given back.
    client: Option<Client>,
    transaction: Transaction,
    /// Statements whose answer has not been read to its end.
    unanswered: AtomicU32,
    /// A statement failed: a transaction cannot commit any more.
    failed: AtomicBool,
    /// The connection itself is not to be used again.
    broken: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
}

impl Session {
    pub(crate) fn autocommit(client: Client) -> Self {
        Self {
            client: Some(client),
            transaction: Transaction::None,
            unanswered: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    pub(crate) async fn begin(client: Client) -> Result<Self, StoreError> {
        let mut session = Self::autocommit(client);
        session.batch("BEGIN").await?;
        session.transaction = Transaction::Open;
        Ok(session)
    }

    /// Commit. Without a transaction, nothing happens.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it is not known whether it was committed. [`StoreError::Other`] when a statement
    /// of the transaction had failed: it is rolled back.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.transaction == Transaction::None {
            return Ok(());
        }
        // PostgreSQL answers COMMIT of a failed transaction with a rollback and no error.
        if self.failed.load(Ordering::Relaxed) {
            return Err(StoreError::other(
                "a statement of the transaction failed: it was rolled back",
            ));
        }
        self.batch("COMMIT").await?;
        self.transaction = Transaction::None;
        Ok(())
    }

    /// Roll back, and give the connection back to the pool: what dropping does, without the cost of a new connection.
    /// Without a transaction, nothing happens.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the connection was lost, which rolls back, too.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        if self.transaction == Transaction::Open {
            self.batch("ROLLBACK").await?;
            self.transaction = Transaction::None;
        }
        Ok(())
    }

    /// Every row of a statement, which is prepared once per connection.
    pub(crate) async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client();
        self.answer(async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, parameters).await
        })
        .await
    }

    /// The first row of a statement, if it has one.
    pub(crate) async fn query_first(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, parameters).await?.into_iter().next())
    }

    /// The row of a statement that always has one.
    pub(crate) async fn query_one(&self, sql: &str, parameters: Parameters<'_>) -> Result<Row, StoreError> {
        self.query_first(sql, parameters)
            .await?
            .ok_or_else(|| StoreError::Corrupt("a statement that always has a row had none".to_owned()))
    }

    /// How many rows a statement changed.
    pub(crate) async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, StoreError> {
        let client = self.client();
        self.answer(async {
            let statement = client.prepare_cached(sql).await?;
            client.execute(&statement, parameters).await
        })
        .await
    }

    async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.answer(self.client().batch_execute(sql)).await
    }

    fn client(&self) -> &Client {
        self.client
            .as_ref()
            .expect("the connection is given back only by drop")
    }

    /// Wait for an answer, and remember what it says about the connection. A wait that is abandoned leaves
    /// `unanswered` up, so that nobody else gets a connection that is still busy with it.
    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let result = tokio::time::timeout(ANSWER_TIME_MAX, answer).await;
        if let Ok(Ok(value)) = result {
            self.unanswered.fetch_sub(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.failed.store(true, Ordering::Relaxed);
        match result {
            Err(_) => Err(StoreError::Unavailable(Cause::new(
                "timed out waiting for an answer",
            ))),
            Ok(Err(error)) => {
                self.unanswered.fetch_sub(1, Ordering::Relaxed);
                if ends_connection(&error) {
                    self.broken.store(true, Ordering::Relaxed);
                }
                Err(error.into())
            }
            Ok(Ok(_)) => unreachable!("returned above"),
        }
    }
}

/// Whether nobody is to use the connection again: it was lost, PostgreSQL ends it (its task may not have seen that
/// yet), or its prepared statements no longer fit the schema.
fn ends_connection(error: &tokio_postgres::Error) -> bool {
    let Some(refusal) = error.as_db_error() else {
        return true;
    };
    is_stale_plan(refusal.code())
        || matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

impl Drop for Session {
    fn drop(&mut self) {
        let dirty =
            self.transaction == Transaction::Open || *self.unanswered.get_mut() > 0 || *self.broken.get_mut();
        if let Some(client) = self.client.take()
            && dirty
        {
            // Taken from the pool, then dropped: its task ends and the socket closes.
            drop(Object::take(client));
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.transaction {
            Transaction::None => "Session",
            Transaction::Open => "Session(in a transaction)",
        })
    }
}
