//! Workloads without a goal: they show where it would hurt.

use std::time::Duration;

use plumbline_testkit::FakeDns;

use super::Outcome;
use super::volley::{CONNECTIONS, Volley, Volleyed, publisher, register};
use crate::accounting::Kind;
use crate::bed::{Bed, System, Wish};
use crate::failure::Failure;
use crate::figure::{Figure, Unit};
use crate::publish::Publisher;
use crate::receiver::{Behaviour, Receiver};
use crate::tls;

const WARM_UP: usize = 200;
const LARGE_BYTES: usize = 64 * 1024;
/// Which types there are, and how many endpoints want each.
const MIX: [(&str, usize); 4] = [
    ("bid.created", 1),
    ("bid.accepted", 3),
    ("project.created", 10),
    ("contact.created", 30),
];
const SLOW: Duration = Duration::from_millis(50);
const NAME: &str = "hooks.example.test";
const MEGABYTE: f64 = 1e6;

/// Everything fails twice, a second apart.
pub(super) async fn retry_storm(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let wish = Wish {
        settings: vec![
            ("RETRY_SCHEDULE", "1s,1s".to_owned()),
            ("RETRY_JITTER", "0".to_owned()),
            ("DISABLE_AFTER", "0".to_owned()),
        ],
        ..Wish::default()
    };
    let system = bed.system(wish).await?;
    let volley = volley(bed, 2_000);
    let journal = system.journal(volley.end(), 1, 3);
    let receiver = Receiver::start(journal.clone(), Behaviour::FailFirst(2)).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    let volleyed = volley
        .fire(&system, &publisher(&system, &journal), &journal, |_, _| true)
        .await?;
    with_memory(&system, &volleyed)
}

/// Payloads as large as a quarter of what is allowed.
pub(super) async fn large_payloads(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let change = |publisher: Publisher| publisher.bytes(LARGE_BYTES);
    simple(bed, 2_000, Behaviour::Accept, change).await
}

/// A receiver that takes its time.
pub(super) async fn slow_receiver(bed: Bed<'_>) -> Result<Outcome, Failure> {
    simple(bed, 5_000, Behaviour::Delay(SLOW), |publisher| publisher).await
}

/// Types with few and with many endpoints.
pub(super) async fn mixed_fan_out(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let endpoints: usize = MIX.iter().map(|(_, count)| count).sum();
    let system = bed.system(Wish::default()).await?;
    let volley = volley(bed, 4_000);
    let journal = system.journal(volley.end(), endpoints, 1);
    let receiver = Receiver::start(journal.clone(), Behaviour::Accept).await?;
    let mut first = 0;
    for (event_type, count) in MIX {
        register(system.stack.api(), &receiver, first..first + count, event_type).await?;
        first += count;
    }
    let publisher = publisher(&system, &journal).types(&MIX.map(|(name, _)| name));
    let volleyed = volley
        .fire(&system, &publisher, &journal, |endpoint, number| {
            type_of(endpoint) == Some(number % MIX.len())
        })
        .await?;
    with_memory(&system, &volleyed)
}

/// Which type of the mix an endpoint wants.
fn type_of(endpoint: usize) -> Option<usize> {
    let mut first = 0;
    MIX.iter().position(|(_, count)| {
        first += count;
        endpoint < first
    })
}

/// Over TLS, as in production.
pub(super) async fn tls(bed: Bed<'_>) -> Result<Outcome, Failure> {
    let authority = bed.scratch().join("authority.pem");
    let acceptor = tls::acceptor(NAME, &authority)?;
    let dns = FakeDns::start().await;
    dns.resolve(NAME, &["127.0.0.1"]);
    let wish = Wish {
        settings: vec![
            ("ALLOW_HTTP", "false".to_owned()),
            ("DNS_SERVERS", dns.addr().to_string()),
        ],
        variables: vec![("SSL_CERT_FILE", authority.display().to_string())],
        ..Wish::default()
    };
    let system = bed.system(wish).await?;
    let volley = volley(bed, 10_000);
    let journal = system.journal(volley.end(), 1, 1);
    let receiver = Receiver::start_tls(journal.clone(), acceptor).await?;
    let url = format!("https://{NAME}:{}/0", receiver.address().port());
    system.stack.api().create_endpoint(&url, &["bid.accepted"]).await;
    let volleyed = volley
        .fire(&system, &publisher(&system, &journal), &journal, |_, _| true)
        .await?;
    with_memory(&system, &volleyed)
}

async fn simple(
    bed: Bed<'_>,
    events: usize,
    behaviour: Behaviour,
    change: impl FnOnce(Publisher) -> Publisher,
) -> Result<Outcome, Failure> {
    let system = bed.system(Wish::default()).await?;
    let volley = volley(bed, events);
    let journal = system.journal(volley.end(), 1, 1);
    let receiver = Receiver::start(journal.clone(), behaviour).await?;
    register(system.stack.api(), &receiver, 0..1, "bid.accepted").await?;
    let publisher = change(publisher(&system, &journal));
    let volleyed = volley.fire(&system, &publisher, &journal, |_, _| true).await?;
    with_memory(&system, &volleyed)
}

fn volley(bed: Bed<'_>, events: usize) -> Volley {
    Volley {
        first: 0,
        warm_up: WARM_UP,
        events: bed.scaled(events, 200),
        connections: CONNECTIONS,
    }
}

fn with_memory(system: &System, volleyed: &Volleyed) -> Result<Outcome, Failure> {
    let mut figures = volleyed.rates();
    figures.extend(volleyed.cpu());
    for kind in [Kind::Api, Kind::Dispatcher] {
        let megabytes = system.meter.memory(kind)?.peak as f64 / MEGABYTE;
        figures.push(Figure::new(
            format!("{} memory, peak", kind.name()),
            megabytes,
            Unit::Megabytes,
        ));
    }
    Ok(Outcome::new(figures, volleyed.audit, volleyed.spent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_of_the_mix_wants_one_type() {
        for (endpoint, expected) in [
            (0, Some(0)),
            (1, Some(1)),
            (3, Some(1)),
            (4, Some(2)),
            (13, Some(2)),
            (14, Some(3)),
            (43, Some(3)),
            (44, None),
        ] {
            assert_eq!(type_of(endpoint), expected, "{endpoint}");
        }
    }
}
