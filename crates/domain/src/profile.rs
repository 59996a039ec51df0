//! How one product speaks to its customers' receivers: body, headers, user agent, response rules.
//!
//! A product is one variant here and one module below; nothing else in the workspace asks which product it is.

mod buildmarkets;
mod buildr;
mod buildworkpro;
mod standard;

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::signing::Signer;
use crate::{DeliveryId, Event, EventType, KeyDerivation, ResourceUrls, SigningSecret, Timestamp};

/// A product's way of speaking, set on an endpoint when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// BuildWorkPro, which is also our native superset.
    BuildWorkPro,
    /// Buildr: thin events, signed as svix signs.
    Buildr,
    /// Buildmarkets: signed by Standard Webhooks.
    Buildmarkets,
}

/// The most that a header of a request holds: a name and its value.
pub type Header = (&'static str, String);

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::BuildWorkPro, Self::Buildr, Self::Buildmarkets];

    /// The profile as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildWorkPro => "buildworkpro",
            Self::Buildr => "buildr",
            Self::Buildmarkets => "buildmarkets",
        }
    }

    /// The profile of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }

    /// The request body of an event: rendered once per event and profile, the same for every attempt (S1-05, S1-07).
    /// `urls` says where the tenant's resources live, for the profiles that point to them.
    pub fn body(self, event: &Event, urls: &ResourceUrls) -> Bytes {
        match self {
            Self::BuildWorkPro => buildworkpro::body(event),
            Self::Buildr => buildr::body(event, urls),
            Self::Buildmarkets => buildmarkets::body(event),
        }
    }

    /// The headers of one attempt, signature included; a fresh signature for each attempt.
    /// The transport adds what belongs to the connection, and the endpoint's own headers.
    pub fn headers(
        self,
        event: &Event,
        delivery: DeliveryId,
        signer: &Signer,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<Header> {
        match self {
            Self::BuildWorkPro => buildworkpro::headers(event, delivery, signer, body, now),
            Self::Buildr => buildr::headers(event, signer, body, now),
            Self::Buildmarkets => buildmarkets::headers(event, signer, body, now),
        }
    }

    /// The `User-Agent` of its requests.
    pub fn user_agent(self) -> &'static str {
        match self {
            Self::BuildWorkPro => "BuildWorkPro-Webhooks/1.0",
            Self::Buildr => "Buildr-Webhooks/1.0",
            Self::Buildmarkets => "Buildmarkets-Webhooks/1.0",
        }
    }

    /// The canonical type that its customers call `name`: `contact.created` for Buildr's `contact.create`. Names that
    /// the product does not spell in its own way are canonical already; `None` for what is no name to its customers.
    pub fn canonical(self, name: &str) -> Option<EventType> {
        let canonical = match self {
            Self::Buildr => buildr::canonical(name),
            Self::BuildWorkPro | Self::Buildmarkets => None,
        };
        let event_type: EventType = canonical.unwrap_or(name).parse().ok()?;
        (self.spelling(&event_type) == name).then_some(event_type)
    }

    /// What its customers call an event type: the reverse of [`Profile::canonical`].
    pub fn spelling(self, event_type: &EventType) -> &str {
        match self {
            Self::Buildr => buildr::spelling(event_type.as_str()),
            Self::BuildWorkPro | Self::Buildmarkets => None,
        }
        .unwrap_or(event_type.as_str())
    }

    /// Requests per minute to an endpoint that asks for no limit of its own; `None` is unlimited (S2-10).
    pub fn rate_limit_default(self) -> Option<NonZeroU32> {
        match self {
            Self::Buildr => Some(buildr::RATE_LIMIT_DEFAULT),
            Self::BuildWorkPro | Self::Buildmarkets => None,
        }
    }

    /// Whether 410 Gone disables the endpoint, besides stopping the delivery (G15).
    pub fn gone_disables(self) -> bool {
        match self {
            Self::BuildWorkPro => false,
            Self::Buildr | Self::Buildmarkets => true,
        }
    }

    /// How its secrets become keys.
    pub fn key_derivation(self) -> KeyDerivation {
        match self {
            Self::BuildWorkPro => KeyDerivation::Literal,
            Self::Buildr | Self::Buildmarkets => KeyDerivation::Base64,
        }
    }

    /// A fresh secret of the form that its receivers expect.
    pub fn generate_secret(self, random: [u8; 32]) -> SigningSecret {
        match self.key_derivation() {
            KeyDerivation::Literal => SigningSecret::generate(random),
            KeyDerivation::Base64 => SigningSecret::generate_base64(random),
        }
    }

    /// Whether a subscription that names no types is to everything, now and later (S4-04).
    pub fn no_types_are_all(self) -> bool {
        match self {
            Self::Buildmarkets => true,
            Self::BuildWorkPro | Self::Buildr => false,
        }
    }

    /// Whether its surface offers the service's own event types ([`crate::operational`]): the native one does. The
    /// other products' pages list what they list.
    pub fn offers_operational_types(self) -> bool {
        match self {
            Self::BuildWorkPro => true,
            Self::Buildr | Self::Buildmarkets => false,
        }
    }

    /// Whether its endpoints may do without a secret, and then receive unsigned deliveries (S2-08).
    pub fn may_be_unsigned(self) -> bool {
        match self {
            Self::Buildr => true,
            Self::BuildWorkPro | Self::Buildmarkets => false,
        }
    }

    /// Whether its verifiers read several signatures, so that a rotated secret may go on signing for
    /// [`crate::secret::ROTATION_OVERLAP`] (G5).
    pub fn rotation_overlaps(self) -> bool {
        match self {
            Self::BuildWorkPro => false,
            Self::Buildr | Self::Buildmarkets => true,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{EventId, JsonText, TenantId};
    use uuid::Uuid;

    /// An event of tenant 17 that happened on 25 April 2026.
    pub(crate) fn event(event_type: &str, data: &str, previous: Option<&str>) -> Event {
        Event {
            id: EventId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
            tenant: TenantId(17),
            event_type: event_type.parse().expect("a name"),
            data: JsonText::from_valid(data),
            previous_attributes: previous.map(JsonText::from_valid),
            occurred_at: "2026-04-25T17:42:01.8125Z".parse().expect("a time"),
            endpoints_version: 1,
        }
    }

    #[test]
    fn names_read_back() {
        for profile in Profile::ALL {
            assert_eq!(Profile::parse(profile.as_str()), Some(profile));
        }
        assert_eq!(Profile::parse("svix"), None);
    }

    #[test]
    fn a_name_that_a_product_does_not_spell_in_its_own_way_is_canonical() {
        for profile in Profile::ALL {
            for name in ["order.filled", "invoice.created"] {
                let canonical = profile.canonical(name).map(|name| name.to_string());
                assert_eq!(canonical.as_deref(), Some(name));
            }
            assert_eq!(profile.canonical("no name"), None);
        }
        let created: EventType = "contact.created".parse().expect("a name");
        assert_eq!(Profile::BuildWorkPro.spelling(&created), "contact.created");
        assert_eq!(Profile::Buildr.spelling(&created), "contact.create");
        assert_eq!(Profile::Buildr.canonical("contact.create"), Some(created));
        assert_eq!(
            Profile::Buildr.canonical("contact.created"),
            None,
            "not Buildr's word"
        );
    }

    #[test]
    fn s4_09_a_generated_secret_is_what_the_profiles_verifiers_read() {
        for profile in Profile::ALL {
            let secret = profile.generate_secret([7; 32]);
            assert!(secret.expose().starts_with("whsec_"));
            let key = profile.key_derivation().key(&secret).expect("decodable");
            assert!(key.len() >= 32, "{profile:?}");
        }
    }
}
