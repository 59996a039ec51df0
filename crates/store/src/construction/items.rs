//! Line items: rows of a table, read as part of the record that they belong to.

use plumbline_domain::TenantId;
use plumbline_domain::construction::{Item, Money, Quantity};
use tokio_postgres::Row;

use crate::row::{Columns, unmapped};
use crate::{Session, StoreError};

/// Joins a record's items, in order, as one row of arrays.
macro_rules! items_of_record {
    ($table:literal, $record:literal) => {
        concat!(
            " CROSS JOIN LATERAL (
                SELECT array_agg(item.description ORDER BY item.position) AS descriptions,
                    array_agg(item.quantity_thousandths ORDER BY item.position) AS quantities,
                    array_agg(item.unit_price_cents ORDER BY item.position) AS unit_prices
                FROM ",
            $table,
            " AS item
                WHERE item.tenant_id = record.tenant_id AND item.",
            $record,
            " = record.id) AS items "
        )
    };
}
pub(super) use items_of_record;

/// Map the columns of [`items_of_record`]; nulls are no items.
pub(super) fn items(row: &Row) -> Result<Vec<Item>, StoreError> {
    let descriptions: Vec<String> = row.column::<Option<_>>("descriptions")?.unwrap_or_default();
    let quantities: Vec<i64> = row.column::<Option<_>>("quantities")?.unwrap_or_default();
    let unit_prices: Vec<i64> = row.column::<Option<_>>("unit_prices")?.unwrap_or_default();
    descriptions
        .into_iter()
        .zip(quantities)
        .zip(unit_prices)
        .map(|((description, thousandths), cents)| {
            Ok(Item {
                description,
                quantity: Quantity::from_thousandths(thousandths).ok_or_else(|| unmapped("quantities"))?,
                unit_price: Money::from_cents(cents).ok_or_else(|| unmapped("unit_prices"))?,
            })
        })
        .collect()
}

/// Insert items after the `present` ones, by a statement that takes the tenant, the record, the first position, and
/// the columns as arrays.
pub(super) async fn append(
    session: &Session,
    sql: &'static str,
    tenant: TenantId,
    record: i64,
    present: usize,
    items: &[Item],
) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let descriptions: Vec<&str> = items.iter().map(|item| item.description.as_str()).collect();
    let quantities: Vec<i64> = items.iter().map(|item| item.quantity.thousandths()).collect();
    let unit_prices: Vec<i64> = items.iter().map(|item| item.unit_price.cents()).collect();
    let present = crate::row::rows_max(present);
    session
        .execute(
            sql,
            &[
                &tenant.0,
                &record,
                &present,
                &descriptions,
                &quantities,
                &unit_prices,
            ],
        )
        .await
        .map(drop)
}

/// An amount column.
pub(super) fn money(row: &Row, name: &str) -> Result<Money, StoreError> {
    Money::from_cents(row.column(name)?).ok_or_else(|| unmapped(name))
}
