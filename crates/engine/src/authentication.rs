//! Who a request comes from.

use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_domain::quota::{Quota, Quotas};
use plumbline_domain::{Principal, TenantId};
use plumbline_store::api_keys::ApiKeyRecord;
use plumbline_store::{StoreError, api_keys, tenants};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use plumbline_store::tenants::Tenant;

use crate::sessions::counted_source;
use crate::{Engine, Error};

/// How long a key is believed without asking the database: a revoked key works this much longer at most.
pub const KEY_FRESH: Duration = Duration::from_secs(1);
/// Keys remembered at once.
const KEYS_MAX: u64 = 10_000;
/// How long a key is remembered after its last use: its owner is told from who guesses, see [`Refusals`].
const KEY_REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// Over which time failed authentications are counted.
const REFUSALS_WINDOW: Duration = Duration::from_secs(60);
/// Failed authentications that a source address has in that time.
const REFUSALS_PER_SOURCE_MAX: NonZeroU32 = NonZeroU32::new(100).expect("a hundred");
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
                .time_to_idle(KEY_REMEMBERED)
                .build(),
        )
    }
}

/// Failed authentications, of this process, by the address that they come from: the database is not asked for more
/// unknown keys than this. A key that was right lately is not unknown, so that nobody is shut out by who guesses
/// behind the same address; nor by who guesses behind another one.
pub(crate) struct Refusals(Mutex<Quotas<IpAddr>>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Quotas::new(Quota {
            limit: REFUSALS_PER_SOURCE_MAX,
            window: REFUSALS_WINDOW,
        })))
    }
}

impl Refusals {
    /// Whether a source may try a key that nobody has used lately.
    fn check(&self, source: &IpAddr, now: Instant) -> Result<(), Error> {
        match self.0.lock().standing(source, now) {
            Some(standing) if standing.remaining == 0 => Err(Error::TooMany {
                what: "failed attempts to authenticate from this address",
                retry_after: standing.reset_after,
            }),
            _ => Ok(()),
        }
    }

    fn count(&self, source: IpAddr, now: Instant) {
        self.0.lock().take(source, now);
    }
}

/// When keys and sessions were used last is noted off the request's path: who may write a note now.
pub(crate) struct Notes(Arc<Semaphore>);

impl Default for Notes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(NOTES_MAX)))
    }
}

/// The hash under which an API key is stored, and by which it is found. Keys carry 256 random bits, so that a plain hash
/// protects them. Nothing compares a key with another one: how long a look-up takes says at most something of the hash of
/// what the client sent, from which no client can learn how the hash of another text begins, let alone its text.
pub fn hash_key(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Engine {
    /// The principal that an API key stands for; `None` for an unknown or revoked key, or one that may not be
    /// used from `source`.
    ///
    /// # Errors
    /// [`Error::TooMany`] failures from this source, for a key that was not right lately; [`Error::Unavailable`].
    pub async fn authenticate(
        &self,
        token: &str,
        source: Option<IpAddr>,
    ) -> Result<Option<Principal>, Error> {
        let counted = counted_source(source);
        let record = if token.starts_with("plk_") && token.len() <= 200 {
            self.known_key(hash_key(token), &counted).await?
        } else {
            None
        };
        let principal = record
            .filter(|record| record.allowed_ips.allows(source))
            .map(|record| Principal::Key {
                tenant: record.tenant,
                key: record.id,
                scopes: record.scopes,
            });
        if principal.is_none() {
            self.inner.refusals.count(counted, Instant::now());
        }
        Ok(principal)
    }

    async fn known_key(&self, hash: [u8; 32], source: &IpAddr) -> Result<Option<ApiKeyRecord>, Error> {
        let cache = &self.inner.authentication.0;
        match cache.get(&hash).await {
            Some(known) if known.asked.elapsed() < KEY_FRESH => return Ok(Some(known.record)),
            Some(_) => {}
            None => self.inner.refusals.check(source, Instant::now())?,
        }
        let asked = Instant::now();
        let Some(record) = api_keys::by_hash(&self.store().session().await?, &hash).await? else {
            cache.invalidate(&hash).await;
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
