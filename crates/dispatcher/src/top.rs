//! The tenants that keep this process busiest, for an operator who has asked to see them by name.
//!
//! A label for each tenant would be a series for each, for ever. So only the first few of each minute are shown, and gone with
//! it: at most so many series at a time, and at most so many new ones a minute. Who does not ask pays nothing.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use plumbline_domain::TenantId;
use plumbline_runtime::admin::AtScrape;
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

/// What a ranking is of.
const PERIOD: Duration = Duration::from_secs(60);
/// Tenants that are told apart in one period at most; the others are not counted in it.
const TENANTS_MAX: usize = 10_000;

/// Ranks tenants by the time that their attempts take: what holds the permits, be it many attempts or slow ones.
pub struct TopTenants {
    /// Absent when nobody asked.
    ranking: Option<Arc<Ranking>>,
}

struct Ranking {
    shown_max: usize,
    period: Mutex<Period>,
    attempts: IntGaugeVec,
    seconds: GaugeVec,
}

struct Period {
    began: Instant,
    tallies: HashMap<TenantId, Tally>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    attempts: i64,
    spent: Duration,
}

impl TopTenants {
    /// Show this many at most; 0 is none, and declares nothing.
    ///
    /// # Errors
    /// When a name is taken: a fault of ours.
    pub fn new(registry: &Registry, shown_max: usize) -> Result<Self, prometheus::Error> {
        if shown_max == 0 {
            return Ok(Self { ranking: None });
        }
        let ranking = Arc::new(Ranking {
            shown_max,
            period: Mutex::new(Period {
                began: Instant::now(),
                tallies: HashMap::new(),
            }),
            attempts: IntGaugeVec::new(
                Opts::new(
                    "plumbline_top_tenant_attempts",
                    "Attempts of the last full minute, for the tenants whose attempts took the most time.",
                ),
                &["tenant"],
            )?,
            seconds: GaugeVec::new(
                Opts::new(
                    "plumbline_top_tenant_attempt_seconds",
                    "Time that these tenants' attempts of the last full minute took together.",
                ),
                &["tenant"],
            )?,
        });
        let parts: Vec<Box<dyn Collector>> = vec![
            Box::new(ranking.attempts.clone()),
            Box::new(ranking.seconds.clone()),
        ];
        let read = ranking.clone();
        registry.register(Box::new(AtScrape::new(parts, move || {
            read.turn_over(Instant::now());
        })))?;
        Ok(Self {
            ranking: Some(ranking),
        })
    }

    /// Count an attempt that has ended.
    pub fn attempted(&self, tenant: TenantId, duration: Duration) {
        if let Some(ranking) = &self.ranking {
            ranking.attempted(tenant, duration, Instant::now());
        }
    }
}

impl Ranking {
    fn attempted(&self, tenant: TenantId, duration: Duration, now: Instant) {
        self.turn_over(now);
        let mut period = self.period.lock();
        let is_full = period.tallies.len() >= TENANTS_MAX;
        if is_full && !period.tallies.contains_key(&tenant) {
            return;
        }
        let tally = period.tallies.entry(tenant).or_default();
        tally.attempts += 1;
        tally.spent += duration;
    }

    /// When a period is over, show its first and begin another.
    fn turn_over(&self, now: Instant) {
        let mut period = self.period.lock();
        let elapsed = now.saturating_duration_since(period.began);
        if elapsed < PERIOD {
            return;
        }
        let mut tallies: Vec<_> = std::mem::take(&mut period.tallies).into_iter().collect();
        period.began = now;
        tallies.sort_by_key(|(_, tally)| Reverse(tally.spent));
        self.attempts.reset();
        self.seconds.reset();
        for (tenant, tally) in tallies.into_iter().take(self.shown_max) {
            let tenant = tenant.to_string();
            self.attempts.with_label_values(&[&tenant]).set(tally.attempts);
            self.seconds
                .with_label_values(&[&tenant])
                .set(tally.spent.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    fn shown(registry: &Registry) -> Vec<String> {
        let text = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("text");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn the_busiest_of_each_minute_are_shown_and_gone_with_it() {
        let registry = Registry::new();
        let top = TopTenants::new(&registry, 2).expect("the names are new");
        let ranking = top.ranking.as_ref().expect("it was asked for");
        let began = ranking.period.lock().began;
        let at = |seconds| began + Duration::from_secs(seconds);
        for (tenant, attempts, millis) in [(1, 10, 1), (2, 1, 900), (3, 40, 5)] {
            for _ in 0..attempts {
                ranking.attempted(TenantId(tenant), Duration::from_millis(millis), at(1));
            }
        }
        assert_eq!(shown(&registry), [""; 0], "the minute is not over");

        ranking.attempted(TenantId(4), Duration::from_millis(1), at(61));
        let expected = [
            r#"plumbline_top_tenant_attempt_seconds{tenant="2"} 0.9"#,
            r#"plumbline_top_tenant_attempt_seconds{tenant="3"} 0.2"#,
            r#"plumbline_top_tenant_attempts{tenant="2"} 1"#,
            r#"plumbline_top_tenant_attempts{tenant="3"} 40"#,
        ];
        assert_eq!(shown(&registry), expected, "by time, not by number");

        ranking.turn_over(at(122));
        assert_eq!(
            shown(&registry),
            [
                r#"plumbline_top_tenant_attempt_seconds{tenant="4"} 0.001"#,
                r#"plumbline_top_tenant_attempts{tenant="4"} 1"#,
            ]
        );
    }

    #[test]
    fn tenants_beyond_the_bound_are_not_counted() {
        let registry = Registry::new();
        let top = TopTenants::new(&registry, 1).expect("the names are new");
        let ranking = top.ranking.as_ref().expect("it was asked for");
        let now = ranking.period.lock().began;
        for tenant in 0..=10_000 {
            ranking.attempted(TenantId(tenant), Duration::ZERO, now);
        }
        ranking.attempted(TenantId(0), Duration::ZERO, now);
        let period = ranking.period.lock();
        assert_eq!(period.tallies.len(), TENANTS_MAX);
        assert_eq!(
            period.tallies[&TenantId(0)].attempts,
            2,
            "known ones go on being counted"
        );
    }

    #[test]
    fn who_does_not_ask_gets_nothing_and_the_page_tells_of_all() {
        let registry = Registry::new();
        let top = TopTenants::new(&registry, 0).expect("nothing is declared");
        top.attempted(TenantId(1), Duration::from_secs(1));
        assert!(registry.gather().is_empty());
        let page = include_str!("../../../docs/METRICS.md");
        for family in [
            "plumbline_top_tenant_attempts",
            "plumbline_top_tenant_attempt_seconds",
        ] {
            assert!(page.contains(family), "docs/METRICS.md does not tell of {family}");
        }
    }
}
