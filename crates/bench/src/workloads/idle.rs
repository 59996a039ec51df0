//! Idle: what a system costs that has nothing to do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Outcome;
use super::volley::{ARRIVAL_PATIENCE, publisher, register};
use crate::accounting::Kind;
use crate::bed::{Bed, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::receiver::{Behaviour, Receiver};

const IDLE: Duration = Duration::from_secs(20);
const QUICK: Duration = Duration::from_secs(5);
const MEGABYTE: f64 = 1e6;

/// A fresh system that has delivered one event.
pub(super) async fn run(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let system = bed.system(Wish::default()).await?;
    let journal = system.journal(1, 1, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    publisher(&system, &journal).closed(0..1, 1).await?;
    journal.wait_complete(1, ARRIVAL_PATIENCE).await;
    system.settle().await?;

    let (before, fine_before, began) = (
        system.meter.read()?,
        system.meter.fine_services()?,
        Instant::now(),
    );
    sleep(bed.scaled_time(IDLE, QUICK)).await;
    let (fine, wall) = (
        system.meter.fine_services()? - fine_before,
        began.elapsed().as_secs_f64(),
    );
    let spent = system.meter.read()?.since(&before);
    let percent = |seconds: f64| seconds * 100.0 / wall;
    let mut figures = vec![
        Figure::new("API and dispatcher", percent(fine), Unit::Percent).at_most(0.5),
        Figure::new("PostgreSQL", percent(spent.of(Kind::PostgreSql)), Unit::Percent),
        Figure::new("RabbitMQ", percent(spent.of(Kind::RabbitMq)), Unit::Percent),
    ];
    for kind in [Kind::Api, Kind::Dispatcher] {
        let megabytes = system.meter.memory(kind)?.resident as f64 / MEGABYTE;
        figures
            .push(Figure::new(format!("{} memory", kind.name()), megabytes, Unit::Megabytes).at_most(40.0));
    }
    Ok(Outcome::new(figures, journal.audit(|_, _| true), spent))
}
