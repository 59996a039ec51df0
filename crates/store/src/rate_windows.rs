//! Endpoints' rate limits: the slots that their requests have taken, over all dispatchers.

use std::num::NonZeroU32;

use plumbline_domain::rate::{Place, RateWindow, Turn};
use plumbline_domain::{EndpointId, TenantId, Timestamp};
use tokio_postgres::Row;

use crate::row::{Columns, int, unmapped};
use crate::{Session, StoreError};

/// Slots that were handed out, or places in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The database's clock, the one clock by which slots are handed out, when the endpoint's window was locked.
    pub now: Timestamp,
    /// An answer for each that asked, in their order.
    pub turns: Vec<Turn>,
}

/// Reserve slots of an endpoint for a limit in requests per minute; `None` asks for the first time.
///
/// Call it in a transaction, and commit at once: the endpoint's other dispatchers wait meanwhile. What was not
/// committed was not reserved; what may have been is lost to others for a minute, which harms nobody.
///
/// # Errors
/// [`StoreError`].
pub async fn reserve(
    session: &Session,
    tenant: TenantId,
    endpoint: EndpointId,
    limit: NonZeroU32,
    asks: &[Option<Place>],
) -> Result<Reserved, StoreError> {
    let mut row = session.query_first(LOCK, &[&tenant.0, &endpoint.0]).await?;
    if row.is_none() {
        let sql = "
            INSERT INTO rate_windows (tenant_id, endpoint_id, first_second, updated_at)
            SELECT tenant_id, id, 0, clock_timestamp()
            FROM endpoints
            WHERE tenant_id = $1 AND id = $2
            ON CONFLICT DO NOTHING";
        session.execute(sql, &[&tenant.0, &endpoint.0]).await?;
        row = session.query_first(LOCK, &[&tenant.0, &endpoint.0]).await?;
    }
    let (mut window, now) = match row {
        Some(row) => (window(&row)?, row.column("now")?),
        // The endpoint is no more: who asks will notice.
        None => {
            let now = clock(session).await?;
            (RateWindow::new(now), now)
        }
    };
    let turns = window.reserve(limit, now, asks);

    let sql = "
        UPDATE rate_windows
        SET first_second = $3, counts = $4, head = $5, tail = $6, updated_at = $7
        WHERE tenant_id = $1 AND endpoint_id = $2";
    let counts: Vec<i32> = window.counts.iter().copied().map(int).collect();
    session
        .execute(
            sql,
            &[
                &tenant.0,
                &endpoint.0,
                &window.first_second,
                &counts,
                &window.head,
                &window.tail,
                &window.at,
            ],
        )
        .await?;
    Ok(Reserved { now, turns })
}

fn window(row: &Row) -> Result<RateWindow, StoreError> {
    let counts: Vec<i32> = row.column("counts")?;
    let counts = counts.into_iter().map(|count| u32::try_from(count).ok());
    Ok(RateWindow {
        first_second: row.column("first_second")?,
        counts: counts.collect::<Option<_>>().ok_or_else(|| unmapped("counts"))?,
        head: row.column("head")?,
        tail: row.column("tail")?,
        at: row.column("updated_at")?,
    })
}

/// The clock is read after the wait for the lock: beside the table it would be read before.
const LOCK: &str = "
    WITH locked AS MATERIALIZED (
        SELECT first_second, counts, head, tail, updated_at
        FROM rate_windows
        WHERE tenant_id = $1 AND endpoint_id = $2
        FOR NO KEY UPDATE)
    SELECT first_second, counts, head, tail, updated_at, clock_timestamp() AS now
    FROM locked";

/// The clock by which slots are handed out.
///
/// # Errors
/// [`StoreError`].
pub async fn clock(session: &Session) -> Result<Timestamp, StoreError> {
    let sql = "SELECT clock_timestamp() AS now";
    session.query_one(sql, &[]).await?.column("now")
}
