//! Publishing events, and reading them back.

use std::sync::Arc;

use plumbline_domain::{Event, EventId, EventType, JsonText, TenantId, Timestamp};
use plumbline_store::events;
use plumbline_store::idempotency::{self, Claim};

use crate::catalogue::KnownTypes;
use crate::{Engine, Error, FieldError, Idempotency, StoredResponse};

/// The most events in one batch.
pub const BATCH_MAX: usize = 1_000;
/// How far ahead of now an event may say that it happened.
const FUTURE_MAX: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// An event to publish. The JSON texts are valid JSON, byte for byte as the producer sent them.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The canonical type, as the producer wrote it.
    pub event_type: String,
    /// A JSON object.
    pub data: JsonText,
    /// A JSON object.
    pub previous_attributes: Option<JsonText>,
    /// When it happened; now when not given.
    pub occurred_at: Option<Timestamp>,
}

/// What became of a publication.
#[derive(Debug)]
pub enum Published {
    /// Committed, together with its outbox rows, in this order.
    Accepted(Vec<EventId>),
    /// The same request was answered before: this was the answer.
    Replay(StoredResponse),
}

/// Renders the answer to a publication from its events' ids.
pub type RenderAnswer = Box<dyn FnOnce(&[EventId]) -> StoredResponse + Send>;

/// An idempotency key and how the answer will read, so that both commit with the events.
pub struct KeyedAnswer {
    /// The client's promise.
    pub idempotency: Idempotency,
    /// Renders the answer for these ids.
    pub render: RenderAnswer,
}

impl Engine {
    /// Publish events of a tenant: all of them or none. When this returns, they are committed; nothing depends on
    /// the broker being up.
    ///
    /// # Errors
    /// [`Error::Invalid`] names each faulty event's field (`events[3].type` in a batch), or the places where data
    /// violates the schema of its type (`events[3].data.items[0].price`); [`Error::PayloadTooLarge`];
    /// [`Error::IdempotencyKeyReused`]; [`Error::Unavailable`] when it is not known whether they were committed.
    pub async fn publish(
        &self,
        tenant: TenantId,
        new: Vec<NewEvent>,
        keyed: Option<KeyedAnswer>,
        batch: bool,
    ) -> Result<Published, Error> {
        let now = Timestamp::now();
        let (types, known) = self.accepted_types(tenant, &new, batch).await?;
        let limit = self.config().payload_bytes_max;
        let mut events = Vec::with_capacity(new.len());
        for (new, event_type) in new.into_iter().zip(types) {
            let bytes =
                new.data.as_str().len() + new.previous_attributes.as_ref().map_or(0, |p| p.as_str().len());
            if bytes > limit {
                return Err(Error::PayloadTooLarge { actual: bytes, limit });
            }
            events.push(Event {
                id: EventId::new(now, rand::random()),
                tenant,
                event_type,
                data: new.data,
                previous_attributes: new.previous_attributes,
                occurred_at: new.occurred_at.unwrap_or(now),
                // Set when it is committed.
                endpoints_version: 0,
            });
        }
        let data = events.iter().enumerate().map(|(index, event)| {
            let path = path(batch.then_some(index), "data");
            (&event.event_type, &event.data, path)
        });
        let faults = self.schema_faults(tenant, &known, data).await?;
        if !faults.is_empty() {
            return self.refused(tenant, faults, keyed.as_ref()).await;
        }
        self.intake().accept(tenant, events, keyed).await
    }

    /// The ids of a tenant's events after `after`, oldest first, of these types unless there are none. An event whose
    /// transaction is still open appears later, at its place: look again for some time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn event_ids_after(
        &self,
        tenant: TenantId,
        after: EventId,
        types: &[EventType],
        limit: usize,
    ) -> Result<Vec<EventId>, Error> {
        let session = self.store().session().await?;
        Ok(events::ids_after(&session, tenant, after, types, limit).await?)
    }

    /// These events, oldest first; those that there are not are left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn events_of(&self, tenant: TenantId, ids: &[EventId]) -> Result<Vec<Event>, Error> {
        let session = self.store().session().await?;
        Ok(events::get_many(&session, tenant, ids).await?)
    }

    /// Refuse a publication, unless it was accepted before: the schema may have become stricter since, and a
    /// repetition gets the answer that the first request got.
    async fn refused(
        &self,
        tenant: TenantId,
        faults: Vec<FieldError>,
        keyed: Option<&KeyedAnswer>,
    ) -> Result<Published, Error> {
        if let Some(KeyedAnswer { idempotency, .. }) = keyed {
            let session = self.store().session().await?;
            let Idempotency { key, request_hash } = idempotency;
            match idempotency::read(&session, tenant, key, request_hash).await? {
                Claim::Done(response) => return Ok(Published::Replay(response)),
                Claim::Mismatch => return Err(Error::IdempotencyKeyReused),
                Claim::Fresh => {}
            }
        }
        Err(Error::Invalid(faults))
    }

    /// Check everything that needs neither the payload's size nor a schema, and name every fault at once.
    async fn accepted_types(
        &self,
        tenant: TenantId,
        new: &[NewEvent],
        batch: bool,
    ) -> Result<(Vec<EventType>, Arc<KnownTypes>), Error> {
        let latest = Timestamp::now() + FUTURE_MAX;
        let mut faults = vec![];
        let mut types = Vec::with_capacity(new.len());
        let parsed: Vec<Result<EventType, _>> = new.iter().map(|event| event.event_type.parse()).collect();
        let catalogue = self.known_types(tenant, parsed.iter().flatten()).await?;
        for (index, (event, parsed)) in new.iter().zip(parsed).enumerate() {
            let path = |field: &str| path(batch.then_some(index), field);
            match parsed {
                Ok(event_type) if event_type.is_reserved() => faults.push(FieldError::new(
                    path("type"),
                    "reserved",
                    format!("`{event_type}` is emitted by the service itself: publish one of your own types"),
                )),
                Ok(event_type) if !catalogue.contains(&event_type) => faults.push(FieldError::new(
                    path("type"),
                    "unknown_event_type",
                    format!("`{event_type}` is not in the catalogue: define it with POST /api/v1/webhook-event-types"),
                )),
                Ok(event_type) => types.push(event_type),
                Err(error) => faults.push(FieldError::new(path("type"), "invalid", error.to_string())),
            }
            check_object(&mut faults, path("data"), &event.data);
            if let Some(previous) = &event.previous_attributes {
                check_object(&mut faults, path("previous_attributes"), previous);
            }
            if event.occurred_at.is_some_and(|at| at > latest) {
                faults.push(FieldError::new(
                    path("occurredAt"),
                    "invalid",
                    "lies more than a day in the future",
                ));
            }
        }
        if faults.is_empty() {
            Ok((types, catalogue))
        } else {
            Err(Error::Invalid(faults))
        }
    }

    /// One event.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn event(&self, tenant: TenantId, event: EventId) -> Result<Event, Error> {
        events::get(&self.store().session().await?, tenant, event)
            .await?
            .ok_or(Error::NotFound("event"))
    }

    /// A page of events, newest first, older than `before`, of one type if given.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn events(
        &self,
        tenant: TenantId,
        before: Option<EventId>,
        limit: usize,
        event_type: Option<&EventType>,
    ) -> Result<Vec<Event>, Error> {
        Ok(events::list(&self.store().session().await?, tenant, before, limit, event_type).await?)
    }
}

/// What a fault calls a field of an event: of the event at `index` of a batch, or of the only one.
fn path(index: Option<usize>, field: &str) -> String {
    match index {
        Some(index) => format!("events[{index}].{field}"),
        None => field.to_owned(),
    }
}

pub(crate) fn check_object(faults: &mut Vec<FieldError>, field: String, json: &JsonText) {
    use plumbline_domain::json::NESTING_MAX;
    if !json.is_object() {
        faults.push(FieldError::new(field, "invalid", "must be a JSON object"));
    } else if json.nesting() > NESTING_MAX {
        faults.push(FieldError::new(
            field,
            "too_deep",
            format!("is nested more than {NESTING_MAX} levels deep: flatten it"),
        ));
    }
}
