//! The event catalogue: the products' types, and each tenant's own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plumbline_domain::{EventType, JsonText, Profile, TenantId};
use plumbline_store::event_types;

pub use plumbline_store::event_types::EventTypeRecord;

use crate::{Engine, Error, FieldError, Unit};

/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// How long a tenant's known types are believed. A type that is not among them is always looked up again.
const TYPES_FRESH: Duration = Duration::from_secs(60);
/// Names that a message lists.
const OFFERED_MAX: usize = 30;
/// Tenants remembered at once.
const TENANTS_MAX: u64 = 10_000;

/// The types that each tenant may publish and subscribe to. Types are never taken away, so a hit is always right.
pub(crate) struct Cache(moka::future::Cache<TenantId, Arc<KnownTypes>>);

/// What a tenant may publish and subscribe to.
#[derive(Debug, Default)]
pub(crate) struct KnownTypes(HashMap<EventType, Owners>);

/// Whose type it is.
#[derive(Debug, Default)]
struct Owners {
    own: bool,
    profiles: Vec<Profile>,
}

impl KnownTypes {
    /// Whether the tenant may publish it: every product's types and its own.
    pub(crate) fn contains(&self, event_type: &EventType) -> bool {
        self.0.contains_key(event_type)
    }

    /// What an endpoint of `profile` may subscribe to, in the words of `naming`: for a message.
    pub(crate) fn offer(&self, naming: Profile, profile: Profile) -> String {
        let mut names: Vec<&str> = self
            .0
            .keys()
            .filter(|name| self.is_offered(name, &[naming, profile]))
            .map(|name| naming.spelling(name))
            .collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(OFFERED_MAX);
        names.truncate(OFFERED_MAX);
        let names = names.join(", ");
        if more > 0 {
            format!("one of {names} and {more} more")
        } else {
            format!("one of {names}")
        }
    }

    /// Whether an endpoint may subscribe to it: the types of its products and the tenant's own.
    pub(crate) fn is_offered(&self, event_type: &EventType, products: &[Profile]) -> bool {
        self.0.get(event_type).is_some_and(|owners| {
            owners.own || owners.profiles.iter().any(|profile| products.contains(profile))
        })
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self(
            moka::future::Cache::builder()
                .max_capacity(TENANTS_MAX)
                .time_to_live(TYPES_FRESH)
                .build(),
        )
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
    /// An example of `data`: a JSON object.
    pub example: Option<JsonText>,
}

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

    /// The types that a tenant may publish and subscribe to: every product's and its own. Asked anew, once, when one
    /// of `wanted` is not among the remembered ones.
    pub(crate) async fn known_types(
        &self,
        tenant: TenantId,
        wanted: impl Iterator<Item = &EventType>,
    ) -> Result<Arc<KnownTypes>, Error> {
        let cache = &self.inner.catalogue.0;
        if let Some(known) = cache.get(&tenant).await {
            let mut wanted = wanted;
            if wanted.all(|event_type| known.contains(event_type)) {
                return Ok(known);
            }
        }
        let mut known = KnownTypes::default();
        for (name, profile) in event_types::names(&self.store().session().await?, tenant).await? {
            let owners = known.0.entry(name).or_default();
            match profile {
                Some(profile) => owners.profiles.push(profile),
                None => owners.own = true,
            }
        }
        let known = Arc::new(known);
        cache.insert(tenant, known.clone()).await;
        Ok(known)
    }
}

impl Unit {
    /// Add a type to the tenant's catalogue.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] when the name is taken.
    pub async fn create_event_type(&mut self, new: NewEventType) -> Result<EventTypeRecord, Error> {
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
        if new
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX)
        {
            faults.push(FieldError::new(
                "description",
                "too_long",
                format!("use at most {DESCRIPTION_CHARS_MAX} characters"),
            ));
        }
        for (field, json) in [("schema", &new.schema), ("example", &new.example)] {
            if let Some(json) = json {
                crate::events::check_object(&mut faults, field.to_owned(), json);
            }
        }
        let Some(name) = name.filter(|_| faults.is_empty()) else {
            return Err(Error::Invalid(faults));
        };
        let new = event_types::NewEventType {
            name: name.clone(),
            description: new.description,
            schema: new.schema,
            example: new.example,
        };
        match event_types::create(&self.session, self.tenant, &new).await {
            Err(plumbline_store::StoreError::Conflict { .. }) => Err(Error::Conflict(format!(
                "the event type `{name}` exists already: choose another name"
            ))),
            result => Ok(result?),
        }
    }
}
