//! A unit of work: one transaction, the idempotency key that guards it, and what is to be published after it.

use plumbline_broker::wire::RetryMessage;
use plumbline_domain::TenantId;
use plumbline_store::idempotency::Claim;
use plumbline_store::{Session, idempotency};

pub use plumbline_store::idempotency::StoredResponse;

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
            after_commit: vec![],
            changes_catalogue: false,
        })))
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
            after_commit,
            changes_catalogue,
        } = self;
        if let Some(Idempotency { key, .. }) = &idempotency {
            idempotency::complete(&session, tenant, key, &response).await?;
        }
        session.commit().await?;
        if changes_catalogue {
            engine.inner.catalogue.forget(tenant).await;
        }
        // The rows are pending and due: should this publication be lost, the sweep finds them.
        engine.publish_due(after_commit);
        Ok(())
    }

    /// Whose change this is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
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

impl Engine {
    /// Hand due deliveries to the dispatchers, off the request's path.
    fn publish_due(&self, messages: Vec<RetryMessage>) {
        if messages.is_empty() {
            return;
        }
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
