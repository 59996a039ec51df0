//! Signature schemes: the headers by which a receiver knows that a body is ours.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::UndecodableSecret;
use crate::{SecretVersion, Timestamp};

/// An endpoint's signing keys, their HMAC states prepared once and reused for every attempt.
#[derive(Clone)]
pub struct Signer {
    /// In order of activation.
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    hmac: Hmac<Sha256>,
    activates_at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// Holds keys: says only how many.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

impl Signer {
    /// Prepare an endpoint's secrets.
    ///
    /// # Errors
    /// [`UndecodableSecret`] if one does not decode as its derivation says.
    pub fn new<'a>(versions: impl IntoIterator<Item = &'a SecretVersion>) -> Result<Self, UndecodableSecret> {
        let mut keys = versions
            .into_iter()
            .map(|version| {
                let key = version.derivation.key(&version.secret)?;
                let hmac = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
                Ok(Key {
                    hmac,
                    activates_at: version.activates_at,
                    expires_at: version.expires_at,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.activates_at);
        Ok(Self { keys })
    }

    /// Whether there is a key that signs at this moment.
    pub fn can_sign(&self, now: Timestamp) -> bool {
        self.newest(now).is_some()
    }

    /// Whether there is no key at all: the endpoint has no secret.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The value of `BuildWorkPro-Signature`: `t=<unix seconds>,v1=<lower-case hex>` over `<t>.<body>`
    /// (S0-17 to S0-21, G6). One signature, by the newest active key: its verifiers read only the first.
    pub fn buildworkpro(&self, now: Timestamp, body: &[u8]) -> Option<String> {
        use fmt::Write as _;
        let mut mac = self.newest(now)?.hmac.clone();
        let seconds = now.as_second();
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        let mut value = String::with_capacity(80);
        let _ = write!(value, "t={seconds},v1=");
        for byte in mac.finalize().into_bytes() {
            let _ = write!(value, "{byte:02x}");
        }
        Some(value)
    }

    /// The value of `svix-signature` and `webhook-signature`: `v1,<base64>` over `<id>.<unix seconds>.<body>` for
    /// each key that signs now, the newest first, separated by spaces (S2-13, S4-22): verifiers take any that fits.
    pub fn standard(&self, id: &str, now: Timestamp, body: &[u8]) -> Option<String> {
        let mut value = String::new();
        for key in self.active(now) {
            let mut mac = key.hmac.clone();
            mac.update(format!("{id}.{}.", now.as_second()).as_bytes());
            mac.update(body);
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str("v1,");
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut value);
        }
        (!value.is_empty()).then_some(value)
    }

    fn newest(&self, now: Timestamp) -> Option<&Key> {
        self.active(now).next()
    }

    /// The newest first.
    fn active(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .rev()
            .filter(move |key| key.activates_at <= now && key.expires_at.is_none_or(|until| now < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyDerivation, SigningSecret};

    fn version(text: &str, activates: i64, expires: Option<i64>) -> SecretVersion {
        let at = |s| Timestamp::from_second(s).expect("in range");
        SecretVersion {
            secret: SigningSecret::from_text(text.to_owned()),
            derivation: KeyDerivation::Literal,
            activates_at: at(activates),
            expires_at: expires.map(at),
        }
    }

    fn sign(versions: &[SecretVersion], now: i64) -> Option<String> {
        let now = Timestamp::from_second(now).expect("in range");
        Signer::new(versions)
            .expect("decodable")
            .buildworkpro(now, br#"{"id":"evt_1"}"#)
    }

    /// The expected value was computed with OpenSSL:
    /// `printf '1777138921.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    #[test]
    fn s0_18_s0_19_s0_20_g6_signature_header_grammar() {
        assert_eq!(
            sign(&[version("whsec_test", 0, None)], 1_777_138_921).as_deref(),
            Some(GOLDEN)
        );
    }

    const GOLDEN: &str = "t=1777138921,v1=470a37415e167c0872782804cd9f23c1fd2f2960123b689cf29d9a941f54d89b";

    #[test]
    fn g5_a_prepared_secret_signs_from_its_moment_and_the_old_one_until_then() {
        let versions = [version("old", 0, Some(100)), version("new", 100, None)];
        assert_eq!(sign(&versions, 99), sign(&versions[..1], 99));
        assert_eq!(sign(&versions, 100), sign(&versions[1..], 100));
        assert_eq!(sign(&versions[..1], 100), None, "expired");
        assert_eq!(sign(&[], 1), None);
    }

    /// Standard Webhooks' own example; the second value is what npm `svix` 1.99 computes for Buildr's sample secret.
    #[test]
    fn s2_13_s4_22_standard_signatures_are_those_of_the_libraries() {
        let signed = |secrets: &[&str], id: &str, at: i64, body: &[u8]| {
            let versions: Vec<_> = secrets
                .iter()
                .zip(0..)
                .map(|(text, since)| SecretVersion {
                    derivation: KeyDerivation::Base64,
                    ..version(text, since, None)
                })
                .collect();
            let now = Timestamp::from_second(at).expect("in range");
            Signer::new(&versions).expect("decodable").standard(id, now, body)
        };
        let example = signed(
            &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            example.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
        let weak = signed(&["secret"], "evt_1", 1_777_138_921, br#"{"id":2279}"#);
        assert_eq!(weak.as_deref(), Some(SVIX));
        let both = signed(
            &["secret", "whsec_bmV3"],
            "evt_1",
            1_777_138_921,
            br#"{"id":2279}"#,
        );
        let both = both.expect("signed");
        let values: Vec<&str> = both.split(' ').collect();
        assert_eq!(
            (values.len(), values[1]),
            (2, SVIX),
            "during an overlap both sign, the newest first"
        );
        assert_eq!(signed(&[], "evt_1", 1, b""), None);
    }

    const SVIX: &str = "v1,qFd6qS0z7KNGYtP1U5LgdwCq6oxC6HYN/PUf8LhMvzY=";
}
