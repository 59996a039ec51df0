//! Which key, content and body a signature fits.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::body;
use super::header::{self, Found, Signed};
use super::{Claim, Fault};
use crate::{KeyDerivation, Profile, SigningSecret};

const PREFIX: &str = "whsec_";

/// What was taken as the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// The whole text as it was given.
    Whole,
    /// The text with `whsec_` put before it.
    WithPrefix,
    /// The text without its `whsec_`, not decoded.
    WithoutPrefix,
    /// What follows `whsec_`, decoded from base64.
    Base64,
    /// The whole text, `whsec_` included, decoded from base64.
    Base64OfWhole,
    /// What follows `whsec_`, decoded from hex.
    Hex,
    /// The text without the blanks or quotes around it.
    Trimmed,
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "the whole text as the key, whsec_ included and not decoded",
            Self::WithPrefix => "the text with whsec_ put before it",
            Self::WithoutPrefix => "the text without whsec_, not decoded",
            Self::Base64 => "the bytes that it decodes to as base64, without whsec_",
            Self::Base64OfWhole => "the bytes that it decodes to as base64, whsec_ included",
            Self::Hex => "the bytes that its hex digits stand for, without whsec_",
            Self::Trimmed => "the text without the blanks or quotes around it",
        })
    }
}

/// What was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentForm {
    /// `<timestamp>.<body>`
    TimestampBody,
    /// `<id>.<timestamp>.<body>`
    IdTimestampBody,
    /// `<body>`
    Body,
    /// `<timestamp><body>`
    TimestampBodyWithoutDot,
    /// The right content, with the timestamp in seconds where the header has milliseconds.
    Seconds,
}

impl fmt::Display for ContentForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimestampBody => "<timestamp>.<body>",
            Self::IdTimestampBody => "<id>.<timestamp>.<body>",
            Self::Body => "the body alone",
            Self::TimestampBodyWithoutDot => "<timestamp><body>, without the dot between them",
            Self::Seconds => "the timestamp in seconds, and the header has milliseconds",
        })
    }
}

/// How a profile's secret becomes the key.
pub(super) fn key_rule(profile: Profile) -> &'static str {
    match profile.key_derivation() {
        KeyDerivation::Literal => {
            "the key is the whole secret as it was shown, whsec_ included, as text: neither strip nor decode it"
        }
        KeyDerivation::Base64 => {
            "the key is what follows whsec_, decoded from base64: give the library the secret as it was shown, whsec_ included"
        }
    }
}

/// What a profile signs.
pub(super) fn content_rule(profile: Profile) -> &'static str {
    match profile {
        Profile::BuildWorkPro => "sign <t>.<raw body>, t as it stands in the header",
        Profile::Buildr => "sign <svix-id>.<svix-timestamp>.<raw body>, each as it came",
        Profile::Buildmarkets => "sign <webhook-id>.<webhook-timestamp>.<raw body>, each as it came",
    }
}

/// A key, and by which mistake; `None` is the right one.
type Key = (Option<KeyForm>, Hmac<Sha256>);

/// Compare, and say what does not fit.
pub(super) fn compare(claim: &Claim<'_>, found: &Found<'_>, signed: &Signed<'_>, faults: &mut Vec<Fault>) {
    let keys = keys(claim.secret, found.profile.key_derivation());
    let right_content = content(found.profile);
    let digest = |key: &Key, form: ContentForm, body: &[u8]| -> Vec<u8> {
        let mut mac = key.1.clone();
        push(&mut mac, form, found.profile, signed, body);
        mac.finalize().into_bytes().to_vec()
    };
    let fits = |key: &Key, form: ContentForm, body: &[u8]| {
        let digest = digest(key, form, body);
        signed.digests.contains(&digest)
    };

    if let Some(cut) = signed.cut {
        let right = keys.iter().find(|(form, _)| form.is_none());
        let fitting = right.is_some_and(|key| {
            let digest = digest(key, right_content, claim.body);
            hex(&digest).starts_with(&cut.to_ascii_lowercase()) || STANDARD.encode(digest).starts_with(cut)
        });
        for fault in &mut *faults {
            if let Fault::Truncated { rest_fits, .. } = fault {
                *rest_fits = fitting;
            }
        }
        if signed.digests.is_empty() {
            return;
        }
    }

    // The fewest mistakes first.
    let as_given = |key: &&Key| fits(key, right_content, claim.body);
    if let Some((form, _)) = keys.iter().find(as_given) {
        faults.extend(form.map(Fault::Secret));
        return;
    }
    let restored = body::restorations(claim.body, found.profile);
    for key in &keys {
        let fitting = restored.iter().find(|(_, body)| fits(key, right_content, body));
        if let Some((changes, _)) = fitting {
            faults.extend(key.0.map(Fault::Secret));
            faults.push(Fault::Body(changes.clone()));
            return;
        }
    }
    for form in [
        ContentForm::TimestampBody,
        ContentForm::IdTimestampBody,
        ContentForm::Body,
        ContentForm::TimestampBodyWithoutDot,
        ContentForm::Seconds,
    ] {
        if let Some((key, _)) = keys.iter().find(|key| fits(key, form, claim.body)) {
            faults.extend(key.map(Fault::Secret));
            faults.push(Fault::Content(form));
            return;
        }
    }
    match keys.iter().any(|(form, _)| form.is_none()) {
        true => faults.push(Fault::Mismatch),
        false => faults.push(Fault::SecretUndecodable(found.profile)),
    }
}

fn content(profile: Profile) -> ContentForm {
    match profile {
        Profile::BuildWorkPro => ContentForm::TimestampBody,
        Profile::Buildr | Profile::Buildmarkets => ContentForm::IdTimestampBody,
    }
}

fn push(mac: &mut Hmac<Sha256>, form: ContentForm, profile: Profile, signed: &Signed<'_>, body: &[u8]) {
    let id = signed.id.unwrap_or_default();
    let head = match form {
        ContentForm::TimestampBody => format!("{}.", signed.timestamp),
        ContentForm::IdTimestampBody => format!("{id}.{}.", signed.timestamp),
        ContentForm::Body => String::new(),
        ContentForm::TimestampBodyWithoutDot => signed.timestamp.to_owned(),
        ContentForm::Seconds => {
            let seconds = signed.seconds / 1_000;
            match content(profile) {
                ContentForm::TimestampBody => format!("{seconds}."),
                _ => format!("{id}.{seconds}."),
            }
        }
    };
    mac.update(head.as_bytes());
    mac.update(body);
}

/// Every key that the secret may have been taken for, the right one first.
fn keys(secret: &str, derivation: KeyDerivation) -> Vec<Key> {
    let bare = |text: &str| text.strip_prefix(PREFIX).unwrap_or(text).to_owned();
    let base64 = |text: &str| {
        let secret = SigningSecret::from_text(text.to_owned());
        KeyDerivation::Base64
            .key(&secret)
            .ok()
            .filter(|key| !key.is_empty())
    };
    let right = |text: &str| match derivation {
        KeyDerivation::Literal => Some(text.as_bytes().to_vec()),
        KeyDerivation::Base64 => base64(text),
    };
    let trimmed = secret.trim().trim_matches(['"', '\'', '`']).trim();
    let mut candidates = vec![(None, right(secret))];
    if trimmed != secret {
        candidates.push((Some(KeyForm::Trimmed), right(trimmed)));
    }
    candidates.extend([
        (Some(KeyForm::Whole), Some(trimmed.as_bytes().to_vec())),
        (
            Some(KeyForm::WithPrefix),
            Some(format!("{PREFIX}{trimmed}").into_bytes()),
        ),
        (Some(KeyForm::WithoutPrefix), Some(bare(trimmed).into_bytes())),
        (Some(KeyForm::Base64), base64(trimmed)),
        // As JavaScript's Buffer reads it, to which `_` is a `/`.
        (
            Some(KeyForm::Base64OfWhole),
            base64(&format!(
                "{PREFIX}{}",
                trimmed.replace('_', "/").replace('-', "+")
            )),
        ),
        (Some(KeyForm::Hex), header::unhex(&bare(trimmed))),
    ]);
    let mut keys: Vec<(Option<KeyForm>, Vec<u8>)> = vec![];
    for (form, key) in candidates {
        if let Some(key) = key
            && !keys.iter().any(|(_, known)| *known == key)
        {
            keys.push((form, key));
        }
    }
    keys.into_iter()
        .map(|(form, key)| {
            let hmac = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
            (form, hmac)
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
