//! `/v1`: Buildmarkets' API, as its webhook reference describes it.

pub(crate) mod failure;
pub(super) mod openapi;
mod webhooks;
mod wire;

use super::table;

table::routes! {
    "/v1/";
    POST "webhooks" => webhooks::create;
    GET "webhooks" => webhooks::list;
    GET "webhooks/{webhookId}" => webhooks::read;
    PATCH "webhooks/{webhookId}" => webhooks::update;
    DELETE "webhooks/{webhookId}" => webhooks::delete;
    POST "webhooks/{webhookId}/test" => webhooks::test;
    GET "webhooks/{webhookId}/deliveries" => webhooks::deliveries;
    GET "openapi.json" => openapi::read;
}
