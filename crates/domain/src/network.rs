//! Where a request comes from, and from where an API key may be used.

use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

/// The networks that an API key may name at most.
pub const ALLOWED_IPS_MAX: usize = 50;
/// Entries of `X-Forwarded-For` that are looked at, from the right.
const FORWARDED_ENTRIES_MAX: usize = 32;

/// The text is not an address or a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address nor a CIDR range.
    #[error("is not an IP address or CIDR range: write such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32")]
    Malformed,
    /// Bits are set that the prefix does not cover, so that it is not clear what is meant.
    #[error("has bits beyond its prefix: write {0}, or one address")]
    HostBits(IpNet),
}

/// A network, or one address as a network of its own; IPv4-mapped IPv6 is IPv4.
///
/// # Errors
/// [`InvalidNetwork`], with the remedy in its message.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| InvalidNetwork::Malformed)?,
    };
    if network.trunc() != network {
        return Err(InvalidNetwork::HostBits(network.trunc()));
    }
    Ok(canonical(network))
}

fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped
        .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok())
        .map_or(network, IpNet::V4)
}

/// A network as people write it: a single address without a prefix.
pub fn network_text(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// The networks that a key may be used from; empty is anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedIps(pub Vec<IpNet>);

impl AllowedIps {
    /// Whether there is no restriction.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address lies in one of the networks.
    pub fn contains(&self, address: &IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether a request from this address is allowed; from nowhere that is known, only where anywhere will do.
    pub fn allows(&self, source: Option<IpAddr>) -> bool {
        self.is_empty() || source.is_some_and(|source| self.contains(&source))
    }
}

/// The proxies in front of us, whose word about a request's source is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Where a request comes from: the peer, or, when the peer is a trusted proxy, the right-most address of
    /// `X-Forwarded-For` (its header lines in order) that is not one. What stands left of that, anybody may have
    /// written.
    pub fn source<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        let mut source = peer.to_canonical();
        let entries = forwarded_for.rev().flat_map(|line| line.rsplit(','));
        for entry in entries.take(FORWARDED_ENTRIES_MAX) {
            if !self.trusts(source) {
                return source;
            }
            match forwarded_address(entry) {
                Some(address) => source = address.to_canonical(),
                // A proxy that says nothing readable has only itself to show.
                None => return source,
            }
        }
        source
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address, which some proxies write with a port.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(entry)
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_and_networks_are_read_and_written_back() {
        for (text, written) in [
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7/32", "203.0.113.7"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::1", "::1"),
            ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
        ] {
            let network = parse_network(text).expect(text);
            assert_eq!(network_text(&network), written, "{text}");
        }
        for text in ["", "10.0.0", "10.0.0.0/33", "localhost", "10.0.0.0/8,::1", " ::1"] {
            assert_eq!(parse_network(text), Err(InvalidNetwork::Malformed), "{text}");
        }
        let refused = parse_network("10.1.2.3/8").expect_err("not clear");
        assert!(refused.to_string().contains("write 10.0.0.0/8"), "{refused}");
    }

    #[test]
    fn a_key_is_used_from_its_networks_only() {
        let allowed = |texts: &[&str]| {
            AllowedIps(
                texts
                    .iter()
                    .map(|text| parse_network(text).expect("a network"))
                    .collect(),
            )
        };
        let some = allowed(&["10.1.0.0/16", "192.0.2.1", "2001:db8::/32"]);
        for (source, is_allowed) in [
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:10.2.2.3", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.allows(Some(address(source))), is_allowed, "{source}");
        }
        assert!(!some.allows(None), "from nowhere is from no network");
        assert!(allowed(&[]).allows(None) && allowed(&[]).allows(Some(address("::1"))));
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_about_the_source() {
        let proxies = TrustedProxies(vec![
            parse_network("10.0.0.0/8").expect("a network"),
            parse_network("fd00::/8").expect("a network"),
        ]);
        for (peer, lines, source) in [
            // Nobody in front: whatever the client says is only what it says.
            ("203.0.113.9", vec!["1.1.1.1"], "203.0.113.9"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", vec!["203.0.113.9"], "203.0.113.9"),
            // The client wrote the first one itself.
            ("10.0.0.1", vec!["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            (
                "10.0.0.1",
                vec!["1.1.1.1", "203.0.113.9, 10.0.0.2"],
                "203.0.113.9",
            ),
            ("fd00::1", vec!["2001:db8::7, fd00::2"], "2001:db8::7"),
            ("10.0.0.1", vec!["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", vec!["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", vec!["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", vec!["::ffff:203.0.113.9"], "203.0.113.9"),
            // Unreadable: not further left.
            ("10.0.0.1", vec!["1.1.1.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["1.1.1.1, "], "10.0.0.1"),
            // From within.
            ("10.0.0.1", vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ] {
            let seen = proxies.source(address(peer), lines.iter().copied());
            assert_eq!(seen, address(source), "{peer} {lines:?}");
        }
        let nobody = TrustedProxies::default();
        assert_eq!(
            nobody.source(address("10.0.0.1"), ["1.1.1.1"].into_iter()),
            address("10.0.0.1")
        );
    }
}
