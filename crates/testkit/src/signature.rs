//! What a receiver does to believe a request: BuildWorkPro's signature, verified without Plumbline's own code.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far a receiver lets the clocks differ, in seconds.
pub const TOLERANCE_SECONDS: u64 = 300;
/// The header that carries the signature.
pub const HEADER: &str = "BuildWorkPro-Signature";

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// There is no signature, or not one of the form `t=<digits>,v1=<64 lower-case hex digits>`.
    Malformed,
    /// It was made too long ago, or lies in the future.
    Stale,
    /// It was made with another secret, or for other bytes.
    Mismatch,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the signature header is missing or malformed",
            Self::Stale => "the timestamp is more than 300 s away from this clock",
            Self::Mismatch => "the signature was made with another secret or for other bytes",
        })
    }
}

/// Verify a header's value for a body. The key is the whole secret, `whsec_` included.
///
/// Returns the time of signing in seconds since 1970.
///
/// # Errors
/// See [`Invalid`].
pub fn verify(secret: &str, header: &str, body: &[u8], now_seconds: u64) -> Result<u64, Invalid> {
    let (seconds, signature) = parse(header).ok_or(Invalid::Malformed)?;
    if seconds.abs_diff(now_seconds) > TOLERANCE_SECONDS {
        return Err(Invalid::Stale);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    // Compares in constant time.
    mac.verify_slice(&signature).map_err(|_| Invalid::Mismatch)?;
    Ok(seconds)
}

/// As strict as the sender promises to be (G6), stricter than the published verifier.
fn parse(header: &str) -> Option<(u64, Vec<u8>)> {
    let (seconds, signature) = header.strip_prefix("t=")?.split_once(",v1=")?;
    if seconds.is_empty() || !seconds.bytes().all(|b| b.is_ascii_digit()) || signature.len() != 64 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let signature = signature
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect::<Option<Vec<u8>>>()?;
    Some((seconds.parse().ok()?, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with OpenSSL: `printf '1777138921.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test`.
    const GOLDEN: &str = "t=1777138921,v1=470a37415e167c0872782804cd9f23c1fd2f2960123b689cf29d9a941f54d89b";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const SIGNED: u64 = 1_777_138_921;

    #[test]
    fn only_the_right_secret_body_time_and_form_are_believed() {
        for (secret, header, body, now, expected) in [
            ("whsec_test", GOLDEN, BODY, SIGNED, Ok(SIGNED)),
            ("whsec_test", GOLDEN, BODY, SIGNED + 300, Ok(SIGNED)),
            ("whsec_test", GOLDEN, BODY, SIGNED + 301, Err(Invalid::Stale)),
            ("whsec_test", GOLDEN, BODY, SIGNED - 301, Err(Invalid::Stale)),
            ("whsec_other", GOLDEN, BODY, SIGNED, Err(Invalid::Mismatch)),
            ("test", GOLDEN, BODY, SIGNED, Err(Invalid::Mismatch)),
            ("whsec_test", GOLDEN, b"{}", SIGNED, Err(Invalid::Mismatch)),
            ("whsec_test", "", BODY, SIGNED, Err(Invalid::Malformed)),
            (
                "whsec_test",
                &GOLDEN.replace(",v1", ", v1"),
                BODY,
                SIGNED,
                Err(Invalid::Malformed),
            ),
            (
                "whsec_test",
                &GOLDEN.to_uppercase(),
                BODY,
                SIGNED,
                Err(Invalid::Malformed),
            ),
            (
                "whsec_test",
                &GOLDEN[..GOLDEN.len() - 1],
                BODY,
                SIGNED,
                Err(Invalid::Malformed),
            ),
        ] {
            assert_eq!(
                verify(secret, header, body, now),
                expected,
                "{secret} {header} {now}"
            );
        }
    }
}
