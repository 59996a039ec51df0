//! Values that settings take, from the text an operator writes. Each error names the remedy.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tracing_subscriber::EnvFilter;
use url::Url;

/// The longest duration a setting takes, so that adding it to a clock cannot overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
const DURATION_REMEDY: &str = "write whole numbers with h, m, s or ms, such as 250ms, 30s, 15m or 1h30m";
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const POOL_SIZE_MAX: usize = 1000;
const DNS_PORT: u16 = 53;

/// The address that customers know, such as `https://hooks.example.com`; a slash at its end is taken off.
///
/// # Errors
/// The remedy, as a value parser for clap gives it.
pub fn public_url(text: &str) -> Result<String, String> {
    let remedy =
        || "write the scheme and host that customers use, such as https://hooks.example.com".to_owned();
    let url = url::Url::parse(text.trim()).map_err(|_| remedy())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(remedy())
    }
}

/// A duration such as `250ms`, `30s`, `15m`, `1h` or `1h30m`: whole numbers, each with a unit, larger units
/// first. At most 365 days; `0s` is allowed.
///
/// # Errors
/// The text of the problem and the remedy, as a value parser for clap gives it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let refused = |problem: &str| Err(format!("{problem}; {DURATION_REMEDY}"));
    let mut rest = text.trim();
    if rest.is_empty() {
        return refused("a duration is expected");
    }

    let mut units = UNITS.iter();
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(
            after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len()),
        );
        rest = after;
        if number.is_empty() {
            return refused("this is not a duration");
        }
        if unit.is_empty() {
            let problem = if after.is_empty() {
                "the number needs a unit"
            } else {
                "this is not a duration"
            };
            return refused(problem);
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return refused("the unit is unknown");
        }
        // The iterator moves on, so a unit that repeats or grows is not found again.
        let Some((_, unit_ms)) = units.by_ref().find(|(name, _)| *name == unit) else {
            return refused("a larger unit comes first, and each only once");
        };
        let part_ms = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*unit_ms));
        let Some(sum) = part_ms.and_then(|part| total_ms.checked_add(part)) else {
            return refused("the duration is longer than 365 days");
        };
        total_ms = sum;
    }

    let total = Duration::from_millis(total_ms);
    if total > DURATION_MAX {
        refused("the duration is longer than 365 days")
    } else {
        Ok(total)
    }
}

/// As [`duration`], but not zero: for a time limit within which something must be able to happen.
///
/// # Errors
/// As [`duration`].
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("the duration must be longer than zero; write for example 10s".to_owned()),
        duration => Ok(duration),
    }
}

/// An address to listen on, as `ip:port`. Port 0 lets the system choose.
///
/// # Errors
/// The text of the problem and the remedy, as a value parser for clap gives it.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| {
        "this is not an address to listen on; write ip:port, such as 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080"
            .to_owned()
    })
}

/// A DNS server, as `ip:port`; without a port, 53.
///
/// # Errors
/// The text of the problem and the remedy, as a value parser for clap gives it.
pub fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let server = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT)));
    match server {
        Ok(server) if server.port() == 0 => {
            Err("port 0 cannot be asked; write ip:port, such as 10.0.0.53:53".to_owned())
        }
        Ok(server) => Ok(server),
        Err(_) => {
            Err("this is not a DNS server; write ip:port, such as 10.0.0.53:53 or [fd00::53]:53".to_owned())
        }
    }
}

/// Where an OpenTelemetry collector takes traces: the base URL that an operator writes, with `/v1/traces` behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(Url);

impl CollectorUrl {
    /// The URL that is posted to: `http` or `https`, with a host, without a query or a password.
    pub fn traces(&self) -> &Url {
        &self.0
    }
}

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let base = public_url(text).map_err(|_| {
            "write the collector's base URL, such as http://collector:4318 (the port of OTLP over HTTP; /v1/traces is added), and \
             a token or password in PLUMBLINE_OTLP_HEADERS"
                .to_owned()
        })?;
        let url = format!("{base}/v1/traces");
        url.parse().map(Self).map_err(|error| format!("{error}"))
    }
}

/// Headers that a collector wants. Their values are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CollectorHeaders(Vec<(HeaderName, HeaderValue)>);

impl CollectorHeaders {
    /// Names and values; the values are marked as sensitive.
    pub fn pairs(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0
    }
}

impl fmt::Debug for CollectorHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for CollectorHeaders {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let mut value: HeaderValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse().ok()?, value))
        };
        text.split(',')
            .map(pair)
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| "write headers as name=value, comma-separated, such as x-token=abc".to_owned())
    }
}

/// A share, from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("write a share from 0 to 1, such as 0.01".to_owned()),
    }
}

pub(super) fn pool_size(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(size @ 1..=POOL_SIZE_MAX) => Ok(size),
        _ => Err(format!("write a whole number from 1 to {POOL_SIZE_MAX}")),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; write error, warn, info, debug or trace, or per module such as info,hyper=warn"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_whole_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("2m", 120_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("1h30m", 5_400_000),
            ("1m1s1ms", 61_001),
            (" 10s ", 10_000),
            ("0s", 0),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_bad_duration_says_what_to_write_instead() {
        for (text, problem) in [
            ("", "a duration is expected"),
            ("10", "the number needs a unit"),
            ("1h30", "the number needs a unit"),
            ("1.5s", "this is not a duration"),
            ("-1s", "this is not a duration"),
            ("10 s", "this is not a duration"),
            ("s", "this is not a duration"),
            ("ten seconds", "this is not a duration"),
            ("10d", "the unit is unknown"),
            ("10S", "the unit is unknown"),
            ("10é", "this is not a duration"),
            ("30m1h", "a larger unit comes first"),
            ("1s1s", "each only once"),
            ("8761h", "longer than 365 days"),
            ("99999999999999999999s", "longer than 365 days"),
            ("18446744073709551615h", "longer than 365 days"),
        ] {
            let error = duration(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
            assert!(error.contains("such as 250ms, 30s"), "{text}: {error}");
        }
    }

    #[test]
    fn a_time_limit_is_not_zero() {
        assert!(positive_duration("0s").is_err());
        assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn a_dns_server_listens_on_53_unless_told_otherwise() {
        for (text, server) in [
            ("10.0.0.53:5353", "10.0.0.53:5353"),
            ("10.0.0.53", "10.0.0.53:53"),
            (" fd00::53", "[fd00::53]:53"),
            ("[fd00::53]:54", "[fd00::53]:54"),
        ] {
            assert_eq!(dns_server(text).map(|s| s.to_string()), Ok(server.to_owned()));
        }
        for text in ["", "dns.example.com:53", "10.0.0.53:0", "10.0.0.53:99999"] {
            assert!(dns_server(text).expect_err(text).contains("write ip:port"));
        }
    }

    #[test]
    fn an_address_to_listen_on_has_an_ip_and_a_port() {
        assert!(listen_address("[::]:8080").is_ok());
        for text in ["8080", ":8080", "localhost:8080", "0.0.0.0"] {
            assert!(listen_address(text).expect_err(text).contains("write ip:port"));
        }
    }

    #[test]
    fn a_pool_has_at_least_one_connection() {
        assert_eq!(pool_size("1"), Ok(1));
        for text in ["0", "1001", "-1", "many", ""] {
            assert!(pool_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_collector_is_a_base_url_and_its_headers_are_not_shown() {
        for (text, posted_to) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            (
                "https://otlp.example.com/prefix/ ",
                "https://otlp.example.com/prefix/v1/traces",
            ),
        ] {
            let url: CollectorUrl = text.parse().expect(text);
            assert_eq!(url.traces().as_str(), posted_to);
        }
        for text in [
            "",
            "collector:4318",
            "grpc://collector:4317",
            "http://u:p@collector:4318",
            "http://c:4318/?a=b",
        ] {
            let error = text.parse::<CollectorUrl>().expect_err(text);
            assert!(error.contains("such as http://collector:4318"), "{error}");
        }
        let headers: CollectorHeaders = "x-token=hunter2, authorization=Basic aHVudGVyMg=="
            .parse()
            .expect("two headers");
        assert_eq!(headers.pairs().len(), 2);
        assert_eq!(headers.pairs()[1].1, "Basic aHVudGVyMg==");
        assert!(!format!("{headers:?}").contains("hunter2"));
        for text in ["", "token", "bad name=1", "a=1,,b=2"] {
            assert!(text.parse::<CollectorHeaders>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_between_none_and_all() {
        assert_eq!(
            (share("0"), share("0.01"), share("1")),
            (Ok(0.0), Ok(0.01), Ok(1.0))
        );
        for text in ["", "-0.1", "1.1", "1%", "NaN"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_log_filter_that_cannot_be_read_is_refused() {
        assert!(log_filter("info,hyper=warn").is_ok());
        assert!(log_filter("info,hyper=loudly").is_err());
    }
}
