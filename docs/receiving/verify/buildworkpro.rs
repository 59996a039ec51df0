//! Receives BuildWorkPro's webhooks. Cargo.toml: `hmac = "0.13"`, `serde_json = "1"`, `sha2 = "0.11"`; then
//! `WEBHOOK_SECRET=whsec_… PORT=3000 cargo run`.
//!
//! [`Receiver::receive`] is for any framework: axum (`body: Bytes`), actix-web (`body: web::Bytes`), hyper.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, io, thread};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TOLERANCE_SECONDS: u64 = 300;
const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Fails unless BuildWorkPro signed these bytes just now. The body is exactly as it came: never parse it first.
fn verify(secrets: &[String], header: &str, body: &[u8], now_seconds: u64) -> Result<(), &'static str> {
    let fields = || header.split(',');
    let time = fields()
        .find_map(|field| field.strip_prefix("t="))
        .filter(|time| time.len() <= 12 && time.bytes().all(|byte| byte.is_ascii_digit()));
    let signatures: Vec<_> = fields()
        .filter_map(|field| unhex(field.strip_prefix("v1=")?))
        .collect();
    let (Some(Ok(seconds)), false) = (time.map(str::parse::<u64>), signatures.is_empty()) else {
        return Err("the BuildWorkPro-Signature header is not t=<seconds>,v1=<64 hex digits>");
    };
    if now_seconds.abs_diff(seconds) > TOLERANCE_SECONDS {
        return Err("the timestamp is more than 300 s away from this clock");
    }
    let fits = secrets.iter().any(|secret| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(time.unwrap_or_default().as_bytes());
        mac.update(b".");
        mac.update(body);
        // Compares in constant time.
        signatures
            .iter()
            .any(|signature| mac.clone().verify_slice(signature).is_ok())
    });
    fits.then_some(())
        .ok_or("no signature fits: another secret, or the body is not the bytes that came")
}

/// The bytes of 64 lower-case hex digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    });
    let digits = digits
        .collect::<Option<Vec<u8>>>()
        .filter(|digits| digits.len() == 64)?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

struct Receiver {
    secrets: Vec<String>,
    /// The events that were handled. In production: a unique column, written in the transaction that does the work.
    handled: Mutex<HashSet<String>>,
}

impl Receiver {
    fn from_environment() -> Self {
        let secret = env::var("WEBHOOK_SECRET")
            .ok()
            .filter(|secret| !secret.is_empty());
        let secret = secret.unwrap_or_else(|| "whsec_REPLACE_ME".to_owned());
        // The key is the whole secret, whsec_ included. While you rotate it: the old and the new one, separated by a comma.
        let secrets = secret.split(',').filter(|secret| !secret.is_empty());
        let secrets: Vec<String> = secrets.map(str::to_owned).collect();
        let unset = secrets.iter().any(|secret| secret.ends_with("_REPLACE_ME"));
        assert!(!unset, "set WEBHOOK_SECRET to your endpoint's secret");
        Self {
            secrets,
            handled: Mutex::default(),
        }
    }

    /// Status and text of the answer to a request with this value of `BuildWorkPro-Signature` and this body.
    fn receive(&self, signature: Option<&str>, body: &[u8]) -> (u16, String) {
        let Some(signature) = signature.filter(|value| !value.is_empty()) else {
            return (400, "no BuildWorkPro-Signature header".to_owned());
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Err(fault) = verify(&self.secrets, signature, body, now.as_secs()) {
            return (400, fault.to_owned()); // It appears in the delivery log, where you will look for it.
        }
        let event: serde_json::Value = match serde_json::from_slice(body) {
            Ok(event) => event,
            Err(error) => return (500, format!("not handled: {error}")), // Every 5xx is tried again.
        };
        let id = event["id"].as_str().unwrap_or_default();
        let mut handled = self.handled.lock().expect("nobody panics with the lock");
        if !handled.contains(id) {
            // Only store the event here, in a table or a queue, and do the work after the answer.
            eprintln!("received {} {id}", event["type"].as_str().unwrap_or_default());
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
    let (mut signature, mut length, mut line) = (None, 0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "buildworkpro-signature" => signature = Some(value.trim().to_owned()),
                "content-length" => length = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
        line.clear();
    }
    let mut body = vec![];
    reader
        .take(length.min(BODY_BYTES_MAX + 1))
        .read_to_end(&mut body)?;
    let (status, text) = if length > BODY_BYTES_MAX {
        (413, format!("the body is larger than {BODY_BYTES_MAX} bytes"))
    } else {
        receiver.receive(signature.as_deref(), &body)
    };
    write!(stream, "HTTP/1.1 {status} \r\nConnection: close\r\n\r\n{text}\n")
}
