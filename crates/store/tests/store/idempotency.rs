//! Idempotency keys, alone and in company.

use std::time::Duration;

use plumbline_domain::TenantId;
use plumbline_store::Session;
use plumbline_store::idempotency::{self, Claim, StoredResponse};

use crate::support::*;

fn answer() -> StoredResponse {
    StoredResponse {
        status: 201,
        body: r#"{"id":1}"#.to_owned(),
    }
}

async fn claim(session: &Session, tenant: TenantId, hash: u8) -> Claim {
    idempotency::claim(session, tenant, "key", &[hash; 32])
        .await
        .expect("claimed")
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.begin().await;
        assert_eq!(claim(&session, tenant, 1).await, Claim::Fresh);
        idempotency::complete(&session, tenant, "key", &answer())
            .await
            .expect("kept");
        session.commit().await.expect("committed");

        let session = db.begin().await;
        assert_eq!(claim(&session, tenant, 1).await, Claim::Done(answer()));
        assert_eq!(claim(&session, tenant, 2).await, Claim::Mismatch);
        assert_eq!(
            claim(&session, other, 2).await,
            Claim::Fresh,
            "the neighbour's key is another"
        );
    })
    .await;
}

#[tokio::test]
async fn a_key_whose_transaction_was_dropped_is_fresh() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.begin().await;
        assert_eq!(claim(&session, tenant, 1).await, Claim::Fresh);
        drop(session);
        assert_eq!(claim(&db.begin().await, tenant, 1).await, Claim::Fresh);
    })
    .await;
}

#[tokio::test]
async fn a_concurrent_request_waits_for_the_first_one() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        for commits in [true, false] {
            let first = db.begin().await;
            assert_eq!(claim(&first, tenant, 1).await, Claim::Fresh);
            let second = db.begin().await;
            let mut waiting = Box::pin(claim(&second, tenant, 1));
            assert!(
                tokio::time::timeout(Duration::from_millis(150), &mut waiting)
                    .await
                    .is_err(),
                "waits"
            );
            let expected = if commits {
                idempotency::complete(&first, tenant, "key", &answer())
                    .await
                    .expect("kept");
                first.commit().await.expect("committed");
                Claim::Done(answer())
            } else {
                drop(first);
                Claim::Fresh
            };
            assert_eq!(waiting.await, expected);
            second.rollback().await.expect("rolled back");
            db.execute("DELETE FROM idempotency_keys").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.begin().await;
        claim(&session, tenant, 1).await;
        idempotency::complete(&session, tenant, "key", &answer())
            .await
            .expect("kept");
        session.commit().await.expect("committed");
        assert_eq!(
            idempotency::delete_expired(&db.session().await, 10)
                .await
                .expect("deleted"),
            0
        );

        db.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'")
            .await;
        let session = db.begin().await;
        assert_eq!(
            claim(&session, tenant, 2).await,
            Claim::Fresh,
            "taken over, even for another request"
        );
        drop(session);
        assert_eq!(
            idempotency::delete_expired(&db.session().await, 10)
                .await
                .expect("deleted"),
            1
        );
    })
    .await;
}
