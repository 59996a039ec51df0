//! Gauges that are read when they are asked for: nothing has to be kept in step, and nothing is spent between scrapes.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

/// Metrics that are set before each scrape.
pub struct AtScrape {
    set: Box<dyn Fn() + Send + Sync>,
    parts: Vec<Box<dyn Collector>>,
}

impl AtScrape {
    /// Call `set`, which sets these metrics, whenever they are asked for. It must not wait.
    pub fn new(parts: Vec<Box<dyn Collector>>, set: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            set: Box::new(set),
            parts,
        }
    }
}

impl Collector for AtScrape {
    fn desc(&self) -> Vec<&Desc> {
        self.parts.iter().flat_map(|part| part.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        (self.set)();
        self.parts.iter().flat_map(|part| part.collect()).collect()
    }
}
