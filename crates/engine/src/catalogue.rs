//! The event catalogue: the products' types, and each tenant's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plumbline_domain::operational::{OPERATIONAL_TYPES, OperationalType, operational_type};
use plumbline_domain::{EventType, JsonText, Profile, TenantId, Timestamp};
use plumbline_store::event_types::{self, KnownType, SchemaVersion};
use plumbline_store::{Store, StoreError};
use tokio::sync::Semaphore;

pub use plumbline_store::event_types::EventTypeRecord;

use crate::schema::{Checker, SCHEMA_FAULTS_MAX};
use crate::{Engine, Error, FieldError, Unit};

/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// When the service's own types were added.
const OPERATIONAL_TYPES_SINCE: &str = "2026-11-25T00:00:00Z";
/// Names that a message lists.
const OFFERED_MAX: usize = 30;
/// The largest example, in bytes.
pub const EXAMPLE_BYTES_MAX: usize = 64 * 1024;
/// How long a tenant's known types are believed. A type that is not among them is always looked up again, and what
/// this process changes it knows at once.
const TYPES_FRESH: Duration = Duration::from_secs(10);
/// Tenants remembered at once.
const TENANTS_MAX: u64 = 10_000;
/// What compiled schemas may take together, in bytes, about.
const SCHEMAS_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Checks of a request that may cost more steps than this leave the thread that serves connections.
const STEPS_INLINE_MAX: usize = 2_000_000;

/// The types that each tenant may publish and subscribe to, and their schemas, each compiled once.
pub(crate) struct Catalogue {
    types: moka::future::Cache<TenantId, Arc<KnownTypes>>,
    /// The products' are shared by all tenants.
    schemas: moka::future::Cache<Arc<[SchemaVersion]>, Arc<Checkers>>,
    /// Costly checks share half of the processors, so that they leave the rest of the service its own.
    costly: Arc<Semaphore>,
}

impl Default for Catalogue {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            types: moka::future::Cache::builder()
                .max_capacity(TENANTS_MAX)
                .time_to_live(TYPES_FRESH)
                .build(),
            schemas: moka::future::Cache::builder()
                .max_capacity(SCHEMAS_BYTES_MAX)
                .weigher(|_, checkers: &Arc<Checkers>| checkers.memory_bytes())
                .build(),
            costly: Arc::new(Semaphore::new((processors / 2).max(1))),
        }
    }
}

impl Catalogue {
    /// Look a tenant's types up again.
    pub(crate) async fn forget(&self, tenant: TenantId) {
        self.types.invalidate(&tenant).await;
    }
}

/// What a tenant may publish and subscribe to.
#[derive(Debug, Default)]
pub(crate) struct KnownTypes(HashMap<EventType, Offer>);

/// Whose type it is, and what its data must satisfy.
#[derive(Debug, Default)]
struct Offer {
    /// Whether new subscriptions to the tenant's own are refused; `None` when it is not the tenant's.
    own_deprecated: Option<bool>,
    /// The products that have it, and whether each has deprecated it.
    products: Vec<(Profile, bool)>,
    /// `None` is anything.
    schemas: Option<Arc<[SchemaVersion]>>,
}

/// Whether an endpoint may subscribe to a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subscribable {
    /// It may.
    Yes,
    /// It could once; those that do go on receiving it.
    Deprecated,
    /// There is no such type for it.
    Unknown,
}

impl KnownTypes {
    fn new(known: Vec<KnownType>) -> Self {
        let mut types: HashMap<EventType, (Offer, Vec<SchemaVersion>, Vec<SchemaVersion>)> = HashMap::new();
        for known in known {
            let (offer, own, products) = types.entry(known.name).or_default();
            match known.profile {
                Some(profile) => {
                    offer.products.push((profile, known.deprecated));
                    products.extend(known.schema);
                }
                None => {
                    offer.own_deprecated = Some(known.deprecated);
                    own.extend(known.schema);
                }
            }
        }
        let offers = types.into_iter().map(|(name, (mut offer, own, products))| {
            // A product may get a type that the tenant has had: the tenant's data stays what the tenant says it is.
            let mut schemas = if offer.own_deprecated.is_some() {
                own
            } else {
                products
            };
            schemas.sort_unstable();
            offer.schemas = (!schemas.is_empty()).then(|| schemas.into());
            (name, offer)
        });
        Self(offers.collect())
    }

    /// Whether the tenant may publish it: every product's types and its own, deprecated or not.
    pub(crate) fn contains(&self, event_type: &EventType) -> bool {
        self.0.contains_key(event_type)
    }

    /// What an endpoint of `profile` may subscribe to, in the words of `naming`: for a message.
    pub(crate) fn offer(&self, naming: Profile, profile: Profile) -> String {
        let mut names: Vec<&str> = self
            .0
            .keys()
            .filter(|name| self.subscribable(name, &[profile]) == Subscribable::Yes)
            .map(|name| naming.spelling(name))
            .collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(OFFERED_MAX);
        names.truncate(OFFERED_MAX);
        let names = names.join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let ours = if naming.offers_operational_types() {
            let names = OPERATIONAL_TYPES.map(|known| known.name);
            format!(", or the service's own {}", names.join(" and "))
        } else {
            String::new()
        };
        format!("one of {names}{more}{ours}")
    }

    /// Whether an endpoint may subscribe to it: the types of its products and the tenant's own.
    pub(crate) fn subscribable(&self, event_type: &EventType, products: &[Profile]) -> Subscribable {
        let Some(offer) = self.0.get(event_type) else {
            return Subscribable::Unknown;
        };
        let theirs = offer
            .products
            .iter()
            .filter(|(profile, _)| products.contains(profile));
        let mut deprecated = offer
            .own_deprecated
            .into_iter()
            .chain(theirs.map(|(_, deprecated)| *deprecated));
        match deprecated.clone().next() {
            None => Subscribable::Unknown,
            Some(_) if deprecated.all(|deprecated| deprecated) => Subscribable::Deprecated,
            Some(_) => Subscribable::Yes,
        }
    }

    fn schemas(&self, event_type: &EventType) -> Option<&Arc<[SchemaVersion]>> {
        self.0.get(event_type)?.schemas.as_ref()
    }
}

/// What the data of one type must satisfy: every schema that it has.
pub(crate) struct Checkers(Vec<Checker>);

impl Checkers {
    fn compile(schemas: &[JsonText]) -> Self {
        let compile = |schema: &JsonText| match Checker::compile(schema) {
            Ok(checker) => Some(checker),
            Err(reason) => {
                // Written by SQL, or before schemas were checked: that is no reason to refuse a customer's events.
                tracing::error!(
                    reason,
                    "a stored schema cannot be used: events of its type are not checked"
                );
                None
            }
        };
        Self(schemas.iter().filter_map(compile).collect())
    }

    fn memory_bytes(&self) -> u32 {
        let bytes: usize = self.0.iter().map(Checker::memory_bytes).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX).max(1_000)
    }
}

/// Data to check: what it must satisfy, itself, and what a fault calls it.
struct Check {
    checkers: Arc<Checkers>,
    data: JsonText,
    path: String,
}

impl Check {
    fn run(checks: &[Self]) -> Vec<FieldError> {
        let mut faults = vec![];
        for check in checks {
            for checker in &check.checkers.0 {
                let left = SCHEMA_FAULTS_MAX - faults.len();
                faults.extend(checker.faults(&check.data, &check.path, left));
                if faults.len() == SCHEMA_FAULTS_MAX {
                    return faults;
                }
            }
        }
        faults
    }
}

/// A type to add to a tenant's catalogue.
#[derive(Debug, Clone)]
pub struct NewEventType {
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: Option<String>,
    /// JSON Schema of `data`: a JSON object.
    pub schema: Option<JsonText>,
    /// An example of `data`: a JSON object that satisfies the schema.
    pub example: Option<JsonText>,
}

/// A type that may be added, but for its name's being taken.
#[derive(Debug)]
pub struct CheckedEventType(event_types::NewEventType);

/// What to change of a type of the tenant's own; `None` leaves it as it is, and an inner `None` removes it.
#[derive(Debug, Clone, Default)]
pub struct EventTypeChanges {
    /// What it means.
    pub description: Option<Option<String>>,
    /// JSON Schema of `data`: a JSON object.
    pub schema: Option<Option<JsonText>>,
    /// An example of `data`: a JSON object that satisfies the schema.
    pub example: Option<Option<JsonText>>,
    /// Whether new subscriptions to it are refused.
    pub deprecated: Option<bool>,
}

/// Changes that are right in themselves.
#[derive(Debug)]
pub struct CheckedEventTypeChanges(EventTypeChanges);

impl Engine {
    /// The types of a product and the tenant's own, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn event_types(
        &self,
        tenant: TenantId,
        profile: Profile,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<EventTypeRecord>, Error> {
        Ok(event_types::list(&self.store().session().await?, tenant, profile, after, limit).await?)
    }

    /// The types that the service itself emits, by name: at most `limit` of those after `after`.
    pub fn operational_types(&self, after: Option<&str>, limit: usize) -> Vec<EventTypeRecord> {
        let types = OPERATIONAL_TYPES.iter();
        let types = types.filter(|known| after.is_none_or(|after| known.name > after));
        types.take(limit).map(operational_record).collect()
    }

    /// One type: the tenant's own, else a product's, or one of the service's.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn event_type(&self, tenant: TenantId, name: &EventType) -> Result<EventTypeRecord, Error> {
        if let Some(known) = operational_type(name) {
            return Ok(operational_record(known));
        }
        event_types::get(&self.store().session().await?, tenant, name)
            .await?
            .ok_or(Error::NotFound("event type"))
    }

    /// Check a type to add; call it outside of a [`Unit`], because a schema may take milliseconds.
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field.
    pub async fn check_event_type(&self, new: NewEventType) -> Result<CheckedEventType, Error> {
        let mut faults = vec![];
        let name = match new.name.parse::<EventType>() {
            Ok(name) if name.is_reserved() => {
                faults.push(FieldError::new(
                    "name",
                    "reserved",
                    "names that begin with `webhook.` or `endpoint.` are the service's own: choose another",
                ));
                None
            }
            Ok(name) => Some(name),
            Err(error) => {
                faults.push(FieldError::new("name", "invalid", error.to_string()));
                None
            }
        };
        description_field(&mut faults, new.description.as_deref());
        documents_fields(&mut faults, new.schema.as_ref(), new.example.as_ref()).await?;
        let Some(name) = name.filter(|_| faults.is_empty()) else {
            return Err(Error::Invalid(faults));
        };
        Ok(CheckedEventType(event_types::NewEventType {
            name,
            description: new.description,
            schema: new.schema,
            example: new.example,
        }))
    }

    /// Check changes of a type; call it outside of a [`Unit`], because a schema may take milliseconds.
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field.
    pub async fn check_event_type_changes(
        &self,
        changes: EventTypeChanges,
    ) -> Result<CheckedEventTypeChanges, Error> {
        let mut faults = vec![];
        let description = changes.description.iter().flatten().next();
        description_field(&mut faults, description.map(String::as_str));
        let schema = changes.schema.iter().flatten().next();
        let example = changes.example.iter().flatten().next();
        documents_fields(&mut faults, schema, example).await?;
        if faults.is_empty() {
            Ok(CheckedEventTypeChanges(changes))
        } else {
            Err(Error::Invalid(faults))
        }
    }

    /// The types that a tenant may publish and subscribe to: every product's and its own. Asked anew, once, when one
    /// of `wanted` is not among the remembered ones.
    pub(crate) async fn known_types(
        &self,
        tenant: TenantId,
        wanted: impl Iterator<Item = &EventType>,
    ) -> Result<Arc<KnownTypes>, Error> {
        let cache = &self.inner.catalogue.types;
        if let Some(known) = cache.get(&tenant).await {
            let mut wanted = wanted;
            if wanted.all(|event_type| known.contains(event_type)) {
                return Ok(known);
            }
        }
        let known = event_types::known(&self.store().session().await?, tenant).await?;
        let known = Arc::new(KnownTypes::new(known));
        cache.insert(tenant, known.clone()).await;
        Ok(known)
    }

    /// What of these events' data violates the schemas of their types: at most [`SCHEMA_FAULTS_MAX`] faults. Each
    /// event is given as its type, its data and what a fault calls that. Types without a schema cost nothing.
    pub(crate) async fn schema_faults<'a>(
        &self,
        tenant: TenantId,
        known: &KnownTypes,
        events: impl Iterator<Item = (&'a EventType, &'a JsonText, String)>,
    ) -> Result<Vec<FieldError>, Error> {
        let mut checks = vec![];
        let mut found: HashMap<&EventType, Arc<Checkers>> = HashMap::new();
        for (event_type, data, path) in events {
            let Some(versions) = known.schemas(event_type) else {
                continue;
            };
            let checkers = match found.get(event_type) {
                Some(checkers) => checkers.clone(),
                None => {
                    let checkers = self.checkers(tenant, versions).await?;
                    found.insert(event_type, checkers.clone());
                    checkers
                }
            };
            checks.push(Check {
                checkers,
                data: data.clone(),
                path,
            });
        }
        let steps = |check: &Check| -> usize {
            let checkers = check.checkers.0.iter();
            checkers.map(|checker| checker.cost(&check.data)).sum()
        };
        if checks.iter().map(steps).sum::<usize>() <= STEPS_INLINE_MAX {
            return Ok(Check::run(&checks));
        }
        let permit = self.inner.catalogue.costly.clone().acquire_owned().await;
        let permit = permit.expect("nobody closes the semaphore");
        off_thread(move || {
            let faults = Check::run(&checks);
            drop(permit);
            faults
        })
        .await
    }

    async fn checkers(
        &self,
        tenant: TenantId,
        versions: &Arc<[SchemaVersion]>,
    ) -> Result<Arc<Checkers>, Error> {
        let cache = &self.inner.catalogue.schemas;
        if let Some(checkers) = cache.get(versions).await {
            return Ok(checkers);
        }
        let load = load_checkers(self.store(), tenant, versions);
        // Who comes while it is compiled waits for it; an error is shared by those who waited.
        let loaded = cache.try_get_with(versions.clone(), load).await;
        loaded.map_err(|error| match &*error {
            LoadError::Store(error) if error.is_transient() => {
                Error::Unavailable(StoreError::unavailable("a schema could not be read"))
            }
            LoadError::Store(_) | LoadError::Stopped => Error::Internal("a schema could not be read"),
        })
    }
}

enum LoadError {
    Store(StoreError),
    Stopped,
}

async fn load_checkers(
    store: &Store,
    tenant: TenantId,
    versions: &[SchemaVersion],
) -> Result<Arc<Checkers>, LoadError> {
    let read = async { event_types::schemas(&store.session().await?, tenant, versions).await };
    let schemas = read.await.map_err(LoadError::Store)?;
    let compiled = off_thread(move || Checkers::compile(&schemas)).await;
    compiled.map(Arc::new).map_err(|_| LoadError::Stopped)
}

/// A type of the service's own, as the catalogue lists it.
fn operational_record(known: &OperationalType) -> EventTypeRecord {
    EventTypeRecord {
        name: known.name.parse().expect("a constant name"),
        description: Some(known.description.to_owned()),
        schema: Some(known.schema.to_owned()),
        example: Some(known.example.to_owned()),
        own: false,
        deprecated_at: None,
        created_at: OPERATIONAL_TYPES_SINCE.parse().expect("a constant time"),
    }
}

/// Compute off the threads that serve connections.
async fn off_thread<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let computed = tokio::task::spawn_blocking(compute).await;
    computed.map_err(|_| Error::Internal("a schema could not be worked with"))
}

fn description_field(faults: &mut Vec<FieldError>, description: Option<&str>) {
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        faults.push(FieldError::new(
            "description",
            "too_long",
            format!("use at most {DESCRIPTION_CHARS_MAX} characters"),
        ));
    }
}

/// A schema and an example of what satisfies it, each in itself and, where there are both, together.
async fn documents_fields(
    faults: &mut Vec<FieldError>,
    schema: Option<&JsonText>,
    example: Option<&JsonText>,
) -> Result<(), Error> {
    let before = faults.len();
    for (field, json) in [("schema", schema), ("example", example)] {
        if let Some(json) = json {
            crate::events::check_object(faults, field.to_owned(), json);
        }
    }
    if let Some(bytes) = example.map(|json| json.as_str().len())
        && bytes > EXAMPLE_BYTES_MAX
    {
        let message = format!("has {bytes} bytes: use at most {EXAMPLE_BYTES_MAX}");
        faults.push(FieldError::new("example", "too_long", message));
    }
    let Some(schema) = schema.filter(|_| faults.len() == before).cloned() else {
        return Ok(());
    };
    let example = example.cloned();
    let found = off_thread(move || match Checker::compile(&schema) {
        Err(reason) => vec![FieldError::new("schema", "invalid_schema", reason)],
        Ok(checker) => example
            .map(|example| checker.faults(&example, "example", SCHEMA_FAULTS_MAX))
            .unwrap_or_default(),
    });
    faults.extend(found.await?);
    Ok(())
}

impl Unit {
    /// Add a type to the tenant's catalogue.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken.
    pub async fn create_event_type(&mut self, new: CheckedEventType) -> Result<EventTypeRecord, Error> {
        let CheckedEventType(new) = new;
        let name = &new.name;
        match event_types::create(&self.session, self.tenant, &new).await {
            Err(StoreError::Conflict { .. }) => Err(Error::Conflict(format!(
                "the event type `{name}` exists already: choose another name"
            ))),
            result => {
                self.changes_catalogue();
                Ok(result?)
            }
        }
    }

    /// Change a type of the tenant's own.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when it is built in; [`Error::Invalid`] names `example` when the
    /// schema and the example that result do not fit.
    pub async fn update_event_type(
        &mut self,
        name: &EventType,
        changes: CheckedEventTypeChanges,
    ) -> Result<EventTypeRecord, Error> {
        let CheckedEventTypeChanges(changes) = changes;
        let Some(now) = event_types::lock_own(&self.session, self.tenant, name).await? else {
            let built_in = operational_type(name).is_some()
                || event_types::get(&self.session, self.tenant, name)
                    .await?
                    .is_some();
            return match built_in {
                true => Err(Error::Conflict(format!(
                    "the event type `{name}` is built in and cannot be changed: define one of your own"
                ))),
                false => Err(Error::NotFound("event type")),
            };
        };
        let text = |json: JsonText| json.as_str().to_owned();
        let mut changed = now.clone();
        if let Some(description) = changes.description {
            changed.description = description;
        }
        if let Some(schema) = changes.schema {
            changed.schema = schema.map(text);
        }
        if let Some(example) = changes.example {
            changed.example = example.map(text);
        }
        if let Some(deprecated) = changes.deprecated {
            changed.deprecated_at = deprecated.then(|| now.deprecated_at.unwrap_or_else(Timestamp::now));
        }
        if changed == now {
            return Ok(now);
        }
        if (&changed.schema, &changed.example) != (&now.schema, &now.example) {
            let json = |text: &Option<String>| text.as_deref().map(JsonText::from_valid);
            let mut faults = vec![];
            documents_fields(
                &mut faults,
                json(&changed.schema).as_ref(),
                json(&changed.example).as_ref(),
            )
            .await?;
            if !faults.is_empty() {
                return Err(Error::Invalid(faults));
            }
        }
        event_types::update_own(&self.session, self.tenant, &changed).await?;
        self.changes_catalogue();
        Ok(changed)
    }
}
