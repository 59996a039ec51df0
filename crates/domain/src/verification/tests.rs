//! What goes wrong with signatures, and what is said of it.

use super::*;
use crate::signing::Signer;
use crate::{DeliveryId, EndpointId, JsonText, ResourceUrls, SecretVersion, SigningSecret};

const SIGNED: i64 = 1_777_138_921;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("in range")
}

fn signer(secret: &str, derivation: crate::KeyDerivation) -> Signer {
    Signer::new(&[SecretVersion {
        secret: SigningSecret::from_text(secret.to_owned()),
        derivation,
        activates_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
    }])
    .expect("decodable")
}

/// A request as the dispatcher makes it.
struct Sent {
    secret: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn sent_with(profile: Profile, data: &str) -> Sent {
    let secret = profile.generate_secret([7; 32]).expose().to_owned();
    let event = crate::Event {
        data: JsonText::from_valid(data),
        ..crate::profile::tests::event("bid.accepted", data, None)
    };
    let body = profile.body(&event, &ResourceUrls::below(Some("https://a.example")));
    let signer = signer(&secret, profile.key_derivation());
    let delivery = DeliveryId::derive(event.id, EndpointId(1));
    let headers = profile.headers(&event, delivery, &signer, &body, at(SIGNED));
    Sent {
        secret,
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), value))
            .collect(),
        body: body.to_vec(),
    }
}

fn sent(profile: Profile) -> Sent {
    sent_with(
        profile,
        r#"{"id":22,"name":"Zoë / \"A\"","items":[],"total":{"b":[1,2]}}"#,
    )
}

impl Sent {
    fn signature(&mut self) -> &mut String {
        let found = self
            .headers
            .iter_mut()
            .find(|(name, _)| name.ends_with("signature"));
        &mut found.expect("it is signed").1
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    fn report(&self) -> Report {
        self.report_at(SIGNED, None)
    }

    fn report_at(&self, now: i64, profile: Option<Profile>) -> Report {
        examine(&Claim {
            secret: &self.secret,
            headers: &self.headers,
            body: &self.body,
            profile,
            now: at(now),
            tolerance: TOLERANCE,
        })
    }

    #[track_caller]
    fn check(&self, faults: &[Fault]) {
        assert_eq!(self.report().faults, faults, "{}", self.text());
    }
}

#[test]
fn what_the_dispatcher_signs_is_right() {
    for profile in Profile::ALL {
        let report = sent(profile).report();
        assert!(report.is_right(), "{report:?}");
        assert_eq!(
            (report.profile, report.signed_at),
            (Some(profile), Some(at(SIGNED)))
        );
    }
    // Of several signatures, as after a rotation, one that fits is enough.
    let mut rotated = sent(Profile::Buildmarkets);
    let old = format!("v1,{} v2,x v1,cut {}", "A".repeat(43) + "=", rotated.signature());
    *rotated.signature() = old;
    rotated.check(&[]);
}

#[test]
fn a_secret_in_another_form_is_named() {
    for (profile, given, form) in [
        (Profile::BuildWorkPro, "bare", KeyForm::WithPrefix),
        (Profile::BuildWorkPro, "quoted", KeyForm::Trimmed),
        (Profile::Buildmarkets, "quoted", KeyForm::Trimmed),
    ] {
        let mut sent = sent(profile);
        sent.secret = match given {
            "bare" => sent.secret.trim_start_matches("whsec_").to_owned(),
            _ => format!("\"{}\"\n", sent.secret),
        };
        sent.check(&[Fault::Secret(form)]);
    }
    // A signer of the developer's own that takes another key.
    for (profile, key, form) in [
        (Profile::BuildWorkPro, "base64", KeyForm::Base64),
        (Profile::BuildWorkPro, "hex", KeyForm::Hex),
        (Profile::BuildWorkPro, "bare", KeyForm::WithoutPrefix),
        (Profile::Buildr, "whole", KeyForm::Whole),
        (Profile::Buildmarkets, "bare", KeyForm::WithoutPrefix),
        (Profile::Buildmarkets, "base64 of all", KeyForm::Base64OfWhole),
    ] {
        let mut sent = sent(profile);
        let bare = sent.secret.trim_start_matches("whsec_").to_owned();
        let (text, derivation) = match key {
            "base64" => (sent.secret.clone(), crate::KeyDerivation::Base64),
            "hex" => {
                let bytes = header::unhex(&bare).expect("hex");
                let text = String::from_utf8(bytes).expect("sevens");
                (text, crate::KeyDerivation::Literal)
            }
            "bare" => (bare, crate::KeyDerivation::Literal),
            "whole" => (sent.secret.clone(), crate::KeyDerivation::Literal),
            _ => (format!("whsec/{bare}"), crate::KeyDerivation::Base64),
        };
        let signer = signer(&text, derivation);
        let signature = match profile {
            Profile::BuildWorkPro => signer.buildworkpro(at(SIGNED), &sent.body),
            _ => signer.standard(&sent.headers[0].1, at(SIGNED), &sent.body),
        };
        *sent.signature() = signature.expect("it has a key");
        sent.check(&[Fault::Secret(form)]);
    }
    let mut other = sent(Profile::Buildmarkets);
    other.secret = "your-webhook-secret!".to_owned();
    other.check(&[Fault::SecretUndecodable(Profile::Buildmarkets)]);
    other.secret = Profile::Buildmarkets.generate_secret([8; 32]).expose().to_owned();
    other.check(&[Fault::Mismatch]);
}

/// What it is called, what does it, and what undoes it.
type Rewriting = (&'static str, fn(&str) -> String, &'static [Restoration]);

#[test]
fn a_body_that_was_written_again_is_recognised() {
    use Restoration as R;
    // In the receiver: what json.dumps, a formatter, an editor or a proxy make of what was signed.
    let changes: [Rewriting; 8] = [
        (
            "python's own separators",
            |text| {
                text.replace(',', ", ")
                    .replace(':', ": ")
                    .replace("17: 42: 01", "17:42:01")
            },
            &[R::Minified],
        ),
        (
            "json.dumps",
            |text| {
                text.replace(',', ", ")
                    .replace(':', ": ")
                    .replace("17: 42: 01", "17:42:01")
                    .replace('ë', "\\u00eb")
            },
            &[R::Unescaped, R::Minified],
        ),
        (
            "php's json_encode",
            |text| text.replace('/', "\\/").replace('ë', "\\u00eb"),
            &[R::Unescaped],
        ),
        (
            "pretty",
            |text| {
                text.replace('{', "{\n  ")
                    .replace('}', "\n}")
                    .replace(',', ",\r\n  ")
            },
            &[R::Minified],
        ),
        (
            "a line break more",
            |text| format!("{text}\r\n"),
            &[R::WithoutFinalNewline],
        ),
        (
            "an editor's mark",
            |text| format!("\u{feff}{text}"),
            &[R::WithoutByteOrderMark],
        ),
        (
            "sorted members",
            |text| {
                let (id, rest) = text[1..].split_once(r#","type""#).expect("an envelope");
                format!(r#"{{"type"{},{id}}}"#, rest.strip_suffix('}').expect("an object"))
            },
            &[R::InOrder],
        ),
        ("nothing", str::to_owned, &[]),
    ];
    for (name, change, undone) in changes {
        let mut sent = sent(Profile::BuildWorkPro);
        sent.body = change(sent.text()).into_bytes();
        let faults = match undone {
            [] => vec![],
            undone => vec![Fault::Body(undone.to_vec())],
        };
        assert_eq!(sent.report().faults, faults, "{name}");
    }
    // What a publisher wrote with blanks goes out with them, and the receiver loses them.
    for (data, undone) in [
        (r#"{"id": 1, "a": [1, 2], "b": {}}"#, R::DataWithPythonSpacing),
        (
            "{\n  \"id\": 1,\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}",
            R::DataIndented(2),
        ),
    ] {
        let mut sent = sent_with(Profile::Buildmarkets, data);
        sent.body = sent.text().replace([' ', '\n'], "").into_bytes();
        sent.check(&[Fault::Body(vec![undone])]);
    }
    // What was signed may itself have an end or breaks of another kind, or be no JSON at all.
    for (signed, given, undone) in [
        ("{\"a\":1}\n", "{\"a\":1}", R::WithFinalNewline),
        ("a\r\nb", "a\nb", R::CarriageReturns),
        ("a\nb", "a\r\nb", R::LineFeeds),
        ("{\"a\":\"ë\"}", "{ \"a\":\"ë\"}", R::Minified),
        ("{\"a\":\"\\u00eb\"}", "{\"a\":\"ë\"}", R::Escaped),
        ("{\n\t\"a\": []\n}", "{\"a\":[]}", R::Indented(0)),
    ] {
        let mut sent = sent(Profile::BuildWorkPro);
        let signer = signer(&sent.secret, crate::KeyDerivation::Literal);
        *sent.signature() = signer
            .buildworkpro(at(SIGNED), signed.as_bytes())
            .expect("it has a key");
        sent.body = given.as_bytes().to_vec();
        sent.check(&[Fault::Body(vec![undone])]);
    }
    // Both at once.
    let mut both = sent(Profile::BuildWorkPro);
    both.secret = both.secret.trim_start_matches("whsec_").to_owned();
    both.body.push(b'\n');
    both.check(&[
        Fault::Secret(KeyForm::WithPrefix),
        Fault::Body(vec![R::WithoutFinalNewline]),
    ]);
}

#[test]
fn clocks_are_compared_to_the_second() {
    let sent = sent(Profile::BuildWorkPro);
    let clock = |seconds, is_past| Fault::Clock {
        seconds,
        is_past,
        tolerance: 300,
    };
    for (now, faults) in [
        (SIGNED + 300, vec![]),
        (SIGNED - 300, vec![]),
        (SIGNED + 301, vec![clock(301, true)]),
        (SIGNED - 301, vec![clock(301, false)]),
    ] {
        assert_eq!(sent.report_at(now, None).faults, faults, "{now}");
    }
    // A signer of the developer's own that counts milliseconds, in the header only or also in what it signs.
    let mut milliseconds = self::sent(Profile::BuildWorkPro);
    let seconds = format!("t={SIGNED},");
    *milliseconds.signature() = milliseconds
        .signature()
        .replace(&seconds, &format!("t={SIGNED}000,"));
    milliseconds.check(&[Fault::Milliseconds, Fault::Content(ContentForm::Seconds)]);
}

#[test]
fn headers_that_cannot_be_right_say_what_is_wrong_with_them() {
    let name = header::BUILDWORKPRO;
    let malformed = |problem| vec![Fault::Malformed { name, problem }];
    let hex = "ab".repeat(32);
    for (value, faults) in [
        ("", malformed("it has no t=<seconds>")),
        ("t=1777138921", malformed("it has no signature of the version v1")),
        ("v1=ab", malformed("it has no t=<seconds>")),
        ("t=now,v1=ab", malformed("its timestamp is not a number")),
        (
            &format!("t=1777138921,v1={hex}ab"),
            malformed("what follows v1= is not 64 hex digits"),
        ),
        (
            "v1,q1b+",
            vec![Fault::OtherForm {
                name,
                form: Profile::Buildmarkets,
            }],
        ),
    ] {
        let mut sent = sent(Profile::BuildWorkPro);
        value.clone_into(sent.signature());
        sent.check(&faults);
    }
    for (profile, want) in [(Profile::BuildWorkPro, 64), (Profile::Buildr, 44)] {
        for fits in [true, false] {
            let mut sent = sent(profile);
            sent.signature().truncate(40);
            let have = 40
                - if want == 64 {
                    "t=1777138921,v1=".len()
                } else {
                    "v1,".len()
                };
            if !fits {
                sent.body.push(b' ');
            }
            let report = sent.report();
            assert!(
                matches!(report.faults[..], [Fault::Truncated { have: h, want: w, rest_fits, .. }]
                    if (h, w, rest_fits) == (have, want, fits)),
                "{report:?}"
            );
        }
    }
    let mut encoded = sent(Profile::BuildWorkPro);
    let digest = header::unhex(&encoded.signature()["t=1777138921,v1=".len()..]).expect("hex");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
    *encoded.signature() = format!("t={SIGNED},v1={base64}");
    encoded.check(&[Fault::Encoding {
        name,
        is: "base64",
        should: "hex",
    }]);

    let mut lacking = sent(Profile::Buildr);
    lacking.headers.remove(1);
    lacking.check(&[Fault::HeaderMissing("svix-timestamp")]);
    lacking.headers.clear();
    lacking.check(&[Fault::NoSignature]);
    let other = sent(Profile::Buildr).report_at(SIGNED, Some(Profile::BuildWorkPro));
    assert_eq!(
        other.faults,
        [Fault::OtherProfile {
            asked: Profile::BuildWorkPro,
            found: Profile::Buildr
        }]
    );
}

#[test]
fn other_signed_content_is_recognised() {
    let mut sent = sent(Profile::BuildWorkPro);
    let signer = signer(&sent.secret, crate::KeyDerivation::Literal);
    // Signed without the timestamp: a digest over nothing but the body.
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(sent.secret.as_bytes())
        .expect("HMAC takes keys of any length");
    hmac::Mac::update(&mut mac, &sent.body);
    let digest = hmac::Mac::finalize(mac).into_bytes();
    let hex = digest
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    *sent.signature() = format!("t={SIGNED},v1={hex}");
    sent.check(&[Fault::Content(ContentForm::Body)]);
    // And a body of other content is only that.
    *sent.signature() = signer.buildworkpro(at(SIGNED), b"{}").expect("it has a key");
    sent.check(&[Fault::Mismatch]);
}

#[test]
fn every_fault_says_what_to_do_and_shows_no_secret() {
    let mut sent = sent(Profile::BuildWorkPro);
    sent.secret = sent.secret.trim_start_matches("whsec_").to_owned();
    for fault in sent.report().faults {
        let words = format!("{fault} {} {fault:?}", fault.remedy(Profile::BuildWorkPro));
        assert!(
            words.contains("whsec_ included") && !words.contains(&sent.secret),
            "{words}"
        );
    }
    let claim = format!(
        "{:?}",
        Claim {
            secret: &sent.secret,
            headers: &sent.headers,
            body: &sent.body,
            profile: None,
            now: at(SIGNED),
            tolerance: TOLERANCE,
        }
    );
    assert!(!claim.contains(&sent.secret[..8]), "{claim}");
}

proptest::proptest! {
    #[test]
    fn no_input_makes_it_fail(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), json in "[{}\\[\\]\":,\\\\u0a /]{0,40}", value in ".{0,60}", secret in ".{0,20}") {
        let mut sent = sent(Profile::Buildmarkets);
        sent.secret = secret;
        for body in [body, format!("{{{json}").into_bytes()] {
            sent.body = body;
            let _ = sent.report();
            let mut odd = self::sent(Profile::BuildWorkPro);
            value.clone_into(odd.signature());
            let _ = odd.report();
        }
    }
}
