//! Signing secrets: what a customer holds, and the key that it stands for.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Timestamp;

/// How long both secrets sign after a rotation, in the schemes whose verifiers read several signatures (G5).
pub const ROTATION_OVERLAP: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
/// The furthest ahead that a prepared secret may take over, in seconds: 30 days.
pub const ACTIVATE_IN_SECONDS_MAX: u32 = 30 * 24 * 60 * 60;

/// What secrets begin with; not part of the key where a secret is base64.
const PREFIX: &str = "whsec_";
/// The longest secret that a customer may supply, in bytes.
pub const SUPPLIED_BYTES_MAX: usize = 512;
/// A supplied key of fewer bytes is weak: Standard Webhooks asks for 24 to 64.
const SUPPLIED_KEY_BYTES_GOOD: usize = 24;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

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

    /// A fresh secret as Standard Webhooks has it: `whsec_` and the base64 of 32 random bytes.
    pub fn generate_base64(random: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", STANDARD.encode(random)))
    }

    /// A secret that a customer chose for svix's library (S2-07, G2). Weak ones are accepted: see
    /// [`SigningSecret::weaknesses`].
    ///
    /// # Errors
    /// [`UnusableSecret`] where nobody could verify what it signs.
    pub fn supplied(text: String) -> Result<Self, UnusableSecret> {
        if text.len() > SUPPLIED_BYTES_MAX {
            return Err(UnusableSecret::TooLong);
        }
        let secret = Self(text);
        match KeyDerivation::Base64.key(&secret) {
            Err(UndecodableSecret) => Err(UnusableSecret::Undecodable),
            Ok(key) if key.is_empty() => Err(UnusableSecret::Empty),
            Ok(_) => Ok(secret),
        }
    }

    /// What its owner should know of a supplied secret, in sentences; empty for a good one.
    pub fn weaknesses(&self) -> Vec<String> {
        let mut weaknesses = vec![];
        let bytes = KeyDerivation::Base64.key(self).map_or(0, |key| key.len());
        if bytes < SUPPLIED_KEY_BYTES_GOOD {
            weaknesses.push(format!(
                "the secret is base64 of {bytes} bytes, which can be guessed: use `{PREFIX}` and the base64 of 32 random bytes"
            ));
        }
        if STANDARD.decode(without_prefix(&self.0)).is_err() {
            weaknesses.push(
                "the secret is not padded base64: svix's JavaScript library reads it, libraries of other languages may not"
                    .to_owned(),
            );
        }
        weaknesses
    }

    /// A secret that was stored.
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
    /// `whsec_` stripped, the rest decoded as base64, as leniently as svix's JavaScript library does (G2).
    Base64,
}

/// The secret's text does not decode as its derivation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not base64")]
pub struct UndecodableSecret;

/// Why a supplied secret is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSecret {
    /// Longer than [`SUPPLIED_BYTES_MAX`].
    #[error("has more than {SUPPLIED_BYTES_MAX} bytes: use `{PREFIX}` and the base64 of 32 random bytes")]
    TooLong,
    /// svix's library throws at it.
    #[error(
        "is not base64, so that no svix library could verify what it signs: use `{PREFIX}` and the base64 of 32 random bytes"
    )]
    Undecodable,
    /// Its key has no bytes.
    #[error(
        "is empty: leave it out for unsigned deliveries, or use `{PREFIX}` and the base64 of 32 random bytes"
    )]
    Empty,
}

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
            Self::Base64 => decode_leniently(without_prefix(secret.expose())).ok_or(UndecodableSecret),
        }
    }
}

fn without_prefix(text: &str) -> &str {
    text.strip_prefix(PREFIX).unwrap_or(text)
}

/// Base64 as `@stablelib/base64` reads it, which npm `svix` and `standardwebhooks` use: at least four characters, at
/// most two `=` at the end whether or not they are due, trailing bits ignored, and a lone last character not even
/// looked at. `None` where that library throws.
fn decode_leniently(text: &str) -> Option<Vec<u8>> {
    // Its characters are UTF-16 units.
    let mut units: Vec<u16> = text.encode_utf16().collect();
    if units.is_empty() {
        return Some(vec![]);
    }
    let padding = units
        .iter()
        .rev()
        .take_while(|unit| **unit == u16::from(b'='))
        .count();
    if units.len() < 4 || padding > 2 {
        return None;
    }
    units.truncate(units.len() - padding);
    if units.len() % 4 == 1 {
        units.pop();
    }
    let alphabet: String = String::from_utf16(&units).ok()?;
    LENIENT.decode(alphabet).ok()
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
    fn s0_21_g1_the_literal_key_is_the_whole_string() {
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

    /// What npm `svix` 1.99 made of each: the key in hex, or that it threw.
    #[test]
    fn g2_a_supplied_secret_is_read_as_the_svix_library_reads_it() {
        use std::fmt::Write as _;
        for (text, key) in [
            ("secret", Some("b1e72b7a")),
            ("your-webhook-secret", None),
            ("abc", None),
            ("abcd*", Some("69b71d")),
            ("abcd", Some("69b71d")),
            ("a===", None),
            ("ab==", Some("69")),
            ("abcde", Some("69b71d")),
            ("abcdé", Some("69b71d")),
            ("é", None),
            ("ab=c", None),
            ("abcdef", Some("69b71d79")),
            ("abcdefg", Some("69b71d79f8")),
            ("abc d", None),
            ("=abc", None),
            ("whsec_abcd=", Some("69b71d")),
            ("abcd==", Some("69b71d")),
            ("abcde=", Some("69b71d")),
            ("😀abc", None),
        ] {
            let decoded = KeyDerivation::Base64.key(&SigningSecret::from_text(text.to_owned()));
            let hex = decoded.ok().map(|key| {
                key.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            });
            assert_eq!(hex.as_deref(), key, "{text}");
        }
    }

    #[test]
    fn g2_a_supplied_secret_that_nobody_could_use_is_refused_and_a_weak_one_is_told_of() {
        let supplied = |text: &str| SigningSecret::supplied(text.to_owned());
        for text in ["", "whsec_"] {
            assert_eq!(supplied(text), Err(UnusableSecret::Empty), "{text}");
        }
        assert_eq!(supplied("your-webhook-secret"), Err(UnusableSecret::Undecodable));
        assert_eq!(supplied(&"a".repeat(513)), Err(UnusableSecret::TooLong));
        let weaknesses = |secret: &SigningSecret| secret.weaknesses().len();
        assert_eq!(supplied("secret").as_ref().map(weaknesses), Ok(2));
        assert_eq!(supplied("c2VjcmV0").as_ref().map(weaknesses), Ok(1));
        assert_eq!(weaknesses(&SigningSecret::generate_base64([9; 32])), 0);
    }

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", SigningSecret::generate([1; 32]));
        assert!(!shown.contains("0101") && !shown.contains("whsec"), "{shown}");
    }
}
