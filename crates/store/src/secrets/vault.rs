//! Encryption of signing secrets and of custom headers at rest.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use plumbline_domain::endpoint::{HEADER_BYTES_MAX, HEADERS_MAX};
use plumbline_domain::{CustomHeaders, EndpointId, SigningSecret, TenantId};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The bytes of a nonce, which precedes the ciphertext. Long enough to be drawn at random for ever.
const NONCE_BYTES: usize = 24;
/// The longest name of a master key.
const KEY_ID_CHARS_MAX: usize = 64;

/// A key that encrypts secrets. Wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    /// Its name, stored beside what it encrypted.
    pub id: String,
    /// The key.
    pub key: [u8; 32],
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// An encrypted secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which master key encrypted it.
    pub master_key_id: String,
    /// The nonce, then the ciphertext with its tag.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({})", self.master_key_id)
    }
}

/// What is sealed for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// A signing secret.
    SigningSecret,
    /// Its custom headers, all together.
    CustomHeaders,
}

impl SealedKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::SigningSecret, Self::CustomHeaders];

    /// What a text is sealed with, so that it opens for no other endpoint, and not as another kind: the one is longer.
    fn binding(self, tenant: TenantId, endpoint: EndpointId) -> Vec<u8> {
        let kind: &[u8] = match self {
            Self::SigningSecret => b"",
            Self::CustomHeaders => b"headers",
        };
        [&tenant.0.to_be_bytes()[..], &endpoint.0.to_be_bytes(), kind].concat()
    }
}

/// What is wrong with the master keys, or with what they should open. Never contains key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no key at all.
    #[error("no master key is given: use the form id:base64 of 32 bytes, several separated by commas")]
    NoKey,
    /// One of the keys is not of the right form.
    #[error(
        "master key number {position} is not of the form id:base64 of 32 bytes, such as made by `openssl rand -base64 32`"
    )]
    Malformed {
        /// Which one, from 1.
        position: usize,
    },
    /// Two keys have one name.
    #[error("two master keys are called `{id}`: give each its own name")]
    Repeated {
        /// The name.
        id: String,
    },
    /// A secret was encrypted by a key that is not given.
    #[error("the master key `{id}` is missing, which encrypted a stored secret: add it to the list")]
    UnknownKey {
        /// The key's name.
        id: String,
    },
    /// Decryption failed: another key of the same name, another endpoint's row, or a changed ciphertext.
    #[error(
        "a stored secret does not open with the master key `{id}`: the key or the row is not the original"
    )]
    Tampered {
        /// The key's name.
        id: String,
    },
}

/// The master keys. The first encrypts, all decrypt.
#[derive(Clone)]
pub struct Vault {
    /// Never empty, each name once.
    keys: Vec<MasterKey>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

impl Vault {
    /// A vault with these keys; the first encrypts.
    ///
    /// # Errors
    /// [`VaultError::NoKey`], [`VaultError::Repeated`], or [`VaultError::Malformed`] for a name that is empty, too long
    /// or has unusual characters.
    pub fn new(keys: &[MasterKey]) -> Result<Self, VaultError> {
        if keys.is_empty() {
            return Err(VaultError::NoKey);
        }
        for (index, key) in keys.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            if key.id.is_empty() || key.id.len() > KEY_ID_CHARS_MAX || !key.id.bytes().all(plain) {
                return Err(VaultError::Malformed { position: index + 1 });
            }
            if keys[..index].iter().any(|other| other.id == key.id) {
                return Err(VaultError::Repeated { id: key.id.clone() });
            }
        }
        Ok(Self { keys: keys.to_vec() })
    }

    /// Read `id:base64(32 bytes)`, separated by commas; the first encrypts.
    ///
    /// # Errors
    /// [`VaultError`], which names a faulty key by its position, because its text may be the key.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        if text.trim().is_empty() {
            return Err(VaultError::NoKey);
        }
        let keys = text
            .split(',')
            .enumerate()
            .map(|(index, entry)| {
                master_key(entry.trim()).ok_or(VaultError::Malformed { position: index + 1 })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(&keys)
    }

    /// The name of the key that encrypts.
    pub fn encrypting_key(&self) -> &str {
        &self.keys[0].id
    }

    /// The names of all keys, the one that encrypts first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Decrypt what was sealed for this endpoint and seal it anew, with the key that encrypts.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`], [`VaultError::Tampered`].
    pub fn seal_anew(
        &self,
        kind: SealedKind,
        sealed: &Sealed,
        tenant: TenantId,
        endpoint: EndpointId,
    ) -> Result<Sealed, VaultError> {
        let binding = kind.binding(tenant, endpoint);
        let text = Zeroizing::new(self.decrypt(sealed, &binding)?);
        Ok(self.encrypt(&text, &binding))
    }

    /// Whether what was sealed for this endpoint can be opened.
    pub fn opens(&self, kind: SealedKind, sealed: &Sealed, tenant: TenantId, endpoint: EndpointId) -> bool {
        self.decrypt(sealed, &kind.binding(tenant, endpoint))
            .map(Zeroizing::new)
            .is_ok()
    }

    /// Encrypt a secret for one endpoint: it opens for no other, so that a row cannot be moved.
    pub fn seal(&self, secret: &SigningSecret, tenant: TenantId, endpoint: EndpointId) -> Sealed {
        self.encrypt(
            secret.expose().as_bytes(),
            &SealedKind::SigningSecret.binding(tenant, endpoint),
        )
    }

    /// Encrypt an endpoint's custom headers, which were checked: they open for no other, and not as a secret.
    pub fn seal_headers(&self, headers: &CustomHeaders, tenant: TenantId, endpoint: EndpointId) -> Sealed {
        let mut text = Zeroizing::new(String::with_capacity(HEADER_BYTES_MAX + 3 * HEADERS_MAX));
        for (name, value) in headers.expose() {
            for part in [name.as_str(), ": ", value, "\n"] {
                text.push_str(part);
            }
        }
        self.encrypt(
            text.as_bytes(),
            &SealedKind::CustomHeaders.binding(tenant, endpoint),
        )
    }

    fn encrypt(&self, text: &[u8], binding: &[u8]) -> Sealed {
        let key = &self.keys[0];
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload {
            msg: text,
            aad: binding,
        };
        let sealed = cipher(key)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is far shorter than the cipher's limit of 256 GiB");
        let mut ciphertext = Vec::with_capacity(NONCE_BYTES + sealed.len());
        ciphertext.extend_from_slice(&nonce);
        ciphertext.extend_from_slice(&sealed);
        Sealed {
            master_key_id: key.id.clone(),
            ciphertext,
        }
    }

    /// Decrypt what was sealed for this endpoint.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`], [`VaultError::Tampered`].
    pub fn open(
        &self,
        sealed: &Sealed,
        tenant: TenantId,
        endpoint: EndpointId,
    ) -> Result<SigningSecret, VaultError> {
        let text = self.decrypt(sealed, &SealedKind::SigningSecret.binding(tenant, endpoint))?;
        String::from_utf8(text)
            .map(SigningSecret::from_text)
            .map_err(|_| tampered(sealed))
    }

    /// Decrypt the custom headers that were sealed for this endpoint.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`], [`VaultError::Tampered`].
    pub fn open_headers(
        &self,
        sealed: &Sealed,
        tenant: TenantId,
        endpoint: EndpointId,
    ) -> Result<CustomHeaders, VaultError> {
        let text =
            Zeroizing::new(self.decrypt(sealed, &SealedKind::CustomHeaders.binding(tenant, endpoint))?);
        let text = std::str::from_utf8(&text).map_err(|_| tampered(sealed))?;
        // Neither has a line feed, and a name has no colon.
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.to_owned()))
        };
        let pairs: Option<Vec<_>> = text.lines().map(pair).collect();
        pairs.map(CustomHeaders::new).ok_or_else(|| tampered(sealed))
    }

    fn decrypt(&self, sealed: &Sealed, binding: &[u8]) -> Result<Vec<u8>, VaultError> {
        let id = &sealed.master_key_id;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == *id)
            .ok_or_else(|| VaultError::UnknownKey { id: id.clone() })?;
        let (nonce, ciphertext) = sealed
            .ciphertext
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(|| tampered(sealed))?;
        let payload = Payload {
            msg: ciphertext,
            aad: binding,
        };
        cipher(key)
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| tampered(sealed))
    }

    /// A key for another purpose, the same in every replica.
    ///
    /// It comes from the *last* master key: a new key is put first, and old ones leave only when nothing needs them
    /// any more, so that the last one outlives rotations, and replicas that roll to a new list agree meanwhile.
    pub fn derive_key(&self, label: &str) -> [u8; 32] {
        let key = self.keys.last().expect("a vault has a key");
        let mut mac =
            <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key.key).expect("HMAC takes keys of any length");
        mac.update(b"plumbline derived key: ");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&key.key.into())
}

fn tampered(sealed: &Sealed) -> VaultError {
    VaultError::Tampered {
        id: sealed.master_key_id.clone(),
    }
}

fn master_key(entry: &str) -> Option<MasterKey> {
    let (id, encoded) = entry.split_once(':')?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let key = bytes.as_slice().try_into().ok()?;
    Some(MasterKey {
        id: id.to_owned(),
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(7);
    const ENDPOINT: EndpointId = EndpointId(11);

    fn key(id: &str, byte: u8) -> MasterKey {
        MasterKey {
            id: id.to_owned(),
            key: [byte; 32],
        }
    }

    fn vault(keys: &[MasterKey]) -> Vault {
        Vault::new(keys).expect("valid keys")
    }

    fn secret() -> SigningSecret {
        SigningSecret::from_text("whsec_very_secret".to_owned())
    }

    #[test]
    fn what_is_sealed_opens_and_does_not_show() {
        let vault = vault(&[key("a", 1)]);
        let sealed = vault.seal(&secret(), TENANT, ENDPOINT);
        assert_eq!(vault.open(&sealed, TENANT, ENDPOINT), Ok(secret()));
        assert_ne!(
            sealed,
            vault.seal(&secret(), TENANT, ENDPOINT),
            "a fresh nonce each time"
        );
        assert!(!sealed.ciphertext.windows(5).any(|window| window == b"whsec"));
        assert!(!format!("{vault:?} {sealed:?} {:?}", key("a", 1)).contains("1, 1"));
    }

    #[test]
    fn a_row_cannot_be_moved_to_another_endpoint_or_tenant() {
        let vault = vault(&[key("a", 1)]);
        let sealed = vault.seal(&secret(), TENANT, ENDPOINT);
        let tampered = Err(VaultError::Tampered { id: "a".to_owned() });
        assert_eq!(vault.open(&sealed, TENANT, EndpointId(12)), tampered);
        assert_eq!(vault.open(&sealed, TenantId(8), ENDPOINT), tampered);
        // The two ids cannot trade digits.
        assert_eq!(
            vault.open(&sealed, TenantId(ENDPOINT.0), EndpointId(TENANT.0)),
            tampered
        );
    }

    #[test]
    fn headers_open_as_they_were_for_their_endpoint_and_are_no_secret() {
        let vault = vault(&[key("a", 1)]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = CustomHeaders::new(vec![pair("X-B", "hunter2"), pair("X-A", "Basic a: b")]);
        let sealed = vault.seal_headers(&headers, TENANT, ENDPOINT);
        assert_eq!(vault.open_headers(&sealed, TENANT, ENDPOINT), Ok(headers));
        assert!(!sealed.ciphertext.windows(7).any(|window| window == b"hunter2"));
        let tampered = VaultError::Tampered { id: "a".to_owned() };
        assert_eq!(
            vault.open_headers(&sealed, TENANT, EndpointId(12)),
            Err(tampered.clone())
        );
        assert_eq!(vault.open(&sealed, TENANT, ENDPOINT), Err(tampered.clone()));
        let secret = vault.seal(&secret(), TENANT, ENDPOINT);
        assert_eq!(vault.open_headers(&secret, TENANT, ENDPOINT), Err(tampered));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let vault = vault(&[key("a", 1)]);
        let sealed = vault.seal(&secret(), TENANT, ENDPOINT);
        for byte in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[byte] ^= 1;
            assert!(vault.open(&changed, TENANT, ENDPOINT).is_err(), "byte {byte}");
        }
        for length in 0..sealed.ciphertext.len() {
            let mut cut = sealed.clone();
            cut.ciphertext.truncate(length);
            assert!(vault.open(&cut, TENANT, ENDPOINT).is_err(), "length {length}");
        }
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let old = vault(&[key("old", 1)]);
        let both = vault(&[key("new", 2), key("old", 1)]);
        let sealed = old.seal(&secret(), TENANT, ENDPOINT);
        assert_eq!(both.open(&sealed, TENANT, ENDPOINT), Ok(secret()));
        let sealed = both.seal(&secret(), TENANT, ENDPOINT);
        assert_eq!(sealed.master_key_id, "new");
        assert_eq!(
            old.open(&sealed, TENANT, ENDPOINT),
            Err(VaultError::UnknownKey { id: "new".to_owned() })
        );
    }

    #[test]
    fn a_derived_key_survives_a_new_first_key_and_differs_by_label() {
        let old = vault(&[key("old", 1)]);
        let both = vault(&[key("new", 2), key("old", 1)]);
        assert_eq!(old.derive_key("page cursor"), both.derive_key("page cursor"));
        assert_ne!(old.derive_key("page cursor"), old.derive_key("session"));
        assert_ne!(old.derive_key("page cursor"), [1; 32]);
    }

    #[test]
    fn master_keys_are_read_as_operators_write_them() {
        let encoded = STANDARD.encode([9; 32]);
        let vault =
            Vault::parse(&format!("k2:{encoded}, k1:{}", STANDARD.encode([8; 32]))).expect("two keys");
        assert_eq!(vault.keys, [key("k2", 9), key("k1", 8)]);
        let short = STANDARD.encode([9; 31]);
        for (text, error) in [
            (String::new(), VaultError::NoKey),
            (" ".to_owned(), VaultError::NoKey),
            (encoded.clone(), VaultError::Malformed { position: 1 }),
            (format!(":{encoded}"), VaultError::Malformed { position: 1 }),
            (
                format!("k1:{encoded},k2:{short}"),
                VaultError::Malformed { position: 2 },
            ),
            (format!("k1:{encoded},"), VaultError::Malformed { position: 2 }),
            (
                format!("k1:{encoded},k1:{encoded}"),
                VaultError::Repeated { id: "k1".to_owned() },
            ),
        ] {
            let refused = Vault::parse(&text).expect_err("not valid");
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains(&encoded) && !refused.to_string().contains(&short));
        }
    }
}
