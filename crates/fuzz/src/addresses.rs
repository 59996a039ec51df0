//! Where an endpoint may lead, where a caller comes from, and what an endpoint's own headers may be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use plumbline_domain::address::{DEFAULT_PORTS, Target, URL_BYTES_MAX};
use plumbline_domain::endpoint::check_headers;
use plumbline_domain::network::{network_text, parse_network};
use plumbline_domain::{AddressPolicy, AllowedIps, CustomHeaders, EndpointUrl, TrustedProxies};

use crate::{halves, split, text};

/// What `make up` allows.
fn development() -> AddressPolicy {
    AddressPolicy {
        allow_networks: ["127.0.0.0/8", "::1/128"]
            .map(|network| network.parse().expect("a network"))
            .to_vec(),
        allow_http: true,
        ..AddressPolicy::default()
    }
}

/// An endpoint's URL: what is accepted is what it seems to be, and leads nowhere that is forbidden.
pub fn url(data: &[u8]) {
    let text = text(data);
    for (policy, is_strict) in [(AddressPolicy::default(), true), (development(), false)] {
        let Ok(url) = EndpointUrl::parse(text, &policy) else {
            continue;
        };
        let normal = url.as_str();
        assert_eq!(
            EndpointUrl::stored(normal),
            url,
            "it is read back as it was stored"
        );
        assert_eq!(EndpointUrl::parse(normal, &policy).as_ref(), Ok(&url), "{normal}");
        assert!(normal.len() <= URL_BYTES_MAX && normal.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!normal.contains('#') && normal.contains("://"));
        assert!(
            url.is_https() || !is_strict && normal.starts_with("http://"),
            "{normal}"
        );
        match url.target() {
            Target::Address(address) => {
                assert_eq!(policy.vet(address, url.port()), Ok(()), "{normal}");
                assert!(!is_strict || !is_special(address), "{normal}");
            }
            Target::Name(name) => {
                assert!(
                    name.contains('.') && !name.ends_with('.') && !name.contains(".."),
                    "{normal}"
                );
                assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()), "{normal}");
                // Whatever reads a last label as a number reads the name as an address: no resolver is to decide that.
                let last = name.rsplit('.').next().unwrap_or_default();
                assert!(
                    !last.bytes().all(|byte| byte.is_ascii_digit())
                        && !last
                            .strip_prefix("0x")
                            .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())),
                    "{normal}"
                );
                assert!(!is_strict || DEFAULT_PORTS.contains(&url.port()), "{normal}");
                // Nobody is between us and the host, however the text is read.
                assert!(
                    !normal.split('/').nth(2).unwrap_or_default().contains('@'),
                    "{normal}"
                );
            }
        }
        // A path may be a customer's token.
        assert!(!format!("{url:?}").contains('?'));
    }
}

/// An address: what may be dialled is public by the standard library's own lists, and hides no other address.
pub fn address(data: &[u8]) {
    let policy = AddressPolicy::default();
    let ([form], rest) = split::<1>(data);
    let (bits, rest) = split::<16>(rest);
    let ([high, low], _) = split::<2>(rest);
    let port = u16::from_be_bytes([high, low]);
    let v4 = Ipv4Addr::new(bits[0], bits[1], bits[2], bits[3]);
    let [a, b] = [
        u16::from_be_bytes([bits[0], bits[1]]),
        u16::from_be_bytes([bits[2], bits[3]]),
    ];
    // The ways in which an IPv6 address stands for an IPv4 one: none of them may be dialled, whatever it stands for.
    let hidden = match form {
        0 => Some(v4.to_ipv6_mapped()),
        1 => Some(v4.to_ipv6_compatible()),
        2 => Some(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b)),
        3 => Some(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b)),
        4 => Some(Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1)),
        5 => Some(Ipv6Addr::new(0x2001, 0, a, b, 0, 0, !a, !b)),
        6 => Some(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b)),
        _ => None,
    };
    if let Some(hidden) = hidden {
        assert!(policy.vet(hidden.into(), 443).is_err(), "{hidden} hides {v4}");
    }
    for address in [IpAddr::V4(v4), IpAddr::V6(Ipv6Addr::from(bits))] {
        let is_allowed = policy.vet(address, port).is_ok();
        assert_eq!(
            is_allowed,
            policy.vet(address, 443).is_ok() && DEFAULT_PORTS.contains(&port)
        );
        assert!(!is_allowed || !is_special(address), "{address} may be dialled");
    }
}

/// Whether the standard library, which has lists of its own, knows the address as one that is not for everybody.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.to_ipv4().is_some()
        }
    }
}

/// An API key's networks, and `X-Forwarded-For`, which anybody may send.
pub fn network(data: &[u8]) {
    let (network, forwarded) = halves(data);
    let (network, forwarded) = (text(network), text(forwarded));
    let peer: IpAddr = "192.0.2.1".parse().expect("an address");
    let nobody = TrustedProxies::default();
    assert_eq!(nobody.source(peer, forwarded.lines()), peer, "nobody is believed");

    let Ok(network) = parse_network(network) else {
        return;
    };
    assert_eq!(parse_network(&network_text(&network)), Ok(network), "{network}");
    assert!(
        AllowedIps(vec![network]).contains(&network.network()),
        "{network}"
    );
    let proxies = TrustedProxies(vec![network]);
    let source = proxies.source(peer, forwarded.lines());
    if !network.contains(&peer) {
        assert_eq!(source, peer, "only {network} is believed");
    }
    assert_eq!(source, source.to_canonical());
}

/// An endpoint's own headers, a line each: those that are accepted can be sent, one line each, and replace none of ours.
pub fn header(data: &[u8]) {
    let headers = text(data)
        .split('\n')
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = CustomHeaders::new(headers.collect());
    if check_headers(&headers).is_err() {
        return;
    }
    for (name, value) in headers.expose() {
        let read = http::HeaderName::from_bytes(name.as_bytes()).expect("a name that can be sent");
        assert!(
            http::HeaderValue::from_str(value).is_ok_and(|read| read == **value),
            "{value}"
        );
        let ours = [
            "host",
            "content-length",
            "transfer-encoding",
            "content-type",
            "user-agent",
            "connection",
        ];
        assert!(!ours.contains(&read.as_str()), "{name}");
        assert!(!read.as_str().starts_with("buildworkpro-"), "{name}");
    }
}
