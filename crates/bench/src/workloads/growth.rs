//! Growth: whether a delivery costs the same with many endpoints, a long log, and more dispatchers.

use std::time::{Duration, Instant};

use hyper::Method;
use plumbline_testkit::stack::Process;
use serde_json::Value;

use super::volley::{CONNECTIONS, Volley, Volleyed, publisher, register};
use super::{CPU_PER_DELIVERY, Outcome};
use crate::accounting::Spent;
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit, together};
use crate::journal::{Audit, nanoseconds};
use crate::receiver::{Behaviour, Receiver};
use crate::seed;
use crate::statistics::{Latencies, spread};

const EVENTS: usize = 5_000;
const WARM_UP: usize = 500;
/// Volleys at each size, of which the median counts: the sizes are compared with each other.
const VOLLEYS: usize = 3;
/// All sizes within a fifth of each other.
const SPREAD_MAX: f64 = 1.2;
/// Of the publishing tenant's own: as many as it may have by default.
const OWN_ENDPOINTS_MAX: usize = 100;
const LOG_ROWS: usize = 5_000_000;
const LIST_REQUESTS: usize = 50;
const LIST_MS_MAX: f64 = 20.0;

/// One size after the other: what a delivery costs at each.
#[derive(Default)]
struct Series {
    figures: Vec<Figure>,
    costs: Vec<f64>,
    audit: Audit,
    spent: Option<Spent>,
}

impl Series {
    fn add(&mut self, size: &str, volleys: &[Volleyed]) {
        let runs: Vec<Vec<Figure>> = volleys.iter().map(Volleyed::cpu).collect();
        for measured in together(&runs) {
            if measured.name == CPU_PER_DELIVERY {
                self.costs.push(measured.median);
            }
            let mut figure = Figure::new(
                format!("{}, {size}", measured.name),
                measured.median,
                measured.unit,
            );
            figure.is_part = measured.is_part;
            self.figures.push(figure);
        }
        // Each volley's audit is of all before it, too.
        if let Some(last) = volleys.last() {
            self.audit = self.audit.and(last.audit);
        }
        for volleyed in volleys {
            self.spent = Some(match self.spent {
                Some(before) => before.and(&volleyed.spent),
                None => volleyed.spent,
            });
        }
    }

    fn outcome(mut self, more: Vec<Figure>) -> Result<Outcome, Failure> {
        let spread = spread(&self.costs).ok_or_else(|| Failure::new("nothing was measured"))?;
        let spent = self.spent.ok_or_else(|| Failure::new("nothing was measured"))?;
        self.figures.insert(
            0,
            Figure::new("largest against smallest", spread, Unit::Times).at_most(SPREAD_MAX),
        );
        self.figures.extend(more);
        Ok(Outcome::new(self.figures, self.audit, spent))
    }
}

/// 10, 1,000 and 100,000 endpoints in the database: most are other tenants', some this one's for other events.
pub(super) async fn endpoints(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let mut series = Series::default();
    for count in [10, 1_000, 100_000] {
        let system = bed.system(Wish::default()).await?;
        let own = (count / 10).min(OWN_ENDPOINTS_MAX);
        let volleyed = volleys(bed, &system, own, async |system| {
            seed::other_endpoints(&system.database, count - own).await
        })
        .await?;
        series.add(&format!("{count} endpoints"), &volleyed);
    }
    series.outcome(vec![])
}

/// An empty log, and one with 5,000,000 deliveries; and how long its first page takes.
pub(super) async fn log(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let mut series = Series::default();
    let system = bed.system(Wish::default()).await?;
    let volleyed = volleys(bed, &system, 1, async |_| Ok(())).await?;
    series.add("empty log", &volleyed);
    drop(system);

    let rows = bed.scaled(LOG_ROWS, 100_000);
    let system = bed.system(Wish::default()).await?;
    let mut seeding = Duration::ZERO;
    let volleyed = volleys(bed, &system, 1, async |system| {
        seeding = seed::delivery_log(system, rows).await?;
        Ok(())
    })
    .await?;
    series.add(&format!("{rows} rows"), &volleyed);
    let mut figures = vec![Figure::new("seeding", seeding.as_secs_f64(), Unit::Seconds)];
    for (what, query) in [
        ("all", ""),
        ("failed", "?status=failed"),
        ("pending", "?status=pending"),
    ] {
        let latencies = first_page(&system, query).await?;
        figures.push(
            Figure::new(
                format!("first page, {what}, median"),
                latencies.at(0.5),
                Unit::Milliseconds,
            )
            .at_most(LIST_MS_MAX),
        );
        figures.push(
            Figure::new(
                format!("first page, {what}, p99"),
                latencies.at(0.99),
                Unit::Milliseconds,
            )
            .at_most(LIST_MS_MAX),
        );
    }
    series.outcome(figures)
}

/// 1, 2 and 4 dispatchers.
pub(super) async fn dispatchers(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let mut series = Series::default();
    for count in [1, 2, 4] {
        let wish = Wish {
            dispatchers: count,
            ..Wish::default()
        };
        let system = bed.system(wish).await?;
        let volleyed = volleys(bed, &system, 1, async |_| Ok(())).await?;
        series.add(&format!("{count} dispatchers"), &volleyed);
        // All of them have worked, or nothing was measured.
        for process in system.stack.processes() {
            Process::assert_runs(process);
        }
    }
    series.outcome(vec![])
}

/// The same volleys at every size: to one endpoint, with `own` endpoints of the tenant altogether.
async fn volleys(
    bed: Bed<'_>,
    system: &System,
    own: usize,
    prepare: impl AsyncFnOnce(&System) -> Result<(), Failure>,
) -> Result<Vec<Volleyed>, Failure> {
    let mut volley = Volley {
        first: 0,
        warm_up: WARM_UP,
        events: bed.scaled(EVENTS, 500),
        connections: CONNECTIONS,
    };
    let events = VOLLEYS * volley.end();
    let journal = system.journal(events, own.max(1), 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &receiver, 1..own.max(1), "project.created").await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    prepare(system).await?;
    let publisher = publisher(system, &journal);
    let mut volleys = vec![];
    while volley.end() <= events {
        volleys.push(
            volley
                .fire(system, &publisher, &journal, |endpoint, _| endpoint == 0)
                .await?,
        );
        volley.first = volley.end();
    }
    Ok(volleys)
}

/// How long the first page of the endpoint's deliveries takes, over a kept connection.
async fn first_page(system: &System, query: &str) -> Result<Latencies, Failure> {
    let sql = "SELECT id FROM plumbline.endpoints ORDER BY id DESC LIMIT 1";
    let endpoint: i64 = system.database.query_one(sql, &[]).await?.get(0);
    let path = format!("webhook-endpoints/{endpoint}/deliveries{query}");
    let mut times = vec![];
    // The first one opens the connection and warms the cache of the database.
    for request in 0..=LIST_REQUESTS {
        let began = Instant::now();
        let answer = system.stack.api().send(Method::GET, &path, &Value::Null).await;
        let time = nanoseconds(began.elapsed());
        if answer.status.as_u16() != 200 {
            return Err(Failure::new(format!(
                "the list was answered {}: {}",
                answer.status,
                answer.text()
            )));
        }
        if request > 0 {
            times.push(time);
        }
    }
    Ok(Latencies::of(times))
}
