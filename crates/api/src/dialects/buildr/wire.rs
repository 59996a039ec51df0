//! Buildr's shapes.

use plumbline_domain::{Endpoint, Profile, Subscription};
use serde::Serialize;
use utoipa::ToSchema;

/// A webhook to create.
#[derive(ToSchema)]
#[schema(as = NewWebhook, example = json!({"webhook": {
    "url": "https://example.com/webhook", "description": "Webhook for example.com",
    "filter_types": ["opportunity.create"], "secret": "secret", "rate_limit": 100
}}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewWebhookDocument {
    webhook: NewWebhookMembers,
}

/// What a new webhook is.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
struct NewWebhookMembers {
    /// A public https URL, on port 443 or 8443 unless the operator allows others.
    #[schema(max_length = 2048, format = "uri")]
    url: String,
    /// What it is for.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// The event types to receive.
    #[schema(min_items = 1, max_items = 200)]
    filter_types: Vec<String>,
    /// Base64, with or without `whsec_` before it, as the svix library takes it. Without it deliveries are not signed.
    #[schema(max_length = 512)]
    secret: Option<String>,
    /// Webhooks per minute at most; 60 where it is left out.
    #[schema(minimum = 1, maximum = 2147483647)]
    rate_limit: Option<i64>,
}

/// What to change of a webhook.
#[derive(ToSchema)]
#[schema(as = WebhookChanges, example = json!({"webhook": {"rate_limit": 30}}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct WebhookChangesDocument {
    webhook: WebhookChangesMembers,
}

/// What is left out stays as it is.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
struct WebhookChangesMembers {
    /// A public https URL, on port 443 or 8443 unless the operator allows others.
    #[schema(max_length = 2048, format = "uri", required = false, nullable = false)]
    url: String,
    /// What it is for; null removes it.
    #[schema(max_length = 1000)]
    description: Option<String>,
    /// The event types to receive: they replace the present ones.
    #[schema(min_items = 1, max_items = 200, required = false, nullable = false)]
    filter_types: Vec<String>,
    /// Signs from now on, and the old one beside it for a day; null leaves deliveries unsigned.
    #[schema(max_length = 512)]
    secret: Option<String>,
    /// Webhooks per minute at most; null is the default of 60.
    #[schema(minimum = 1, maximum = 2147483647)]
    rate_limit: Option<i64>,
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookWire {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// Where events are sent.
    url: String,
    /// Grows with each change; 1 at first.
    #[schema(minimum = 1)]
    version: i64,
    /// What it is for.
    #[schema(required = true)]
    description: Option<String>,
    /// What it receives.
    filter_types: Vec<String>,
    /// Webhooks per minute at most; null is no limit, which only other surfaces set.
    #[schema(required = true)]
    rate_limit: Option<u32>,
}

impl From<Endpoint> for WebhookWire {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.uid.to_string(),
            url: endpoint.url.as_str().to_owned(),
            version: endpoint.version,
            description: endpoint.description,
            filter_types: match &endpoint.subscription {
                Subscription::All => vec![],
                Subscription::Types(types) => types
                    .iter()
                    .map(|name| Profile::Buildr.spelling(name).to_owned())
                    .collect(),
            },
            rate_limit: endpoint.rate_limit.map(std::num::NonZeroU32::get),
        }
    }
}

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAnswer)]
pub(super) struct OneWire {
    pub(super) webhook: WebhookWire,
    /// What its owner should know of the secret.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(super) warnings: Vec<String>,
}

impl OneWire {
    /// As the body of an answer.
    pub(super) fn text(endpoint: Endpoint, warnings: Vec<String>) -> String {
        let one = Self {
            webhook: endpoint.into(),
            warnings,
        };
        serde_json::to_string(&one).expect("text and numbers are JSON")
    }
}

/// The tenant's webhooks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhooks)]
pub(super) struct ManyWire {
    pub(super) webhooks: Vec<WebhookWire>,
}
