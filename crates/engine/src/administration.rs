//! What an operator does from the command line: tenants, API keys, users, migrations.

use plumbline_domain::{AllowedIps, ApiKeyId, Role, Scopes, TenantId, UserId};
use plumbline_store::{Store, api_keys, tenants};

use crate::api_keys::{KeyMode, draw};
use crate::users::{self, NewUser};
use crate::{Error, FieldError};

pub use crate::passwords::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};

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

    pub(crate) fn store(&self) -> &Store {
        &self.store
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
        checked_name(name)?;
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
        checked_name(name)?;
        let session = self.store.session().await?;
        tenants::get(&session, tenant)
            .await?
            .ok_or(Error::NotFound("tenant"))?;
        let drawn = draw(KeyMode::Live);
        let new = api_keys::NewApiKey {
            name: name.to_owned(),
            scopes: scopes.clone(),
            allowed_ips: AllowedIps::default(),
            hash: drawn.hash,
            hint: drawn.hint,
        };
        Ok(NewKey {
            id: api_keys::create(&session, tenant, &new).await?.id,
            key: drawn.key,
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
        let checked = users::check(NewUser {
            email: email.to_owned(),
            role: role.as_str().to_owned(),
            password: password.to_owned(),
        })
        .await?;
        let session = self.store.session().await?;
        tenants::get(&session, tenant)
            .await?
            .ok_or(Error::NotFound("tenant"))?;
        Ok(users::create(&session, tenant, &checked).await?.id)
    }
}

fn checked_name(name: &str) -> Result<(), Error> {
    let mut faults = vec![];
    check_name(name, &mut faults);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(faults))
    }
}

/// Check what somebody calls something.
pub(crate) fn check_name(name: &str, faults: &mut Vec<FieldError>) {
    let count = name.chars().count();
    if !(1..=200).contains(&count) || name.chars().any(char::is_control) || name.trim().is_empty() {
        faults.push(FieldError::new(
            "name",
            "invalid",
            "must have 1 to 200 characters, none of them a control character",
        ));
    }
}
