//! Events: publish one or many, and read them back.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use plumbline_domain::permission::Access;
use plumbline_domain::{EventId, EventType, JsonText, Scope, Timestamp};
use plumbline_engine::events::{BATCH_MAX, KeyedAnswer, NewEvent, Published};
use plumbline_engine::{Engine, FieldError};

use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, InList, OfRecord, Scoped, WithBody, WithPayload};
use super::wire::{AcceptedWire, EventWire, PublicationDocument, PublishedWire};
use crate::http::{
    Answer, Caller, Cursors, Failure, Fields, Incoming, ListKind, Mutation, Parameters, RequestId, Uncounted,
    elements, replay,
};

/// From this size on a body is read off the thread that serves connections: a batch takes milliseconds, in which the
/// requests of others on that thread would stand still.
const LARGE_BODY_BYTES: usize = 64 * 1024;

/// Publish one event, or up to 1,000 together: all of them or none.
///
/// 202 says that the events are committed, and will be delivered to every active endpoint that subscribes to their
/// types. `data` and `previous_attributes` are kept and delivered byte for byte.
///
/// Needs the scope `events:write`.
#[utoipa::path(
    post,
    path = "/api/v1/events",
    tag = "Events",
    operation_id = "publishEvents",
    request_body(content = PublicationDocument, description = "One event, or an object with several under `events`.", examples(
        ("one" = (summary = "One event", value = json!({"type": "bid.accepted", "data": {"id": 22, "status": "accepted"}}))),
        ("change" = (summary = "A change, with the prior values", value = json!({
            "type": "project.status_changed",
            "data": {"id": 44, "name": "Acme HQ Renovation", "status": "completed"},
            "previous_attributes": {"status": "active"},
            "occurredAt": "2026-04-25T18:30:00.000Z"
        }))),
        ("batch" = (summary = "Several events", value = json!({"events": [
            {"type": "bid.created", "data": {"id": 11, "bidNumber": "BID-001", "status": "draft"}},
            {"type": "contact.created", "data": {"id": 5, "firstName": "Jane", "lastName": "Doe", "type": "customer"}}
        ]})))
    )),
    responses(
        (status = 202, description = "Committed: the id of the event, or the ids in the order of the request.", body = Envelope<PublishedWire>),
        Described<(Common, Scoped, WithBody, WithPayload)>
    )
)]
pub(super) async fn publish(
    Uncounted(caller): Uncounted,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::EventsWrite, Access::Write)?;
    let Mutation {
        mut body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let Publication { events, is_batch } = read_publication(body.bytes()).await?;
    // The events have texts of their own, and the commit may take a while.
    body.forget();

    let keyed = idempotency.map(|idempotency| KeyedAnswer {
        idempotency,
        render: Box::new(move |ids: &[EventId]| accepted(request_id, ids, is_batch).to_store()),
    });
    match engine.publish(tenant, events, keyed, is_batch).await? {
        Published::Accepted(ids) => Ok(accepted(request_id, &ids, is_batch).into_response()),
        Published::Replay(stored) => Ok(replay(stored)),
    }
}

fn accepted(id: RequestId, ids: &[EventId], is_batch: bool) -> Answer {
    let mut accepted = ids.iter().map(|id| AcceptedWire { id: id.to_string() });
    let published = match accepted.next() {
        Some(only) if !is_batch => PublishedWire::One(only),
        first => PublishedWire::Many(first.into_iter().chain(accepted).collect()),
    };
    Answer::json(StatusCode::ACCEPTED, envelope::text(id, published))
}

/// What a body asks to publish.
#[derive(Debug)]
struct Publication {
    events: Vec<NewEvent>,
    /// Whether they came under `events`, so that the answer and the faults are a list's.
    is_batch: bool,
}

async fn read_publication(body: &Bytes) -> Result<Publication, Failure> {
    if body.len() < LARGE_BODY_BYTES {
        return publication(body);
    }
    let body = body.clone();
    tokio::task::spawn_blocking(move || publication(&body))
        .await
        .unwrap_or_else(|error| Err(Failure::Unexpected(error.to_string())))
}

/// The events that a body asks to publish.
pub(crate) fn asked(body: &[u8]) -> Result<Vec<NewEvent>, Failure> {
    publication(body).map(|publication| publication.events)
}

fn publication(body: &[u8]) -> Result<Publication, Failure> {
    let mut fields = Fields::of_body(body)?;
    if !fields.has("events") {
        let event = new_event(&mut fields);
        return Ok(Publication {
            events: vec![fields.finish(event)?],
            is_batch: false,
        });
    }
    let items = fields.required::<Items<'_>>("events");
    let Items(items) = fields.finish(items)?;
    let mut faults = vec![];
    let mut events = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match Fields::of_part(item, &format!("events[{index}]")) {
            Ok(mut fields) => {
                let event = new_event(&mut fields);
                events.extend(fields.finish_part(event, &mut faults));
            }
            Err(Failure::Invalid(mut invalid)) => faults.append(&mut invalid),
            Err(failure) => return Err(failure),
        }
    }
    if faults.is_empty() {
        Ok(Publication {
            events,
            is_batch: true,
        })
    } else {
        Err(Failure::Invalid(faults))
    }
}

fn new_event(fields: &mut Fields<'_>) -> Option<NewEvent> {
    let event_type = fields.required::<String>("type");
    let data = fields.required::<JsonText>("data");
    let previous_attributes = fields.optional::<JsonText>("previous_attributes");
    let occurred_at = fields.optional::<Timestamp>("occurredAt");
    let (event_type, data) = event_type.zip(data)?;
    Some(NewEvent {
        event_type,
        data,
        previous_attributes,
        occurred_at,
    })
}

/// The elements of a batch, not yet read.
struct Items<'a>(Vec<&'a serde_json::value::RawValue>);

impl<'a> crate::http::FromJson<'a> for Items<'a> {
    fn from_json(
        value: &'a serde_json::value::RawValue,
        path: &str,
        faults: &mut Vec<FieldError>,
    ) -> Option<Self> {
        let items = elements(value, path, BATCH_MAX, "an array of events", faults)?;
        if items.is_empty() {
            faults.push(FieldError::new(
                path,
                "required",
                format!("must have 1 to {BATCH_MAX} events"),
            ));
            return None;
        }
        Some(Self(items))
    }
}

/// The tenant's events, newest first.
///
/// Needs the scope `events:read`.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    tag = "Events",
    operation_id = "listEvents",
    params(
        ("type" = Option<String>, Query, description = "Only events of this type.", example = "bid.accepted"),
        super::openapi::PageParameters
    ),
    responses((status = 200, description = "A page of events.", body = Page<EventWire>), Described<(Common, Scoped, InList)>)
)]
pub(super) async fn list(
    caller: Caller,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::EventsRead, Access::Read)?;
    let remedy = "is not an event type: GET /api/v1/webhook-event-types lists them";
    let event_type = parameters.parsed("type", |text| text.parse::<EventType>().ok(), remedy);
    let page = parameters.page::<EventId>(tenant, ListKind::Events)?;

    let events = engine
        .events(tenant, page.after, Paging::fetch(page.limit), event_type.as_ref())
        .await?;
    let paging = Paging {
        tenant,
        list: ListKind::Events,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, events, |event| event.id, EventWire::from))
}

/// One event.
///
/// Needs the scope `events:read`.
#[utoipa::path(
    get,
    path = "/api/v1/events/{id}",
    tag = "Events",
    operation_id = "getEvent",
    params(("id" = String, Path, description = "The event's id.", example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")),
    responses((status = 200, description = "The event.", body = Envelope<EventWire>), Described<(Common, Scoped, OfRecord)>)
)]
pub(super) async fn read(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::EventsRead, Access::Read)?;
    parameters.finish()?;
    let event = path.parse().map_err(|_| Failure::NotFound("event"))?;

    let event = engine.event(tenant, event).await?;
    Ok(envelope::ok(id, EventWire::from(event)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults(body: &str) -> Vec<String> {
        match publication(body.as_bytes()) {
            Err(Failure::Invalid(faults)) => faults
                .iter()
                .map(|fault| format!("{}: {}", fault.field, fault.code))
                .collect(),
            outcome => panic!("{body} should be invalid, and is {outcome:?}"),
        }
    }

    #[test]
    fn s1_22_data_is_taken_byte_for_byte() {
        let data = r#"{ "firstName":"\u00e9\/", "n": 1e400,"b":1,"a":2,"a":3 ,"s":"\ud800"}"#;
        let previous = r#"{"n":-0.0e-0}"#;
        let body =
            format!(r#"{{"data" : {data} , "type":"contact.created","previous_attributes":{previous}}}"#);
        let Publication { events, is_batch } = publication(body.as_bytes()).expect("an event");
        assert!(!is_batch);
        assert_eq!(events[0].event_type, "contact.created");
        assert_eq!(events[0].data.as_str(), data);
        assert_eq!(
            events[0].previous_attributes.as_ref().map(JsonText::as_str),
            Some(previous)
        );
    }

    #[test]
    fn a_batch_keeps_its_order() {
        let body = r#"{"events":[{"type":"a.b","data":{}},{"type":"a.c","data":{"x":1},"occurredAt":"2026-04-25T17:42:01Z"}]}"#;
        let Publication { events, is_batch } = publication(body.as_bytes()).expect("a batch");
        let types: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!((types, is_batch), (vec!["a.b", "a.c"], true));
        assert!(events[1].occurred_at.is_some());
    }

    #[test]
    fn every_fault_of_a_batch_is_named_where_it_is() {
        let body = r#"{"events":[{"type":"a.b","data":{}},{"type":1,"data":{}},7,{"type":"a.b","typ":"x"},{"type":"a.b","data":{},"data":{},"occurredAt":"now"}]}"#;
        assert_eq!(
            faults(body),
            [
                "events[1].type: invalid_type",
                "events[2]: invalid_type",
                "events[3].data: required",
                "events[3].typ: unknown_field",
                "events[4].data: duplicate_field",
                "events[4].occurredAt: invalid",
            ]
        );
    }

    #[test]
    fn a_publication_is_one_event_or_a_batch_of_1_to_1000() {
        assert_eq!(faults("{}"), ["type: required", "data: required"]);
        assert_eq!(faults(r#"{"events":[]}"#), ["events: required"]);
        assert_eq!(faults(r#"{"events":{}}"#), ["events: invalid_type"]);
        assert_eq!(faults(r#"{"events":null}"#), ["events: invalid_type"]);
        assert_eq!(faults(r#"{"events":[1],"type":"a.b"}"#), ["type: unknown_field"]);
        let batch = |count: usize| {
            format!(
                r#"{{"events":[{}]}}"#,
                vec![r#"{"type":"a.b","data":{}}"#; count].join(",")
            )
        };
        assert_eq!(
            publication(batch(1_000).as_bytes())
                .expect("a batch")
                .events
                .len(),
            1_000
        );
        assert_eq!(faults(&batch(1_001)), ["events: too_many"]);
        assert_eq!(faults(&batch(50_000)), ["events: too_many"]);
    }

    #[test]
    fn no_nesting_crashes_the_reader() {
        for depth in [65, 10_000, 1_000_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let body = format!(r#"{{"type":"a.b","data":{{"x":{deep}}}}}"#);
            let events = publication(body.as_bytes())
                .expect("readable: the engine says that it is too deep")
                .events;
            assert_eq!(events[0].data.nesting(), depth + 1);
        }
    }

    #[test]
    fn an_answer_lists_ids_only_for_a_batch() {
        let id = RequestId::fresh();
        let event = EventId(uuid::Uuid::nil());
        let body = |is_batch| accepted(id, &[event], is_batch).to_store().body;
        assert!(
            body(false).starts_with(&format!(r#"{{"data":{{"id":"{event}"}}"#)),
            "{}",
            body(false)
        );
        assert!(
            body(true).starts_with(&format!(r#"{{"data":[{{"id":"{event}"}}]"#)),
            "{}",
            body(true)
        );
    }

    proptest! {
        #[test]
        fn whatever_json_data_is_it_stays_as_it_is(keys in proptest::collection::vec("[a-z\\\\n\"]{0,5}", 0..5), spaces in "[ \t\n]{0,3}") {
            let members: Vec<String> = keys.iter().map(|key| format!("{}:{spaces}1e999", serde_json::to_string(key).expect("a string"))).collect();
            let data = format!("{{{spaces}{}}}", members.join(","));
            let body = format!(r#"{{"type":"a.b",{spaces}"data":{data}{spaces}}}"#);
            let events = publication(body.as_bytes()).expect("an event").events;
            prop_assert_eq!(events[0].data.as_str(), data);
        }
    }
}
