//! Signing in and out, and who is signed in.

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};
use plumbline_engine::Engine;

use super::account_wire::{CredentialsDocument, PasswordChangeDocument, SessionWire};
use super::envelope::{self, Envelope};
use super::openapi::{Common, Described, FromOwnPages, SigningIn, WithBody, WithBodyOnce, WithConflict};
use crate::http::{
    Answer, Caller, Door, Failure, Incoming, Mutation, Parameters, RequestId, change, respond,
};

/// Sign in. The answer sets the cookie `plumbline_session`, which is the session.
///
/// A session ends after 12 hours without use, and after a week in any case. It takes no `Idempotency-Key`: each sign-in
/// makes a session of its own. Failed attempts are limited to 10 for each address and 50 for each source in five
/// minutes, in each process.
///
/// Needs nothing but the right password.
#[utoipa::path(
    post,
    path = "/api/v1/session",
    tag = "Sessions",
    operation_id = "signIn",
    security(()),
    request_body = CredentialsDocument,
    responses(
        (status = 201, description = "Who is signed in now.", body = Envelope<SessionWire>, headers(
            ("Set-Cookie" = String, description = "`plumbline_session`, HttpOnly, SameSite=Strict, and Secure where customers come by https.")
        )),
        Described<(SigningIn, WithBodyOnce)>
    )
)]
pub(super) async fn sign_in(
    request: HttpRequest,
    incoming: Incoming,
    door: web::Data<Door>,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    door.refuse_foreign(&request)?;
    let Mutation { body, request_id, .. } = incoming.read().await?;
    let mut fields = body.fields()?;
    let email = fields.required::<String>("email");
    let password = fields.required::<String>("password");
    let (email, password) = fields.finish(email.zip(password))?;

    let signed_in = engine
        .sign_in(&email, &password, door.source(&request))
        .await?
        .ok_or(Failure::WrongPassword)?;
    let session = SessionWire {
        user: signed_in.user.into(),
        tenant_id: signed_in.tenant.0,
        tenant_name: engine.tenant(signed_in.tenant).await?.name,
        expires_at: signed_in.expires_at,
    };
    let response = respond(StatusCode::CREATED, envelope::text(request_id, session));
    with_cookie(response, &door.cookie().begun(&signed_in.token))
}

/// Who is signed in.
///
/// Needs a session.
#[utoipa::path(
    get,
    path = "/api/v1/session",
    tag = "Sessions",
    operation_id = "getSession",
    security(("session" = [])),
    responses((status = 200, description = "Who is signed in.", body = Envelope<SessionWire>), Described<Common>)
)]
pub(super) async fn read(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let session = caller.session()?;
    parameters.finish()?;
    let tenant = engine.tenant(caller.principal().tenant()).await?;
    let user = engine.user(tenant.id, session.user).await?;
    let session = SessionWire {
        user: user.into(),
        tenant_id: tenant.id.0,
        tenant_name: tenant.name,
        expires_at: session.expires_at,
    };
    Ok(envelope::ok(id, session))
}

/// Sign out: the session is over at once.
///
/// Needs a session.
#[utoipa::path(
    delete,
    path = "/api/v1/session",
    tag = "Sessions",
    operation_id = "signOut",
    security(("session" = [])),
    responses((status = 204, description = "It is over."), Described<(Common, FromOwnPages, WithBody)>)
)]
pub(super) async fn sign_out(
    caller: Caller,
    incoming: Incoming,
    door: web::Data<Door>,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let session = caller.session()?.session;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    body.is_void()?;

    let response = change(&engine, caller.principal().tenant(), idempotency, async |unit| {
        unit.sign_out(session).await?;
        Ok(Answer::no_content())
    })
    .await?;
    with_cookie(response, &door.cookie().ended())
}

/// Change your own password. Your other sessions end.
///
/// Needs a session, and the current password.
#[utoipa::path(
    post,
    path = "/api/v1/session/password",
    tag = "Sessions",
    operation_id = "changeOwnPassword",
    security(("session" = [])),
    request_body = PasswordChangeDocument,
    responses(
        (status = 204, description = "The new password counts from now on."),
        Described<(Common, FromOwnPages, WithBody, WithConflict)>
    )
)]
pub(super) async fn change_password(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let actor = caller.actor()?;
    let tenant = caller.principal().tenant();
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    let mut fields = body.fields()?;
    let current = fields.required::<String>("currentPassword");
    let new = fields.required::<String>("newPassword");
    let (current, new) = fields.finish(current.zip(new))?;
    // Checked before the transaction, but refused within it: a repetition's current password is the new one by now.
    let checked = engine.check_own_password(tenant, actor, &current, &new).await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        unit.change_own_password(actor, checked?).await?;
        Ok(Answer::no_content())
    })
    .await
}

fn with_cookie(mut response: HttpResponse, cookie: &str) -> Result<HttpResponse, Failure> {
    let cookie = cookie
        .parse()
        .map_err(|_| Failure::Unexpected("the cookie is not a header value".to_owned()))?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}
