//! Somebody with a browser: a session's cookie, and requests that come from the service's own page.

use hyper::header::{CONTENT_TYPE, COOKIE};
use hyper::{Method, Request};
use plumbline_domain::{Role, TenantId};
use serde_json::{Value, json};

use crate::support::{Answer, Rig};

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody who is signed in.
pub(crate) struct Person<'a> {
    pub(crate) rig: &'a Rig,
    pub(crate) tenant: TenantId,
    pub(crate) id: i64,
    pub(crate) email: String,
    /// `plumbline_session=…`
    pub(crate) cookie: String,
}

impl Rig {
    /// A new tenant's first user, signed in.
    pub(crate) async fn admin_person(&self) -> Person<'_> {
        let tenant = self.administration.create_tenant("Acme").await.expect("created");
        self.person(tenant, Role::CompanyAdmin).await
    }

    /// Another user of a tenant, signed in.
    pub(crate) async fn person(&self, tenant: TenantId, role: Role) -> Person<'_> {
        let email = format!("u{:x}@example.com", rand::random::<u64>());
        let id = self
            .administration
            .create_user(tenant, &email, role, PASSWORD)
            .await
            .expect("created")
            .0;
        self.sign_in_person(tenant, id, email).await
    }

    /// Sign somebody in who is there.
    pub(crate) async fn sign_in_person(&self, tenant: TenantId, id: i64, email: String) -> Person<'_> {
        let answer = self.sign_in(&email, PASSWORD).await;
        answer.expect(201);
        Person {
            rig: self,
            tenant,
            id,
            email,
            cookie: cookie_of(&answer),
        }
    }

    /// Try to sign in.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password});
        self.stranger().post("/api/v1/session", body).await
    }
}

/// What a browser keeps of an answer's cookie.
pub(crate) fn cookie_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().expect("a pair").to_owned()
}

impl Person<'_> {
    /// A request as the console makes it, to be completed.
    pub(crate) fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.rig.address))
            .header(COOKIE, &self.cookie)
            .header("sec-fetch-site", "same-origin")
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: impl ToString) -> Answer {
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, "application/json");
        self.rig
            .send(request.body(body.to_string().into()).expect("a request"))
            .await
    }

    pub(crate) async fn keyed(&self, key: &str, method: Method, path: &str, body: impl ToString) -> Answer {
        let request = self
            .request(method, path)
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", key);
        self.rig
            .send(request.body(body.to_string().into()).expect("a request"))
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, "").await
    }

    /// Whether the session is one.
    pub(crate) async fn is_signed_in(&self) -> bool {
        let answer = self.get("/api/v1/session").await;
        match answer.status.as_u16() {
            200 => true,
            401 => false,
            status => panic!("{status}: {}", answer.text()),
        }
    }

    /// The person's own path.
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/users/{}", self.id)
    }
}
