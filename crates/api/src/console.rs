//! The web console: files that were built before, inside this binary.
//!
//! A debug build reads them from `crates/api/console/dist` each time. Where they were not built, a page says how.

use std::borrow::Cow;

use actix_web::http::Method;
use actix_web::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::http::Failure;

/// What the console's build leaves.
#[derive(RustEmbed)]
#[folder = "console/dist/"]
#[allow_missing = true]
#[exclude = ".gitignore"]
struct Built;

const INDEX: &str = "index.html";
/// It may be kept, and is asked for again: there is nothing of a customer in it.
const ASK_AGAIN: &str = "no-cache";
/// Whose names change with their content.
const ASSETS: &str = "assets/";
/// The console has no script and no style within its pages, calls nobody but this service, and is in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Encodings in which a file may lie beside itself, the smallest first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Plumbline</title>
<h1>Plumbline</h1>
<p>This service accepts events and delivers them as signed webhooks.</p>
<p>Its API is described by <a href=\"/api/v1/openapi.json\">an OpenAPI document</a>.</p>
<p>The web console is not in this build. In the checkout, <code>make console</code> builds it (with Node), and the next
<code>make build</code> puts it into the binary.</p>
</html>
";

/// Whatever no route has: a file of the console, one of its pages, or nothing.
pub(crate) async fn serve(request: HttpRequest) -> Result<HttpResponse, Failure> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Failure::NoRoute);
    }
    let path = request.path().trim_start_matches('/');
    if !path.is_empty() && !is_page(path) {
        let file = is_plain(path).then(|| best(&request, path)).flatten();
        return file
            .map(|file| answer(&request, path, file))
            .ok_or(Failure::NoRoute);
    }
    // A program that has mistaken the path wants to hear that, and no page.
    if !path.is_empty() && !wants_html(&request) {
        return Err(Failure::NoRoute);
    }
    Ok(match best(&request, INDEX) {
        Some(file) => answer(&request, INDEX, file),
        None => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, HeaderValue::from_static(media_type(INDEX))))
            .insert_header((CACHE_CONTROL, HeaderValue::from_static(ASK_AGAIN)))
            .body(NOT_BUILT),
    })
}

/// Whether the console shows something at this path: what it shows has no extension, and the APIs have their own.
fn is_page(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    !["api", "v1"].contains(&first) && !path.rsplit('/').next().unwrap_or_default().contains('.')
}

/// The names of built files have these characters only, and never lead upwards.
fn is_plain(path: &str) -> bool {
    !path.contains("..")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
}

fn wants_html(request: &HttpRequest) -> bool {
    text(request, ACCEPT).contains("text/html")
}

fn text(request: &HttpRequest, name: HeaderName) -> &str {
    let value = request.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A file, and the encoding in which it is sent.
struct Chosen {
    file: EmbeddedFile,
    encoding: Option<&'static str>,
}

/// The smallest form of a file that the client takes.
fn best(request: &HttpRequest, path: &str) -> Option<Chosen> {
    let taken = text(request, ACCEPT_ENCODING);
    let takes = |name: &str| {
        taken.split(',').any(|part| {
            let mut part = part.trim().split(';').map(str::trim);
            part.next() == Some(name)
                && part.all(|parameter| !["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&parameter))
        })
    };
    ENCODINGS
        .into_iter()
        .filter(|(name, _)| takes(name))
        .find_map(|(name, suffix)| {
            let file = Built::get(&format!("{path}{suffix}"))?;
            Some(Chosen {
                file,
                encoding: Some(name),
            })
        })
        .or_else(|| {
            Some(Chosen {
                file: Built::get(path)?,
                encoding: None,
            })
        })
}

fn answer(request: &HttpRequest, path: &str, Chosen { file, encoding }: Chosen) -> HttpResponse {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(file.metadata.sha256_hash()));
    let is_known = text(request, IF_NONE_MATCH)
        .split(',')
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    let lasting = if path.starts_with(ASSETS) {
        "public, max-age=31536000, immutable"
    } else {
        ASK_AGAIN
    };
    response
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(media_type(path))))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static(lasting)))
        .insert_header((CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
        .insert_header((VARY, HeaderValue::from_static("accept-encoding")))
        .insert_header((ETAG, tag));
    if let Some(encoding) = encoding {
        response.insert_header((CONTENT_ENCODING, HeaderValue::from_static(encoding)));
    }
    if is_known {
        return response.finish();
    }
    match file.data {
        Cow::Borrowed(bytes) => response.body(bytes),
        Cow::Owned(bytes) => response.body(bytes),
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_page_has_no_extension_and_is_not_of_an_api() {
        for (path, expected) in [
            ("endpoints/17", true),
            ("deliveries/dlv_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b", true),
            ("settings/developer/webhooks", true),
            ("v10", true),
            ("api", false),
            ("api/v1/nothing", false),
            ("v1/webhooks", false),
            ("assets/index-abc.js", false),
            ("favicon.ico", false),
        ] {
            assert_eq!(is_page(path), expected, "{path}");
        }
    }

    #[test]
    fn only_plain_names_are_looked_for() {
        for (path, expected) in [
            ("assets/index-Ab_1.js", true),
            ("assets/../../../Cargo.toml", false),
            ("assets/%2e%2e/x.js", false),
            ("a\\b.js", false),
        ] {
            assert_eq!(is_plain(path), expected, "{path}");
        }
    }

    #[actix_web::test]
    async fn what_no_page_can_have_is_not_found() {
        for request in [
            TestRequest::get()
                .uri("/api/v1/nothing")
                .insert_header((ACCEPT, "text/html")),
            TestRequest::get().uri("/deliveries"),
            TestRequest::get()
                .uri("/deliveries")
                .insert_header((ACCEPT, "application/json")),
            TestRequest::post().uri("/").insert_header((ACCEPT, "text/html")),
            TestRequest::get()
                .uri("/.gitignore")
                .insert_header((ACCEPT, "text/html")),
            TestRequest::get()
                .uri("/assets/none.js")
                .insert_header((ACCEPT, "*/*")),
        ] {
            let request = request.to_http_request();
            let served = serve(request.clone()).await;
            assert!(matches!(served, Err(Failure::NoRoute)), "{request:?}");
        }
    }

    #[actix_web::test]
    async fn a_person_gets_a_page_whether_or_not_the_console_is_built() {
        for path in ["/", "/endpoints/17"] {
            let request = TestRequest::get()
                .uri(path)
                .insert_header((ACCEPT, "text/html,application/xhtml+xml"))
                .to_http_request();
            let page = serve(request).await.expect("a page");
            let media = page
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            assert_eq!(media, Some("text/html; charset=utf-8"));
        }
    }
}
