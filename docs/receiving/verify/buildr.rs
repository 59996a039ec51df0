//! Receives Buildr's webhooks. Cargo.toml: `base64 = "0.23"`, `hmac = "0.13"`, `serde_json = "1"`, `sha2 = "0.11"`;
//! then `WEBHOOK_SECRET=whsec_… PORT=3000 cargo run`.
//!
//! [`Receiver::receive`] is for any framework: axum (`body: Bytes`), actix-web (`body: web::Bytes`), hyper.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, io, thread};

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TOLERANCE_SECONDS: u64 = 300;
const BODY_BYTES_MAX: u64 = 1024 * 1024;
/// Base64 of which the padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Fails unless Buildr signed these bytes just now. The body is exactly as it came: never parse it first.
fn verify<'h>(
    key: &[u8],
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    now_seconds: u64,
) -> Result<(), String> {
    let required = |name: &str| {
        let value = header(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("no {name} header"))
    };
    let (id, time) = (required("svix-id")?, required("svix-timestamp")?);
    let signature = required("svix-signature")?;
    let digits = time.len() <= 12 && time.bytes().all(|byte| byte.is_ascii_digit());
    let Some(seconds) = time.parse::<u64>().ok().filter(|_| digits) else {
        return Err("the svix-timestamp header is not a number of seconds".to_owned());
    };
    let signatures: Vec<Vec<u8>> = signature
        .split(' ')
        .filter_map(|value| STANDARD.decode(value.strip_prefix("v1,")?).ok())
        .filter(|signature| signature.len() == 32)
        .collect();
    if signatures.is_empty() {
        return Err("the svix-signature header has no v1,<base64 of 32 bytes>".to_owned());
    }
    if now_seconds.abs_diff(seconds) > TOLERANCE_SECONDS {
        return Err("the timestamp is more than 300 s away from this clock".to_owned());
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{time}.").as_bytes());
    mac.update(body);
    // Several while a secret is rotated: one that fits is enough. Compares in constant time.
    if !signatures
        .iter()
        .any(|signature| mac.clone().verify_slice(signature).is_ok())
    {
        return Err("no signature fits: another secret, or the body is not the bytes that came".to_owned());
    }
    Ok(())
}

struct Receiver {
    key: Vec<u8>,
    /// The events that were handled. In production: a unique column, written in the transaction that does the work.
    handled: Mutex<HashSet<String>>,
}

impl Receiver {
    fn from_environment() -> Self {
        let secret = env::var("WEBHOOK_SECRET")
            .ok()
            .filter(|secret| !secret.is_empty());
        let secret = secret.unwrap_or_else(|| "whsec_REPLACE_ME".to_owned());
        assert!(
            !secret.ends_with("_REPLACE_ME"),
            "set WEBHOOK_SECRET to your endpoint's secret"
        );
        // The key is what the secret, without whsec_, is the base64 of.
        let key = LENIENT.decode(secret.strip_prefix("whsec_").unwrap_or(&secret));
        let key = key
            .ok()
            .filter(|key| !key.is_empty())
            .expect("WEBHOOK_SECRET is not base64");
        Self {
            key,
            handled: Mutex::default(),
        }
    }

    /// Status and text of the answer to a request with these headers, by lower-case names, and this body.
    fn receive<'h>(&self, header: impl Fn(&str) -> Option<&'h str>, body: &[u8]) -> (u16, String) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Err(fault) = verify(&self.key, &header, body, now.as_secs()) {
            return (400, fault); // It appears in the delivery log, where you will look for it.
        }
        let id = header("svix-id").unwrap_or_default(); // The event's: the same each time that it is sent.
        // {"id", "url"} of what changed: fetch it from there.
        let event: serde_json::Value = match serde_json::from_slice(body) {
            Ok(event) => event,
            Err(error) => return (500, format!("not handled: {error}")), // Every 5xx is tried again.
        };
        let mut handled = self.handled.lock().expect("nobody panics with the lock");
        if !handled.contains(id) {
            // Only store the event here, in a table or a queue, and do the work after the answer.
            eprintln!(
                "received {} {id} of {}",
                header("buildr-event").unwrap_or_default(),
                event["url"]
            );
            if handled.len() >= 10_000 {
                handled.clear();
            }
            handled.insert(id.to_owned());
        }
        (200, "ok".to_owned())
    }
}

/// Enough of a server to try it out.
fn main() -> io::Result<()> {
    let receiver = Arc::new(Receiver::from_environment());
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    for stream in TcpListener::bind(format!("127.0.0.1:{port}"))?.incoming() {
        let receiver = receiver.clone();
        thread::spawn(move || serve(stream?, &receiver));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, receiver: &Receiver) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(BODY_BYTES_MAX + 65_536));
    let (mut headers, mut line) = (HashMap::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        line.clear();
    }
    let length = headers.get("content-length").and_then(|value| value.parse().ok());
    let length: u64 = length.unwrap_or(0);
    let mut body = vec![];
    reader
        .take(length.min(BODY_BYTES_MAX + 1))
        .read_to_end(&mut body)?;
    let (status, text) = if length > BODY_BYTES_MAX {
        (413, format!("the body is larger than {BODY_BYTES_MAX} bytes"))
    } else {
        receiver.receive(|name| headers.get(name).map(String::as_str), &body)
    };
    write!(stream, "HTTP/1.1 {status} \r\nConnection: close\r\n\r\n{text}\n")
}
