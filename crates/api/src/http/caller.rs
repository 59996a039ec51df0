//! Who asks, and whether they may: the only way from a request to a tenant.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{Principal, Scope, TenantId};
use plumbline_engine::Engine;

use super::Failure;
use crate::dialects::Dialect;

/// An authenticated caller. A handler learns the tenant by saying what it is about to do there.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Principal);

impl Caller {
    /// The caller that a token stands for.
    pub(crate) async fn authenticate(request: &HttpRequest, token: &str) -> Result<Self, Failure> {
        let engine = request
            .app_data::<web::Data<Engine>>()
            .ok_or_else(|| Failure::Unexpected("the application has no engine".to_owned()))?;
        let source = request.peer_addr().map(|address| address.ip());
        // The seam for rate limits: here the key is known, and nothing has been done yet.
        let principal = engine.authenticate(token, source).await?;
        principal.map(Self).ok_or(Failure::BadCredentials)
    }

    /// The tenant to act in, if the caller may do this.
    pub(crate) fn may(&self, scope: Scope, access: Access) -> Result<TenantId, Failure> {
        self.0.require(scope, access)?;
        Ok(self.0.tenant())
    }

    /// The tenant to act in, if the caller has one of these scopes; the first is the one to ask for.
    pub(crate) fn may_by_any(&self, scopes: &[Scope], access: Access) -> Result<TenantId, Failure> {
        let mut denied = Ok(());
        for scope in scopes {
            match self.0.require(*scope, access) {
                Ok(()) => return Ok(self.0.tenant()),
                Err(error) => denied = denied.and(Err(error)),
            }
        }
        denied?;
        Ok(self.0.tenant())
    }

    /// Who it is, for what needs no scope.
    pub(crate) fn principal(&self) -> &Principal {
        &self.0
    }
}

impl FromRequest for Caller {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Failure>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let token = bearer_token(&request)
                .or_else(|| bare_token(&request))
                .ok_or(Failure::NoCredentials)?;
            Self::authenticate(&request, token).await
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
            Caller(Principal::Key {
                tenant: TenantId(3),
                key: ApiKeyId(1),
                scopes,
            })
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
