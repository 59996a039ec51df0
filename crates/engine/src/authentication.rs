//! Who a request comes from.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plumbline_domain::{Principal, TenantId};
use plumbline_store::api_keys::ApiKeyRecord;
use plumbline_store::{StoreError, api_keys, tenants};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use plumbline_store::tenants::Tenant;

use crate::{Engine, Error};

/// How long a key is believed without asking the database: a revoked key works this much longer at most.
pub const KEY_FRESH: Duration = Duration::from_secs(1);
/// Keys remembered at once.
const KEYS_MAX: u64 = 10_000;
/// Notes of uses that are written at once; one more is left out, and the next use is noted.
const NOTES_MAX: usize = 2;

/// Known keys, by the hash of their text. Unknown ones are not remembered: a flood of them fills nothing.
pub(crate) struct Cache(moka::future::Cache<[u8; 32], Known>);

/// A key as the database knew it.
#[derive(Clone)]
struct Known {
    record: ApiKeyRecord,
    /// Before the database was asked: from then on, it may have changed its mind.
    asked: Instant,
}

impl Default for Cache {
    fn default() -> Self {
        Self(
            moka::future::Cache::builder()
                .max_capacity(KEYS_MAX)
                .time_to_live(KEY_FRESH)
                .build(),
        )
    }
}

/// When keys and sessions were used last is noted off the request's path: who may write a note now.
pub(crate) struct Notes(Arc<Semaphore>);

impl Default for Notes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(NOTES_MAX)))
    }
}

/// The hash under which an API key is stored. Keys carry 256 random bits, so that a plain hash protects them.
pub fn hash_key(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Engine {
    /// The principal that an API key stands for; `None` for an unknown or revoked key, or one that may not be
    /// used from `source`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn authenticate(
        &self,
        token: &str,
        source: Option<std::net::IpAddr>,
    ) -> Result<Option<Principal>, Error> {
        if !token.starts_with("plk_") || token.len() > 200 {
            return Ok(None);
        }
        let Some(record) = self.known_key(hash_key(token)).await? else {
            return Ok(None);
        };
        Ok(record.allowed_ips.allows(source).then_some(Principal::Key {
            tenant: record.tenant,
            key: record.id,
            scopes: record.scopes,
        }))
    }

    async fn known_key(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRecord>, Error> {
        let cache = &self.inner.authentication.0;
        if let Some(known) = cache.get(&hash).await
            && known.asked.elapsed() < KEY_FRESH
        {
            return Ok(Some(known.record));
        }
        let asked = Instant::now();
        let Some(record) = api_keys::by_hash(&self.store().session().await?, &hash).await? else {
            return Ok(None);
        };
        if record.is_use_unnoted {
            let (store, tenant, key) = (self.store().clone(), record.tenant, record.id);
            self.note(async move { api_keys::note_use(&store.session().await?, tenant, key).await });
        }
        let known = Known {
            record: record.clone(),
            asked,
        };
        cache.insert(hash, known).await;
        Ok(Some(record))
    }

    /// Write down that something was used, unless others are at that: a note that is left out is made at the next use.
    pub(crate) fn note(&self, note: impl Future<Output = Result<(), StoreError>> + Send + 'static) {
        let Ok(turn) = self.inner.notes.0.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            if let Err(error) = note.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a use was not noted; the next one will be"
                );
            }
            drop(turn);
        });
    }

    /// Wait until every note is written.
    pub async fn noted(&self) {
        let all = u32::try_from(NOTES_MAX).unwrap_or(u32::MAX);
        // Never closed; and if it were, there would be nothing to wait for.
        let _ = self.inner.notes.0.acquire_many(all).await;
    }

    /// A tenant by its id.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn tenant(&self, tenant: TenantId) -> Result<Tenant, Error> {
        tenants::get(&self.store().session().await?, tenant)
            .await?
            .ok_or(Error::NotFound("tenant"))
    }
}
