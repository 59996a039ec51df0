//! The routes of `/api/v1`: one table, from which actix is configured and with which the document is compared.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use super::{deliveries, endpoints, event_types, events, me, openapi};
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
