//! Which cryptography TLS uses in this process.

use rustls::crypto::{CryptoProvider, ring};

/// Make *ring* the process's default TLS cryptography, if no default is set yet.
///
/// Call it first in `main`: a library that asks rustls for its default before then panics when more than
/// one provider is compiled in. Calling it again does nothing.
pub fn install() {
    if CryptoProvider::get_default().is_none() {
        // Losing the race to another thread is as good as winning it: a default is installed.
        let _ = ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_leaves_one_default() {
        install();
        install();
        assert!(CryptoProvider::get_default().is_some());
    }
}
