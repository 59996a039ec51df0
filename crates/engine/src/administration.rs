//! What an operator does from the command line: tenants, API keys, users, migrations.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use plumbline_domain::{ApiKeyId, Role, Scopes, TenantId, UserId};
use plumbline_store::{Store, StoreError, api_keys, tenants, users};

use crate::authentication::hash_key;
use crate::{Error, FieldError};

/// The shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// The longest password, in bytes: hashing must stay cheap.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// An API key, shown to its owner once.
#[derive(Clone)]
pub struct NewKey {
    /// Its number.
    pub id: ApiKeyId,
    /// `plk_live_` and 64 hex digits.
    pub key: String,
}

/// Holds the key: shows its number only.
impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey({})", self.id)
    }
}

/// The operator's use cases: they need only the database.
#[derive(Clone)]
pub struct Administration {
    store: Store,
}

impl Administration {
    /// Administration of a database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Bring the schema up to date; returns the names of the migrations that were applied now.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Store`] when a migration fails (it is rolled back).
    pub async fn migrate(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.migrate().await?)
    }

    /// Make a tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Unavailable`].
    pub async fn create_tenant(&self, name: &str) -> Result<TenantId, Error> {
        check_name(name)?;
        Ok(tenants::create(&self.store.session().await?, name).await?)
    }

    /// Make an API key.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::NotFound`] for the tenant; [`Error::Unavailable`].
    pub async fn create_api_key(
        &self,
        tenant: TenantId,
        name: &str,
        scopes: &Scopes,
    ) -> Result<NewKey, Error> {
        check_name(name)?;
        let session = self.store.session().await?;
        tenants::get(&session, tenant)
            .await?
            .ok_or(Error::NotFound("tenant"))?;
        let key = generate_key();
        let new = api_keys::NewApiKey {
            name: name.to_owned(),
            scopes: scopes.clone(),
            hash: hash_key(&key),
            hint: format!("plk_live_…{}", &key[key.len() - 4..]),
        };
        Ok(NewKey {
            id: api_keys::create(&session, tenant, &new).await?,
            key,
        })
    }

    /// Make a user.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] when the address is taken; [`Error::NotFound`] for the tenant.
    pub async fn create_user(
        &self,
        tenant: TenantId,
        email: &str,
        role: Role,
        password: &str,
    ) -> Result<UserId, Error> {
        let email = email.trim().to_lowercase();
        let mut faults = vec![];
        let shape = email
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
        if !shape || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
            faults.push(FieldError::new(
                "email",
                "invalid",
                "is not an e-mail address: use the form name@example.com",
            ));
        }
        if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
            let message = format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_BYTES_MAX} characters");
            faults.push(FieldError::new("password", "invalid", message));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let password = password.to_owned();
        // Takes tens of milliseconds of CPU by intent.
        let hash = tokio::task::spawn_blocking(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
        })
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or(Error::Internal("the password could not be hashed"))?;
        let session = self.store.session().await?;
        tenants::get(&session, tenant)
            .await?
            .ok_or(Error::NotFound("tenant"))?;
        match users::create(&session, tenant, &email, role, &hash).await {
            Err(StoreError::Conflict { .. }) => Err(Error::Conflict(format!(
                "a user with the address {email} exists already"
            ))),
            result => Ok(result?),
        }
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let count = name.chars().count();
    if (1..=200).contains(&count) && !name.chars().any(char::is_control) && !name.trim().is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        "name",
        "invalid",
        "must have 1 to 200 characters, none of them a control character",
    ))
}

fn generate_key() -> String {
    use std::fmt::Write as _;
    let random: [u8; 32] = rand::random();
    let mut key = String::from("plk_live_");
    for byte in random {
        let _ = write!(key, "{byte:02x}");
    }
    key
}
