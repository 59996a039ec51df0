//! HTTP/1.1 as far as both ends of a measurement need it: messages with a content length, one after the other.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A head that is longer is none of ours.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// A body that is longer is none of ours.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Room for a usual message without growing.
const BUFFER_BYTES: usize = 8 * 1024;

/// The messages that come in on a connection.
#[derive(Debug)]
pub(crate) struct Messages<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Bytes of the buffer that the last message took.
    taken: usize,
}

/// A whole message, in the connection's buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The first line: of a request, or of an answer.
    pub(crate) first_line: &'a [u8],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl<S> Messages<S> {
    /// Nothing has been read yet.
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            taken: 0,
        }
    }

    /// The connection, to write to.
    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> Messages<S> {
    /// The next message, or `None` when the other side has closed the connection between two.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Message<'_>>> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let (line, body) = loop {
            if let Some(found) = parts(&self.buffer)? {
                break found;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        self.taken = body.end;
        Ok(Some(Message {
            first_line: &self.buffer[..line],
            body: &self.buffer[body],
        }))
    }
}

/// Where the first line ends and the body lies, if the message is whole.
fn parts(buffer: &[u8]) -> io::Result<Option<(usize, std::ops::Range<usize>)>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if buffer.len() > HEAD_BYTES_MAX {
            Err(invalid("the head is too long"))
        } else {
            Ok(None)
        };
    };
    let mut lines = buffer[..head].split(|byte| *byte == b'\n');
    let line = lines.next().map_or(0, |line| line.trim_ascii_end().len());
    let mut length = 0;
    for header in lines {
        let Some(colon) = header.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&header[..colon], header[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .filter(|length| *length <= BODY_BYTES_MAX)
                .ok_or_else(|| invalid("the content length is none"))?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(invalid("the body has a transfer encoding"));
        }
    }
    let body = head + 4..head + 4 + length;
    Ok((buffer.len() >= body.end).then_some((line, body)))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Message<'_> {
    /// An answer's status.
    pub(crate) fn status(&self) -> Option<u16> {
        let digits = self.first_line.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The number that a request's path is: `POST /17 HTTP/1.1`.
    pub(crate) fn path_number(&self) -> Option<usize> {
        let rest = self.first_line.strip_prefix(b"POST /")?;
        leading_number(rest)
    }

    /// The number of the event that a request carries.
    pub(crate) fn event_number(&self) -> Option<usize> {
        const FIELD: &[u8] = b"\"number\":";
        let at = self
            .body
            .windows(FIELD.len())
            .position(|window| window == FIELD)?;
        leading_number(self.body[at + FIELD.len()..].trim_ascii_start())
    }
}

fn leading_number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Vec<io::Result<Option<(Vec<u8>, Vec<u8>)>>> {
        let mut messages = Messages::new(bytes);
        let mut found = vec![];
        loop {
            let next = messages.next().await;
            let next = next.map(|next| next.map(|m| (m.first_line.to_vec(), m.body.to_vec())));
            let is_end = !matches!(next, Ok(Some(_)));
            found.push(next);
            if is_end {
                return found;
            }
        }
    }

    #[tokio::test]
    async fn messages_follow_each_other_on_a_connection() {
        let found = read(
            b"POST /7 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n\
              POST / HTTP/1.1\r\ncontent-length:2\r\n\r\nok",
        )
        .await;
        let found: Vec<_> = found.into_iter().map(|next| next.expect("readable")).collect();
        let message = |line: &str, body: &str| Some((line.as_bytes().to_vec(), body.as_bytes().to_vec()));
        assert_eq!(
            found,
            [
                message("POST /7 HTTP/1.1", "hello"),
                message("HTTP/1.1 204 No Content", ""),
                message("POST / HTTP/1.1", "ok"),
                None
            ]
        );
    }

    #[tokio::test]
    async fn what_is_cut_off_or_not_understood_is_an_error() {
        for bytes in [
            &b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell"[..],
            b"POST / HTTP/1.1\r\nConte",
            b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[b'x'; HEAD_BYTES_MAX + 1],
        ] {
            assert!(
                read(bytes).await.pop().is_some_and(|last| last.is_err()),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    #[test]
    fn numbers_are_read_from_paths_bodies_and_statuses() {
        for (line, body, path, event, status) in [
            (
                "POST /17 HTTP/1.1",
                r#"{"id":"evt_1","data":{"number":42,"filling":"x"}}"#,
                Some(17),
                Some(42),
                None,
            ),
            (
                "POST /17/x HTTP/1.1",
                r#"{"data":{"number": 0}}"#,
                Some(17),
                Some(0),
                None,
            ),
            ("POST / HTTP/1.1", r#"{"number":"7"}"#, None, None, None),
            ("GET /17 HTTP/1.1", "", None, None, None),
            ("HTTP/1.1 202 Accepted", "", None, None, Some(202)),
            ("HTTP/1.1 2", "", None, None, None),
        ] {
            let message = Message {
                first_line: line.as_bytes(),
                body: body.as_bytes(),
            };
            let found = (message.path_number(), message.event_number(), message.status());
            assert_eq!(found, (path, event, status), "{line} {body}");
        }
    }
}
