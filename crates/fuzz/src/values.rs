//! Small values: names, ids, times, amounts.

use plumbline_api::probe;
use plumbline_domain::construction::{Money, Quantity};
use plumbline_domain::{DeliveryId, EndpointId, EventId, EventType, Profile, Scopes, Timestamp};

use crate::text;

/// Ids and the names of event types: each is read from what it is written as, and from nothing else.
pub fn name(data: &[u8]) {
    let text = text(data);
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string(), text);
        let _ = id.timestamp();
        let derived = DeliveryId::derive(id, EndpointId(1));
        assert_eq!(derived.to_string().parse(), Ok(derived));
        assert_eq!(derived.timestamp(), id.timestamp(), "in its event's partition");
    }
    if let Ok(id) = text.parse::<DeliveryId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<EndpointId>() {
        assert!(id.0 > 0);
        assert_eq!(id.to_string(), text, "an id is written in one way");
    }
    if let Ok(event_type) = text.parse::<EventType>() {
        assert_eq!(event_type.as_str(), text);
    }
    for profile in Profile::ALL {
        if let Some(canonical) = profile.canonical(text) {
            assert_eq!(profile.spelling(&canonical), text, "{profile:?}");
        }
    }
    let _ = Scopes::parse(text.split(','));
}

/// RFC 3339 times: what is accepted is the same time to every reader, and is written back as such.
pub fn time(data: &[u8]) {
    let text = text(data);
    if let Some(at) = probe::time(text) {
        assert_eq!(text.parse::<Timestamp>().ok(), Some(at));
        assert_eq!(probe::time(&at.to_string()), Some(at), "{at}");
    }
}

/// Money and quantities: exact, and written back as the same.
pub fn decimal(data: &[u8]) {
    let text = text(data);
    if let Ok(money) = Money::parse(text) {
        assert_eq!(Money::parse(&money.to_string()), Ok(money), "{text}");
        let about: f64 = text.parse().expect("a plain number");
        assert!(
            (about * 100.0 - money.cents() as f64).abs() < 0.5,
            "{text} is not {money}"
        );
        if let Ok(Some(quantity)) = Quantity::parse("0.001") {
            let _ = quantity.at(money);
        }
    }
    if let Ok(Some(quantity)) = Quantity::parse(text) {
        assert_eq!(
            Quantity::parse(&quantity.to_string()),
            Ok(Some(quantity)),
            "{text}"
        );
        let _ = Money::from_cents(Money::CENTS_MAX).and_then(|price| quantity.at(price));
    }
}
