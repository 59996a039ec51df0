//! The workloads by name, and what each of them returns.

mod fan_out;
mod floor;
mod growth;
mod idle;
mod informative;
mod isolation;
mod latency;
mod memory;
mod retries;
mod volley;

use std::pin::Pin;

use crate::accounting::{Kind, Spent};
use crate::bed::Bed;
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::journal::Audit;

pub(crate) use floor::client as floor_client;

/// What one run of a workload found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The numbers, in the order in which they are shown.
    pub(crate) figures: Vec<Figure>,
    /// What was promised against what came.
    pub(crate) audit: Audit,
    /// What the processors did while it was measured.
    pub(crate) spent: Spent,
}

impl Outcome {
    /// Of a run with these numbers; losses and the like are added to them.
    fn new(mut figures: Vec<Figure>, audit: Audit, spent: Spent) -> Self {
        figures.push(Figure::count("lost", audit.lost).at_most(0.0));
        figures.push(Figure::count("duplicates", audit.duplicates));
        if audit.uninvited > 0 {
            figures.push(Figure::count("uninvited", audit.uninvited).at_most(0.0));
        }
        Self {
            figures,
            audit,
            spent,
        }
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + 'a>>;

/// Something that is measured.
pub(crate) struct Workload {
    /// Its name on the command line and in the report.
    pub(crate) name: &'static str,
    /// One line about it.
    pub(crate) about: &'static str,
    /// Runs unless the caller says otherwise; 0 where it runs only when it is named, and then once.
    pub(crate) runs: usize,
    /// One run.
    pub(crate) run: for<'a> fn(Bed<'a>) -> Running<'a>,
}

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Workload] = &[
    Workload {
        name: "floor",
        about: "bare signed POSTs with hyper, nothing stored",
        runs: 3,
        run: |bed| Box::pin(floor::run(bed)),
    },
    Workload {
        name: "fan-out-1",
        about: "32 connections, 300 bytes, one endpoint",
        runs: 3,
        run: |bed| Box::pin(fan_out::one(bed)),
    },
    Workload {
        name: "fan-out-10",
        about: "32 connections, 300 bytes, ten endpoints",
        runs: 3,
        run: |bed| Box::pin(fan_out::ten(bed)),
    },
    Workload {
        name: "fan-out-1000",
        about: "one event after the other, each to a thousand endpoints",
        runs: 3,
        run: |bed| Box::pin(fan_out::thousand(bed)),
    },
    Workload {
        name: "open-300",
        about: "300 events a second, whatever the answers",
        runs: 3,
        run: |bed| Box::pin(latency::at_300(bed)),
    },
    Workload {
        name: "open-3000",
        about: "3,000 events a second, whatever the answers",
        runs: 3,
        run: |bed| Box::pin(latency::at_3000(bed)),
    },
    Workload {
        name: "lone",
        about: "single events on an idle system",
        runs: 3,
        run: |bed| Box::pin(latency::lone(bed)),
    },
    Workload {
        name: "isolation-hanging",
        about: "100 events a second beside a tenant whose receiver hangs, at 50 a second",
        runs: 1,
        run: |bed| Box::pin(isolation::hanging(bed)),
    },
    Workload {
        name: "isolation-burst",
        about: "100 events a second beside a tenant that publishes 100,000 at once",
        runs: 1,
        run: |bed| Box::pin(isolation::burst(bed)),
    },
    Workload {
        name: "retries",
        about: "10,000 deliveries whose first attempt fails, due again after 30 s",
        runs: 1,
        run: |bed| Box::pin(retries::parked(bed)),
    },
    Workload {
        name: "idle",
        about: "a fresh system that has delivered one event, for 20 s",
        runs: 1,
        run: |bed| Box::pin(idle::run(bed)),
    },
    Workload {
        name: "growth-endpoints",
        about: "fan-out 1 with 10, 1,000 and 100,000 endpoints in the database",
        runs: 1,
        run: |bed| Box::pin(growth::endpoints(bed)),
    },
    Workload {
        name: "growth-log",
        about: "fan-out 1 with 0 and 5,000,000 deliveries in the log, and the log's first page",
        runs: 1,
        run: |bed| Box::pin(growth::log(bed)),
    },
    Workload {
        name: "growth-dispatchers",
        about: "fan-out 1 with 1, 2 and 4 dispatchers",
        runs: 1,
        run: |bed| Box::pin(growth::dispatchers(bed)),
    },
    Workload {
        name: "retry-storm",
        about: "2,000 deliveries of which every one fails twice",
        runs: 1,
        run: |bed| Box::pin(informative::retry_storm(bed)),
    },
    Workload {
        name: "large-payloads",
        about: "2,000 events of 64 KiB to one endpoint",
        runs: 1,
        run: |bed| Box::pin(informative::large_payloads(bed)),
    },
    Workload {
        name: "mixed-fan-out",
        about: "events for 1, 3, 10 and 30 endpoints in turn",
        runs: 1,
        run: |bed| Box::pin(informative::mixed_fan_out(bed)),
    },
    Workload {
        name: "slow-receiver",
        about: "5,000 events to an endpoint that takes 50 ms for each",
        runs: 1,
        run: |bed| Box::pin(informative::slow_receiver(bed)),
    },
    Workload {
        name: "tls",
        about: "10,000 events to one https endpoint",
        runs: 1,
        run: |bed| Box::pin(informative::tls(bed)),
    },
    Workload {
        name: "memory-payloads",
        about: "4,000 events of 256 KiB over 64 connections; only when named",
        runs: 0,
        run: |bed| Box::pin(memory::payloads(bed)),
    },
    Workload {
        name: "memory-hanging",
        about: "3,000 events of 256 KiB to a dozen receivers that hang; only when named",
        runs: 0,
        run: |bed| Box::pin(memory::hanging(bed)),
    },
    Workload {
        name: "memory-endpoints",
        about: "three events of 256 KiB to 10,000 endpoints each; only when named",
        runs: 0,
        run: |bed| Box::pin(memory::endpoints(bed)),
    },
    Workload {
        name: "memory-answers",
        about: "2,000 receivers that answer with compressed bodies without end; only when named",
        runs: 0,
        run: |bed| Box::pin(memory::answers(bed)),
    },
    Workload {
        name: "memory-backlog",
        about: "100,000 events while no dispatcher runs, then one; only when named",
        runs: 0,
        run: |bed| Box::pin(memory::backlog(bed)),
    },
    Workload {
        name: "memory-parked",
        about: "1,000,000 deliveries that failed and wait an hour for their retry; only when named",
        runs: 0,
        run: |bed| Box::pin(memory::parked(bed)),
    },
];

/// The CPU of a delivery, and the bytes that are written for it, with their parts by kind of process.
fn cpu_figures(spent: &Spent, deliveries: usize) -> Vec<Figure> {
    let each = |seconds: f64| seconds * 1e6 / deliveries.max(1) as f64;
    let mut figures = vec![Figure::new(
        CPU_PER_DELIVERY,
        each(spent.system()),
        Unit::Microseconds,
    )];
    for kind in Kind::ALL {
        figures.push(Figure::new(kind.name(), each(spent.of(kind)), Unit::Microseconds).part());
    }
    figures.push(Figure::new("harness (not included)", each(spent.harness), Unit::Microseconds).part());
    let written = [Kind::PostgreSql, Kind::RabbitMq].map(|kind| (kind, spent.written_by(kind) as f64));
    let each = |bytes: f64| bytes / deliveries.max(1) as f64;
    let all = written.iter().map(|(_, bytes)| bytes).sum();
    figures.push(Figure::new(WRITTEN_PER_DELIVERY, each(all), Unit::Bytes));
    for (kind, bytes) in written {
        figures.push(Figure::new(format!("{} writes", kind.name()), each(bytes), Unit::Bytes).part());
    }
    for (name, count) in [
        ("disk writes", spent.disk.writes),
        ("disk flushes", spent.disk.flushes),
    ] {
        let name = format!("{name} for a thousand deliveries");
        figures.push(Figure::new(name, each(count as f64) * 1e3, Unit::Count).part());
    }
    figures
}

/// What goes to disks for one delivery, the servers' logs and tables together.
const WRITTEN_PER_DELIVERY: &str = "written per delivery";

/// The figure that workloads are compared by.
pub(crate) const CPU_PER_DELIVERY: &str = "CPU per delivery";
