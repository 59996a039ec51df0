//! Passwords: what one must be, and hashing them without letting that take the machine.

use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::{Error, FieldError};

/// The shortest password, in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// The longest password, in bytes: hashing must stay cheap.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// Passwords that are hashed at once in a process: each takes a core for tens of milliseconds, and 19 MiB.
const HASHING_MAX: usize = 2;
/// How long a request waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(5);
/// When to come back if the turn did not come.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(2);

/// Whose turn it is. One for the process, because what it protects is the process's cores and memory.
static HASHING: Semaphore = Semaphore::const_new(HASHING_MAX);

/// A hash that no password is known for, made with the parameters of all others: comparing with it takes as long.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cGx1bWJsaW5lLW5vYm9keQ$3uG1wV8iC0s8oFq3S7kq1nT1oOB5rHcV4mJ2yYwq0xM";

/// Check what somebody wants as a password; faults name this field.
pub(crate) fn check(field: &str, password: &str, faults: &mut Vec<FieldError>) {
    if password.chars().count() < PASSWORD_CHARS_MIN || password.len() > PASSWORD_BYTES_MAX {
        let message = format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_BYTES_MAX} characters");
        faults.push(FieldError::new(field, "invalid", message));
    }
}

/// Hash a password with argon2id; the result is in PHC form.
pub(crate) async fn hash(password: &str) -> Result<String, Error> {
    let password = password.to_owned();
    on_a_turn(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
    })
    .await?
    .map_err(|_| Error::Internal("the password could not be hashed"))
}

/// Whether a password is the one of this hash. Without a hash it is not, which takes as long to find out.
pub(crate) async fn verify(password: &str, hash: Option<&str>) -> Result<bool, Error> {
    let is_known = hash.is_some();
    // None is longer: it would only be hashed for nothing.
    let password: String = password.chars().take(PASSWORD_BYTES_MAX + 1).collect();
    let hash = hash.unwrap_or(NOBODYS).to_owned();
    let is_right = on_a_turn(move || {
        Argon2::default()
            .verify_password(password.as_bytes(), hash.as_str())
            .is_ok()
    })
    .await?;
    Ok(is_known && is_right)
}

/// Do it on a thread that may block, when it is this request's turn.
async fn on_a_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let turn: SemaphorePermit<'static> = match timeout(TURN_MAX, HASHING.acquire()).await {
        Ok(Ok(turn)) => turn,
        _ => {
            return Err(Error::TooMany {
                what: "sign-ins at once",
                retry_after: BUSY_RETRY_AFTER,
            });
        }
    };
    tokio::task::spawn_blocking(move || {
        // Here and not outside: a client that hangs up does not free a core that is still busy.
        let _turn = turn;
        work()
    })
    .await
    .map_err(|_| Error::Internal("hashing a password failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_verified_and_an_unknown_user_costs_the_same_parameters() {
        let hash = hash("correct horse battery").await.expect("hashed");
        assert!(
            verify("correct horse battery", Some(&hash))
                .await
                .expect("compared")
        );
        assert!(
            !verify("correct horse batterz", Some(&hash))
                .await
                .expect("compared")
        );
        assert!(!verify("correct horse battery", None).await.expect("compared"));
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(&hash), parameters(NOBODYS));
        let lengths = |hash: &str| hash.split('$').skip(4).map(str::len).collect::<Vec<_>>();
        assert_eq!(
            lengths(&hash),
            lengths(NOBODYS),
            "the salt and the hash are as long"
        );
        let nobodys = argon2::PasswordHash::new(NOBODYS).expect("it is read as a hash");
        assert!(nobodys.hash.is_some() && nobodys.salt.is_some());
    }

    #[test]
    fn a_password_has_a_shortest_and_a_longest() {
        for (password, is_accepted) in [
            ("x".repeat(11), false),
            ("x".repeat(12), true),
            ("ä".repeat(12), true),
            ("x".repeat(1_024), true),
            ("x".repeat(1_025), false),
        ] {
            let mut faults = vec![];
            check("password", &password, &mut faults);
            assert_eq!(faults.is_empty(), is_accepted, "{}", password.len());
        }
    }
}
