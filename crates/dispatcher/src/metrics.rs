//! What the dispatcher counts. Labels are closed sets; nothing a customer chooses becomes one.

use std::time::Duration;

use jiff::SignedDuration;
use plumbline_domain::retry::Next;
use plumbline_domain::{AttemptOutcome, Timestamp};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// The dispatcher's metrics.
pub struct Metrics {
    /// `plumbline_events_fanned_out_total`
    pub fanned_out: IntCounter,
    attempts: IntCounterVec,
    attempt_seconds: HistogramVec,
    first_attempt_seconds: Histogram,
    retry_lateness_seconds: Histogram,
    /// `plumbline_retries_parked_total`
    pub retries_parked: IntCounter,
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
    /// `plumbline_database_connections`
    pub database_connections: IntGaugeVec,
    /// `plumbline_open_connections`
    pub open_connections: IntGauge,
    /// `plumbline_queue_messages_ready`
    pub queue_ready: IntGaugeVec,
    /// `plumbline_dead_messages`
    pub dead_messages: IntGauge,
}

const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

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
            attempts,
            attempt_seconds,
            first_attempt_seconds: histogram(
                "plumbline_event_to_first_attempt_seconds",
                "Time from an event's acceptance to the start of its first attempt at an endpoint.",
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
            database_connections: gauges(
                "plumbline_database_connections",
                "Database connections of the pool, by state.",
                "state",
            )?,
            open_connections: gauge(
                "plumbline_open_connections",
                "Connections to endpoints, idle ones included.",
            )?,
            queue_ready: gauges(
                "plumbline_queue_messages_ready",
                "Messages ready in a work queue.",
                "queue",
            )?,
            dead_messages: gauge(
                "plumbline_dead_messages",
                "Messages in the dead queue: somebody should look.",
            )?,
        })
    }

    /// Count an attempt that has ended.
    pub fn attempted(&self, outcome: &AttemptOutcome, next: Next, duration: Duration) {
        let outcome = match outcome {
            AttemptOutcome::Answered(answer) => match answer.status.0 {
                200..300 => "2xx",
                300..400 => "3xx",
                400..500 => "4xx",
                500..600 => "5xx",
                _ => "other_status",
            },
            AttemptOutcome::Unreachable(unreachable) => unreachable.code.as_str(),
            AttemptOutcome::Forbidden(_) => "address_forbidden",
        };
        let next = match next {
            Next::Succeeded => "succeeded",
            Next::Retry { .. } => "retry",
            Next::Exhausted => "exhausted",
            Next::Abandoned { .. } => "failed",
        };
        self.attempts.with_label_values(&[outcome, next]).inc();
        self.attempt_seconds
            .with_label_values(&[outcome])
            .observe(duration.as_secs_f64());
    }

    /// An event's first attempt at an endpoint begins.
    pub fn first_attempt(&self, accepted_at: Timestamp) {
        self.first_attempt_seconds.observe(
            Timestamp::now()
                .duration_since(accepted_at)
                .as_secs_f64()
                .max(0.0),
        );
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

/// An attempt in flight.
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
