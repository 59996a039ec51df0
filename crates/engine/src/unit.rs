//! A unit of work: one transaction, the idempotency key that guards it, and what is to be published after it.

use plumbline_broker::wire::RetryMessage;
use plumbline_domain::{Event, EventId, EventType, JsonText, TenantId, Timestamp};
use plumbline_store::events::NewEvent;
use plumbline_store::idempotency::Claim;
use plumbline_store::{Session, events, idempotency};
use sha2::{Digest, Sha256};

pub use plumbline_store::idempotency::StoredResponse;

use crate::intake::Passage;
use crate::{Engine, Error};

/// A client's promise that a repetition of a request is the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key, 1 to 255 visible ASCII characters; unique within the tenant for a day.
    pub key: String,
    /// SHA-256 over method, path and body.
    pub request_hash: [u8; 32],
}

/// What became of the wish to begin.
pub enum Begun {
    /// The request is new: go on.
    Fresh(Box<Unit>),
    /// The request was answered before: this was the answer.
    Replay(StoredResponse),
}

/// Changes that commit together or not at all. Dropped without [`Unit::commit`], nothing has happened.
pub struct Unit {
    pub(crate) engine: Engine,
    pub(crate) session: Session,
    pub(crate) tenant: TenantId,
    idempotency: Option<Idempotency>,
    emitted: Vec<Event>,
    after_commit: Vec<RetryMessage>,
    changes_catalogue: bool,
}

impl Engine {
    /// Begin a change in a tenant. With an idempotency key, a concurrent request with the same key waits here for
    /// the first one and then gets its answer; a failed first one leaves the key to the next.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] when the key belongs to another request; [`Error::Unavailable`].
    pub async fn begin(&self, tenant: TenantId, idempotency: Option<Idempotency>) -> Result<Begun, Error> {
        let session = self.store().begin().await?;
        if let Some(Idempotency { key, request_hash }) = &idempotency {
            let claim = idempotency::claim(&session, tenant, key, request_hash).await?;
            let answer = match claim {
                Claim::Fresh => None,
                Claim::Done(response) => Some(Ok(Begun::Replay(response))),
                Claim::Mismatch => Some(Err(Error::IdempotencyKeyReused)),
            };
            if let Some(answer) = answer {
                session.rollback().await?;
                return answer;
            }
        }
        Ok(Begun::Fresh(Box::new(Unit {
            engine: self.clone(),
            session,
            tenant,
            idempotency,
            emitted: vec![],
            after_commit: vec![],
            changes_catalogue: false,
        })))
    }
}

impl Engine {
    /// The promise of a request whose body holds a secret that somebody chose: a password, a signing secret, a header's
    /// value. Its hash is stored, and one that anybody can compute would let them guess, past the slow hash or the
    /// encryption beside it: this one is keyed.
    pub fn veil(&self, promise: Option<Idempotency>) -> Option<Idempotency> {
        promise.map(|Idempotency { key, request_hash }| {
            let secret = self.inner.vault.derive_key("request hash");
            // Both have a fixed length, so that nothing can be appended.
            let veiled = Sha256::new().chain_update(secret).chain_update(request_hash);
            Idempotency {
                key,
                request_hash: veiled.finalize().into(),
            }
        })
    }
}

impl Unit {
    /// Commit, and keep `response` (a 2xx without any secret in it) for a repetition of the request.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is not known whether it committed: the client repeats with the same key.
    pub async fn commit(self, response: StoredResponse) -> Result<(), Error> {
        let Self {
            engine,
            session,
            tenant,
            idempotency,
            mut emitted,
            after_commit,
            changes_catalogue,
        } = self;
        if let Some(Idempotency { key, .. }) = &idempotency {
            idempotency::complete(&session, tenant, key, &response).await?;
        }
        if emitted.is_empty() {
            session.commit().await?;
        } else {
            let passage = engine.intake().passage(tenant, emitted.len());
            accept(&session, tenant, &mut emitted, passage).await?;
            session.commit().await?;
            engine.intake().committed(emitted, passage);
        }
        if changes_catalogue {
            engine.inner.catalogue.forget(tenant).await;
        }
        // The rows are pending and due: should this publication be lost, the sweep finds them.
        engine.publish_due(after_commit);
        Ok(())
    }

    /// Undo everything, and give the connection back: what dropping does, without the cost of a new connection.
    pub async fn roll_back(self) {
        if let Err(error) = self.session.rollback().await {
            // The connection is lost, which rolls back, too.
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a change was not rolled back by us"
            );
        }
    }

    /// Whose change this is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Accept an event with this change: it commits with it, or never happened. It is published after the commit, off
    /// the request's path, as the intake publishes.
    ///
    /// # Errors
    /// [`Error::PayloadTooLarge`], for which the change is better not made either.
    pub fn emit(
        &mut self,
        event_type: EventType,
        data: JsonText,
        previous_attributes: Option<JsonText>,
    ) -> Result<(), Error> {
        let previous_bytes = previous_attributes.as_ref().map_or(0, |json| json.as_str().len());
        let bytes = data.as_str().len() + previous_bytes;
        let limit = self.engine.config().payload_bytes_max;
        if bytes > limit {
            return Err(Error::PayloadTooLarge { actual: bytes, limit });
        }
        let now = Timestamp::now();
        self.emitted.push(Event {
            id: EventId::new(now, rand::random()),
            tenant: self.tenant,
            event_type,
            data,
            previous_attributes,
            occurred_at: now,
            // Set when it is accepted.
            endpoints_version: 0,
        });
        Ok(())
    }

    /// Publish this once the transaction has committed.
    pub(crate) fn then_send(&mut self, message: RetryMessage) {
        self.after_commit.push(message);
    }

    /// The tenant's event types are looked up again once the transaction has committed.
    pub(crate) fn changes_catalogue(&mut self) {
        self.changes_catalogue = true;
    }
}

/// Insert events and their outbox rows: the intake's statement, and the last one before the commit. It reads the
/// version of the tenant's endpoints, and between that and the commit no change of the endpoints should slip in, how
/// ever long the transaction has been open: such an endpoint would not receive the event.
async fn accept(
    session: &Session,
    tenant: TenantId,
    emitted: &mut [Event],
    passage: Passage,
) -> Result<(), Error> {
    let new: Vec<NewEvent> = emitted
        .iter()
        .map(|event| NewEvent {
            event: event.clone(),
            lane: passage.lane,
            sent: passage.sent,
        })
        .collect();
    let inserted = events::insert_batch(session, &new, &[]).await?;
    let version = inserted.versions.get(&tenant).copied();
    let version = version.ok_or(Error::NotFound("tenant"))?;
    for event in emitted {
        event.endpoints_version = version;
    }
    Ok(())
}

impl Engine {
    /// Hand due deliveries to the dispatchers, off the request's path.
    fn publish_due(&self, messages: Vec<RetryMessage>) {
        if messages.is_empty() {
            return;
        }
        let trace = crate::trace::current();
        let messages = messages
            .into_iter()
            .map(|message| RetryMessage { trace, ..message })
            .collect();
        let publisher = self.inner.publisher.clone();
        tokio::spawn(async move {
            let results = publisher.publish_retries(messages).await;
            let failed = results.iter().filter(|result| result.is_err()).count();
            if failed > 0 {
                tracing::warn!(
                    deliveries = failed,
                    "due deliveries were not published; the sweep will find them"
                );
            }
        });
    }
}
