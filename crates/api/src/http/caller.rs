//! Who asks, and whether they may: the only way from a request to a tenant.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{Principal, Scope, TenantId};
use plumbline_engine::Engine;
use plumbline_engine::sessions::OpenSession;
use plumbline_engine::users::Actor;

use super::{Door, Failure, SessionCookie};
use crate::dialects::Dialect;

/// An authenticated caller, whose request was counted. A handler learns the tenant by saying what it is about to do
/// there.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    principal: Principal,
    /// The session, if it is a person.
    session: Option<OpenSession>,
}

/// An authenticated caller whose request is not counted: for publishing, which has limits of its own.
#[derive(Debug, Clone)]
pub(crate) struct Uncounted(pub(crate) Caller);

impl Caller {
    /// The caller that a key stands for, for dialects that carry keys in their own way. The request is counted.
    pub(crate) async fn authenticate(request: &HttpRequest, token: &str) -> Result<Self, Failure> {
        Self::by_key(request, token).await?.counted(request)
    }

    async fn by_key(request: &HttpRequest, token: &str) -> Result<Self, Failure> {
        let source = Door::of(request)?.source(request);
        let principal = engine(request)?.authenticate(token, source).await?;
        Ok(Self {
            principal: principal.ok_or(Failure::BadCredentials)?,
            session: None,
        })
    }

    async fn by_session(request: &HttpRequest, token: &str) -> Result<Self, Failure> {
        Door::of(request)?.refuse_cross_site(request)?;
        let session = engine(request)?.open_session(token).await?;
        let session = session.ok_or(Failure::NoSession)?;
        Ok(Self {
            principal: session.principal.clone(),
            session: Some(session),
        })
    }

    fn counted(self, request: &HttpRequest) -> Result<Self, Failure> {
        Door::of(request)?.count(request, &self.principal)?;
        Ok(self)
    }

    /// The tenant to act in, if the caller may do this.
    pub(crate) fn may(&self, scope: Scope, access: Access) -> Result<TenantId, Failure> {
        self.principal.require(scope, access)?;
        Ok(self.principal.tenant())
    }

    /// The tenant to act in, if the caller has one of these scopes; the first is the one to ask for.
    pub(crate) fn may_by_any(&self, scopes: &[Scope], access: Access) -> Result<TenantId, Failure> {
        let mut denied = Ok(());
        for scope in scopes {
            match self.principal.require(*scope, access) {
                Ok(()) => return Ok(self.principal.tenant()),
                Err(error) => denied = denied.and(Err(error)),
            }
        }
        denied?;
        Ok(self.principal.tenant())
    }

    /// The tenant whose API keys and users the caller may see or change.
    pub(crate) fn may_with_accounts(&self, access: Access) -> Result<TenantId, Failure> {
        self.principal.require_accounts(access)?;
        Ok(self.principal.tenant())
    }

    /// Who it is, for what needs no scope.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The session, for what only a person has.
    pub(crate) fn session(&self) -> Result<&OpenSession, Failure> {
        self.session.as_ref().ok_or(Failure::NoSession)
    }

    /// The person who acts.
    pub(crate) fn actor(&self) -> Result<Actor, Failure> {
        let session = self.session()?;
        Ok(Actor {
            user: session.user,
            session: session.session,
        })
    }
}

/// What a request shows of itself.
pub(super) enum Credentials<'a> {
    Key(&'a str),
    Session(&'a str),
}

impl<'a> Credentials<'a> {
    /// What it shows; a key, if it shows both.
    pub(super) fn of(request: &'a HttpRequest) -> Result<Self, Failure> {
        // Whoever sends a key means it, whatever cookie a browser adds.
        let token = if request.headers().contains_key(AUTHORIZATION) {
            bearer_token(request)
                .or_else(|| bare_token(request))
                .map(Self::Key)
        } else {
            SessionCookie::read(request.headers()).map(Self::Session)
        };
        token.ok_or(Failure::NoCredentials)
    }
}

fn engine(request: &HttpRequest) -> Result<&Engine, Failure> {
    request
        .app_data::<web::Data<Engine>>()
        .map(web::Data::get_ref)
        .ok_or_else(|| Failure::Unexpected("the application has no engine".to_owned()))
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match Credentials::of(&request)? {
                Credentials::Key(token) => Self::authenticate(&request, token).await,
                Credentials::Session(token) => Self::by_session(&request, token).await?.counted(&request),
            }
        })
    }
}

impl FromRequest for Uncounted {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = match Credentials::of(&request)? {
                Credentials::Key(token) => Caller::by_key(&request, token).await?,
                Credentials::Session(token) => Caller::by_session(&request, token).await?,
            };
            Ok(Self(caller))
        })
    }
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer_token(request: &HttpRequest) -> Option<&str> {
    let mut values = request.headers().get_all(AUTHORIZATION);
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token of `Authorization: <token>`, as Buildr's customers send it.
fn bare_token(request: &HttpRequest) -> Option<&str> {
    if Dialect::of(request.path()) != Dialect::Buildr {
        return None;
    }
    let mut values = request.headers().get_all(AUTHORIZATION);
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let token = value.to_str().ok()?.trim();
    (!token.is_empty() && !token.contains(char::is_whitespace)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use plumbline_domain::permission::Denied;
    use plumbline_domain::{ApiKeyId, Scopes};

    #[test]
    fn s0_11_the_key_is_a_bearer_token() {
        for (header, token) in [
            (Some("Bearer plk_live_1"), Some("plk_live_1")),
            (Some("bearer  plk_live_1 "), Some("plk_live_1")),
            (Some("Basic plk_live_1"), None),
            (Some("plk_live_1"), None),
            (Some("Bearer "), None),
            (None, None),
        ] {
            let mut request = TestRequest::default();
            if let Some(value) = header {
                request = request.insert_header((AUTHORIZATION, value));
            }
            assert_eq!(bearer_token(&request.to_http_request()), token, "{header:?}");
        }
        let twice = TestRequest::default()
            .append_header((AUTHORIZATION, "Bearer a"))
            .append_header((AUTHORIZATION, "Bearer b"))
            .to_http_request();
        assert_eq!(bearer_token(&twice), None, "two keys are none");
    }

    #[test]
    fn any_of_several_scopes_will_do_and_the_first_is_asked_for() {
        let caller = |name| {
            let scopes = Scopes::parse([name]).expect("valid");
            Caller {
                principal: Principal::Key {
                    tenant: TenantId(3),
                    key: ApiKeyId(1),
                    scopes,
                },
                session: None,
            }
        };
        let wanted = [Scope::EventTypesWrite, Scope::WebhooksManage];
        for name in ["event_types:write", "webhooks:manage", "*"] {
            assert!(
                matches!(caller(name).may_by_any(&wanted, Access::Write), Ok(TenantId(3))),
                "{name}"
            );
        }
        let refused = caller("events:read").may_by_any(&wanted, Access::Write);
        assert!(matches!(
            refused,
            Err(Failure::Denied(Denied::Scope(Scope::EventTypesWrite)))
        ));
    }
}
