//! The floor: what a signed POST costs that nobody stores, queues or records. No webhook service can be cheaper.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::volley::CONNECTIONS;
use super::{CPU_PER_DELIVERY, Outcome};
use crate::accounting::Meter;
use crate::bed::Bed;
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::journal::{Clock, Journal, Size};
use crate::proc::{Processes, seconds};
use crate::receiver::{Behaviour, Receiver};

/// Deliveries: many, because each takes so little.
const REQUESTS: usize = 100_000;
const DATA_BYTES: usize = 300;
/// The client ends by itself long before.
const CLIENT_PATIENCE: Duration = Duration::from_secs(120);

/// Measure it, with a client in a process of its own: so that its CPU can be told from the receiver's.
pub(super) async fn run(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let requests = bed.scaled(REQUESTS, 1_000);
    let size = Size {
        events: requests,
        endpoints: 1,
        requests: 1,
    };
    let journal = std::sync::Arc::new(Journal::new(Clock::start(), size));
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    let nobody = Meter {
        api: 0,
        dispatchers: vec![],
        postgresql: 0,
        rabbitmq: 0,
        data: bed.scratch().to_owned(),
    };
    let before = nobody.read()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("--floor-client")
        .arg(receiver.address().to_string())
        .arg("--floor-requests")
        .arg(requests.to_string())
        .kill_on_drop(true);
    let output = tokio::time::timeout(CLIENT_PATIENCE, command.output())
        .await
        .map_err(|_| Failure::new("the client of the floor does not end"))??;
    let mut spent = nobody.read()?.since(&before);
    let answer = String::from_utf8_lossy(&output.stdout);
    let mut numbers = answer.split_ascii_whitespace().map(str::parse::<f64>);
    let (Some(Ok(wall)), Some(Ok(cpu))) = (numbers.next(), numbers.next()) else {
        return Err(Failure::new(format!(
            "the client of the floor failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    };
    spent.strangers = (spent.strangers - cpu).max(0.0);
    // Nobody has promised these in advance: each was owed because it was sent.
    for number in 0..requests {
        journal.note_due(number, 1);
        journal.note_accepted(number);
    }
    let figures = vec![
        Figure::new("delivered", requests as f64 / wall, Unit::PerSecond),
        Figure::new(CPU_PER_DELIVERY, cpu * 1e6 / requests as f64, Unit::Microseconds),
    ];
    Ok(Outcome::new(figures, journal.audit(|_, _| true), spent))
}

/// The client: prints the seconds on the wall and on the processors.
pub(crate) async fn client(receiver: SocketAddr, requests: usize) -> Result<String, Failure> {
    let pid = std::process::id();
    let next = std::cell::Cell::new(0);
    let connections = try_join_all((0..CONNECTIONS).map(|_| connect(receiver))).await?;
    let before = Processes::now()?.ticks_of(pid);
    let began = Instant::now();
    try_join_all(connections.into_iter().map(|mut connection| {
        let next = &next;
        async move {
            while next.get() < requests {
                let number = next.get();
                next.set(number + 1);
                post(&mut connection, receiver, number).await?;
            }
            Ok::<_, Failure>(())
        }
    }))
    .await?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = seconds(Processes::now()?.ticks_of(pid) - before);
    Ok(format!("{wall} {cpu}\n"))
}

async fn connect(receiver: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(receiver).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// What a dispatcher does at least: sign, send, and read the answer.
async fn post(
    connection: &mut SendRequest<Full<Bytes>>,
    receiver: SocketAddr,
    number: usize,
) -> Result<(), Failure> {
    let data = format!("{{\"number\":{number},\"filling\":\"");
    let filling = "x".repeat(DATA_BYTES.saturating_sub(data.len() + 2));
    let body = format!(
        "{{\"id\":\"evt_01a1fd98ff3b78158a65084200292535\",\"type\":\"bid.accepted\",\"data\":{data}{filling}\"}}}}"
    );
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_5f1c3b0d9a8e7f6c5b4a39281706f5e4d3c2b1a0")?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let request = Request::post("/0")
        .header("host", receiver.to_string())
        .header("content-type", "application/json")
        .header("user-agent", "plumbline-bench")
        .header("BuildWorkPro-Signature", format!("t={seconds},v1={hex}"))
        .body(Full::new(Bytes::from(body)))?;
    connection.ready().await?;
    let answer = connection.send_request(request).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    if status.is_success() {
        Ok(())
    } else {
        Err(Failure::new(format!("the receiver answered {status}")))
    }
}
