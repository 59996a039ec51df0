//! The headers that carry a signature, read as they came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Fault;
use crate::Profile;

pub(super) const BUILDWORKPRO: &str = "BuildWorkPro-Signature";

/// Bytes of a digest.
const DIGEST: usize = 32;
/// Its characters in hex.
const HEX: usize = 64;
/// Its characters in base64.
const BASE64: usize = 44;

/// What the schemes of svix and Standard Webhooks call their headers: id, timestamp, signature.
const STANDARD_NAMES: [(Profile, [&str; 3]); 2] = [
    (Profile::Buildr, ["svix-id", "svix-timestamp", "svix-signature"]),
    (
        Profile::Buildmarkets,
        ["webhook-id", "webhook-timestamp", "webhook-signature"],
    ),
];

/// The headers of one profile.
pub(super) struct Found<'a> {
    pub(super) profile: Profile,
    pub(super) name: &'static str,
    value: &'a str,
    /// Id and timestamp, where they have headers of their own.
    beside: Option<(&'a str, &'a str)>,
}

/// What they say.
pub(super) struct Signed<'a> {
    /// The message's id, where it is signed.
    pub(super) id: Option<&'a str>,
    /// The timestamp as it was written, which is what is signed.
    pub(super) timestamp: &'a str,
    pub(super) seconds: i64,
    /// Digests that were offered.
    pub(super) digests: Vec<Vec<u8>>,
    /// The beginning of a digest that was cut, as text.
    pub(super) cut: Option<&'a str>,
}

/// A value as it should be.
pub(super) fn example(profile: Profile) -> &'static str {
    match profile {
        Profile::BuildWorkPro => "t=1777138921,v1=<64 hex digits>",
        Profile::Buildr | Profile::Buildmarkets => "v1,<44 characters of base64>",
    }
}

/// The headers that carry the signature: those of `wanted` first, when there are several products'.
pub(super) fn find<'a>(
    headers: &'a [(String, String)],
    wanted: Option<Profile>,
    faults: &mut Vec<Fault>,
) -> Option<Found<'a>> {
    let value = |name: &str| {
        let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    let mut profiles = Profile::ALL;
    profiles.sort_by_key(|profile| Some(*profile) != wanted);
    for profile in profiles {
        let Some((_, [id, timestamp, signature])) =
            STANDARD_NAMES.iter().find(|(known, _)| *known == profile)
        else {
            if let Some(value) = value(BUILDWORKPRO) {
                return Some(Found {
                    profile,
                    name: BUILDWORKPRO,
                    value,
                    beside: None,
                });
            }
            continue;
        };
        let parts = (value(id), value(timestamp), value(signature));
        if let (None, None, None) = parts {
            continue;
        }
        let missing = [(parts.0, id), (parts.1, timestamp), (parts.2, signature)];
        let missing = missing.into_iter().filter(|(value, _)| value.is_none());
        faults.extend(missing.map(|(_, name)| Fault::HeaderMissing(name)));
        let (Some(id), Some(timestamp), Some(value)) = parts else {
            return None;
        };
        return Some(Found {
            profile,
            name: signature,
            value,
            beside: Some((id, timestamp)),
        });
    }
    faults.push(Fault::NoSignature);
    None
}

/// Read them; faults that leave something to compare are told besides.
pub(super) fn read<'a>(found: &Found<'a>, faults: &mut Vec<Fault>) -> Option<Signed<'a>> {
    let name = found.name;
    let malformed = |problem| Fault::Malformed { name, problem };
    let (id, timestamp, texts) = match found.beside {
        None => {
            if found.value.starts_with("v1,") {
                let form = Profile::Buildmarkets;
                faults.push(Fault::OtherForm { name, form });
                return None;
            }
            let (mut timestamp, mut texts) = (None, vec![]);
            for part in found.value.split(',') {
                match part.trim().split_once('=') {
                    Some(("t", value)) => timestamp = Some(value),
                    Some(("v1", value)) => texts.push(value),
                    _ => {}
                }
            }
            match timestamp {
                Some(timestamp) => (None, timestamp, texts),
                None => {
                    faults.push(malformed("it has no t=<seconds>"));
                    return None;
                }
            }
        }
        Some((id, timestamp)) => {
            if found.value.starts_with("t=") {
                let form = Profile::BuildWorkPro;
                faults.push(Fault::OtherForm { name, form });
                return None;
            }
            let texts = found.value.split_ascii_whitespace();
            let texts = texts.filter_map(|part| part.strip_prefix("v1,")).collect();
            (Some(id), timestamp, texts)
        }
    };
    if texts.is_empty() {
        faults.push(malformed("it has no signature of the version v1"));
        return None;
    }
    let Ok(seconds) = timestamp.parse::<i64>() else {
        faults.push(malformed("its timestamp is not a number"));
        return None;
    };
    let mut signed = Signed {
        id,
        timestamp,
        seconds,
        digests: vec![],
        cut: None,
    };
    let is_hex = found.beside.is_none();
    let (mut unread, mut is_read) = (vec![], false);
    for text in texts {
        match digest(text, is_hex) {
            Digest::Read(bytes) => {
                is_read = true;
                signed.digests.push(bytes);
            }
            Digest::InOther(bytes) => {
                let (is, should) = match is_hex {
                    true => ("base64", "hex"),
                    false => ("hex", "base64"),
                };
                unread.push(Fault::Encoding { name, is, should });
                signed.digests.push(bytes);
            }
            Digest::Cut => {
                signed.cut = Some(text);
                unread.push(Fault::Truncated {
                    name,
                    have: text.len(),
                    want: if is_hex { HEX } else { BASE64 },
                    rest_fits: false,
                });
            }
            Digest::No => unread.push(malformed(match is_hex {
                true => "what follows v1= is not 64 hex digits",
                false => "what follows v1, is not 44 characters of base64",
            })),
        }
    }
    // Of several signatures one that can be read is enough.
    if !is_read {
        faults.extend(unread);
    }
    (!signed.digests.is_empty() || signed.cut.is_some()).then_some(signed)
}

enum Digest {
    Read(Vec<u8>),
    InOther(Vec<u8>),
    Cut,
    No,
}

fn digest(text: &str, is_hex: bool) -> Digest {
    let base64 = || STANDARD.decode(text).ok().filter(|bytes| bytes.len() == DIGEST);
    let hex = || unhex(text).filter(|bytes| bytes.len() == DIGEST);
    let (own, other) = match is_hex {
        true => (hex(), base64()),
        false => (base64(), hex()),
    };
    match (own, other) {
        (Some(bytes), _) => Digest::Read(bytes),
        (None, Some(bytes)) => Digest::InOther(bytes),
        (None, None) => {
            let is_part = |byte: u8| match is_hex {
                true => byte.is_ascii_hexdigit(),
                false => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            };
            let want = if is_hex { HEX } else { BASE64 };
            match text.len() < want && text.bytes().all(is_part) {
                true => Digest::Cut,
                false => Digest::No,
            }
        }
    }
}

/// The bytes of hex digits in either case.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
