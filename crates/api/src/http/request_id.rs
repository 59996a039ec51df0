//! The id of a request: drawn here for each one, in the response, in the log, in a support ticket.

use std::fmt;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use std::future::{Ready, ready};
use uuid::Uuid;

use super::Failure;

/// `req_` and 32 hex digits that sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(Uuid);

impl RequestId {
    /// A fresh one. What a client sends as its own id is not taken over: it could be anybody's.
    pub(crate) fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that the edge gave this request.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let given = request.extensions().get::<Self>().copied();
        // Only a test that calls a handler without the edge gets here without one.
        given.unwrap_or_else(Self::fresh)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "req_{}", self.0.as_simple())
    }
}

impl FromRequest for RequestId {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_req_and_hex_and_never_the_same() {
        let (one, other) = (RequestId::fresh().to_string(), RequestId::fresh().to_string());
        assert!(one.starts_with("req_") && one.len() == 36, "{one}");
        assert_ne!(one, other);
    }
}
