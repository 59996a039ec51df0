//! From columns to domain types: what does not map is an error that names the column, never a default.

use plumbline_domain::{EventId, EventType, TenantId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::StoreError;

/// Reading a row's columns by name.
pub(crate) trait Columns {
    /// A column of a type that PostgreSQL and Rust share.
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, StoreError>;

    /// A text column that names a domain value.
    fn named<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, StoreError> {
        parse(self.column(name)?).ok_or_else(|| unmapped(name))
    }

    /// The same, where it may be null.
    fn named_or_null<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        match self.column::<Option<&str>>(name)? {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| unmapped(name)),
        }
    }

    /// A whole number that is never negative in the domain.
    fn count<T: TryFrom<i64>>(&self, name: &str) -> Result<T, StoreError>;

    /// The tenant of the row.
    fn tenant(&self) -> Result<TenantId, StoreError> {
        Ok(TenantId(self.column("tenant_id")?))
    }

    /// An event's id.
    fn event_id(&self, name: &str) -> Result<EventId, StoreError> {
        Ok(EventId(self.column::<Uuid>(name)?))
    }

    /// An event's type.
    fn event_type(&self, name: &str) -> Result<EventType, StoreError> {
        self.named(name, |text| text.parse().ok())
    }
}

impl Columns for Row {
    fn column<'a, T: FromSql<'a>>(&'a self, name: &str) -> Result<T, StoreError> {
        self.try_get(name).map_err(|_| unmapped(name))
    }

    fn count<T: TryFrom<i64>>(&self, name: &str) -> Result<T, StoreError> {
        use tokio_postgres::types::Type;
        let column = self.columns().iter().find(|column| column.name() == name);
        let wide = match column.map(tokio_postgres::Column::type_) {
            Some(kind) if *kind == Type::INT2 => i64::from(self.column::<i16>(name)?),
            Some(kind) if *kind == Type::INT4 => i64::from(self.column::<i32>(name)?),
            _ => self.column::<i64>(name)?,
        };
        T::try_from(wide).map_err(|_| unmapped(name))
    }
}

pub(crate) fn unmapped(column: &str) -> StoreError {
    StoreError::Corrupt(format!("the column `{column}` has a value that does not map"))
}

/// A page's size as PostgreSQL counts.
pub(crate) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A `u16` of the domain in a `smallint`; the domain's values all fit.
pub(crate) fn small(value: u16) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

/// A `u32` of the domain in an `integer`.
pub(crate) fn int(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// The smallest UUID that carries a moment, to the millisecond: the bound of a time filter on UUIDv7 ids.
pub(crate) fn uuid_floor(moment: plumbline_domain::Timestamp) -> Uuid {
    let millis = u64::try_from(moment.as_millisecond())
        .unwrap_or(0)
        .min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// The range of UUIDs that carry the same millisecond as `id`: from, and up to but without.
pub(crate) fn same_millisecond(id: Uuid) -> (Uuid, Uuid) {
    let millis = id.as_u128() >> 80;
    let end = millis.checked_add(1).filter(|next| *next < 1 << 48);
    (
        Uuid::from_u128(millis << 80),
        end.map_or(Uuid::max(), |next| Uuid::from_u128(next << 80)),
    )
}
