//! Whether a service of this machine is ready, for a health check where there is no other program to ask with.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Said;

/// Longest the service may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// More than `/readyz` ever says.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Ask the admin port at `at`. The exit code is 0 when it says ready, else 1.
pub(crate) async fn ready(at: SocketAddr) -> Said {
    let asked = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let (is_ready, words) = match timeout(DEADLINE, asked).await {
        Ok(Ok(answer)) => verdict(at, &answer),
        Ok(Err(error)) => (false, format!("{at} does not answer: {error}")),
        Err(_) => (
            false,
            format!("{at} does not answer within {} s", DEADLINE.as_secs()),
        ),
    };
    said(is_ready, words)
}

fn said(is_ready: bool, words: String) -> Said {
    (
        json!({ "ready": is_ready, "explanation": words }),
        words,
        u8::from(!is_ready),
    )
}

/// What an answer means: the status decides, the body explains.
fn verdict(at: SocketAddr, answer: &[u8]) -> (bool, String) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status_line = head.lines().next().unwrap_or_default();
    let mut words = status_line.split(' ');
    match (words.next(), words.next()) {
        (Some(version), Some("200")) if version.starts_with("HTTP/1.") => (true, format!("{at} is ready")),
        (Some(version), Some(status)) if version.starts_with("HTTP/1.") => {
            (false, format!("{at} is not ready: {status} {}", body.trim()))
        }
        _ => (false, format!("{at} does not speak HTTP: is it an admin port?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, is_ready: bool, words: &str) {
        let at = SocketAddr::from(([127, 0, 0, 1], 9090));
        assert_eq!(
            verdict(at, answer.as_bytes()),
            (is_ready, format!("127.0.0.1:9090 {words}"))
        );
    }

    #[test]
    fn the_status_decides_and_the_body_explains() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", true, "is ready");
        check(
            "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"status\":\"not ready\"}\n",
            false,
            "is not ready: 503 {\"status\":\"not ready\"}",
        );
        check("HTTP/1.1 404 Not Found\r\n\r\n", false, "is not ready: 404 ");
        for strange in ["", "SSH-2.0-OpenSSH_9.2\r\n", "200"] {
            check(strange, false, "does not speak HTTP: is it an admin port?");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_not_ready() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let at = listener.local_addr().expect("it is bound");
        drop(listener);
        let (_, words, exit_code) = ready(at).await;
        assert_eq!(exit_code, 1);
        assert!(words.starts_with(&format!("{at} does not answer: ")), "{words}");
    }
}
