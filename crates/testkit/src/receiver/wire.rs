//! HTTP/1.1 byte by byte, because no HTTP library lets itself be misused this much.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{Received, Reply, Shared};

/// What a test's request may have at most; more is a mistake of the sender.
const HEAD_BYTES_MAX: usize = 256 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Whether the connection goes on after an answer.
enum After {
    Next,
    End,
}

/// Serve one connection until either side ends it.
pub(super) async fn converse(mut stream: TcpStream, connection: usize, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = BytesMut::new();
    if greets_in_tls(&mut stream, &mut buffer).await {
        // As web servers do on a port without TLS.
        let _ = stream
            .write_all(b"HTTP/1.1 400 Plain HTTP\r\ncontent-length: 0\r\n\r\n")
            .await;
        return;
    }
    while let Some(request) = read_request(&mut stream, &mut buffer, connection).await {
        let reply = shared.received(request);
        match Box::pin(give(&mut stream, reply)).await {
            Ok(After::Next) => {}
            Ok(After::End) | Err(_) => return,
        }
    }
}

/// Whether the first byte is that of a TLS handshake.
async fn greets_in_tls(stream: &mut TcpStream, buffer: &mut BytesMut) -> bool {
    const HANDSHAKE: u8 = 22;
    stream.read_buf(buffer).await.is_ok() && buffer.first() == Some(&HANDSHAKE)
}

async fn give(stream: &mut TcpStream, mut reply: Reply) -> std::io::Result<After> {
    loop {
        reply = match reply {
            Reply::Behind(gate, inner) => {
                gate.opened().await;
                *inner
            }
            Reply::After(wait, inner) => {
                sleep(wait).await;
                *inner
            }
            other => break give_now(stream, other).await,
        }
    }
}

async fn give_now(stream: &mut TcpStream, reply: Reply) -> std::io::Result<After> {
    match reply {
        Reply::Answer {
            status,
            headers,
            body,
        } => {
            let mut head = head(status);
            for (name, value) in &headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            if status != 204 && status != 304 {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            head.push_str("\r\n");
            // In one write, so that a small answer is one segment.
            stream.write_all(&[head.as_bytes(), &body].concat()).await?;
            Ok(After::Next)
        }
        Reply::Hang => {
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            Ok(After::End)
        }
        Reply::TrickleHeaders { every } => {
            stream
                .write_all(format!("{}x-slow: ", head(200)).as_bytes())
                .await?;
            drip(stream, every).await
        }
        Reply::TrickleBody { status, every } => {
            stream
                .write_all(format!("{}content-length: 1000000\r\n\r\n", head(status)).as_bytes())
                .await?;
            drip(stream, every).await
        }
        Reply::EndlessBody { status } => {
            stream
                .write_all(format!("{}transfer-encoding: chunked\r\n\r\n", head(status)).as_bytes())
                .await?;
            let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Reply::Reset => {
            stream.set_zero_linger()?;
            Ok(After::End)
        }
        Reply::AnswerThenReset { status } => {
            stream
                .write_all(format!("{}content-length: 8\r\n\r\nhalf", head(status)).as_bytes())
                .await?;
            // A reset overtakes what the peer's kernel has not handed over yet. Its next move shows that it has
            // read: either it closes, or it says something, or it has had all the time it needs.
            let mut byte = [0; 1];
            tokio::select! {
                _ = stream.read(&mut byte) => {}
                () = sleep(Duration::from_millis(200)) => {}
            }
            stream.set_zero_linger()?;
            Ok(After::End)
        }
        Reply::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            Ok(After::End)
        }
        Reply::Behind(..) | Reply::After(..) => unreachable!("unwrapped by the caller"),
    }
}

fn head(status: u16) -> String {
    format!("HTTP/1.1 {status} As-Asked\r\n")
}

async fn drip(stream: &mut TcpStream, every: Duration) -> std::io::Result<After> {
    loop {
        stream.write_all(b"x").await?;
        sleep(every).await;
    }
}

/// The next request of a connection; `None` at its end or when it is not HTTP.
async fn read_request(stream: &mut TcpStream, buffer: &mut BytesMut, connection: usize) -> Option<Received> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = buffer.split_to(head_end);
    let head = std::str::from_utf8(&head).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let value = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    };
    let body = if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream, buffer).await?
    } else {
        let length = value("content-length").map_or(Some(0), |length| length.parse().ok())?;
        take(stream, buffer, length).await?
    };
    Some(Received {
        method,
        path,
        headers,
        body,
        at: Instant::now(),
        wall: SystemTime::now(),
        connection,
        answer: None,
    })
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let line_end = loop {
            if let Some(at) = buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        };
        let line = buffer.split_to(line_end + 2);
        let size = std::str::from_utf8(&line)
            .ok()?
            .trim()
            .split(';')
            .next()?
            .to_owned();
        let size = usize::from_str_radix(&size, 16).ok()?;
        let chunk = take(stream, buffer, size + 2).await?;
        if size == 0 {
            return Some(body.freeze());
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> Option<Bytes> {
    if length > BODY_BYTES_MAX {
        return None;
    }
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    Some(buffer.split_to(length).freeze())
}
