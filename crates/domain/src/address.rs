//! Which URLs may be registered and which addresses may be dialled.
//!
//! The same policy is asked twice: with the URL and its resolved addresses at registration, and with every address
//! that a name resolves to before each dial, because a name may change its mind (S0-40, S0-41).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// The longest URL of an endpoint, in bytes (G20).
pub const URL_BYTES_MAX: usize = 2_048;
/// The ports that an endpoint may use unless configured.
pub const DEFAULT_PORTS: [u16; 2] = [443, 8443];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// The IPv4 addresses that are nobody's public server: the special-purpose registry of IANA, the global anycast services
/// in it too, and what clouds add.
const FORBIDDEN_V4: [(Ipv4Net, &str); 20] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "carrier NAT"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 31, 196, 0, 24), "AS112 sink"),
    (v4(192, 52, 193, 0, 24), "multicast relay"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(192, 175, 48, 0, 24), "AS112 sink"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
    (v4(168, 63, 129, 16, 32), "cloud metadata"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
];

/// Global unicast: every other IPv6 address (loopback, mapped, NAT64, unique local, link local, multicast) is refused.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// The parts of [`GLOBAL_V6`] that are nobody's public server, or that hide an IPv4 address.
const FORBIDDEN_V6: [(Ipv6Net, &str); 5] = [
    // Teredo, benchmarking, AMT, one AS112 sink, ORCHID and drones' tags among them.
    (v6(0x2001, 0, 0, 23), "protocol assignments, Teredo"),
    (v6(0x2001, 0x0db8, 0, 32), "documentation"),
    (v6(0x2002, 0, 0, 16), "6to4"),
    (v6(0x2620, 0x004f, 0x8000, 48), "AS112 sink"),
    (v6(0x3fff, 0, 0, 20), "documentation"),
];

/// What the operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks exempt from the address and port rules; for development.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http://` is accepted; for development.
    pub allow_http: bool,
    /// The ports that an endpoint may use.
    pub allowed_ports: Vec<u16>,
}

/// Public addresses over https only.
impl Default for AddressPolicy {
    fn default() -> Self {
        Self {
            allow_networks: vec![],
            allow_http: false,
            allowed_ports: DEFAULT_PORTS.to_vec(),
        }
    }
}

/// An address that must not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenAddress {
    /// The address is in a forbidden range.
    #[error("the address {address} is not public ({range})")]
    Range {
        /// The address.
        address: IpAddr,
        /// What the range is for.
        range: &'static str,
    },
    /// The address is public, but the port is not allowed.
    #[error("the port {port} is not allowed")]
    Port {
        /// The port.
        port: u16,
    },
    /// The URL is http, which is not allowed (any more).
    #[error("http is not allowed: only https is")]
    Http,
}

impl AddressPolicy {
    /// Whether anything may be sent over http, or over https.
    ///
    /// # Errors
    /// [`ForbiddenAddress::Http`].
    pub fn vet_scheme(&self, is_https: bool) -> Result<(), ForbiddenAddress> {
        if is_https || self.allow_http {
            Ok(())
        } else {
            Err(ForbiddenAddress::Http)
        }
    }

    /// Whether this address may be dialled on this port.
    ///
    /// # Errors
    /// [`ForbiddenAddress`], which names the address and the reason.
    pub fn vet(&self, address: IpAddr, port: u16) -> Result<(), ForbiddenAddress> {
        if self.exempts(address) {
            return Ok(());
        }
        if let Some(range) = forbidden_range(address) {
            return Err(ForbiddenAddress::Range { address, range });
        }
        self.vet_port(port)
    }

    fn vet_port(&self, port: u16) -> Result<(), ForbiddenAddress> {
        if self.allowed_ports.contains(&port) {
            Ok(())
        } else {
            Err(ForbiddenAddress::Port { port })
        }
    }

    fn exempts(&self, address: IpAddr) -> bool {
        self.allow_networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

fn forbidden_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => FORBIDDEN_V4
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, range)| *range),
        IpAddr::V6(address) if !GLOBAL_V6.contains(&address) => Some("not global unicast"),
        IpAddr::V6(address) => FORBIDDEN_V6
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, range)| *range),
    }
}

/// Why a URL cannot be an endpoint's. Each message names the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL is too long: use at most {URL_BYTES_MAX} bytes")]
    TooLong,
    /// Not a URL at all.
    #[error("not a valid URL ({0}): use the form https://hooks.example.com/path")]
    Malformed(String),
    /// Not https.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// A user name or password in it.
    #[error("the URL must not contain a user name or password: use a custom header instead")]
    UserInfo,
    /// A `#fragment`.
    #[error("the URL must not contain a fragment (#…): fragments are never sent")]
    Fragment,
    /// A name that is never public.
    #[error("`{0}` is not a public host name: use a name that resolves on the internet")]
    PrivateName(String),
    /// A forbidden address, literal or resolved.
    #[error("{0}: use a public address and one of the allowed ports")]
    Forbidden(#[from] ForbiddenAddress),
}

/// An endpoint's URL: parsed once, then known to be well formed.
///
/// It says nothing about where a *name* leads today; [`AddressPolicy::vet`] does, at each dial.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointUrl(Arc<Url>);

/// Where an endpoint's URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address literal.
    Address(IpAddr),
    /// A name to resolve; lower case, without a trailing dot.
    Name(String),
}

impl EndpointUrl {
    /// Parse what a customer registers.
    ///
    /// # Errors
    /// [`InvalidUrl`], with the remedy in its message.
    pub fn parse(text: &str, policy: &AddressPolicy) -> Result<Self, InvalidUrl> {
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidUrl::TooLong);
        }
        // The parser would silently trim and drop these.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) || text.contains('\\') {
            return Err(InvalidUrl::Malformed(
                "it contains spaces, control characters or backslashes".to_owned(),
            ));
        }
        let url = Url::parse(text).map_err(|error| InvalidUrl::Malformed(error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if policy.allow_http => {}
            _ => return Err(InvalidUrl::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() || authority_has_at(text) {
            return Err(InvalidUrl::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(InvalidUrl::Fragment);
        }
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(InvalidUrl::TooLong);
        }
        let url = Self(Arc::new(url));
        match url.target() {
            Target::Address(address) => policy.vet(address, url.port())?,
            Target::Name(name) if !is_host_name(&name) => {
                return Err(InvalidUrl::Malformed(
                    "its host is not a name that can be looked up".to_owned(),
                ));
            }
            Target::Name(name) if is_private_name(&name) => return Err(InvalidUrl::PrivateName(name)),
            // An allowed network may be what the name resolves to: then the port is judged at the dial.
            Target::Name(_) if policy.allow_networks.is_empty() => policy.vet_port(url.port())?,
            Target::Name(_) => {}
        }
        Ok(url)
    }

    /// A URL that was parsed by [`EndpointUrl::parse`] before it was stored.
    ///
    /// # Panics
    /// If the text is not an http or https URL with a host: then the store is corrupt.
    pub fn stored(text: &str) -> Self {
        let url = Url::parse(text).expect("a stored endpoint URL was parsed before it was stored");
        assert!(url.host().is_some(), "a stored endpoint URL has a host");
        Self(Arc::new(url))
    }

    /// The URL in its normal form.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The port, given or the scheme's own.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Where it leads.
    pub fn target(&self) -> Target {
        match self.0.host() {
            Some(Host::Ipv4(address)) => Target::Address(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Target::Address(IpAddr::V6(address)),
            Some(Host::Domain(name)) => {
                Target::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
            }
            None => Target::Name(String::new()),
        }
    }
}

/// Whether this is a name by RFC 1123, with the underscores that some have: no label is empty, which a second dot at the
/// end would hide a number behind.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A URL's path and query may hold a customer's token: `Debug` shows the origin only.
impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "EndpointUrl({}://{}…)",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )
    }
}

/// `https://@host/` parses with an empty user name; it is still not what a customer means.
fn authority_has_at(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#'])
        .next()
        .is_some_and(|authority| authority.contains('@'))
}

/// Names that never are public: single labels, and the suffixes set aside for private use.
fn is_private_name(name: &str) -> bool {
    !name.contains('.')
        || name.split('.').any(str::is_empty)
        || [".localhost", ".local", ".internal"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<String, InvalidUrl> {
        EndpointUrl::parse(text, &AddressPolicy::default()).map(|url| url.to_string())
    }

    #[test]
    fn s0_09_public_https_urls_are_accepted() {
        for (text, normal) in [
            ("https://hooks.example.com/bwp", "https://hooks.example.com/bwp"),
            ("https://hooks.example.com", "https://hooks.example.com/"),
            (
                "HTTPS://Hooks.Example.COM:443/A?b=c",
                "https://hooks.example.com/A?b=c",
            ),
            (
                "https://hooks.example.com:8443/x",
                "https://hooks.example.com:8443/x",
            ),
            ("https://8.8.8.8/x", "https://8.8.8.8/x"),
            ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
            ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
            ("https://hooks.example.com./x", "https://hooks.example.com./x"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(normal));
        }
    }

    #[test]
    fn s0_09_s0_40_what_is_not_public_https_is_refused() {
        for text in [
            "http://hooks.example.com/",
            "ftp://hooks.example.com/",
            "hooks.example.com",
            "",
            "https://",
            "https:///path",
            "https://127.0.0.1../",
            "https://hooks..example.com/",
            "https://hooks.$$.example.com/",
            "https://user@hooks.example.com/",
            "https://user:pw@hooks.example.com/",
            "https://@hooks.example.com/",
            "https://hooks.example.com/#x",
            "https://hooks.example.com/#",
            "https://hooks.example.com:80/",
            "https://hooks.example.com:22/",
            "https://hooks example.com/",
            " https://hooks.example.com/",
            "https://hooks.example.com/\n",
            "https://hooks.example.com\\@evil.example/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://foo.localhost/",
            "https://printer.local/",
            "https://db.internal/",
            "https://db.internal./",
            "https://intranet/",
            "https://a..example.com/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://0/",
            "https://10.1.2.3/",
            "https://172.31.255.255/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://192.0.2.1/",
            "https://198.18.0.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://168.63.129.16/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:8.8.8.8]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001::1]/",
            "https://[2001:db8::1]/",
            "https://[fc00::1]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://[ff02::1]/",
            "https://１２７.0.0.1/",
        ] {
            assert!(parse(text).is_err(), "{text} was accepted");
        }
        assert_eq!(
            parse(&format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX))),
            Err(InvalidUrl::TooLong)
        );
        // Grows beyond the limit only when percent-encoded.
        assert_eq!(
            parse(&format!("https://example.com/{}", "é".repeat(1_000))),
            Err(InvalidUrl::TooLong)
        );
    }

    /// The special-purpose registries of IANA as of 2025, range by range, and what clouds add: the first and the last
    /// address of each. Where a range is refused, its public neighbours are not.
    #[test]
    fn no_address_of_a_special_purpose_may_be_dialled_and_its_public_neighbours_may() {
        let policy = AddressPolicy::default();
        let may = |address: &str| policy.vet(address.parse().expect(address), 443).is_ok();
        for (network, neighbours) in [
            ("0.0.0.0/8", &["1.0.0.0"][..]),
            ("10.0.0.0/8", &["9.255.255.255", "11.0.0.0"]),
            ("100.64.0.0/10", &["100.63.255.255", "100.128.0.0"]),
            ("127.0.0.0/8", &["126.255.255.255", "128.0.0.0"]),
            ("168.63.129.16/32", &["168.63.129.15", "168.63.129.17"]),
            ("169.254.0.0/16", &["169.253.255.255", "169.255.0.0"]),
            ("172.16.0.0/12", &["172.15.255.255", "172.32.0.0"]),
            ("192.0.0.0/24", &["191.255.255.255", "192.0.1.0"]),
            ("192.0.2.0/24", &["192.0.1.255", "192.0.3.0"]),
            ("192.31.196.0/24", &["192.31.195.255", "192.31.197.0"]),
            ("192.52.193.0/24", &["192.52.192.255", "192.52.194.0"]),
            ("192.88.99.0/24", &["192.88.98.255", "192.88.100.0"]),
            ("192.168.0.0/16", &["192.167.255.255", "192.169.0.0"]),
            ("192.175.48.0/24", &["192.175.47.255", "192.175.49.0"]),
            ("198.18.0.0/15", &["198.17.255.255", "198.20.0.0"]),
            ("198.51.100.0/24", &["198.51.99.255", "198.51.101.0"]),
            ("203.0.113.0/24", &["203.0.112.255", "203.0.114.0"]),
            ("224.0.0.0/4", &["223.255.255.255"]),
            ("240.0.0.0/4", &[]),
            ("255.255.255.255/32", &[]),
            // Metadata of clouds that lies in ranges from above: everybody's, Oracle's, Alibaba's.
            ("169.254.169.254/32", &[]),
            ("192.0.0.192/32", &[]),
            ("100.100.100.200/32", &[]),
            ("::/128", &[]),
            ("::1/128", &[]),
            // Compatible, mapped and translated: an IPv4 address inside, whichever.
            ("::/96", &[]),
            ("::ffff:0:0/96", &[]),
            ("::ffff:0:0:0/96", &[]),
            ("64:ff9b::/96", &[]),
            ("64:ff9b:1::/48", &[]),
            ("100::/64", &[]),
            ("100:0:0:1::/64", &[]),
            (
                "2001::/23",
                &["2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"],
            ),
            ("2001::/32", &[]),
            ("2001:1::1/128", &[]),
            ("2001:2::/48", &[]),
            ("2001:3::/32", &[]),
            ("2001:4:112::/48", &[]),
            ("2001:10::/28", &[]),
            ("2001:20::/28", &[]),
            ("2001:30::/28", &[]),
            (
                "2001:db8::/32",
                &["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"],
            ),
            (
                "2002::/16",
                &["2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"],
            ),
            (
                "2620:4f:8000::/48",
                &["2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"],
            ),
            (
                "3fff::/20",
                &["3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"],
            ),
            ("4000::/3", &[]),
            ("5f00::/16", &[]),
            ("fc00::/7", &[]),
            ("fd00:ec2::254/128", &[]),
            ("fd20:ce::254/128", &[]),
            ("fe80::/10", &[]),
            ("fec0::/10", &[]),
            ("ff00::/8", &[]),
        ] {
            let net: IpNet = network.parse().expect(network);
            for address in [net.network(), net.broadcast()] {
                assert!(policy.vet(address, 443).is_err(), "{address} of {network}");
            }
            for neighbour in neighbours {
                assert!(may(neighbour), "{neighbour}, beside {network}");
            }
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.215.14",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert!(may(public), "{public}");
        }
    }

    /// Spellings that a resolver, a library or a proxy may read otherwise than we do: refused, or read as what they are.
    #[test]
    fn a_host_is_what_it_seems_to_be() {
        for text in [
            // As numbers: whole, in parts, in other bases, with an end that is one.
            "https://017700000001/",
            "https://0x7f.0.0.1/",
            "https://127.0.1/",
            "https://127.0.0.1./",
            "https://0x/",
            "https://00000177.1/",
            "https://a.1/",
            "https://a.0x1/",
            "https://1.2.3.4.5/",
            "https://256.256.256.256/",
            "https://4294967296/",
            // Other scripts' digits and dots are ASCII before anybody looks at them.
            "https://①②⑦.⓪.⓪.①/",
            "https://127。0。0。1/",
            "https://ｌｏｃａｌｈｏｓｔ/",
            "https://loc\u{ad}alhost/",
            "https://%6c%6f%63%61%6c%68%6f%73%74/",
            "https://%31%32%37.0.0.1/",
            // Brackets, zones and ports.
            "https://[::1%25lo]/",
            "https://[fe80::1%25eth0]/",
            "https://[::ffff:7f00:1]/",
            "https://[0:0:0:0:0:ffff:169.254.169.254]/",
            "https://[64:ff9b:1::a00:1]/",
            "https://[2001:0:7f00:1::]/",
            "https://[3fff::1]/",
            "https://[::1]:443/",
            "https://hooks.example.com:0/",
            "https://hooks.example.com:65536/",
            "https://hooks.example.com:444/",
            // Names that are not public, with and without their last dot.
            "https://localhost.localdomain.local./",
            "https://metadata.google.internal./",
            "https://intranet./",
            "https://./",
            "https://../",
            "https://a../",
            "https://.example.com/",
            // What stands before an @ is not the host, however much it looks like it.
            "https://hooks.example.com@127.0.0.1/",
            "https://hooks.example.com%40127.0.0.1@hooks.example.com/",
            "https://hooks.example.com:443@hooks.example.com/",
            // Schemes.
            "https:/hooks.example.com/",
            "https:hooks.example.com/",
            "//hooks.example.com/",
            "javascript:alert(1)//hooks.example.com/",
            "file:///etc/passwd",
            "gopher://hooks.example.com/",
        ] {
            let parsed = parse(text);
            assert!(
                parsed.is_err() || parsed.as_deref() == Ok("https://hooks.example.com/"),
                "{text} was accepted as {parsed:?}"
            );
        }
        for (text, host) in [
            ("https://bücher.example/", "xn--bcher-kva.example"),
            ("https://ＨＯＯＫＳ.example.com/", "hooks.example.com"),
            ("https://faß.example/", "xn--fa-hia.example"),
            ("https://hooks.example.com./", "hooks.example.com"),
            ("https://local.example.com/", "local.example.com"),
            ("https://localhost.example.com/", "localhost.example.com"),
            ("https://127.0.0.1.example.com/", "127.0.0.1.example.com"),
        ] {
            let url = EndpointUrl::parse(text, &AddressPolicy::default()).expect(text);
            assert_eq!(url.target(), Target::Name(host.to_owned()), "{text}");
        }
    }

    #[test]
    fn development_may_allow_networks_and_http() {
        let policy = AddressPolicy {
            allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
            allow_http: true,
            ..AddressPolicy::default()
        };
        assert!(
            EndpointUrl::parse("http://127.0.0.1:3000/hook", &policy).is_ok(),
            "any port, too"
        );
        assert!(EndpointUrl::parse("http://10.0.0.1/hook", &policy).is_err());
        assert!(EndpointUrl::parse("https://localhost/hook", &policy).is_err());
        assert!(EndpointUrl::parse("http://[::1]:3000/hook", &policy).is_err());
    }

    #[test]
    fn a_target_is_an_address_or_a_name() {
        let target = |text| EndpointUrl::stored(text).target();
        assert_eq!(
            target("https://0x08080808/"),
            Target::Address(IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)))
        );
        assert_eq!(
            target("https://Example.COM./"),
            Target::Name("example.com".to_owned())
        );
        assert_eq!(EndpointUrl::stored("https://a.example/").port(), 443);
        assert!(!format!("{:?}", EndpointUrl::stored("https://a.example/token")).contains("token"));
    }

    proptest! {
        #[test]
        fn no_ipv4_address_hides_in_an_ipv6_one(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let policy = AddressPolicy::default();
            for v6 in [v4.to_ipv6_mapped(), v4.to_ipv6_compatible()] {
                prop_assert!(policy.vet(IpAddr::V6(v6), 443).is_err());
            }
        }

        #[test]
        fn parsing_never_panics_and_what_it_accepts_is_stored_the_same(text in ".{0,200}") {
            if let Ok(url) = EndpointUrl::parse(&text, &AddressPolicy::default()) {
                prop_assert_eq!(EndpointUrl::stored(url.as_str()), url);
            }
        }
    }
}
