//! What is sent to a receiver, and what of its answer is read.

use std::time::Duration;

use plumbline_domain::outcome::parse_retry_after;
use plumbline_domain::retry::{DELAY_MAX, RETRY_AFTER_MAX};
use plumbline_domain::signing::Signer;
use plumbline_domain::{
    DeliveryId, EndpointId, Event, EventId, JsonText, KeyDerivation, Next, Profile, ResourceUrls,
    RetrySchedule, SecretVersion, SigningSecret, TenantId, Timestamp, Verdict,
};
use plumbline_testkit::signature::verify;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{halves, split, text};

/// 25 April 2026, in seconds since 1970.
const NOW: u32 = 1_777_138_921;

fn now() -> Timestamp {
    Timestamp::from_second(NOW.into()).expect("in range")
}

fn signer(secret: SigningSecret, derivation: KeyDerivation) -> Option<Signer> {
    Signer::new(&[SecretVersion {
        secret,
        derivation,
        activates_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
    }])
    .ok()
}

/// `Retry-After`, in seconds or as an HTTP date: whatever a receiver asks for, it gets a day at most.
pub fn retry_after(data: &[u8]) {
    let Some(asked) = parse_retry_after(text(data), now()) else {
        return;
    };
    let verdict = Verdict::Retryable { asked: Some(asked) };
    for number in [1, 6, 7] {
        if let Next::Retry { after } = RetrySchedule::default().after(number, verdict, 0.5) {
            let planned = RetrySchedule::default().after(number, Verdict::Retryable { asked: None }, 0.5);
            let Next::Retry { after: planned } = planned else {
                panic!("asking changes when, not whether");
            };
            assert!(after >= planned, "a receiver may slow us down, never speed us up");
            assert!(after <= RETRY_AFTER_MAX.max(planned) && after <= DELAY_MAX + Duration::from_secs(1));
        }
    }
}

/// BuildWorkPro's signature: any header can be verified, ours is believed, and ours with one byte changed is not.
pub fn signature(data: &[u8]) {
    let ([at, with], rest) = split::<2>(data);
    let (header, body) = halves(rest);
    let _ = verify("whsec_test", text(header), body, NOW.into());

    let signer = signer(
        SigningSecret::from_text("whsec_test".to_owned()),
        KeyDerivation::Literal,
    );
    let signed = signer
        .expect("a text is a key")
        .buildworkpro(now(), body)
        .expect("the secret is active");
    assert_eq!(verify("whsec_test", &signed, body, NOW.into()), Ok(NOW.into()));
    let mut forged = signed.clone().into_bytes();
    let place = usize::from(at) % forged.len();
    forged[place] = with;
    let is_forged = forged != signed.as_bytes();
    let believed = verify("whsec_test", &String::from_utf8_lossy(&forged), body, NOW.into()).is_ok();
    assert_eq!(believed, !is_forged, "{signed} with {with} at {place}");
    let longer = [body, &[with]].concat();
    assert!(verify("whsec_test", &signed, &longer, NOW.into()).is_err());
}

/// A secret that a customer chose: what is accepted can sign, and is shown nowhere.
pub fn secret(data: &[u8]) {
    let text = text(data);
    let Ok(secret) = SigningSecret::supplied(text.to_owned()) else {
        return;
    };
    assert_eq!(secret.expose(), text);
    let told = format!("{secret:?} {:?}", secret.weaknesses());
    assert!(
        text.len() < 12 || !told.contains(text),
        "a weakness quotes the secret"
    );
    let signer = signer(secret, KeyDerivation::Base64).expect("what was accepted can be used");
    assert!(signer.standard("evt_1", now(), b"{}").is_some());
}

/// What an event becomes for each product: JSON again, with the customer's bytes in it, and headers that can be sent.
pub fn render(data: &[u8]) {
    let (first, second) = halves(data);
    let is_json = |text: &str| {
        serde_json::from_str::<&RawValue>(text)
            .map(RawValue::get)
            .map(str::to_owned)
    };
    let Ok(payload) = is_json(text(first)) else {
        return;
    };
    let payload = JsonText::from_valid(payload);
    if !payload.is_object() {
        return;
    }
    let previous = is_json(text(second)).ok().map(JsonText::from_valid);
    let event = Event {
        id: EventId::new(now(), [7; 10]),
        tenant: TenantId(17),
        event_type: "bid.accepted".parse().expect("a name"),
        data: payload.clone(),
        previous_attributes: previous,
        occurred_at: now(),
        endpoints_version: 1,
    };
    let urls = ResourceUrls::below(Some("https://api.example.com"));
    let secret = SigningSecret::from_text("whsec_c2VjcmV0".to_owned());
    for profile in Profile::ALL {
        let body = profile.body(&event, &urls);
        let read = str::from_utf8(&body).expect("text");
        assert!(
            serde_json::from_str::<&RawValue>(read).is_ok_and(|read| read.get().starts_with('{')),
            "{profile:?}: {read}"
        );
        if profile == Profile::BuildWorkPro {
            assert!(read.contains(payload.as_str()), "the bytes are the customer's");
        }
        let signer = signer(secret.clone(), profile.key_derivation()).expect("a key");
        let delivery = DeliveryId::derive(event.id, EndpointId(1));
        for (name, value) in profile.headers(&event, delivery, &signer, &body, now()) {
            assert!(
                value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                "{name}: {value}"
            );
        }
    }
}

/// A tenant's template for the URLs of its resources, and the id that a publisher gives one.
pub fn resource(data: &[u8]) {
    let (template, id) = halves(data);
    let Ok(urls) = ResourceUrls::parse(text(template)) else {
        return;
    };
    let id = text(id);
    if serde_json::from_str::<&RawValue>(id).is_err() {
        return;
    }
    let event_type = "bid.accepted".parse().expect("a name");
    let filled = urls.of(&event_type, Some(id));
    assert!(!filled.contains(['{', '}', ' ', '\n', '\\']), "{filled}");
    // Where the template names the host, an id does not change it.
    let origin = |text: &str| {
        url::Url::parse(text)
            .ok()
            .map(|url| (url.origin(), url.username().to_owned()))
    };
    let host = urls.as_str().split('/').nth(2).unwrap_or_default();
    if !host.contains('{') {
        assert_eq!(
            origin(&filled),
            origin(&urls.of(&event_type, Some("1"))),
            "{filled}"
        );
    }
    let _ = serde_json::from_str::<Value>(id);
}
