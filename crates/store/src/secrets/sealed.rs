//! Everything that a master key has sealed, of whatever tenant: what a rotation of that key looks through.

use std::collections::BTreeMap;

use plumbline_domain::{EndpointId, TenantId};
use tokio_postgres::Row;

use super::vault::{Sealed, SealedKind};
use crate::row::{Columns, rows_max};
use crate::{Session, StoreError};

/// A sealed text, where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// What it is, and so where it is stored.
    pub kind: SealedKind,
    /// The row's number.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// The endpoint that it was sealed for.
    pub endpoint: EndpointId,
    /// The encrypted text.
    pub sealed: Sealed,
}

/// Where a kind is stored: its table, and the columns of the endpoint, of the key and of the text.
struct Place {
    table: &'static str,
    endpoint: &'static str,
    key: &'static str,
    text: &'static str,
}

fn place(kind: SealedKind) -> Place {
    match kind {
        SealedKind::SigningSecret => Place {
            table: "endpoint_secrets",
            endpoint: "endpoint_id",
            key: "master_key_id",
            text: "ciphertext",
        },
        SealedKind::CustomHeaders => Place {
            table: "endpoints",
            endpoint: "id",
            key: "headers_key_id",
            text: "headers_ciphertext",
        },
    }
}

/// What of this kind is sealed after this row, in the order of the rows; without what the master key `but` has sealed.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    session: &Session,
    kind: SealedKind,
    but: Option<&str>,
    after: i64,
    limit: usize,
) -> Result<Vec<SealedRow>, StoreError> {
    let Place {
        table,
        endpoint,
        key,
        text,
    } = place(kind);
    let sql = format!(
        "
        SELECT id, tenant_id, {endpoint} AS endpoint_id, {key} AS master_key_id, {text} AS ciphertext
        FROM {table}
        WHERE id > $1 AND {key} IS NOT NULL AND {key} IS DISTINCT FROM $2
        ORDER BY id
        LIMIT $3"
    );
    let rows = session.query(&sql, &[&after, &but, &rows_max(limit)]).await?;
    rows.iter().map(|row| sealed_row(kind, row)).collect()
}

fn sealed_row(kind: SealedKind, row: &Row) -> Result<SealedRow, StoreError> {
    Ok(SealedRow {
        kind,
        id: row.column("id")?,
        tenant: row.tenant()?,
        endpoint: EndpointId(row.column("endpoint_id")?),
        sealed: Sealed {
            master_key_id: row.column("master_key_id")?,
            ciphertext: row.column("ciphertext")?,
        },
    })
}

/// Put newly sealed texts of one kind in the place of those that were read, where they still stand: each row as it was
/// read, and the same text sealed anew. Returns how many were replaced; what somebody is just changing, or has changed
/// or deleted, is left.
///
/// # Errors
/// [`StoreError`].
pub async fn replace(
    session: &Session,
    kind: SealedKind,
    replacements: &[(SealedRow, Sealed)],
) -> Result<u64, StoreError> {
    let Place { table, key, text, .. } = place(kind);
    // SKIP LOCKED: a rotation holds its endpoint's rows in an order of its own, and must neither wait nor be waited for.
    let sql = format!(
        "
        WITH fresh AS (
            SELECT *
            FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bytea[])
                AS new (id, read_ciphertext, master_key_id, ciphertext)),
        standing AS (
            SELECT stored.id
            FROM {table} AS stored
            JOIN fresh ON fresh.id = stored.id AND fresh.read_ciphertext = stored.{text}
            WHERE stored.id = ANY ($1)
            ORDER BY stored.id
            FOR UPDATE OF stored SKIP LOCKED)
        UPDATE {table} AS stored
        SET {key} = fresh.master_key_id, {text} = fresh.ciphertext
        FROM fresh
        JOIN standing ON standing.id = fresh.id
        WHERE stored.id = fresh.id"
    );
    let ids: Vec<i64> = replacements.iter().map(|(row, _)| row.id).collect();
    let read: Vec<&[u8]> = replacements
        .iter()
        .map(|(row, _)| row.sealed.ciphertext.as_slice())
        .collect();
    let keys: Vec<&str> = replacements
        .iter()
        .map(|(_, sealed)| sealed.master_key_id.as_str())
        .collect();
    let sealed: Vec<&[u8]> = replacements
        .iter()
        .map(|(_, sealed)| sealed.ciphertext.as_slice())
        .collect();
    session.execute(&sql, &[&ids, &read, &keys, &sealed]).await
}

/// How much each master key has sealed, by its name.
///
/// # Errors
/// [`StoreError`].
pub async fn count_by_key(session: &Session) -> Result<BTreeMap<String, u64>, StoreError> {
    let sql = "
        SELECT master_key_id, count(*) AS sealed
        FROM (SELECT master_key_id FROM endpoint_secrets
            UNION ALL
            SELECT headers_key_id FROM endpoints WHERE headers_key_id IS NOT NULL) AS stored
        GROUP BY master_key_id";
    let rows = session.query(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.column("master_key_id")?, row.count("sealed")?)))
        .collect()
}
