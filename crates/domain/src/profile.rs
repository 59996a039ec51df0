//! How one product speaks to its customers' receivers: body, headers, user agent, response rules.
//!
//! A product is one variant here and one module below; nothing else in the workspace asks which product it is.

mod buildworkpro;

use bytes::Bytes;

use crate::signing::Signer;
use crate::{DeliveryId, Event, KeyDerivation, SigningSecret, Timestamp};

/// A product's way of speaking, set on an endpoint when it is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// BuildWorkPro, which is also our native superset.
    BuildWorkPro,
}

/// The most that a header of a request holds: a name and its value.
pub type Header = (&'static str, String);

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 1] = [Self::BuildWorkPro];

    /// The profile as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuildWorkPro => "buildworkpro",
        }
    }

    /// The profile of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == name)
    }

    /// The request body of an event: rendered once per event and profile, the same for every attempt (S1-05, S1-07).
    pub fn body(self, event: &Event) -> Bytes {
        match self {
            Self::BuildWorkPro => buildworkpro::body(event),
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
        }
    }

    /// The `User-Agent` of its requests.
    pub fn user_agent(self) -> &'static str {
        match self {
            Self::BuildWorkPro => "BuildWorkPro-Webhooks/1.0",
        }
    }

    /// Whether 410 Gone disables the endpoint, besides stopping the delivery (G15).
    pub fn gone_disables(self) -> bool {
        match self {
            Self::BuildWorkPro => false,
        }
    }

    /// How its secrets become keys.
    pub fn key_derivation(self) -> KeyDerivation {
        match self {
            Self::BuildWorkPro => KeyDerivation::Literal,
        }
    }

    /// A fresh secret of the form that its receivers expect.
    pub fn generate_secret(self, random: [u8; 32]) -> SigningSecret {
        match self {
            Self::BuildWorkPro => SigningSecret::generate(random),
        }
    }

    /// Whether its verifiers read several signatures, so that a rotated secret may go on signing for
    /// [`crate::secret::ROTATION_OVERLAP`] (G5).
    pub fn rotation_overlaps(self) -> bool {
        match self {
            Self::BuildWorkPro => false,
        }
    }
}
