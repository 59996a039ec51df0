//! One change, one transaction, one stored answer: how every mutation of every dialect runs.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use plumbline_domain::TenantId;
use plumbline_engine::{Begun, Engine, Idempotency, StoredResponse, Unit};

use super::Failure;

/// Says that an answer is a repetition's, and that nothing was done again.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a mutation answers: to this request, and to a repetition of it.
pub(crate) struct Answer {
    status: StatusCode,
    body: String,
    /// The body for a repetition, where it differs: without the secret that is shown once.
    kept: Option<String>,
}

impl Answer {
    /// The same JSON for this request and for a repetition.
    pub(crate) fn json(status: StatusCode, body: String) -> Self {
        Self {
            status,
            body,
            kept: None,
        }
    }

    /// JSON with a secret for this request, and without it for a repetition (S0-15).
    pub(crate) fn shown_once(status: StatusCode, body: String, kept: String) -> Self {
        Self {
            status,
            body,
            kept: Some(kept),
        }
    }

    /// 204, which has no body.
    pub(crate) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: String::new(),
            kept: None,
        }
    }

    /// What a repetition will get.
    pub(crate) fn to_store(&self) -> StoredResponse {
        let body = self.kept.as_ref().unwrap_or(&self.body).clone();
        StoredResponse {
            status: self.status.as_u16(),
            body,
        }
    }

    /// The response to this request.
    pub(crate) fn into_response(self) -> HttpResponse {
        respond(self.status, self.body)
    }
}

/// Do `act` in one transaction with the idempotency key, or answer as it was answered before.
pub(crate) async fn change(
    engine: &Engine,
    tenant: TenantId,
    idempotency: Option<Idempotency>,
    act: impl AsyncFnOnce(&mut Unit) -> Result<Answer, Failure>,
) -> Result<HttpResponse, Failure> {
    let mut unit = match engine.begin(tenant, idempotency).await? {
        Begun::Fresh(unit) => unit,
        Begun::Replay(stored) => return Ok(replay(stored)),
    };
    let answer = match act(&mut unit).await {
        Ok(answer) => answer,
        Err(failure) => {
            unit.roll_back().await;
            return Err(failure);
        }
    };
    unit.commit(answer.to_store()).await?;
    Ok(answer.into_response())
}

/// The answer that the first request got, byte for byte.
pub(crate) fn replay(stored: StoredResponse) -> HttpResponse {
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let mut response = respond(status, stored.body);
    response
        .headers_mut()
        .insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

/// A response of JSON, or of nothing.
pub(crate) fn respond(status: StatusCode, body: String) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if status == StatusCode::NO_CONTENT {
        return response.finish();
    }
    response
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(body)
}
