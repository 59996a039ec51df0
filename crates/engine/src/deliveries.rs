//! The delivery log, replay and recovery.

use bytes::Bytes;
use plumbline_broker::wire::RetryMessage;
use plumbline_domain::{Delivery, DeliveryId, EndpointId, Profile, ResourceUrls, TenantId, Timestamp};
use plumbline_store::{deliveries, endpoints, events, tenants};

pub use plumbline_store::deliveries::{Attempt, AttemptPosition, DeliveryFilter, HistoryEntry};

use crate::{Engine, Error, Unit};

/// The most deliveries that one recovery sends; call again for the rest.
pub const RECOVER_MAX: usize = 50_000;

/// A delivery with everything that is known of it.
#[derive(Debug, Clone)]
pub struct DeliveryDetail {
    /// The delivery.
    pub delivery: Delivery,
    /// The body of its requests; `None` once the event's day has been dropped by retention.
    pub body: Option<Bytes>,
    /// The endpoint's URL as it is now; `None` once it is deleted.
    pub endpoint_url: Option<String>,
    /// How the endpoint wants to be spoken to.
    pub profile: Option<Profile>,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
}

/// What a recovery sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Deliveries that are sent again, or would be.
    pub deliveries: usize,
    /// When they were made; their ids carry it.
    pub started_at: Timestamp,
}

impl Engine {
    /// A page of an endpoint's deliveries, newest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the endpoint; [`Error::Unavailable`].
    pub async fn deliveries(
        &self,
        tenant: TenantId,
        endpoint: EndpointId,
        filter: &DeliveryFilter,
    ) -> Result<Vec<Delivery>, Error> {
        let session = self.store().session().await?;
        if endpoints::get(&session, tenant, endpoint).await?.is_none() {
            return Err(Error::NotFound("endpoint"));
        }
        Ok(deliveries::list(&session, tenant, endpoint, filter).await?)
    }

    /// A page of the deliveries of all of a tenant's endpoints, or of one, deleted ones included, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn all_deliveries(
        &self,
        tenant: TenantId,
        endpoint: Option<EndpointId>,
        filter: &DeliveryFilter,
    ) -> Result<Vec<Delivery>, Error> {
        let session = self.store().session().await?;
        Ok(match endpoint {
            Some(endpoint) => deliveries::list(&session, tenant, endpoint, filter).await?,
            None => deliveries::list_of_tenant(&session, tenant, filter).await?,
        })
    }

    /// A page of an endpoint's attempts, made and to come; see [`deliveries::history`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn history(
        &self,
        tenant: TenantId,
        endpoint: EndpointId,
        before: Option<AttemptPosition>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, Error> {
        let session = self.store().session().await?;
        Ok(deliveries::history(&session, tenant, endpoint, before, limit).await?)
    }

    /// One delivery with its event and attempts.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<DeliveryDetail, Error> {
        let session = self.store().session().await?;
        let delivery = deliveries::get(&session, tenant, delivery)
            .await?
            .ok_or(Error::NotFound("delivery"))?;
        let event = events::get(&session, tenant, delivery.event).await?;
        let attempts = deliveries::attempts(&session, tenant, delivery.id).await?;
        let profile = endpoints::profile(&session, tenant, delivery.endpoint).await?;
        let endpoint = endpoints::get(&session, tenant, delivery.endpoint).await?;
        let endpoint_url = endpoint.map(|endpoint| endpoint.url.as_str().to_owned());
        let body = match event.zip(profile) {
            Some((event, profile)) => {
                let tenant = tenants::get(&session, tenant).await?;
                let own = tenant.and_then(|tenant| tenant.resource_url_template);
                let urls = own.map(ResourceUrls::new);
                Some(profile.body(&event, urls.as_ref().unwrap_or(&self.config().resource_urls)))
            }
            None => None,
        };
        Ok(DeliveryDetail {
            delivery,
            body,
            endpoint_url,
            profile,
            attempts,
        })
    }
}

impl Unit {
    /// Send a delivery's event to its endpoint again, as a new delivery.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when its endpoint is deleted, disabled, or its event is past retention.
    pub async fn replay(&mut self, original: DeliveryId) -> Result<Delivery, Error> {
        let delivery = deliveries::get(&self.session, self.tenant, original)
            .await?
            .ok_or(Error::NotFound("delivery"))?;
        let endpoint = endpoints::get(&self.session, self.tenant, delivery.endpoint).await?;
        match endpoint {
            None => {
                return Err(Error::Conflict(
                    "the endpoint of this delivery is deleted: it cannot be replayed".to_owned(),
                ));
            }
            Some(endpoint) if !endpoint.is_active() => {
                return Err(Error::Conflict(
                    "the endpoint is disabled: enable it, then replay".to_owned(),
                ));
            }
            Some(_) => {}
        }
        if events::get(&self.session, self.tenant, delivery.event)
            .await?
            .is_none()
        {
            return Err(Error::Conflict(
                "the event is past its retention: it cannot be replayed".to_owned(),
            ));
        }
        let now = Timestamp::now();
        let id = DeliveryId::new(now, rand::random());
        let replay = deliveries::insert_replay(&self.session, self.tenant, original, id, now)
            .await?
            .ok_or(Error::NotFound("delivery"))?;
        self.then_send(RetryMessage::due(self.tenant, replay.id, 1, now));
        Ok(replay)
    }

    /// Send again what an endpoint missed: one new delivery for each event whose failed, exhausted or skipped
    /// deliveries were recorded in `since..until` and that has not been delivered since. At most [`RECOVER_MAX`].
    /// A dry run only counts.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for an empty range; [`Error::Conflict`] when the endpoint is disabled.
    pub async fn recover(
        &mut self,
        endpoint: EndpointId,
        since: Timestamp,
        until: Option<Timestamp>,
        dry_run: bool,
    ) -> Result<Recovered, Error> {
        let found = endpoints::get(&self.session, self.tenant, endpoint)
            .await?
            .ok_or(Error::NotFound("endpoint"))?;
        let now = Timestamp::now();
        let until = until.unwrap_or(now);
        if since >= until {
            return Err(Error::invalid(
                "since",
                "invalid",
                "must lie before `until`, or before now when that is not given",
            ));
        }
        if dry_run {
            let deliveries = deliveries::count_recoverable(
                &self.session,
                self.tenant,
                endpoint,
                since,
                until,
                RECOVER_MAX,
            )
            .await?;
            return Ok(Recovered {
                deliveries,
                started_at: now,
            });
        }
        if !found.is_active() {
            return Err(Error::Conflict(
                "the endpoint is disabled: enable it, then recover".to_owned(),
            ));
        }
        let replays = deliveries::recover(
            &self.session,
            self.tenant,
            endpoint,
            since,
            until,
            RECOVER_MAX,
            now,
        )
        .await?;
        for replay in &replays {
            self.then_send(RetryMessage::due(self.tenant, *replay, 1, now));
        }
        Ok(Recovered {
            deliveries: replays.len(),
            started_at: now,
        })
    }
}
