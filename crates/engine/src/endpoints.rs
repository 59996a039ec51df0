//! Endpoints: register, change, rotate, enable, test, delete.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use plumbline_broker::wire::RetryMessage;
use plumbline_domain::address::{InvalidUrl, Target};
use plumbline_domain::endpoint::{DESCRIPTION_CHARS_MAX, SUBSCRIPTION_TYPES_MAX, check_headers};
use plumbline_domain::operational::operational_type;
use plumbline_domain::secret::{ACTIVATE_IN_SECONDS_MAX, ROTATION_OVERLAP};
use plumbline_domain::{
    CustomHeaders, Delivery, DeliveryId, DisabledReason, Endpoint, EndpointId, EndpointUrl, Event, EventId,
    EventType, JsonText, Profile, SigningSecret, Subscription, TenantId, Timestamp,
};
use plumbline_store::{deliveries, endpoints, events, secrets, tenants};
use uuid::Uuid;

use crate::catalogue::Subscribable;
use crate::{Engine, Error, FieldError, Unit};

/// How long a dispatcher may still act on endpoints as it knew them; a deletion is answered after it.
pub const ENDPOINTS_FRESH: Duration = Duration::from_secs(1);
/// Waiting deliveries of a deleted endpoint that are settled in its deletion; the rest when they come due.
const SETTLE_AT_ONCE_MAX: usize = 10_000;

/// What signs an endpoint's deliveries.
#[derive(Debug, Clone)]
pub enum WantedSecret {
    /// A fresh secret of the profile's form.
    Generated,
    /// What the customer chose (S2-07).
    Supplied(SigningSecret),
    /// Nothing (S2-08).
    None,
}

/// An endpoint to register.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// The product that it is registered through.
    pub profile: Profile,
    /// Where to POST.
    pub url: String,
    /// The types to receive, as the dialect's caller named them. None at all is everything, where the profile has it so,
    /// and else an error.
    pub event_types: Vec<String>,
    /// What the customer wrote about it.
    pub description: Option<String>,
    /// Requests per minute; `None` is the profile's default.
    pub rate_limit: Option<i64>,
    /// Extra request headers.
    pub headers: CustomHeaders,
    /// What signs its deliveries.
    pub secret: WantedSecret,
}

/// What to change; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct EndpointChanges {
    /// Another URL.
    pub url: Option<String>,
    /// Other types to receive.
    pub event_types: Option<Vec<String>>,
    /// Another description, or none.
    pub description: Option<Option<String>>,
    /// Another rate limit, or none.
    pub rate_limit: Option<Option<i64>>,
    /// Other headers.
    pub headers: Option<CustomHeaders>,
    /// Enable (which resets the failure count and sends nothing) or pause.
    pub active: Option<bool>,
}

/// An endpoint whose fields are in order. The check asks DNS, so it happens before a transaction begins: nobody's
/// name server holds a connection to the database, and no transaction waits for a second one.
#[derive(Debug, Clone)]
pub struct CheckedEndpoint {
    profile: Profile,
    url: EndpointUrl,
    subscription: Subscription,
    description: Option<String>,
    rate_limit: Option<NonZeroU32>,
    headers: CustomHeaders,
    secret: Option<SigningSecret>,
}

/// Changes whose fields are in order; checked before a transaction begins, like [`CheckedEndpoint`].
#[derive(Debug, Clone, Default)]
pub struct CheckedChanges {
    url: Option<EndpointUrl>,
    subscription: Option<Subscription>,
    description: Option<Option<String>>,
    rate_limit: Option<Option<NonZeroU32>>,
    headers: Option<CustomHeaders>,
    active: Option<bool>,
}

impl CheckedChanges {
    fn is_empty(&self) -> bool {
        self.url.is_none()
            && self.subscription.is_none()
            && self.description.is_none()
            && self.rate_limit.is_none()
            && self.headers.is_none()
            && self.active.is_none()
    }
}

impl Engine {
    /// One endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn endpoint(&self, tenant: TenantId, endpoint: EndpointId) -> Result<Endpoint, Error> {
        endpoints::get(&self.store().session().await?, tenant, endpoint)
            .await?
            .ok_or(Error::NotFound("endpoint"))
    }

    /// One endpoint of a profile by its UUID.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn endpoint_by_uid(
        &self,
        tenant: TenantId,
        profile: Profile,
        uid: Uuid,
    ) -> Result<Endpoint, Error> {
        endpoints::by_uid(&self.store().session().await?, tenant, profile, uid)
            .await?
            .ok_or(Error::NotFound("endpoint"))
    }

    /// A page of the tenant's endpoints, newest first, older than `before`; of one profile, if given.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn endpoints(
        &self,
        tenant: TenantId,
        profile: Option<Profile>,
        before: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, Error> {
        Ok(endpoints::list(&self.store().session().await?, tenant, profile, before, limit).await?)
    }

    /// All of the tenant's endpoints of one profile, newest first; a tenant has a bounded number.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn all_endpoints(&self, tenant: TenantId, profile: Profile) -> Result<Vec<Endpoint>, Error> {
        let limit = usize::try_from(self.config().endpoints_per_tenant_max).unwrap_or(usize::MAX);
        self.endpoints(tenant, Some(profile), None, limit).await
    }

    /// Wait until no dispatcher acts on endpoints as they were before a commit that has just happened: after this,
    /// no new request to a deleted endpoint starts (G11).
    pub async fn until_forgotten(&self) {
        tokio::time::sleep(ENDPOINTS_FRESH).await;
    }

    /// Check an endpoint to register; call it outside of a [`Unit`].
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field; [`Error::Unavailable`].
    pub async fn check_endpoint(&self, tenant: TenantId, new: NewEndpoint) -> Result<CheckedEndpoint, Error> {
        let mut faults = vec![];
        let url = self.url_field(&mut faults, &new.url).await;
        let subscription = self
            .subscription_field(
                &mut faults,
                tenant,
                new.profile,
                new.profile,
                &new.event_types,
                &BTreeSet::new(),
            )
            .await?;
        description_field(&mut faults, new.description.as_deref());
        let rate_limit = rate_limit_field(&mut faults, new.rate_limit).or(new.profile.rate_limit_default());
        headers_field(&mut faults, &new.headers);
        let secret = match new.secret {
            WantedSecret::Generated => Some(new.profile.generate_secret(rand::random())),
            WantedSecret::Supplied(secret) => Some(secret),
            WantedSecret::None => None,
        };
        let (Some(url), Some(subscription), true) = (url, subscription, faults.is_empty()) else {
            return Err(Error::Invalid(faults));
        };
        let NewEndpoint {
            profile,
            description,
            headers,
            ..
        } = new;
        Ok(CheckedEndpoint {
            profile,
            url,
            subscription,
            description,
            rate_limit,
            headers,
            secret,
        })
    }

    /// Check changes of an endpoint, whose types are named as `naming` does; call it outside of a [`Unit`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] names every faulty field; [`Error::Unavailable`].
    pub async fn check_changes(
        &self,
        tenant: TenantId,
        endpoint: EndpointId,
        naming: Profile,
        changes: EndpointChanges,
    ) -> Result<CheckedChanges, Error> {
        let mut faults = vec![];
        let mut checked = CheckedChanges {
            active: changes.active,
            ..CheckedChanges::default()
        };
        if let Some(text) = &changes.url {
            checked.url = self.url_field(&mut faults, text).await;
        }
        if let Some(wanted) = &changes.event_types {
            let now = self.endpoint(tenant, endpoint).await?;
            let subscribed = match now.subscription {
                Subscription::Types(types) => types,
                Subscription::All => BTreeSet::new(),
            };
            checked.subscription = self
                .subscription_field(&mut faults, tenant, naming, now.profile, wanted, &subscribed)
                .await?;
        }
        if let Some(description) = changes.description {
            description_field(&mut faults, description.as_deref());
            checked.description = Some(description);
        }
        if let Some(rate_limit) = changes.rate_limit {
            checked.rate_limit = Some(rate_limit_field(&mut faults, rate_limit));
        }
        if let Some(headers) = changes.headers {
            headers_field(&mut faults, &headers);
            checked.headers = Some(headers);
        }
        if faults.is_empty() {
            Ok(checked)
        } else {
            Err(Error::Invalid(faults))
        }
    }

    /// Parse a URL and ask where its name leads today (S0-09, S0-40).
    async fn check_url(&self, text: &str) -> Result<EndpointUrl, InvalidUrl> {
        let policy = &self.config().address_policy;
        let url = EndpointUrl::parse(text, policy)?;
        if let Target::Name(name) = url.target() {
            for address in self.inner.names.addresses(&name).await {
                policy.vet(address, url.port())?;
            }
        }
        Ok(url)
    }

    async fn url_field(&self, faults: &mut Vec<FieldError>, text: &str) -> Option<EndpointUrl> {
        match self.check_url(text).await {
            Ok(url) => Some(url),
            Err(error) => {
                let code = match error {
                    InvalidUrl::TooLong => "too_long",
                    InvalidUrl::NotHttps => "not_https",
                    InvalidUrl::Forbidden(_) | InvalidUrl::PrivateName(_) => "forbidden_address",
                    InvalidUrl::Malformed(_) | InvalidUrl::UserInfo | InvalidUrl::Fragment => "invalid",
                };
                faults.push(FieldError::new("url", code, error.to_string()));
                None
            }
        }
    }

    /// The names are spelled as `naming` does; the types of the endpoint's own `profile` are offered, and by the native
    /// surface those of the service. What is deprecated, or was subscribed to there, stays in the subscription of who
    /// has it.
    async fn subscription_field(
        &self,
        faults: &mut Vec<FieldError>,
        tenant: TenantId,
        naming: Profile,
        profile: Profile,
        names: &[String],
        subscribed: &BTreeSet<EventType>,
    ) -> Result<Option<Subscription>, Error> {
        if names.is_empty() && profile.no_types_are_all() {
            return Ok(Some(Subscription::All));
        }
        if names.is_empty() {
            faults.push(FieldError::new(
                "eventTypes",
                "required",
                "name at least one event type",
            ));
            return Ok(None);
        }
        if names.len() > SUBSCRIPTION_TYPES_MAX {
            let message = format!("name at most {SUBSCRIPTION_TYPES_MAX} event types");
            faults.push(FieldError::new("eventTypes", "too_many", message));
            return Ok(None);
        }
        let mut types = BTreeSet::new();
        let mut all_known = true;
        let parsed: Vec<Option<EventType>> = names.iter().map(|name| naming.canonical(name)).collect();
        let catalogue = self.known_types(tenant, parsed.iter().flatten()).await?;
        for (index, (name, parsed)) in names.iter().zip(parsed).enumerate() {
            let subscribable = parsed.map(|name| {
                let subscribable = if !name.is_reserved() {
                    catalogue.subscribable(&name, &[profile])
                } else if operational_type(&name).is_some()
                    && (naming.offers_operational_types() || subscribed.contains(&name))
                {
                    Subscribable::Yes
                } else {
                    Subscribable::Unknown
                };
                (subscribable, name)
            });
            match subscribable {
                Some((Subscribable::Yes, name)) => {
                    types.insert(name);
                }
                Some((Subscribable::Deprecated, name)) if subscribed.contains(&name) => {
                    types.insert(name);
                }
                Some((Subscribable::Deprecated, name)) => {
                    all_known = false;
                    faults.push(FieldError::new(
                        format!("eventTypes[{index}]"),
                        "deprecated_event_type",
                        format!(
                            "`{name}` is deprecated and takes no new subscriptions: its description in GET \
                             /api/v1/webhook-event-types/{name} may say what replaces it"
                        ),
                    ));
                }
                Some((Subscribable::Unknown, _)) | None => {
                    all_known = false;
                    faults.push(FieldError::new(
                        format!("eventTypes[{index}]"),
                        "unknown_event_type",
                        format!(
                            "`{}` is not an event type to subscribe to here: use {}",
                            name.escape_debug(),
                            catalogue.offer(naming, profile),
                        ),
                    ));
                }
            }
        }
        Ok(all_known.then_some(Subscription::Types(types)))
    }
}

fn description_field(faults: &mut Vec<FieldError>, description: Option<&str>) {
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        let message = format!("use at most {DESCRIPTION_CHARS_MAX} characters");
        faults.push(FieldError::new("description", "too_long", message));
    }
    if description.is_some_and(|text| text.contains('\0')) {
        faults.push(FieldError::new(
            "description",
            "invalid",
            "must not contain the character U+0000: remove it",
        ));
    }
}

fn rate_limit_field(faults: &mut Vec<FieldError>, rate_limit: Option<i64>) -> Option<NonZeroU32> {
    let limit = rate_limit?;
    let valid = i32::try_from(limit)
        .ok()
        .and_then(|limit| u32::try_from(limit).ok())
        .and_then(NonZeroU32::new);
    if valid.is_none() {
        let message = format!("must be a whole number from 1 to {}", i32::MAX);
        faults.push(FieldError::new("rateLimit", "invalid", message));
    }
    valid
}

fn headers_field(faults: &mut Vec<FieldError>, headers: &CustomHeaders) {
    if let Err(error) = check_headers(headers) {
        faults.push(FieldError::new("headers", "invalid", error.to_string()));
    }
}

impl Unit {
    /// Register an endpoint. The secret, if it has one, is returned here and never again.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the tenant has as many endpoints as it may.
    pub async fn create_endpoint(
        &mut self,
        new: CheckedEndpoint,
    ) -> Result<(Endpoint, Option<SigningSecret>), Error> {
        let engine = self.engine.clone();
        // Locks the tenant's row: two creations cannot both take the last place.
        let since_version = self.bump_version().await?;
        let limit = engine.config().endpoints_per_tenant_max;
        if endpoints::count(&self.session, self.tenant).await? >= i64::from(limit) {
            return Err(Error::Conflict(format!(
                "the tenant has {limit} endpoints, which is the most: delete one first"
            )));
        }
        let mut endpoint = endpoints::insert(
            &self.session,
            &endpoints::NewEndpoint {
                tenant: self.tenant,
                profile: new.profile,
                url: new.url,
                description: new.description,
                subscription: new.subscription,
                rate_limit: new.rate_limit,
                since_version,
            },
        )
        .await?;
        if !new.headers.is_empty() {
            self.set_headers(&mut endpoint, &new.headers).await?;
        }
        if let Some(secret) = &new.secret {
            let sealed = engine.inner.vault.seal(secret, self.tenant, endpoint.id);
            let derivation = new.profile.key_derivation();
            secrets::insert(
                &self.session,
                self.tenant,
                endpoint.id,
                &sealed,
                derivation,
                Timestamp::UNIX_EPOCH,
                None,
            )
            .await?;
        }
        Ok((endpoint, new.secret))
    }

    /// Change an endpoint. No change at all is no new version.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn update_endpoint(
        &mut self,
        id: EndpointId,
        changes: CheckedChanges,
    ) -> Result<Endpoint, Error> {
        let mut endpoint = self.lock_endpoint(id).await?;
        if changes.is_empty() {
            return Ok(endpoint);
        }
        if let Some(url) = changes.url {
            endpoint.url = url;
        }
        if let Some(subscription) = changes.subscription {
            endpoint.subscription = subscription;
        }
        if let Some(description) = changes.description {
            endpoint.description = description;
        }
        if let Some(rate_limit) = changes.rate_limit {
            endpoint.rate_limit = rate_limit;
        }
        if let Some(headers) = changes.headers {
            self.set_headers(&mut endpoint, &headers).await?;
        }
        match changes.active {
            Some(true) => enable(&mut endpoint),
            Some(false) if endpoint.is_active() => endpoint.disabled = Some(DisabledReason::Manual),
            Some(false) | None => {}
        }
        self.bump_version().await?;
        Ok(endpoints::update(&self.session, &endpoint).await?)
    }

    async fn set_headers(&mut self, endpoint: &mut Endpoint, headers: &CustomHeaders) -> Result<(), Error> {
        let vault = &self.engine.inner.vault;
        let sealed = (!headers.is_empty()).then(|| vault.seal_headers(headers, self.tenant, endpoint.id));
        let stored = sealed.as_ref().map(|sealed| (headers, sealed));
        endpoints::set_headers(&self.session, self.tenant, endpoint.id, stored).await?;
        endpoint.header_names = headers.names().map(str::to_owned).collect();
        Ok(())
    }

    /// Enable an endpoint: the failure count starts anew, and nothing is sent by itself.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn enable_endpoint(&mut self, id: EndpointId) -> Result<Endpoint, Error> {
        self.update_endpoint(
            id,
            CheckedChanges {
                active: Some(true),
                ..CheckedChanges::default()
            },
        )
        .await
    }

    /// Delete an endpoint. What waits for a retry ends as failed. Follow the commit with
    /// [`Engine::until_forgotten`] before the client is told.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_endpoint(&mut self, id: EndpointId) -> Result<(), Error> {
        self.lock_endpoint(id).await?;
        self.bump_version().await?;
        endpoints::delete(&self.session, self.tenant, id).await?;
        endpoints::settle_deleted(&self.session, self.tenant, id, SETTLE_AT_ONCE_MAX).await?;
        Ok(())
    }

    /// Replace the signing secret (G5). Without `activate_in`, the new one signs from now on; with it, the old one
    /// signs until then or until [`Unit::activate_secret`]. A prepared secret is replaced by the next rotation.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for an `activate_in` of 0 or beyond 30 days.
    pub async fn rotate_secret(
        &mut self,
        id: EndpointId,
        activate_in_seconds: Option<i64>,
    ) -> Result<(SigningSecret, Timestamp), Error> {
        let endpoint = self.lock_endpoint(id).await?;
        let now = Timestamp::now();
        let activates_at = match activate_in_seconds {
            None => now,
            Some(seconds) => u32::try_from(seconds)
                .ok()
                .filter(|seconds| (1..=ACTIVATE_IN_SECONDS_MAX).contains(seconds))
                .map(|seconds| now + Duration::from_secs(u64::from(seconds)))
                .ok_or_else(|| {
                    let message = format!("must be a whole number from 1 to {ACTIVATE_IN_SECONDS_MAX}");
                    Error::invalid("activateInSeconds", "invalid", message)
                })?,
        };
        let secret = endpoint.profile.generate_secret(rand::random());
        self.install_secret(&endpoint, &secret, now, activates_at).await?;
        Ok((secret, activates_at))
    }

    /// Let a secret that the customer chose sign from now on, as a rotation would; `None` leaves deliveries unsigned.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn replace_secret(
        &mut self,
        id: EndpointId,
        secret: Option<SigningSecret>,
    ) -> Result<Endpoint, Error> {
        let endpoint = self.lock_endpoint(id).await?;
        let now = Timestamp::now();
        match secret {
            Some(secret) => self.install_secret(&endpoint, &secret, now, now).await,
            None => {
                secrets::delete_all(&self.session, self.tenant, id).await?;
                self.bump_version().await?;
                Ok(endpoints::update(&self.session, &endpoint).await?)
            }
        }
    }

    async fn install_secret(
        &self,
        endpoint: &Endpoint,
        secret: &SigningSecret,
        now: Timestamp,
        activates_at: Timestamp,
    ) -> Result<Endpoint, Error> {
        let id = endpoint.id;
        let sealed = self.engine.inner.vault.seal(secret, self.tenant, id);
        secrets::delete_prepared(&self.session, self.tenant, id, now).await?;
        let expires_at = activates_at + overlap(endpoint.profile);
        secrets::set_expiry(&self.session, self.tenant, id, expires_at).await?;
        let derivation = endpoint.profile.key_derivation();
        secrets::insert(
            &self.session,
            self.tenant,
            id,
            &sealed,
            derivation,
            activates_at,
            None,
        )
        .await?;
        self.bump_version().await?;
        Ok(endpoints::update(&self.session, endpoint).await?)
    }

    /// Let the prepared secret take over now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when none is prepared.
    pub async fn activate_secret(&mut self, id: EndpointId) -> Result<Timestamp, Error> {
        let endpoint = self.lock_endpoint(id).await?;
        let now = Timestamp::now();
        let overlap = overlap(endpoint.profile);
        if !secrets::activate_prepared(&self.session, self.tenant, id, now, overlap).await? {
            return Err(Error::Conflict(
                "no secret is prepared: prepare one with rotate-secret and activateInSeconds".to_owned(),
            ));
        }
        self.bump_version().await?;
        Ok(now)
    }

    /// Send a synthetic `webhook.test` event: one attempt, to a disabled endpoint, too; not counted in its health.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn test_endpoint(&mut self, id: EndpointId) -> Result<Delivery, Error> {
        self.lock_endpoint(id).await?;
        let now = Timestamp::now();
        let event = Event {
            id: EventId::new(now, rand::random()),
            tenant: self.tenant,
            event_type: plumbline_domain::event::WEBHOOK_TEST
                .parse()
                .expect("a constant name"),
            data: JsonText::from_valid(r#"{"message":"This is a test event."}"#),
            previous_attributes: None,
            occurred_at: now,
            endpoints_version: 0,
        };
        events::insert_one(&self.session, &event).await?;
        let delivery = DeliveryId::derive(event.id, id);
        let delivery = deliveries::insert_test(&self.session, self.tenant, &event, id, delivery, now).await?;
        self.then_send(RetryMessage::due(self.tenant, delivery.id, 1, now));
        Ok(delivery)
    }

    async fn lock_endpoint(&self, id: EndpointId) -> Result<Endpoint, Error> {
        endpoints::lock(&self.session, self.tenant, id)
            .await?
            .ok_or(Error::NotFound("endpoint"))
    }

    async fn bump_version(&self) -> Result<i64, Error> {
        tenants::bump_endpoints_version(&self.session, self.tenant)
            .await?
            .ok_or(Error::NotFound("tenant"))
    }
}

/// How long a replaced secret goes on signing beside its successor.
fn overlap(profile: Profile) -> Duration {
    if profile.rotation_overlaps() {
        ROTATION_OVERLAP
    } else {
        Duration::ZERO
    }
}

fn enable(endpoint: &mut Endpoint) {
    endpoint.disabled = None;
    endpoint.consecutive_failures = 0;
}
