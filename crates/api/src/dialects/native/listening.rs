//! Listening for events: a stream that misses nothing, also across a connection that was cut.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, HttpResponse, web};
use async_trait::async_trait;
use plumbline_domain::permission::Access;
use plumbline_domain::{EventId, EventType, Scope, TenantId, Timestamp};
use plumbline_engine::Engine;

use super::envelope;
use super::openapi::{Common, Described, Scoped};
use super::wire::EventWire;
use crate::http::{Caller, Failure, Found, Message, Parameters, Source, stream};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often a listener's events are looked for.
const LISTEN_EVERY: Duration = Duration::from_millis(300);
/// How far back each look goes: an event's id is older than its commit, and replicas' clocks differ.
const LATE_MAX: Duration = Duration::from_secs(10);
/// How far back every [`FAR_LOOK`]th look goes: a host application's transaction may be open for long.
const FAR_LATE_MAX: Duration = Duration::from_secs(10 * 60);
/// Every so many looks one goes far back.
const FAR_LOOK: u32 = 20;
/// How far back a listener may go on.
const RESUME_MAX: Duration = Duration::from_secs(60 * 60);
/// Ids that one look reads at most.
const LOOKED_AT_MAX: usize = 1_000;
/// Events that one look tells at most: each may have 256 KiB.
const TOLD_MAX: usize = 16;
/// Ids that a listener remembers at most.
const REMEMBERED_MAX: usize = 20_000;
/// Types that a listener may name.
const TYPES_MAX: usize = 200;

/// Listen for events: a stream of server-sent events.
///
/// First comes an event `ready`; then an event `event`, whose id is an event's and whose data is the event as in
/// `GET /api/v1/events/{id}`, for each that is accepted from then on, about in order and 0.3 seconds later; and every
/// 15 seconds a comment. Whoever was cut off sends the last id as `Last-Event-ID` and misses nothing of the last hour;
/// some events come twice then. The stream ends with an event `end` and the data `{"reason": "too_long"}` after an
/// hour, `"shutdown"` when the service stops, `"signed_out"` when the key or the session is no longer valid. At most
/// 10 streams of a key or user in each replica.
///
/// Needs the scope `events:read`.
#[utoipa::path(
    get,
    path = "/api/v1/events/stream",
    tag = "Events",
    operation_id = "listenToEvents",
    params(
        ("types" = Option<String>, Query, description = "Only events of these types, separated by commas.", example = "bid.accepted,bid.rejected"),
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event.", example = "evt_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")
    ),
    responses(
        (status = 200, description = "Server-sent events, for as long as the connection stands.", body = String, content_type = "text/event-stream"),
        Described<(Common, Scoped)>
    )
)]
pub(super) async fn listen(
    caller: Caller,
    request: HttpRequest,
    mut parameters: Parameters,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(Scope::EventsRead, Access::Read)?;
    let types = parameters
        .parsed(
            "types",
            |text| {
                let types: Option<Vec<EventType>> =
                    text.split(',').map(|name| name.trim().parse().ok()).collect();
                types.filter(|types| types.len() <= TYPES_MAX)
            },
            "must be names of event types, separated by commas: GET /api/v1/webhook-event-types lists them",
        )
        .unwrap_or_default();
    parameters.finish()?;
    let last = request
        .headers()
        .get(LAST_EVENT_ID)
        .map(|value| {
            let id = value.to_str().ok().and_then(|text| text.parse::<EventId>().ok());
            id.ok_or_else(|| {
                Failure::Malformed(
                    "Last-Event-ID must be the id of an event, `evt_` and 32 hex digits: leave it out to begin now".to_owned(),
                )
            })
        })
        .transpose()?;

    let mut listening = Listening::new(engine.get_ref().clone(), tenant, types, last, Timestamp::now());
    if last.is_none() {
        listening.pass_over().await?;
    }
    stream(
        &request,
        caller.principal(),
        Scope::EventsRead,
        listening,
        LISTEN_EVERY,
    )
}

/// What a listener has been told.
struct Listening {
    engine: Engine,
    tenant: TenantId,
    types: Vec<EventType>,
    told: Told,
}

impl Listening {
    fn new(
        engine: Engine,
        tenant: TenantId,
        types: Vec<EventType>,
        last: Option<EventId>,
        now: Timestamp,
    ) -> Self {
        Self {
            engine,
            tenant,
            types,
            told: Told::from(last, now),
        }
    }

    async fn ids_after(&self, after: EventId) -> Result<Vec<EventId>, plumbline_engine::Error> {
        self.engine
            .event_ids_after(self.tenant, after, &self.types, LOOKED_AT_MAX)
            .await
    }

    /// What has been accepted by now is not news.
    async fn pass_over(&mut self) -> Result<(), plumbline_engine::Error> {
        loop {
            let ids = self.ids_after(self.told.from).await?;
            let is_full = ids.len() == LOOKED_AT_MAX;
            self.told.note(&ids);
            match ids.last() {
                Some(last) if is_full => self.told.from = *last,
                _ => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl Source for Listening {
    async fn look(&mut self) -> Result<Found, plumbline_engine::Error> {
        let now = Timestamp::now();
        let (after, is_far) = self.told.look_after(now);
        let ids = self.ids_after(after).await?;
        let is_full = ids.len() == LOOKED_AT_MAX;
        let mut fresh: Vec<EventId> = ids.iter().copied().filter(|id| !self.told.knows(*id)).collect();
        let is_more = fresh.len() > TOLD_MAX;
        fresh.truncate(TOLD_MAX);
        let events = if fresh.is_empty() {
            vec![]
        } else {
            self.engine.events_of(self.tenant, &fresh).await?
        };
        self.told.note(&fresh);
        if !is_more {
            match ids.last() {
                Some(last) if is_full => {
                    if !is_far {
                        self.told.from = *last;
                    }
                }
                _ => self.told.caught_up(now),
            }
        }
        let messages = events
            .into_iter()
            .map(|event| Message {
                event: "event",
                id: Some(event.id.to_string()),
                data: envelope::bare(&EventWire::from(event)),
            })
            .collect();
        Ok(Found {
            messages,
            is_more: is_more || (is_full && !is_far),
        })
    }
}

/// Which events have been told, and from where on there may be others.
struct Told {
    /// Nothing before it is looked at.
    begin: EventId,
    /// Where an ordinary look begins.
    from: EventId,
    ids: BTreeSet<EventId>,
    looks: u32,
}

impl Told {
    fn from(last: Option<EventId>, now: Timestamp) -> Self {
        let resumed = last.map_or(now, EventId::timestamp);
        let begin = before(resumed, LATE_MAX).max(before(now, RESUME_MAX));
        Self {
            begin,
            from: begin,
            ids: last.into_iter().collect(),
            looks: 0,
        }
    }

    /// After which id to look now, and whether the look goes far back.
    fn look_after(&mut self, now: Timestamp) -> (EventId, bool) {
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(FAR_LOOK) {
            let far = before(now, FAR_LATE_MAX).max(self.begin);
            (far.min(self.from), far < self.from)
        } else {
            (self.from, false)
        }
    }

    fn knows(&self, id: EventId) -> bool {
        self.ids.contains(&id)
    }

    fn note(&mut self, ids: &[EventId]) {
        self.ids.extend(ids);
        // What is forgotten is not looked at again.
        while self.ids.len() > REMEMBERED_MAX
            && let Some(oldest) = self.ids.pop_first()
        {
            self.begin = self.begin.max(oldest);
        }
        self.from = self.from.max(self.begin);
    }

    /// Everything up to now has been told, but for what commits late.
    fn caught_up(&mut self, now: Timestamp) {
        self.from = self.from.max(before(now, LATE_MAX));
        let forgotten = before(now, FAR_LATE_MAX);
        if forgotten > self.begin && self.from > forgotten {
            self.begin = forgotten;
            self.ids = self.ids.split_off(&forgotten);
        }
    }
}

/// About the smallest id of so long before a moment.
fn before(moment: Timestamp, time: Duration) -> EventId {
    EventId::new(moment.checked_sub(time).unwrap_or(Timestamp::MIN), [0; 10])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn event_of(at: i64, random: u8) -> EventId {
        EventId::new(second(at), [random; 10])
    }

    #[test]
    fn a_listener_goes_on_a_little_before_what_it_heard_last_and_at_most_an_hour_ago() {
        let last = event_of(5_000, 7);
        let told = Told::from(Some(last), second(5_100));
        assert_eq!(told.from, before(second(5_000), LATE_MAX));
        assert!(told.knows(last));
        let told = Told::from(Some(last), second(50_000));
        assert_eq!(told.from, before(second(50_000), RESUME_MAX));
    }

    #[test]
    fn looks_begin_a_little_back_and_some_far_back_but_never_at_what_is_forgotten() {
        let mut told = Told::from(None, second(10_000));
        told.caught_up(second(10_500));
        assert_eq!(told.from, before(second(10_500), LATE_MAX));
        let looks: Vec<(EventId, bool)> = (0..FAR_LOOK).map(|_| told.look_after(second(10_500))).collect();
        assert!(
            looks[..looks.len() - 1]
                .iter()
                .all(|look| *look == (told.from, false))
        );
        assert_eq!(
            looks.last(),
            Some(&(told.begin, true)),
            "not before the stream began"
        );

        let (old, new) = (event_of(10_500, 1), event_of(11_200, 1));
        told.note(&[old, new]);
        told.caught_up(second(11_300));
        assert!(!told.knows(old) && told.knows(new));
        assert_eq!(
            told.begin,
            before(second(11_300), FAR_LATE_MAX),
            "what is forgotten is passed over"
        );
    }

    #[test]
    fn a_listener_remembers_so_much_and_does_not_tell_again_what_it_forgot() {
        let mut told = Told::from(None, second(10_000));
        let ids: Vec<EventId> = (0..=i64::try_from(REMEMBERED_MAX).expect("fits"))
            .map(|number| event_of(10_000 + number, 0))
            .collect();
        told.note(&ids);
        assert!(!told.knows(ids[0]) && told.knows(ids[1]));
        assert_eq!((told.begin, told.from), (ids[0], ids[0]));
    }
}
