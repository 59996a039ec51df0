//! The metrics of this process: one block, a sentence each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use plumbline_engine::assembly::PoolStatus;
use plumbline_engine::intake::IntakeFigures;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

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
                Ok(Self(Arc::new(All { $($field,)* })))
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
    outbox_age: Gauge = Gauge::new(
        "plumbline_outbox_age_seconds",
        "Age of the oldest accepted event that is not completely recorded as deliveries; 0 when there is none.",
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

    /// Have each scrape read what the engine counts by itself, so that it shows what has happened until then.
    ///
    /// # Errors
    /// When the registry has one of these names already.
    pub(crate) fn follow(
        registry: &Registry,
        read: impl Fn() -> Counted + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        registry.register(Box::new(Follower::new(Box::new(read))?))
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

/// What others count by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) intake: IntakeFigures,
    pub(crate) pool: PoolStatus,
    /// Clients' connections that are open.
    pub(crate) connections: usize,
}

/// What is counted, its sentence, and where it is read.
type Reading = (&'static str, &'static str, fn(&Counted) -> f64);

const COUNTERS: [Reading; 4] = [
    (
        "plumbline_events_accepted_total",
        "Events that the intake of this process has committed.",
        |counted| whole(counted.intake.accepted_total),
    ),
    (
        "plumbline_intake_commits_total",
        "Commits of the intake: accepted events over commits is the mean batch.",
        |counted| whole(counted.intake.batches_total),
    ),
    (
        "plumbline_intake_commit_seconds_total",
        "Time spent in commits of the intake: over their number, the mean commit.",
        |counted| counted.intake.commit_seconds_sum,
    ),
    (
        "plumbline_events_unsent_total",
        "Events whose publication failed or was left to the relay.",
        |counted| whole(counted.intake.unsent_total),
    ),
];

const GAUGES: [Reading; 6] = [
    (
        "plumbline_http_connections",
        "Connections of clients that are open now.",
        |counted| whole(counted.connections as u64),
    ),
    (
        "plumbline_intake_waiting_requests",
        "Requests that wait for a commit of the intake now.",
        |counted| whole(counted.intake.waiting as u64),
    ),
    (
        "plumbline_database_pool_max",
        "Connections to PostgreSQL that this process may open.",
        |counted| whole(counted.pool.max as u64),
    ),
    (
        "plumbline_database_pool_connections",
        "Connections to PostgreSQL that this process has open.",
        |counted| whole(counted.pool.size as u64),
    ),
    (
        "plumbline_database_pool_available",
        "Open connections to PostgreSQL that are idle.",
        |counted| whole(counted.pool.available as u64),
    ),
    (
        "plumbline_database_pool_waiting",
        "Tasks that wait for a connection to PostgreSQL now.",
        |counted| whole(counted.pool.waiting as u64),
    ),
];

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows no other numbers; exact below 2^53"
)]
fn whole(number: u64) -> f64 {
    number as f64
}

/// Reads what is counted when it is asked for: nothing has to be kept in step.
struct Follower {
    read: Box<dyn Fn() -> Counted + Send + Sync>,
    descriptions: Vec<Desc>,
}

impl Follower {
    fn new(read: Box<dyn Fn() -> Counted + Send + Sync>) -> Result<Self, prometheus::Error> {
        let descriptions = COUNTERS
            .iter()
            .chain(&GAUGES)
            .map(|(name, sentence, _)| Desc::new((*name).into(), (*sentence).into(), vec![], HashMap::new()))
            .collect::<Result<_, _>>()?;
        Ok(Self { read, descriptions })
    }

    fn families(counted: &Counted) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let mut families = vec![];
        for (name, sentence, value) in COUNTERS {
            let counter = Counter::new(name, sentence)?;
            counter.inc_by(value(counted));
            families.extend(counter.collect());
        }
        for (name, sentence, value) in GAUGES {
            let gauge = Gauge::new(name, sentence)?;
            gauge.set(value(counted));
            families.extend(gauge.collect());
        }
        Ok(families)
    }
}

impl Collector for Follower {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        Self::families(&(self.read)()).expect("the names were good when they were registered")
    }
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
    use std::sync::atomic::{AtomicU64, Ordering};

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
        let accepted = Arc::new(AtomicU64::new(5));
        let engine = accepted.clone();
        let read = move || Counted {
            intake: IntakeFigures {
                accepted_total: engine.load(Ordering::Relaxed),
                waiting: 2,
                ..IntakeFigures::default()
            },
            pool: PoolStatus {
                size: 3,
                available: 1,
                waiting: 0,
                max: 16,
            },
            connections: 4,
        };
        Figures::follow(&registry, read).expect("the names are new");
        assert!(shown(&registry).contains("plumbline_events_accepted_total 5"));
        accepted.store(7, Ordering::Relaxed);
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
            "plumbline_database_pool_connections 3",
            "plumbline_http_connections 4",
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
