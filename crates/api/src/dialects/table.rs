//! A dialect's routes as a table, from which actix is configured and with which its document is compared.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use crate::http::Failure;

/// One method of one path.
pub(super) struct Route {
    /// The method.
    pub(super) method: Method,
    /// The path's pattern, as the OpenAPI document writes it too.
    pub(super) path: &'static str,
    /// What answers.
    pub(super) to: fn() -> actix_web::Route,
}

macro_rules! routes {
    ($prefix:literal; $($method:ident $path:literal => $handler:path;)*) => {
        /// Every route.
        pub(in crate::dialects) static ROUTES: &[$crate::dialects::table::Route] = &[
            $($crate::dialects::table::Route {
                method: actix_web::http::Method::$method,
                path: concat!($prefix, $path),
                to: || actix_web::web::to($handler),
            },)*
        ];
    };
}
pub(super) use routes;

/// Register a table. A method that a path does not take is answered with those that it does.
pub(super) fn configure(table: &'static [Route], config: &mut ServiceConfig) {
    let mut paths: Vec<&str> = table.iter().map(|route| route.path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let routes = || table.iter().filter(|route| route.path == path);
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
