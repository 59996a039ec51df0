//! Bringing the schema up to date.

use std::time::Duration;

use refinery::Target;
use refinery::error::Kind;

use crate::store::{Connector, within};
use crate::{Cause, StoreError};

#[allow(missing_docs, unreachable_pub)]
mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// Advisory locks of this project have one class, and a number each; partitions use 1 (see the migrations).
pub(crate) const LOCK_CLASS: i32 = 7_014_412;
/// The lock of whoever migrates.
const MIGRATION_LOCK: i32 = 2;

/// How long a migration waits for a table at a time: whoever wants the table next waits behind it, a dispatcher that
/// records, for example, while a backup is being read.
const LOCK_PATIENCE: &str = "1s";
/// How long the others have the table before the migration asks for it again.
const LOCK_PAUSE: Duration = Duration::from_secs(3);
/// `lock_not_available` and `deadlock_detected`: the migration was rolled back, and may be tried again.
const IN_THE_WAY: [&str; 2] = ["55P03", "40P01"];

/// The migrations that this program brings: version and name, in their order.
pub(crate) fn known() -> Vec<(i32, String)> {
    let runner = embedded::migrations::runner();
    let migrations = runner.get_migrations().iter();
    let mut known: Vec<_> = migrations
        .map(|migration| (migration.version(), migration.to_string()))
        .collect();
    known.sort_unstable();
    known
}

/// Migrate on a connection of its own, which holds a session lock so that others wait; it closes with the lock.
pub(crate) async fn run(connector: &Connector) -> Result<Vec<String>, StoreError> {
    let (mut client, connection) =
        within(async { Ok(connector.config.connect(connector.tls.clone()).await?) }).await?;
    let migration = async {
        // A migration may take as long as it takes once it has its locks, and so may the one that we wait for.
        client
            .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
            .await?;
        client
            .execute("SELECT pg_advisory_lock($1, $2)", &[&LOCK_CLASS, &MIGRATION_LOCK])
            .await?;
        // CREATE SCHEMA IF NOT EXISTS needs the right to create even where nothing is to be created.
        let exists = client
            .query_one("SELECT to_regnamespace('plumbline') IS NOT NULL", &[])
            .await?;
        if !exists.get::<_, bool>(0) {
            client.batch_execute("CREATE SCHEMA plumbline").await?;
        }
        client
            .batch_execute(&format!("SET lock_timeout = '{LOCK_PATIENCE}'"))
            .await?;
        let mut applied = vec![];
        loop {
            let run = embedded::migrations::runner()
                // An older binary may start beside a newer schema during a roll-out.
                .set_abort_missing(false)
                .set_target(Target::Latest)
                .run_async(&mut client)
                .await;
            // Each migration is a transaction of its own: what went before a refused one stays.
            let report = run.as_ref().map_or_else(refinery::Error::report, Some);
            let done = report.into_iter().flat_map(|report| report.applied_migrations());
            applied.extend(done.map(ToString::to_string));
            match run.map_err(|error| refused(&error)) {
                Ok(_) => break,
                Err(StoreError::Retry(cause))
                    if cause.sqlstate().is_some_and(|code| IN_THE_WAY.contains(&code)) =>
                {
                    tracing::warn!(%cause, "a migration waits for a table that others hold");
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        drop(client);
        Ok(applied)
    };
    // The connection ends when the client is dropped, at the end of the migration.
    let (result, ended) = tokio::join!(migration, connection);
    if let (Ok(_), Err(error)) = (&result, ended) {
        tracing::warn!(%error, "the migration's connection did not close cleanly");
    }
    result
}

fn refused(error: &refinery::Error) -> StoreError {
    match error.kind() {
        Kind::Connection(doing, source) => match source.downcast_ref::<tokio_postgres::Error>() {
            Some(postgres) => match postgres.as_db_error() {
                Some(refusal) => match StoreError::from(refusal) {
                    StoreError::Other(cause) => StoreError::Other(Cause::new(format!("{doing}: {cause}"))),
                    error => error,
                },
                None => StoreError::Unavailable(Cause::new(format!("{doing}: {postgres}"))),
            },
            None => StoreError::other(format!("{doing}: {source}")),
        },
        kind => StoreError::other(kind.to_string()),
    }
}
