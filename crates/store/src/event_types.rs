//! The event catalogue: the products' types, and each tenant's own.

use plumbline_domain::{EventType, JsonText, Profile, TenantId, Timestamp};
use tokio_postgres::Row;

use crate::row::{Columns, rows_max};
use crate::{Session, StoreError};

/// A type of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypeRecord {
    /// Its name.
    pub name: EventType,
    /// What it means.
    pub description: Option<String>,
    /// JSON Schema of `data`, as it was given.
    pub schema: Option<String>,
    /// An example of `data`, as it was given.
    pub example: Option<String>,
    /// Whether it is the tenant's own, not built in.
    pub own: bool,
    /// Since when no new subscription may name it; `None` while it is current.
    pub deprecated_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A type to add to a tenant's catalogue.
#[derive(Debug, Clone)]
pub struct NewEventType {
    /// Its name.
    pub name: EventType,
    /// What it means.
    pub description: Option<String>,
    /// JSON Schema of `data`.
    pub schema: Option<JsonText>,
    /// An example of `data`.
    pub example: Option<JsonText>,
}

/// A type that a tenant may publish, as one product or the tenant itself has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownType {
    /// Its name.
    pub name: EventType,
    /// The product that it belongs to; `None` for the tenant's own.
    pub profile: Option<Profile>,
    /// Whether new subscriptions to it are refused.
    pub deprecated: bool,
    /// Where its schema is, if it has one; [`schemas`] reads it.
    pub schema: Option<SchemaVersion>,
}

/// A schema as it was at one time: two of these are equal only if the schemas are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaVersion {
    row: i64,
    /// The transaction that wrote the row last: any change makes another.
    written_by: i64,
}

/// A page of a product's types and the tenant's own: by name, those after `after`. A name that both have is the
/// tenant's.
///
/// # Errors
/// [`StoreError`].
pub async fn list(
    session: &Session,
    tenant: TenantId,
    profile: Profile,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<EventTypeRecord>, StoreError> {
    let sql = "
        SELECT DISTINCT ON (name COLLATE \"C\")
            name, description, schema, example, tenant_id IS NOT NULL AS own, deprecated_at, created_at
        FROM event_types
        WHERE (tenant_id = $1 OR tenant_id IS NULL AND profile = $2)
            AND ($3::text IS NULL OR name COLLATE \"C\" > $3)
        ORDER BY name COLLATE \"C\", tenant_id NULLS LAST
        LIMIT $4";
    let rows = session
        .query(sql, &[&tenant.0, &profile.as_str(), &after, &rows_max(limit)])
        .await?;
    rows.iter().map(record).collect()
}

fn record(row: &Row) -> Result<EventTypeRecord, StoreError> {
    Ok(EventTypeRecord {
        name: row.event_type("name")?,
        description: row.column("description")?,
        schema: row.column("schema")?,
        example: row.column("example")?,
        own: row.column("own")?,
        deprecated_at: row.column("deprecated_at")?,
        created_at: row.column("created_at")?,
    })
}

/// One type: the tenant's own, else a product's; of several products' the one that BuildWorkPro has.
///
/// # Errors
/// [`StoreError`].
pub async fn get(
    session: &Session,
    tenant: TenantId,
    name: &EventType,
) -> Result<Option<EventTypeRecord>, StoreError> {
    let sql = "
        SELECT name, description, schema, example, tenant_id IS NOT NULL AS own, deprecated_at, created_at
        FROM event_types
        WHERE (tenant_id = $1 OR tenant_id IS NULL) AND name = $2
        ORDER BY tenant_id NULLS LAST, profile = 'buildworkpro' DESC, profile
        LIMIT 1";
    let row = session.query_first(sql, &[&tenant.0, &name.as_str()]).await?;
    row.as_ref().map(record).transpose()
}

/// A type of the tenant's own, locked until the transaction ends, so that changes of it happen one after the other.
///
/// # Errors
/// [`StoreError`].
pub async fn lock_own(
    session: &Session,
    tenant: TenantId,
    name: &EventType,
) -> Result<Option<EventTypeRecord>, StoreError> {
    let sql = "
        SELECT name, description, schema, example, true AS own, deprecated_at, created_at
        FROM event_types
        WHERE tenant_id = $1 AND name = $2
        FOR UPDATE";
    let row = session.query_first(sql, &[&tenant.0, &name.as_str()]).await?;
    row.as_ref().map(record).transpose()
}

/// Write a type of the tenant's own as `changed` has it; its name says which.
///
/// # Errors
/// [`StoreError`].
pub async fn update_own(
    session: &Session,
    tenant: TenantId,
    changed: &EventTypeRecord,
) -> Result<(), StoreError> {
    let sql = "
        UPDATE event_types
        SET description = $3, schema = $4, example = $5, deprecated_at = $6
        WHERE tenant_id = $1 AND name = $2";
    session
        .execute(
            sql,
            &[
                &tenant.0,
                &changed.name.as_str(),
                &changed.description,
                &changed.schema,
                &changed.example,
                &changed.deprecated_at,
            ],
        )
        .await?;
    Ok(())
}

/// Every type that a tenant may publish: every product's, and its own. A type of several products is there for each.
///
/// # Errors
/// [`StoreError`].
pub async fn known(session: &Session, tenant: TenantId) -> Result<Vec<KnownType>, StoreError> {
    // xmin changes whenever anybody changes the row, by the API or by SQL.
    let sql = "
        SELECT name, profile, deprecated_at IS NOT NULL AS deprecated, schema IS NOT NULL AS has_schema, id,
            xmin::text::bigint AS written_by
        FROM event_types
        WHERE tenant_id = $1 OR tenant_id IS NULL
        ORDER BY name COLLATE \"C\", profile";
    let rows = session.query(sql, &[&tenant.0]).await?;
    rows.iter()
        .map(|row| {
            let version = SchemaVersion {
                row: row.column("id")?,
                written_by: row.column("written_by")?,
            };
            Ok(KnownType {
                name: row.event_type("name")?,
                profile: row.named_or_null("profile", Profile::parse)?,
                deprecated: row.column("deprecated")?,
                schema: row.column::<bool>("has_schema")?.then_some(version),
            })
        })
        .collect()
}

/// The schemas that are at these places now, each text once; there are none at places that are another tenant's.
///
/// # Errors
/// [`StoreError`].
pub async fn schemas(
    session: &Session,
    tenant: TenantId,
    versions: &[SchemaVersion],
) -> Result<Vec<JsonText>, StoreError> {
    let sql = "
        SELECT DISTINCT schema
        FROM event_types
        WHERE id = ANY ($2) AND (tenant_id = $1 OR tenant_id IS NULL) AND schema IS NOT NULL";
    let ids: Vec<i64> = versions.iter().map(|version| version.row).collect();
    let rows = session.query(sql, &[&tenant.0, &ids]).await?;
    rows.iter()
        .map(|row| Ok(JsonText::from_valid(row.column::<&str>("schema")?)))
        .collect()
}

/// Add a type to a tenant's catalogue.
///
/// # Errors
/// [`StoreError::Conflict`] when the tenant, or a product, has a type of this name. It leaves a transaction usable.
pub async fn create(
    session: &Session,
    tenant: TenantId,
    new: &NewEventType,
) -> Result<EventTypeRecord, StoreError> {
    let sql = "
        INSERT INTO event_types (tenant_id, name, description, schema, example)
        SELECT $1, $2::text, $3, $4, $5
        WHERE NOT EXISTS (SELECT FROM event_types WHERE tenant_id IS NULL AND name = $2)
        ON CONFLICT (tenant_id, name) WHERE tenant_id IS NOT NULL DO NOTHING
        RETURNING name, description, schema, example, true AS own, deprecated_at, created_at";
    let schema = new.schema.as_ref().map(JsonText::as_str);
    let example = new.example.as_ref().map(JsonText::as_str);
    let row = session
        .query_first(
            sql,
            &[&tenant.0, &new.name.as_str(), &new.description, &schema, &example],
        )
        .await?;
    match row {
        Some(row) => record(&row),
        None => Err(StoreError::Conflict {
            constraint: "event_types".to_owned(),
        }),
    }
}
