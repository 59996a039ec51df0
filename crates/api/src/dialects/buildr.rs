//! `/api/2023-01`: Buildr's API, as its webhooks guide describes it.

pub(crate) mod failure;
pub(super) mod openapi;
mod webhooks;
mod wire;

use super::table;

table::routes! {
    "/api/2023-01/";
    POST "webhooks" => webhooks::create;
    GET "webhooks" => webhooks::list;
    GET "webhooks/{id}" => webhooks::read;
    PATCH "webhooks/{id}" => webhooks::update;
    PUT "webhooks/{id}" => webhooks::replace;
    DELETE "webhooks/{id}" => webhooks::delete;
    GET "openapi.json" => openapi::read;
}
