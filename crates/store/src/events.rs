//! Events: accepted in batches, together with the news of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use plumbline_domain::{Event, EventId, EventType, JsonText, Lane, TenantId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::row::{Columns, rows_max, small};
use crate::{Session, StoreError};

/// An event to accept.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event; its `endpoints_version` is read from the tenant, whatever it says.
    pub event: Event,
    /// The queue that carries it.
    pub lane: Lane,
    /// Whether the caller publishes it right after the commit; else the relay will.
    pub sent: bool,
}

/// A publication with an idempotency key: its events are accepted only if the key is fresh.
#[derive(Debug, Clone)]
pub struct KeyedPublish {
    /// Whose key it is.
    pub tenant: TenantId,
    /// The key.
    pub key: String,
    /// SHA-256 over the request.
    pub request_hash: [u8; 32],
    /// The answer's status, kept for repetitions.
    pub status: u16,
    /// The answer's body, kept for repetitions.
    pub body: String,
    /// Which events of the batch are of this publication.
    pub event_indexes: Vec<usize>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsertedBatch {
    /// Each tenant's version of its endpoints, which its events carry. A tenant that is not here does not exist, and
    /// none of its events was accepted.
    pub versions: HashMap<TenantId, i64>,
    /// The keyed publications, by index, whose key was taken before: none of their events was accepted. Ask
    /// [`crate::idempotency::read`] for the answer.
    pub not_taken: Vec<usize>,
}

/// Accept events: one statement inserts them, their outbox rows and the idempotency keys.
///
/// Keys that are taken affect only their own events. A publication that is concurrently taking one of the keys is
/// waited for, which lasts no longer than its commit.
///
/// # Errors
/// [`StoreError::Conflict`] when an event of the batch exists: the same batch was committed before.
pub async fn insert_batch(
    session: &Session,
    events: &[NewEvent],
    keyed: &[KeyedPublish],
) -> Result<InsertedBatch, StoreError> {
    let keys = Keys::gather(keyed);
    let mut key_of: Vec<Option<&str>> = vec![None; events.len()];
    let mut left_out = vec![false; events.len()];
    for (index, publish) in keyed.iter().enumerate() {
        for &event in &publish.event_indexes {
            key_of[event] = Some(&publish.key);
            left_out[event] = keys.repeated.contains(&index);
        }
    }
    let rows = NewRows::gather(events, &key_of, &left_out);
    let mut tenants = rows.tenants.clone();
    tenants.extend(&keys.tenants);
    tenants.sort_unstable();
    tenants.dedup();

    let answer = if keyed.is_empty() {
        session
            .query(
                INSERT,
                &[
                    &tenants,
                    &rows.tenants,
                    &rows.ids,
                    &rows.types,
                    &rows.data,
                    &rows.previous_attributes,
                    &rows.occurred_at,
                    &rows.lanes,
                    &rows.states,
                ],
            )
            .await?
    } else {
        session
            .query(
                INSERT_KEYED,
                &[
                    &tenants,
                    &rows.tenants,
                    &rows.ids,
                    &rows.types,
                    &rows.data,
                    &rows.previous_attributes,
                    &rows.occurred_at,
                    &rows.lanes,
                    &rows.states,
                    &rows.keys,
                    &keys.tenants,
                    &keys.keys,
                    &keys.hashes,
                    &keys.statuses,
                    &keys.bodies,
                ],
            )
            .await?
    };

    let mut versions = HashMap::with_capacity(tenants.len());
    let mut taken = HashSet::new();
    for row in &answer {
        let tenant = row.tenant()?;
        match row.column::<Option<&str>>("key")? {
            Some(key) => {
                taken.insert((tenant, key));
            }
            None => {
                versions.insert(tenant, row.column("endpoints_version")?);
            }
        }
    }
    let not_taken = keyed
        .iter()
        .enumerate()
        .filter(|(index, publish)| {
            keys.repeated.contains(index) || !taken.contains(&(publish.tenant, publish.key.as_str()))
        })
        .map(|(index, _)| index)
        .collect();
    Ok(InsertedBatch { versions, not_taken })
}

/// Without keys. The version is read by the statement that inserts, so that it is never newer than the event.
const INSERT: &str = "
    WITH version AS MATERIALIZED (
        SELECT id, endpoints_version
        FROM tenants
        WHERE id = ANY ($1)),
    accepted AS (
        INSERT INTO events (tenant_id, id, type, data, previous_attributes, occurred_at, endpoints_version)
        SELECT new.tenant_id, new.id, new.type, new.data, new.previous_attributes, new.occurred_at,
            version.endpoints_version
        FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
            AS new (tenant_id, id, type, data, previous_attributes, occurred_at)
        JOIN version ON version.id = new.tenant_id),
    queued AS (
        INSERT INTO outbox (event_id, tenant_id, lane, state)
        SELECT new.id, new.tenant_id, new.lane, new.state
        FROM unnest($2::bigint[], $3::uuid[], $8::text[], $9::text[]) AS new (tenant_id, id, lane, state)
        JOIN version ON version.id = new.tenant_id)
    SELECT id AS tenant_id, endpoints_version, NULL::text AS key
    FROM version";

/// The same with keys: an event that has one is accepted only if `taken` has it, too.
const INSERT_KEYED: &str = "
    WITH version AS MATERIALIZED (
        SELECT id, endpoints_version
        FROM tenants
        WHERE id = ANY ($1)),
    taken AS (
        INSERT INTO idempotency_keys AS stored (tenant_id, scope, key, request_hash, status, body)
        SELECT new.tenant_id, 'publish', new.key, new.request_hash, new.status, new.body
        FROM unnest($11::bigint[], $12::text[], $13::bytea[], $14::smallint[], $15::text[])
            AS new (tenant_id, key, request_hash, status, body)
        JOIN version ON version.id = new.tenant_id
        ORDER BY new.tenant_id, new.key
        ON CONFLICT (tenant_id, scope, key) DO UPDATE
        SET request_hash = EXCLUDED.request_hash, status = EXCLUDED.status, body = EXCLUDED.body,
            created_at = EXCLUDED.created_at
        WHERE stored.created_at < now() - interval '24 hours'
        RETURNING tenant_id, key),
    accepted AS (
        INSERT INTO events (tenant_id, id, type, data, previous_attributes, occurred_at, endpoints_version)
        SELECT new.tenant_id, new.id, new.type, new.data, new.previous_attributes, new.occurred_at,
            version.endpoints_version
        FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $10::text[])
            AS new (tenant_id, id, type, data, previous_attributes, occurred_at, key)
        JOIN version ON version.id = new.tenant_id
        WHERE new.key IS NULL OR (new.tenant_id, new.key) IN (SELECT tenant_id, key FROM taken)),
    queued AS (
        INSERT INTO outbox (event_id, tenant_id, lane, state)
        SELECT new.id, new.tenant_id, new.lane, new.state
        FROM unnest($2::bigint[], $3::uuid[], $8::text[], $9::text[], $10::text[])
            AS new (tenant_id, id, lane, state, key)
        JOIN version ON version.id = new.tenant_id
        WHERE new.key IS NULL OR (new.tenant_id, new.key) IN (SELECT tenant_id, key FROM taken))
    SELECT id AS tenant_id, endpoints_version, NULL::text AS key
    FROM version
    UNION ALL
    SELECT tenant_id, NULL, key
    FROM taken";

/// The columns of the new events, those left out that belong to a repeated key.
#[derive(Default)]
struct NewRows<'a> {
    tenants: Vec<i64>,
    ids: Vec<Uuid>,
    types: Vec<&'a str>,
    data: Vec<&'a str>,
    previous_attributes: Vec<Option<&'a str>>,
    occurred_at: Vec<Timestamp>,
    lanes: Vec<&'static str>,
    states: Vec<&'static str>,
    keys: Vec<Option<&'a str>>,
}

impl<'a> NewRows<'a> {
    fn gather(events: &'a [NewEvent], key_of: &[Option<&'a str>], left_out: &[bool]) -> Self {
        let mut rows = Self::default();
        for (index, NewEvent { event, lane, sent }) in events.iter().enumerate() {
            if left_out[index] {
                continue;
            }
            rows.tenants.push(event.tenant.0);
            rows.ids.push(event.id.0);
            rows.types.push(event.event_type.as_str());
            rows.data.push(event.data.as_str());
            rows.previous_attributes
                .push(event.previous_attributes.as_ref().map(JsonText::as_str));
            rows.occurred_at.push(event.occurred_at);
            rows.lanes.push(lane.as_str());
            rows.states.push(if *sent { "sent" } else { "unsent" });
            rows.keys.push(key_of[index]);
        }
        rows
    }
}

/// The columns of the idempotency keys.
#[derive(Default)]
struct Keys<'a> {
    /// Publications whose key an earlier one of the same batch has: one statement cannot write a row twice.
    repeated: BTreeSet<usize>,
    tenants: Vec<i64>,
    keys: Vec<&'a str>,
    hashes: Vec<&'a [u8]>,
    statuses: Vec<i16>,
    bodies: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn gather(keyed: &'a [KeyedPublish]) -> Self {
        let mut keys = Self::default();
        let mut seen = HashSet::new();
        for (index, publish) in keyed.iter().enumerate() {
            if !seen.insert((publish.tenant, publish.key.as_str())) {
                keys.repeated.insert(index);
                continue;
            }
            keys.tenants.push(publish.tenant.0);
            keys.keys.push(&publish.key);
            keys.hashes.push(&publish.request_hash);
            keys.statuses.push(small(publish.status));
            keys.bodies.push(&publish.body);
        }
        keys
    }
}

/// Insert one event that nobody fans out: a test event, whose only delivery the caller inserts. Returns it with the
/// version of the tenant's endpoints; `None` for no such tenant.
///
/// # Errors
/// [`StoreError`].
pub async fn insert_one(session: &Session, new: &Event) -> Result<Option<Event>, StoreError> {
    let sql = "
        INSERT INTO events (tenant_id, id, type, data, previous_attributes, occurred_at, endpoints_version)
        SELECT id, $2, $3, $4, $5, $6, endpoints_version
        FROM tenants
        WHERE id = $1
        RETURNING tenant_id, id AS event_id, type AS event_type, data, previous_attributes, occurred_at,
            endpoints_version";
    let row = session
        .query_first(
            sql,
            &[
                &new.tenant.0,
                &new.id.0,
                &new.event_type.as_str(),
                &new.data.as_str(),
                &new.previous_attributes.as_ref().map(JsonText::as_str),
                &new.occurred_at,
            ],
        )
        .await?;
    row.map(|row| event(&row)).transpose()
}

/// Map the columns `tenant_id`, `event_id`, `event_type`, `data`, `previous_attributes`, `occurred_at` and
/// `endpoints_version`.
pub(crate) fn event(row: &Row) -> Result<Event, StoreError> {
    Ok(Event {
        id: row.event_id("event_id")?,
        tenant: row.tenant()?,
        event_type: row.event_type("event_type")?,
        data: JsonText::from_valid(row.column::<&str>("data")?),
        previous_attributes: row
            .column::<Option<&str>>("previous_attributes")?
            .map(JsonText::from_valid),
        occurred_at: row.column("occurred_at")?,
        endpoints_version: row.column("endpoints_version")?,
    })
}

/// One event.
///
/// # Errors
/// [`StoreError`].
pub async fn get(session: &Session, tenant: TenantId, id: EventId) -> Result<Option<Event>, StoreError> {
    let sql = "
        SELECT tenant_id, id AS event_id, type AS event_type, data, previous_attributes, occurred_at,
            endpoints_version
        FROM events
        WHERE tenant_id = $1 AND id = $2";
    session
        .query_first(sql, &[&tenant.0, &id.0])
        .await?
        .map(|row| event(&row))
        .transpose()
}

/// A page of a tenant's events, newest first, older than `before`, of one type if given.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    session: &Session,
    tenant: TenantId,
    before: Option<EventId>,
    limit: usize,
    event_type: Option<&EventType>,
) -> Result<Vec<Event>, StoreError> {
    let before = before.map_or(Uuid::max(), |id| id.0);
    let event_type = event_type.map(EventType::as_str);
    let rows = session
        .query(LIST, &[&tenant.0, &before, &event_type, &rows_max(limit)])
        .await?;
    rows.iter().map(event).collect()
}

/// By the primary key, read backwards, the newest partition first.
pub(crate) const LIST: &str = "
    SELECT tenant_id, id AS event_id, type AS event_type, data, previous_attributes, occurred_at, endpoints_version
    FROM events
    WHERE tenant_id = $1 AND id < $2 AND ($3::text IS NULL OR type = $3)
    ORDER BY id DESC
    LIMIT $4";

/// The ids of a tenant's events after `after`, oldest first, of these types unless there are none.
///
/// # Errors
/// [`StoreError`].
pub async fn ids_after(
    session: &Session,
    tenant: TenantId,
    after: EventId,
    types: &[EventType],
    limit: usize,
) -> Result<Vec<EventId>, StoreError> {
    let names: Vec<&str> = types.iter().map(EventType::as_str).collect();
    let rows = session
        .query(IDS_AFTER, &[&tenant.0, &after.0, &names, &rows_max(limit)])
        .await?;
    rows.iter().map(|row| row.event_id("event_id")).collect()
}

/// By the primary key.
pub(crate) const IDS_AFTER: &str = "
    SELECT id AS event_id
    FROM events
    WHERE tenant_id = $1 AND id > $2 AND (cardinality($3::text[]) = 0 OR type = ANY ($3))
    ORDER BY id
    LIMIT $4";

/// These events, oldest first; those that there are not are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn get_many(
    session: &Session,
    tenant: TenantId,
    ids: &[EventId],
) -> Result<Vec<Event>, StoreError> {
    let sql = "
        SELECT tenant_id, id AS event_id, type AS event_type, data, previous_attributes, occurred_at,
            endpoints_version
        FROM unnest($2::uuid[]) AS wanted (wanted_id)
        CROSS JOIN LATERAL (SELECT * FROM events WHERE tenant_id = $1 AND id = wanted_id) AS event
        ORDER BY id";
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = session.query(sql, &[&tenant.0, &ids]).await?;
    rows.iter().map(event).collect()
}
