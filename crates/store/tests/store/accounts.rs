//! Tenants, API keys, users and the event catalogue.

use plumbline_domain::{AllowedIps, EventType, JsonText, Profile, Role, Scope, Scopes, TenantId};
use plumbline_store::api_keys::NewApiKey;
use plumbline_store::event_types::NewEventType;
use plumbline_store::{StoreError, api_keys, event_types, tenants, users};

use crate::support::*;

fn event_type(name: &str) -> EventType {
    name.parse().expect("a type")
}

fn own(name: &str) -> NewEventType {
    NewEventType {
        name: event_type(name),
        description: Some("Ours.".to_owned()),
        schema: Some(JsonText::from_valid(r#"{"const": "\u0000", "n": 1e400}"#)),
        example: None,
    }
}

#[tokio::test]
async fn each_change_of_a_tenants_endpoints_makes_one_version() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        for version in 1..=3 {
            assert_eq!(
                tenants::bump_endpoints_version(&session, tenant)
                    .await
                    .expect("bumped"),
                Some(version)
            );
        }
        let nobody = TenantId(999);
        assert_eq!(
            tenants::bump_endpoints_version(&session, nobody)
                .await
                .expect("asked"),
            None
        );
        let mut versions = tenants::endpoints_versions(&session, &[tenant, other, nobody])
            .await
            .expect("read");
        versions.sort_unstable();
        assert_eq!(versions, [(tenant, 3), (other, 0)]);
        assert_eq!(
            tenants::get(&session, tenant)
                .await
                .expect("read")
                .map(|t| t.name)
                .as_deref(),
            Some("Acme")
        );
        assert_eq!(tenants::get(&session, nobody).await.expect("read"), None);
    })
    .await;
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_until_it_is_revoked() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let new = NewApiKey {
            name: "ci".to_owned(),
            scopes: Scopes::Some([Scope::EventsRead, Scope::EventsWrite].into()),
            allowed_ips: AllowedIps::default(),
            hash: [7; 32],
            hint: "plk_live_…abcd".to_owned(),
        };
        let id = api_keys::create(&session, tenant, &new).await.expect("a key").id;
        let found = api_keys::by_hash(&session, &[7; 32])
            .await
            .expect("read")
            .expect("found");
        assert_eq!((found.id, found.tenant, &found.scopes), (id, tenant, &new.scopes));
        assert!(found.allowed_ips.is_empty());
        assert_eq!(api_keys::by_hash(&session, &[8; 32]).await.expect("read"), None);

        db.execute("UPDATE api_keys SET allowed_ips = '{10.1.0.0/16, 2001:db8::1}'")
            .await;
        let found = api_keys::by_hash(&session, &[7; 32])
            .await
            .expect("read")
            .expect("found");
        for (address, allowed) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(
                found.allowed_ips.contains(&address.parse().expect("an address")),
                allowed,
                "{address}"
            );
        }

        db.execute("UPDATE api_keys SET revoked_at = now()").await;
        assert_eq!(api_keys::by_hash(&session, &[7; 32]).await.expect("read"), None);
    })
    .await;
}

#[tokio::test]
async fn an_unknown_scope_in_a_row_is_corrupt_never_ignored() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let session = db.session().await;
        let new = NewApiKey {
            name: "k".to_owned(),
            scopes: Scopes::All,
            allowed_ips: AllowedIps::default(),
            hash: [1; 32],
            hint: String::new(),
        };
        api_keys::create(&session, tenant, &new).await.expect("a key");
        db.execute("UPDATE api_keys SET scopes = '{everything}'").await;
        let error = api_keys::by_hash(&session, &[1; 32]).await.expect_err("corrupt");
        assert!(
            matches!(&error, StoreError::Corrupt(column) if column.contains("scopes")),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_address_belongs_to_one_user_in_all_tenants() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        users::create(&session, tenant, "a@example.com", Role::Member, "hash")
            .await
            .expect("a user");
        let again = users::create(&session, other, "a@example.com", Role::CompanyAdmin, "hash").await;
        assert!(matches!(again, Err(StoreError::Conflict { .. })));
    })
    .await;
}

#[tokio::test]
async fn the_catalogue_is_the_products_types_and_the_tenants_own() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.session().await;
        let made = event_types::create(&session, tenant, &own("invoice.paid"))
            .await
            .expect("a type");
        assert!(made.own);
        assert_eq!(
            made.schema.as_deref(),
            Some(r#"{"const": "\u0000", "n": 1e400}"#),
            "byte for byte"
        );

        let list = |tenant, after: Option<&'static str>, limit| {
            let session = &session;
            async move {
                let types = event_types::list(session, tenant, Profile::BuildWorkPro, after, limit)
                    .await
                    .expect("read");
                types
                    .into_iter()
                    .map(|record| (record.name.to_string(), record.own))
                    .collect::<Vec<_>>()
            }
        };
        let all = list(tenant, None, 100).await;
        assert_eq!(all.len(), 11);
        assert!(all.is_sorted() && all.contains(&("invoice.paid".to_owned(), true)));
        assert_eq!(list(other, None, 100).await.len(), 10, "not the neighbour's");
        assert_eq!(
            list(tenant, Some("invoice.paid"), 1).await,
            [("pay_app.approved".to_owned(), false)]
        );

        let names = event_types::known(&session, tenant).await.expect("read");
        let of = |name: &str| -> Vec<Option<Profile>> {
            let of = names.iter().filter(|known| known.name == event_type(name));
            of.map(|known| known.profile).collect()
        };
        assert_eq!(of("invoice.paid"), [None]);
        assert_eq!(of("bid.created"), [Some(Profile::BuildWorkPro)]);
        assert_eq!(of("order.filled"), [Some(Profile::Buildmarkets)]);
        assert_eq!(
            of("contact.created"),
            [Some(Profile::Buildr), Some(Profile::BuildWorkPro)]
        );
        assert_eq!(of("no.such"), []);
        let neighbours = event_types::known(&session, other).await.expect("read");
        assert_eq!(neighbours.len(), names.len() - 1);
        for (profile, count) in [(Profile::Buildr, 8), (Profile::Buildmarkets, 13)] {
            let types = event_types::list(&session, other, profile, None, 100)
                .await
                .expect("read");
            assert_eq!(types.len(), count);
        }
    })
    .await;
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_and_leaves_the_transaction_usable() {
    with_database(async |db: Database| {
        let (tenant, other) = (db.tenant().await, db.tenant().await);
        let session = db.begin().await;
        event_types::create(&session, tenant, &own("invoice.paid"))
            .await
            .expect("a type");
        for name in ["invoice.paid", "bid.created"] {
            let again = event_types::create(&session, tenant, &own(name)).await;
            assert!(matches!(again, Err(StoreError::Conflict { .. })), "{name}");
        }
        event_types::create(&session, other, &own("invoice.paid"))
            .await
            .expect("the neighbour's own");
        session.commit().await.expect("committed");
    })
    .await;
}
