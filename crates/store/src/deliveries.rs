//! Deliveries: recorded in batches, read by the log, replayed and recovered.

mod due;
mod log;
mod record;
mod recovery;
mod stats;

use plumbline_domain::{Delivery, DeliveryId, DeliveryKind, DeliveryStatus, EndpointId, FailureCode};
use tokio_postgres::Row;
use uuid::Uuid;

pub use due::{
    DueDelivery, Existing, Overdue, PendingStats, existing, load_due, overdue, pending_stats, touch_overdue,
};
pub use log::{
    Attempt, AttemptPosition, DeliveryFilter, HistoryEntry, attempts, get, history, list, list_of_tenant,
};
pub use record::{AttemptRow, Disabled, RecordBatch, Recorded, RecordedAttempt, RecordedBatch, record};
#[cfg(test)]
pub(crate) use {
    due::{LOAD_DUE, OVERDUE},
    log::{LIST_OF_EVENT, TENANT_LIST_OF_EVENT, list_sql, tenant_list_sql},
    record::{CURRENT, Variant},
};

pub use recovery::{count_recoverable, insert_replay, insert_test, recover};
pub use stats::{AnswerTime, Count, Counts, StatsFilter, answer_times, count};

use crate::StoreError;
use crate::row::{Columns, unmapped};

/// The columns that [`delivery`] maps, of a table called `delivery`.
macro_rules! columns {
    () => {
        "delivery.tenant_id, delivery.id, delivery.event_id, delivery.event_type, delivery.endpoint_id, \
         delivery.kind, delivery.status, delivery.attempt_count, delivery.next_attempt_at, \
         delivery.response_status, delivery.error, delivery.created_at, delivery.completed_at, delivery.replay_of"
    };
}
use columns;

fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: DeliveryId(row.column("id")?),
        tenant: row.tenant()?,
        event: row.event_id("event_id")?,
        event_type: row.event_type("event_type")?,
        endpoint: EndpointId(row.column("endpoint_id")?),
        kind: row.named("kind", DeliveryKind::parse)?,
        status: row.named("status", DeliveryStatus::parse)?,
        attempt_count: row.count("attempt_count")?,
        next_attempt_at: row.column("next_attempt_at")?,
        response_status: response_status(row)?,
        error: row.named_or_null("error", FailureCode::parse)?,
        created_at: row.column("created_at")?,
        completed_at: row.column("completed_at")?,
        replay_of: row.column::<Option<Uuid>>("replay_of")?.map(DeliveryId),
    })
}

fn response_status(row: &Row) -> Result<Option<u16>, StoreError> {
    let status: Option<i16> = row.column("response_status")?;
    status
        .map(|status| u16::try_from(status).map_err(|_| unmapped("response_status")))
        .transpose()
}
