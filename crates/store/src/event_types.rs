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

/// A page of a product's types and the tenant's own: by name, those after `after`.
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
        SELECT name, description, schema, example, tenant_id IS NOT NULL AS own, created_at
        FROM event_types
        WHERE (tenant_id = $1 OR tenant_id IS NULL AND profile = $2)
            AND ($3::text IS NULL OR name COLLATE \"C\" > $3)
        ORDER BY name COLLATE \"C\"
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
        created_at: row.column("created_at")?,
    })
}

/// Every type that a tenant may publish, with the product that it belongs to; none for the tenant's own. A type of
/// several products is there for each.
///
/// # Errors
/// [`StoreError`].
pub async fn names(
    session: &Session,
    tenant: TenantId,
) -> Result<Vec<(EventType, Option<Profile>)>, StoreError> {
    let sql = "
        SELECT name, profile
        FROM event_types
        WHERE tenant_id = $1 OR tenant_id IS NULL
        ORDER BY name COLLATE \"C\", profile";
    let rows = session.query(sql, &[&tenant.0]).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.event_type("name")?,
                row.named_or_null("profile", Profile::parse)?,
            ))
        })
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
        RETURNING name, description, schema, example, true AS own, created_at";
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
