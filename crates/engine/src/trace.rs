//! The trace that a use case is part of, from the request that asked for it to what it publishes.

use plumbline_domain::Timestamp;
use plumbline_domain::trace::{Moment, TraceContext};

tokio::task_local! {
    /// Set by whoever calls a use case: a parameter of every use case would be one that hardly any reads.
    static CURRENT: Option<TraceContext>;
}

/// Do this work as a part of a trace, where that is recorded.
pub fn within<F: Future>(context: Option<TraceContext>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, work)
}

/// What the work at hand is part of.
pub(crate) fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok().flatten()
}

/// When a span begins: now.
pub(crate) fn now() -> Moment {
    Moment::new(Timestamp::now(), rand::random())
}
