//! Users, who is signed in, and how that ends.

use std::time::Duration;

use plumbline_domain::{Role, TenantId, Timestamp, UserId};
use plumbline_store::sessions::Lifetimes;
use plumbline_store::users::UserChanges;
use plumbline_store::{Session, StoreError, partitions, sessions, users};

use crate::support::*;

const LIFETIMES: Lifetimes = Lifetimes {
    idle: Duration::from_secs(600),
    absolute: Duration::from_secs(3_600),
};

async fn user(session: &Session, tenant: TenantId, email: &str) -> UserId {
    users::create(session, tenant, email, Role::Member, "hash")
        .await
        .expect("a user")
        .id
}

async fn sign_in(session: &Session, tenant: TenantId, user: UserId, hash: [u8; 32]) {
    sessions::create(session, tenant, user, "hash", &hash, LIFETIMES)
        .await
        .expect("made")
        .expect("the password is that");
}

async fn is_signed_in(session: &Session, hash: [u8; 32]) -> bool {
    sessions::by_hash(session, &hash).await.expect("read").is_some()
}

/// Until a statement of this database waits for another transaction.
async fn until_somebody_waits(db: &Database) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let looking = async {
        while db.number(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .expect("somebody waits");
}

#[tokio::test]
async fn a_session_is_found_by_its_hash_until_it_is_over() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let ada = user(&session, tenant, "ada@example.com").await;
        sign_in(&session, tenant, ada, [1; 32]).await;
        let found = sessions::by_hash(&session, &[1; 32])
            .await
            .expect("read")
            .expect("found");
        assert_eq!((found.tenant, found.user, found.role), (tenant, ada, Role::Member));
        assert!(!found.is_use_unnoted);
        assert!(!is_signed_in(&session, [2; 32]).await);

        // Its role is the user's as it is now.
        let promoted = UserChanges {
            role: Some(Role::CompanyAdmin),
            ..UserChanges::default()
        };
        users::update(&session, tenant, ada, &promoted)
            .await
            .expect("changed")
            .expect("there");
        let found = sessions::by_hash(&session, &[1; 32])
            .await
            .expect("read")
            .expect("found");
        assert_eq!(found.role, Role::CompanyAdmin);

        // Used, it lives on, but not beyond its absolute life.
        db.execute(
            "UPDATE sessions SET created_at = now() - interval '55 minutes', seen_at = now() - interval '9 minutes',
                expires_at = now() + interval '1 minute'",
        )
        .await;
        let found = sessions::by_hash(&session, &[1; 32])
            .await
            .expect("read")
            .expect("found");
        assert!(found.is_use_unnoted);
        sessions::note_use(&session, tenant, found.id, LIFETIMES)
            .await
            .expect("noted");
        let found = sessions::by_hash(&session, &[1; 32])
            .await
            .expect("read")
            .expect("found");
        assert!(!found.is_use_unnoted);
        let left = db
            .number("SELECT extract(epoch FROM expires_at - created_at)::bigint FROM sessions")
            .await;
        assert_eq!(left, 3_600);

        db.execute("UPDATE sessions SET expires_at = now()").await;
        assert!(!is_signed_in(&session, [1; 32]).await);
        sessions::note_use(&session, tenant, found.id, LIFETIMES)
            .await
            .expect("asked");
        assert!(!is_signed_in(&session, [1; 32]).await, "what is over stays over");
        let done = partitions::maintain(&session, Timestamp::now(), 30)
            .await
            .expect("maintained");
        assert_eq!(done.expired_sessions, 1);
        assert_eq!(db.number("SELECT count(*) FROM sessions").await, 0);
    })
    .await;
}

#[tokio::test]
async fn sessions_end_one_by_one_all_but_one_or_with_their_user() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        let ada = user(&session, tenant, "ada@example.com").await;
        let eve = user(&session, other, "eve@example.com").await;
        for hash in 1..=4 {
            sign_in(&session, tenant, ada, [hash; 32]).await;
        }
        sign_in(&session, other, eve, [9; 32]).await;
        let id = async |hash: u8| {
            let found = sessions::by_hash(&session, &[hash; 32]).await.expect("read");
            found.expect("found").id
        };
        // Not by another tenant.
        sessions::end(&session, other, id(1).await).await.expect("asked");
        assert_eq!(
            sessions::end_all(&session, other, ada, None)
                .await
                .expect("asked"),
            0
        );
        assert!(!users::delete(&session, other, ada).await.expect("asked"));
        assert!(is_signed_in(&session, [1; 32]).await);

        sessions::end(&session, tenant, id(1).await).await.expect("ended");
        assert!(!is_signed_in(&session, [1; 32]).await);
        assert_eq!(
            sessions::end_oldest(&session, tenant, ada, 2)
                .await
                .expect("ended"),
            1
        );
        assert!(!is_signed_in(&session, [2; 32]).await && is_signed_in(&session, [3; 32]).await);
        let kept = id(4).await;
        assert_eq!(
            sessions::end_all(&session, tenant, ada, Some(kept))
                .await
                .expect("ended"),
            1
        );
        assert!(!is_signed_in(&session, [3; 32]).await && is_signed_in(&session, [4; 32]).await);
        assert!(users::delete(&session, tenant, ada).await.expect("deleted"));
        assert!(!is_signed_in(&session, [4; 32]).await && is_signed_in(&session, [9; 32]).await);
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_that_meets_a_change_of_the_password_does_not_survive_it() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let ada = user(&session, tenant, "ada@example.com").await;
        // The change has happened and is not committed; the sign-in had found the old password right.
        let change = db.begin().await;
        assert!(
            users::replace_password(&change, tenant, ada, "hash", "new")
                .await
                .expect("changed")
        );
        sessions::end_all(&change, tenant, ada, None).await.expect("none");
        let (made, ()) = tokio::join!(
            sessions::create(&session, tenant, ada, "hash", &[1; 32], LIFETIMES),
            async {
                until_somebody_waits(&db).await;
                change.commit().await.expect("committed");
            }
        );
        assert_eq!(made.expect("asked"), None);
        assert_eq!(db.number("SELECT count(*) FROM sessions").await, 0);
        assert!(
            !users::replace_password(&session, tenant, ada, "hash", "third")
                .await
                .expect("asked")
        );
    })
    .await;
}

#[tokio::test]
async fn users_are_their_tenants_and_an_address_is_taken_once() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.begin().await;
        let ada = user(&session, tenant, "ada@example.com").await;
        let bob = user(&session, tenant, "bob@example.com").await;
        let eve = user(&session, other, "eve@example.com").await;
        let again = users::create(&session, other, "ada@example.com", Role::Member, "hash").await;
        assert!(
            matches!(again, Err(StoreError::Conflict { .. })),
            "and the transaction goes on"
        );
        let listed = async |tenant, before, limit| {
            let users = users::list(&session, tenant, before, limit).await.expect("read");
            users.into_iter().map(|user| user.id).collect::<Vec<_>>()
        };
        assert_eq!(listed(tenant, None, 10).await, [bob, ada]);
        assert_eq!(listed(tenant, Some(bob), 10).await, [ada]);
        assert_eq!(listed(tenant, None, 1).await, [bob]);
        assert_eq!(listed(other, None, 10).await, [eve]);
        assert_eq!(users::get(&session, other, ada).await.expect("read"), None);
        assert_eq!(
            users::credentials(&session, other, ada).await.expect("read"),
            None
        );
        assert_eq!(
            users::update(&session, other, ada, &UserChanges::default())
                .await
                .expect("asked"),
            None
        );
        assert_eq!(
            users::count(&session, tenant, Role::CompanyAdmin)
                .await
                .expect("counted"),
            (2, 0)
        );
        let known = users::credentials_by_email(&session, "eve@example.com")
            .await
            .expect("read");
        let known = known.expect("found");
        assert_eq!((known.tenant, known.user), (other, eve));
        assert!(!format!("{known:?}").contains("hash"), "{known:?}");
        session.commit().await.expect("committed");
    })
    .await;
}
