//! The metrics of this process: one block, a sentence each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use plumbline_engine::assembly::PoolStatus;
use plumbline_engine::intake::IntakeFigures;
use plumbline_engine::relay::RelayFigures;
use plumbline_engine::waiting::Waiting;
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
        "Age of the oldest accepted event that is not completely recorded as deliveries; 0 when there is none. Every replica \
         tells the same.",
    );
    connections_max: IntGauge = IntGauge::new(
        "plumbline_http_connections_max",
        "Connections of clients that may be open; more wait.",
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

    /// Note how many connections may be open.
    pub(crate) fn connections_max(&self, connections: usize) {
        self.0
            .connections_max
            .set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}

/// What others count by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) intake: IntakeFigures,
    pub(crate) pool: PoolStatus,
    /// Clients' connections that are open.
    pub(crate) connections: usize,
    pub(crate) relay: RelayFigures,
    /// What waits in the database; only the leader of the relay knows.
    pub(crate) waiting: Option<Waiting>,
}

/// What is counted, its sentence, and where it is read.
type Reading<T> = (&'static str, &'static str, fn(&T) -> f64);

const COUNTERS: [Reading<Counted>; 6] = [
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
    (
        "plumbline_relay_unsent_published_total",
        "Messages that the relay of this process published, which had not been published before.",
        |counted| whole(counted.relay.unsent_total),
    ),
    (
        "plumbline_relay_lost_published_total",
        "Messages that the relay of this process published again, because no queue seemed to hold them.",
        |counted| whole(counted.relay.lost_total),
    ),
];

const GAUGES: [Reading<Counted>; 10] = [
    (
        "plumbline_relay_leader",
        "1 while this process leads the relay, which publishes what the intake could not; else 0.",
        |counted| f64::from(u8::from(counted.relay.leads)),
    ),
    (
        "plumbline_intake_waiting_requests_max",
        "Requests that may wait for a commit of the intake; beyond, they wait at the door.",
        |counted| whole(counted.intake.waiting_max as u64),
    ),
    (
        "plumbline_intake_publishing_bytes",
        "Bytes of committed events that wait for the broker's confirm now.",
        |counted| whole(counted.intake.publishing_bytes as u64),
    ),
    (
        "plumbline_intake_publishing_bytes_max",
        "Bytes of committed events that may wait for the broker; beyond, they are left to the relay.",
        |counted| whole(counted.intake.publishing_bytes_max as u64),
    ),
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

/// What only the leader of the relay shows.
const LEADERS: [Reading<Waiting>; 13] = [
    (
        "plumbline_outbox_messages",
        "Messages that are accepted and not completely recorded as deliveries, up to 100,000. The relay's leader tells.",
        |waiting| whole(waiting.outbox.count),
    ),
    (
        "plumbline_outbox_unsent_messages",
        "Of those, the ones that the broker has not confirmed, up to 100,000. The relay's leader tells.",
        |waiting| whole(waiting.outbox.unsent),
    ),
    (
        "plumbline_outbox_unsent_age_seconds",
        "Age of the oldest message that the broker has not confirmed; 0 when there is none. The relay's leader tells.",
        |waiting| seconds(waiting.outbox.oldest_unsent),
    ),
    (
        "plumbline_deliveries_due",
        "Pending deliveries whose time has come and that are not on record as attempted, up to 100,000. The relay's leader \
         tells.",
        |waiting| whole(waiting.due.count),
    ),
    (
        "plumbline_deliveries_due_age_seconds",
        "For how long the oldest of those has been due; 0 when there is none. The relay's leader tells.",
        |waiting| seconds(waiting.due.longest),
    ),
    (
        "plumbline_partitions_present",
        "1 while today's partitions are there, without which nothing is accepted; else 0. The relay's leader tells.",
        |waiting| f64::from(u8::from(waiting.partitions.today)),
    ),
    (
        "plumbline_partitions_ahead",
        "Daily partitions that are made ahead without a gap. The relay's leader tells.",
        |waiting| f64::from(waiting.partitions.days_ahead),
    ),
    (
        "plumbline_partitions_expired",
        "Daily partitions that are past their retention and still there. The relay's leader tells.",
        |waiting| f64::from(waiting.partitions.days_over),
    ),
    (
        "plumbline_database_size_bytes",
        "Size of the database on disk. The relay's leader tells.",
        |waiting| whole(waiting.fullness.bytes),
    ),
    (
        "plumbline_database_server_connections",
        "Connections of clients to the PostgreSQL server, ours and others'. The relay's leader tells.",
        |waiting| whole(waiting.fullness.connections),
    ),
    (
        "plumbline_database_server_connections_max",
        "Connections that the PostgreSQL server grants to clients. The relay's leader tells.",
        |waiting| whole(waiting.fullness.connections_max),
    ),
    (
        "plumbline_endpoints_failing",
        "Active endpoints whose last attempt failed. The relay's leader tells.",
        |waiting| whole(waiting.endpoints.failing),
    ),
    (
        "plumbline_endpoints_disabled",
        "Endpoints that are disabled for their failures or because they answered 410. The relay's leader tells.",
        |waiting| whole(waiting.endpoints.disabled),
    ),
];

fn seconds(age: Option<Duration>) -> f64 {
    age.unwrap_or_default().as_secs_f64()
}

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
        let names = COUNTERS
            .iter()
            .chain(&GAUGES)
            .map(|(name, sentence, _)| (name, sentence));
        let of_leaders = LEADERS.iter().map(|(name, sentence, _)| (name, sentence));
        let descriptions = names
            .chain(of_leaders)
            .map(|(name, sentence)| Desc::new((*name).into(), (*sentence).into(), vec![], HashMap::new()))
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
        let gauges = GAUGES.map(|(name, sentence, value)| (name, sentence, value(counted)));
        let of_leader = counted
            .waiting
            .iter()
            .flat_map(|waiting| LEADERS.map(|(name, sentence, value)| (name, sentence, value(waiting))));
        for (name, sentence, value) in gauges.into_iter().chain(of_leader) {
            let gauge = Gauge::new(name, sentence)?;
            gauge.set(value);
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
            relay: RelayFigures {
                leads: true,
                unsent_total: 6,
                lost_total: 0,
            },
            waiting: None,
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
            "plumbline_relay_leader 1",
            "plumbline_relay_unsent_published_total 6",
            r#"plumbline_http_requests_total{method="other",route="/api/v1/me",status="4xx"} 1"#,
            r#"plumbline_http_request_duration_seconds_bucket{method="other",route="/api/v1/me",le="0.004"} 1"#,
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
        assert!(
            !text.contains("plumbline_outbox_messages"),
            "who does not lead is silent: {text}"
        );
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
