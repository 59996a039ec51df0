//! Recording what became of many attempts: one statement, one round trip, one commit.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use bytes::Bytes;
use plumbline_domain::health::HealthRun;
use plumbline_domain::outcome::BODY_KEPT_BYTES_MAX;
use plumbline_domain::{
    DeliveryId, DeliveryKind, DeliveryStatus, DisabledReason, EndpointId, EventId, EventType, FailureCode,
    TenantId, Timestamp, Timing,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::row::{Columns, int, small};
use crate::{Session, StoreError};

/// The longest error message that is kept, in characters.
const ERROR_MESSAGE_CHARS_MAX: usize = 1_000;

/// What became of a delivery, by an attempt or without one.
#[derive(Debug, Clone)]
pub struct RecordedAttempt {
    /// The delivery, which need not exist yet.
    pub delivery: DeliveryId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The event that it carries.
    pub event: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// What caused it.
    pub kind: DeliveryKind,
    /// The delivery that it repeats, for a replay.
    pub replay_of: Option<DeliveryId>,
    /// The number of the attempt that was made, or that would have been next when none was made: 1 at first.
    pub number: u16,
    /// Where the delivery stands now.
    pub status: DeliveryStatus,
    /// When the next attempt is due; only, and always, while pending.
    pub next_attempt_at: Option<Timestamp>,
    /// The answer's status.
    pub response_status: Option<u16>,
    /// Why the attempt or the delivery failed.
    pub error: Option<FailureCode>,
    /// When the delivery was made; kept from the first record.
    pub created_at: Timestamp,
    /// The attempt; `None` for a delivery that was skipped, deferred or ended without one.
    pub attempt: Option<AttemptRow>,
}

/// One POST to be logged.
#[derive(Clone)]
pub struct AttemptRow {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// Where that time went, if it is known.
    pub timing: Option<Timing>,
    /// `[["Name", "value"], …]` as JSON.
    pub request_headers: String,
    /// `[["Name", "value"], …]` as JSON, when there was an answer.
    pub response_headers: Option<String>,
    /// The first bytes of the answer's body.
    pub response_body: Option<Bytes>,
    /// Why there was no answer; `None`, and only then, when there was one.
    pub error_code: Option<FailureCode>,
    /// The same in words.
    pub error_message: Option<String>,
}

/// Headers and bodies are a customer's: not shown.
impl fmt::Debug for AttemptRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptRow")
            .field("started_at", &self.started_at)
            .field("duration_ms", &self.duration_ms)
            .field("error_code", &self.error_code)
            .finish_non_exhaustive()
    }
}

/// What is recorded together.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    /// What became of deliveries.
    pub outcomes: Vec<RecordedAttempt>,
    /// Outbox rows that are complete with this: event and chunk.
    pub completed: Vec<(EventId, i32)>,
    /// What the attempts say about their endpoints, one run for an endpoint.
    pub health: Vec<(TenantId, EndpointId, HealthRun)>,
    /// Endpoints that asked never to be called again.
    pub gone: Vec<(TenantId, EndpointId)>,
    /// Consecutive failed attempts that disable an endpoint; 0 is never.
    pub disable_after: u32,
}

/// How a delivery stands after the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// Attempts made so far.
    pub attempt_count: u16,
    /// When the next one is due.
    pub next_attempt_at: Option<Timestamp>,
    /// Whether this record brought it there; `false` for a repetition and for what came too late.
    pub applied: bool,
}

/// An endpoint that the record disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// Whose it is.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Why.
    pub reason: DisabledReason,
}

/// What a record did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordedBatch {
    /// One for each outcome, in their order.
    pub outcomes: Vec<Recorded>,
    /// Endpoints that were active before.
    pub disabled: Vec<Disabled>,
}

/// Record a batch, all or nothing, in one statement. It compares and sets, so that any repetition is harmless:
///
/// - an attempt is recorded for a delivery that does not exist, or is pending with fewer attempts made;
/// - without an attempt, a pending delivery with exactly `number - 1` attempts made is ended, or deferred to a later
///   moment, never to an earlier one;
/// - a settled delivery never changes;
/// - an endpoint's health changes only if an attempt at it was recorded by this very statement.
///
/// (A delivery that appears more than once in a batch takes one more statement for each further time.)
///
/// # Errors
/// [`StoreError`]. After [`StoreError::Unavailable`] it is not known whether the batch was recorded: repeat it.
pub async fn record(session: &Session, batch: &RecordBatch) -> Result<RecordedBatch, StoreError> {
    let mut states = HashMap::with_capacity(batch.outcomes.len());
    let mut applied = vec![false; batch.outcomes.len()];
    let mut disabled = vec![];
    for (round, outcomes) in rounds(&batch.outcomes).iter().enumerate() {
        let side_effects = (round == 0).then_some(batch);
        write(
            session,
            &batch.outcomes,
            outcomes,
            side_effects,
            &mut applied,
            &mut states,
            &mut disabled,
        )
        .await?;
    }
    let unknown = |(_, outcome): &(usize, &RecordedAttempt)| !states.contains_key(&outcome.delivery);
    let missing: Vec<(TenantId, DeliveryId)> = batch
        .outcomes
        .iter()
        .enumerate()
        .filter(unknown)
        .map(|(_, outcome)| (outcome.tenant, outcome.delivery))
        .collect();
    if !missing.is_empty() {
        // A statement of its own: the first cannot see a row that was committed while it ran.
        states.extend(current(session, &missing).await?);
    }
    let outcomes = batch
        .outcomes
        .iter()
        .zip(applied)
        .map(|(outcome, applied)| {
            let state: &State = states
                .get(&outcome.delivery)
                .ok_or_else(|| StoreError::Corrupt(format!("the delivery {} vanished", outcome.delivery)))?;
            Ok(Recorded {
                delivery: outcome.delivery,
                status: state.status,
                attempt_count: state.attempt_count,
                next_attempt_at: state.next_attempt_at,
                applied,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(RecordedBatch { outcomes, disabled })
}

struct State {
    status: DeliveryStatus,
    attempt_count: u16,
    next_attempt_at: Option<Timestamp>,
}

/// The outcomes by index, so that no delivery is twice in a round: a statement cannot write a row twice. Each
/// round is in the order of ids, so that two statements over the same deliveries cannot block each other. There
/// is a first round even for no outcomes.
fn rounds(outcomes: &[RecordedAttempt]) -> Vec<Vec<usize>> {
    let mut rounds = vec![Vec::with_capacity(outcomes.len())];
    let mut times: HashMap<DeliveryId, usize> = HashMap::with_capacity(outcomes.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        let round = times.entry(outcome.delivery).or_default();
        if rounds.len() <= *round {
            rounds.push(vec![]);
        }
        rounds[*round].push(index);
        *round += 1;
    }
    for round in &mut rounds {
        round.sort_unstable_by_key(|index| outcomes[*index].delivery);
    }
    rounds
}

/// Write one round of outcomes, with the rest of the batch if it is the first.
async fn write(
    session: &Session,
    outcomes: &[RecordedAttempt],
    round: &[usize],
    batch: Option<&RecordBatch>,
    applied: &mut [bool],
    states: &mut HashMap<DeliveryId, State>,
    disabled: &mut Vec<Disabled>,
) -> Result<(), StoreError> {
    let (attempted, held): (Vec<usize>, Vec<usize>) = round
        .iter()
        .partition(|index| outcomes[**index].attempt.is_some());
    let attempted = Rows::gather(attempted.into_iter().map(|index| &outcomes[index]));
    let held = Rows::gather(held.into_iter().map(|index| &outcomes[index]));
    let completed = Completed::gather(batch.map(|batch| batch.completed.as_slice()).unwrap_or_default());
    let health = batch.map(Health::gather).unwrap_or_default();
    let disable_after = int(batch.map_or(0, |batch| batch.disable_after));

    let mut parameters = attempted.deliveries();
    parameters.extend(attempted.attempts());
    parameters.extend(completed.parameters());
    let variant = Variant {
        held: !held.ids.is_empty(),
        health: !health.endpoints.is_empty(),
    };
    if variant.held {
        parameters.extend(held.deliveries());
    }
    if variant.health {
        parameters.extend(health.parameters());
        parameters.push(&disable_after);
    }
    let rows = session.query(variant.sql(), &parameters).await?;

    let index_of: HashMap<DeliveryId, usize> = round
        .iter()
        .map(|index| (outcomes[*index].delivery, *index))
        .collect();
    for row in &rows {
        match row.column::<Option<Uuid>>("id")?.map(DeliveryId) {
            Some(delivery) => {
                if let Some(index) = index_of.get(&delivery) {
                    applied[*index] = true;
                }
                states.insert(delivery, state(row)?);
            }
            None => disabled.push(Disabled {
                tenant: row.tenant()?,
                endpoint: EndpointId(row.column("endpoint_id")?),
                reason: row.named("status", DisabledReason::parse)?,
            }),
        }
    }
    Ok(())
}

fn state(row: &tokio_postgres::Row) -> Result<State, StoreError> {
    Ok(State {
        status: row.named("status", DeliveryStatus::parse)?,
        attempt_count: row.count("attempt_count")?,
        next_attempt_at: row.column("next_attempt_at")?,
    })
}

/// How deliveries stand that were not written.
async fn current(
    session: &Session,
    deliveries: &[(TenantId, DeliveryId)],
) -> Result<HashMap<DeliveryId, State>, StoreError> {
    let (tenants, ids): (Vec<i64>, Vec<Uuid>) = deliveries
        .iter()
        .map(|(tenant, delivery)| (tenant.0, delivery.0))
        .unzip();
    let rows = session.query(CURRENT, &[&tenants, &ids]).await?;
    rows.iter()
        .map(|row| Ok((DeliveryId(row.column("id")?), state(row)?)))
        .collect()
}

pub(crate) const CURRENT: &str = "
    SELECT delivery.id, delivery.status, delivery.attempt_count, delivery.next_attempt_at
    FROM unnest($1::bigint[], $2::uuid[]) AS wanted (tenant_id, id)
    JOIN deliveries AS delivery ON delivery.tenant_id = wanted.tenant_id AND delivery.id = wanted.id";

/// Which parts the statement has. On the path of success nothing is held back, and a statement without that part is
/// planned and run faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) held: bool,
    pub(crate) health: bool,
}

impl Variant {
    pub(crate) fn sql(self) -> &'static str {
        static SQL: LazyLock<[String; 4]> = LazyLock::new(|| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(held, health)| Variant { held, health }.compose())
        });
        &SQL[usize::from(self.held) * 2 + usize::from(self.health)]
    }

    /// The parameters are numbered through the parts that are there.
    fn compose(self) -> String {
        let mut sql = format!("{WRITTEN}, {LOGGED}, {COMPLETED}");
        let mut answer = String::from(ANSWER);
        let mut next = 24;
        if self.held {
            sql.push_str(&numbered(HELD, &mut next));
            answer.push_str(ANSWER_HELD);
        }
        if self.health {
            sql.push_str(&numbered(HEALTH, &mut next));
            answer.push_str(ANSWER_DISABLED);
        }
        format!("{sql} {answer}")
    }
}

/// Replace each `$#` by the next parameter's number.
fn numbered(part: &str, next: &mut usize) -> String {
    let mut pieces = part.split("$#");
    let mut sql = String::from(pieces.next().unwrap_or_default());
    for piece in pieces {
        sql.push('$');
        sql.push_str(&next.to_string());
        sql.push_str(piece);
        *next += 1;
    }
    sql
}

/// Deliveries with an attempt, made or moved on.
const WRITTEN: &str = "
    WITH written AS (
        INSERT INTO deliveries AS stored
            (tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, next_attempt_at,
            response_status, error, created_at, completed_at, replay_of)
        SELECT tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, next_attempt_at,
            response_status, error, created_at,
            CASE WHEN status <> 'pending' THEN greatest(now(), created_at) END, replay_of
        FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                $8::smallint[], $9::timestamptz[], $10::smallint[], $11::text[], $12::timestamptz[], $13::uuid[])
            AS new (tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, next_attempt_at,
                response_status, error, created_at, replay_of)
        ON CONFLICT (tenant_id, id) DO UPDATE
        SET status = EXCLUDED.status, attempt_count = EXCLUDED.attempt_count,
            next_attempt_at = EXCLUDED.next_attempt_at, response_status = EXCLUDED.response_status,
            error = EXCLUDED.error, completed_at = EXCLUDED.completed_at
        WHERE stored.status = 'pending' AND stored.attempt_count < EXCLUDED.attempt_count
        RETURNING tenant_id, id, endpoint_id, status, attempt_count, next_attempt_at)";

/// Their attempts, of those that were written.
const LOGGED: &str = "
    logged AS (
        INSERT INTO delivery_attempts
            (tenant_id, delivery_id, number, started_at, duration_ms, request_headers, response_status,
            response_headers, response_body, error_code, error_message, timing)
        SELECT new.tenant_id, new.delivery_id, new.number, new.started_at, new.duration_ms, new.request_headers,
            new.response_status, new.response_headers, new.response_body, new.error_code, new.error_message,
            new.timing::integer[]
        FROM unnest($1::bigint[], $2::uuid[], $8::smallint[], $14::timestamptz[], $15::integer[], $16::text[],
                $10::smallint[], $17::text[], $18::bytea[], $19::text[], $20::text[], $21::text[])
            AS new (tenant_id, delivery_id, number, started_at, duration_ms, request_headers, response_status,
                response_headers, response_body, error_code, error_message, timing)
        JOIN written ON written.tenant_id = new.tenant_id AND written.id = new.delivery_id
        ON CONFLICT DO NOTHING)";

/// Outbox rows. The first condition makes it a lookup by the primary key, whatever size the planner believes in.
const COMPLETED: &str = "
    completed AS (
        DELETE FROM outbox
        WHERE event_id = ANY ($22)
            AND (event_id, chunk) IN (SELECT * FROM unnest($22::uuid[], $23::integer[])))";

/// Deliveries without an attempt: made, ended, or deferred, which only ever moves forward.
const HELD: &str = ",
    held AS (
        INSERT INTO deliveries AS stored
            (tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, next_attempt_at,
            response_status, error, created_at, completed_at, replay_of)
        SELECT tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, next_attempt_at,
            response_status, error, created_at,
            CASE WHEN status <> 'pending' THEN greatest(now(), created_at) END, replay_of
        FROM unnest($#::bigint[], $#::uuid[], $#::uuid[], $#::text[], $#::bigint[], $#::text[], $#::text[],
                $#::smallint[], $#::timestamptz[], $#::smallint[], $#::text[], $#::timestamptz[], $#::uuid[])
            AS new (tenant_id, id, event_id, event_type, endpoint_id, kind, status, attempt_count, next_attempt_at,
                response_status, error, created_at, replay_of)
        ON CONFLICT (tenant_id, id) DO UPDATE
        SET status = EXCLUDED.status, next_attempt_at = EXCLUDED.next_attempt_at,
            error = coalesce(EXCLUDED.error, stored.error), completed_at = EXCLUDED.completed_at
        WHERE stored.status = 'pending' AND stored.attempt_count = EXCLUDED.attempt_count
            AND (EXCLUDED.status <> 'pending' OR EXCLUDED.next_attempt_at > stored.next_attempt_at)
        RETURNING tenant_id, id, endpoint_id, status, attempt_count, next_attempt_at)";

/// Endpoints' health: `HealthRun::apply` in SQL. Rows are locked in the order of their ids, and only those that may
/// change: a healthy endpoint that succeeds is not even locked. `written` decides whether a run counts, so that a
/// repeated statement does not count it again.
///
/// What the endpoint's owner is told of is an event of the tenant like any other, accepted by this very statement: it
/// exists if and only if the endpoint was disabled, or began to fail, by it. A query string may hold a password, and
/// the event goes to other endpoints: it is left out. The notification calls the relay (`listen::CHANNEL`).
const HEALTH: &str = ",
    run AS (
        SELECT *
        FROM unnest($#::bigint[], $#::bigint[], $#::integer[], $#::boolean[], $#::integer[], $#::integer[],
                $#::boolean[], $#::smallint[], $#::text[])
            AS new (tenant_id, endpoint_id, leading_failures, succeeded, longest_after, trailing_failures, gone,
                last_status, last_error)
        WHERE EXISTS (
            SELECT
            FROM written
            WHERE written.tenant_id = new.tenant_id AND written.endpoint_id = new.endpoint_id)),
    locked AS MATERIALIZED (
        SELECT endpoint.tenant_id, endpoint.id, endpoint.disabled_reason, endpoint.consecutive_failures,
            endpoint.failing_since, run.last_status, run.last_error,
            least(endpoint.consecutive_failures::bigint + run.leading_failures, 2147483647)::integer AS first_row,
            run.leading_failures, run.succeeded, run.longest_after, run.trailing_failures, run.gone
        FROM run
        JOIN endpoints AS endpoint ON endpoint.id = run.endpoint_id AND endpoint.tenant_id = run.tenant_id
        WHERE endpoint.id = ANY ($#) AND endpoint.deleted_at IS NULL
            AND (endpoint.consecutive_failures > 0 OR run.leading_failures > 0 OR run.longest_after > 0 OR run.gone)
        ORDER BY endpoint.id
        FOR NO KEY UPDATE OF endpoint),
    counted AS (
        SELECT *,
            CASE WHEN succeeded THEN trailing_failures ELSE first_row END AS failures,
            CASE
                WHEN disabled_reason IS NOT NULL THEN NULL
                WHEN gone THEN 'gone'
                WHEN limits.disable_after > 0
                    AND (leading_failures > 0 AND first_row >= limits.disable_after
                        OR longest_after >= limits.disable_after) THEN 'consecutive_failures'
            END AS new_reason
        FROM locked, (SELECT $#::integer AS disable_after) AS limits),
    judged AS (
        SELECT *,
            disabled_reason IS NULL AND new_reason IS NULL AND disable_after > 0
                AND failures >= (disable_after + 1) / 2
                AND (succeeded OR consecutive_failures < (disable_after + 1) / 2) AS begins_to_fail,
            CASE
                WHEN failures = 0 THEN NULL
                WHEN succeeded OR consecutive_failures = 0 THEN now()
                ELSE coalesce(failing_since, now())
            END AS row_since
        FROM counted),
    changed AS (
        UPDATE endpoints AS endpoint
        SET consecutive_failures = judged.failures,
            failing_since = judged.row_since,
            disabled_reason = coalesce(endpoint.disabled_reason, judged.new_reason),
            disabled_at = CASE WHEN judged.new_reason IS NULL THEN endpoint.disabled_at ELSE now() END
        FROM judged
        WHERE endpoint.id = judged.id
            AND (judged.failures <> judged.consecutive_failures OR judged.new_reason IS NOT NULL
                OR judged.row_since IS DISTINCT FROM judged.failing_since)
        RETURNING endpoint.tenant_id, endpoint.id, endpoint.uid, endpoint.url, endpoint.description, endpoint.profile,
            endpoint.consecutive_failures, endpoint.failing_since, judged.new_reason, judged.begins_to_fail,
            judged.disable_after, judged.last_status, judged.last_error),
    bumped AS (
        UPDATE tenants AS tenant
        SET endpoints_version = tenant.endpoints_version + 1
        FROM (
            SELECT id
            FROM tenants
            WHERE id IN (SELECT tenant_id FROM changed WHERE new_reason IS NOT NULL)
            ORDER BY id
            FOR NO KEY UPDATE) AS affected
        WHERE tenant.id = affected.id
        RETURNING tenant.id, tenant.endpoints_version),
    told AS MATERIALIZED (
        SELECT changed.tenant_id, uuid_v7() AS event_id,
            CASE WHEN changed.new_reason IS NULL THEN 'endpoint.failing' ELSE 'endpoint.disabled' END AS type,
            json_build_object(
                'id', changed.id,
                'uid', changed.uid,
                'url', split_part(changed.url, '?', 1),
                'description', changed.description,
                'profile', changed.profile,
                'isActive', changed.new_reason IS NULL,
                'reason', coalesce(changed.new_reason, 'consecutive_failures'),
                'consecutiveFailures', changed.consecutive_failures,
                'disableAfter', changed.disable_after,
                'failingSince',
                to_char(changed.failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
                'lastResponseStatus', changed.last_status,
                'lastError', changed.last_error)::text AS data,
            -- Where it was disabled, the event is for endpoints as they are then.
            coalesce(bumped.endpoints_version, tenant.endpoints_version) AS endpoints_version
        FROM changed
        JOIN tenants AS tenant ON tenant.id = changed.tenant_id
        LEFT JOIN bumped ON bumped.id = changed.tenant_id
        WHERE changed.new_reason IS NOT NULL OR changed.begins_to_fail),
    accepted AS (
        INSERT INTO events (tenant_id, id, type, data, occurred_at, endpoints_version)
        SELECT tenant_id, event_id, type, data, now(), endpoints_version
        FROM told),
    queued AS (
        INSERT INTO outbox (event_id, tenant_id, lane, state)
        SELECT event_id, tenant_id, 'fast', 'unsent'
        FROM told
        RETURNING pg_notify('plumbline_outbox', ''))";

const ANSWER: &str = "
    SELECT tenant_id, id, endpoint_id, status, attempt_count, next_attempt_at
    FROM written";

const ANSWER_HELD: &str = "
    UNION ALL
    SELECT tenant_id, id, endpoint_id, status, attempt_count, next_attempt_at
    FROM held";

const ANSWER_DISABLED: &str = "
    UNION ALL
    SELECT tenant_id, NULL, id, new_reason, NULL, NULL
    FROM changed
    WHERE new_reason IS NOT NULL";

type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Outcomes as columns.
#[derive(Default)]
struct Rows<'a> {
    tenants: Vec<i64>,
    ids: Vec<Uuid>,
    events: Vec<Uuid>,
    event_types: Vec<&'a str>,
    endpoints: Vec<i64>,
    kinds: Vec<&'static str>,
    statuses: Vec<&'static str>,
    attempt_counts: Vec<i16>,
    next_attempts: Vec<Option<Timestamp>>,
    response_statuses: Vec<Option<i16>>,
    errors: Vec<Option<&'static str>>,
    created_at: Vec<Timestamp>,
    replays_of: Vec<Option<Uuid>>,
    started_at: Vec<Timestamp>,
    durations_ms: Vec<i32>,
    request_headers: Vec<Cow<'a, str>>,
    response_headers: Vec<Option<Cow<'a, str>>>,
    response_bodies: Vec<Option<&'a [u8]>>,
    error_codes: Vec<Option<&'static str>>,
    error_messages: Vec<Option<Cow<'a, str>>>,
    /// As PostgreSQL writes arrays: an array of arrays of them could not be unnested.
    timings: Vec<Option<String>>,
}

impl<'a> Rows<'a> {
    fn gather(outcomes: impl Iterator<Item = &'a RecordedAttempt>) -> Self {
        let mut rows = Self::default();
        for outcome in outcomes {
            rows.tenants.push(outcome.tenant.0);
            rows.ids.push(outcome.delivery.0);
            rows.events.push(outcome.event.0);
            rows.event_types.push(outcome.event_type.as_str());
            rows.endpoints.push(outcome.endpoint.0);
            rows.kinds.push(outcome.kind.as_str());
            rows.statuses.push(outcome.status.as_str());
            let made = match outcome.attempt {
                Some(_) => outcome.number,
                None => outcome.number.saturating_sub(1),
            };
            rows.attempt_counts.push(small(made));
            rows.next_attempts.push(outcome.next_attempt_at);
            rows.response_statuses.push(outcome.response_status.map(small));
            rows.errors.push(outcome.error.map(FailureCode::as_str));
            rows.created_at.push(outcome.created_at);
            rows.replays_of.push(outcome.replay_of.map(|delivery| delivery.0));
            if let Some(attempt) = &outcome.attempt {
                rows.push_attempt(attempt);
            }
        }
        rows
    }

    /// What a receiver sent is made to fit: one hostile answer must not fail the batch of all the others.
    fn push_attempt(&mut self, attempt: &'a AttemptRow) {
        self.started_at.push(attempt.started_at);
        self.durations_ms.push(int(attempt.duration_ms));
        self.request_headers.push(without_nul(&attempt.request_headers));
        self.response_headers
            .push(attempt.response_headers.as_deref().map(without_nul));
        let body = attempt.response_body.as_deref();
        self.response_bodies
            .push(body.map(|body| &body[..body.len().min(BODY_KEPT_BYTES_MAX)]));
        self.error_codes.push(attempt.error_code.map(FailureCode::as_str));
        let message = attempt.error_message.as_deref().map(|message| {
            let end = message
                .char_indices()
                .nth(ERROR_MESSAGE_CHARS_MAX)
                .map_or(message.len(), |(end, _)| end);
            without_nul(&message[..end])
        });
        self.error_messages.push(message);
        self.timings.push(attempt.timing.as_ref().map(timing_text));
    }

    fn deliveries(&self) -> Vec<Parameter<'_>> {
        vec![
            &self.tenants,
            &self.ids,
            &self.events,
            &self.event_types,
            &self.endpoints,
            &self.kinds,
            &self.statuses,
            &self.attempt_counts,
            &self.next_attempts,
            &self.response_statuses,
            &self.errors,
            &self.created_at,
            &self.replays_of,
        ]
    }

    fn attempts(&self) -> Vec<Parameter<'_>> {
        vec![
            &self.started_at,
            &self.durations_ms,
            &self.request_headers,
            &self.response_headers,
            &self.response_bodies,
            &self.error_codes,
            &self.error_messages,
            &self.timings,
        ]
    }
}

/// `{NULL,NULL,NULL,1234,56}`: the parts in microseconds.
fn timing_text(timing: &Timing) -> String {
    let mut text = String::with_capacity(32);
    for part in timing.parts() {
        text.push(if text.is_empty() { '{' } else { ',' });
        match part {
            Some(part) => {
                let micros = i32::try_from(part.as_micros()).unwrap_or(i32::MAX);
                // Writing to a string cannot fail.
                let _ = write!(text, "{micros}");
            }
            None => text.push_str("NULL"),
        }
    }
    text.push('}');
    text
}

/// PostgreSQL's text has no U+0000.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// Outbox rows as columns, in one order.
struct Completed {
    events: Vec<Uuid>,
    chunks: Vec<i32>,
}

impl Completed {
    fn gather(rows: &[(EventId, i32)]) -> Self {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        let (events, chunks) = rows.into_iter().map(|(event, chunk)| (event.0, chunk)).unzip();
        Self { events, chunks }
    }

    fn parameters(&self) -> [Parameter<'_>; 2] {
        [&self.events, &self.chunks]
    }
}

/// Endpoints' runs as columns.
#[derive(Default)]
struct Health {
    tenants: Vec<i64>,
    endpoints: Vec<i64>,
    leading: Vec<i32>,
    succeeded: Vec<bool>,
    longest_after: Vec<i32>,
    trailing: Vec<i32>,
    gone: Vec<bool>,
    /// How the last failed attempt of the batch ended: the answer's status, or why there was none.
    last_statuses: Vec<Option<i16>>,
    last_errors: Vec<Option<&'static str>>,
}

impl Health {
    fn gather(batch: &RecordBatch) -> Self {
        let mut runs: HashMap<(TenantId, EndpointId), (HealthRun, bool)> = batch
            .health
            .iter()
            .map(|(tenant, endpoint, run)| ((*tenant, *endpoint), (*run, false)))
            .collect();
        for (tenant, endpoint) in &batch.gone {
            runs.entry((*tenant, *endpoint)).or_default().1 = true;
        }
        let mut failed: HashMap<EndpointId, &RecordedAttempt> = HashMap::new();
        if runs
            .values()
            .any(|(run, gone)| *gone || run.leading > 0 || run.longest_after > 0)
        {
            let attempts = batch.outcomes.iter().filter(|outcome| outcome.attempt.is_some());
            let failures = attempts.filter(|outcome| outcome.status != DeliveryStatus::Succeeded);
            failed.extend(failures.map(|outcome| (outcome.endpoint, outcome)));
        }
        let mut health = Self::default();
        for ((tenant, endpoint), (run, gone)) in runs {
            let last = failed.get(&endpoint);
            let last_status = last.and_then(|outcome| outcome.response_status);
            health.last_statuses.push(last_status.map(small));
            let last_error = last.and_then(|outcome| outcome.error);
            health.last_errors.push(last_error.map(FailureCode::as_str));
            health.tenants.push(tenant.0);
            health.endpoints.push(endpoint.0);
            health.leading.push(int(run.leading));
            health.succeeded.push(run.succeeded);
            health.longest_after.push(int(run.longest_after));
            health.trailing.push(int(run.trailing));
            health.gone.push(gone);
        }
        health
    }

    fn parameters(&self) -> [Parameter<'_>; 10] {
        [
            &self.tenants,
            &self.endpoints,
            &self.leading,
            &self.succeeded,
            &self.longest_after,
            &self.trailing,
            &self.gone,
            &self.last_statuses,
            &self.last_errors,
            // Once more, as the condition by which the endpoints are looked up.
            &self.endpoints,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through_the_parts() {
        for (held, health, last) in [
            (false, false, 23),
            (false, true, 34),
            (true, false, 36),
            (true, true, 47),
        ] {
            let sql = Variant { held, health }.sql();
            assert!(sql.contains(&format!("${last}::")) && !sql.contains(&format!("${}::", last + 1)));
            assert!(!sql.contains("$#"));
        }
    }
}
