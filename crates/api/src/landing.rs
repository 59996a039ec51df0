//! `GET /`: what a person sees who opens the service in a browser.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};

use crate::http::Failure;

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Plumbline</title>
<h1>Plumbline</h1>
<p>This service accepts events and delivers them as signed webhooks.</p>
<p>Its API is described by <a href=\"/api/v1/openapi.json\">an OpenAPI document</a>.</p>
</html>
";

/// The page.
pub(crate) async fn page() -> Result<HttpResponse, Failure> {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, html)).body(PAGE))
}
