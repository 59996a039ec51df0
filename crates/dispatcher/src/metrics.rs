//! What the dispatcher counts. Labels are closed sets; nothing a customer chooses becomes one.
//!
//! Every series is there from the start, at 0, so that a rate over it is never empty; counting is an addition to a number
//! that is already at hand, never a look-up by a label.

use std::time::Duration;

use jiff::SignedDuration;
use plumbline_domain::retry::Next;
use plumbline_domain::{AttemptOutcome, FailureCode, Timestamp};
use plumbline_runtime::admin::AtScrape;
use plumbline_store::PoolStatus;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// The dispatcher's metrics.
pub struct Metrics {
    /// `plumbline_events_fanned_out_total`
    pub fanned_out: IntCounter,
    /// By how they ended, then by what follows.
    attempts: [[IntCounter; NEXTS.len()]; ENDINGS.len()],
    /// By how they ended.
    attempt_seconds: [Histogram; ENDINGS.len()],
    fan_out_seconds: Histogram,
    first_attempt_seconds: Histogram,
    retry_lateness_seconds: Histogram,
    /// `plumbline_retries_parked_total`
    pub retries_parked: IntCounter,
    /// `plumbline_parkings_refused_total`
    pub parkings_refused: IntCounter,
    /// `plumbline_deliveries_deferred_total`
    pub deferred: IntCounter,
    /// `plumbline_rate_slots_reserved_total`
    pub slots_reserved: IntCounter,
    /// `plumbline_deliveries_rate_limited_total`
    pub rate_limited: IntCounter,
    /// `plumbline_rate_slots_missed_total`
    pub slots_missed: IntCounter,
    /// `plumbline_deliveries_skipped_total`
    pub skipped: IntCounter,
    /// `plumbline_messages_stale_total`
    pub stale: IntCounter,
    /// `plumbline_messages_undecodable_total`
    pub undecodable: IntCounter,
    /// `plumbline_deliveries_swept_total`
    pub swept: IntCounter,
    /// `plumbline_endpoints_disabled_total`
    pub endpoints_disabled: IntCounter,
    in_flight: IntGauge,
    record_batch: Histogram,
    record_seconds: Histogram,
    /// `plumbline_record_failures_total{cause="unavailable"}`
    pub record_unavailable: IntCounter,
    /// `plumbline_record_failures_total{cause="fault"}`
    pub record_faults: IntCounter,
    /// `plumbline_sweep_leader`
    pub sweep_leader: IntGauge,
    /// `plumbline_queue_messages_ready`
    pub queue_ready: IntGaugeVec,
    /// `plumbline_dead_messages`
    pub dead_messages: IntGauge,
}

const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// How an attempt may end, as the label `outcome` says it.
const ENDINGS: [&str; 12] = [
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "other_status",
    "timeout",
    "connect_failed",
    "dns_failed",
    "tls_failed",
    "reset",
    "bad_response",
    "address_forbidden",
];
/// What may follow, as the label `next` says it.
const NEXTS: [&str; 4] = ["succeeded", "retry", "exhausted", "failed"];

/// The place in [`ENDINGS`].
fn ending(outcome: &AttemptOutcome) -> usize {
    match outcome {
        AttemptOutcome::Answered(answer) => match answer.status.0 {
            200..300 => 0,
            300..400 => 1,
            400..500 => 2,
            500..600 => 3,
            _ => 4,
        },
        AttemptOutcome::Unreachable(unreachable) => match unreachable.code {
            FailureCode::Timeout => 5,
            FailureCode::ConnectFailed => 6,
            FailureCode::DnsFailed => 7,
            FailureCode::TlsFailed => 8,
            FailureCode::Reset => 9,
            FailureCode::AddressForbidden => 11,
            // The endpoint's own states are never why it could not be reached.
            FailureCode::BadResponse | FailureCode::EndpointDisabled | FailureCode::EndpointDeleted => 10,
        },
        AttemptOutcome::Forbidden(_) => 11,
    }
}

/// The place in [`NEXTS`].
fn following(next: Next) -> usize {
    match next {
        Next::Succeeded => 0,
        Next::Retry { .. } => 1,
        Next::Exhausted => 2,
        Next::Abandoned { .. } => 3,
    }
}

/// How close the process is to its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// The pool of database connections.
    pub pool: PoolStatus,
    /// Connections to endpoints, idle ones included.
    pub open_connections: usize,
    /// Permits in use and in all, for fresh events.
    pub fresh_permits: (usize, usize),
    /// Permits in use and in all, for retries.
    pub retry_permits: (usize, usize),
    /// Outcomes that wait for the recorder, and how many may.
    pub unrecorded: (usize, usize),
}

impl Metrics {
    /// Declare them in `registry`.
    ///
    /// # Errors
    /// When a name is taken: a fault of ours.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauges = |name: &str, help: &str, label: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let metric = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> Result<Histogram, prometheus::Error> {
            let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let attempts = IntCounterVec::new(
            Opts::new(
                "plumbline_attempts_total",
                "Attempts, by how they ended and what follows.",
            ),
            &["outcome", "next"],
        )?;
        registry.register(Box::new(attempts.clone()))?;
        let record_failures = IntCounterVec::new(
            Opts::new(
                "plumbline_record_failures_total",
                "Batches of outcomes that could not be written and are tried again, by cause: the database was not available, \
                 or a fault of ours.",
            ),
            &["cause"],
        )?;
        registry.register(Box::new(record_failures.clone()))?;
        let attempt_seconds = HistogramVec::new(
            HistogramOpts::new(
                "plumbline_attempt_duration_seconds",
                "Duration of attempts, by how they ended.",
            )
            .buckets(SECONDS.to_vec()),
            &["outcome"],
        )?;
        registry.register(Box::new(attempt_seconds.clone()))?;
        Ok(Self {
            fanned_out: counter(
                "plumbline_events_fanned_out_total",
                "Events matched against their tenant's endpoints.",
            )?,
            attempts: ENDINGS.map(|outcome| NEXTS.map(|next| attempts.with_label_values(&[outcome, next]))),
            attempt_seconds: ENDINGS.map(|outcome| attempt_seconds.with_label_values(&[outcome])),
            fan_out_seconds: histogram(
                "plumbline_event_to_fan_out_seconds",
                "Time from an event's acceptance to a dispatcher taking it up: what the outbox and the queue cost.",
                &SECONDS,
            )?,
            first_attempt_seconds: histogram(
                "plumbline_event_to_first_attempt_seconds",
                "Time from an event's acceptance to the start of its first attempt at an endpoint; what waited for a rate \
                 limit is not counted.",
                &SECONDS,
            )?,
            retry_lateness_seconds: histogram(
                "plumbline_retry_lateness_seconds",
                "How much later than due a retry came back from its delay queue.",
                &SECONDS,
            )?,
            retries_parked: counter(
                "plumbline_retries_parked_total",
                "Messages parked in delay queues.",
            )?,
            parkings_refused: counter(
                "plumbline_parkings_refused_total",
                "Parkings that the broker did not confirm; they are tried again.",
            )?,
            deferred: counter(
                "plumbline_deliveries_deferred_total",
                "Deliveries put off because their endpoint was busy; no attempt used up.",
            )?,
            slots_reserved: counter(
                "plumbline_rate_slots_reserved_total",
                "Slots of rate-limited endpoints that this process reserved.",
            )?,
            rate_limited: counter(
                "plumbline_deliveries_rate_limited_total",
                "Deliveries put off because of their endpoint's rate limit; no attempt used up.",
            )?,
            slots_missed: counter(
                "plumbline_rate_slots_missed_total",
                "Slots that went unused because the request was not ready to leave in time.",
            )?,
            skipped: counter(
                "plumbline_deliveries_skipped_total",
                "Deliveries recorded as skipped because their endpoint was disabled.",
            )?,
            stale: counter(
                "plumbline_messages_stale_total",
                "Retry messages whose delivery had moved on: duplicates.",
            )?,
            undecodable: counter(
                "plumbline_messages_undecodable_total",
                "Messages moved to the dead queue because they could not be read.",
            )?,
            swept: counter(
                "plumbline_deliveries_swept_total",
                "Overdue deliveries published again by the sweep.",
            )?,
            endpoints_disabled: counter(
                "plumbline_endpoints_disabled_total",
                "Endpoints disabled after consecutive failures or 410 Gone.",
            )?,
            in_flight: gauge("plumbline_attempts_in_flight", "Attempts in flight now.")?,
            record_batch: histogram(
                "plumbline_record_batch_size",
                "Outcomes written by one statement.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            )?,
            record_seconds: histogram(
                "plumbline_record_duration_seconds",
                "Duration of recording a batch of outcomes, retries included.",
                &SECONDS,
            )?,
            record_unavailable: record_failures.with_label_values(&["unavailable"]),
            record_faults: record_failures.with_label_values(&["fault"]),
            sweep_leader: gauge(
                "plumbline_sweep_leader",
                "1 while this process leads the sweep, which publishes lost retries again; else 0.",
            )?,
            queue_ready: gauges(
                "plumbline_queue_messages_ready",
                "Messages ready in a work queue; every dispatcher tells the same of all.",
                "queue",
            )?,
            dead_messages: gauge(
                "plumbline_dead_messages",
                "Messages in the dead queue: somebody should look. Every dispatcher tells the same.",
            )?,
        })
    }

    /// Count an attempt that has ended.
    pub fn attempted(&self, outcome: &AttemptOutcome, next: Next, duration: Duration) {
        let ending = ending(outcome);
        self.attempts[ending][following(next)].inc();
        self.attempt_seconds[ending].observe(duration.as_secs_f64());
    }

    /// An event is taken up.
    pub fn taken_up(&self, accepted_at: Timestamp) {
        self.fan_out_seconds.observe(seconds_since(accepted_at));
    }

    /// An event's first attempt at an endpoint begins.
    pub fn first_attempt(&self, accepted_at: Timestamp) {
        self.first_attempt_seconds.observe(seconds_since(accepted_at));
    }

    /// A retry came back this late.
    pub fn lateness(&self, late: SignedDuration) {
        self.retry_lateness_seconds.observe(late.as_secs_f64().max(0.0));
    }

    /// A batch was recorded.
    pub fn recorded(&self, outcomes: usize, duration: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        self.record_batch.observe(outcomes as f64);
        self.record_seconds.observe(duration.as_secs_f64());
    }

    /// One more attempt in flight, until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

/// Another host's clock may be ahead.
fn seconds_since(accepted_at: Timestamp) -> f64 {
    Timestamp::now()
        .duration_since(accepted_at)
        .as_secs_f64()
        .max(0.0)
}

/// Have each scrape read how close the process is to its limits; `None` when it is ending leaves what was read last.
///
/// # Errors
/// When a name is taken: a fault of ours.
pub fn follow(
    registry: &Registry,
    read: impl Fn() -> Option<Headroom> + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    let gauge = IntGauge::new;
    let pool_max = gauge(
        "plumbline_database_pool_max",
        "Connections to PostgreSQL that this process may open.",
    )?;
    let pool_connections = gauge(
        "plumbline_database_pool_connections",
        "Connections to PostgreSQL that this process has open.",
    )?;
    let pool_available = gauge(
        "plumbline_database_pool_available",
        "Open connections to PostgreSQL that are idle.",
    )?;
    let pool_waiting = gauge(
        "plumbline_database_pool_waiting",
        "Tasks that wait for a connection to PostgreSQL now.",
    )?;
    let open_connections = gauge(
        "plumbline_open_connections",
        "Connections to endpoints, idle ones included.",
    )?;
    let permits = IntGaugeVec::new(
        Opts::new(
            "plumbline_permits_in_use",
            "Permits to attempt that are in use, by share: fresh events, or retries.",
        ),
        &["share"],
    )?;
    let permits_max = IntGaugeVec::new(
        Opts::new(
            "plumbline_permits_max",
            "Permits to attempt, by share: together PLUMBLINE_MAX_IN_FLIGHT.",
        ),
        &["share"],
    )?;
    let unrecorded = gauge(
        "plumbline_outcomes_waiting",
        "Outcomes that wait for the recorder.",
    )?;
    let unrecorded_max = gauge(
        "plumbline_outcomes_waiting_max",
        "Outcomes that may wait for the recorder; beyond, attempts wait.",
    )?;
    let parts: Vec<Box<dyn Collector>> = vec![
        Box::new(pool_max.clone()),
        Box::new(pool_connections.clone()),
        Box::new(pool_available.clone()),
        Box::new(pool_waiting.clone()),
        Box::new(open_connections.clone()),
        Box::new(permits.clone()),
        Box::new(permits_max.clone()),
        Box::new(unrecorded.clone()),
        Box::new(unrecorded_max.clone()),
    ];
    let set = |gauge: &IntGauge, count: usize| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    let refresh = move || {
        let Some(headroom) = read() else { return };
        set(&pool_max, headroom.pool.max);
        set(&pool_connections, headroom.pool.size);
        set(&pool_available, headroom.pool.available);
        set(&pool_waiting, headroom.pool.waiting);
        set(&open_connections, headroom.open_connections);
        for (share, (in_use, max)) in [
            ("fresh", headroom.fresh_permits),
            ("retries", headroom.retry_permits),
        ] {
            set(&permits.with_label_values(&[share]), in_use);
            set(&permits_max.with_label_values(&[share]), max);
        }
        set(&unrecorded, headroom.unrecorded.0);
        set(&unrecorded_max, headroom.unrecorded.1);
    };
    registry.register(Box::new(AtScrape::new(parts, refresh)))
}

/// An attempt in flight.
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::outcome::Unreachable;
    use prometheus::TextEncoder;

    fn shown(registry: &Registry) -> String {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text")
    }

    #[test]
    fn an_attempt_counts_where_its_labels_say() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).expect("the names are new");
        let before = shown(&registry);
        assert!(before.contains(r#"plumbline_attempts_total{next="retry",outcome="timeout"} 0"#));
        for code in FailureCode::ALL {
            let outcome = AttemptOutcome::Unreachable(Unreachable {
                code,
                message: String::new(),
            });
            metrics.attempted(&outcome, Next::Exhausted, Duration::from_millis(3));
        }
        let after = shown(&registry);
        for code in FailureCode::ALL {
            let (label, count) = match code {
                FailureCode::EndpointDisabled | FailureCode::EndpointDeleted | FailureCode::BadResponse => {
                    ("bad_response", 3)
                }
                code => (code.as_str(), 1),
            };
            for line in [
                format!(r#"plumbline_attempts_total{{next="exhausted",outcome="{label}"}} {count}"#),
                format!(
                    r#"plumbline_attempt_duration_seconds_bucket{{outcome="{label}",le="0.005"}} {count}"#
                ),
            ] {
                assert!(after.contains(&line), "no {line} in {after}");
            }
        }
    }

    #[test]
    fn limits_are_read_at_each_scrape_and_stay_when_the_process_ends() {
        let registry = Registry::new();
        let rooms = parking_lot::Mutex::new(vec![None, Some(3), Some(7)]);
        let read = move || {
            let in_use = rooms.lock().pop()??;
            Some(Headroom {
                pool: PoolStatus {
                    size: 2,
                    available: 1,
                    waiting: 0,
                    max: 16,
                },
                open_connections: 5,
                fresh_permits: (in_use, 1_536),
                retry_permits: (0, 512),
                unrecorded: (1, 4_096),
            })
        };
        follow(&registry, read).expect("the names are new");
        for expected in [7, 3, 3] {
            let text = shown(&registry);
            let line = format!(r#"plumbline_permits_in_use{{share="fresh"}} {expected}"#);
            assert!(text.contains(&line), "no {line} in {text}");
            assert!(
                text.contains(r#"plumbline_permits_max{share="retries"} 512"#),
                "{text}"
            );
        }
    }
}
