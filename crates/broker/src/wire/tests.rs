use proptest::prelude::*;

use super::*;

fn event(data: &str, previous: Option<&str>) -> EventMessage {
    EventMessage {
        event: Event {
            id: EventId::new(Timestamp::UNIX_EPOCH, [7; 10]),
            tenant: TenantId(42),
            event_type: "bid.accepted".parse().expect("a name"),
            data: JsonText::from_valid(data),
            previous_attributes: previous.map(JsonText::from_valid),
            occurred_at: "2024-02-29T12:34:56.789012345Z".parse().expect("a time"),
            endpoints_version: i64::MAX,
        },
        payload: Payload::Carried,
        lane: Lane::Bulk,
        chunk: None,
        republished: false,
        trace: None,
    }
}

#[test]
fn every_payload_passes_through_byte_for_byte() {
    for data in [
        "{}",
        "null",
        "1e400",
        "-0.00",
        "123456789012345678901234567890.10",
        r#"{"a":1,"a":2}"#,
        r#"{ "b" : [ 1 ,2 ], "a":"x" }"#,
        r#""\u00e9\u0000\ud83d\ude00\/é""#,
        r#""\ud800""#,
        "{\"line\":\r\n\t1}",
    ] {
        for previous in [None, Some(data)] {
            let message = event(data, previous);
            let read = EventMessage::decode(&message.encode()).expect(data);
            assert_eq!(read, message);
            assert_eq!(read.event.data.as_str(), data);
            assert_eq!(
                read.event.previous_attributes.as_ref().map(JsonText::as_str),
                previous
            );
        }
    }
}

#[test]
fn what_is_on_the_wire_is_a_contract_with_the_release_before() {
    let mut message = event(r#"{"n":1}"#, Some("{}"));
    message.chunk = Some(Chunk {
        number: 3,
        after: 10,
        upto: 20,
    });
    message.republished = true;
    let expected = concat!(
        r#"{"v":1,"id":"evt_00000000000077078707070707070707","tenant":42,"type":"bid.accepted","#,
        r#""occurred_at":"2024-02-29T12:34:56.789012345Z","endpoints_version":9223372036854775807,"lane":"bulk","#,
        r#""chunk":{"number":3,"after":10,"upto":20},"republished":true,"data":{"n":1},"previous_attributes":{}}"#,
    );
    assert_eq!(String::from_utf8(message.encode()).expect("text"), expected);
    assert_eq!(
        EventMessage::decode(expected.as_bytes()).expect("an event"),
        message
    );

    message.payload = Payload::Stored { bytes: 262_144 };
    let expected = concat!(
        r#"{"v":3,"id":"evt_00000000000077078707070707070707","tenant":42,"type":"bid.accepted","#,
        r#""occurred_at":"2024-02-29T12:34:56.789012345Z","endpoints_version":9223372036854775807,"lane":"bulk","#,
        r#""chunk":{"number":3,"after":10,"upto":20},"republished":true,"stored_bytes":262144}"#,
    );
    assert_eq!(String::from_utf8(message.encode()).expect("text"), expected);
    message.event.data = JsonText::from_valid("null");
    message.event.previous_attributes = None;
    assert_eq!(
        EventMessage::decode(expected.as_bytes()).expect("an event"),
        message
    );

    let retry = RetryMessage {
        tenant: TenantId(42),
        delivery: DeliveryId::new(Timestamp::UNIX_EPOCH, [7; 10]),
        attempt: 2,
        not_before: Timestamp::UNIX_EPOCH,
        republished: false,
        held: None,
        trace: None,
    };
    let expected = concat!(
        r#"{"v":1,"tenant":42,"delivery":"dlv_00000000000077078707070707070707","attempt":2,"#,
        r#""not_before":"1970-01-01T00:00:00Z"}"#,
    );
    assert_eq!(String::from_utf8(retry.encode()).expect("text"), expected);
    assert_eq!(RetryMessage::decode(expected.as_bytes()).expect("a retry"), retry);

    for (held, added) in [
        (Held::Slot(Slot(1_700_000_000)), r#","slot":1700000000}"#),
        (Held::Place(Place(3_000_000)), r#","place":3000000}"#),
        (Held::Place(Place::FRONT), r#","place":-9223372036854775808}"#),
    ] {
        let waiting = RetryMessage {
            held: Some(held),
            ..retry
        };
        let expected = format!("{}{added}", expected.trim_end_matches('}'));
        assert_eq!(String::from_utf8(waiting.encode()).expect("text"), expected);
        assert_eq!(
            RetryMessage::decode(expected.as_bytes()).expect("a retry"),
            waiting
        );
    }
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// In the body, because each event of a bundle has its own; and nothing where nothing is recorded, as the contract above
/// has it.
#[test]
fn a_message_says_which_span_published_it() {
    let trace = TraceContext::carried(TRACEPARENT);
    let traced = EventMessage {
        trace,
        ..event("1", None)
    };
    let field = format!(r#","traceparent":"{TRACEPARENT}""#);
    let text = String::from_utf8(traced.encode()).expect("text");
    assert!(
        text.contains(&format!(r#""lane":"bulk"{field},"data":1"#)),
        "{text}"
    );
    let retry = RetryMessage {
        trace,
        ..RetryMessage::due(
            TenantId(42),
            DeliveryId::new(Timestamp::UNIX_EPOCH, [7; 10]),
            2,
            Timestamp::UNIX_EPOCH,
        )
    };
    let text = String::from_utf8(retry.encode()).expect("text");
    assert!(text.ends_with(&format!("{field}}}")), "{text}");
    assert_eq!(RetryMessage::decode(text.as_bytes()).expect("a retry"), retry);

    let messages = [event("1", None), traced, event("2", None)];
    let bundle = Bundle::of(&messages).remove(0);
    assert_eq!((bundle.count, bundle.trace), (3, trace));
    assert_eq!(
        EventMessage::decode_all(&bundle.encode()).expect("a bundle"),
        messages
    );

    // What cannot be read is no trace, and no reason not to deliver.
    for other in ["rubbish", "", &TRACEPARENT.replace("-01", "-00")] {
        let text = text.replace(TRACEPARENT, other);
        assert_eq!(
            RetryMessage::decode(text.as_bytes()).expect("a retry").trace,
            None
        );
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let retry = r#"{"v":1,"tenant":1,"delivery":"dlv_00000000000077078707070707070707","attempt":1,
        "not_before":"1970-01-01T00:00:00Z","added":{"later":[1]}}"#;
    assert!(RetryMessage::decode(retry.as_bytes()).is_ok());
}

#[test]
fn what_cannot_be_read_says_why() {
    let event = |field: &str, value: &str| {
        let text = String::from_utf8(event("1", None).encode()).expect("text");
        let start = text.find(&format!("\"{field}\":")).expect("a field") + field.len() + 3;
        let end = start + text[start..].find([',', '}']).expect("an end");
        format!("{}{value}{}", &text[..start], &text[end..])
    };
    for (body, reason) in [
        (
            String::new(),
            "not a message of this kind: Eof error at line 1 column 0",
        ),
        (
            "{".into(),
            "not a message of this kind: Eof error at line 1 column 1",
        ),
        (
            "{}".into(),
            "not a message of this kind: Data error at line 1 column 2",
        ),
        (r#"{"v":2}"#.into(), "unknown message version 2"),
        (r#"{"v":70000}"#.into(), "unknown message version 70000"),
        (event("v", "9"), "unknown message version 9"),
        (event("id", "\"evt_1\""), "the field `id` has no valid value"),
        (event("type", "\"Bid\""), "the field `type` has no valid value"),
        (event("lane", "\"slow\""), "the field `lane` has no valid value"),
        (
            event("occurred_at", "\"yesterday\""),
            "the field `occurred_at` has no valid value",
        ),
        (event("v", "3"), "the field `stored_bytes` has no valid value"),
        (
            event("tenant", "\"secret\""),
            "not a message of this kind: Data error at line 1 column 68",
        ),
    ] {
        let error = EventMessage::decode(body.as_bytes()).expect_err(&body);
        assert_eq!(error.reason(), reason, "{body}");
    }
    assert!(matches!(
        EventMessage::decode(b"\xff"),
        Err(Undecodable::NotText(_))
    ));
}

/// JSON text as customers write it: any spacing, any escapes, any digits, keys in any number.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        "\"([ -!#-\\[\\]-~é漢😀]|\\\\u[0-9a-fA-F]{4}|\\\\[\"\\\\/bfnrt]){0,12}\"",
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let space = "[ \t\r\n]{0,2}";
        let key = "\"[a-c]\"";
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space)
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(&format!(",{space}")))),
            prop::collection::vec((key, space, inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(key, space, value)| format!("{key}{space}:{value}{space}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_event_reads_back(data in json(), previous in prop::option::of(json()), random: [u8; 10],
                            ms in 0_i64..4_000_000_000_000, version: i64, fast: bool, republished: bool,
                            chunk in prop::option::of((0..i32::MAX, 0..i64::MAX, 0..i64::MAX))) {
        let mut message = event(&data, previous.as_deref());
        message.event.id = EventId::new(Timestamp::from_millisecond(ms).expect("in range"), random);
        message.event.endpoints_version = version;
        message.event.occurred_at = Timestamp::from_millisecond(ms).expect("in range");
        message.lane = if fast { Lane::Fast } else { Lane::Bulk };
        message.republished = republished;
        message.chunk = chunk.map(|(number, after, upto)| Chunk { number, after, upto });
        let read = EventMessage::decode(&message.encode());
        prop_assert_eq!(read.expect("what was written can be read"), message);
    }

    #[test]
    fn any_retry_reads_back(tenant in 1_i64.., random: [u8; 10], ms in 0_i64..4_000_000_000_000, attempt: u16, republished: bool) {
        let at = Timestamp::from_millisecond(ms).expect("in range");
        let message = RetryMessage {
            tenant: TenantId(tenant),
            delivery: DeliveryId::new(at, random),
            attempt,
            not_before: at,
            republished,
            held: None,
            trace: None,
        };
        prop_assert_eq!(RetryMessage::decode(&message.encode()).expect("what was written can be read"), message);
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = (EventMessage::decode(&body), RetryMessage::decode(&body));
    }
}

#[test]
fn events_that_travel_together_arrive_as_they_are_and_in_their_order() {
    let numbered = |n: u8, bytes: usize, lane| {
        let mut message = event(&format!(r#"{{"n":{n},"s":"{}"}}"#, "x".repeat(bytes)), Some("{}"));
        message.event.id = EventId::new(Timestamp::UNIX_EPOCH, [n; 10]);
        message.lane = lane;
        message
    };
    let counts = |messages: &[EventMessage]| -> Vec<usize> {
        Bundle::of(messages).iter().map(|bundle| bundle.count).collect()
    };
    let small: Vec<_> = (0..150).map(|n| numbered(n, 10, Lane::Fast)).collect();
    assert_eq!(counts(&small), [64, 64, 22]);
    assert_eq!(counts(&[]), [0; 0]);
    let larger: Vec<_> = (0..5).map(|n| numbered(n, 12_000, Lane::Fast)).collect();
    assert_eq!(counts(&larger), [2, 2, 1]);
    for bundle in Bundle::of(&larger) {
        assert!(bundle.encode().len() <= BUNDLE_BYTES_MAX);
    }
    let lanes = [Lane::Fast, Lane::Fast, Lane::Bulk, Lane::Fast].map(|lane| numbered(1, 10, lane));
    assert_eq!(counts(&lanes), [2, 1, 1]);

    let mut arrived = vec![];
    for bundle in Bundle::of(&small) {
        assert_eq!(bundle.first, small[arrived.len()].event.id);
        arrived.extend(EventMessage::decode_all(&bundle.encode()).expect("a bundle"));
    }
    assert_eq!(arrived, small);
    let [alone] = &Bundle::of(&small[..1])[..] else {
        panic!("one event is one message")
    };
    assert_eq!(alone.message_id(), small[0].message_id());
    assert_eq!(
        EventMessage::decode_all(&small[0].encode()).expect("one event"),
        small[..1],
        "alone, it travels as it always did"
    );
}

#[test]
fn a_large_payload_does_not_travel_and_a_larger_one_of_the_release_before_is_read() {
    let large = event(&format!("\"{}\"", "x".repeat(16 * 1024)), None);
    assert_eq!(
        EventMessage::decode(&large.encode()).expect("an event"),
        large,
        "as it was before there were references"
    );
    let bare = EventMessage::new(large.event, Lane::Fast);
    assert_eq!(bare.payload, Payload::Stored { bytes: 16 * 1024 + 2 });
    let messages = vec![bare; 64];
    let [bundle] =
        <[Bundle; 1]>::try_from(Bundle::of(&messages)).expect("without payloads, they fit into one message");
    assert_eq!(
        EventMessage::decode_all(&bundle.encode()).expect("a bundle"),
        messages
    );
}

#[test]
fn a_bundle_is_read_as_a_whole_or_not_at_all() {
    let one = String::from_utf8(event("{}", None).encode()).expect("text");
    let newer = one.replacen(r#""v":1"#, r#""v":7"#, 1);
    for (body, readable) in [
        (format!(r#"{{"v":2,"events":[{one}]}}"#), true),
        (format!(r#"{{"v":2,"events":[{one},{one}],"later":1}}"#), true),
        (r#"{"v":2,"events":[]}"#.to_owned(), false),
        (format!(r#"{{"v":2,"events":[{one},{{}}]}}"#), false),
        (format!(r#"{{"v":2,"events":[{one},{newer}]}}"#), false),
        (format!(r#"{{"v":2,"events":[{one}"#), false),
        (format!(r#"{{"v":3,"events":[{one}]}}"#), false),
    ] {
        assert_eq!(
            EventMessage::decode_all(body.as_bytes()).is_ok(),
            readable,
            "{body}"
        );
    }
}
