//! Where the broker is, and what this process may ask of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lapin::uri::AMQPUri;

use crate::Topology;

/// Seconds between heartbeats, unless the URL says otherwise: a dead peer is noticed after twice that.
const HEARTBEAT_SECONDS: u16 = 10;

/// The address of a broker, with its credentials, which it never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpUrl(AMQPUri);

/// The text is not the address of a broker. The message does not quote it, for it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an AMQP URL: expected amqp[s]://user:password@host[:port]/vhost, with the vhost `/` written as %2f"
)]
pub struct InvalidAmqpUrl;

impl FromStr for AmqpUrl {
    type Err = InvalidAmqpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidAmqpUrl> {
        let mut uri: AMQPUri = text.parse().map_err(|_| InvalidAmqpUrl)?;
        // An IPv6 literal would silently become `localhost`.
        if let Some((_, rest)) = text.split_once('[') {
            let (host, _) = rest.split_once(']').ok_or(InvalidAmqpUrl)?;
            uri.authority.host = host.to_owned();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self(uri))
    }
}

impl AmqpUrl {
    pub(crate) fn uri(&self) -> &AMQPUri {
        &self.0
    }
}

/// Where it is, without the credentials.
impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri {
            scheme,
            authority,
            vhost,
            ..
        } = &self.0;
        write!(
            f,
            "{scheme}://{}:{}/{}",
            authority.host,
            authority.port,
            vhost.replace('/', "%2f")
        )
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
    /// The broker's address.
    pub amqp_url: AmqpUrl,
    /// What the connections are called in the broker's own lists, beside what each is for.
    pub connection_name: String,
    /// What is declared on every connection before it is used.
    pub topology: Topology,
    /// How long a publish may take until its confirm, a blocked connection included. Default 10 s. With zero,
    /// every publish times out.
    pub publish_timeout: Duration,
    /// How long a connection may take to be made. Default 10 s. With zero, none is.
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
            ("amqps://user:secret@host:1/v", "amqps://host:1/v"),
            ("amqp://user:secret@[::1]:1/v", "amqp://::1:1/v"),
        ] {
            let url: AmqpUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
            assert_eq!(url.uri().query.heartbeat, Some(HEARTBEAT_SECONDS));
        }
    }

    #[test]
    fn what_is_not_a_url_is_refused() {
        for text in ["", "host", "http://host/", "amqp://[::1/"] {
            assert_eq!(text.parse::<AmqpUrl>(), Err(InvalidAmqpUrl), "{text}");
        }
    }
}
