//! Request bodies: read once, within bounds of size, time and memory, and only after the caller is known.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use plumbline_engine::Idempotency;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Failure, Fields, RequestId, query::Parameters};

/// The largest body of any request.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest that a body may take to arrive.
const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of large bodies in memory at once, over all requests; a request waits for its share. While one is read into
/// values it is there twice.
const LARGE_BODIES_BYTES_MAX: usize = 128 * 1024 * 1024;
/// From this size on, a body counts as large; smaller ones are bounded by the number of connections.
const LARGE_BODY_BYTES: usize = 64 * 1024;
/// What one permit of the budget stands for.
const PERMIT_BYTES: usize = 1024;
/// The longest `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// The memory that large bodies share. Clones share it too.
#[derive(Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl Default for BodyBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_BODIES_BYTES_MAX / PERMIT_BYTES)))
    }
}

impl BodyBudget {
    /// Room for a body of up to this many bytes; `None` for a small one, which needs no share.
    async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes <= LARGE_BODY_BYTES {
            return None;
        }
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        // The semaphore is never closed; without a permit the body would merely be uncounted.
        self.0.clone().acquire_many_owned(permits).await.ok()
    }
}

/// A request that changes something, its body not yet read: authorise first, then [`read`](Incoming::read).
pub(crate) struct Incoming {
    request: HttpRequest,
    payload: Payload,
}

/// A request that changes something.
pub(crate) struct Mutation {
    /// The body.
    pub(crate) body: Body,
    /// Which request this is.
    pub(crate) request_id: RequestId,
    /// The client's promise about repetitions, if it made one.
    pub(crate) idempotency: Option<Idempotency>,
}

/// A whole body, and its share of the memory for as long as it is there.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Body {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Forget its bytes, and keep its share for what was read of it.
    pub(crate) fn forget(&mut self) {
        self.bytes = Bytes::new();
    }

    /// The members of its JSON object.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, Failure> {
        Fields::of_body(&self.bytes)
    }

    /// The body must say nothing: empty, or `{}`.
    pub(crate) fn is_void(&self) -> Result<(), Failure> {
        self.fields()?.finish(Some(()))
    }
}

impl FromRequest for Incoming {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Ok(Self {
            request: request.clone(),
            payload: payload.take(),
        }))
    }
}

impl Incoming {
    /// Read the body and the headers that belong to every mutation.
    pub(crate) async fn read(self) -> Result<Mutation, Failure> {
        let Self { request, payload } = self;
        Parameters::of(&request).finish()?;
        let key = idempotency_key(request.headers())?;
        let body = match timeout(BODY_READ_TIMEOUT, read_body(&request, payload)).await {
            Ok(body) => body?,
            Err(_) => return Err(Failure::TooSlow(BODY_READ_TIMEOUT)),
        };
        let idempotency = key.map(|key| Idempotency {
            key,
            request_hash: request_hash(&request, &body.bytes),
        });
        Ok(Mutation {
            body,
            request_id: RequestId::of(&request),
            idempotency,
        })
    }
}

async fn read_body(request: &HttpRequest, mut payload: Payload) -> Result<Body, Failure> {
    let too_large = || Failure::BodyTooLarge {
        limit: BODY_BYTES_MAX,
    };
    let announced = announced_bytes(request.headers());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let budget = request
        .app_data::<web::Data<BodyBudget>>()
        .map(|budget| budget.get_ref().clone())
        .unwrap_or_default();
    let is_chunked = request.headers().contains_key("transfer-encoding");
    let expected = announced.unwrap_or(if is_chunked { BODY_BYTES_MAX } else { 0 });
    let share = budget.reserve(expected).await;

    let mut bytes = BytesMut::with_capacity(announced.unwrap_or_default());
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| Failure::Malformed("the request's body broke off: send it again".to_owned()))?;
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    if !bytes.is_empty() {
        check_media_type(request.headers())?;
    }
    Ok(Body {
        bytes: bytes.freeze(),
        _share: share,
    })
}

fn announced_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body is plain JSON in UTF-8: anything else would be read as something that it is not.
fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map_or("utf-8", |(_, charset)| charset.trim().trim_matches('"'));
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(Failure::UnsupportedMediaType(
            "send the body as JSON, with `Content-Type: application/json`",
        ));
    }
    if !charset.eq_ignore_ascii_case("utf-8") {
        return Err(Failure::UnsupportedMediaType("send the JSON in UTF-8"));
    }
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => Err(Failure::UnsupportedMediaType(
            "send the body uncompressed, without `Content-Encoding`",
        )),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    const NAME: &str = "Idempotency-Key";
    let mut values = headers.get_all(NAME);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Failure::invalid(
            NAME,
            "duplicate_header",
            "is given twice: send it once",
        ));
    }
    let bytes = value.as_bytes();
    if !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len()) || !bytes.iter().all(u8::is_ascii_graphic) {
        let remedy =
            format!("must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, such as a UUID");
        return Err(Failure::invalid(NAME, "invalid", remedy));
    }
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

/// SHA-256 over method, path and body. A line feed occurs in neither of the first two.
fn request_hash(request: &HttpRequest, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(request.method().as_str());
    hash.update("\n");
    hash.update(request.path());
    hash.update("\n");
    hash.update(body);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    async fn read(request: TestRequest) -> Result<Mutation, Failure> {
        let (request, mut payload) = request.to_http_parts();
        Incoming::from_request(&request, &mut payload).await?.read().await
    }

    fn json(body: impl Into<Bytes>) -> TestRequest {
        TestRequest::post()
            .uri("/api/v1/x")
            .insert_header((CONTENT_TYPE, "application/json"))
            .set_payload(body)
    }

    #[actix_web::test]
    async fn a_body_is_json_in_utf_8_and_nothing_else() {
        for (media_type, accepted) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let request = TestRequest::post()
                .insert_header((CONTENT_TYPE, media_type))
                .set_payload("{}");
            assert_eq!(read(request).await.is_ok(), accepted, "{media_type}");
        }
        let unsaid = TestRequest::post().set_payload("{}");
        assert!(matches!(
            read(unsaid).await,
            Err(Failure::UnsupportedMediaType(_))
        ));
        assert!(
            read(TestRequest::post()).await.is_ok(),
            "no body needs no media type"
        );
        let zipped = json("{}").insert_header((CONTENT_ENCODING, "gzip"));
        assert!(matches!(
            read(zipped).await,
            Err(Failure::UnsupportedMediaType(_))
        ));
    }

    #[actix_web::test]
    async fn a_body_that_is_too_large_is_refused() {
        let largest = vec![b' '; BODY_BYTES_MAX];
        assert!(read(json(largest.clone())).await.is_ok());
        assert!(matches!(
            read(json([largest, vec![b' ']].concat())).await,
            Err(Failure::BodyTooLarge { .. })
        ));
    }

    #[actix_web::test]
    async fn an_idempotency_key_is_visible_ascii() {
        let longest = "k".repeat(255);
        for (key, accepted) in [
            ("a", true),
            (&*longest, true),
            ("", false),
            ("a b", false),
            ("é", false),
        ] {
            let outcome = read(json("{}").insert_header(("Idempotency-Key", key))).await;
            assert_eq!(outcome.is_ok(), accepted, "{key:?}");
        }
        let too_long = "k".repeat(256);
        assert!(matches!(
            read(json("{}").insert_header(("idempotency-key", too_long))).await,
            Err(Failure::Invalid(_))
        ));
        let twice = json("{}")
            .append_header(("Idempotency-Key", "a"))
            .append_header(("Idempotency-Key", "a"));
        assert!(matches!(read(twice).await, Err(Failure::Invalid(_))));
        assert!(matches!(
            read(json("{}")).await,
            Ok(Mutation {
                idempotency: None,
                ..
            })
        ));
    }

    #[actix_web::test]
    async fn the_hash_covers_method_path_and_body() {
        let hash = async |request: TestRequest| {
            let mutation = read(request.insert_header(("Idempotency-Key", "k")))
                .await
                .expect("accepted");
            mutation.idempotency.expect("it has a key").request_hash
        };
        let one = hash(json("{}")).await;
        assert_eq!(one, hash(json("{}")).await);
        assert_ne!(one, hash(json("{ }")).await);
        assert_ne!(one, hash(json("{}").uri("/api/v1/y")).await);
        assert_ne!(one, hash(json("{}").method(actix_web::http::Method::PATCH)).await);
    }

    #[actix_web::test]
    async fn a_parameter_that_no_mutation_takes_is_refused() {
        let refused = read(json("{}").uri("/api/v1/x?dryRun=true")).await;
        assert!(
            matches!(refused, Err(Failure::Invalid(_))),
            "it would be a wet run"
        );
    }

    // Time jumps ahead whenever everything waits.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_is_given_up() {
        let (request, _) = json("").to_http_parts();
        let trickle = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(BODY_READ_TIMEOUT / 10).await;
            Some((Ok(Bytes::from_static(b" ")), ()))
        });
        let mut payload: Payload = Payload::Stream {
            payload: Box::pin(trickle),
        };
        let incoming = Incoming::from_request(&request, &mut payload)
            .await
            .expect("its head is in order");
        assert!(matches!(
            incoming.read().await,
            Err(Failure::TooSlow(BODY_READ_TIMEOUT))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let budget = BodyBudget::default();
        let mut held = vec![];
        for _ in 0..LARGE_BODIES_BYTES_MAX / BODY_BYTES_MAX {
            held.push(budget.reserve(BODY_BYTES_MAX).await);
        }
        assert!(
            timeout(BODY_READ_TIMEOUT, budget.reserve(LARGE_BODY_BYTES + 1))
                .await
                .is_err()
        );
        assert!(budget.reserve(LARGE_BODY_BYTES).await.is_none());
        held.pop();
        assert!(budget.reserve(BODY_BYTES_MAX).await.is_some());
    }
}
