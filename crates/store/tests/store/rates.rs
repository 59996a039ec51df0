//! Rate limits: slots that several dispatchers reserve at once.

use std::num::NonZeroU32;

use futures_util::future::join_all;
use plumbline_domain::rate::{Place, Slot, Turn};
use plumbline_domain::{EndpointId, TenantId};
use plumbline_store::Store;
use plumbline_store::rate_windows::{self, Reserved};

use crate::support::*;

async fn reserve(
    store: &Store,
    (tenant, endpoint): (TenantId, EndpointId),
    limit: u32,
    asks: &[Option<Place>],
) -> Reserved {
    let session = store.begin().await.expect("a transaction");
    let limit = NonZeroU32::new(limit).expect("not zero");
    let reserved = rate_windows::reserve(&session, tenant, endpoint, limit, asks)
        .await
        .expect("reserved");
    session.commit().await.expect("committed");
    reserved
}

fn slots(reserved: &Reserved) -> Vec<Slot> {
    let slot = |turn: &Turn| match turn {
        Turn::Slot(slot) => Some(*slot),
        Turn::Later { .. } => None,
    };
    reserved.turns.iter().filter_map(slot).collect()
}

async fn limited(db: &Database) -> (TenantId, EndpointId) {
    let tenant = db.tenant().await;
    (tenant, db.endpoint(tenant).await.id)
}

#[tokio::test]
async fn reservations_at_once_never_hand_out_more_than_the_limit() {
    with_database(async |db: Database| {
        let endpoint = limited(&db).await;
        // The first of them all make the row at once.
        let asking = (0..40).map(|_| reserve(&db.store, endpoint, 30, &[None, None]));
        let reserved = join_all(asking).await;
        let mut handed_out: Vec<i64> = reserved.iter().flat_map(slots).map(|slot| slot.0).collect();
        handed_out.sort_unstable();
        assert!(handed_out.len() > 30, "the next minute's, too: {handed_out:?}");
        for from in &handed_out {
            let within = handed_out
                .iter()
                .filter(|slot| (*from..from + 62).contains(slot))
                .count();
            assert!(within <= 30, "{within} from {from}");
        }
        let mut places: Vec<Place> = vec![];
        for turn in reserved.iter().flat_map(|reserved| &reserved.turns) {
            if let Turn::Later { place, .. } = turn {
                places.push(*place);
            }
        }
        places.sort_unstable();
        let waiting = places.len();
        places.dedup();
        assert_eq!(
            (places.len(), waiting + handed_out.len()),
            (waiting, 80),
            "each has a place of its own"
        );
    })
    .await;
}

#[tokio::test]
async fn a_place_is_honoured_in_another_transaction_and_the_clock_is_the_databases() {
    with_database(async |db: Database| {
        let endpoint = limited(&db).await;
        let before = rate_windows::clock(&db.session().await).await.expect("a time");
        // So many wait that a second more or less in this test changes nothing.
        let first = reserve(&db.store, endpoint, 60, &[None; 200]).await;
        let after = rate_windows::clock(&db.session().await).await.expect("a time");
        assert!(before <= first.now && first.now <= after);
        assert_eq!(slots(&first)[0], Slot(first.now.as_second()));
        let Turn::Later { place, ask_again_at } = reserve(&db.store, endpoint, 60, &[None]).await.turns[0]
        else {
            panic!("the minute is full")
        };
        assert!(ask_again_at > first.now);
        // Minutes pass for the row.
        db.execute(
            "UPDATE rate_windows
            SET first_second = first_second - 400, updated_at = updated_at - interval '400 seconds'",
        )
        .await;
        assert_eq!(
            slots(&reserve(&db.store, endpoint, 60, &[Some(place)]).await).len(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_the_row_reads_the_clock_afterwards() {
    with_database(async |db: Database| {
        let endpoint = limited(&db).await;
        reserve(&db.store, endpoint, 1_000, &[None]).await;
        let first = db.begin().await;
        let limit = NonZeroU32::new(1_000).expect("not zero");
        rate_windows::reserve(&first, endpoint.0, endpoint.1, limit, &[None])
            .await
            .expect("reserved");
        let holding = async {
            // Until the other one waits for us.
            let waits = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while db.number(waits).await == 0 {}
            let now = rate_windows::clock(&db.session().await).await.expect("a time");
            first.commit().await.expect("committed");
            now
        };
        let (released, second) = tokio::join!(holding, reserve(&db.store, endpoint, 1_000, &[None]));
        assert!(second.now >= released, "{} is before {released}", second.now);
    })
    .await;
}

#[tokio::test]
async fn windows_belong_to_their_tenant_and_go_with_their_endpoint() {
    with_database(async |db: Database| {
        let (ours, other) = (limited(&db).await, limited(&db).await);
        reserve(&db.store, ours, 1, &[None]).await;
        reserve(&db.store, other, 1, &[None]).await;
        // The endpoint's full minute is its own, and a foreign tenant's name does not reach it.
        assert!(slots(&reserve(&db.store, ours, 1, &[None; 2]).await).len() <= 1);
        assert_eq!(
            db.number("SELECT count(*) FROM rate_windows WHERE counts <> '{}'")
                .await,
            2
        );
        // Asking in another tenant's name finds no endpoint, and leaves nothing behind.
        let foreign = reserve(&db.store, (ours.0, other.1), 1, &[None]).await;
        assert_eq!(foreign.turns.len(), 1);
        assert_eq!(db.number("SELECT count(*) FROM rate_windows").await, 2);
        db.execute(&format!("DELETE FROM endpoints WHERE id = {}", other.1.0))
            .await;
        assert_eq!(db.number("SELECT count(*) FROM rate_windows").await, 1);
    })
    .await;
}

#[tokio::test]
async fn an_update_changes_no_index() {
    with_database(async |db: Database| {
        let endpoint = limited(&db).await;
        for _ in 0..100 {
            reserve(&db.store, endpoint, u32::MAX / 2, &[None]).await;
        }
        let size = db.number("SELECT pg_relation_size('rate_windows')").await;
        assert!(
            size <= 4 * 8_192,
            "{size} bytes for one row that was written a hundred times"
        );
        let row = db
            .number("SELECT max(pg_column_size(w.*))::bigint FROM rate_windows AS w")
            .await;
        assert!(row < 700, "{row} bytes");
        let counted = db
            .number("SELECT sum(count)::bigint FROM rate_windows, unnest(counts) AS count")
            .await;
        assert_eq!(counted, 100);
    })
    .await;
}
