//! Rotation: at every moment something signs, and never what was replaced.

use std::time::Duration;

use plumbline_domain::signing::Signer;
use plumbline_domain::{EndpointId, KeyDerivation, SecretVersion, SigningSecret, TenantId, Timestamp};
use plumbline_store::secrets::{self, MasterKey, Vault};
use plumbline_store::{Session, StoreError};

use crate::support::*;

const NONE: Duration = Duration::ZERO;

struct Rotation {
    session: Session,
    tenant: TenantId,
    endpoint: EndpointId,
    vault: Vault,
    now: Timestamp,
}

impl Rotation {
    async fn begin(db: &Database) -> Self {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let vault = Vault::new(&[MasterKey {
            id: "k".to_owned(),
            key: [1; 32],
        }])
        .expect("a vault");
        let this = Self {
            session: db.session().await,
            tenant,
            endpoint,
            vault,
            now: micros(Timestamp::now()),
        };
        let sealed = this.seal("first");
        let from = Timestamp::UNIX_EPOCH;
        secrets::insert(
            &this.session,
            tenant,
            endpoint,
            &sealed,
            KeyDerivation::Literal,
            from,
            None,
        )
        .await
        .expect("inserted");
        this
    }

    fn seal(&self, text: &str) -> secrets::Sealed {
        self.vault.seal(
            &SigningSecret::from_text(text.to_owned()),
            self.tenant,
            self.endpoint,
        )
    }

    /// So many seconds after `now`.
    fn at(&self, seconds: u64) -> Timestamp {
        self.now + Duration::from_secs(seconds)
    }

    async fn rotate(&self, text: &str, now: u64, at: u64, overlap: Duration) {
        let sealed = self.seal(text);
        let derivation = KeyDerivation::Literal;
        let (now, at) = (self.at(now), self.at(at));
        secrets::replace_active(
            &self.session,
            self.tenant,
            self.endpoint,
            &sealed,
            derivation,
            now,
            at,
            overlap,
        )
        .await
        .expect("rotated");
    }

    async fn versions(&self) -> Vec<SecretVersion> {
        let rows = secrets::of_endpoint(&self.session, self.tenant, self.endpoint)
            .await
            .expect("read");
        rows.iter()
            .map(|row| row.open(&self.vault, self.tenant, self.endpoint).expect("opens"))
            .collect()
    }

    /// Which secrets sign at a moment, the newest first.
    async fn signing(&self, seconds: u64) -> Vec<String> {
        let at = self.at(seconds);
        let versions = self.versions().await;
        assert!(
            Signer::new(&versions).expect("decodable").can_sign(at),
            "something signs at {seconds}"
        );
        versions
            .iter()
            .rev()
            .filter(|version| version.activates_at <= at && version.expires_at.is_none_or(|until| at < until))
            .map(|version| version.secret.expose().to_owned())
            .collect()
    }
}

#[tokio::test]
async fn an_immediate_rotation_replaces_at_once() {
    with_database(async |db: Database| {
        let rotation = Rotation::begin(&db).await;
        rotation.rotate("second", 10, 10, NONE).await;
        assert_eq!(rotation.signing(9).await, ["first"]);
        assert_eq!(rotation.signing(10).await, ["second"]);
    })
    .await;
}

#[tokio::test]
async fn an_overlap_lets_both_sign_for_a_while() {
    with_database(async |db: Database| {
        let rotation = Rotation::begin(&db).await;
        rotation.rotate("second", 10, 10, Duration::from_secs(100)).await;
        assert_eq!(rotation.signing(109).await, ["second", "first"]);
        assert_eq!(rotation.signing(110).await, ["second"]);
        // Another rotation within the overlap does not prolong the first secret's life.
        rotation.rotate("third", 50, 50, Duration::from_secs(100)).await;
        assert_eq!(rotation.signing(60).await, ["third", "second", "first"]);
        assert_eq!(rotation.signing(120).await, ["third", "second"]);
        assert_eq!(rotation.signing(150).await, ["third"]);
    })
    .await;
}

#[tokio::test]
async fn a_prepared_secret_takes_over_at_its_moment() {
    with_database(async |db: Database| {
        let rotation = Rotation::begin(&db).await;
        rotation.rotate("second", 0, 100, NONE).await;
        assert_eq!(rotation.signing(99).await, ["first"]);
        assert_eq!(rotation.signing(100).await, ["second"]);
        let prepared = secrets::prepared(
            &rotation.session,
            rotation.tenant,
            rotation.endpoint,
            rotation.at(0),
        )
        .await;
        assert_eq!(
            prepared.expect("read").map(|secret| secret.activates_at),
            Some(rotation.at(100))
        );
        let prepared = secrets::prepared(
            &rotation.session,
            rotation.tenant,
            rotation.endpoint,
            rotation.at(100),
        )
        .await;
        assert_eq!(prepared.expect("read"), None, "it is the current one now");
    })
    .await;
}

#[tokio::test]
async fn a_later_preparation_replaces_the_first_without_a_gap() {
    with_database(async |db: Database| {
        let rotation = Rotation::begin(&db).await;
        rotation.rotate("second", 0, 100, NONE).await;
        rotation.rotate("third", 50, 200, NONE).await;
        assert_eq!(rotation.versions().await.len(), 2);
        assert_eq!(rotation.signing(150).await, ["first"]);
        assert_eq!(rotation.signing(200).await, ["third"]);
        rotation.rotate("fourth", 60, 60, NONE).await;
        assert_eq!(
            rotation.signing(60).await,
            ["fourth"],
            "an immediate rotation drops the prepared one"
        );
        assert_eq!(rotation.signing(300).await, ["fourth"]);
    })
    .await;
}

#[tokio::test]
async fn a_prepared_secret_may_be_activated_early() {
    with_database(async |db: Database| {
        let rotation = Rotation::begin(&db).await;
        let Rotation {
            session,
            tenant,
            endpoint,
            ..
        } = &rotation;
        let activate = async |at: u64| {
            secrets::activate_prepared(session, *tenant, *endpoint, rotation.at(at), NONE)
                .await
                .expect("asked")
        };
        assert!(!activate(0).await, "none is prepared");
        rotation.rotate("second", 0, 100, NONE).await;
        assert!(activate(10).await);
        assert_eq!(rotation.signing(9).await, ["first"]);
        assert_eq!(rotation.signing(10).await, ["second"]);
        assert!(!activate(11).await, "it is current already");
        assert_eq!(rotation.signing(200).await, ["second"]);
    })
    .await;
}

#[tokio::test]
async fn secrets_are_the_tenants_own_and_expired_ones_are_wiped() {
    with_database(async |db: Database| {
        let rotation = Rotation::begin(&db).await;
        rotation.rotate("second", 0, 0, NONE).await;
        let other = db.tenant().await;
        let Rotation {
            session, endpoint, ..
        } = &rotation;
        assert_eq!(
            secrets::of_endpoint(session, other, *endpoint)
                .await
                .expect("read"),
            []
        );
        assert!(
            !secrets::delete_prepared(session, other, *endpoint, Timestamp::UNIX_EPOCH)
                .await
                .expect("asked")
        );
        let moved = rotation.versions().await;
        assert_eq!(moved.len(), 2);

        assert_eq!(
            secrets::delete_expired(session, rotation.at(86_399))
                .await
                .expect("asked"),
            0
        );
        assert_eq!(
            secrets::delete_expired(session, rotation.at(86_401))
                .await
                .expect("wiped"),
            1
        );
        assert_eq!(rotation.signing(0).await, ["second"]);
        let sealed = rotation.seal("x");
        let backwards = secrets::insert(
            session,
            rotation.tenant,
            *endpoint,
            &sealed,
            KeyDerivation::Base64,
            rotation.at(1),
            Some(rotation.at(0)),
        );
        assert!(matches!(backwards.await, Err(StoreError::Other(_))));
    })
    .await;
}
