//! The tenants, their endpoints and their event types.

use std::sync::Arc;

use hyper::Method;
use plumbline_testkit::{Api, Stack};
use serde_json::{Value, json};

use crate::books::{EndpointEntry, Span};
use crate::client;
use crate::journal::{Journal, now};
use crate::receivers::{Behaviour, Receivers};

/// What most events are.
pub(crate) const USUAL: &str = "bid.created";
/// What an endpoint is subscribed to now and then.
pub(crate) const CHANGING: &str = "project.created";
/// What only hopeless endpoints get: each event costs a whole schedule.
pub(crate) const RARE: &str = "pay_app.submitted";
/// What is fanned out in chunks.
pub(crate) const WIDE: &str = "change_order.approved";
/// By which recovery is observed.
pub(crate) const CANARY: &str = "contact.created";

/// Endpoints of the wide tenant: more than one chunk.
const WIDE_ENDPOINTS: usize = 120;
/// What a tenant may have, as the processes are told.
pub(crate) const ENDPOINTS_MAX: usize = 200;

/// A tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) api: Api,
    /// Endpoints whose deliveries may be sent again: nobody pauses or deletes them.
    pub(crate) stable: Vec<i64>,
}

/// Who there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) journal: Arc<Journal>,
    pub(crate) receivers: Arc<Receivers>,
    /// One with slow, flaky and hopeless endpoints, and one with hanging, forgetful, limited ones.
    pub(crate) usual: Vec<Tenant>,
    /// One whose endpoints are edited.
    pub(crate) edited: Tenant,
    /// Its endpoint that is paused and resumed.
    pub(crate) paused: i64,
    /// Its endpoint whose subscription changes.
    pub(crate) changing: i64,
    pub(crate) wide: Tenant,
    pub(crate) canary: Tenant,
}

/// What an endpoint is to be.
struct Wanted {
    behaviour: Behaviour,
    types: &'static [&'static str],
    rate_limit: Option<u32>,
    is_paused_at_times: bool,
    sometimes: &'static [&'static str],
}

impl Wanted {
    fn new(behaviour: Behaviour, types: &'static [&'static str]) -> Self {
        Self {
            behaviour,
            types,
            rate_limit: None,
            is_paused_at_times: false,
            sometimes: &[],
        }
    }
}

impl World {
    /// Make everybody. Nothing is broken yet.
    pub(crate) async fn make(stack: &Stack, journal: Arc<Journal>, receivers: Arc<Receivers>) -> Self {
        let maker = Maker {
            stack,
            journal: &journal,
            receivers: &receivers,
        };
        let mut north = maker.tenant("North").await;
        for wanted in [
            Wanted::new(Behaviour::Steady, &[USUAL, RARE]),
            Wanted::new(Behaviour::Slow, &[USUAL]),
            Wanted::new(Behaviour::Flaky, &[USUAL]),
            Wanted::new(Behaviour::Hopeless, &[RARE]),
            Wanted::new(Behaviour::Closed, &[RARE]),
        ] {
            maker.endpoint(&mut north, wanted).await;
        }
        let mut south = maker.tenant("South").await;
        for wanted in [
            Wanted::new(Behaviour::Steady, &[USUAL, RARE]),
            Wanted::new(Behaviour::Hanging, &[USUAL]),
            Wanted::new(Behaviour::Forgetful, &[USUAL]),
            Wanted {
                rate_limit: Some(1_200),
                ..Wanted::new(Behaviour::Steady, &[USUAL])
            },
        ] {
            maker.endpoint(&mut south, wanted).await;
        }
        let mut edited = maker.tenant("Edited").await;
        maker
            .endpoint(&mut edited, Wanted::new(Behaviour::Steady, &[USUAL, CHANGING]))
            .await;
        let paused = Wanted {
            is_paused_at_times: true,
            ..Wanted::new(Behaviour::Steady, &[USUAL])
        };
        let paused = maker.endpoint(&mut edited, paused).await;
        let changing = Wanted {
            sometimes: &[CHANGING],
            ..Wanted::new(Behaviour::Steady, &[USUAL])
        };
        let changing = maker.endpoint(&mut edited, changing).await;
        edited.stable.retain(|id| *id != paused);
        let mut wide = maker.tenant("Wide").await;
        for _ in 0..WIDE_ENDPOINTS {
            maker
                .endpoint(&mut wide, Wanted::new(Behaviour::Steady, &[WIDE]))
                .await;
        }
        let mut canary = maker.tenant("Canary").await;
        maker
            .endpoint(&mut canary, Wanted::new(Behaviour::Steady, &[CANARY]))
            .await;
        Self {
            journal,
            receivers,
            usual: vec![north, south],
            edited,
            paused,
            changing,
            wide,
            canary,
        }
    }
}

struct Maker<'a> {
    stack: &'a Stack,
    journal: &'a Journal,
    receivers: &'a Receivers,
}

impl Maker<'_> {
    async fn tenant(&self, name: &str) -> Tenant {
        Tenant {
            api: self.stack.tenant(name).await,
            stable: vec![],
        }
    }

    async fn endpoint(&self, tenant: &mut Tenant, wanted: Wanted) -> i64 {
        let (door, url) = self.receivers.door(wanted.behaviour);
        let asked = now();
        let body = json!({"url": url, "eventTypes": wanted.types, "rateLimit": wanted.rate_limit});
        let made = tenant.api.post("webhook-endpoints", body, 201).await;
        let id = made["id"].as_i64().expect("an endpoint's id is a number");
        let secret = made["signingSecret"].as_str().expect("it is shown at creation");
        self.receivers.secret(door, secret.to_owned());
        let entry = EndpointEntry {
            id,
            tenant: tenant.api.tenant(),
            types: wanted.types.to_vec(),
            sometimes: wanted.sometimes.to_vec(),
            created: Span {
                asked,
                answered: now(),
            },
            deleted: None,
            is_paused_at_times: wanted.is_paused_at_times,
            takes_all: wanted.behaviour.takes_all(),
        };
        self.journal.endpoint(door, entry);
        tenant.stable.push(id);
        id
    }
}

impl World {
    /// Make one more endpoint of the edited tenant, through whatever happens. Its id; `None` when time ran out.
    pub(crate) async fn another_endpoint(&self, patience: &client::Patience) -> Option<i64> {
        let (door, url) = self.receivers.door(Behaviour::Steady);
        let asked = now();
        let body = json!({"url": url, "eventTypes": [USUAL]});
        let answer = client::change(
            &self.edited.api,
            Method::POST,
            "webhook-endpoints",
            &body,
            patience,
        )
        .await?;
        if answer.status != 201 {
            self.journal
                .violation(client::refused("an endpoint's creation", &answer));
            return None;
        }
        let made = &answer.body["data"];
        let id = made["id"].as_i64()?;
        // A repeated answer does not show it again.
        if let Some(secret) = made["signingSecret"].as_str() {
            self.receivers.secret(door, secret.to_owned());
        }
        let entry = EndpointEntry {
            id,
            tenant: self.edited.api.tenant(),
            types: vec![USUAL],
            sometimes: vec![],
            created: Span {
                asked,
                answered: now(),
            },
            deleted: None,
            is_paused_at_times: false,
            takes_all: true,
        };
        self.journal.endpoint(door, entry);
        Some(id)
    }

    /// Delete an endpoint of the edited tenant, through whatever happens.
    pub(crate) async fn delete_endpoint(&self, id: i64, patience: &client::Patience) {
        let asked = now();
        // From now on it may be gone.
        let path = format!("webhook-endpoints/{id}");
        let answer = client::change(&self.edited.api, Method::DELETE, &path, &Value::Null, patience).await;
        let answered = match answer {
            Some(answer) if answer.status == 204 => now(),
            Some(answer) => {
                self.journal
                    .violation(client::refused("an endpoint's deletion", &answer));
                return;
            }
            // Nobody knows: it may have been, at any time from then on.
            None => crate::books::Moment(u64::MAX),
        };
        self.journal.deleted(id, Span { asked, answered });
    }
}
