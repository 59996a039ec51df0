//! Where the broker is, and what this process may ask of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lapin::uri::AMQPUri;
use rand::seq::SliceRandom as _;

use crate::Topology;

/// Seconds between heartbeats, unless the URL says otherwise: a dead peer is noticed after twice that.
const HEARTBEAT_SECONDS: u16 = 10;

/// Where a broker is, with its credentials, which it never shows: one address, or those of all the nodes of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl {
    /// At least one. They differ in host and port alone.
    addresses: Vec<AMQPUri>,
}

/// The text is not the address of a broker. The message does not quote it, for it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an AMQP URL: expected amqp[s]://user:password@host[:port][,host[:port]…]/vhost, with the vhost `/` written as %2f"
)]
pub struct InvalidAmqpUrl;

impl FromStr for AmqpUrl {
    type Err = InvalidAmqpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidAmqpUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidAmqpUrl)?;
        let (authority, place) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), authority),
        };
        let are_several = hosts.contains(',');
        let address = |host: &str| match host.trim() {
            "" if are_several => Err(InvalidAmqpUrl),
            host => address(&format!("{scheme}://{credentials}{host}{place}")),
        };
        let addresses = hosts.split(',').map(address).collect::<Result<_, _>>()?;
        Ok(Self { addresses })
    }
}

fn address(text: &str) -> Result<AMQPUri, InvalidAmqpUrl> {
    let mut uri: AMQPUri = text.parse().map_err(|_| InvalidAmqpUrl)?;
    // An IPv6 literal would silently become `localhost`.
    if let Some((_, rest)) = text.split_once('[') {
        let (host, _) = rest.split_once(']').ok_or(InvalidAmqpUrl)?;
        uri.authority.host = host.to_owned();
    }
    // By the letter of the standard `amqp://host/` means the virtual host without a name, which hardly anybody has.
    // The RabbitMQ Cluster Operator's own secret has such a URL and means the default one.
    if uri.vhost.is_empty() {
        "/".clone_into(&mut uri.vhost);
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Ok(uri)
}

impl AmqpUrl {
    /// Every address, each time in another order: connections spread over the nodes, and whoever lost one tries another.
    pub(crate) fn shuffled(&self) -> Vec<&AMQPUri> {
        let mut addresses: Vec<&AMQPUri> = self.addresses.iter().collect();
        addresses.shuffle(&mut rand::rng());
        addresses
    }

    /// Every address by itself, in the order in which they were given.
    pub(crate) fn each(&self) -> impl Iterator<Item = Self> {
        self.addresses.iter().map(|address| Self {
            addresses: vec![address.clone()],
        })
    }

    /// Whether there is more than one address.
    pub(crate) fn is_of_several(&self) -> bool {
        self.addresses.len() > 1
    }
}

/// The host and port of an address, without the credentials.
pub(crate) fn place(address: &AMQPUri) -> String {
    format!("{}:{}", address.authority.host, address.authority.port)
}

/// Where it is, without the credentials.
impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, vhost, .. } = &self.addresses[0];
        let places: Vec<String> = self.addresses.iter().map(place).collect();
        write!(f, "{scheme}://{}/{}", places.join(","), vhost.replace('/', "%2f"))
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpUrl({self})")
    }
}

/// How to reach the broker and what must exist there.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// The broker's address, or those of its nodes.
    pub amqp_url: AmqpUrl,
    /// What the connections are called in the broker's own lists, beside what each is for.
    pub connection_name: String,
    /// What is declared on every connection before it is used.
    pub topology: Topology,
    /// How long a publish may take until its confirm, a blocked connection included. Default 10 s. With zero,
    /// every publish times out.
    pub publish_timeout: Duration,
    /// How long a connection may take to be made, to each address that is tried. Default 10 s. With zero, none is.
    pub connect_timeout: Duration,
}

impl BrokerConfig {
    /// The configuration with the default time limits.
    pub fn new(amqp_url: AmqpUrl, connection_name: impl Into<String>, topology: Topology) -> Self {
        Self {
            amqp_url,
            connection_name: connection_name.into(),
            topology,
            publish_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_where_and_never_the_password() {
        for (text, shown) in [
            ("amqp://user:secret@host/%2f", "amqp://host:5672/%2f"),
            ("amqp://user:secret@host:1/", "amqp://host:1/%2f"),
            ("amqp://user:secret@host", "amqp://host:5672/%2f"),
            ("amqps://user:secret@host:1/v", "amqps://host:1/v"),
            ("amqp://user:secret@[::1]:1/v", "amqp://::1:1/v"),
            (
                "amqp://user:secret@one:1,two,[::1]:3/v?heartbeat=10",
                "amqp://one:1,two:5672,::1:3/v",
            ),
        ] {
            let url: AmqpUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
            for address in &url.addresses {
                assert_eq!(address.query.heartbeat, Some(HEARTBEAT_SECONDS));
                assert_eq!(address.authority.userinfo.password, "secret");
            }
        }
    }

    #[test]
    fn every_address_of_a_cluster_comes_first_sooner_or_later() {
        let url: AmqpUrl = "amqp://user:secret@a,b,c/v".parse().expect("a URL");
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let order: Vec<String> = url.shuffled().into_iter().map(place).collect();
            let mut sorted = order.clone();
            sorted.sort();
            assert_eq!(sorted, ["a:5672", "b:5672", "c:5672"]);
            firsts.insert(order[0].clone());
        }
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn what_is_not_a_url_is_refused() {
        for text in [
            "",
            "host",
            "http://host/",
            "amqp://[::1/",
            "amqp://user:secret@a,,b/v",
            "amqp://user:secret@a,/v",
            "amqp://user:secret@a:1,b:port/v",
        ] {
            assert_eq!(text.parse::<AmqpUrl>(), Err(InvalidAmqpUrl), "{text}");
        }
    }
}
