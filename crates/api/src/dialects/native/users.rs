//! The people of a tenant: add, list, change, remove.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::UserId;
use plumbline_domain::permission::Access;
use plumbline_engine::Engine;
use plumbline_engine::users::{NewUser, UserChanges};

use super::account_wire::{NewUserDocument, UserChangesDocument, UserWire};
use super::envelope::{self, Envelope, Page, Paging};
use super::openapi::{Common, Described, ForAdmins, InList, OfRecord, WithBody, WithConflict};
use crate::http::{
    Answer, Body, Caller, Cursors, Failure, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// Add a user.
///
/// Needs a session of a `company_admin`: an API key cannot do this, whatever its scopes.
#[utoipa::path(
    post,
    path = "/api/v1/users",
    tag = "Users",
    operation_id = "createUser",
    security(("session" = [])),
    request_body = NewUserDocument,
    responses(
        (status = 201, description = "The new user.", body = Envelope<UserWire>),
        Described<(Common, ForAdmins, WithBody, WithConflict)>
    )
)]
pub(super) async fn create(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Write)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    // Hashed before the transaction, but refused within it.
    let checked = engine.check_user(new_user(&body)?).await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        let user = unit.create_user(checked?).await?;
        Ok(Answer::json(
            StatusCode::CREATED,
            envelope::text(request_id, UserWire::from(user)),
        ))
    })
    .await
}

fn new_user(body: &Body) -> Result<NewUser, Failure> {
    let mut fields = body.fields()?;
    let email = fields.required("email");
    let role = fields.required("role");
    let password = fields.required("password");
    let ((email, role), password) = fields.finish(email.zip(role).zip(password))?;
    Ok(NewUser {
        email,
        role,
        password,
    })
}

/// The tenant's users, newest first.
///
/// Needs a session; an API key cannot do this, whatever its scopes.
#[utoipa::path(
    get,
    path = "/api/v1/users",
    tag = "Users",
    operation_id = "listUsers",
    security(("session" = [])),
    params(super::openapi::PageParameters),
    responses(
        (status = 200, description = "A page of users.", body = Page<UserWire>),
        Described<(Common, ForAdmins, InList)>
    )
)]
pub(super) async fn list(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Read)?;
    let page = parameters.page::<UserId>(tenant, ListKind::Users)?;

    let users = engine
        .users(tenant, page.after, Paging::fetch(page.limit))
        .await?;
    let paging = Paging {
        tenant,
        list: ListKind::Users,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, users, |user| user.id, UserWire::from))
}

/// One user.
///
/// Needs a session; an API key cannot do this, whatever its scopes.
#[utoipa::path(
    get,
    path = "/api/v1/users/{id}",
    tag = "Users",
    operation_id = "getUser",
    security(("session" = [])),
    params(("id" = i64, Path, description = "The user's number.", example = 5)),
    responses(
        (status = 200, description = "The user.", body = Envelope<UserWire>),
        Described<(Common, ForAdmins, OfRecord)>
    )
)]
pub(super) async fn read(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Read)?;
    parameters.finish()?;
    let user = engine.user(tenant, user_id(&path)?).await?;
    Ok(envelope::ok(id, UserWire::from(user)))
}

/// Change a user. What is left out stays as it is; another password or role ends their sessions, but for the one that
/// this is done by.
///
/// The last `company_admin` keeps the role (409). One's own password is changed with `POST /api/v1/session/password`.
///
/// Needs a session of a `company_admin`: an API key cannot do this, whatever its scopes.
#[utoipa::path(
    patch,
    path = "/api/v1/users/{id}",
    tag = "Users",
    operation_id = "updateUser",
    security(("session" = [])),
    params(("id" = i64, Path, description = "The user's number.", example = 5)),
    request_body = UserChangesDocument,
    responses(
        (status = 200, description = "The user as they are now.", body = Envelope<UserWire>),
        Described<(Common, ForAdmins, WithBody, OfRecord, WithConflict)>
    )
)]
pub(super) async fn update(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Write)?;
    let actor = caller.actor()?;
    let user = user_id(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let checked = engine.check_user_changes(changes(&body)?, user, actor).await;

    change(&engine, tenant, engine.veil(idempotency), async |unit| {
        let user = unit.update_user(user, checked?, actor).await?;
        Ok(Answer::json(
            StatusCode::OK,
            envelope::text(request_id, UserWire::from(user)),
        ))
    })
    .await
}

fn changes(body: &Body) -> Result<UserChanges, Failure> {
    let mut fields = body.fields()?;
    let changes = UserChanges {
        email: fields.changed("email"),
        role: fields.changed("role"),
        password: fields.changed("password"),
    };
    fields.finish(Some(changes))
}

/// Delete a user; their sessions end. The last `company_admin` stays (409).
///
/// Needs a session of a `company_admin`: an API key cannot do this, whatever its scopes.
#[utoipa::path(
    delete,
    path = "/api/v1/users/{id}",
    tag = "Users",
    operation_id = "deleteUser",
    security(("session" = [])),
    params(("id" = i64, Path, description = "The user's number.", example = 5)),
    responses(
        (status = 204, description = "They are gone."),
        Described<(Common, ForAdmins, WithBody, OfRecord, WithConflict)>
    )
)]
pub(super) async fn delete(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may_with_accounts(Access::Write)?;
    let user = user_id(&path)?;
    let Mutation {
        body, idempotency, ..
    } = incoming.read().await?;
    body.is_void()?;

    change(&engine, tenant, idempotency, async |unit| {
        unit.delete_user(user).await?;
        Ok(Answer::no_content())
    })
    .await
}

/// What is no number is no user.
fn user_id(path: &str) -> Result<UserId, Failure> {
    path.parse().map_err(|_| Failure::NotFound("user"))
}
