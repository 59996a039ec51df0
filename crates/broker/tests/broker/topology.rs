//! What exists in the broker.

use std::num::NonZeroU16;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use plumbline_broker::{Topology, WorkQueue};

use crate::rig::{Vhost, soon};

fn topology() -> Topology {
    Topology::new(NonZeroU16::new(2).expect("not zero"))
}

async fn declare(vhost: &Vhost) -> Result<(), String> {
    let connection = soon(vhost.connect()).await;
    let channel = connection.create_channel().await.expect("a channel");
    soon(topology().declare(&channel))
        .await
        .map_err(|error| error.what().to_owned())
}

fn present(vhost: &Vhost) -> (usize, usize) {
    let (queues, exchanges) = (vhost.get("queues"), vhost.get("exchanges"));
    let count = |listing: &str, name: &str| listing.matches(&format!(r#""name":"{name}""#)).count();
    let topology = topology();
    (
        topology
            .queues
            .iter()
            .map(|queue| count(&queues, &queue.name))
            .sum(),
        topology
            .exchanges
            .iter()
            .map(|exchange| count(&exchanges, &exchange.name))
            .sum(),
    )
}

#[tokio::test]
async fn declaring_twice_changes_nothing() {
    let vhost = Vhost::new();
    let all = (topology().queues.len(), topology().exchanges.len());
    for _ in 0..2 {
        assert_eq!(declare(&vhost).await, Ok(()));
        assert_eq!(present(&vhost), all);
    }
}

#[tokio::test]
async fn what_a_foreign_hand_deleted_is_declared_again() {
    let vhost = Vhost::new();
    let all = (topology().queues.len(), topology().exchanges.len());
    assert_eq!(declare(&vhost).await, Ok(()));
    vhost.delete("queues", "plumbline.retries");
    vhost.delete("queues", "plumbline.delay.30000");
    vhost.delete("exchanges", "plumbline.work");
    assert_eq!(declare(&vhost).await, Ok(()));
    assert_eq!(present(&vhost), all);
}

#[tokio::test]
async fn a_queue_of_another_kind_is_named_in_the_error() {
    let vhost = Vhost::new();
    let connection = soon(vhost.connect()).await;
    let channel = connection.create_channel().await.expect("a channel");
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let name = WorkQueue::Retries.name();
    channel
        .queue_declare(name.into(), durable, FieldTable::default())
        .await
        .expect("a classic queue");
    assert_eq!(declare(&vhost).await, Err("queue plumbline.retries".into()));
}
