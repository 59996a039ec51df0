//! Throughput: how many events and deliveries a second, and what one delivery costs.

use super::volley::{CONNECTIONS, Volley, Volleyed, publisher, register};
use super::{CPU_PER_DELIVERY, Outcome};
use crate::accounting::Kind;
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::receiver::{Behaviour, Receiver};

const MEGABYTE: f64 = 1e6;

/// Each event to one endpoint.
pub(super) async fn one(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let (system, volleyed) = measure(bed, 1, 20_000, CONNECTIONS).await?;
    let mut figures = volleyed.rates();
    figures[1] = figures[1].clone().at_least(5_000.0).stretch(9_000.0);
    figures.extend(volleyed.cpu());
    with_goal(&mut figures, 330.0, Some(160.0));
    figures.push(kept(&system, &volleyed).await?);
    for kind in [Kind::Api, Kind::Dispatcher] {
        let memory = system.meter.memory(kind)?;
        let megabytes = |bytes: u64| bytes as f64 / MEGABYTE;
        figures.push(
            Figure::new(
                format!("{} memory, peak", kind.name()),
                megabytes(memory.peak),
                Unit::Megabytes,
            )
            .at_most(150.0),
        );
        figures.push(
            Figure::new(
                format!("{} memory, afterwards", kind.name()),
                megabytes(memory.resident),
                Unit::Megabytes,
            )
            .part(),
        );
    }
    Ok(Outcome::new(figures, volleyed.audit, volleyed.spent))
}

/// Each event to ten endpoints.
pub(super) async fn ten(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let (system, volleyed) = measure(bed, 10, 4_000, CONNECTIONS).await?;
    let mut outcome = deliveries(&volleyed);
    outcome.figures.push(kept(&system, &volleyed).await?);
    Ok(outcome)
}

/// Each event to a thousand endpoints. Compared with ten endpoints in the report, if both were measured.
pub(super) async fn thousand(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let (_system, volleyed) = measure(bed, 1_000, 30, 1).await?;
    Ok(deliveries(&volleyed))
}

/// What the log takes in the database for each delivery that there is.
async fn kept(system: &System, volleyed: &Volleyed) -> Result<Figure, Failure> {
    let each = system.kept_bytes().await? as f64 / volleyed.audit.owed.max(1) as f64;
    Ok(Figure::new("kept per delivery", each, Unit::Bytes))
}

fn deliveries(volleyed: &Volleyed) -> Outcome {
    let mut figures = volleyed.rates();
    figures[1] = figures[1].clone().at_least(15_000.0);
    figures.extend(volleyed.cpu());
    with_goal(&mut figures, 115.0, None);
    Outcome::new(figures, volleyed.audit, volleyed.spent)
}

fn with_goal(figures: &mut [Figure], most: f64, stretch: Option<f64>) {
    for figure in figures
        .iter_mut()
        .filter(|figure| figure.name == CPU_PER_DELIVERY)
    {
        *figure = figure.clone().at_most(most);
        if let Some(stretch) = stretch {
            *figure = figure.clone().stretch(stretch);
        }
    }
}

async fn measure(
    bed: Bed<'_>,
    endpoints: usize,
    events: usize,
    connections: usize,
) -> Result<(System, Volleyed), Failure> {
    let volley = Volley {
        first: 0,
        warm_up: (500 / endpoints).max(1),
        events: bed.scaled(events, 3),
        connections,
    };
    let wish = Wish {
        settings: vec![("MAX_ENDPOINTS_PER_TENANT", "1000".to_owned())],
        ..Wish::default()
    };
    let system = bed.system(wish).await?;
    let journal = system.journal(volley.end(), endpoints, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    register(system.stack.api(), &receiver, 0..endpoints, "bid.accepted").await?;
    let volleyed = volley
        .fire(&system, &publisher(&system, &journal), &journal, |_, _| true)
        .await?;
    Ok((system, volleyed))
}
