//! Endpoints as rows, and the snapshot that dispatchers cache.

use std::num::NonZeroU32;
use std::time::Duration;

use plumbline_domain::{
    AddressPolicy, CustomHeaders, DeliveryId, DeliveryStatus, DisabledReason, Endpoint, EndpointUrl,
    FailureCode, Profile, Subscription, Timestamp,
};
use plumbline_store::endpoints::{self, NewEndpoint};
use plumbline_store::secrets::{MasterKey, Vault};
use plumbline_store::{StoreError, deliveries, secrets, tenants};

use crate::support::*;

fn vault() -> Vault {
    let key = MasterKey {
        id: "k".to_owned(),
        key: [1; 32],
    };
    Vault::new(&[key]).expect("a vault")
}

#[tokio::test]
async fn what_is_registered_is_what_is_read() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let types = ["bid.created", "contact.created"].map(|name| name.parse().expect("a type"));
        let new = NewEndpoint {
            description: Some("Böse \"Zeichen\"".to_owned()),
            subscription: Subscription::Types(types.into()),
            rate_limit: NonZeroU32::new(60),
            ..new_endpoint(tenant, 5)
        };
        let made = endpoints::insert(&session, &new).await.expect("made");
        assert_eq!(
            (made.tenant, made.profile, made.since_version, made.version),
            (tenant, new.profile, 5, 1)
        );
        assert_eq!((&made.url, &made.description), (&new.url, &new.description));
        assert_eq!(
            (&made.subscription, made.rate_limit),
            (&new.subscription, new.rate_limit)
        );
        assert!(made.is_active() && made.consecutive_failures == 0);
        assert_eq!(
            endpoints::get(&session, tenant, made.id).await.expect("read"),
            Some(made)
        );
    })
    .await;
}

#[tokio::test]
async fn custom_headers_are_kept_encrypted_replaced_and_wiped() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let made = db.endpoint(tenant).await;
        let vault = vault();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = CustomHeaders::new(vec![pair("X-B", "hunter2"), pair("Authorization", "hunter3")]);
        let session = db.session().await;
        let found = async || {
            let mut found = endpoints::with_secrets(&session, &[(tenant, made.id)]).await.expect("read");
            found.remove(0)
        };
        let in_clear = "SELECT count(*) FROM endpoints WHERE headers <> '[]' OR encode(headers_ciphertext, 'escape') LIKE '%hunter%'";

        let sealed = vault.seal_headers(&headers, tenant, made.id);
        endpoints::set_headers(&session, tenant, made.id, Some((&headers, &sealed))).await.expect("set");
        let stored = found().await;
        assert_eq!(stored.endpoint.header_names, ["X-B", "Authorization"], "in the customer's order");
        assert_eq!(stored.open_headers(&vault).expect("opened"), headers);
        assert!(!format!("{stored:?}").contains("hunter"), "{stored:?}");
        assert_eq!(db.number(in_clear).await, 0);

        // As a version before V10 wrote them: sent all the same, and found by the upkeep.
        db.execute(r#"UPDATE endpoints SET headers_key_id = NULL, headers_ciphertext = NULL,
            headers = '[["X-B", "hunter2"], ["Authorization", "hunter3"]]'"#).await;
        let stored = found().await;
        assert_eq!(stored.open_headers(&vault).expect("opened"), headers);
        assert!(!format!("{stored:?}").contains("hunter"), "{stored:?}");
        let clear = endpoints::in_clear(&session, 10).await.expect("read");
        assert_eq!(clear, [(tenant, made.id, headers.clone())]);
        endpoints::set_headers(&session, tenant, made.id, Some((&headers, &sealed))).await.expect("set");
        assert_eq!(found().await.open_headers(&vault).expect("opened"), headers);
        assert_eq!((db.number(in_clear).await, endpoints::in_clear(&session, 10).await.expect("read")), (0, vec![]));

        endpoints::set_headers(&session, tenant, made.id, None).await.expect("removed");
        let stored = found().await;
        assert_eq!((stored.endpoint.header_names.len(), &stored.headers), (0, &None));

        endpoints::set_headers(&session, tenant, made.id, Some((&headers, &sealed))).await.expect("set");
        assert!(endpoints::delete(&session, tenant, made.id).await.expect("deleted"));
        let kept = "SELECT count(*) FROM endpoints WHERE headers_ciphertext IS NOT NULL OR cardinality(header_names) > 0";
        assert_eq!(db.number(kept).await, 0, "they go with the endpoint");
    })
    .await;
}

#[tokio::test]
async fn an_update_is_a_new_version() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let made = db.endpoint(tenant).await;
        let session = db.begin().await;
        let locked = endpoints::lock(&session, tenant, made.id)
            .await
            .expect("locked")
            .expect("there");
        assert_eq!(locked, made);
        let changed = Endpoint {
            url: EndpointUrl::parse("https://other.example.com/", &AddressPolicy::default()).expect("a URL"),
            description: Some("new".to_owned()),
            subscription: Subscription::Types(["a.b".parse().expect("a type")].into()),
            rate_limit: NonZeroU32::new(1),
            disabled: Some(DisabledReason::Manual),
            consecutive_failures: 3,
            ..locked
        };
        let updated = endpoints::update(&session, &changed).await.expect("updated");
        session.commit().await.expect("committed");
        assert_eq!(
            updated,
            Endpoint {
                version: 2,
                updated_at: updated.updated_at,
                disabled_at: updated.disabled_at,
                ..changed
            }
        );
        assert!(updated.updated_at > made.updated_at);
        assert!(made.disabled_at.is_none() && updated.disabled_at.is_some());
    })
    .await;
}

#[tokio::test]
async fn nobody_sees_or_changes_a_neighbours_endpoint() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let made = db.endpoint(tenant).await;
        let session = db.session().await;
        assert_eq!(
            endpoints::get(&session, other, made.id).await.expect("read"),
            None
        );
        assert_eq!(
            endpoints::lock(&session, other, made.id).await.expect("read"),
            None
        );
        assert_eq!(
            endpoints::profile(&session, other, made.id).await.expect("read"),
            None
        );
        assert_eq!(
            endpoints::list(&session, other, None, None, 10)
                .await
                .expect("read"),
            []
        );
        assert_eq!(endpoints::count(&session, other).await.expect("read"), 0);
        assert!(!endpoints::delete(&session, other, made.id).await.expect("asked"));
        let stolen = Endpoint {
            tenant: other,
            ..made.clone()
        };
        assert!(matches!(
            endpoints::update(&session, &stolen).await,
            Err(StoreError::Corrupt(_))
        ));
        assert_eq!(
            endpoints::with_secrets(&session, &[(other, made.id)])
                .await
                .expect("read"),
            []
        );
        assert_eq!(
            endpoints::get(&session, tenant, made.id).await.expect("read"),
            Some(made)
        );
    })
    .await;
}

#[tokio::test]
async fn endpoints_are_listed_newest_first() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let mut ids = vec![];
        for _ in 0..4 {
            ids.insert(0, db.endpoint(tenant).await.id);
        }
        let session = db.session().await;
        let list = async |before, limit| {
            let page = endpoints::list(&session, tenant, None, before, limit)
                .await
                .expect("read");
            page.into_iter().map(|endpoint| endpoint.id).collect::<Vec<_>>()
        };
        assert_eq!(list(None, 3).await, ids[..3]);
        assert_eq!(list(Some(ids[2]), 3).await, ids[3..]);
        let uid = endpoints::get(&session, tenant, ids[0])
            .await
            .expect("read")
            .expect("there")
            .uid;
        for (profile, count) in [(Profile::BuildWorkPro, 4), (Profile::Buildr, 0)] {
            let page = endpoints::list(&session, tenant, Some(profile), None, 9).await;
            assert_eq!(page.expect("read").len(), count);
            let found = endpoints::by_uid(&session, tenant, profile, uid)
                .await
                .expect("read");
            assert_eq!(found.map(|endpoint| endpoint.id), (count > 0).then_some(ids[0]));
        }
        assert_eq!(endpoints::count(&session, tenant).await.expect("read"), 4);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_with_its_secrets_and_what_waited_for_it_fails() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await;
        let session = db.session().await;
        let vault = vault();
        let secret = Profile::BuildWorkPro.generate_secret([1; 32]);
        let sealed = vault.seal(&secret, tenant, endpoint.id);
        let derivation = plumbline_domain::KeyDerivation::Literal;
        secrets::insert(
            &session,
            tenant,
            endpoint.id,
            &sealed,
            derivation,
            Timestamp::UNIX_EPOCH,
            None,
        )
        .await
        .expect("a secret");
        let (waiting, done) = (db.event(tenant).await, db.event(tenant).await);
        let outcomes = vec![
            attempted(&waiting, endpoint.id, 1, DeliveryStatus::Pending),
            attempted(&done, endpoint.id, 1, DeliveryStatus::Succeeded),
        ];
        deliveries::record(&session, &batch(outcomes))
            .await
            .expect("recorded");

        let change = db.begin().await;
        assert!(
            endpoints::delete(&change, tenant, endpoint.id)
                .await
                .expect("deleted")
        );
        assert_eq!(
            endpoints::settle_deleted(&change, tenant, endpoint.id, 10)
                .await
                .expect("settled"),
            1
        );
        change.commit().await.expect("committed");

        assert!(
            !endpoints::delete(&session, tenant, endpoint.id)
                .await
                .expect("asked again")
        );
        assert_eq!(
            endpoints::get(&session, tenant, endpoint.id).await.expect("read"),
            None
        );
        assert_eq!(
            endpoints::profile(&session, tenant, endpoint.id)
                .await
                .expect("read"),
            Some(endpoint.profile)
        );
        assert_eq!(db.number("SELECT count(*) FROM endpoint_secrets").await, 0);
        let settled = deliveries::get(&session, tenant, DeliveryId::derive(waiting.id, endpoint.id)).await;
        let settled = settled.expect("read").expect("there");
        assert_eq!(
            (settled.status, settled.error),
            (DeliveryStatus::Failed, Some(FailureCode::EndpointDeleted))
        );
        assert!(settled.completed_at.is_some() && settled.attempt_count == 1);
        let kept = deliveries::get(&session, tenant, DeliveryId::derive(done.id, endpoint.id)).await;
        assert_eq!(
            kept.expect("read").map(|delivery| delivery.status),
            Some(DeliveryStatus::Succeeded)
        );
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_has_the_disabled_but_not_the_deleted_and_only_live_secrets() {
    with_database(async |db: Database| {
        let (tenant, empty) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        let [active, disabled, deleted] = [
            db.endpoint(tenant).await,
            db.endpoint(tenant).await,
            db.endpoint(tenant).await,
        ];
        db.execute(&format!(
            "UPDATE endpoints SET disabled_reason = 'manual' WHERE id = {}",
            disabled.id
        ))
        .await;
        endpoints::delete(&session, tenant, deleted.id)
            .await
            .expect("deleted");
        let vault = vault();
        let derivation = plumbline_domain::KeyDerivation::Literal;
        let now = Timestamp::now();
        for (byte, activates_at, expires_at) in [
            (1, ago(900), Some(ago(600))),
            (2, ago(600), Some(in_seconds(60))),
            (3, in_seconds(60), None),
        ] {
            let sealed = vault.seal(
                &Profile::BuildWorkPro.generate_secret([byte; 32]),
                tenant,
                active.id,
            );
            secrets::insert(
                &session,
                tenant,
                active.id,
                &sealed,
                derivation,
                activates_at,
                expires_at,
            )
            .await
            .expect("a secret");
        }

        let snapshots = endpoints::snapshot(&session, &[tenant, empty])
            .await
            .expect("read");
        assert_eq!(snapshots.len(), 2);
        assert_eq!((snapshots[0].tenant, snapshots[0].version), (tenant, 3));
        assert_eq!(
            (
                snapshots[1].tenant,
                snapshots[1].version,
                snapshots[1].endpoints.len()
            ),
            (empty, 0, 0)
        );
        let ids: Vec<_> = snapshots[0]
            .endpoints
            .iter()
            .map(|found| found.endpoint.id)
            .collect();
        assert_eq!(ids, [active.id, disabled.id]);
        assert_eq!(
            snapshots[0].endpoints[1].endpoint.disabled,
            Some(DisabledReason::Manual)
        );
        let versions = snapshots[0].endpoints[0].open_secrets(&vault).expect("opened");
        let texts: Vec<_> = versions
            .iter()
            .map(|version| version.secret.expose().to_owned())
            .collect();
        assert_eq!(
            texts,
            [2, 3].map(|byte| format!("whsec_{}", format!("{byte:02x}").repeat(32)))
        );
        assert!(versions[0].activates_at <= now && versions[1].activates_at > now);
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_never_shows_an_endpoint_without_its_version() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let writer = async {
            for _ in 0..30 {
                db.endpoint(tenant).await;
            }
        };
        let reader = async {
            loop {
                let found = endpoints::snapshot(&session, &[tenant])
                    .await
                    .expect("read")
                    .remove(0);
                let newest = found
                    .endpoints
                    .iter()
                    .map(|found| found.endpoint.since_version)
                    .max();
                assert_eq!(newest.unwrap_or(0), found.version);
                if found.version == 30 {
                    return;
                }
            }
        };
        tokio::join!(writer, reader);
    })
    .await;
}

#[tokio::test]
async fn changes_of_a_tenants_endpoints_happen_one_after_the_other() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let first = db.begin().await;
        tenants::bump_endpoints_version(&first, tenant)
            .await
            .expect("bumped");
        let session = db.session().await;
        tenants::bump_endpoints_version(&session, other)
            .await
            .expect("a neighbour does not wait");
        let mut second = Box::pin(tenants::bump_endpoints_version(&session, tenant));
        assert!(
            tokio::time::timeout(Duration::from_millis(100), &mut second)
                .await
                .is_err()
        );
        first.commit().await.expect("committed");
        assert_eq!(second.await.expect("bumped"), Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_row_that_does_not_map_is_corrupt_and_shows_nothing() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let made = db.endpoint(tenant).await;
        let session = db.session().await;
        for (change, column) in [
            ("url = 'hunter2'", "url"),
            ("url = 'data:hunter2'", "url"),
            ("event_types = '{HUNTER2}'", "event_types"),
        ] {
            db.execute(&format!("UPDATE endpoints SET {change}")).await;
            let error = endpoints::get(&session, tenant, made.id).await.expect_err(change);
            assert!(
                matches!(&error, StoreError::Corrupt(what) if what.contains(column)),
                "{error:?}"
            );
            assert!(!format!("{error:?}").to_lowercase().contains("hunter2"));
            db.execute("UPDATE endpoints SET url = 'https://a.example.com/', event_types = NULL")
                .await;
        }
    })
    .await;
}
