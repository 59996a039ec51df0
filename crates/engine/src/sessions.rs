//! Signing in and out, and whom a session stands for.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_domain::quota::{Quota, Quotas, Ticket};
use plumbline_domain::{Principal, SessionId, TenantId, Timestamp, UserId};
use plumbline_store::sessions::{self, Lifetimes};
use plumbline_store::users;
use sha2::{Digest, Sha256};

use crate::users::{Actor, User, address};
use crate::{Engine, Error, FieldError, Unit, passwords};

/// How long a session lives without being used.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// How long it lives in any case.
pub const SESSION_LIFE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Sessions that a user has at once; another one ends the oldest.
pub const SESSIONS_PER_USER_MAX: usize = 20;

const LIFETIMES: Lifetimes = Lifetimes {
    idle: SESSION_IDLE_MAX,
    absolute: SESSION_LIFE_MAX,
};
/// Over which time attempts to sign in are counted.
const ATTEMPTS_WINDOW: Duration = Duration::from_secs(5 * 60);
/// Failed attempts that an e-mail address has in that time.
const ATTEMPTS_PER_EMAIL_MAX: NonZeroU32 = NonZeroU32::new(10).expect("ten");
/// Failed attempts that a source address has in that time, over all e-mail addresses.
const ATTEMPTS_PER_SOURCE_MAX: NonZeroU32 = NonZeroU32::new(50).expect("fifty");
/// The bits of an IPv6 address that one customer of a provider commonly has to choose from are the rest.
const IPV6_SOURCE_BITS: u32 = 64;

/// Attempts to sign in, of this process. Each is counted before the password is looked at, so that many at once do not
/// slip through, and given back if it succeeds.
pub(crate) struct Attempts {
    by_email: Mutex<Quotas<[u8; 32]>>,
    by_source: Mutex<Quotas<IpAddr>>,
}

impl Default for Attempts {
    fn default() -> Self {
        let quotas = |limit| Quota {
            limit,
            window: ATTEMPTS_WINDOW,
        };
        Self {
            by_email: Mutex::new(Quotas::new(quotas(ATTEMPTS_PER_EMAIL_MAX))),
            by_source: Mutex::new(Quotas::new(quotas(ATTEMPTS_PER_SOURCE_MAX))),
        }
    }
}

impl Attempts {
    fn count(&self, email: [u8; 32], source: IpAddr) -> Result<(), Error> {
        let now = Instant::now();
        let refused = |what, retry_after| Err(Error::TooMany { what, retry_after });
        if let Ticket::Refused(standing) = self.by_source.lock().take(source, now) {
            return refused("attempts to sign in from this address", standing.reset_after);
        }
        if let Ticket::Refused(standing) = self.by_email.lock().take(email, now) {
            return refused("attempts to sign in as this user", standing.reset_after);
        }
        Ok(())
    }

    fn forgive(&self, email: &[u8; 32], source: &IpAddr) {
        self.by_email.lock().give_back(email);
        self.by_source.lock().give_back(source);
    }
}

/// Whom to count an attempt against.
pub(crate) fn counted_source(source: Option<IpAddr>) -> IpAddr {
    match source {
        Some(IpAddr::V6(address)) if address.to_ipv4_mapped().is_none() => {
            let bits = address.to_bits() >> (128 - IPV6_SOURCE_BITS) << (128 - IPV6_SOURCE_BITS);
            Ipv6Addr::from_bits(bits).into()
        }
        Some(address) => address.to_canonical(),
        None => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A session that just began.
pub struct SignedIn {
    /// Who signed in.
    pub user: User,
    /// Their tenant.
    pub tenant: TenantId,
    /// The session's token: 64 hex digits, 256 random bits; known to the browser only.
    pub token: String,
    /// When the session ends if it is not used.
    pub expires_at: Timestamp,
}

/// What a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Whom a request with it comes from.
    pub principal: Principal,
    /// The session.
    pub session: SessionId,
    /// Who.
    pub user: UserId,
    /// When it ends if it is not used.
    pub expires_at: Timestamp,
}

/// A new password whose old one was right, both hashed.
pub struct CheckedPassword {
    old_hash: String,
    new_hash: String,
}

fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn draw_token() -> String {
    let random: [u8; 32] = rand::random();
    let mut token = String::with_capacity(64);
    for byte in random {
        let _ = write!(token, "{byte:02x}");
    }
    token
}

impl Engine {
    /// Begin a session. `None` for an unknown address or a wrong password: which of them, nobody can tell, not even by
    /// the time that it takes.
    ///
    /// # Errors
    /// [`Error::TooMany`] attempts; [`Error::Unavailable`].
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        source: Option<IpAddr>,
    ) -> Result<Option<SignedIn>, Error> {
        let email = address(email);
        let (counted_email, counted_source) = (hash_token(&email), counted_source(source));
        let attempts = &self.inner.attempts;
        attempts.count(counted_email, counted_source)?;

        let known = users::credentials_by_email(&self.store().session().await?, &email).await?;
        let hash = known.as_ref().map(|known| known.password_hash.as_str());
        // No connection is held meanwhile.
        let is_right = passwords::verify(password, hash).await?;
        let Some(known) = known.filter(|_| is_right) else {
            return Ok(None);
        };
        let token = draw_token();
        let session = self.store().begin().await?;
        let (tenant, user) = (known.tenant, known.user);
        let made = sessions::create(
            &session,
            tenant,
            user,
            &known.password_hash,
            &hash_token(&token),
            LIFETIMES,
        )
        .await?;
        let Some(expires_at) = made else {
            session.rollback().await?;
            return Ok(None); // The password was changed in this moment.
        };
        sessions::end_oldest(&session, tenant, user, SESSIONS_PER_USER_MAX).await?;
        let user = users::get(&session, tenant, user)
            .await?
            .ok_or(Error::NotFound("user"))?;
        session.commit().await?;
        attempts.forgive(&counted_email, &counted_source);
        Ok(Some(SignedIn {
            user,
            tenant,
            token,
            expires_at,
        }))
    }

    /// Whom a session's token stands for; `None` for an unknown one or one that is over. The database is asked each
    /// time, so that a sign-out counts at once in every replica.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open_session(&self, token: &str) -> Result<Option<OpenSession>, Error> {
        if token.len() != 64 {
            return Ok(None);
        }
        let found = sessions::by_hash(&self.store().session().await?, &hash_token(token)).await?;
        let Some(found) = found else {
            return Ok(None);
        };
        if found.is_use_unnoted {
            let store = self.store().clone();
            self.note(async move {
                sessions::note_use(&store.session().await?, found.tenant, found.id, LIFETIMES).await
            });
        }
        Ok(Some(OpenSession {
            principal: Principal::User {
                tenant: found.tenant,
                user: found.user,
                role: found.role,
            },
            session: found.id,
            user: found.user,
            expires_at: found.expires_at,
        }))
    }

    /// Check a user's wish for another password of their own; call it outside of a [`Unit`].
    ///
    /// # Errors
    /// [`Error::Invalid`], also when the current password is wrong; [`Error::TooMany`] attempts.
    pub async fn check_own_password(
        &self,
        tenant: TenantId,
        actor: Actor,
        current: &str,
        new: &str,
    ) -> Result<CheckedPassword, Error> {
        let mut faults = vec![];
        passwords::check("newPassword", new, &mut faults);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let session = self.store().session().await?;
        let user = users::get(&session, tenant, actor.user)
            .await?
            .ok_or(Error::NotFound("user"))?;
        let known = users::credentials(&session, tenant, actor.user)
            .await?
            .ok_or(Error::NotFound("user"))?;
        drop(session);
        // Whoever finds a screen unlocked has no more tries than whoever signs in.
        let counted_email = hash_token(&user.email);
        if let Ticket::Refused(standing) = self
            .inner
            .attempts
            .by_email
            .lock()
            .take(counted_email, Instant::now())
        {
            return Err(Error::TooMany {
                what: "attempts to sign in as this user",
                retry_after: standing.reset_after,
            });
        }
        if !passwords::verify(current, Some(&known.password_hash)).await? {
            return Err(Error::Invalid(vec![FieldError::new(
                "currentPassword",
                "wrong",
                "is not your password: give the present one",
            )]));
        }
        self.inner.attempts.by_email.lock().give_back(&counted_email);
        Ok(CheckedPassword {
            old_hash: known.password_hash,
            new_hash: passwords::hash(new).await?,
        })
    }
}

impl Unit {
    /// End a session.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn sign_out(&mut self, session: SessionId) -> Result<(), Error> {
        Ok(sessions::end(&self.session, self.tenant, session).await?)
    }

    /// Replace a user's own password, and end their other sessions.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else replaced it meanwhile.
    pub async fn change_own_password(&mut self, actor: Actor, checked: CheckedPassword) -> Result<(), Error> {
        let CheckedPassword { old_hash, new_hash } = checked;
        let is_replaced =
            users::replace_password(&self.session, self.tenant, actor.user, &old_hash, &new_hash).await?;
        if !is_replaced {
            return Err(Error::Conflict(
                "the password was changed meanwhile: sign in with the new one".to_owned(),
            ));
        }
        sessions::end_all(&self.session, self.tenant, actor.user, Some(actor.session)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_by_user_and_by_source() {
        let attempts = Attempts::default();
        let source = |last: u8| counted_source(Some(IpAddr::from([192, 0, 2, last])));
        for _ in 0..10 {
            assert!(attempts.count([1; 32], source(1)).is_ok());
        }
        for from in [source(1), source(2)] {
            let refused = attempts.count([1; 32], from);
            assert!(
                matches!(refused, Err(Error::TooMany { retry_after, .. }) if retry_after <= ATTEMPTS_WINDOW),
                "whatever address they come from"
            );
        }
        attempts.forgive(&[1; 32], &source(1));
        assert!(attempts.count([1; 32], source(2)).is_ok());

        for user in 0..50 {
            assert!(attempts.count([100 + user; 32], source(3)).is_ok());
        }
        assert!(
            attempts.count([200; 32], source(3)).is_err(),
            "whoever they claim to be"
        );
        assert!(attempts.count([200; 32], source(4)).is_ok());
    }

    #[test]
    fn one_ipv6_customer_is_one_source() {
        let source = |text: &str| counted_source(Some(text.parse().expect("an address")));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
    }

    #[test]
    fn a_token_has_256_random_bits() {
        let token = draw_token();
        assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(token, draw_token());
    }
}
