//! A receiver to try webhooks with: verifies each signature and prints what arrived.
//!
//! Also the shortest complete example of a receiver: keep the raw body, verify it, answer at once.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use plumbline_testkit::signature;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// More than any webhook has: a receiver never reads without a bound.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest a client may take to send a request's headers.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Receive webhooks, verify their signatures, and print them
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File with the endpoint's signing secret; read again for each request, so that it may come later or change
    #[arg(long, value_name = "PATH")]
    secret_file: PathBuf,
    /// File to write the chosen port to, once connections are accepted
    #[arg(long, value_name = "PATH")]
    port_file: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Receive until SIGTERM or Ctrl-C.
async fn run(arguments: Arguments) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(arguments.listen).await?;
    if let Some(file) = &arguments.port_file {
        announce(file, listener.local_addr()?.port())?;
    }
    let secret_file = Arc::new(arguments.secret_file);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let secret_file = secret_file.clone();
                let service = service_fn(move |request| receive(request, secret_file.clone()));
                let mut server = http1::Builder::new();
                server.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
                let connection = server.serve_connection(TokioIo::new(stream), service);
                // Ends with its client or with the process. A client that breaks off is no news.
                tokio::spawn(async move { drop(connection.await) });
            }
        }
    }
}

/// Renamed into place, so that who waits for the file finds it complete.
fn announce(file: &Path, port: u16) -> io::Result<()> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".new");
    fs::write(&unfinished, format!("{port}\n"))?;
    fs::rename(&unfinished, file)
}

async fn receive(
    request: Request<Incoming>,
    secret_file: Arc<PathBuf>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answer = |status: StatusCode, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        Ok(response)
    };
    // The bytes as they came: parsing and printing them again would change what was signed.
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return answer(StatusCode::BAD_REQUEST, "the body could not be read\n");
    };
    let body = body.to_bytes();
    let verdict = judge(&head.headers, &body, &secret_file);
    report(&head.headers, &body, &verdict);
    match verdict {
        Ok(()) => answer(StatusCode::OK, "ok\n"),
        Err(_) => answer(StatusCode::BAD_REQUEST, "bad signature\n"),
    }
}

fn judge(headers: &HeaderMap, body: &[u8], secret_file: &Path) -> Result<(), String> {
    let secret = fs::read_to_string(secret_file).map_err(|error| {
        format!(
            "the secret cannot be read from {}: {error}",
            secret_file.display()
        )
    })?;
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(format!("there is no secret in {} yet", secret_file.display()));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    match signature::verify(secret, text(headers, signature::HEADER), body, now) {
        Ok(_) => Ok(()),
        Err(invalid) => Err(invalid.to_string()),
    }
}

/// Print one line about the request, and its body.
fn report(headers: &HeaderMap, body: &[u8], verdict: &Result<(), String>) {
    let (event_type, event) = (
        text(headers, "BuildWorkPro-Event"),
        text(headers, "BuildWorkPro-Event-Id"),
    );
    let verdict = match verdict {
        Ok(()) => "signature verified".to_owned(),
        Err(why) => format!("signature INVALID: {why}"),
    };
    let body = printable(&String::from_utf8_lossy(body));
    let lines = format!(
        "received {} {} {verdict}\n{body}\n",
        printable(event_type),
        printable(event)
    );
    let mut out = io::stdout().lock();
    // Who reads our output may have left; that is no reason to stop receiving.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Anybody may send to this port; nobody may steer the reader's terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
