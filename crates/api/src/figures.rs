//! The metrics of this process: one block, a sentence each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use plumbline_engine::intake::IntakeFigures;
use prometheus::{
    Counter, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::http::Measured;

/// Bounds of the request durations, in seconds: fine around the few milliseconds that a commit takes.
const DURATION_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Every metric of the API. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Figures(Arc<All>);

macro_rules! figures {
    ($($field:ident: $kind:ident = $new:expr;)*) => {
        struct All {
            $($field: $kind,)*
            /// The intake counts by itself; this is what of it has been added to the counters.
            intake: Mutex<IntakeFigures>,
        }

        impl Figures {
            /// Make every metric and register it.
            ///
            /// # Errors
            /// When the registry has one of these names already.
            pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
                $(
                    let $field = $new?;
                    registry.register(Box::new($field.clone()))?;
                )*
                Ok(Self(Arc::new(All { $($field,)* intake: Mutex::default() })))
            }
        }
    };
}

figures! {
    http_requests: IntCounterVec = IntCounterVec::new(
        Opts::new("plumbline_http_requests_total", "Requests answered, by route pattern, method and class of status."),
        &["route", "method", "status"],
    );
    http_seconds: HistogramVec = HistogramVec::new(
        HistogramOpts::new(
            "plumbline_http_request_duration_seconds",
            "Time from a request's head to the head of its response, by route pattern and method.",
        )
        .buckets(DURATION_BUCKETS.to_vec()),
        &["route", "method"],
    );
    events_accepted: IntCounter = IntCounter::new(
        "plumbline_events_accepted_total",
        "Events that the intake of this process has committed.",
    );
    intake_batches: IntCounter = IntCounter::new(
        "plumbline_intake_commits_total",
        "Commits of the intake: accepted events over commits is the mean batch.",
    );
    intake_commit_seconds: Counter = Counter::new(
        "plumbline_intake_commit_seconds_total",
        "Time spent in commits of the intake: over their number, the mean commit.",
    );
    intake_waiting: IntGauge = IntGauge::new(
        "plumbline_intake_waiting_requests",
        "Requests that wait for a commit of the intake now.",
    );
    events_unsent: IntCounter = IntCounter::new(
        "plumbline_events_unsent_total",
        "Events whose publication failed or was left to the relay.",
    );
    outbox_age: Gauge = Gauge::new(
        "plumbline_outbox_age_seconds",
        "Age of the oldest accepted event that is not completely recorded as deliveries; 0 when there is none.",
    );
    pool_max: IntGauge = IntGauge::new(
        "plumbline_database_pool_max",
        "Connections to PostgreSQL that this process may open.",
    );
    pool_size: IntGauge = IntGauge::new(
        "plumbline_database_pool_connections",
        "Connections to PostgreSQL that this process has open.",
    );
    pool_available: IntGauge = IntGauge::new(
        "plumbline_database_pool_available",
        "Open connections to PostgreSQL that are idle.",
    );
    pool_waiting: IntGauge = IntGauge::new(
        "plumbline_database_pool_waiting",
        "Tasks that wait for a connection to PostgreSQL now.",
    );
    database_up: IntGauge = IntGauge::new(
        "plumbline_database_up",
        "1 while the last look at PostgreSQL succeeded, else 0.",
    );
    broker_up: IntGauge = IntGauge::new(
        "plumbline_broker_up",
        "1 while this process can publish to RabbitMQ, else 0.",
    );
}

impl Figures {
    /// Count an answered request.
    pub(crate) fn observe(&self, measured: &Measured<'_>) {
        let method = method_label(measured.method);
        self.0
            .http_requests
            .with_label_values(&[measured.route, method, class_label(measured.status)])
            .inc();
        self.0
            .http_seconds
            .with_label_values(&[measured.route, method])
            .observe(measured.seconds);
    }

    /// Add what the intake has done since the last time.
    pub(crate) fn intake(&self, now: IntakeFigures) {
        let mut before = self.0.intake.lock().unwrap_or_else(PoisonError::into_inner);
        self.0
            .events_accepted
            .inc_by(now.accepted_total.saturating_sub(before.accepted_total));
        self.0
            .intake_batches
            .inc_by(now.batches_total.saturating_sub(before.batches_total));
        self.0
            .events_unsent
            .inc_by(now.unsent_total.saturating_sub(before.unsent_total));
        self.0
            .intake_commit_seconds
            .inc_by((now.commit_seconds_sum - before.commit_seconds_sum).max(0.0));
        self.0.intake_waiting.set(count(now.waiting));
        *before = now;
    }

    /// Note how the pool stands: open at most, open, idle, waited for.
    pub(crate) fn pool(&self, max: usize, size: usize, available: usize, waiting: usize) {
        self.0.pool_max.set(count(max));
        self.0.pool_size.set(count(size));
        self.0.pool_available.set(count(available));
        self.0.pool_waiting.set(count(waiting));
    }

    /// Note how old the oldest event of the outbox is.
    pub(crate) fn outbox_age(&self, age: Option<Duration>) {
        self.0.outbox_age.set(age.unwrap_or_default().as_secs_f64());
    }

    /// Note whether the database answers.
    pub(crate) fn database(&self, is_up: bool) {
        self.0.database_up.set(i64::from(is_up));
    }

    /// Note whether the broker takes messages.
    pub(crate) fn broker(&self, is_up: bool) {
        self.0.broker_up.set(i64::from(is_up));
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A client chooses the method: only known ones become labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    fn shown(registry: &Registry) -> String {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text")
    }

    #[test]
    fn every_metric_has_a_sentence_and_what_is_counted_is_shown() {
        let registry = Registry::new();
        let figures = Figures::register(&registry).expect("the names are new");
        let accepted = |accepted_total| IntakeFigures {
            accepted_total,
            waiting: 2,
            ..IntakeFigures::default()
        };
        figures.intake(accepted(5));
        figures.intake(accepted(7));
        figures.observe(&Measured {
            route: "/api/v1/me",
            method: &Method::from_bytes(b"BREW").expect("a method"),
            status: StatusCode::NOT_FOUND,
            seconds: 0.003,
        });
        let text = shown(&registry);
        for line in [
            "plumbline_events_accepted_total 7",
            "plumbline_intake_waiting_requests 2",
            r#"plumbline_http_requests_total{method="other",route="/api/v1/me",status="4xx"} 1"#,
            r#"plumbline_http_request_duration_seconds_bucket{method="other",route="/api/v1/me",le="0.004"} 1"#,
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
        for help in text.lines().filter(|line| line.starts_with("# HELP")) {
            assert!(help.ends_with('.'), "not a sentence: {help}");
        }
    }

    #[test]
    fn the_same_metrics_twice_are_an_error() {
        let registry = Registry::new();
        assert!(Figures::register(&registry).is_ok());
        assert!(Figures::register(&registry).is_err());
    }
}
