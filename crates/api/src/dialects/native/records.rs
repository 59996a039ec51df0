//! Construction records: what is the same for all of them. Each one's shape and rules of reading are in its module.

pub(super) mod bids;
pub(super) mod change_orders;
mod companies;
mod contacts;
pub(super) mod document;
mod items;
mod opportunities;
pub(super) mod pay_apps;
mod projects;
mod values;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use plumbline_domain::permission::Access;
use plumbline_domain::{JsonText, Scope};
use plumbline_engine::construction::{Record, Render};
use plumbline_engine::{Engine, Error, Unit};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::envelope::{self, Paging};
use crate::http::{
    Answer, Caller, Cursors, Failure, Fields, Incoming, ListKind, Mutation, Parameters, RequestId, change,
};

/// A record as `/api/v1` shows it.
pub(super) trait Exposed: Record<Id: FromStr + Display> {
    /// Its collection's path below `/api/v1/`.
    const PATH: &'static str;
    /// One and several of them, as operation ids and titles name them.
    const NAMES: (&'static str, &'static str);
    /// Its list.
    const LIST: ListKind;
    /// What reading needs.
    const MAY_READ: Scope;
    /// What creating and changing need.
    const MAY_WRITE: Scope;
    /// How it reads.
    type Wire: Serialize + ToSchema + for<'a> From<&'a Self>;
    /// The body that creates one.
    type New: ToSchema;
    /// The body that changes one.
    type Changes: ToSchema;

    /// Read what a client says of a new one. `None` comes with a fault.
    fn new_details(fields: &mut Fields<'_>) -> Option<Self::Details>;

    /// Read what a client changes.
    fn change_details(fields: &mut Fields<'_>, details: &mut Self::Details);
}

/// Renders records as [`Exposed::Wire`] says.
pub(super) struct Json;

/// What says when a record changed, not how.
const UPDATED_AT: &str = "updatedAt";

impl<R: Exposed> Render<R> for Json {
    fn record(&self, record: &R) -> JsonText {
        JsonText::from_valid(text::<R>(record))
    }

    fn prior(&self, before: &R, after: &R) -> JsonText {
        let (before, after) = (text::<R>(before), text::<R>(after));
        let (mut before, after) = (members(&before), members(&after));
        before.retain(|name, value| {
            *name != UPDATED_AT && after.get(name).is_none_or(|after| after.get() != value.get())
        });
        JsonText::from_valid(serde_json::to_string(&before).expect("members of an object make one"))
    }
}

fn text<R: Exposed>(record: &R) -> String {
    serde_json::to_string(&R::Wire::from(record))
        .expect("the wire types have string keys only, so they are JSON")
}

fn members(object: &str) -> BTreeMap<&str, &RawValue> {
    serde_json::from_str(object).expect("a record is an object, whose names hold nothing to escape")
}

/// What a change answers: the record as it was rendered for the event.
fn answer(status: StatusCode, id: RequestId, record: &JsonText) -> Answer {
    let record: &RawValue = serde_json::from_str(record.as_str()).expect("it was rendered as JSON");
    Answer::json(status, envelope::text(id, record))
}

/// `POST /api/v1/<records>`.
pub(super) async fn create<R: Exposed>(
    caller: Caller,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(R::MAY_WRITE, Access::Write)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let mut fields = body.fields()?;
    let details = R::new_details(&mut fields);
    let details = fields.finish(details)?;

    change(&engine, tenant, idempotency, async |unit| {
        let record = unit.create_record::<R>(&details, &Json).await?;
        Ok(answer(StatusCode::CREATED, request_id, &record))
    })
    .await
}

/// `GET /api/v1/<records>`.
pub(super) async fn list<R: Exposed>(
    caller: Caller,
    parameters: Parameters,
    engine: web::Data<Engine>,
    cursors: web::Data<Cursors>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(R::MAY_READ, Access::Read)?;
    let page = parameters.page::<R::Id>(tenant, R::LIST)?;

    let records = engine
        .records::<R>(tenant, page.after, Paging::fetch(page.limit))
        .await?;
    let paging = Paging {
        tenant,
        list: R::LIST,
        limit: page.limit,
        cursors: &cursors,
    };
    Ok(paging.page(id, records, Record::id, |record| R::Wire::from(&record)))
}

/// `GET /api/v1/<records>/{id}`.
pub(super) async fn read<R: Exposed>(
    caller: Caller,
    path: web::Path<String>,
    parameters: Parameters,
    engine: web::Data<Engine>,
    id: RequestId,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(R::MAY_READ, Access::Read)?;
    parameters.finish()?;

    let record = engine.record::<R>(tenant, record_id::<R>(&path)?).await?;
    Ok(envelope::ok(id, R::Wire::from(&record)))
}

/// `PATCH /api/v1/<records>/{id}`. What is left out stays as it is.
pub(super) async fn update<R: Exposed>(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(R::MAY_WRITE, Access::Write)?;
    let id = record_id::<R>(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    let mut fields = body.fields()?;

    change(&engine, tenant, idempotency, async |unit| {
        // The fields change the details as they are, so they are read when those are known, and locked.
        let read = |details: &mut R::Details| {
            R::change_details(&mut fields, details);
            match fields.into_faults() {
                faults if faults.is_empty() => Ok(()),
                faults => Err(Error::Invalid(faults)),
            }
        };
        let record = unit.update_record::<R>(id, read, &Json).await?;
        Ok(answer(StatusCode::OK, request_id, &record))
    })
    .await
}

/// `POST /api/v1/<records>/{id}/<step>`, whose body says nothing.
async fn step<R: Exposed>(
    caller: Caller,
    path: web::Path<String>,
    incoming: Incoming,
    engine: web::Data<Engine>,
    scope: Scope,
    act: impl AsyncFnOnce(&mut Unit, R::Id) -> Result<JsonText, Error>,
) -> Result<HttpResponse, Failure> {
    let tenant = caller.may(scope, Access::Write)?;
    let id = record_id::<R>(&path)?;
    let Mutation {
        body,
        request_id,
        idempotency,
    } = incoming.read().await?;
    body.is_void()?;

    change(&engine, tenant, idempotency, async |unit| {
        let record = act(unit, id).await?;
        Ok(answer(StatusCode::OK, request_id, &record))
    })
    .await
}

/// What cannot be an id is the id of nothing.
fn record_id<R: Exposed>(path: &str) -> Result<R::Id, Failure> {
    path.parse().map_err(|_| Failure::NotFound(R::WORD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::construction::{
        BidDetails, Item, Money, Project, ProjectDetails, ProjectNumber, ProjectStatus, Quantity,
    };
    use plumbline_domain::{ContactId, ProjectId, TenantId, Timestamp};

    fn project() -> Project {
        Project {
            id: ProjectId(44),
            tenant: TenantId(17),
            number: ProjectNumber(7),
            details: ProjectDetails {
                name: "Acme HQ Renovation".to_owned(),
                contact: Some(ContactId(5)),
                contract_value: Money::from_cents(1_250_050).expect("small"),
                status: ProjectStatus::Active,
            },
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn s1_22_a_record_is_in_camel_case_with_exact_money() {
        insta::assert_snapshot!(
            Json.record(&project()).as_str(),
            @r#"{"id":44,"projectNumber":"PRJ-007","name":"Acme HQ Renovation","contactId":5,"contractValue":12500.50,"status":"active","createdAt":"1970-01-01T00:00:00.000Z","updatedAt":"1970-01-01T00:00:00.000Z"}"#
        );
    }

    #[test]
    fn s1_08_the_prior_values_are_those_of_what_changed() {
        let before = project();
        let mut after = before.clone();
        after.updated_at = Timestamp::MAX;
        assert_eq!(Json.prior(&before, &after).as_str(), "{}");
        after.details.status = ProjectStatus::Completed;
        assert_eq!(Json.prior(&before, &after).as_str(), r#"{"status":"active"}"#);
        after.details.contact = None;
        after.details.contract_value = Money::ZERO;
        assert_eq!(
            Json.prior(&before, &after).as_str(),
            r#"{"contactId":5,"contractValue":12500.50,"status":"active"}"#
        );
    }

    fn read<T>(body: &str, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Result<T, Vec<String>> {
        let mut fields = Fields::of_body(body.as_bytes()).expect("an object");
        let found = read(&mut fields);
        fields.finish(found).map_err(|failure| match failure {
            Failure::Invalid(faults) => faults
                .iter()
                .map(|fault| format!("{}: {}", fault.field, fault.code))
                .collect(),
            failure => vec![failure.to_string()],
        })
    }

    #[test]
    fn items_are_read_whole_and_every_fault_is_named() {
        use plumbline_domain::construction::Bid;
        let item = |description: &str, thousandths, cents| Item {
            description: description.to_owned(),
            quantity: Quantity::from_thousandths(thousandths).expect("some"),
            unit_price: Money::from_cents(cents).expect("small"),
        };
        let body = r#"{"items":[{"description":"Door","quantity":2,"unitPrice":99.5},{"unitPrice":0,"quantity":0.25,"description":"Paint"}]}"#;
        assert_eq!(
            read(body, Bid::new_details),
            Ok(BidDetails {
                items: vec![item("Door", 2_000, 9_950), item("Paint", 250, 0)],
                ..BidDetails::default()
            })
        );
        let body = r#"{"items":[1,{"description":"x","quantity":0,"unitPrice":1.005,"vat":1},{"quantity":"2","unitPrice":1e3}]}"#;
        assert_eq!(
            read(body, Bid::new_details),
            Err([
                "items[0]: invalid_type",
                "items[1].quantity: invalid",
                "items[1].unitPrice: too_precise",
                "items[1].vat: unknown_field",
                "items[2].description: required",
                "items[2].quantity: invalid_type",
                "items[2].unitPrice: invalid",
            ]
            .map(str::to_owned)
            .to_vec())
        );
        let many = vec![r#"{"description":"x","quantity":1,"unitPrice":1}"#; 201].join(",");
        assert_eq!(
            read(&format!(r#"{{"items":[{many}]}}"#), Bid::new_details),
            Err(vec!["items: too_many".to_owned()])
        );
    }

    #[test]
    fn a_change_sets_clears_and_leaves() {
        let mut details = project().details;
        let changed = read(r#"{"contactId":null,"contractValue":1}"#, |fields| {
            Project::change_details(fields, &mut details);
            Some(())
        });
        assert_eq!(changed, Ok(()));
        assert_eq!((details.contact, details.contract_value.cents()), (None, 100));
        assert_eq!(details.name, "Acme HQ Renovation");
        let refused = read(
            r#"{"name":null,"contractValue":null,"status":"done"}"#,
            |fields| {
                Project::change_details(fields, &mut details);
                Some(())
            },
        );
        assert_eq!(
            refused,
            Err([
                "name: invalid_type",
                "contractValue: invalid_type",
                "status: invalid"
            ]
            .map(str::to_owned)
            .to_vec())
        );
    }
}
