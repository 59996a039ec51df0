//! A bounded load on a running development stack: publish, count what arrives, and say what it cost.
//!
//! Reads the stack's addresses and process ids from the environment (`. .local/dev.env`). It talks to loopback
//! addresses only and ends by itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Publish events over several connections to one endpoint and report rates, losses and CPU by process.
#[derive(Parser)]
struct Load {
    /// Events to publish.
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Connections that publish at once, each waiting for its answer.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Size of each event's `data`, in bytes.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// Give up on what has not arrived after this many seconds without an arrival.
    #[arg(long, default_value_t = 20)]
    patience: u64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Default)]
struct Arrivals {
    /// How often each event arrived, by its number in the load.
    seen: Mutex<HashMap<usize, usize>>,
    total: AtomicUsize,
    last: Mutex<Option<Instant>>,
    changed: Notify,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let load = Load::parse();
    let url = variable("PLUMBLINE_URL")?;
    let api: SocketAddr = url.trim_start_matches("http://").trim_end_matches('/').parse()?;
    if !api.ip().is_loopback() {
        return Err("PLUMBLINE_URL is not a loopback address: the load goes to this machine only".into());
    }
    let key = variable("PLUMBLINE_API_KEY")?;
    let processes = processes()?;

    let arrivals = Arc::new(Arrivals::default());
    let receiver = TcpListener::bind("127.0.0.1:0").await?;
    let hook = format!("http://{}/load", receiver.local_addr()?);
    tokio::spawn(receive(receiver, arrivals.clone()));
    let endpoint = create_endpoint(api, &key, &hook).await?;

    let before = cpu(&processes);
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..load.connections)
        .map(|_| tokio::spawn(publish(api, key.clone(), load.events, load.bytes, next.clone())))
        .collect();
    let mut accepted = 0;
    for publisher in publishers {
        accepted += publisher.await??;
    }
    let accepting = started.elapsed();
    while arrivals.seen.lock().len() < accepted {
        let patience = Duration::from_secs(load.patience);
        if tokio::time::timeout(patience, arrivals.changed.notified())
            .await
            .is_err()
        {
            break;
        }
    }
    let delivering = arrivals
        .last
        .lock()
        .unwrap_or_else(Instant::now)
        .duration_since(started);
    // Recording follows the arrivals: wait until the outbox is empty, as the deliveries' statuses show.
    settle(&processes).await;
    let after = cpu(&processes);
    request(
        api,
        &key,
        "DELETE",
        &format!("/api/v1/webhook-endpoints/{endpoint}"),
        "",
    )
    .await?;

    let delivered = arrivals.seen.lock().len();
    let duplicates = arrivals.total.load(Ordering::Relaxed) - delivered;
    let rate = |count: usize, time: Duration| count as f64 / time.as_secs_f64();
    let mut out = format!(
        "accepted   {accepted} events in {:.2} s: {:.0}/s\ndelivered  {} in {:.2} s: {:.0}/s\nlost       {}\nduplicates {duplicates}\nCPU us per delivery:\n",
        accepting.as_secs_f64(),
        rate(accepted, accepting),
        delivered,
        delivering.as_secs_f64(),
        rate(delivered, delivering),
        accepted - delivered.min(accepted),
    );
    let mut sum = 0.0;
    for (name, used) in &after {
        let spent = used
            - before
                .iter()
                .find(|(known, _)| known == name)
                .map_or(0.0, |(_, used)| *used);
        let each = spent * 1e6 / delivered.max(1) as f64;
        sum += each;
        out.push_str(&format!("  {name:<11} {each:>7.1}\n"));
    }
    out.push_str(&format!("  {:<11} {sum:>7.1}\n", "all"));
    tokio::io::stdout().write_all(out.as_bytes()).await?;
    Ok(())
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name)
        .map_err(|_| format!("{name} is not set: run `make up`, then `. .local/dev.env`").into())
}

/// The processes by name; several of a kind count together.
fn processes() -> Result<Vec<(&'static str, Vec<u32>)>, Failure> {
    let pids = |name: &str| -> Result<Vec<u32>, Failure> {
        Ok(variable(name)?
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?)
    };
    Ok(vec![
        ("api", pids("PLUMBLINE_API_PID")?),
        ("dispatcher", pids("PLUMBLINE_DISPATCHER_PIDS")?),
        ("postgresql", pids("PLUMBLINE_POSTGRES_PID")?),
        ("rabbitmq", pids("PLUMBLINE_RABBITMQ_PID")?),
    ])
}

/// CPU seconds used so far, user and system, with those of each process's living and reaped children.
fn cpu(processes: &[(&'static str, Vec<u32>)]) -> Vec<(&'static str, f64)> {
    let table = stat_table();
    processes
        .iter()
        .map(|(name, pids)| {
            let ticks: u64 = table
                .iter()
                .filter(|(pid, stat)| {
                    pids.contains(pid) || (*name == "postgresql" && pids.contains(&stat.parent))
                })
                .map(|(pid, stat)| stat.own + if pids.contains(pid) { stat.reaped } else { 0 })
                .sum();
            (*name, ticks as f64 / 100.0)
        })
        .collect()
}

struct Stat {
    parent: u32,
    own: u64,
    reaped: u64,
}

fn stat_table() -> HashMap<u32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks = |index: usize| {
                fields
                    .get(index)
                    .and_then(|field| field.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            let stat = Stat {
                parent: fields.get(1)?.parse().ok()?,
                own: ticks(11) + ticks(12),
                reaped: ticks(13) + ticks(14),
            };
            Some((pid, stat))
        })
        .collect()
}

/// Wait until the processes have been nearly idle for half a second, at most ten seconds.
async fn settle(processes: &[(&'static str, Vec<u32>)]) {
    for _ in 0..20 {
        let before: f64 = cpu(processes).iter().map(|(_, used)| used).sum();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let after: f64 = cpu(processes).iter().map(|(_, used)| used).sum();
        if after - before < 0.05 {
            return;
        }
    }
}

/// Answer every request with an empty 200 and note which events came.
async fn receive(listener: TcpListener, arrivals: Arc<Arrivals>) {
    while let Ok((stream, _)) = listener.accept().await {
        let arrivals = arrivals.clone();
        tokio::spawn(async move {
            let _ = serve(stream, &arrivals).await;
        });
    }
}

async fn serve(mut stream: TcpStream, arrivals: &Arrivals) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    while let Some((_, body)) = read_message(&mut stream, &mut buffer).await? {
        let text = String::from_utf8_lossy(&body);
        let number = text.split_once("\"number\":").and_then(|(_, rest)| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|digits| digits.parse::<usize>().ok())
        });
        if let Some(number) = number {
            *arrivals.seen.lock().entry(number).or_default() += 1;
            arrivals.total.fetch_add(1, Ordering::Relaxed);
            *arrivals.last.lock() = Some(Instant::now());
            arrivals.changed.notify_one();
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await?;
    }
    Ok(())
}

async fn publish(
    api: SocketAddr,
    key: String,
    events: usize,
    bytes: usize,
    next: Arc<AtomicUsize>,
) -> Result<usize, Failure> {
    let mut stream = TcpStream::connect(api).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    let mut accepted = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= events {
            return Ok(accepted);
        }
        let data = format!("{{\"number\":{number},\"filling\":\"");
        let filling = "x".repeat(bytes.saturating_sub(data.len() + 2));
        let body = format!("{{\"type\":\"bid.accepted\",\"data\":{data}{filling}\"}}}}");
        send(&mut stream, api, &key, "POST", "/api/v1/events", &body).await?;
        match read_message(&mut stream, &mut buffer).await? {
            Some((202, _)) => accepted += 1,
            Some((status, body)) => {
                return Err(format!(
                    "publishing was answered {status}: {}",
                    String::from_utf8_lossy(&body)
                )
                .into());
            }
            None => return Err("the API closed the connection".into()),
        }
    }
}

async fn create_endpoint(api: SocketAddr, key: &str, hook: &str) -> Result<u64, Failure> {
    let body = format!("{{\"url\":\"{hook}\",\"eventTypes\":[\"bid.accepted\"]}}");
    let (status, answer) = request(api, key, "POST", "/api/v1/webhook-endpoints", &body).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    answer["data"]["id"]
        .as_u64()
        .ok_or_else(|| format!("the endpoint was answered {status}: {answer}").into())
}

async fn request(
    api: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = TcpStream::connect(api).await?;
    send(&mut stream, api, key, method, path, body).await?;
    read_message(&mut stream, &mut Vec::new())
        .await?
        .ok_or_else(|| "no answer".into())
}

async fn send(
    stream: &mut TcpStream,
    api: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(), Failure> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {api}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), body.as_bytes()].concat())
        .await?;
    Ok(())
}

/// The next HTTP/1.1 message with a content length: the status (0 for a request) and the body.
async fn read_message(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> Result<Option<(u16, Vec<u8>)>, Failure> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let status = head
                    .strip_prefix("http/1.1 ")
                    .and_then(|rest| rest.get(..3)?.parse().ok())
                    .unwrap_or(0);
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Some((status, body)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
