//! The products' ways of speaking HTTP: one module each, chosen by the path.

pub(crate) mod native;

use actix_web::HttpResponse;
use actix_web::web::ServiceConfig;

use crate::http::{Failure, RequestId};

/// A product's HTTP surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/api/v1`: BuildWorkPro, our native superset, and whatever belongs to nobody.
    Native,
}

impl Dialect {
    /// The dialect that a path belongs to.
    pub(crate) fn of(_path: &str) -> Self {
        // Each new dialect claims its prefix here.
        Self::Native
    }

    /// A failure in the dialect's own words.
    pub(crate) fn render(self, failure: &Failure, id: RequestId) -> HttpResponse {
        match self {
            Self::Native => native::problem::render(failure, id),
        }
    }
}

/// Register every dialect's routes.
pub(crate) fn configure(config: &mut ServiceConfig) {
    native::routes::configure(config);
}
