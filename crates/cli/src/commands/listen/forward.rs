//! One event to one local receiver: rendered, signed and sent as the dispatcher does it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use plumbline_domain::signing::Signer;
use plumbline_domain::{
    DeliveryId, EndpointId, Event, JsonText, Profile, ResourceUrls, SecretVersion, SigningSecret, TenantId,
    Timestamp,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::client::{self, Http, wire, words};
use crate::outcome::Failure;

/// The endpoint that stands for this machine: no endpoint has this number, so no delivery has the ids made from it.
const THIS_MACHINE: EndpointId = EndpointId(0);
/// The first wait before another attempt; each is twice as long as the one before.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much of an answer's body is read, so that its connection can be used again.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What an attempt came to.
pub(super) struct Forwarded {
    pub(super) event_type: String,
    pub(super) event: String,
    pub(super) delivery: String,
    /// 1 for the first.
    pub(super) attempt: u32,
    pub(super) ended: Ended,
    pub(super) took: Duration,
    /// When it is tried again, if it is.
    pub(super) retry_in: Option<Duration>,
}

/// How an attempt ended.
pub(super) enum Ended {
    /// With an answer of this status.
    Answered(u16),
    /// Without one: why.
    Failed(String),
}

impl Forwarded {
    /// Whether it was answered with 2xx.
    pub(super) fn is_success(&self) -> bool {
        matches!(self.ended, Ended::Answered(200..=299))
    }
}

/// Forwards events. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Forwarder {
    http: Http,
    tenant: TenantId,
    target: Uri,
    profile: Profile,
    signer: Signer,
    urls: ResourceUrls,
    timeout: Duration,
    retries: u32,
}

impl Forwarder {
    /// Prepare to forward to a URL.
    pub(super) fn new(
        tenant: TenantId,
        target: Uri,
        profile: Profile,
        secret: &SigningSecret,
        urls: ResourceUrls,
        timeout: Duration,
        retries: u32,
    ) -> Result<Self, Failure> {
        let version = SecretVersion {
            secret: secret.clone(),
            derivation: profile.key_derivation(),
            activates_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
        };
        let signer = Signer::new([&version]).map_err(|error| {
            Failure::Argument(format!(
                "--secret: {error}, which {}'s secrets are; leave it out, and one is made",
                profile.as_str()
            ))
        })?;
        Ok(Self {
            http: client::http()?,
            tenant,
            target,
            profile,
            signer,
            urls,
            timeout,
            retries,
        })
    }

    /// The event that the API tells of; what of it cannot be read, in words.
    pub(super) fn event(&self, event: &wire::Event) -> Result<Event, String> {
        Ok(Event {
            id: event.id.parse().map_err(|_| "its id".to_owned())?,
            tenant: self.tenant,
            event_type: event.event_type.parse().map_err(|_| "its type".to_owned())?,
            data: JsonText::from_valid(event.data.get()),
            previous_attributes: event
                .previous_attributes
                .as_ref()
                .map(|json| JsonText::from_valid(json.get())),
            occurred_at: event.created_at.parse().map_err(|_| "its time".to_owned())?,
            // Which endpoints there were matters to deliveries only.
            endpoints_version: 0,
        })
    }

    /// Send it, again if that was asked for, and tell what each attempt came to.
    pub(super) async fn forward(self, event: Event, results: mpsc::Sender<Forwarded>) {
        let body = self.profile.body(&event, &self.urls);
        let delivery = DeliveryId::derive(event.id, THIS_MACHINE);
        let mut wait = RETRY_AFTER;
        for attempt in 1..=self.retries + 1 {
            let started = Instant::now();
            let ended = self.attempt(&event, delivery, body.clone()).await;
            let mut forwarded = Forwarded {
                event_type: event.event_type.to_string(),
                event: event.id.to_string(),
                delivery: delivery.to_string(),
                attempt,
                ended,
                took: started.elapsed(),
                retry_in: None,
            };
            let is_last = forwarded.is_success() || attempt > self.retries;
            forwarded.retry_in = (!is_last).then_some(wait);
            // Who does not read any more is ending.
            if results.send(forwarded).await.is_err() || is_last {
                return;
            }
            sleep(wait).await;
            wait *= 2;
        }
    }

    async fn attempt(&self, event: &Event, delivery: DeliveryId, body: Bytes) -> Ended {
        let headers = self
            .profile
            .headers(event, delivery, &self.signer, &body, Timestamp::now());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        let sent = request.headers_mut();
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        sent.insert(USER_AGENT, HeaderValue::from_static(self.profile.user_agent()));
        sent.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
                sent.insert(name, value);
            }
        }
        let answering = async {
            let response = self.http.request(request).await.map_err(|error| words(&error))?;
            let status = response.status().as_u16();
            // The status counts; the body is read for the connection's sake.
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
            let _ = timeout(Duration::from_secs(1), body.collect()).await;
            Ok(status)
        };
        match timeout(self.timeout, answering).await {
            Ok(Ok(status)) => Ended::Answered(status),
            Ok(Err(why)) => Ended::Failed(why),
            Err(_) => Ended::Failed(format!("no answer within {:?}", self.timeout)),
        }
    }
}
