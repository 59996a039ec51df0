//! What `/api/v1` reads and writes of people, their sessions, API keys and settings.

use plumbline_domain::Timestamp;
use plumbline_domain::network::network_text;
use plumbline_engine::api_keys::ApiKey;
use plumbline_engine::users::User;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{optional_time, time};

/// Who signs in.
#[derive(ToSchema)]
#[schema(as = Credentials, example = json!({"email": "ada@example.com", "password": "correct horse battery"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct CredentialsDocument {
    /// The address; its case does not matter.
    #[schema(format = "email", max_length = 254)]
    email: String,
    /// The password.
    #[schema(format = "password", max_length = 1024)]
    password: String,
}

/// Another password of one's own.
#[derive(ToSchema)]
#[schema(as = PasswordChange, rename_all = "camelCase")]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct PasswordChangeDocument {
    /// The present password.
    #[schema(format = "password")]
    current_password: String,
    /// The new one: 12 characters at least.
    #[schema(format = "password", min_length = 12, max_length = 1024)]
    new_password: String,
}

/// A user to add.
#[derive(ToSchema)]
#[schema(as = NewUser, example = json!({
    "email": "ada@example.com", "role": "member", "password": "correct horse battery"
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewUserDocument {
    /// The address to sign in with; it belongs to one user in all tenants, and its case does not matter.
    #[schema(format = "email", max_length = 254)]
    email: String,
    #[schema(inline)]
    role: RoleDocument,
    /// Their first password: 12 characters at least.
    #[schema(format = "password", min_length = 12, max_length = 1024)]
    password: String,
}

/// What to change of a user; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = UserChanges, example = json!({"role": "company_admin"}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct UserChangesDocument {
    /// The address to sign in with.
    #[schema(format = "email", max_length = 254, required = false, nullable = false)]
    email: String,
    #[schema(inline, required = false, nullable = false)]
    role: RoleDocument,
    /// A new password of somebody else: one's own is changed with `POST /api/v1/session/password`.
    #[schema(
        format = "password",
        min_length = 12,
        max_length = 1024,
        required = false,
        nullable = false
    )]
    password: String,
}

/// `company_admin` may do everything of the tenant; `member` reads.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the names that the domain gives its roles")]
pub(super) enum RoleDocument {
    CompanyAdmin,
    Member,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserWire {
    /// Their number.
    #[schema(example = 5)]
    id: i64,
    /// The address to sign in with, in lower case.
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(inline, value_type = RoleDocument)]
    role: &'static str,
    /// When they were added.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

impl From<User> for UserWire {
    fn from(user: User) -> Self {
        Self {
            id: user.id.0,
            email: user.email,
            role: user.role.as_str(),
            created_at: user.created_at,
        }
    }
}

/// Who is signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionWire {
    #[serde(flatten)]
    pub(super) user: UserWire,
    /// The tenant's number.
    #[schema(example = 17)]
    pub(super) tenant_id: i64,
    /// The tenant's name.
    #[schema(example = "Acme Builders")]
    pub(super) tenant_name: String,
    /// When the session ends if it is not used before.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    pub(super) expires_at: Timestamp,
}

/// An API key to make.
#[derive(ToSchema)]
#[schema(as = NewApiKey, rename_all = "camelCase", example = json!({
    "name": "CI", "scopes": ["events:write"], "allowedIps": ["203.0.113.0/24"]
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct NewApiKeyDocument {
    /// What it is for.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do; `*` is everything.
    #[schema(min_items = 1)]
    scopes: Vec<String>,
    /// Addresses and CIDR ranges that it may be used from, IPv4 and IPv6; none, or left out, is anywhere.
    #[schema(max_items = 50)]
    allowed_ips: Option<Vec<String>>,
    /// `live`, unless it is given: what the key's first letters say. It changes nothing about what the key may do.
    #[schema(inline)]
    mode: Option<ModeDocument>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the names of the modes")]
enum ModeDocument {
    Live,
    Test,
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKeyWire {
    /// Its number.
    #[schema(example = 3)]
    id: i64,
    /// What it is for.
    #[schema(example = "CI")]
    name: String,
    /// Its first and last letters.
    #[schema(example = "plk_live_…4f2a")]
    hint: String,
    /// What it may do; `*` is everything.
    #[schema(example = json!(["events:write"]))]
    scopes: Vec<&'static str>,
    /// Where it may be used from; empty is anywhere.
    #[schema(example = json!(["203.0.113.0/24"]))]
    allowed_ips: Vec<String>,
    #[serde(serialize_with = "time")]
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// When it was used last, to a minute.
    #[serde(serialize_with = "optional_time")]
    #[schema(required = true, value_type = Option<String>, format = "date-time")]
    last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(serialize_with = "optional_time")]
    #[schema(required = true, value_type = Option<String>, format = "date-time")]
    revoked_at: Option<Timestamp>,
}

impl From<ApiKey> for ApiKeyWire {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id.0,
            name: key.name,
            hint: key.hint,
            scopes: key.scopes.names(),
            allowed_ips: key.allowed_ips.0.iter().map(network_text).collect(),
            created_at: key.created_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// An API key that was just made, with the key itself, which is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(super) struct CreatedApiKeyWire {
    #[serde(flatten)]
    pub(super) record: ApiKeyWire,
    /// The key. Save it now: it is never shown again, nor in a repetition by `Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "plk_live_5f3c1b2a…")]
    pub(super) key: Option<String>,
}

/// The tenant's settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSettings)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettingsWire {
    /// Where a thin event's resource lives, when its data does not say; null is the service's own default.
    #[schema(required = true, example = "https://app.example.com/{plural}/{id}")]
    pub(super) resource_url_template: Option<String>,
}

/// What to change of the settings; what is left out stays as it is.
#[derive(ToSchema)]
#[schema(as = WebhookSettingsChanges, rename_all = "camelCase", example = json!({
    "resourceUrlTemplate": "https://app.example.com/{plural}/{id}"
}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "requests are read field by field; this documents them")]
pub(super) struct SettingsChangesDocument {
    /// An http or https URL that contains `{id}`, and may contain `{plural}` and `{type}`; null removes it.
    #[schema(max_length = 2048)]
    resource_url_template: Option<String>,
}
