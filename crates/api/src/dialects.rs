//! The products' ways of speaking HTTP: one module each, chosen by the path.

pub(crate) mod buildmarkets;
pub(crate) mod buildr;
mod document;
pub(crate) mod native;
mod table;
mod webhook;

use actix_web::HttpResponse;
use actix_web::web::ServiceConfig;

use crate::http::{Failure, RequestId};

pub(crate) use self::document::Documents;

/// A product's HTTP surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/api/v1`: BuildWorkPro, our native superset, and whatever belongs to nobody.
    Native,
    /// `/api/2023-01`: Buildr.
    Buildr,
    /// `/v1`: Buildmarkets.
    Buildmarkets,
}

impl Dialect {
    /// The dialect that a path belongs to.
    pub(crate) fn of(path: &str) -> Self {
        let below = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if below("/api/2023-01") {
            Self::Buildr
        } else if below("/v1") {
            Self::Buildmarkets
        } else {
            Self::Native
        }
    }

    /// A failure in the dialect's own words.
    pub(crate) fn render(self, failure: &Failure, id: RequestId) -> HttpResponse {
        match self {
            Self::Native => native::problem::render(failure, id),
            Self::Buildr => buildr::failure::render(failure),
            Self::Buildmarkets => buildmarkets::failure::render(failure),
        }
    }
}

/// Register every dialect's routes.
pub(crate) fn configure(config: &mut ServiceConfig) {
    table::configure(native::routes::ROUTES, config);
    table::configure(buildr::ROUTES, config);
    table::configure(buildmarkets::ROUTES, config);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_belongs_to_one_dialect() {
        for (path, dialect) in [
            ("/api/v1/events", Dialect::Native),
            ("/api/2023-01/webhooks", Dialect::Buildr),
            ("/api/2023-01", Dialect::Buildr),
            ("/api/2023-011/webhooks", Dialect::Native),
            ("/v1/webhooks/x", Dialect::Buildmarkets),
            ("/v10/webhooks", Dialect::Native),
            ("/", Dialect::Native),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }
}
