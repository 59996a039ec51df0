//! API keys: make, list, revoke.

use std::fmt::Write as _;

use plumbline_domain::network::{ALLOWED_IPS_MAX, parse_network};
use plumbline_domain::{AllowedIps, ApiKeyId, Scopes, TenantId};
use plumbline_store::{api_keys, tenants};

pub use plumbline_store::api_keys::ApiKey;

use crate::authentication::{KEY_FRESH, hash_key};
use crate::{Engine, Error, FieldError, Unit};

/// Keys that a tenant may have, not counting revoked ones.
pub const KEYS_PER_TENANT_MAX: u64 = 100;

/// What a key is for. It says so in its first letters; it changes nothing about what the key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMode {
    /// `plk_live_…`
    Live,
    /// `plk_test_…`
    Test,
}

impl KeyMode {
    /// The mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "live" => Some(Self::Live),
            "test" => Some(Self::Test),
            _ => None,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "plk_live_",
            Self::Test => "plk_test_",
        }
    }
}

/// A key that was just drawn, and what may be kept of it.
pub(crate) struct Drawn {
    /// The prefix and 64 hex digits: 256 random bits.
    pub(crate) key: String,
    /// What is stored.
    pub(crate) hash: [u8; 32],
    /// What its owner may see again.
    pub(crate) hint: String,
}

/// Draw a key.
pub(crate) fn draw(mode: KeyMode) -> Drawn {
    let random: [u8; 32] = rand::random();
    let mut key = String::from(mode.prefix());
    for byte in random {
        let _ = write!(key, "{byte:02x}");
    }
    Drawn {
        hash: hash_key(&key),
        hint: format!("{}…{}", mode.prefix(), &key[key.len() - 4..]),
        key,
    }
}

/// An API key to make.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may do, by name.
    pub scopes: Vec<String>,
    /// Addresses and networks that it may be used from; empty is anywhere.
    pub allowed_ips: Vec<String>,
    /// `live`, unless it is given.
    pub mode: Option<String>,
}

/// A key that was just made.
pub struct CreatedApiKey {
    /// The key as its owner will see it.
    pub record: ApiKey,
    /// The key itself, shown this once.
    pub key: String,
}

impl Engine {
    /// A page of the tenant's keys, the revoked ones too, newest first, older than `before`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn api_keys(
        &self,
        tenant: TenantId,
        before: Option<ApiKeyId>,
        limit: usize,
    ) -> Result<Vec<ApiKey>, Error> {
        Ok(api_keys::list(&self.store().session().await?, tenant, before, limit).await?)
    }

    /// One key, revoked or not.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn api_key(&self, tenant: TenantId, key: ApiKeyId) -> Result<ApiKey, Error> {
        api_keys::get(&self.store().session().await?, tenant, key)
            .await?
            .ok_or(Error::NotFound("API key"))
    }

    /// Wait until no replica believes a key that was revoked by a commit that has just happened.
    pub async fn until_revoked(&self) {
        tokio::time::sleep(KEY_FRESH).await;
    }
}

impl Unit {
    /// Make an API key.
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field; [`Error::Conflict`] when the tenant has too many.
    pub async fn create_api_key(&mut self, new: NewApiKey) -> Result<CreatedApiKey, Error> {
        let checked = checked(new)?;
        tenants::lock(&self.session, self.tenant).await?;
        if api_keys::count_valid(&self.session, self.tenant).await? >= KEYS_PER_TENANT_MAX {
            return Err(Error::Conflict(format!(
                "this tenant has {KEYS_PER_TENANT_MAX} API keys, which is the most: revoke one first"
            )));
        }
        let drawn = draw(checked.mode);
        let new = api_keys::NewApiKey {
            name: checked.name,
            scopes: checked.scopes,
            allowed_ips: checked.allowed_ips,
            hash: drawn.hash,
            hint: drawn.hint,
        };
        Ok(CreatedApiKey {
            record: api_keys::create(&self.session, self.tenant, &new).await?,
            key: drawn.key,
        })
    }

    /// Revoke an API key; one that is revoked stays so since then.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_api_key(&mut self, key: ApiKeyId) -> Result<(), Error> {
        if api_keys::revoke(&self.session, self.tenant, key).await? {
            Ok(())
        } else {
            Err(Error::NotFound("API key"))
        }
    }
}

struct Checked {
    name: String,
    scopes: Scopes,
    allowed_ips: AllowedIps,
    mode: KeyMode,
}

fn checked(new: NewApiKey) -> Result<Checked, Error> {
    let mut faults = vec![];
    crate::administration::check_name(&new.name, &mut faults);
    let scopes = Scopes::parse(new.scopes.iter().map(String::as_str));
    if let Err(error) = &scopes {
        faults.push(FieldError::new("scopes", "unknown_scope", error.to_string()));
    }
    if new.allowed_ips.len() > ALLOWED_IPS_MAX {
        let message = format!("must have at most {ALLOWED_IPS_MAX} elements: join them into larger networks");
        faults.push(FieldError::new("allowedIps", "too_many", message));
    }
    let mut networks = vec![];
    for (index, text) in new.allowed_ips.iter().enumerate().take(ALLOWED_IPS_MAX) {
        match parse_network(text) {
            Ok(network) => networks.push(network),
            Err(error) => {
                let field = format!("allowedIps[{index}]");
                faults.push(FieldError::new(field, "invalid", error.to_string()));
            }
        }
    }
    let mode = new.mode.as_deref().map_or(Some(KeyMode::Live), KeyMode::parse);
    if mode.is_none() {
        faults.push(FieldError::new("mode", "invalid", "must be live or test"));
    }
    match (scopes, mode) {
        (Ok(scopes), Some(mode)) if faults.is_empty() => Ok(Checked {
            name: new.name,
            scopes,
            allowed_ips: AllowedIps(networks),
            mode,
        }),
        _ => Err(Error::Invalid(faults)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_256_random_bits_and_a_hint_that_gives_none_away() {
        for (mode, prefix) in [(KeyMode::Live, "plk_live_"), (KeyMode::Test, "plk_test_")] {
            let (one, two) = (draw(mode), draw(mode));
            let digits = one.key.strip_prefix(prefix).expect("its prefix");
            assert!(
                digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
                "{digits}"
            );
            assert_ne!(one.key, two.key);
            assert_eq!(one.hint, format!("{prefix}…{}", &digits[60..]));
            assert_eq!(one.hash, hash_key(&one.key));
        }
    }

    #[test]
    fn every_faulty_field_of_a_key_is_named() {
        let new = |allowed_ips: &[&str], mode: Option<&str>| NewApiKey {
            name: "ci".to_owned(),
            scopes: vec!["events:write".to_owned()],
            allowed_ips: allowed_ips.iter().map(|&text| text.to_owned()).collect(),
            mode: mode.map(str::to_owned),
        };
        let fields = |new: NewApiKey| match checked(new) {
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            _ => vec![],
        };
        assert!(
            checked(new(&["10.0.0.0/8", "::1"], Some("test"))).is_ok_and(|key| key.mode == KeyMode::Test)
        );
        assert!(checked(new(&[], None)).is_ok_and(|key| key.mode == KeyMode::Live));
        assert_eq!(
            fields(new(&["10.0.0.1/8", "::1", "x"], Some("prod"))),
            ["allowedIps[0]", "allowedIps[2]", "mode"]
        );
        assert_eq!(fields(new(&["::1"; ALLOWED_IPS_MAX + 1], None)), ["allowedIps"]);
        let empty = NewApiKey {
            name: " ".to_owned(),
            scopes: vec![],
            ..new(&[], None)
        };
        assert_eq!(fields(empty), ["name", "scopes"]);
    }
}
