//! Line items of bids and change orders.

use plumbline_domain::construction::{ITEMS_MAX, Item, Money, Quantity, total};
use plumbline_engine::FieldError;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::values::number;
use crate::http::{Failure, Fields, FromJson, elements};

/// One line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LineItem)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::dialects::native) struct ItemWire {
    /// What it is.
    #[schema(min_length = 1, max_length = 200, example = "Oak door")]
    description: String,
    /// How much of it, with at most three decimals.
    #[serde(serialize_with = "number")]
    #[schema(value_type = f64, exclusive_minimum = 0, maximum = 1000000, example = 2)]
    quantity: Quantity,
    /// The price of one, with at most two decimals. Below zero, a deduction, only in change orders.
    #[serde(serialize_with = "number")]
    #[schema(value_type = f64, example = 499.5)]
    unit_price: Money,
}

/// The lines as they read.
pub(super) fn wire(items: &[Item]) -> Vec<ItemWire> {
    let line = |item: &Item| ItemWire {
        description: item.description.clone(),
        quantity: item.quantity,
        unit_price: item.unit_price,
    };
    items.iter().map(line).collect()
}

/// What the lines come to. The rules keep it within bounds, but for a bid to which many large change orders were
/// applied: that one has no total.
pub(super) fn sum(items: &[Item]) -> Option<Money> {
    total(items)
}

impl<'a> FromJson<'a> for Vec<Item> {
    fn from_json(value: &'a RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Self> {
        let before = faults.len();
        let lines = elements(value, path, ITEMS_MAX, "an array of items", faults)?;
        let items: Self = lines
            .into_iter()
            .enumerate()
            .filter_map(|(index, line)| item(line, &format!("{path}[{index}]"), faults))
            .collect();
        (faults.len() == before).then_some(items)
    }
}

fn item(line: &RawValue, path: &str, faults: &mut Vec<FieldError>) -> Option<Item> {
    let mut fields = match Fields::of_part(line, path) {
        Ok(fields) => fields,
        Err(Failure::Invalid(mut invalid)) => {
            faults.append(&mut invalid);
            return None;
        }
        Err(failure) => {
            faults.push(FieldError::new(path, "invalid", failure.to_string()));
            return None;
        }
    };
    let item = of_fields(&mut fields);
    fields.finish_part(item, faults)
}

/// Read an item from an object's members. `None` comes with a fault.
pub(super) fn of_fields(fields: &mut Fields<'_>) -> Option<Item> {
    let description = fields.required("description");
    let quantity = fields.required("quantity");
    let unit_price = fields.required("unitPrice");
    let ((description, quantity), unit_price) = description.zip(quantity).zip(unit_price)?;
    Some(Item {
        description,
        quantity,
        unit_price,
    })
}
