//! The routes of `/api/v1`.

use plumbline_domain::construction::{Bid, ChangeOrder, Company, Contact, Opportunity, PayApp, Project};

use super::{
    api_keys, deliveries, endpoints, event_types, events, listening, me, openapi, records, sessions,
    settings, stats, users,
};
use crate::dialects::table;

table::routes! {
    "/api/v1/";
    POST "webhook-endpoints" => endpoints::create;
    GET "webhook-endpoints" => endpoints::list;
    GET "webhook-endpoints/{id}" => endpoints::read;
    PATCH "webhook-endpoints/{id}" => endpoints::update;
    DELETE "webhook-endpoints/{id}" => endpoints::delete;
    POST "webhook-endpoints/{id}/rotate-secret" => endpoints::rotate_secret;
    POST "webhook-endpoints/{id}/activate-secret" => endpoints::activate_secret;
    POST "webhook-endpoints/{id}/test" => endpoints::test;
    POST "webhook-endpoints/{id}/enable" => endpoints::enable;
    POST "webhook-endpoints/{id}/recover" => endpoints::recover;
    GET "webhook-endpoints/{id}/deliveries" => deliveries::list;
    GET "webhook-deliveries" => deliveries::list_all;
    GET "webhook-deliveries/stream" => deliveries::watch;
    GET "webhook-deliveries/{id}" => deliveries::read;
    POST "webhook-deliveries/{id}/replay" => deliveries::replay;
    GET "webhook-stats" => stats::read;
    GET "webhook-event-types" => event_types::list;
    POST "webhook-event-types" => event_types::create;
    GET "webhook-event-types/{name}" => event_types::read;
    PATCH "webhook-event-types/{name}" => event_types::update;
    POST "events" => events::publish;
    GET "events" => events::list;
    GET "events/stream" => listening::listen;
    GET "events/{id}" => events::read;
    POST "contacts" => records::create::<Contact>;
    GET "contacts" => records::list::<Contact>;
    GET "contacts/{id}" => records::read::<Contact>;
    PATCH "contacts/{id}" => records::update::<Contact>;
    POST "companies" => records::create::<Company>;
    GET "companies" => records::list::<Company>;
    GET "companies/{id}" => records::read::<Company>;
    PATCH "companies/{id}" => records::update::<Company>;
    POST "opportunities" => records::create::<Opportunity>;
    GET "opportunities" => records::list::<Opportunity>;
    GET "opportunities/{id}" => records::read::<Opportunity>;
    PATCH "opportunities/{id}" => records::update::<Opportunity>;
    POST "projects" => records::create::<Project>;
    GET "projects" => records::list::<Project>;
    GET "projects/{id}" => records::read::<Project>;
    PATCH "projects/{id}" => records::update::<Project>;
    POST "bids" => records::create::<Bid>;
    GET "bids" => records::list::<Bid>;
    GET "bids/{id}" => records::read::<Bid>;
    PATCH "bids/{id}" => records::update::<Bid>;
    POST "bids/{id}/send" => records::bids::send;
    POST "bids/{id}/view" => records::bids::view;
    POST "bids/{id}/accept" => records::bids::accept;
    POST "bids/{id}/reject" => records::bids::reject;
    POST "pay-apps" => records::create::<PayApp>;
    GET "pay-apps" => records::list::<PayApp>;
    GET "pay-apps/{id}" => records::read::<PayApp>;
    PATCH "pay-apps/{id}" => records::update::<PayApp>;
    POST "pay-apps/{id}/submit" => records::pay_apps::submit;
    POST "pay-apps/{id}/approve" => records::pay_apps::approve;
    POST "change-orders" => records::create::<ChangeOrder>;
    GET "change-orders" => records::list::<ChangeOrder>;
    GET "change-orders/{id}" => records::read::<ChangeOrder>;
    PATCH "change-orders/{id}" => records::update::<ChangeOrder>;
    POST "change-orders/{id}/items" => records::change_orders::add_items;
    POST "change-orders/{id}/submit" => records::change_orders::submit;
    POST "change-orders/{id}/approve" => records::change_orders::approve;
    GET "webhook-settings" => settings::read;
    PATCH "webhook-settings" => settings::update;
    POST "session" => sessions::sign_in;
    GET "session" => sessions::read;
    DELETE "session" => sessions::sign_out;
    POST "session/password" => sessions::change_password;
    POST "users" => users::create;
    GET "users" => users::list;
    GET "users/{id}" => users::read;
    PATCH "users/{id}" => users::update;
    DELETE "users/{id}" => users::delete;
    POST "api-keys" => api_keys::create;
    GET "api-keys" => api_keys::list;
    GET "api-keys/{id}" => api_keys::read;
    DELETE "api-keys/{id}" => api_keys::revoke;
    GET "me" => me::read;
    GET "openapi.json" => openapi::read;
}
