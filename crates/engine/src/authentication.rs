//! Who a request comes from.

use std::time::Duration;

use plumbline_domain::{Principal, TenantId};
use plumbline_store::api_keys::ApiKeyRecord;
use plumbline_store::{api_keys, tenants};
use sha2::{Digest, Sha256};

pub use plumbline_store::tenants::Tenant;

use crate::{Engine, Error};

/// How long a key is believed without asking the database: a revoked key works this much longer at most.
const KEY_FRESH: Duration = Duration::from_secs(1);
/// Keys remembered at once.
const KEYS_MAX: u64 = 10_000;

/// Known keys, by the hash of their text. Unknown ones are not remembered: a flood of them fills nothing.
pub(crate) struct Cache(moka::future::Cache<[u8; 32], ApiKeyRecord>);

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
        let hash = hash_key(token);
        let record = match self.inner.authentication.0.get(&hash).await {
            Some(record) => record,
            None => {
                let Some(record) = api_keys::by_hash(&self.store().session().await?, &hash).await? else {
                    return Ok(None);
                };
                self.inner.authentication.0.insert(hash, record.clone()).await;
                record
            }
        };
        let allowed = record.allowed_ips.is_empty()
            || source.is_some_and(|source| record.allowed_ips.contains(&source));
        Ok(allowed.then_some(Principal::Key {
            tenant: record.tenant,
            key: record.id,
            scopes: record.scopes,
        }))
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
