//! The outbox: news that somebody must still complete.

use plumbline_domain::{EndpointId, Timestamp};
use plumbline_store::outbox::{self, Chunk, Helping, OutboxRow};

use crate::support::*;

fn chunk(number: i32) -> Chunk {
    let from = i64::from(number - 1) * 100;
    Chunk {
        number,
        after: EndpointId(from),
        upto: EndpointId(from + 100),
    }
}

#[tokio::test]
async fn a_message_is_unsent_until_it_is_marked_and_stale_when_it_is_old() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let event = db.event(tenant).await;
        let key = [(event.id, 0)];
        let unsent = async || outbox::unsent(&session, at_most(10)).await.expect("read");
        let stale = async |before, sent_before| {
            outbox::stale(&session, before, sent_before, at_most(10))
                .await
                .expect("read")
                .len()
        };
        assert!(unsent().await.is_empty());
        assert_eq!(stale(in_seconds(10), in_seconds(10)).await, 1);
        assert_eq!(stale(ago(10), in_seconds(10)).await, 0, "the event is young");
        assert_eq!(stale(in_seconds(10), ago(10)).await, 0, "it was just published");

        outbox::mark_unsent(&session, &key).await.expect("marked");
        let found = unsent().await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].event, event);
        assert_eq!(
            stale(in_seconds(10), in_seconds(10)).await,
            0,
            "unsent is not stale"
        );

        outbox::mark_sent(&session, &key).await.expect("marked");
        assert!(unsent().await.is_empty());
        assert!(outbox::age(&session).await.expect("read").is_some());
        outbox::delete(&session, &key).await.expect("deleted");
        outbox::delete(&session, &key).await.expect("deleted again");
        assert_eq!(outbox::age(&session).await.expect("read"), None);
        outbox::approximate_count(&session).await.expect("read");
    })
    .await;
}

#[tokio::test]
async fn a_large_fan_out_is_split_once() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let event = db.event(tenant).await;
        let chunks = [chunk(1), chunk(2), chunk(3)];
        assert_eq!(
            outbox::split(&session, event.id, &chunks).await.expect("split"),
            chunks
        );
        let rows = outbox::stale(&session, in_seconds(9), in_seconds(9), at_most(10))
            .await
            .expect("read");
        assert_eq!(
            rows.iter().filter_map(|row| row.chunk).collect::<Vec<_>>(),
            chunks
        );
        assert!(rows.iter().all(|row| row.event == event));

        // A redelivered message splits again: what is complete stays complete, whatever the endpoints are now.
        outbox::delete(&session, &[(event.id, 2)])
            .await
            .expect("complete");
        let again = outbox::split(&session, event.id, &[chunk(1), chunk(4)])
            .await
            .expect("split");
        assert_eq!(again, [chunk(1), chunk(3)]);
        outbox::delete(&session, &[(event.id, 1), (event.id, 3)])
            .await
            .expect("complete");
        assert_eq!(
            outbox::split(&session, event.id, &chunks).await.expect("split"),
            []
        );
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 0);
    })
    .await;
}

#[tokio::test]
async fn two_concurrent_splits_agree() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        for _ in 0..10 {
            let event = db.event(tenant).await;
            let (one, two) = (db.session().await, db.session().await);
            let chunks = [chunk(1), chunk(2)];
            let (first, second) = tokio::join!(
                outbox::split(&one, event.id, &chunks),
                outbox::split(&two, event.id, &chunks)
            );
            assert_eq!(first.expect("split"), chunks);
            assert_eq!(second.expect("split"), chunks);
        }
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 20);
    })
    .await;
}

#[tokio::test]
async fn the_oldest_come_first() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let mut keys = vec![];
        for _ in 0..3 {
            keys.push((db.event(tenant).await.id, 0));
        }
        keys.sort_unstable();
        outbox::mark_unsent(&session, &keys).await.expect("marked");
        let found = outbox::unsent(&session, at_most(2)).await.expect("read");
        assert_eq!(
            found.iter().map(|row| (row.event.id, 0)).collect::<Vec<_>>(),
            keys[..2]
        );
        assert!(found[0].event.id.timestamp() <= Timestamp::now());

        // By bytes as well, but never nothing.
        let size = |row: &OutboxRow| {
            let before = row.event.previous_attributes.as_ref();
            let bytes = row.event.data.as_str().len() + before.map_or(0, |text| text.as_str().len());
            i64::try_from(bytes).expect("small")
        };
        let two: i64 = found.iter().map(size).sum();
        for (bytes, count) in [(0, 1), (two - 1, 1), (two, 2)] {
            let helping = Helping { rows: 10, bytes };
            let rows = outbox::unsent(&session, helping).await.expect("read");
            assert_eq!(rows.len(), count, "{bytes} bytes");
            assert_eq!(rows[..], found[..count]);
        }
    })
    .await;
}
