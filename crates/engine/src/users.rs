//! The people of a tenant: add, list, change, remove.

use plumbline_domain::{Role, SessionId, TenantId, UserId};
use plumbline_store::users::UserChanges as Stored;
use plumbline_store::{StoreError, sessions, tenants, users};

pub use plumbline_store::users::User;

use crate::{Engine, Error, FieldError, Unit, passwords};

/// Users that a tenant may have.
pub const USERS_PER_TENANT_MAX: u64 = 1_000;
/// The longest e-mail address, in bytes.
const EMAIL_BYTES_MAX: usize = 254;

/// A user to add.
pub struct NewUser {
    /// The address to sign in with.
    pub email: String,
    /// What they will be, by name.
    pub role: String,
    /// Their first password.
    pub password: String,
}

/// What to change of a user; `None` stays as it is.
#[derive(Default)]
pub struct UserChanges {
    /// Another address.
    pub email: Option<String>,
    /// Another role, by name.
    pub role: Option<String>,
    /// Another password.
    pub password: Option<String>,
}

/// A user whose fields are in order, the password hashed: outside of a transaction, because it takes its time.
pub struct CheckedUser {
    email: String,
    role: Role,
    password_hash: String,
}

/// Changes whose fields are in order.
pub struct CheckedUserChanges(Stored);

/// Who changes a user: their own session outlives it, and their own password is not changed this way.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    /// Who.
    pub user: UserId,
    /// The session by which they act.
    pub session: SessionId,
}

/// An e-mail address as it is stored: lower case, without spaces around it.
pub(crate) fn address(email: &str) -> String {
    email.trim().to_lowercase()
}

fn check_address(email: &str, faults: &mut Vec<FieldError>) {
    let shape = email
        .split_once('@')
        .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    if !shape || email.len() > EMAIL_BYTES_MAX || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        faults.push(FieldError::new(
            "email",
            "invalid",
            "is not an e-mail address: use the form name@example.com",
        ));
    }
}

fn role(name: &str, faults: &mut Vec<FieldError>) -> Option<Role> {
    let role = Role::parse(name);
    if role.is_none() {
        faults.push(FieldError::new(
            "role",
            "invalid",
            "must be company_admin or member",
        ));
    }
    role
}

/// Check a user to add, and hash the password.
///
/// # Errors
/// [`Error::Invalid`] names every faulty field.
pub(crate) async fn check(new: NewUser) -> Result<CheckedUser, Error> {
    let NewUser {
        email,
        role: name,
        password,
    } = new;
    let mut faults = vec![];
    let email = address(&email);
    check_address(&email, &mut faults);
    let role = role(&name, &mut faults);
    passwords::check("password", &password, &mut faults);
    let (Some(role), true) = (role, faults.is_empty()) else {
        return Err(Error::Invalid(faults));
    };
    Ok(CheckedUser {
        email,
        role,
        password_hash: passwords::hash(&password).await?,
    })
}

/// Add a user.
pub(crate) async fn create(
    session: &plumbline_store::Session,
    tenant: TenantId,
    new: &CheckedUser,
) -> Result<User, Error> {
    users::create(session, tenant, &new.email, new.role, &new.password_hash)
        .await
        .map_err(|error| taken(error, &new.email))
}

/// An address belongs to one user in all tenants, because it is all that a sign-in names.
fn taken(error: StoreError, email: &str) -> Error {
    match error {
        StoreError::Conflict { .. } => Error::Conflict(format!(
            "a user with the address {email} exists already: use another address"
        )),
        error => error.into(),
    }
}

impl Engine {
    /// A page of the tenant's users, newest first, older than `before`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn users(
        &self,
        tenant: TenantId,
        before: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<User>, Error> {
        Ok(users::list(&self.store().session().await?, tenant, before, limit).await?)
    }

    /// One user.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unavailable`].
    pub async fn user(&self, tenant: TenantId, user: UserId) -> Result<User, Error> {
        users::get(&self.store().session().await?, tenant, user)
            .await?
            .ok_or(Error::NotFound("user"))
    }

    /// Check a user to add; call it outside of a [`Unit`].
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field; [`Error::TooMany`].
    pub async fn check_user(&self, new: NewUser) -> Result<CheckedUser, Error> {
        check(new).await
    }

    /// Check changes of a user; call it outside of a [`Unit`].
    ///
    /// # Errors
    /// [`Error::Invalid`] names every faulty field; [`Error::TooMany`].
    pub async fn check_user_changes(
        &self,
        changes: UserChanges,
        target: UserId,
        actor: Actor,
    ) -> Result<CheckedUserChanges, Error> {
        let mut faults = vec![];
        let email = changes.email.as_deref().map(address);
        if let Some(email) = &email {
            check_address(email, &mut faults);
        }
        let role = changes.role.as_deref().and_then(|name| role(name, &mut faults));
        if let Some(password) = &changes.password {
            if target == actor.user {
                faults.push(FieldError::new(
                    "password",
                    "own_password",
                    "is your own: change it with POST /api/v1/session/password, which asks for the current one",
                ));
            }
            passwords::check("password", password, &mut faults);
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let password_hash = match changes.password {
            Some(password) => Some(passwords::hash(&password).await?),
            None => None,
        };
        Ok(CheckedUserChanges(Stored {
            email,
            role,
            password_hash,
        }))
    }
}

impl Unit {
    /// Add a user.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the address is taken, or the tenant has too many users.
    pub async fn create_user(&mut self, new: CheckedUser) -> Result<User, Error> {
        tenants::lock(&self.session, self.tenant).await?;
        let (count, _) = users::count(&self.session, self.tenant, Role::CompanyAdmin).await?;
        if count >= USERS_PER_TENANT_MAX {
            return Err(Error::Conflict(format!(
                "this tenant has {USERS_PER_TENANT_MAX} users, which is the most: delete one first"
            )));
        }
        create(&self.session, self.tenant, &new).await
    }

    /// Change a user. Another password or role ends their sessions, but for the one that this is done by.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the address is taken, or nobody would be left to administer.
    pub async fn update_user(
        &mut self,
        id: UserId,
        changes: CheckedUserChanges,
        actor: Actor,
    ) -> Result<User, Error> {
        let CheckedUserChanges(changes) = changes;
        tenants::lock(&self.session, self.tenant).await?;
        let before = self.present_user(id).await?;
        let role_changes = changes.role.is_some_and(|role| role != before.role);
        if role_changes && before.role == Role::CompanyAdmin {
            self.keep_an_admin().await?;
        }
        let user = users::update(&self.session, self.tenant, id, &changes)
            .await
            .map_err(|error| taken(error, changes.email.as_deref().unwrap_or_default()))?
            .ok_or(Error::NotFound("user"))?;
        if role_changes || changes.password_hash.is_some() {
            let kept = (id == actor.user).then_some(actor.session);
            sessions::end_all(&self.session, self.tenant, id, kept).await?;
        }
        Ok(user)
    }

    /// Delete a user, and with them their sessions.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when nobody would be left to administer.
    pub async fn delete_user(&mut self, id: UserId) -> Result<(), Error> {
        tenants::lock(&self.session, self.tenant).await?;
        if self.present_user(id).await?.role == Role::CompanyAdmin {
            self.keep_an_admin().await?;
        }
        users::delete(&self.session, self.tenant, id).await?;
        Ok(())
    }

    async fn present_user(&self, id: UserId) -> Result<User, Error> {
        users::get(&self.session, self.tenant, id)
            .await?
            .ok_or(Error::NotFound("user"))
    }

    /// One admin must be left. The tenant's row is held, so that two do not leave at once.
    async fn keep_an_admin(&self) -> Result<(), Error> {
        let (_, admins) = users::count(&self.session, self.tenant, Role::CompanyAdmin).await?;
        if admins > 1 {
            return Ok(());
        }
        Err(Error::Conflict(
            "this is the tenant's last company_admin: make another user company_admin first".to_owned(),
        ))
    }
}
