//! The tenants' endpoints as this dispatcher knows them: cached, never older than an event demands.
//!
//! Two rules make the cache exact. An event names the version of its tenant's endpoints at its acceptance, and a
//! cached set older than that is never used for it: an endpoint that existed then is not missed. And a set is
//! believed for less than a second without asking: a deleted endpoint is forgotten before its deletion is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_domain::signing::Signer;
use plumbline_domain::{CustomHeaders, Endpoint, EndpointId, EventType, ResourceUrls, TenantId, Timestamp};
use plumbline_store::endpoints::{self, EndpointWithSecrets, TenantEndpoints};
use plumbline_store::secrets::Vault;
use plumbline_store::{Store, StoreError, tenants};
use tokio_util::sync::CancellationToken;

/// How long a set is believed without asking. A deletion waits a second before it is answered; the rest of that
/// second is for the attempt to start.
const FRESH: Duration = Duration::from_millis(800);
/// How often the sets in use are renewed, all in one query.
const RENEW_EVERY: Duration = Duration::from_millis(300);
/// How long a set stays in memory after its last use.
const UNUSED_MAX: Duration = Duration::from_secs(60);

/// An endpoint, ready to be called.
#[derive(Debug)]
pub struct Target {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its keys; `None` when no master key of ours opens its secrets, and then nothing can be sent to it.
    pub signer: Option<Signer>,
    /// Its custom headers.
    pub headers: CustomHeaders,
    /// Where its tenant's resources live.
    pub urls: ResourceUrls,
    /// The version of its tenant's endpoints when it was read: an older one may not know it yet, or not as it is.
    pub as_of: i64,
}

impl Target {
    /// Open an endpoint's secrets and headers. Resources live at `urls` unless the tenant says otherwise.
    pub fn open(vault: &Vault, urls: &ResourceUrls, found: EndpointWithSecrets) -> Self {
        let opened = found
            .open_secrets(vault)
            .and_then(|versions| Ok((versions, found.open_headers(vault)?)));
        let endpoint = found.endpoint;
        let (signer, headers) = match opened {
            Ok((versions, headers)) => (Signer::new(&versions).ok(), headers),
            Err(error) => {
                tracing::error!(endpoint.id = %endpoint.id, error = &error as &dyn std::error::Error, "the endpoint's secrets cannot be opened: is its master key still configured?");
                (None, CustomHeaders::default())
            }
        };
        let urls = found.resource_urls.unwrap_or_else(|| urls.clone());
        Self {
            endpoint,
            signer,
            headers,
            urls,
            as_of: found.endpoints_version,
        }
    }

    /// Whether a request may go out: with a signature, or to an endpoint that was never given a secret where the
    /// product allows that.
    pub fn is_ready_to_sign(&self, now: Timestamp) -> bool {
        self.signer.as_ref().is_some_and(|signer| {
            signer.can_sign(now) || (signer.is_empty() && self.endpoint.profile.may_be_unsigned())
        })
    }
}

/// One tenant's endpoints at one version.
#[derive(Debug, Default)]
pub struct EndpointSet {
    version: i64,
    /// In order of id.
    targets: Vec<Arc<Target>>,
}

impl EndpointSet {
    /// The endpoints that an event is for, disabled ones included, in order of id.
    pub fn matching(&self, event_type: &EventType, endpoints_version: i64) -> Vec<Arc<Target>> {
        self.targets
            .iter()
            .filter(|target| target.endpoint.wants(event_type, endpoints_version))
            .cloned()
            .collect()
    }

    /// One endpoint.
    pub fn get(&self, id: EndpointId) -> Option<&Arc<Target>> {
        self.targets
            .binary_search_by_key(&id, |target| target.endpoint.id)
            .ok()
            .map(|index| &self.targets[index])
    }
}

struct Entry {
    set: Arc<EndpointSet>,
    /// When the query began that showed this set to be current.
    current_at: Instant,
    used_at: Instant,
}

/// The cache. Cloning is cheap.
#[derive(Clone)]
pub struct Endpoints {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    vault: Vault,
    /// Where resources live unless their tenant says otherwise.
    urls: ResourceUrls,
    entries: Mutex<HashMap<TenantId, Entry>>,
    /// One load at a time for each tenant.
    loading: Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Endpoints {
    /// An empty cache. Resources live at `urls` unless their tenant says otherwise.
    pub fn new(store: Store, vault: Vault, urls: ResourceUrls) -> Self {
        let inner = Inner {
            store,
            vault,
            urls,
            entries: Mutex::default(),
            loading: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The tenant's endpoints, at this version or a newer one, and current less than a second ago.
    ///
    /// # Errors
    /// [`StoreError`] when they had to be asked for and the database did not answer.
    pub async fn at_least(&self, tenant: TenantId, version: i64) -> Result<Arc<EndpointSet>, StoreError> {
        if let Some(set) = self.cached(tenant, version) {
            return Ok(set);
        }
        let gate = self.inner.loading.lock().entry(tenant).or_default().clone();
        let _loading = gate.lock().await;
        // Whoever held the gate may have loaded it.
        if let Some(set) = self.cached(tenant, version) {
            return Ok(set);
        }
        let began = Instant::now();
        let session = self.inner.store.session().await?;
        // Of thousands of endpoints, loading may take longer than a set is believed: asking whether it is still the same
        // does not.
        if let Some(kept) = self.kept(tenant, version) {
            let versions = tenants::endpoints_versions(&session, &[tenant]).await?;
            if versions.iter().any(|(_, version)| *version == kept.version) {
                self.confirm(tenant, kept.version, began);
                return Ok(kept);
            }
        }
        let loaded = endpoints::snapshot(&session, &[tenant]).await?;
        drop(session);
        let set = Arc::new(
            loaded
                .into_iter()
                .next()
                .map_or_else(EndpointSet::default, |found| self.open(found)),
        );
        let entry = Entry {
            set: set.clone(),
            current_at: began,
            used_at: began,
        };
        self.inner.entries.lock().insert(tenant, entry);
        Ok(set)
    }

    /// A set of at least this version, whenever it was current.
    fn kept(&self, tenant: TenantId, version: i64) -> Option<Arc<EndpointSet>> {
        let mut entries = self.inner.entries.lock();
        let entry = entries.get_mut(&tenant)?;
        entry.used_at = Instant::now();
        (entry.set.version >= version).then(|| entry.set.clone())
    }

    /// What is kept of this version was current at that moment.
    fn confirm(&self, tenant: TenantId, version: i64, at: Instant) {
        if let Some(entry) = self.inner.entries.lock().get_mut(&tenant)
            && entry.set.version == version
        {
            entry.current_at = entry.current_at.max(at);
        }
    }

    fn cached(&self, tenant: TenantId, version: i64) -> Option<Arc<EndpointSet>> {
        let mut entries = self.inner.entries.lock();
        let entry = entries.get_mut(&tenant)?;
        let now = Instant::now();
        if entry.set.version < version || now.duration_since(entry.current_at) >= FRESH {
            return None;
        }
        entry.used_at = now;
        Some(entry.set.clone())
    }

    fn open(&self, found: TenantEndpoints) -> EndpointSet {
        let mut targets: Vec<_> = found
            .endpoints
            .into_iter()
            .map(|endpoint| Arc::new(Target::open(&self.inner.vault, &self.inner.urls, endpoint)))
            .collect();
        targets.sort_by_key(|target| target.endpoint.id);
        EndpointSet {
            version: found.version,
            targets,
        }
    }

    /// Open one endpoint that was loaded beside the cache.
    pub fn open_one(&self, found: EndpointWithSecrets) -> Target {
        Target::open(&self.inner.vault, &self.inner.urls, found)
    }

    /// Keep the sets in use current until `shutdown`, so that no event has to wait for a query.
    pub async fn keep_current(&self, shutdown: CancellationToken) {
        let _ = shutdown
            .run_until_cancelled(async {
                loop {
                    tokio::time::sleep(RENEW_EVERY).await;
                    if let Err(error) = self.renew().await {
                        tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "the endpoints in use could not be renewed"
                        );
                    }
                }
            })
            .await;
    }

    async fn renew(&self) -> Result<(), StoreError> {
        let began = Instant::now();
        let in_use: HashMap<TenantId, i64> = {
            let mut entries = self.inner.entries.lock();
            entries.retain(|_, entry| began.duration_since(entry.used_at) < UNUSED_MAX);
            self.inner
                .loading
                .lock()
                .retain(|_, gate| Arc::strong_count(gate) > 1);
            // Only what somebody asked for since the last round or so: an idle dispatcher asks nothing.
            let recent = entries
                .iter()
                .filter(|(_, entry)| began.duration_since(entry.used_at) < RENEW_EVERY * 4);
            recent
                .map(|(tenant, entry)| (*tenant, entry.set.version))
                .collect()
        };
        if in_use.is_empty() {
            return Ok(());
        }
        let session = self.inner.store.session().await?;
        let tenants: Vec<TenantId> = in_use.keys().copied().collect();
        let versions = tenants::endpoints_versions(&session, &tenants).await?;
        let (same, changed): (Vec<_>, Vec<_>) = versions
            .into_iter()
            .partition(|(tenant, version)| in_use.get(tenant) == Some(version));
        for (tenant, version) in same {
            self.confirm(tenant, version, began);
        }
        if changed.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let changed: Vec<TenantId> = changed.into_iter().map(|(tenant, _)| tenant).collect();
        for found in endpoints::snapshot(&session, &changed).await? {
            let tenant = found.tenant;
            let set = Arc::new(self.open(found));
            let mut entries = self.inner.entries.lock();
            if let Some(entry) = entries.get_mut(&tenant)
                && entry.set.version <= set.version
            {
                *entry = Entry {
                    set,
                    current_at: began,
                    used_at: entry.used_at,
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::{EndpointUrl, KeyDerivation, Profile, SecretVersion, SigningSecret, Subscription};

    fn target(profile: Profile, signer: Option<Signer>) -> Target {
        let endpoint = Endpoint {
            id: EndpointId(1),
            uid: uuid::Uuid::nil(),
            tenant: TenantId(1),
            profile,
            url: EndpointUrl::stored("https://example.com/"),
            description: None,
            subscription: Subscription::All,
            rate_limit: None,
            header_names: vec![],
            disabled: None,
            disabled_at: None,
            consecutive_failures: 0,
            version: 1,
            since_version: 1,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        Target {
            endpoint,
            signer,
            headers: CustomHeaders::default(),
            urls: ResourceUrls::below(None),
            as_of: 1,
        }
    }

    #[test]
    fn s0_17_s2_08_only_who_never_had_a_secret_is_sent_to_without_a_signature() {
        let now = Timestamp::from_second(100).expect("in range");
        let version = |expires: i64| SecretVersion {
            secret: SigningSecret::from_text("c2VjcmV0".to_owned()),
            derivation: KeyDerivation::Base64,
            activates_at: Timestamp::UNIX_EPOCH,
            expires_at: Some(Timestamp::from_second(expires).expect("in range")),
        };
        let signer = |versions: &[SecretVersion]| Some(Signer::new(versions).expect("decodable"));
        for profile in Profile::ALL {
            for (signer, ready) in [
                (None, false),
                (signer(&[]), profile == Profile::Buildr),
                (signer(&[version(99)]), false),
                (signer(&[version(101)]), true),
            ] {
                assert_eq!(
                    target(profile, signer).is_ready_to_sign(now),
                    ready,
                    "{profile:?}"
                );
            }
        }
    }
}
