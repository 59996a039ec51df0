//! Where a request enters and its response leaves: ids, headers, failures in the dialect's words, figures, the log.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, web};
use plumbline_domain::trace::{Moment, Span, SpanKind};
use plumbline_domain::{Timestamp, Tracer};
use plumbline_engine::trace;
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;

use super::connections::Connection;
use super::door::tell_standing;
use super::{Failure, RequestId};
use crate::dialects::Dialect;
use crate::figures::Figures;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where a request that is part of a trace says so.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the edge needs. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Edge {
    /// Where requests are counted.
    pub(crate) figures: Figures,
    /// The process's own runtime. actix serves each connection on a runtime of its worker, which ends before the
    /// rest of the process does: what a use case spawns, a database connection above all, must outlive it.
    pub(crate) runtime: Handle,
    /// Where spans go.
    pub(crate) tracer: Tracer,
}

/// A request as the figures and the log count it.
pub(crate) struct Measured<'a> {
    /// The route's pattern, never the path: that would be a label per record.
    pub(crate) route: &'a str,
    /// The method.
    pub(crate) method: &'a Method,
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Answer one request, whatever happens inside.
pub(crate) async fn edge<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let edge = request.app_data::<web::Data<Edge>>().cloned();
    let id = RequestId::fresh();
    request.extensions_mut().insert(id);
    let dialect = Dialect::of(request.path());
    let _answering = request.conn_data::<Arc<Connection>>().map(Connection::answer);

    let span = edge.as_ref().and_then(|edge| enter(&edge.tracer, &request));
    let answering = trace::within(span.as_ref().map(Span::context), next.call(request));
    let response = match &edge {
        Some(edge) => TokioContext::new(answering, edge.runtime.clone()).await?,
        None => answering.await?,
    };
    let mut response = response.map_into_boxed_body();

    let stranger;
    let failure = match response.response().error() {
        None => None,
        Some(error) => match error.as_error::<Failure>() {
            Some(failure) => Some(failure),
            None => {
                stranger = Failure::Unexpected(error.to_string());
                Some(&stranger)
            }
        },
    };
    if let Some(failure) = failure {
        let method = response.request().method().clone();
        let path = response.request().path().to_owned();
        if failure.is_ours() {
            tracing::error!(request.id = %id, http.method = %method, http.path = path, error = failure.chain(), "a request failed");
        } else {
            tracing::debug!(request.id = %id, http.method = %method, http.path = path, error = failure.chain(), "a request was refused");
        }
        let rendered = dialect.render(failure, id);
        response = response.into_response(rendered);
    }
    let request = response.request().clone();
    tell_standing(&request, response.headers_mut());
    finish(response.response_mut(), id);

    if let Some(edge) = edge {
        let route = response.request().match_pattern();
        let measured = Measured {
            route: route.as_deref().unwrap_or("none"),
            method: response.request().method(),
            status: response.status(),
            seconds: started.elapsed().as_secs_f64(),
        };
        edge.figures.observe(&measured);
        if let Some(span) = span {
            leave(span, &measured, id);
        }
    }
    Ok(response)
}

/// Begin a request's span, if it is recorded. Who sends two contexts has sent none.
fn enter(tracer: &Tracer, request: &ServiceRequest) -> Option<Span> {
    if !tracer.is_on() {
        return None;
    }
    let mut sent = request.headers().get_all(TRACEPARENT);
    let traceparent = sent.next().filter(|_| sent.next().is_none());
    let traceparent = traceparent.and_then(|value| value.to_str().ok());
    let now = Moment::new(Timestamp::now(), rand::random());
    tracer.enter(traceparent, SpanKind::Server, now)
}

fn leave(mut span: Span, measured: &Measured<'_>, id: RequestId) {
    span.rename(format!("{} {}", measured.method, measured.route));
    span.note("http.request.method", measured.method.to_string());
    span.note("http.route", measured.route.to_owned());
    span.note("http.response.status_code", measured.status.as_u16());
    span.note("plumbline.request.id", id.to_string());
    if measured.status.is_server_error() {
        span.fail(measured.status.as_str().to_owned());
    }
    span.finish(Timestamp::now());
}

/// What every response has.
fn finish(response: &mut HttpResponse, id: RequestId) {
    let headers = response.headers_mut();
    // `req_` and hex digits are a header value; without the header the response would still be right.
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        // A page of the console may know better.
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
