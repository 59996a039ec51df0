//! Times as every dialect writes them: RFC 3339 in UTC, to the millisecond.

use plumbline_domain::Timestamp;
use serde::Serializer;

/// A time.
pub(crate) fn time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// A time or null.
#[expect(clippy::ref_option, reason = "serde calls it so")]
pub(crate) fn optional_time<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
