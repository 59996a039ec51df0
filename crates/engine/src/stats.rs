//! How a tenant's deliveries went over a time: counts and answer times, in buckets and for each endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plumbline_domain::{DeliveryId, DeliveryKind, DeliveryStatus, EndpointId, TenantId, Timestamp};
use plumbline_store::StoreError;
use plumbline_store::deliveries::{self, AnswerTime, Counts, StatsFilter};
use tokio::sync::Semaphore;

use crate::{Engine, Error};

/// The longest time that is counted.
pub const RANGE_MAX: Duration = Duration::from_secs(31 * 86_400);
/// What is counted unless somebody says otherwise: so much up to now.
pub const RANGE_DEFAULT: Duration = Duration::from_secs(86_400);
/// Deliveries that are counted at most, the newest ones.
pub const DELIVERIES_MAX: usize = 200_000;
/// Deliveries whose answers are timed at most, about; of more, a share is.
const TIMED_MAX: u64 = 20_000;
/// Endpoints that are told of at most: those with the most deliveries.
const ENDPOINTS_MAX: usize = 1_000;
/// A bucket's length, in seconds: the shortest that makes at most [`BUCKETS_MAX`].
const BUCKET_SECONDS: [i64; 10] = [60, 300, 900, 1_800, 3_600, 10_800, 14_400, 21_600, 43_200, 86_400];
/// Whole buckets at most; the first and the last may be cut.
const BUCKETS_MAX: i64 = 48;
/// How long an answer is given to whoever asks the same.
const FRESH: Duration = Duration::from_secs(2);
/// Answers remembered at once.
const REMEMBERED_MAX: u64 = 200;
/// Counts that run at once, so that whoever looks leaves the database to whoever delivers.
const AT_ONCE: usize = 2;

/// What to count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct StatsQuery {
    /// From this moment on; [`RANGE_DEFAULT`] before `until` when not given.
    pub since: Option<Timestamp>,
    /// Up to this moment; now when not given.
    pub until: Option<Timestamp>,
    /// Only to this endpoint.
    pub endpoint: Option<EndpointId>,
    /// Only of this kind; all but tests when not given.
    pub kind: Option<DeliveryKind>,
}

/// How deliveries went.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// From this moment on: later than asked for when there were too many.
    pub since: Timestamp,
    /// Up to this moment.
    pub until: Timestamp,
    /// A bucket's length, in seconds.
    pub bucket_seconds: i64,
    /// Whether all deliveries of the time asked for were counted, or only the newest [`DELIVERIES_MAX`].
    pub is_complete: bool,
    /// All together.
    pub totals: Tally,
    /// How long receivers took to answer; `None` where nothing was answered.
    pub times: Option<AnswerTimes>,
    /// In order, without gaps.
    pub buckets: Vec<Bucket>,
    /// Those that had deliveries, the busiest first.
    pub endpoints: Vec<EndpointStats>,
}

/// Deliveries by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// A 2xx arrived.
    pub succeeded: u64,
    /// We stopped.
    pub failed: u64,
    /// The retry schedule ran out.
    pub exhausted: u64,
    /// To be attempted, or to be attempted again.
    pub pending: u64,
    /// The endpoint was disabled.
    pub skipped: u64,
}

/// How long receivers took to answer, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTimes {
    /// Half took no longer.
    pub p50: u32,
    /// 95 % took no longer.
    pub p95: u32,
    /// 99 % took no longer.
    pub p99: u32,
}

/// One part of the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// When it begins.
    pub at: Timestamp,
    /// Its deliveries.
    pub tally: Tally,
    /// How long receivers took.
    pub times: Option<AnswerTimes>,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStats {
    /// Which.
    pub endpoint: EndpointId,
    /// Its deliveries.
    pub tally: Tally,
    /// How long it took.
    pub times: Option<AnswerTimes>,
    /// When the event of its newest delivery was accepted, or its replay was asked for.
    pub last_at: Timestamp,
    /// How that delivery stands.
    pub last_status: DeliveryStatus,
    /// Over time; the same buckets as those of all.
    pub buckets: Vec<Bucket>,
}

impl Tally {
    fn add(&mut self, status: DeliveryStatus, deliveries: u64) {
        let counted = match status {
            DeliveryStatus::Succeeded => &mut self.succeeded,
            DeliveryStatus::Failed => &mut self.failed,
            DeliveryStatus::Exhausted => &mut self.exhausted,
            DeliveryStatus::Pending => &mut self.pending,
            DeliveryStatus::Skipped => &mut self.skipped,
        };
        *counted += deliveries;
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.unsuccessful() + self.succeeded + self.pending
    }

    /// Those that ended without success.
    pub fn unsuccessful(&self) -> u64 {
        self.failed + self.exhausted + self.skipped
    }

    /// Which share of those that were attempted to their end succeeded, 0 to 1; `None` when there were none.
    #[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
    pub fn success_rate(&self) -> Option<f64> {
        let settled = self.succeeded + self.failed + self.exhausted;
        (settled > 0).then(|| self.succeeded as f64 / settled as f64)
    }
}

impl AnswerTimes {
    /// Of these times; by nearest rank.
    fn of(millis: &mut [u32]) -> Option<Self> {
        millis.sort_unstable();
        let at = |percent: usize| {
            let rank = (millis.len() * percent).div_ceil(100).max(1);
            millis.get(rank - 1).copied()
        };
        Some(Self {
            p50: at(50)?,
            p95: at(95)?,
            p99: at(99)?,
        })
    }
}

/// Remembers answers, and lets few run at once.
pub(crate) struct Statistics {
    answers: moka::future::Cache<(TenantId, StatsQuery), Arc<Stats>>,
    running: Semaphore,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            answers: moka::future::Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_live(FRESH)
                .build(),
            running: Semaphore::new(AT_ONCE),
        }
    }
}

impl Engine {
    /// How a tenant's deliveries went. At most two seconds old. By the time of the event or of the replay.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or too long time; [`Error::Unavailable`].
    pub async fn stats(&self, tenant: TenantId, query: StatsQuery) -> Result<Arc<Stats>, Error> {
        let time = Time::of(&query, Timestamp::now())?;
        let statistics = &self.inner.statistics;
        let counted = statistics
            .answers
            .try_get_with((tenant, query.clone()), async {
                // It is never closed.
                let _turn = statistics.running.acquire().await.ok();
                let session = self.store().session().await?;
                let filter = StatsFilter {
                    bounds: time.bounds.clone(),
                    endpoint: query.endpoint,
                    kind: query.kind,
                    rows_max: DELIVERIES_MAX,
                };
                let counts = deliveries::count(&session, tenant, &filter).await?;
                let share = u16::try_from(256 * TIMED_MAX / counts.deliveries.max(TIMED_MAX)).unwrap_or(256);
                let times = deliveries::answer_times(&session, tenant, &filter, share.max(1)).await?;
                Ok::<_, StoreError>(Arc::new(gather(time, &counts, &times)))
            })
            .await;
        counted.map_err(|error| {
            if error.is_transient() {
                Error::Unavailable(StoreError::unavailable("deliveries could not be counted"))
            } else {
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    "deliveries could not be counted"
                );
                Error::Internal("deliveries could not be counted")
            }
        })
    }
}

/// The time that is asked for, in buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Time {
    bounds: Vec<Timestamp>,
    bucket_seconds: i64,
}

impl Time {
    fn of(query: &StatsQuery, now: Timestamp) -> Result<Self, Error> {
        let until = query.until.unwrap_or(now);
        let since = query
            .since
            .unwrap_or_else(|| until.checked_sub(RANGE_DEFAULT).unwrap_or(Timestamp::MIN));
        let range = until.as_second() - since.as_second();
        if since >= until {
            return Err(Error::invalid(
                "since",
                "invalid",
                "must lie before `until`, or before now when that is not given",
            ));
        }
        if range > i64::try_from(RANGE_MAX.as_secs()).unwrap_or(i64::MAX) {
            return Err(Error::invalid(
                "since",
                "invalid",
                "must lie at most 31 days before `until`: ask for a shorter time",
            ));
        }
        let bucket_seconds = BUCKET_SECONDS
            .into_iter()
            .find(|seconds| range <= seconds * BUCKETS_MAX)
            .unwrap_or(86_400);
        let floor = |time: Timestamp| time.as_second().div_euclid(bucket_seconds) * bucket_seconds;
        // Up to now is up to the end of the bucket that has begun: asked again, it is the same bucket.
        let end = match query.until {
            Some(until) => until,
            None => Timestamp::from_second(floor(until) + bucket_seconds).unwrap_or(Timestamp::MAX),
        };
        let begin = match query.since {
            Some(since) => since,
            None => Timestamp::from_second(floor(since) + bucket_seconds).unwrap_or(since),
        };
        let mut bounds = vec![begin];
        let mut next = floor(begin) + bucket_seconds;
        while let Ok(bound) = Timestamp::from_second(next)
            && bound < end
        {
            bounds.push(bound);
            next += bucket_seconds;
        }
        bounds.push(end);
        Ok(Self {
            bounds,
            bucket_seconds,
        })
    }
}

/// One bucket while it is being counted.
#[derive(Default, Clone)]
struct Gathered {
    tally: Tally,
    millis: Vec<u32>,
}

/// One endpoint while it is being counted.
struct GatheredEndpoint {
    buckets: Vec<Gathered>,
    newest: Option<(DeliveryId, DeliveryStatus)>,
}

fn gather(time: Time, counts: &Counts, times: &[AnswerTime]) -> Stats {
    let Time {
        mut bounds,
        bucket_seconds,
    } = time;
    let until = bounds.pop().unwrap_or(Timestamp::MAX);
    let is_complete = counts.deliveries < u64::try_from(DELIVERIES_MAX).unwrap_or(u64::MAX);
    let first = match counts.oldest.filter(|_| !is_complete) {
        None => 0,
        Some(oldest) => {
            let oldest = oldest.timestamp();
            let first = bounds.partition_point(|bound| *bound <= oldest).saturating_sub(1);
            if let Some(bound) = bounds.get_mut(first) {
                *bound = oldest;
            }
            first
        }
    };

    let mut all = vec![Gathered::default(); bounds.len()];
    let mut endpoints: BTreeMap<EndpointId, GatheredEndpoint> = BTreeMap::new();
    let empty = || GatheredEndpoint {
        buckets: vec![Gathered::default(); bounds.len()],
        newest: None,
    };
    for count in &counts.counts {
        let endpoint = endpoints.entry(count.endpoint).or_insert_with(empty);
        if endpoint.newest.is_none_or(|(newest, _)| newest < count.newest) {
            endpoint.newest = Some((count.newest, count.status));
        }
        let of_endpoint = endpoint.buckets.get_mut(count.bucket);
        for bucket in all.get_mut(count.bucket).into_iter().chain(of_endpoint) {
            bucket.tally.add(count.status, count.deliveries);
        }
    }
    for answer in times {
        let of_endpoint = endpoints.get_mut(&answer.endpoint);
        let of_endpoint = of_endpoint.and_then(|endpoint| endpoint.buckets.get_mut(answer.bucket));
        for bucket in all.get_mut(answer.bucket).into_iter().chain(of_endpoint) {
            bucket.millis.push(answer.millis);
        }
    }

    let (totals, times, buckets) = told(&bounds, first, all);
    let mut endpoints: Vec<EndpointStats> = endpoints
        .into_iter()
        .filter_map(|(endpoint, gathered)| {
            let (newest, last_status) = gathered.newest?;
            let (tally, times, buckets) = told(&bounds, first, gathered.buckets);
            Some(EndpointStats {
                endpoint,
                tally,
                times,
                last_at: newest.timestamp(),
                last_status,
                buckets,
            })
        })
        .collect();
    endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.tally.all()));
    endpoints.truncate(ENDPOINTS_MAX);
    Stats {
        since: bounds.get(first).copied().unwrap_or(until),
        until,
        bucket_seconds,
        is_complete,
        totals,
        times,
        buckets,
        endpoints,
    }
}

fn told(
    bounds: &[Timestamp],
    first: usize,
    gathered: Vec<Gathered>,
) -> (Tally, Option<AnswerTimes>, Vec<Bucket>) {
    let mut totals = Tally::default();
    let mut all = vec![];
    let mut buckets = Vec::with_capacity(bounds.len());
    for (at, mut bucket) in bounds.iter().zip(gathered).skip(first) {
        let Tally {
            succeeded,
            failed,
            exhausted,
            pending,
            skipped,
        } = bucket.tally;
        totals.succeeded += succeeded;
        totals.failed += failed;
        totals.exhausted += exhausted;
        totals.pending += pending;
        totals.skipped += skipped;
        all.extend_from_slice(&bucket.millis);
        buckets.push(Bucket {
            at: *at,
            tally: bucket.tally,
            times: AnswerTimes::of(&mut bucket.millis),
        });
    }
    (totals, AnswerTimes::of(&mut all), buckets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_store::deliveries::Count;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn time(since: Option<&str>, until: Option<&str>) -> Result<Time, Error> {
        let query = StatsQuery {
            since: since.map(at),
            until: until.map(at),
            ..StatsQuery::default()
        };
        Time::of(&query, at("2026-04-25T17:42:01.5Z"))
    }

    #[test]
    fn a_day_is_48_half_hours_up_to_the_end_of_the_present_one() {
        let Time {
            bounds,
            bucket_seconds,
        } = time(None, None).expect("a day");
        assert_eq!((bounds.len(), bucket_seconds), (49, 1_800));
        assert_eq!(
            (bounds[0], bounds[48]),
            (at("2026-04-24T18:00:00Z"), at("2026-04-25T18:00:00Z"))
        );
        assert!(
            bounds
                .windows(2)
                .all(|pair| pair[1].as_second() - pair[0].as_second() == 1_800)
        );
    }

    #[test]
    fn what_is_asked_for_exactly_is_cut_exactly() {
        let Time {
            bounds,
            bucket_seconds,
        } = time(Some("2026-04-25T17:40:30Z"), Some("2026-04-25T17:42:00.25Z")).expect("short");
        assert_eq!(bucket_seconds, 60);
        assert_eq!(
            bounds,
            [
                at("2026-04-25T17:40:30Z"),
                at("2026-04-25T17:41:00Z"),
                at("2026-04-25T17:42:00Z"),
                at("2026-04-25T17:42:00.25Z")
            ]
        );
        for days in [1, 2, 7, 14, 30, 31] {
            let until = at("2026-04-25T17:42:00Z");
            let query = StatsQuery {
                since: until.checked_sub(Duration::from_secs(days * 86_400)).ok(),
                until: Some(until),
                ..StatsQuery::default()
            };
            let bounds = Time::of(&query, until).expect("in range").bounds;
            assert!(bounds.len() <= 50, "{days}: {}", bounds.len());
            assert!(bounds.is_sorted() && bounds.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn an_empty_or_too_long_time_is_refused() {
        for (since, until) in [
            (Some("2026-04-25T17:42:02Z"), None),
            (Some("2026-04-25T17:00:00Z"), Some("2026-04-25T17:00:00Z")),
            (Some("2026-03-01T00:00:00Z"), None),
        ] {
            let refused = time(since, until);
            assert!(matches!(refused, Err(Error::Invalid(_))), "{since:?} {until:?}");
        }
    }

    fn delivery(second: i64) -> DeliveryId {
        DeliveryId::new(Timestamp::from_second(second).expect("in range"), [1; 10])
    }

    fn counts(rows: &[(usize, i64, DeliveryStatus, u64, i64)]) -> Counts {
        let counts: Vec<Count> = rows
            .iter()
            .map(|&(bucket, endpoint, status, deliveries, newest)| Count {
                bucket,
                endpoint: EndpointId(endpoint),
                status,
                deliveries,
                newest: delivery(newest),
            })
            .collect();
        Counts {
            deliveries: counts.iter().map(|count| count.deliveries).sum(),
            oldest: counts.iter().map(|count| count.newest).min(),
            counts,
        }
    }

    fn minutes() -> Time {
        let bounds = [600, 660, 720, 780].map(|second| Timestamp::from_second(second).expect("in range"));
        Time {
            bounds: bounds.to_vec(),
            bucket_seconds: 60,
        }
    }

    #[test]
    fn deliveries_add_up_in_all_and_for_each_endpoint() {
        use DeliveryStatus::{Exhausted, Failed, Pending, Skipped, Succeeded};
        let counts = counts(&[
            (0, 1, Succeeded, 6, 610),
            (2, 1, Failed, 2, 730),
            (2, 1, Pending, 1, 731),
            (1, 2, Exhausted, 1, 661),
            (1, 2, Skipped, 30, 670),
        ]);
        let times = [(0, 1, 5), (0, 1, 7), (1, 2, 100)].map(|(bucket, endpoint, millis)| AnswerTime {
            bucket,
            endpoint: EndpointId(endpoint),
            millis,
        });
        let stats = gather(minutes(), &counts, &times);
        assert!(stats.is_complete);
        assert_eq!((stats.since.as_second(), stats.until.as_second()), (600, 780));
        assert_eq!(stats.totals.all(), 40);
        assert_eq!(
            stats.times,
            Some(AnswerTimes {
                p50: 7,
                p95: 100,
                p99: 100
            })
        );
        let of_buckets: Vec<u64> = stats.buckets.iter().map(|bucket| bucket.tally.all()).collect();
        assert_eq!(of_buckets, [6, 31, 3]);
        let [second, first] = &stats.endpoints[..] else {
            panic!("{:?}", stats.endpoints)
        };
        assert_eq!((first.endpoint, second.endpoint), (EndpointId(1), EndpointId(2)));
        assert_eq!((first.last_status, first.last_at.as_second()), (Pending, 731));
        assert_eq!(first.tally.success_rate(), Some(0.75));
        assert_eq!(second.tally.success_rate(), Some(0.0));
        assert_eq!(first.times.map(|times| times.p50), Some(5));
        assert_eq!(first.buckets[1].times, None);
    }

    #[test]
    fn of_too_many_only_the_newest_are_told_and_from_when_on() {
        let most = u64::try_from(DELIVERIES_MAX).expect("fits");
        let counts = counts(&[
            (1, 1, DeliveryStatus::Succeeded, 1, 700),
            (2, 1, DeliveryStatus::Succeeded, most - 1, 730),
        ]);
        let stats = gather(minutes(), &counts, &[]);
        assert!(!stats.is_complete);
        assert_eq!(stats.since.as_second(), 700);
        let starts: Vec<i64> = stats.buckets.iter().map(|bucket| bucket.at.as_second()).collect();
        assert_eq!(starts, [700, 720]);
        assert_eq!(stats.endpoints[0].buckets.len(), 2);
        assert_eq!(stats.totals.all(), most);
    }

    #[test]
    fn nothing_is_none_and_not_zero() {
        let stats = gather(minutes(), &counts(&[]), &[]);
        assert_eq!((stats.times, stats.totals.success_rate()), (None, None));
        assert_eq!(stats.buckets.len(), 3);
        assert!(stats.endpoints.is_empty());
    }
}
