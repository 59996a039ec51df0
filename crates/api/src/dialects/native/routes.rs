//! The routes of `/api/v1`: one table, from which actix is configured and with which the document is compared.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use plumbline_domain::construction::{Bid, ChangeOrder, Company, Contact, Opportunity, PayApp, Project};

use super::{
    api_keys, deliveries, endpoints, event_types, events, me, openapi, records, sessions, settings, users,
};
use crate::http::Failure;

/// One method of one path.
pub(super) struct Route {
    /// The method.
    pub(super) method: Method,
    /// The path's pattern, as the OpenAPI document writes it too.
    pub(super) path: &'static str,
    /// What answers.
    to: fn() -> actix_web::Route,
}

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path;)*) => {
        /// Every route.
        pub(super) static ROUTES: &[Route] = &[
            $(Route { method: Method::$method, path: concat!("/api/v1/", $path), to: || web::to($handler) },)*
        ];
    };
}

routes! {
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
    GET "webhook-deliveries/{id}" => deliveries::read;
    POST "webhook-deliveries/{id}/replay" => deliveries::replay;
    GET "webhook-event-types" => event_types::list;
    POST "webhook-event-types" => event_types::create;
    GET "webhook-event-types/{name}" => event_types::read;
    PATCH "webhook-event-types/{name}" => event_types::update;
    POST "events" => events::publish;
    GET "events" => events::list;
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

/// Register the table. A method that a path does not take is answered with those that it does.
pub(crate) fn configure(config: &mut ServiceConfig) {
    let mut paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let routes = || ROUTES.iter().filter(|route| route.path == path);
        let allowed = routes()
            .map(|route| route.method.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let refuse = web::to(move || {
            let allowed = allowed.clone();
            async move { Err::<HttpResponse, _>(Failure::MethodNotAllowed(allowed)) }
        });
        let mut resource = web::resource(path);
        for route in routes() {
            resource = resource.route((route.to)().method(route.method.clone()));
        }
        config.service(resource.default_service(refuse));
    }
}
