//! The load: clients that publish, publish batches, send again and edit, each at a steady pace of its own.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{self, Insistence, Patience};
use crate::world::{CHANGING, RARE, Tenant, USUAL, WIDE, World};

/// Clients that publish one event at a time.
const PUBLISHERS: u64 = 3;
/// Their pauses, in milliseconds.
const PUBLISH_PAUSE_MS: std::ops::Range<u64> = 120..320;
/// Events in a batch.
const BATCH: std::ops::Range<usize> = 2..30;
const BATCH_PAUSE_MS: std::ops::Range<u64> = 1_500..4_000;
const WIDE_PAUSE_MS: std::ops::Range<u64> = 4_000..8_000;
const REPLAY_PAUSE_MS: std::ops::Range<u64> = 400..1_500;
const EDIT_PAUSE_MS: std::ops::Range<u64> = 400..1_200;
/// Endpoints that the editor has made and not deleted.
const MADE_MAX: usize = 3;
/// One event in so many is a rare one.
const RARE_EVERY: u32 = 20;

/// Who works, until told to stop.
#[derive(Debug)]
pub(crate) struct Workload {
    clients: JoinSet<()>,
}

/// What a client is given.
struct Client {
    world: Arc<World>,
    random: StdRng,
    name: String,
    count: u64,
    /// Over when no new work is to begin.
    work: Patience,
    /// Over when what has begun is to be given up.
    patience: Patience,
}

impl Workload {
    /// Start all clients. `work` ends what they begin; `patience` ends what they have begun.
    pub(crate) fn start(world: &Arc<World>, seed: u64, work: &Patience, patience: &Patience) -> Self {
        let mut clients = JoinSet::new();
        let mut number = 0;
        let mut client = |name: &str| {
            number += 1;
            Client {
                world: world.clone(),
                random: StdRng::seed_from_u64(seed.wrapping_add(number)),
                name: format!("{name}{number}"),
                count: 0,
                work: work.clone(),
                patience: patience.clone(),
            }
        };
        for _ in 0..PUBLISHERS {
            clients.spawn(client("single").publish());
        }
        clients.spawn(client("batch").publish_batches());
        clients.spawn(client("wide").publish_widely());
        clients.spawn(client("replay").replay());
        clients.spawn(client("edit").edit());
        Self { clients }
    }

    /// Wait until every client has finished what it had begun.
    pub(crate) async fn finish(mut self) {
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

impl Client {
    fn mark(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.name, self.count)
    }

    /// Pause; `false` when no new work is to begin.
    async fn pause(&mut self, range_ms: std::ops::Range<u64>) -> bool {
        let pause = Duration::from_millis(self.random.random_range(range_ms));
        self.work.pause(pause).await
    }

    /// A tenant and a type of event that it publishes.
    fn choose<'a>(&mut self, world: &'a World) -> (&'a Tenant, &'static str) {
        match self.random.random_range(0..3) {
            2 if self.random.random_bool(0.5) => (&world.edited, CHANGING),
            2 => (&world.edited, USUAL),
            which => {
                let event_type = if self.random.random_ratio(1, RARE_EVERY) {
                    RARE
                } else {
                    USUAL
                };
                (&world.usual[which], event_type)
            }
        }
    }

    async fn publish(mut self) {
        let world = self.world.clone();
        while self.pause(PUBLISH_PAUSE_MS).await {
            let (tenant, event_type) = self.choose(&world);
            let insistence = match self.random.random_bool(0.5) {
                true => Insistence::UntilAnswered,
                false => Insistence::Once,
            };
            let marks = vec![self.mark()];
            client::publish(
                &world.journal,
                &tenant.api,
                event_type,
                marks,
                insistence,
                &self.patience,
            )
            .await;
        }
    }

    async fn publish_batches(mut self) {
        let world = self.world.clone();
        while self.pause(BATCH_PAUSE_MS).await {
            let (tenant, _) = self.choose(&world);
            let insistence = match self.random.random_bool(0.6) {
                true => Insistence::UntilAnswered,
                false => Insistence::Once,
            };
            let marks = (0..self.random.random_range(BATCH))
                .map(|_| self.mark())
                .collect();
            client::publish(
                &world.journal,
                &tenant.api,
                USUAL,
                marks,
                insistence,
                &self.patience,
            )
            .await;
        }
    }

    async fn publish_widely(mut self) {
        let world = self.world.clone();
        while self.pause(WIDE_PAUSE_MS).await {
            let marks = vec![self.mark()];
            let insistence = Insistence::UntilAnswered;
            client::publish(
                &world.journal,
                &world.wide.api,
                WIDE,
                marks,
                insistence,
                &self.patience,
            )
            .await;
        }
    }

    /// Send again what has ended.
    async fn replay(mut self) {
        let world = self.world.clone();
        while self.pause(REPLAY_PAUSE_MS).await {
            let (tenant, _) = self.choose(&world);
            let Some(endpoint) = tenant.stable.choose(&mut self.random) else {
                continue;
            };
            let path = format!("webhook-endpoints/{endpoint}/deliveries?limit=50");
            let Some(page) = client::read(&tenant.api, &path).await else {
                continue;
            };
            let ended: Vec<&str> = page["data"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|delivery| delivery["status"] != "pending")
                .filter_map(|delivery| delivery["id"].as_str())
                .collect();
            let Some(original) = ended.choose(&mut self.random) else {
                continue;
            };
            let path = format!("webhook-deliveries/{original}/replay");
            let nothing = json!({});
            let told = client::change(&tenant.api, Method::POST, &path, &nothing, &self.patience).await;
            match told {
                Some(told) if told.status == 202 => {
                    let id = told.body["data"]["id"].as_str().unwrap_or_default();
                    world.journal.replay(id.to_owned());
                }
                Some(told) => world.journal.violation(client::refused("a replay", &told)),
                None => {}
            }
        }
    }

    /// Pause and resume, subscribe to more and to less, describe, make and delete endpoints.
    async fn edit(mut self) {
        let world = self.world.clone();
        let mut made = std::collections::VecDeque::new();
        let (mut is_active, mut has_both) = (true, false);
        while self.pause(EDIT_PAUSE_MS).await {
            let (endpoint, body) = match self.random.random_range(0..5) {
                0 => {
                    is_active = !is_active;
                    (world.paused, json!({"isActive": is_active}))
                }
                1 => {
                    has_both = !has_both;
                    let types = if has_both {
                        vec![USUAL, CHANGING]
                    } else {
                        vec![USUAL]
                    };
                    (world.changing, json!({"eventTypes": types}))
                }
                2 => {
                    let rate_limit = self.random.random_range(600..6_000);
                    (
                        world.changing,
                        json!({"description": self.mark(), "rateLimit": rate_limit}),
                    )
                }
                3 if made.len() < MADE_MAX => {
                    made.extend(world.another_endpoint(&self.patience).await);
                    continue;
                }
                _ => {
                    if let Some(oldest) = made.pop_front() {
                        world.delete_endpoint(oldest, &self.patience).await;
                    }
                    continue;
                }
            };
            let path = format!("webhook-endpoints/{endpoint}");
            let told = client::change(&world.edited.api, Method::PATCH, &path, &body, &self.patience).await;
            if let Some(told) = told.filter(|told| told.status != 200) {
                world
                    .journal
                    .violation(client::refused("an endpoint's change", &told));
            }
        }
    }
}
