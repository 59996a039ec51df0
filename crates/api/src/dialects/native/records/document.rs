//! The records' part of the OpenAPI document, made from what the generic handlers are made from.

use plumbline_domain::Scope;
use plumbline_domain::construction::{Bid, ChangeOrder, Company, Contact, Opportunity, PayApp, Project};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::super::envelope::{Envelope, Page};
use super::super::openapi::{
    Common, Described, InList, OfRecord, PageParameters, Scoped, WithBody, WithConflict,
};
use super::Exposed;
use super::change_orders::AddedItemsDocument;

const JSON: &str = "application/json";
const TAG: &str = "Construction records";

/// Add every record's operations and schemas.
pub(in crate::dialects::native) fn describe(document: &mut OpenApi) {
    record::<Contact>(document);
    record::<Company>(document);
    record::<Opportunity>(document);
    record::<Project>(document);

    record::<Bid>(document);
    step::<Bid>(document, "send", "Send a draft to the customer.", Scope::BidsSend);
    step::<Bid>(
        document,
        "view",
        "Note that the customer has seen a sent bid.",
        Scope::BidsWrite,
    );
    let accept = "Accept a bid that was sent or viewed. This is final.";
    step::<Bid>(document, "accept", accept, Scope::BidsAcceptReject);
    let reject = "Reject a bid that was sent or viewed. This is final.";
    step::<Bid>(document, "reject", reject, Scope::BidsAcceptReject);

    record::<PayApp>(document);
    step::<PayApp>(
        document,
        "submit",
        "Submit a draft for approval.",
        Scope::PayAppsWrite,
    );
    let approve = "Approve a submitted pay application. This is final.";
    step::<PayApp>(document, "approve", approve, Scope::PayAppsApprove);

    record::<ChangeOrder>(document);
    added_items(document);
    let submit = "Submit a draft, which must have an item, for approval.";
    step::<ChangeOrder>(document, "submit", submit, Scope::ChangeOrdersWrite);
    let approve = "Approve a submitted change order: append its items to the project's newest accepted bid, if it has \
                   one, and add their total to the project's contract value.";
    step::<ChangeOrder>(document, "approve", approve, Scope::ChangeOrdersApprove);
}

/// The four operations that every record has.
fn record<R: Exposed>(document: &mut OpenApi) {
    let (one, many) = R::NAMES;
    let (word, path) = (R::WORD, R::PATH);
    let (collection, member) = (format!("/api/v1/{path}"), format!("/api/v1/{path}/{{id}}"));
    schema::<R::Wire>(document);
    let envelope = envelope::<R>(document);
    let page = generic::<Page<R::Wire>>(document, "Page", &R::Wire::name());
    let (new, changes) = (schema::<R::New>(document), schema::<R::Changes>(document));

    let create = operation(
        &format!("create{one}"),
        &format!(
            "Create {} {word}.",
            if word.starts_with('o') { "an" } else { "a" }
        ),
        R::MAY_WRITE,
    )
    .request_body(Some(body(&new)))
    .responses(responses::<(Common, Scoped, WithBody)>(
        201,
        "The new record.",
        &envelope,
    ));
    add(document, &collection, HttpMethod::Post, create);
    let list = operation(
        &format!("list{many}"),
        &format!("The tenant's {path}, newest first."),
        R::MAY_READ,
    )
    .parameters(Some(PageParameters::into_params(|| None)))
    .responses(responses::<(Common, Scoped, InList)>(
        200,
        "A page of them.",
        &page,
    ));
    add(document, &collection, HttpMethod::Get, list);
    let read = operation(&format!("get{one}"), &format!("One {word}."), R::MAY_READ)
        .parameter(id())
        .responses(responses::<(Common, Scoped, OfRecord)>(
            200,
            "The record.",
            &envelope,
        ));
    add(document, &member, HttpMethod::Get, read);
    let summary = format!("Change a {word}. What is left out stays as it is.");
    let update = operation(&format!("update{one}"), &summary, R::MAY_WRITE)
        .parameter(id())
        .request_body(Some(body(&changes)))
        .responses(responses::<(Common, Scoped, WithBody, OfRecord, WithConflict)>(
            200,
            "The record as it is now.",
            &envelope,
        ));
    add(document, &member, HttpMethod::Patch, update);
}

/// A step that takes no body.
fn step<R: Exposed>(document: &mut OpenApi, name: &str, summary: &str, scope: Scope) {
    let envelope = envelope::<R>(document);
    let operation = operation(&format!("{name}{}", R::NAMES.0), summary, scope)
        .parameter(id())
        .responses(responses::<(Common, Scoped, WithBody, OfRecord, WithConflict)>(
            200,
            "The record as it is now.",
            &envelope,
        ));
    let path = format!("/api/v1/{}/{{id}}/{name}", R::PATH);
    add(document, &path, HttpMethod::Post, operation);
}

fn added_items(document: &mut OpenApi) {
    let envelope = envelope::<ChangeOrder>(document);
    let items = schema::<AddedItemsDocument>(document);
    let summary = "Add items to a draft: one, or several under `items`.";
    let operation = operation("addChangeOrderItems", summary, Scope::ChangeOrdersWrite)
        .parameter(id())
        .request_body(Some(body(&items)))
        .responses(responses::<(Common, Scoped, WithBody, OfRecord, WithConflict)>(
            201,
            "The change order with all its items.",
            &envelope,
        ));
    add(
        document,
        "/api/v1/change-orders/{id}/items",
        HttpMethod::Post,
        operation,
    );
}

fn operation(id: &str, summary: &str, scope: Scope) -> OperationBuilder {
    OperationBuilder::new()
        .tag(TAG)
        .operation_id(Some(id))
        .summary(Some(summary))
        .description(Some(format!("Needs the scope `{scope}`.")))
}

fn add(document: &mut OpenApi, path: &str, method: HttpMethod, operation: OperationBuilder) {
    let operation: Operation = operation.build();
    document.paths.add_path_operation(path, vec![method], operation);
}

fn id() -> Parameter {
    let number = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .build();
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The record's id."))
        .schema(Some(number))
        .build()
}

fn body(schema: &str) -> RequestBody {
    RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content(JSON, Content::new(Some(Ref::from_schema_name(schema))))
        .build()
}

fn responses<P: crate::dialects::document::Problems>(
    status: u16,
    description: &str,
    schema: &str,
) -> utoipa::openapi::Responses {
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    let success: RefOr<Response> = ResponseBuilder::new()
        .description(description)
        .content(JSON, content)
        .build()
        .into();
    let mut responses = utoipa::openapi::Responses::new();
    responses.responses.extend(Described::<P>::responses());
    responses.responses.insert(status.to_string(), success);
    responses
}

/// The name of the envelope of a record, which the document has from now on.
fn envelope<R: Exposed>(document: &mut OpenApi) -> String {
    generic::<Envelope<R::Wire>>(document, "Envelope", &R::Wire::name())
}

/// Add a schema and those that it refers to; its name.
fn schema<T: ToSchema>(document: &mut OpenApi) -> String {
    let name = T::name().into_owned();
    insert::<T>(document, &name);
    name
}

/// The same for a schema that is made for another one.
fn generic<T: ToSchema>(document: &mut OpenApi, of: &str, inner: &str) -> String {
    let name = format!("{of}_{inner}");
    insert::<T>(document, &name);
    name
}

fn insert<T: ToSchema>(document: &mut OpenApi, name: &str) {
    let mut schemas = vec![(name.to_owned(), T::schema())];
    T::schemas(&mut schemas);
    document
        .components
        .get_or_insert_default()
        .schemas
        .extend(schemas);
}
