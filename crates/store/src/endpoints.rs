//! Endpoints: the customer's URL, its policy and its state.

use std::num::NonZeroU32;

use plumbline_domain::{
    CustomHeaders, DisabledReason, Endpoint, EndpointId, EndpointUrl, EventType, Profile, ResourceUrls,
    SecretVersion, Subscription, TenantId,
};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::row::{Columns, int, rows_max, unmapped};
use crate::secrets::{Sealed, SealedSecret, Vault, VaultError, sealed_secret};
use crate::{Session, StoreError};

/// An endpoint to register.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Whose it is.
    pub tenant: TenantId,
    /// The product that it is registered through.
    pub profile: Profile,
    /// Where to POST.
    pub url: EndpointUrl,
    /// What the customer wrote about it.
    pub description: Option<String>,
    /// Which events it receives.
    pub subscription: Subscription,
    /// Requests per minute.
    pub rate_limit: Option<NonZeroU32>,
    /// The version that [`crate::tenants::bump_endpoints_version`] made for it.
    pub since_version: i64,
}

/// An endpoint and its secrets, still encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointWithSecrets {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its secrets in order of activation; the expired ones may be missing.
    pub secrets: Vec<SealedSecret>,
    /// Its custom headers; `None` where it has none.
    pub headers: Option<StoredHeaders>,
    /// Where its tenant's resources live; `None` for the service's default.
    pub resource_urls: Option<ResourceUrls>,
    /// The version of its tenant's endpoints when it was read.
    pub endpoints_version: i64,
}

impl EndpointWithSecrets {
    /// Decrypt the secrets.
    ///
    /// # Errors
    /// [`VaultError`] if one of them does not open.
    pub fn open_secrets(&self, vault: &Vault) -> Result<Vec<SecretVersion>, VaultError> {
        let Endpoint { tenant, id, .. } = self.endpoint;
        self.secrets
            .iter()
            .map(|secret| secret.open(vault, tenant, id))
            .collect()
    }

    /// Decrypt the custom headers.
    ///
    /// # Errors
    /// [`VaultError`] if they do not open.
    pub fn open_headers(&self, vault: &Vault) -> Result<CustomHeaders, VaultError> {
        let Endpoint { tenant, id, .. } = self.endpoint;
        match &self.headers {
            None => Ok(CustomHeaders::default()),
            Some(StoredHeaders::Sealed(sealed)) => vault.open_headers(sealed, tenant, id),
            Some(StoredHeaders::Clear(headers)) => Ok(headers.clone()),
        }
    }
}

/// Custom headers as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredHeaders {
    /// Encrypted.
    Sealed(Sealed),
    /// As an earlier version wrote them; see [`in_clear`].
    Clear(CustomHeaders),
}

/// A tenant's endpoints, all at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantEndpoints {
    /// Whose they are.
    pub tenant: TenantId,
    /// The version of the tenant's endpoints at that moment.
    pub version: i64,
    /// The endpoints that are not deleted, the disabled ones included, by id.
    pub endpoints: Vec<EndpointWithSecrets>,
}

/// The columns that [`endpoint`] maps, of a table called `endpoint`.
macro_rules! columns {
    () => {
        "endpoint.id AS endpoint_id, endpoint.uid, endpoint.tenant_id, endpoint.profile, endpoint.url, \
         endpoint.description, endpoint.event_types, endpoint.rate_limit, endpoint.header_names, \
         endpoint.disabled_reason, endpoint.disabled_at, endpoint.consecutive_failures, endpoint.version, endpoint.since_version, \
         endpoint.created_at, endpoint.updated_at"
    };
}

/// The columns that [`stored_headers`] maps, of a table called `endpoint`.
macro_rules! header_columns {
    () => {
        "endpoint.headers, endpoint.headers_key_id, endpoint.headers_ciphertext"
    };
}

/// The columns that [`sealed_secret`] maps, of a table called `secret`.
macro_rules! secret_columns {
    () => {
        "secret.id AS secret_id, secret.master_key_id, secret.ciphertext, secret.derivation, \
         secret.activates_at, secret.expires_at"
    };
}

fn endpoint(row: &Row) -> Result<Endpoint, StoreError> {
    let types: Option<Vec<&str>> = row.column("event_types")?;
    let subscription = match types {
        None => Subscription::All,
        Some(types) => {
            let types = types
                .into_iter()
                .map(|name| name.parse::<EventType>().ok())
                .collect::<Option<_>>();
            Subscription::Types(types.ok_or_else(|| unmapped("event_types"))?)
        }
    };
    let rate_limit = match row.column::<Option<i32>>("rate_limit")? {
        None => None,
        Some(limit) => Some(
            u32::try_from(limit)
                .ok()
                .and_then(NonZeroU32::new)
                .ok_or_else(|| unmapped("rate_limit"))?,
        ),
    };
    Ok(Endpoint {
        id: EndpointId(row.column("endpoint_id")?),
        uid: row.column("uid")?,
        tenant: row.tenant()?,
        profile: row.named("profile", Profile::parse)?,
        url: row.named("url", stored_url)?,
        description: row.column("description")?,
        subscription,
        rate_limit,
        header_names: row.column("header_names")?,
        disabled: row.named_or_null("disabled_reason", DisabledReason::parse)?,
        disabled_at: row.column("disabled_at")?,
        consecutive_failures: row.count("consecutive_failures")?,
        version: row.column("version")?,
        since_version: row.column("since_version")?,
        created_at: row.column("created_at")?,
        updated_at: row.column("updated_at")?,
    })
}

fn stored_headers(row: &Row) -> Result<Option<StoredHeaders>, StoreError> {
    if let Some(master_key_id) = row.column("headers_key_id")? {
        let ciphertext = row.column("headers_ciphertext")?;
        return Ok(Some(StoredHeaders::Sealed(Sealed {
            master_key_id,
            ciphertext,
        })));
    }
    let headers = headers_in_clear(row)?;
    Ok((!headers.is_empty()).then_some(StoredHeaders::Clear(headers)))
}

fn headers_in_clear(row: &Row) -> Result<CustomHeaders, StoreError> {
    let headers: Json<Vec<(String, String)>> = row.column("headers")?;
    Ok(CustomHeaders::new(headers.0))
}

/// [`EndpointUrl::stored`] panics at what is not a URL; a row that somebody edited must not end a dispatcher.
fn stored_url(text: &str) -> Option<EndpointUrl> {
    url::Url::parse(text)
        .ok()
        .filter(url::Url::has_host)
        .map(|_| EndpointUrl::stored(text))
}

fn type_names(subscription: &Subscription) -> Option<Vec<&str>> {
    match subscription {
        Subscription::All => None,
        Subscription::Types(types) => Some(types.iter().map(EventType::as_str).collect()),
    }
}

fn rate(limit: Option<NonZeroU32>) -> Option<i32> {
    limit.map(|limit| int(limit.get()))
}

/// Register an endpoint.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(session: &Session, new: &NewEndpoint) -> Result<Endpoint, StoreError> {
    let sql = concat!(
        "
        INSERT INTO endpoints AS endpoint
            (tenant_id, profile, url, description, event_types, rate_limit, since_version)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        RETURNING ",
        columns!()
    );
    let row = session
        .query_one(
            sql,
            &[
                &new.tenant.0,
                &new.profile.as_str(),
                &new.url.as_str(),
                &new.description,
                &type_names(&new.subscription),
                &rate(new.rate_limit),
                &new.since_version,
            ],
        )
        .await?;
    endpoint(&row)
}

/// One endpoint, unless it is deleted.
///
/// # Errors
/// [`StoreError`].
pub async fn get(
    session: &Session,
    tenant: TenantId,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints AS endpoint
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"
    );
    session
        .query_first(sql, &[&tenant.0, &id.0])
        .await?
        .map(|row| endpoint(&row))
        .transpose()
}

/// One endpoint of a profile by its UUID, unless it is deleted: how the dialects that show one find it.
///
/// # Errors
/// [`StoreError`].
pub async fn by_uid(
    session: &Session,
    tenant: TenantId,
    profile: Profile,
    uid: Uuid,
) -> Result<Option<Endpoint>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints AS endpoint
        WHERE tenant_id = $1 AND profile = $2 AND uid = $3 AND deleted_at IS NULL"
    );
    session
        .query_first(sql, &[&tenant.0, &profile.as_str(), &uid])
        .await?
        .map(|row| endpoint(&row))
        .transpose()
}

/// The profile of an endpoint, even of a deleted one: its deliveries are still shown as it spoke.
///
/// # Errors
/// [`StoreError`].
pub async fn profile(
    session: &Session,
    tenant: TenantId,
    id: EndpointId,
) -> Result<Option<Profile>, StoreError> {
    let sql = "SELECT profile FROM endpoints WHERE tenant_id = $1 AND id = $2";
    let row = session.query_first(sql, &[&tenant.0, &id.0]).await?;
    row.map(|row| row.named("profile", Profile::parse)).transpose()
}

/// One endpoint, locked until the transaction ends. Keep that short: whoever records the endpoint's failures waits.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(
    session: &Session,
    tenant: TenantId,
    id: EndpointId,
) -> Result<Option<Endpoint>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints AS endpoint
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
        FOR UPDATE"
    );
    session
        .query_first(sql, &[&tenant.0, &id.0])
        .await?
        .map(|row| endpoint(&row))
        .transpose()
}

/// A page of a tenant's endpoints, newest first, older than `before`; of one profile, if given.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    session: &Session,
    tenant: TenantId,
    profile: Option<Profile>,
    before: Option<EndpointId>,
    limit: usize,
) -> Result<Vec<Endpoint>, StoreError> {
    // By the index endpoints_of_tenant, read backwards.
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints AS endpoint
        WHERE tenant_id = $1 AND deleted_at IS NULL AND id < $2 AND ($4::text IS NULL OR profile = $4)
        ORDER BY id DESC
        LIMIT $3"
    );
    let before = before.map_or(i64::MAX, |id| id.0);
    let rows = session
        .query(
            sql,
            &[
                &tenant.0,
                &before,
                &rows_max(limit),
                &profile.map(Profile::as_str),
            ],
        )
        .await?;
    rows.iter().map(endpoint).collect()
}

/// How many endpoints a tenant has.
///
/// # Errors
/// [`StoreError`].
pub async fn count(session: &Session, tenant: TenantId) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) AS endpoints FROM endpoints WHERE tenant_id = $1 AND deleted_at IS NULL";
    session.query_one(sql, &[&tenant.0]).await?.column("endpoints")
}

/// Replace an endpoint's custom headers: their names, and all of them encrypted; `None` removes them. Lock it first. It
/// is no version of its own: [`update`] follows, or [`insert`] went before.
///
/// # Errors
/// [`StoreError`].
pub async fn set_headers(
    session: &Session,
    tenant: TenantId,
    id: EndpointId,
    headers: Option<(&CustomHeaders, &Sealed)>,
) -> Result<(), StoreError> {
    let sql = "
        UPDATE endpoints
        SET header_names = $3, headers_key_id = $4, headers_ciphertext = $5, headers = '[]'
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    let names: Vec<&str> = headers.iter().flat_map(|(headers, _)| headers.names()).collect();
    let sealed = headers.map(|(_, sealed)| sealed);
    session
        .execute(
            sql,
            &[
                &tenant.0,
                &id.0,
                &names,
                &sealed.map(|sealed| sealed.master_key_id.as_str()),
                &sealed.map(|sealed| sealed.ciphertext.as_slice()),
            ],
        )
        .await?;
    Ok(())
}

/// Endpoints whose custom headers an earlier version left in clear, at most `limit`, locked until the transaction ends.
/// They belong to any tenant: this is for the upkeep.
///
/// # Errors
/// [`StoreError`].
pub async fn in_clear(
    session: &Session,
    limit: usize,
) -> Result<Vec<(TenantId, EndpointId, CustomHeaders)>, StoreError> {
    let sql = "
        SELECT tenant_id, id, headers
        FROM endpoints
        WHERE headers <> '[]' AND deleted_at IS NULL
        LIMIT $1
        FOR UPDATE SKIP LOCKED";
    let rows = session.query(sql, &[&rows_max(limit)]).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.tenant()?,
                EndpointId(row.column("id")?),
                headers_in_clear(row)?,
            ))
        })
        .collect()
}

/// Write what may change of an endpoint but its headers, as a new version of it. Lock it first.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not there, which a lock rules out.
pub async fn update(session: &Session, changed: &Endpoint) -> Result<Endpoint, StoreError> {
    let sql = concat!(
        "
        UPDATE endpoints AS endpoint
        SET url = $3, description = $4, event_types = $5, rate_limit = $6, disabled_reason = $7::text,
            disabled_at = CASE WHEN disabled_reason IS NULL AND $7::text IS NOT NULL THEN now()
                WHEN $7::text IS NOT NULL THEN disabled_at END,
            consecutive_failures = $8, failing_since = CASE WHEN $8 > 0 THEN failing_since END,
            version = version + 1, updated_at = now()
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
        RETURNING ",
        columns!()
    );
    let row = session
        .query_one(
            sql,
            &[
                &changed.tenant.0,
                &changed.id.0,
                &changed.url.as_str(),
                &changed.description,
                &type_names(&changed.subscription),
                &rate(changed.rate_limit),
                &changed.disabled.map(DisabledReason::as_str),
                &int(changed.consecutive_failures),
            ],
        )
        .await?;
    endpoint(&row)
}

/// Delete an endpoint and wipe its secrets and custom headers. The row stays for the deliveries that name it.
/// `false` when there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(session: &Session, tenant: TenantId, id: EndpointId) -> Result<bool, StoreError> {
    let sql = "
        WITH wiped AS (
            DELETE FROM endpoint_secrets
            WHERE tenant_id = $1 AND endpoint_id = $2)
        UPDATE endpoints
        SET deleted_at = now(), header_names = '{}', headers_key_id = NULL, headers_ciphertext = NULL, headers = '[]'
        WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    Ok(session.execute(sql, &[&tenant.0, &id.0]).await? > 0)
}

/// Settle what still waits for a deleted endpoint: failed, because it was deleted. Returns how many, at most `limit`;
/// what an attempt is just being recorded for is left to it.
///
/// # Errors
/// [`StoreError`].
pub async fn settle_deleted(
    session: &Session,
    tenant: TenantId,
    id: EndpointId,
    limit: usize,
) -> Result<u64, StoreError> {
    // By the index deliveries_waiting. SKIP LOCKED, because who records holds a delivery and wants the endpoint,
    // while who deletes holds the endpoint and would want the delivery.
    let sql = "
        WITH waiting AS (
            SELECT tenant_id, id
            FROM deliveries
            WHERE tenant_id = $1 AND endpoint_id = $2 AND status = 'pending'
            ORDER BY id
            LIMIT $3
            FOR UPDATE SKIP LOCKED)
        UPDATE deliveries AS delivery
        SET status = 'failed', error = 'endpoint_deleted', next_attempt_at = NULL, completed_at = now()
        FROM waiting
        WHERE delivery.tenant_id = waiting.tenant_id AND delivery.id = waiting.id";
    session.execute(sql, &[&tenant.0, &id.0, &rows_max(limit)]).await
}

/// The endpoints of several tenants, each tenant's with the version that they make up. One statement, hence one
/// moment: an endpoint of a later version is never among them without that version. Tenants that do not exist are
/// left out.
///
/// # Errors
/// [`StoreError`].
pub async fn snapshot(session: &Session, tenants: &[TenantId]) -> Result<Vec<TenantEndpoints>, StoreError> {
    let sql = concat!(
        "SELECT tenant.id AS snapshot_of, tenant.endpoints_version, tenant.resource_url_template, ",
        columns!(),
        ", ",
        header_columns!(),
        ", ",
        secret_columns!(),
        " FROM tenants AS tenant
        LEFT JOIN endpoints AS endpoint ON endpoint.tenant_id = tenant.id AND endpoint.deleted_at IS NULL
        LEFT JOIN endpoint_secrets AS secret
            ON secret.tenant_id = endpoint.tenant_id AND secret.endpoint_id = endpoint.id
            AND (secret.expires_at IS NULL OR secret.expires_at > now() - interval '1 minute')
        WHERE tenant.id = ANY ($1)
        ORDER BY tenant.id, endpoint.id, secret.activates_at, secret.id"
    );
    let ids: Vec<i64> = tenants.iter().map(|tenant| tenant.0).collect();
    let rows = session.query(sql, &[&ids]).await?;
    let mut snapshots: Vec<TenantEndpoints> = vec![];
    for row in &rows {
        let tenant = TenantId(row.column("snapshot_of")?);
        if snapshots.last().is_none_or(|last| last.tenant != tenant) {
            let version = row.column("endpoints_version")?;
            snapshots.push(TenantEndpoints {
                tenant,
                version,
                endpoints: vec![],
            });
        }
        if let Some(last) = snapshots.last_mut() {
            gather(&mut last.endpoints, row)?;
        }
    }
    Ok(snapshots)
}

/// Several endpoints with their secrets; the deleted ones are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn with_secrets(
    session: &Session,
    endpoints: &[(TenantId, EndpointId)],
) -> Result<Vec<EndpointWithSecrets>, StoreError> {
    let sql = concat!(
        "SELECT tenant.endpoints_version, tenant.resource_url_template, ",
        columns!(),
        ", ",
        header_columns!(),
        ", ",
        secret_columns!(),
        " FROM unnest($1::bigint[], $2::bigint[]) AS wanted (tenant_id, id)
        JOIN endpoints AS endpoint
            ON endpoint.id = wanted.id AND endpoint.tenant_id = wanted.tenant_id AND endpoint.deleted_at IS NULL
        JOIN tenants AS tenant ON tenant.id = endpoint.tenant_id
        LEFT JOIN endpoint_secrets AS secret
            ON secret.tenant_id = endpoint.tenant_id AND secret.endpoint_id = endpoint.id
            AND (secret.expires_at IS NULL OR secret.expires_at > now() - interval '1 minute')
        ORDER BY endpoint.id, secret.activates_at, secret.id"
    );
    let (tenants, ids): (Vec<i64>, Vec<i64>) = endpoints.iter().map(|(tenant, id)| (tenant.0, id.0)).unzip();
    let rows = session.query(sql, &[&tenants, &ids]).await?;
    let mut gathered = vec![];
    for row in &rows {
        gather(&mut gathered, row)?;
    }
    Ok(gathered)
}

/// Add a row of the join of endpoints and secrets, which is ordered by endpoint.
fn gather(endpoints: &mut Vec<EndpointWithSecrets>, row: &Row) -> Result<(), StoreError> {
    let Some(id) = row.column::<Option<i64>>("endpoint_id")? else {
        return Ok(());
    };
    if endpoints.last().is_none_or(|last| last.endpoint.id.0 != id) {
        endpoints.push(EndpointWithSecrets {
            endpoint: endpoint(row)?,
            secrets: vec![],
            headers: stored_headers(row)?,
            resource_urls: row
                .column::<Option<String>>("resource_url_template")?
                .map(ResourceUrls::new),
            endpoints_version: row.column("endpoints_version")?,
        });
    }
    if let Some(last) = endpoints.last_mut()
        && row.column::<Option<i64>>("secret_id")?.is_some()
    {
        last.secrets.push(sealed_secret(row)?);
    }
    Ok(())
}
