//! The use cases behind every dialect: what happens when a customer asks for something.
//!
//! Reads are methods of [`Engine`]; every change goes through a [`Unit`], one transaction that may carry an
//! idempotency key; publishing goes through the group commit of [`intake`]. Nothing here knows HTTP or JSON shapes.

pub mod administration;
pub mod api_keys;
pub mod assembly;
pub mod authentication;
pub mod catalogue;
pub mod construction;
pub mod dead;
pub mod deliveries;
pub mod doctor;
pub mod endpoints;
pub mod error;
pub mod events;
pub mod intake;
pub mod maintenance;
pub mod passwords;
pub mod queues;
pub mod rekey;
pub mod relay;
pub mod schema;
pub mod sessions;
pub mod settings;
pub mod stats;
pub mod tenant_deletion;
pub mod trace;
mod unit;
pub mod users;
pub mod waiting;

use std::sync::Arc;

use async_trait::async_trait;
use plumbline_broker::Publisher;
use plumbline_domain::{AddressPolicy, ResourceUrls, Tracer};
use plumbline_store::Store;
use plumbline_store::secrets::Vault;

pub use error::{Error, FieldError, story};
pub use unit::{Begun, Idempotency, StoredResponse, Unit};

/// What the operator decided.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where a tenant's resources live unless the tenant says otherwise.
    pub resource_urls: ResourceUrls,
    /// Which URLs may be registered.
    pub address_policy: AddressPolicy,
    /// Endpoints that one tenant may have.
    pub endpoints_per_tenant_max: u32,
    /// The largest payload: `data` and `previous_attributes` together, in bytes.
    pub payload_bytes_max: usize,
    /// Connections that the intake's group commit keeps busy at most.
    pub intake_commits_max: usize,
    /// Where spans go.
    pub tracer: Tracer,
}

/// How a host name becomes addresses when an endpoint is registered.
#[async_trait]
pub trait ResolveName: Send + Sync {
    /// The addresses of a name; empty when it does not resolve now.
    async fn addresses(&self, name: &str) -> Vec<std::net::IpAddr>;
}

/// The use cases. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    vault: Vault,
    publisher: Publisher,
    names: Arc<dyn ResolveName>,
    config: EngineConfig,
    intake: intake::Intake,
    authentication: authentication::Cache,
    attempts: sessions::Attempts,
    refusals: authentication::Refusals,
    notes: authentication::Notes,
    catalogue: catalogue::Catalogue,
    statistics: stats::Statistics,
    relayed: relay::Relayed,
    last_look: waiting::LastLook,
}

impl Engine {
    /// An engine over a database and a broker, either of which may be down.
    pub fn new(
        store: Store,
        vault: Vault,
        publisher: Publisher,
        names: Arc<dyn ResolveName>,
        config: EngineConfig,
    ) -> Self {
        let intake = intake::Intake::spawn(
            store.clone(),
            publisher.clone(),
            config.intake_commits_max,
            config.tracer.clone(),
        );
        Self {
            inner: Arc::new(Inner {
                store,
                vault,
                publisher,
                names,
                config,
                intake,
                authentication: authentication::Cache::default(),
                attempts: sessions::Attempts::default(),
                refusals: authentication::Refusals::default(),
                notes: authentication::Notes::default(),
                catalogue: catalogue::Catalogue::default(),
                statistics: stats::Statistics::default(),
                relayed: relay::Relayed::default(),
                last_look: waiting::LastLook::default(),
            }),
        }
    }

    /// What the operator decided.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The intake, for its figures and for its end at shutdown.
    pub fn intake(&self) -> &intake::Intake {
        &self.inner.intake
    }

    /// A key for signing page cursors: the same in every replica, and never stored.
    pub fn cursor_key(&self) -> [u8; 32] {
        self.inner.vault.derive_key("page cursor")
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }
}
