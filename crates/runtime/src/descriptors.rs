//! How many sockets and files the process may have open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raise the soft limit on open files to the hard one, and say what it is now; `None` is no limit.
///
/// The soft limit is commonly 1,024, for the sake of programs that use `select`; this is none. Whoever starts the process
/// limits it by the hard one. If the limit cannot be raised, it stays what it is.
pub fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "the limit on open files cannot be raised");
            limit.current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        for _ in 0..2 {
            assert_eq!(raise_limit(), hard);
            assert_eq!(getrlimit(Resource::Nofile).current, hard);
        }
    }
}
