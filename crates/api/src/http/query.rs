//! Reading a query string parameter by parameter, so that a misspelt one is refused and not ignored.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use plumbline_domain::{TenantId, Timestamp};
use plumbline_engine::FieldError;

use super::{Cursors, Failure, ListKind, rfc3339, shown};

/// Elements of a page when the client does not say.
const LIMIT_DEFAULT: usize = 25;
/// Elements of a page at most.
const LIMIT_MAX: usize = 100;
/// Parameters that are looked at; no request has as many.
const PARAMETERS_MAX: usize = 32;

/// The parameters of a query string, and the faults found in them so far.
pub(crate) struct Parameters {
    given: Vec<(String, String)>,
    read: Vec<&'static str>,
    faults: Vec<FieldError>,
    cursors: Option<web::Data<Cursors>>,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageQuery<P> {
    /// Elements at most.
    pub(crate) limit: usize,
    /// Begin after this one.
    pub(crate) after: Option<P>,
}

impl Parameters {
    /// The parameters of a request.
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self::of_query(request.query_string())
    }

    /// The parameters of a query string.
    pub(crate) fn of_query(query: &str) -> Self {
        let mut parameters = Self {
            given: vec![],
            read: vec![],
            faults: vec![],
            cursors: None,
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX + 1) {
            if parameters.given.iter().any(|(given, _)| *given == name) {
                parameters.fault(
                    &shown(&name),
                    "duplicate_parameter",
                    "is given twice: send it once",
                );
            } else {
                parameters.given.push((name.into_owned(), value.into_owned()));
            }
        }
        parameters
    }

    /// A parameter as text, if it is given.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.read.push(name);
        self.given
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.clone())
    }

    /// A parameter that `read` understands; what it does not is a fault with this remedy.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
        remedy: &str,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            self.fault(name, "invalid", remedy);
        }
        value
    }

    /// A point in time.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        self.parsed(
            name,
            rfc3339::parse,
            &format!("{}; in a query string, write + as %2B", rfc3339::FORM),
        )
    }

    /// Which page of a list of a tenant is asked for, once all parameters are read.
    pub(crate) fn page<P: FromStr>(
        mut self,
        tenant: TenantId,
        list: ListKind,
    ) -> Result<PageQuery<P>, Failure> {
        let limit = self.parsed(
            "limit",
            |text| text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)),
            &format!("must be a whole number from 1 to {LIMIT_MAX}"),
        );
        let cursor = self.text("cursor");
        let cursors = self.cursors.take();
        self.finish()?;
        let after = cursor
            .map(|cursor| {
                let cursors = cursors
                    .ok_or_else(|| Failure::Unexpected("the application has no cursors".to_owned()))?;
                cursors.open(tenant, list, &cursor)
            })
            .transpose()?;
        Ok(PageQuery {
            limit: limit.unwrap_or(LIMIT_DEFAULT),
            after,
        })
    }

    /// Refuse what was not understood, and what nobody asked for.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let unknown: Vec<String> = self
            .given
            .iter()
            .filter(|(name, _)| !self.read.iter().any(|read| read == name))
            .map(|(name, _)| shown(name))
            .collect();
        for name in unknown {
            self.fault(
                &name,
                "unknown_parameter",
                "is not a parameter of this request: leave it out",
            );
        }
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(Failure::Invalid(self.faults))
        }
    }

    fn fault(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        self.faults.push(FieldError::new(name, code, message));
    }
}

impl FromRequest for Parameters {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut parameters = Self::of(request);
        parameters.cursors = request.app_data::<web::Data<Cursors>>().cloned();
        ready(Ok(parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::{DeliveryStatus, EndpointId};

    const TENANT: TenantId = TenantId(1);

    fn parameters(query: &str) -> Parameters {
        let mut parameters = Parameters::of_query(query);
        parameters.cursors = Some(web::Data::new(Cursors::new([7; 32])));
        parameters
    }

    fn page(query: &str) -> Result<PageQuery<EndpointId>, String> {
        parameters(query)
            .page(TENANT, ListKind::Endpoints)
            .map_err(|failure| match failure {
                Failure::Invalid(faults) => faults
                    .iter()
                    .map(|fault| format!("{}: {}", fault.field, fault.code))
                    .collect::<Vec<_>>()
                    .join(", "),
                failure => failure.to_string(),
            })
    }

    #[test]
    fn a_limit_is_1_to_100_and_25_unless_given() {
        for (query, limit) in [("", 25), ("limit=1", 1), ("limit=100", 100)] {
            assert_eq!(page(query), Ok(PageQuery { limit, after: None }), "{query}");
        }
        for query in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=ten",
            "limit=",
            "limit=1.0",
            "limit=99999999999999999999",
        ] {
            assert_eq!(page(query), Err("limit: invalid".to_owned()), "{query}");
        }
    }

    #[test]
    fn a_parameter_that_nobody_knows_or_that_comes_twice_is_refused() {
        assert_eq!(
            page("limt=5&x=%00"),
            Err("limt: unknown_parameter, x: unknown_parameter".to_owned())
        );
        assert_eq!(
            page("limit=5&limit=5"),
            Err("limit: duplicate_parameter".to_owned())
        );
    }

    #[test]
    fn a_cursor_that_is_none_is_refused() {
        let refused = page("cursor=abc").expect_err("not a cursor");
        assert!(refused.contains("cursor"), "{refused}");
    }

    #[test]
    fn a_bad_value_names_its_parameter() {
        let mut given = parameters("status=Pending&since=yesterday&until=2026-04-25T17:42:01%2B02:00");
        assert_eq!(
            given.parsed("status", DeliveryStatus::parse, "must be a status"),
            None
        );
        assert_eq!(given.time("since"), None);
        assert!(given.time("until").is_some());
        let Err(Failure::Invalid(faults)) = given.finish() else {
            panic!("it should be refused")
        };
        let names: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(names, ["status", "since"]);
    }
}
