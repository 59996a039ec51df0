//! The outbox: what has been accepted and is not yet completely recorded as deliveries.
//!
//! It is nearly empty at one moment and millions of rows at another. `event_id = ANY (…)`, beside the pairs that are
//! meant, keeps each statement a lookup by the primary key, whatever size the planner has last heard of.

use std::time::Duration;

use plumbline_domain::{EndpointId, Event, EventId, Lane, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::events::event;
use crate::listen::CHANNEL;
use crate::row::{Columns, rows_max, uuid_floor};
use crate::{Session, StoreError};

/// The endpoints of a tenant with `after < id <= upto`: a part of a large fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// Its number within the event, from 1.
    pub number: i32,
    /// The endpoint before the first one.
    pub after: EndpointId,
    /// The last endpoint.
    pub upto: EndpointId,
}

/// A message that some dispatcher must still complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The event.
    pub event: Event,
    /// Which part of its fan-out; `None` is all of it.
    pub chunk: Option<Chunk>,
    /// The queue that carries it.
    pub lane: Lane,
}

/// The columns that [`outbox_row`] maps.
macro_rules! columns {
    () => {
        "message.tenant_id, message.event_id, message.chunk, message.after_endpoint, message.upto_endpoint, \
         message.lane, event.type AS event_type, event.data, event.previous_attributes, event.occurred_at, \
         event.endpoints_version"
    };
}

fn outbox_row(row: &Row) -> Result<OutboxRow, StoreError> {
    Ok(OutboxRow {
        event: event(row)?,
        chunk: match row.column("chunk")? {
            0 => None,
            number => Some(chunk(row, number)?),
        },
        lane: row.named("lane", Lane::parse)?,
    })
}

fn chunk(row: &Row, number: i32) -> Result<Chunk, StoreError> {
    Ok(Chunk {
        number,
        after: EndpointId(row.column("after_endpoint")?),
        upto: EndpointId(row.column("upto_endpoint")?),
    })
}

/// How much is read at once.
#[derive(Debug, Clone, Copy)]
pub struct Helping {
    /// Rows at most.
    pub rows: usize,
    /// Bytes of events at most, but one row whatever its size.
    pub bytes: i64,
}

/// The statement that reads those of the `$rows` first rows of `$from` that fit into `$bytes`, as [`outbox_row`] maps them.
macro_rules! helping {
    ($from:literal, $rows:literal, $bytes:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM (
                SELECT first.*,
                    -- Known without reading the values. The first row has nothing before it.
                    sum(octet_length(event.data) + coalesce(octet_length(event.previous_attributes), 0)) OVER (
                        ORDER BY first.event_id, first.chunk
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS bytes,
                    row_number() OVER (ORDER BY first.event_id, first.chunk) AS number
                FROM (SELECT * FROM outbox WHERE ",
            $from,
            " ORDER BY event_id, chunk LIMIT ",
            $rows,
            ") AS first
                JOIN events AS event ON event.tenant_id = first.tenant_id AND event.id = first.event_id) AS message
            JOIN events AS event ON event.tenant_id = message.tenant_id AND event.id = message.event_id
            WHERE message.bytes <= ",
            $bytes,
            " OR message.number = 1
            ORDER BY message.event_id, message.chunk"
        )
    };
}

/// What was never published, the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn unsent(session: &Session, helping: Helping) -> Result<Vec<OutboxRow>, StoreError> {
    // By the partial index outbox_unsent, which is empty in quiet times.
    let sql = helping!("state = 'unsent'", "$1", "$2");
    let rows = session
        .query(sql, &[&rows_max(helping.rows), &helping.bytes])
        .await?;
    rows.iter().map(outbox_row).collect()
}

/// What was published and not completed since: events accepted before `before`, published last before `sent_before`,
/// the oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn stale(
    session: &Session,
    before: Timestamp,
    sent_before: Timestamp,
    helping: Helping,
) -> Result<Vec<OutboxRow>, StoreError> {
    let sql = helping!("event_id < $1 AND state = 'sent' AND sent_at < $2", "$3", "$4");
    let rows = session
        .query(
            sql,
            &[
                &uuid_floor(before),
                &sent_before,
                &rows_max(helping.rows),
                &helping.bytes,
            ],
        )
        .await?;
    rows.iter().map(outbox_row).collect()
}

/// These are being published now.
///
/// # Errors
/// [`StoreError`].
pub async fn mark_sent(session: &Session, rows: &[(EventId, i32)]) -> Result<(), StoreError> {
    let sql = "
        UPDATE outbox
        SET state = 'sent', sent_at = now()
        WHERE event_id = ANY ($1) AND (event_id, chunk) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))";
    let (events, chunks) = keys(rows);
    session.execute(sql, &[&events, &chunks]).await?;
    Ok(())
}

/// The publication of these failed: the relay publishes them.
///
/// # Errors
/// [`StoreError`].
pub async fn mark_unsent(session: &Session, rows: &[(EventId, i32)]) -> Result<(), StoreError> {
    let sql = "
        UPDATE outbox
        SET state = 'unsent'
        WHERE event_id = ANY ($1) AND (event_id, chunk) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))
            AND state = 'sent'";
    let (events, chunks) = keys(rows);
    session.execute(sql, &[&events, &chunks]).await?;
    Ok(())
}

/// Replace an event's row by one for each chunk of its endpoints. Returns the chunks that are still to be completed,
/// hence to be published: all of them the first time; when the event was split before, those of the first split
/// whose rows still exist, whatever `chunks` says, because the endpoints may have changed since.
///
/// # Errors
/// [`StoreError`].
pub async fn split(session: &Session, event: EventId, chunks: &[Chunk]) -> Result<Vec<Chunk>, StoreError> {
    let sql = "
        WITH whole AS (
            DELETE FROM outbox
            WHERE event_id = $1 AND chunk = 0
            RETURNING tenant_id, lane)
        INSERT INTO outbox (event_id, chunk, tenant_id, lane, after_endpoint, upto_endpoint, state)
        SELECT $1, part.number, whole.tenant_id, whole.lane, part.after_endpoint, part.upto_endpoint, 'sent'
        FROM whole, unnest($2::integer[], $3::bigint[], $4::bigint[]) AS part (number, after_endpoint, upto_endpoint)
        RETURNING chunk";
    let numbers: Vec<i32> = chunks.iter().map(|chunk| chunk.number).collect();
    let after: Vec<i64> = chunks.iter().map(|chunk| chunk.after.0).collect();
    let upto: Vec<i64> = chunks.iter().map(|chunk| chunk.upto.0).collect();
    if !session
        .query(sql, &[&event.0, &numbers, &after, &upto])
        .await?
        .is_empty()
    {
        return Ok(chunks.to_vec());
    }
    // A statement of its own: it also sees what a concurrent split, which we have waited for, committed.
    let sql = "
        SELECT chunk, after_endpoint, upto_endpoint
        FROM outbox
        WHERE event_id = $1 AND chunk > 0
        ORDER BY chunk";
    let rows = session.query(sql, &[&event.0]).await?;
    rows.iter().map(|row| chunk(row, row.column("chunk")?)).collect()
}

/// These are complete.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(session: &Session, rows: &[(EventId, i32)]) -> Result<(), StoreError> {
    let sql = "
        DELETE FROM outbox
        WHERE event_id = ANY ($1) AND (event_id, chunk) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))";
    let (events, chunks) = keys(rows);
    session.execute(sql, &[&events, &chunks]).await?;
    Ok(())
}

/// How long ago the oldest event was accepted that is not completed; `None` when there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn age(session: &Session) -> Result<Option<Duration>, StoreError> {
    let sql = "SELECT event_id, now() AS now FROM outbox ORDER BY event_id LIMIT 1";
    let Some(row) = session.query_first(sql, &[]).await? else {
        return Ok(None);
    };
    let age = row
        .column::<Timestamp>("now")?
        .duration_since(row.event_id("event_id")?.timestamp());
    Ok(Some(Duration::try_from(age).unwrap_or_default()))
}

/// About how many rows there are, as the statistics collector last heard; costs nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn approximate_count(session: &Session) -> Result<u64, StoreError> {
    let sql = "SELECT pg_stat_get_live_tuples('outbox'::regclass) AS messages";
    session.query_one(sql, &[]).await?.count("messages")
}

/// Wake the relay, once this transaction commits.
///
/// # Errors
/// [`StoreError`].
pub async fn notify_unsent(session: &Session) -> Result<(), StoreError> {
    session.query("SELECT pg_notify($1, '')", &[&CHANNEL]).await?;
    Ok(())
}

fn keys(rows: &[(EventId, i32)]) -> (Vec<Uuid>, Vec<i32>) {
    // In one order, so that two statements over the same rows cannot block each other.
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows.into_iter().map(|(event, chunk)| (event.0, chunk)).unzip()
}
