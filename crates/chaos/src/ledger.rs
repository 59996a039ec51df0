//! What the database says.

use tokio_postgres::Client;

use crate::books::{AttemptRow, Books, DeliveryRow, EventRow, Moment, Status};
use crate::event;

/// Read everything into the books.
///
/// # Errors
/// When the database does not answer, or says something that nobody knows.
pub(crate) async fn read(client: &Client, books: &mut Books) -> Result<(), String> {
    let rows = query(
        client,
        "SELECT 'evt_' || replace(id::text, '-', ''), data FROM plumbline.events ORDER BY id",
    )
    .await?;
    books.events = rows
        .iter()
        .map(|row| EventRow {
            id: row.get(0),
            mark: event::mark_in(row.get::<_, String>(1).as_bytes()).unwrap_or_default(),
        })
        .collect();

    let rows = query(
        client,
        "SELECT 'dlv_' || replace(id::text, '-', ''), 'evt_' || replace(event_id::text, '-', ''), endpoint_id, kind, status,
            attempt_count, error, floor(extract(epoch FROM created_at) * 1000)::bigint
        FROM plumbline.deliveries ORDER BY id",
    )
    .await?;
    books.deliveries = rows
        .iter()
        .map(|row| {
            let status: String = row.get(4);
            Ok(DeliveryRow {
                id: row.get(0),
                event: row.get(1),
                endpoint: row.get(2),
                is_replay: row.get::<_, String>(3) == "replay",
                created: Moment(u64::try_from(row.get::<_, i64>(7)).unwrap_or_default()),
                status: Status::parse(&status).ok_or_else(|| format!("a delivery is {status}"))?,
                attempt_count: count(row.get(5)),
                error: row.get(6),
            })
        })
        .collect::<Result<_, String>>()?;

    let rows = query(
        client,
        "SELECT 'dlv_' || replace(delivery_id::text, '-', ''), number,
            coalesce(substring(request_headers FROM 't=[0-9]+,v1=[0-9a-f]+'), ''), response_status
        FROM plumbline.delivery_attempts ORDER BY delivery_id, number",
    )
    .await?;
    books.attempts = rows
        .iter()
        .map(|row| AttemptRow {
            delivery: row.get(0),
            number: count(row.get(1)),
            signature: row.get(2),
            status: row
                .get::<_, Option<i16>>(3)
                .and_then(|status| u16::try_from(status).ok()),
        })
        .collect();

    let rows = query(
        client,
        "SELECT 'evt_' || replace(event_id::text, '-', '') FROM plumbline.outbox ORDER BY event_id",
    )
    .await?;
    books.outbox = rows.iter().map(|row| row.get(0)).collect();
    Ok(())
}

/// How much is not finished: events that wait for their deliveries, and deliveries that wait for an attempt.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn unfinished(client: &Client) -> Result<(i64, i64), String> {
    let rows = query(
        client,
        "SELECT (SELECT count(*) FROM plumbline.outbox),
            (SELECT count(*) FROM plumbline.deliveries WHERE status = 'pending')",
    )
    .await?;
    let row = rows.first().ok_or("no row")?;
    Ok((row.get(0), row.get(1)))
}

/// When the relay or the sweep published again what it took for lost, by the logs of the processes.
pub(crate) fn rounds(logs: &str) -> Vec<Moment> {
    moments(logs, &["publishing events again", "publishing retries again"])
}

/// When a process gave messages up that the broker had neither confirmed nor refused, by the logs of the processes: the
/// relay or the sweep publishes them, and the first ones may arrive all the same.
pub(crate) fn given_up(logs: &str) -> Vec<Moment> {
    moments(
        logs,
        &["events were not published", "deliveries were not published"],
    )
}

fn moments(logs: &str, said: &[&str]) -> Vec<Moment> {
    logs.lines()
        .filter(|line| said.iter().any(|said| line.contains(said)))
        .filter_map(|line| line.split_whitespace().next()?.parse::<jiff::Timestamp>().ok())
        .filter_map(|time| u64::try_from(time.as_millisecond()).ok())
        .map(Moment)
        .collect()
}

async fn query(client: &Client, sql: &str) -> Result<Vec<tokio_postgres::Row>, String> {
    client
        .query(sql, &[])
        .await
        .map_err(|error| format!("the database does not answer: {error:?}"))
}

fn count(number: i16) -> usize {
    usize::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_a_line_that_says_so() {
        let logs = "2026-11-26T00:07:40.708487Z  WARN plumbline_engine::relay: publishing events again that no queue \
                    seems to hold events=190\n2026-11-26T00:07:41.1Z  INFO x: y\nno time: publishing retries again\n";
        assert_eq!(rounds(logs), [Moment(1_795_651_660_708)]);
        assert_eq!(given_up(logs), []);
    }

    #[test]
    fn what_was_given_up_is_a_line_that_says_so() {
        let logs = "2026-11-26T02:18:08.078452Z  WARN plumbline_engine::intake: events were not published; the relay will \
                    publish them events=1\n2026-11-26T02:18:08.835Z  WARN plumbline_engine::unit: due deliveries were \
                    not published; the sweep will find them deliveries=1\n";
        assert_eq!(
            given_up(logs),
            [Moment(1_795_659_488_078), Moment(1_795_659_488_835)]
        );
        assert_eq!(rounds(logs), []);
    }
}
