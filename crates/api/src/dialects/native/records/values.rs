//! The values of records: exact numbers, days, words and references, between JSON and the domain.

use std::borrow::Cow;
use std::fmt::Display;

use plumbline_domain::construction::{ContactType, InvalidDecimal, Money, ProjectStatus, Quantity};
use plumbline_domain::{CompanyId, ContactId, Date, ProjectId};
use plumbline_engine::FieldError;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::http::{FromJson, invalid_type, word};

/// A JSON number with exactly the digits that the value has.
pub(super) fn number<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(value.to_string())
        .map_err(S::Error::custom)?
        .serialize(serializer)
}

/// The same, or null.
pub(super) fn optional_number<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => number(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// Whether the value is a number, noting when it is not.
fn is_number(value: &RawValue, path: &str, faults: &mut Vec<FieldError>) -> bool {
    let is_number = value.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if !is_number {
        faults.push(invalid_type(path, "a number"));
    }
    is_number
}

fn decimal_fault(path: &str, fault: InvalidDecimal) -> FieldError {
    let code = match fault {
        InvalidDecimal::NotPlain => "invalid",
        InvalidDecimal::TooPrecise(_) => "too_precise",
        InvalidDecimal::TooLarge(_) => "too_large",
    };
    FieldError::new(path, code, fault.to_string())
}

impl<'a> FromJson<'a> for Money {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        if !is_number(value, path, faults) {
            return None;
        }
        Self::parse(value.get())
            .map_err(|fault| faults.push(decimal_fault(path, fault)))
            .ok()
    }
}

impl<'a> FromJson<'a> for Quantity {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        if !is_number(value, path, faults) {
            return None;
        }
        match Self::parse(value.get()) {
            Ok(Some(quantity)) => Some(quantity),
            Ok(None) => {
                faults.push(FieldError::new(path, "invalid", "must be more than 0"));
                None
            }
            Err(fault) => {
                faults.push(decimal_fault(path, fault));
                None
            }
        }
    }
}

/// A day such as `2026-04-30`.
impl<'a> FromJson<'a> for Date {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        let text = Cow::from_json(value, path, faults)?;
        // The library takes more than this: week dates, times, other calendars' marks.
        let is_plain = text.len() == 10
            && text.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let day = text
            .parse()
            .ok()
            .filter(|_| is_plain && !text.starts_with("0000"));
        if day.is_none() {
            faults.push(FieldError::new(
                path,
                "invalid",
                "must be a day such as 2026-04-30",
            ));
        }
        day
    }
}

impl<'a> FromJson<'a> for ContactType {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        word(value, path, faults, Self::parse, &Self::ALL.map(Self::as_str))
    }
}

impl<'a> FromJson<'a> for ProjectStatus {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        word(value, path, faults, Self::parse, &Self::ALL.map(Self::as_str))
    }
}

macro_rules! references {
    ($($id:ident),*) => {
        $(
            /// A reference. Whether it leads to anything is the use case's question.
            impl<'a> FromJson<'a> for $id {
                fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
                    i64::from_json(value, path, faults).map($id)
                }
            }
        )*
    };
}

references!(ContactId, CompanyId, ProjectId);

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'a> FromJson<'a>>(text: &str) -> Result<T, &'static str> {
        let value: &RawValue = serde_json::from_str(text).expect("JSON");
        let mut faults = vec![];
        T::from_json(value, "x", &mut faults).ok_or_else(|| faults[0].code)
    }

    #[test]
    fn a_day_is_written_in_full() {
        assert_eq!(
            read::<Date>(r#""2026-02-28""#).map(|day| day.to_string()),
            Ok("2026-02-28".to_owned())
        );
        for text in [
            r#""2026-02-30""#,
            r#""2026-2-3""#,
            r#""20260203""#,
            r#""2026-W01-1""#,
            r#""2026-02-28T00:00:00Z""#,
            r#""0000-01-01""#,
            r#""""#,
        ] {
            assert_eq!(read::<Date>(text), Err("invalid"), "{text}");
        }
        assert_eq!(read::<Date>("20260228"), Err("invalid_type"));
    }

    #[test]
    fn money_is_a_number_and_not_text() {
        assert_eq!(read::<Money>("12.5").map(Money::cents), Ok(1_250));
        for (text, code) in [
            (r#""12.5""#, "invalid_type"),
            ("null", "invalid_type"),
            ("true", "invalid_type"),
            ("12.505", "too_precise"),
            ("1e2", "invalid"),
            ("1e400", "invalid"),
            ("1000000000000", "too_large"),
        ] {
            assert_eq!(read::<Money>(text), Err(code), "{text}");
        }
    }
}
