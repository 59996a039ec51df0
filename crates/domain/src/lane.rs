//! The lane of an event: `fast`, or `bulk` for what exceeds a tenant's fair rate.

mod pace;

use std::time::Duration;

use crate::Timestamp;

pub use pace::Pace;

/// Events per second and tenant (in one API process) that travel in the fast lane.
pub const FAIR_EVENTS_PER_SECOND: u32 = 500;
/// How many events a quiet tenant may publish at once in the fast lane: what is in it ahead of others delays them.
pub const FAIR_BURST: u32 = 250;

/// Which events queue carries an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Within the tenant's fair rate.
    Fast,
    /// Beyond it: drained with what the fast lane leaves.
    Bulk,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Fast, Self::Bulk];

    /// The lane's name in queue names and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Bulk => "bulk",
        }
    }

    /// The lane of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == name)
    }
}

/// One tenant's share of the fast lane: a bucket that refills with time.
#[derive(Debug, Clone, Copy)]
pub struct FairShare {
    tokens: f64,
    refilled_at: Timestamp,
}

impl FairShare {
    /// A full bucket.
    pub fn new(now: Timestamp) -> Self {
        Self {
            tokens: f64::from(FAIR_BURST),
            refilled_at: now,
        }
    }

    /// The lane of the tenant's next event.
    pub fn lane(&mut self, now: Timestamp) -> Lane {
        let elapsed = Duration::try_from(now.duration_since(self.refilled_at)).unwrap_or_default();
        self.refilled_at = self.refilled_at.max(now);
        let refilled = self.tokens + elapsed.as_secs_f64() * f64::from(FAIR_EVENTS_PER_SECOND);
        self.tokens = refilled.min(f64::from(FAIR_BURST));
        if self.tokens < 1.0 {
            return Lane::Bulk;
        }
        self.tokens -= 1.0;
        Lane::Fast
    }

    /// Whether nothing needs to be remembered: the bucket is full again by `now`.
    pub fn is_full(&self, now: Timestamp) -> bool {
        let elapsed = Duration::try_from(now.duration_since(self.refilled_at)).unwrap_or_default();
        self.tokens + elapsed.as_secs_f64() * f64::from(FAIR_EVENTS_PER_SECOND) >= f64::from(FAIR_BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_beyond_the_fair_share_takes_the_bulk_lane_until_time_passes() {
        let start = Timestamp::UNIX_EPOCH;
        let mut share = FairShare::new(start);
        let fast = (0..10_000).filter(|_| share.lane(start) == Lane::Fast).count();
        assert_eq!(fast, FAIR_BURST as usize);
        let later = start + Duration::from_secs(1);
        let fast = (0..10_000).filter(|_| share.lane(later) == Lane::Fast).count();
        assert_eq!(fast, FAIR_BURST.min(FAIR_EVENTS_PER_SECOND) as usize);
        assert!(!share.is_full(later) && share.is_full(later + Duration::from_secs(4)));
        assert_eq!(
            share.lane(start),
            Lane::Bulk,
            "a clock that steps back refills nothing"
        );
    }
}
