//! The receivers' guide, `docs/receiving`, is true: each receiver in it runs, believes what the domain signs and nothing
//! else, and the pages show the files that were tested.

mod documents;
mod sample;

use std::collections::BTreeMap;

use hyper::Method;
use plumbline_domain::signing::Signer;
use plumbline_domain::{
    DeliveryId, EndpointId, Event, EventId, JsonText, Profile, ResourceUrls, SecretVersion, SigningSecret,
    TenantId, Timestamp,
};
use plumbline_testkit::http::{Answer, HttpClient};

use sample::{Language, Sample};

const NO_FIT: &str = "no signature fits: another secret, or the body is not the bytes that came";
const STALE: &str = "the timestamp is more than 300 s away from this clock";
/// Numbers, spaces, keys and letters that no serialiser writes again as they stand.
const DATA: &str =
    r#"{ "id":22, "amount":1250.00, "b":1,"a":{"z":12345678901234567890}, "name":"Zoë \u00e9\/ 🏗" }"#;

#[tokio::test]
async fn the_receivers_for_node_believe_us_and_only_us() {
    check_all(Language::Node).await;
}

#[tokio::test]
async fn the_receivers_for_python_believe_us_and_only_us() {
    check_all(Language::Python).await;
}

#[tokio::test]
async fn the_receivers_for_ruby_believe_us_and_only_us() {
    check_all(Language::Ruby).await;
}

#[tokio::test]
async fn the_receivers_for_php_believe_us_and_only_us() {
    check_all(Language::Php).await;
}

#[tokio::test]
async fn the_receivers_for_rust_believe_us_and_only_us() {
    check_all(Language::Rust).await;
}

#[tokio::test]
#[ignore = "Go takes 475 MB: `make test-guide` installs and uses it"]
async fn the_receivers_for_go_believe_us_and_only_us() {
    check_all(Language::Go).await;
}

async fn check_all(language: Language) {
    for profile in Profile::ALL {
        Check::start(profile, language).await.run().await;
    }
}

/// A request as a receiver gets it.
#[derive(Clone)]
struct Request {
    event: Event,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// A fresh event, signed with these secrets this long ago.
    fn new(profile: Profile, secrets: &[&SigningSecret], seconds_ago: i64) -> Self {
        let event = event(profile);
        let body = profile.body(&event, &ResourceUrls::new("https://example.com/{plural}/{id}"));
        let mut request = Self {
            event,
            headers: BTreeMap::new(),
            body: body.to_vec(),
        };
        request.sign(profile, secrets, seconds_ago);
        request
    }

    /// As the dispatcher signs each attempt.
    fn sign(&mut self, profile: Profile, secrets: &[&SigningSecret], seconds_ago: i64) {
        let versions: Vec<SecretVersion> = secrets
            .iter()
            .zip(0..)
            .map(|(secret, second)| SecretVersion {
                secret: (*secret).clone(),
                derivation: profile.key_derivation(),
                activates_at: Timestamp::from_second(second).expect("in range"),
                expires_at: None,
            })
            .collect();
        let signer = Signer::new(&versions).expect("decodable");
        let signed_at = Timestamp::from_second(Timestamp::now().as_second() - seconds_ago).expect("in range");
        let delivery = DeliveryId::derive(self.event.id, EndpointId(1));
        let headers = profile.headers(&self.event, delivery, &signer, &self.body, signed_at);
        self.headers = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
    }

    fn header(&mut self, name: &str) -> &mut String {
        self.headers.get_mut(name).expect("it has this header")
    }
}

/// A fresh event of a type that the profile's customers know.
fn event(profile: Profile) -> Event {
    let now = Timestamp::now();
    Event {
        id: EventId::new(now, rand::random()),
        tenant: TenantId(17),
        event_type: canonical(profile).parse().expect("a type"),
        data: JsonText::from_valid(DATA),
        previous_attributes: None,
        occurred_at: now,
        endpoints_version: 1,
    }
}

/// The type of the events sent, as producers call it.
fn canonical(profile: Profile) -> &'static str {
    match profile {
        Profile::BuildWorkPro => "bid.accepted",
        Profile::Buildr => "contact.created",
        Profile::Buildmarkets => "order.filled",
    }
}

/// The names of a profile's headers that a signature needs, the signature's last.
fn signature_headers(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::BuildWorkPro => &["BuildWorkPro-Signature"],
        Profile::Buildr => &["svix-id", "svix-timestamp", "svix-signature"],
        Profile::Buildmarkets => &["webhook-id", "webhook-timestamp", "webhook-signature"],
    }
}

/// What a receiver says of a signature's header that it cannot read.
fn form_of(profile: Profile) -> String {
    let name = signature_headers(profile).last().expect("not empty");
    match profile {
        Profile::BuildWorkPro => format!("the {name} header is not t=<seconds>,v1=<64 hex digits>"),
        Profile::Buildr | Profile::Buildmarkets => {
            format!("the {name} header has no v1,<base64 of 32 bytes>")
        }
    }
}

/// A running receiver and the secret that it knows.
struct Check {
    profile: Profile,
    language: Language,
    sample: Sample,
    http: HttpClient,
    secret: SigningSecret,
    other: SigningSecret,
}

impl Check {
    async fn start(profile: Profile, language: Language) -> Self {
        let secret = profile.generate_secret(rand::random());
        Self {
            profile,
            language,
            sample: Sample::start(profile.as_str(), language, secret.expose()).await,
            http: HttpClient::new(),
            secret,
            other: profile.generate_secret(rand::random()),
        }
    }

    async fn run(self) {
        self.genuine_requests_are_believed_and_handled_once().await;
        self.what_was_changed_or_is_old_is_refused().await;
        self.missing_and_garbled_headers_are_named().await;
        self.either_of_two_secrets_is_enough().await;
        self.what_cannot_be_read_is_answered_so_that_it_comes_again()
            .await;
    }

    async fn genuine_requests_are_believed_and_handled_once(&self) {
        let first = self.request(0);
        self.answers(&first, 200, "ok").await;
        // Tried again, as after an answer that got lost; and at the edges of what a clock may differ.
        self.answers(&first, 200, "ok").await;
        let (slow, fast) = (self.request(290), self.request(-290));
        self.answers(&slow, 200, "ok").await;
        self.answers(&fast, 200, "ok").await;
        let name = self
            .profile
            .spelling(&canonical(self.profile).parse().expect("a type"))
            .to_owned();
        let expected = [&first, &slow, &fast].map(|request| format!("{name} {}", request.event.id));
        assert_eq!(self.sample.received(), expected, "{self}");
    }

    async fn what_was_changed_or_is_old_is_refused(&self) {
        let genuine = self.request(0);
        let mut changed = genuine.clone();
        changed.body[10] ^= 1;
        let mut spaced = genuine.clone();
        spaced.body.push(b'\n');
        let foreign = Request::new(self.profile, &[&self.other], 0);
        let before = self.sample.received();
        for request in [changed, spaced, foreign] {
            self.answers(&request, 400, NO_FIT).await;
        }
        for seconds_ago in [310, -310] {
            self.answers(&self.request(seconds_ago), 400, STALE).await;
        }
        // Another time than the one that was signed.
        let (mut moved, seconds) = (genuine, Timestamp::now().as_second() + 7);
        match self.profile {
            Profile::BuildWorkPro => {
                let header = moved.header("BuildWorkPro-Signature");
                let (_, signature) = header.split_once(',').expect("two fields");
                *header = format!("t={seconds},{signature}");
            }
            Profile::Buildr | Profile::Buildmarkets => {
                *moved.header(signature_headers(self.profile)[1]) = seconds.to_string();
            }
        }
        self.answers(&moved, 400, NO_FIT).await;
        assert_eq!(self.sample.received(), before, "{self}");
    }

    async fn missing_and_garbled_headers_are_named(&self) {
        let genuine = self.request(0);
        let names = signature_headers(self.profile);
        for name in names {
            let mut without = genuine.clone();
            without.headers.remove(*name);
            self.answers(&without, 400, &format!("no {name} header")).await;
            let mut empty = genuine.clone();
            empty.header(name).clear();
            self.answers(&empty, 400, &format!("no {name} header")).await;
        }
        let signature = names.last().expect("not empty");
        let form = form_of(self.profile);
        let whole = genuine.headers[*signature].clone();
        let cut = whole[..whole.len() - 1].to_owned();
        for value in [
            "v1",
            "v1,",
            "=",
            "t=,v1=",
            "é,é",
            &cut,
            &whole.replace("v1", "v2"),
        ] {
            let mut garbled = genuine.clone();
            value.clone_into(garbled.header(signature));
            self.answers(&garbled, 400, &form).await;
        }
        if self.profile != Profile::BuildWorkPro {
            let form = format!("the {} header is not a number of seconds", names[1]);
            for value in ["soon", "-1", "1e9", "1777138921.5", "9999999999999"] {
                let mut garbled = genuine.clone();
                value.clone_into(garbled.header(names[1]));
                self.answers(&garbled, 400, &form).await;
            }
        }
    }

    async fn either_of_two_secrets_is_enough(&self) {
        let (ours, other) = (&self.secret, &self.other);
        match self.profile {
            // One signature at a time, so its receivers hold both secrets for a while; and they read several.
            Profile::BuildWorkPro => {
                let both = format!("{},{}", other.expose(), ours.expose());
                let sample = Sample::start(self.profile.as_str(), self.language, &both).await;
                for secret in [ours, other] {
                    let request = Request::new(self.profile, &[secret], 0);
                    let answer = post(&self.http, &sample.url(), &request).await;
                    assert_eq!(answer.status.as_u16(), 200, "{self}: {}", answer.text());
                }
                let mut several = self.request(0);
                let header = several.header("BuildWorkPro-Signature");
                let (time, signature) = header.split_once(',').expect("two fields");
                *header = format!("{time},v1={},{signature}", "0".repeat(64));
                self.answers(&several, 200, "ok").await;
            }
            Profile::Buildr | Profile::Buildmarkets => {
                for secrets in [[ours, other], [other, ours]] {
                    let request = Request::new(self.profile, &secrets, 0);
                    let signature = signature_headers(self.profile).last().expect("not empty");
                    assert_eq!(request.headers[*signature].split(' ').count(), 2);
                    self.answers(&request, 200, "ok").await;
                }
            }
        }
    }

    /// A 2xx for what it did not handle would lose it.
    async fn what_cannot_be_read_is_answered_so_that_it_comes_again(&self) {
        let mut large = self.request(0);
        large.body = vec![b' '; 1024 * 1024 + 1];
        self.answers(&large, 413, "the body is larger than 1048576 bytes")
            .await;
        let mut request = self.request(0);
        request.body = b"not JSON".to_vec();
        request.sign(self.profile, &[&self.secret], 0);
        let answer = post(&self.http, &self.sample.url(), &request).await;
        assert_eq!(answer.status.as_u16(), 500, "{self}: {}", answer.text());
        // And it goes on.
        self.answers(&self.request(0), 200, "ok").await;
    }

    fn request(&self, seconds_ago: i64) -> Request {
        Request::new(self.profile, &[&self.secret], seconds_ago)
    }

    #[track_caller]
    fn answers<'a>(
        &'a self,
        request: &'a Request,
        status: u16,
        text: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let answer = post(&self.http, &self.sample.url(), request).await;
            let body = answer.text();
            assert_eq!(
                (answer.status.as_u16(), body.trim_end()),
                (status, text),
                "{self} at {caller}: {:?}",
                request.headers
            );
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.profile.as_str(), self.language.extension())
    }
}

async fn post(http: &HttpClient, url: &str, request: &Request) -> Answer {
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    http.send(Method::POST, url, &headers, request.body.clone())
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Whoever forgets to set the secret learns it at the start, not from refused requests, and never accepts a key that
/// everybody can read here.
#[tokio::test]
async fn a_receiver_without_its_secret_refuses_to_work() {
    const SAYS: &str = "set WEBHOOK_SECRET to your endpoint's secret";
    for profile in Profile::ALL {
        for language in [Language::Node, Language::Python, Language::Ruby, Language::Rust] {
            let (status, words) = Sample::ends(profile.as_str(), language).await;
            assert!(
                !status.success() && words.contains(SAYS),
                "{language:?} {profile:?}: {status} {words}"
            );
        }
        // PHP starts with each request.
        let sample = Sample::start(profile.as_str(), Language::Php, "").await;
        let request = Request::new(profile, &[&profile.generate_secret([1; 32])], 0);
        let answer = post(&HttpClient::new(), &sample.url(), &request).await;
        assert_eq!((answer.status.as_u16(), answer.text().trim_end()), (500, SAYS));
    }
}

/// The secret of Buildr's own guide, whose padding is missing, and other forms that its customers may choose.
#[tokio::test]
async fn a_secret_is_read_as_the_signer_reads_it() {
    for language in [
        Language::Node,
        Language::Python,
        Language::Ruby,
        Language::Php,
        Language::Rust,
    ] {
        for text in ["secret", "whsec_c2VjcmV0cw=="] {
            let secret = SigningSecret::supplied(text.to_owned()).expect("usable");
            let sample = Sample::start("buildr", language, text).await;
            let request = Request::new(Profile::Buildr, &[&secret], 0);
            let answer = post(&HttpClient::new(), &sample.url(), &request).await;
            assert_eq!(
                answer.status.as_u16(),
                200,
                "{language:?} {text}: {}",
                answer.text()
            );
        }
    }
}
