//! Signing secrets: what a customer holds, and the key that it stands for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Timestamp;

/// How long both secrets sign after a rotation, in the schemes whose verifiers read several signatures (G5).
pub const ROTATION_OVERLAP: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// The furthest ahead that a prepared secret may take over, in seconds: 30 days.
pub const ACTIVATE_IN_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;

/// A signing secret as its customer holds it. Never shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// A fresh secret: `whsec_` and 64 hex digits from 32 random bytes (S0-14).
    pub fn generate(random: [u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(6 + 64);
        text.push_str("whsec_");
        for byte in random {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// A secret that was stored, or that a customer chose.
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The text, to be shown to its owner once, or encrypted.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// How a secret becomes the key of an HMAC; stored with each secret, so that no scheme ever guesses (G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyDerivation {
    /// The whole text, `whsec_` included, as UTF-8 bytes (S0-21).
    Literal,
    /// `whsec_` stripped, the rest decoded as base64.
    Base64,
}

/// The secret's text does not decode as its derivation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not base64")]
pub struct UndecodableSecret;

impl KeyDerivation {
    /// The derivation as the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Literal => "literal",
            Self::Base64 => "base64",
        }
    }

    /// The derivation of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Literal, Self::Base64]
            .into_iter()
            .find(|derivation| derivation.as_str() == name)
    }

    /// The HMAC key that a secret stands for.
    ///
    /// # Errors
    /// [`UndecodableSecret`] where base64 is called for and the text is not.
    pub fn key(self, secret: &SigningSecret) -> Result<Vec<u8>, UndecodableSecret> {
        match self {
            Self::Literal => Ok(secret.expose().as_bytes().to_vec()),
            Self::Base64 => {
                let text = secret.expose();
                STANDARD
                    .decode(text.strip_prefix("whsec_").unwrap_or(text))
                    .map_err(|_| UndecodableSecret)
            }
        }
    }
}

/// One of an endpoint's secrets and the time in which it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVersion {
    /// The secret.
    pub secret: SigningSecret,
    /// How it becomes a key.
    pub derivation: KeyDerivation,
    /// From when it signs; in the future for a prepared one.
    pub activates_at: Timestamp,
    /// Until when it still signs beside its successor; `None` while it has none.
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s0_14_a_secret_is_whsec_and_hex() {
        let secret = SigningSecret::generate([0xab; 32]);
        assert_eq!(secret.expose(), format!("whsec_{}", "ab".repeat(32)));
    }

    #[test]
    fn s0_21_the_literal_key_is_the_whole_string() {
        let secret = SigningSecret::from_text("whsec_c2VjcmV0".to_owned());
        assert_eq!(
            KeyDerivation::Literal.key(&secret),
            Ok(b"whsec_c2VjcmV0".to_vec())
        );
        assert_eq!(KeyDerivation::Base64.key(&secret), Ok(b"secret".to_vec()));
        assert_eq!(
            KeyDerivation::Base64.key(&SigningSecret::from_text("a-b".to_owned())),
            Err(UndecodableSecret)
        );
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", SigningSecret::generate([1; 32]));
        assert!(!shown.contains("0101") && !shown.contains("whsec"), "{shown}");
    }
}
