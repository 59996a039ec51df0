//! What is read of an answer, and what is kept of that.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::{Body as _, Incoming};
use plumbline_domain::outcome::{
    BODY_KEPT_BYTES_MAX, BODY_READ_BYTES_MAX, BODY_READ_TIME_MAX, KEPT_RESPONSE_HEADERS, parse_retry_after,
};
use plumbline_domain::{Answer, StatusCode, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::connection::{Driver, drive};
use super::failure::Deadline;

/// The longest value of a response header that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;

/// How the reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// It was read to its end.
    Read,
    /// It was too long, too slow or broken; the rest is not wanted.
    CutOff,
}

/// The headers are here, so the status counts whatever becomes of the body, which is for the log.
pub(super) async fn read(
    response: Response<Incoming>,
    deadline: Deadline,
    driver: &mut Option<Driver>,
) -> (Answer, BodyEnd) {
    let (head, mut body) = response.into_parts();
    let retry_after = head.headers.get("retry-after").and_then(|value| {
        let value = value.to_str().ok()?;
        parse_retry_after(value, Timestamp::now())
    });
    let mut kept = Vec::new();
    let end = if body.is_end_stream() {
        BodyEnd::Read
    } else {
        let until = deadline.at().min(Instant::now() + BODY_READ_TIME_MAX);
        let reading = drive(driver, read_body(&mut body, &mut kept));
        timeout_at(until, reading).await.unwrap_or(BodyEnd::CutOff)
    };
    let answer = Answer {
        status: StatusCode(head.status.as_u16()),
        retry_after,
        headers: kept_headers(&head.headers),
        body: Bytes::from(kept),
    };
    (answer, end)
}

/// Copies what is kept: a slice would hold on to the connection's whole buffer.
async fn read_body(body: &mut Incoming, kept: &mut Vec<u8>) -> BodyEnd {
    let mut unread = BODY_READ_BYTES_MAX;
    loop {
        let frame = match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return BodyEnd::Read,
            Some(Err(_)) => return BodyEnd::CutOff,
            Some(Ok(frame)) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue; // Trailers.
        };
        let room = (BODY_KEPT_BYTES_MAX - kept.len()).min(unread).min(data.len());
        kept.extend_from_slice(&data[..room]);
        match unread.checked_sub(data.len()) {
            Some(rest) => unread = rest,
            None => return BodyEnd::CutOff,
        }
        if body.is_end_stream() {
            return BodyEnd::Read;
        }
        if unread == 0 {
            return BodyEnd::CutOff;
        }
    }
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    KEPT_RESPONSE_HEADERS
        .iter()
        .filter_map(|name| {
            Some((
                (*name).to_owned(),
                shown(headers.get(*name)?.as_bytes()).into_owned(),
            ))
        })
        .collect()
}

/// A value as far as it is text and of reasonable length.
fn shown(value: &[u8]) -> Cow<'_, str> {
    let mut shown = String::from_utf8_lossy(value);
    if shown.len() > VALUE_BYTES_MAX {
        let end = shown.floor_char_boundary(VALUE_BYTES_MAX);
        shown.to_mut().truncate(end);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_shown_as_text_of_bounded_length() {
        assert_eq!(shown(b"text/plain"), "text/plain");
        assert_eq!(shown(b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(shown(&[b'x'; 5_000]).len(), VALUE_BYTES_MAX);
        let wide = "é".repeat(5_000);
        assert!(shown(wide.as_bytes()).len() <= VALUE_BYTES_MAX);
        assert!(shown(&[0xff; 5_000]).len() <= VALUE_BYTES_MAX);
    }

    #[test]
    fn only_the_headers_of_the_log_are_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("set-cookie", "secret"),
            ("x-request-id", "7"),
        ] {
            headers.insert(name, value.parse().expect("a value"));
        }
        let kept = [("content-type", "text/plain"), ("x-request-id", "7")];
        assert_eq!(
            kept_headers(&headers),
            kept.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
