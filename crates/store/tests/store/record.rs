//! The hot statement: compare, set, log, complete, count.

use plumbline_domain::DeliveryStatus::{Exhausted, Failed, Pending, Skipped, Succeeded};
use plumbline_domain::health::{HealthRun, News};
use plumbline_domain::{
    Delivery, DeliveryId, DeliveryKind, DeliveryStatus, DisabledReason, EndpointId, Event, FailureCode,
    Timestamp,
};
use plumbline_store::deliveries::{self, Disabled, RecordBatch, RecordedAttempt, RecordedBatch};
use plumbline_store::{endpoints, outbox, tenants};

use crate::support::*;

async fn record(db: &Database, batch: &RecordBatch) -> RecordedBatch {
    deliveries::record(&db.session().await, batch)
        .await
        .expect("recorded")
}

async fn stored(db: &Database, outcome: &RecordedAttempt) -> Option<Delivery> {
    deliveries::get(&db.session().await, outcome.tenant, outcome.delivery)
        .await
        .expect("read")
}

/// One outcome alone: whether it applied, and how the delivery stands then.
async fn step(db: &Database, outcome: &RecordedAttempt) -> (bool, DeliveryStatus, u16, Option<Timestamp>) {
    let done = record(db, &batch(vec![outcome.clone()])).await;
    let recorded = &done.outcomes[0];
    let row = stored(db, outcome).await.expect("there");
    assert_eq!(
        (recorded.status, recorded.attempt_count, recorded.next_attempt_at),
        (row.status, row.attempt_count, row.next_attempt_at),
        "what is told is what is stored"
    );
    (
        recorded.applied,
        row.status,
        row.attempt_count,
        row.next_attempt_at,
    )
}

async fn attempts(db: &Database, outcome: &RecordedAttempt) -> Vec<u16> {
    let found = deliveries::attempts(&db.session().await, outcome.tenant, outcome.delivery)
        .await
        .expect("read");
    found.into_iter().map(|attempt| attempt.number).collect()
}

struct Scene {
    event: Event,
    endpoint: EndpointId,
}

impl Scene {
    async fn set(db: &Database) -> Self {
        let tenant = db.tenant().await;
        Self {
            endpoint: db.endpoint(tenant).await.id,
            event: db.event(tenant).await,
        }
    }

    fn attempted(&self, number: u16, status: DeliveryStatus) -> RecordedAttempt {
        attempted(&self.event, self.endpoint, number, status)
    }

    fn unattempted(&self, number: u16, status: DeliveryStatus) -> RecordedAttempt {
        unattempted(&self.event, self.endpoint, number, status)
    }
}

#[tokio::test]
async fn a_success_writes_the_delivery_its_attempt_and_completes_the_outbox_row() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let outcome = scene.attempted(1, Succeeded);
        let batch = RecordBatch {
            completed: vec![(scene.event.id, 0)],
            ..batch(vec![outcome.clone()])
        };
        let done = record(&db, &batch).await;
        assert!(done.outcomes[0].applied && done.disabled.is_empty());
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 0);

        let row = stored(&db, &outcome).await.expect("there");
        let expected = Delivery {
            id: outcome.delivery,
            tenant: scene.event.tenant,
            event: scene.event.id,
            event_type: scene.event.event_type.clone(),
            endpoint: scene.endpoint,
            kind: DeliveryKind::Event,
            status: Succeeded,
            attempt_count: 1,
            next_attempt_at: None,
            response_status: Some(200),
            error: None,
            created_at: outcome.created_at,
            completed_at: row.completed_at,
            replay_of: None,
        };
        assert_eq!(row, expected);
        assert!(row.completed_at >= Some(row.created_at));
        let session = db.session().await;
        let logged = deliveries::attempts(&session, outcome.tenant, outcome.delivery)
            .await
            .expect("read");
        let attempt = outcome.attempt.as_ref().expect("an attempt");
        assert_eq!(logged.len(), 1);
        assert_eq!(
            (logged[0].number, logged[0].started_at, logged[0].duration_ms),
            (1, attempt.started_at, 12)
        );
        assert_eq!(logged[0].request_headers, attempt.request_headers);
        assert!(logged[0].timing.is_some());
        assert_eq!(logged[0].timing, attempt.timing);
        assert_eq!(
            (logged[0].response_status, &logged[0].response_body),
            (Some(200), &attempt.response_body)
        );
        let neighbour = db.tenant().await;
        assert_eq!(
            deliveries::get(&session, neighbour, outcome.delivery)
                .await
                .expect("read"),
            None
        );
        assert_eq!(
            deliveries::attempts(&session, neighbour, outcome.delivery)
                .await
                .expect("read"),
            []
        );
    })
    .await;
}

#[tokio::test]
async fn a_delivery_moves_on_and_never_back() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let (first, second) = (scene.attempted(1, Pending), scene.attempted(2, Pending));
        let third = scene.attempted(3, Exhausted);
        let (one, two) = (first.next_attempt_at, second.next_attempt_at);

        assert_eq!(step(&db, &first).await, (true, Pending, 1, one));
        assert_eq!(step(&db, &first).await, (false, Pending, 1, one), "repeated");
        assert_eq!(
            step(&db, &scene.attempted(1, Succeeded)).await,
            (false, Pending, 1, one),
            "twice the same number"
        );
        assert_eq!(step(&db, &second).await, (true, Pending, 2, two));
        assert_eq!(step(&db, &first).await, (false, Pending, 2, two), "late");
        assert_eq!(step(&db, &third).await, (true, Exhausted, 3, None));
        for late in [
            &first,
            &second,
            &third,
            &scene.attempted(4, Succeeded),
            &scene.attempted(4, Pending),
        ] {
            assert_eq!(
                step(&db, late).await,
                (false, Exhausted, 3, None),
                "settled is settled"
            );
        }
        assert_eq!(attempts(&db, &first).await, [1, 2, 3]);
        let row = stored(&db, &first).await.expect("there");
        assert_eq!(row.created_at, first.created_at, "kept from the first record");
    })
    .await;
}

#[tokio::test]
async fn a_deferral_uses_no_attempt_and_only_moves_forward() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let deferred = |number, seconds| RecordedAttempt {
            next_attempt_at: Some(in_seconds(seconds)),
            ..scene.unattempted(number, Pending)
        };
        let first = deferred(1, 10);
        let later = deferred(1, 20);
        assert_eq!(
            step(&db, &first).await,
            (true, Pending, 0, first.next_attempt_at),
            "written before any attempt"
        );
        assert_eq!(step(&db, &later).await, (true, Pending, 0, later.next_attempt_at));
        assert_eq!(
            step(&db, &later).await,
            (false, Pending, 0, later.next_attempt_at),
            "repeated"
        );
        assert_eq!(
            step(&db, &first).await,
            (false, Pending, 0, later.next_attempt_at),
            "late"
        );
        assert_eq!(
            step(&db, &deferred(2, 99)).await,
            (false, Pending, 0, later.next_attempt_at),
            "another attempt's"
        );

        let attempt = scene.attempted(1, Pending);
        assert_eq!(
            step(&db, &attempt).await,
            (true, Pending, 1, attempt.next_attempt_at)
        );
        assert_eq!(
            step(&db, &deferred(1, 999)).await,
            (false, Pending, 1, attempt.next_attempt_at),
            "late"
        );
        let again = deferred(2, 500);
        assert_eq!(step(&db, &again).await, (true, Pending, 1, again.next_attempt_at));
        let row = stored(&db, &attempt).await.expect("there");
        assert_eq!(row.response_status, Some(503), "the last answer stays");
        assert_eq!(attempts(&db, &attempt).await, [1]);

        assert_eq!(
            step(&db, &scene.attempted(2, Succeeded)).await,
            (true, Succeeded, 2, None)
        );
        assert_eq!(step(&db, &deferred(3, 999)).await, (false, Succeeded, 2, None));
    })
    .await;
}

#[tokio::test]
async fn a_delivery_may_end_without_an_attempt() {
    with_database(async |db: Database| {
        let ended = |outcome: RecordedAttempt, error| RecordedAttempt {
            error: Some(error),
            ..outcome
        };
        let skipped = Scene::set(&db).await.unattempted(1, Skipped);
        assert_eq!(step(&db, &skipped).await, (true, Skipped, 0, None));
        assert_eq!(step(&db, &skipped).await, (false, Skipped, 0, None));

        let scene = Scene::set(&db).await;
        let deleted = ended(scene.unattempted(1, Failed), FailureCode::EndpointDeleted);
        assert_eq!(
            step(&db, &deleted).await,
            (true, Failed, 0, None),
            "without ever having been written"
        );

        let scene = Scene::set(&db).await;
        let attempt = scene.attempted(1, Pending);
        step(&db, &attempt).await;
        let disabled = ended(scene.unattempted(2, Failed), FailureCode::EndpointDisabled);
        assert_eq!(
            step(&db, &disabled).await,
            (true, Failed, 1, None),
            "when the retry came due"
        );
        let row = stored(&db, &disabled).await.expect("there");
        assert_eq!(
            (row.error, row.completed_at.is_some()),
            (Some(FailureCode::EndpointDisabled), true)
        );
        assert_eq!(
            step(&db, &scene.attempted(2, Succeeded)).await,
            (false, Failed, 1, None)
        );

        let scene = Scene::set(&db).await;
        step(&db, &scene.attempted(1, Pending)).await;
        step(&db, &scene.attempted(2, Pending)).await;
        let stale = ended(scene.unattempted(2, Failed), FailureCode::EndpointDisabled);
        assert!(
            !step(&db, &stale).await.0,
            "a stale message does not end what moved on"
        );
    })
    .await;
}

#[tokio::test]
async fn everything_of_a_batch_is_written_together_in_the_order_given() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let mut outcomes = vec![];
        let mut completed = vec![];
        for index in 0..256_u32 {
            let event = db.event(tenant).await;
            completed.push((event.id, 0));
            outcomes.push(match index % 4 {
                0 => attempted(&event, endpoint, 1, Succeeded),
                1 => attempted(&event, endpoint, 1, Pending),
                2 => unattempted(&event, endpoint, 1, Skipped),
                _ => unattempted(&event, endpoint, 1, Pending),
            });
        }
        let health = vec![(tenant, endpoint, run(&[true, false]))];
        let batch = RecordBatch {
            completed,
            health,
            ..batch(outcomes.clone())
        };
        let done = record(&db, &batch).await;
        assert_eq!(done.outcomes.len(), 256);
        for (outcome, recorded) in outcomes.iter().zip(&done.outcomes) {
            assert_eq!(
                (recorded.delivery, recorded.status, recorded.applied),
                (outcome.delivery, outcome.status, true)
            );
        }
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 0);
        assert_eq!(db.number("SELECT count(*) FROM delivery_attempts").await, 128);

        let again = record(&db, &batch).await;
        assert!(
            again.outcomes.iter().all(|recorded| !recorded.applied),
            "a repetition is harmless"
        );
        assert_eq!(db.number("SELECT count(*) FROM delivery_attempts").await, 128);
        assert_eq!(
            db.number("SELECT consecutive_failures::bigint FROM endpoints")
                .await,
            1,
            "counted once"
        );
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_batch_is_written_when_a_part_fails() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        // An id from a day that has no partition.
        let lost = Event {
            id: plumbline_domain::EventId::new(ago(400 * 86_400), [1; 10]),
            ..scene.event.clone()
        };
        let batch = RecordBatch {
            completed: vec![(scene.event.id, 0)],
            ..batch(vec![
                scene.attempted(1, Succeeded),
                attempted(&lost, scene.endpoint, 1, Succeeded),
            ])
        };
        deliveries::record(&db.session().await, &batch)
            .await
            .expect_err("no partition");
        assert_eq!(db.number("SELECT count(*) FROM deliveries").await, 0);
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_may_appear_twice_in_a_batch() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let outcomes = vec![
            scene.attempted(1, Pending),
            scene.attempted(1, Pending),
            scene.attempted(2, Succeeded),
        ];
        let batch = RecordBatch {
            completed: vec![(scene.event.id, 0)],
            health: vec![(scene.event.tenant, scene.endpoint, run(&[false]))],
            ..batch(outcomes.clone())
        };
        let done = record(&db, &batch).await;
        assert_eq!(
            done.outcomes
                .iter()
                .map(|recorded| recorded.applied)
                .collect::<Vec<_>>(),
            [true, false, true]
        );
        assert!(
            done.outcomes.iter().all(|recorded| recorded.status == Succeeded),
            "how it stands afterwards"
        );
        assert_eq!(attempts(&db, &outcomes[0]).await, [1, 2]);
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 0);
        assert_eq!(
            db.number("SELECT consecutive_failures::bigint FROM endpoints")
                .await,
            1
        );
    })
    .await;
}

#[tokio::test]
async fn an_empty_batch_and_one_of_outbox_rows_only_are_fine() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        assert_eq!(
            record(&db, &RecordBatch::default()).await,
            RecordedBatch::default()
        );
        record(
            &db,
            &RecordBatch {
                completed: vec![(scene.event.id, 0)],
                ..RecordBatch::default()
            },
        )
        .await;
        assert_eq!(db.number("SELECT count(*) FROM outbox").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_hostile_answer_does_not_fail_the_batch() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let mut outcome = scene.attempted(1, Exhausted);
        outcome.response_status = None;
        let attempt = outcome.attempt.as_mut().expect("an attempt");
        attempt.response_headers = Some("[[\"x\",\"\0\"]]".to_owned());
        attempt.response_body = Some(vec![0; 100_000].into());
        attempt.error_code = Some(FailureCode::BadResponse);
        attempt.error_message = Some("ü\0".repeat(5_000));
        attempt.duration_ms = u32::MAX;
        assert!(step(&db, &outcome).await.0);
    })
    .await;
}

#[tokio::test]
async fn concurrent_records_of_one_delivery_apply_once_and_do_not_deadlock() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        for _ in 0..5 {
            let mut outcomes = vec![];
            for _ in 0..20 {
                outcomes.push(attempted(&db.event(tenant).await, endpoint, 1, Pending));
            }
            let mut reversed = outcomes.clone();
            reversed.reverse();
            let health = vec![(tenant, endpoint, run(&[false; 20]))];
            let batches = [outcomes, reversed].map(|outcomes| RecordBatch {
                health: health.clone(),
                disable_after: 0,
                ..batch(outcomes)
            });
            let (one, two) = tokio::join!(record(&db, &batches[0]), record(&db, &batches[1]));
            let applied =
                |done: &RecordedBatch| done.outcomes.iter().filter(|recorded| recorded.applied).count();
            assert_eq!(applied(&one) + applied(&two), 20);
            assert!(
                one.outcomes
                    .iter()
                    .chain(&two.outcomes)
                    .all(|recorded| recorded.attempt_count == 1)
            );
        }
    })
    .await;
}

fn run(results: &[bool]) -> HealthRun {
    let mut run = HealthRun::default();
    results.iter().for_each(|result| run.push(*result));
    run
}

#[tokio::test]
async fn health_in_sql_is_health_in_the_domain() {
    with_database(async |db: Database| {
        let tenant = db.tenant().await;
        let endpoint = db.endpoint(tenant).await.id;
        let session = db.session().await;
        for round in 0..300_u32 {
            let stored = rand::random_range(0..12_u32);
            let threshold = [0, 1, 3, 5, 10][rand::random_range(0..5_usize)];
            let results: Vec<bool> = (0..rand::random_range(1..12))
                .map(|_| rand::random_bool(f64::from(round % 4) / 4.0))
                .collect();
            let active = rand::random_bool(0.8);
            let reason = if active { "NULL" } else { "'manual'" };
            db.execute(&format!(
                "UPDATE endpoints SET consecutive_failures = {stored}, disabled_reason = {reason};
                DELETE FROM events; DELETE FROM outbox"
            ))
            .await;
            let version = tenants::endpoints_versions(&session, &[tenant])
                .await
                .expect("read")[0]
                .1;

            let event = db.event(tenant).await;
            let batch = RecordBatch {
                health: vec![(tenant, endpoint, run(&results))],
                disable_after: threshold,
                ..batch(vec![attempted(&event, endpoint, 1, Succeeded)])
            };
            let done = record(&db, &batch).await;

            let judged = run(&results).apply(stored, threshold);
            let (count, reached) = (judged.failures, judged.news == Some(News::Disabled));
            let now = endpoints::get(&session, tenant, endpoint)
                .await
                .expect("read")
                .expect("there");
            let context = format!("{stored} {results:?} {threshold} {active}");
            assert_eq!(now.consecutive_failures, count, "{context}");
            let newly = reached && active;
            let disabled = match (active, newly) {
                (false, _) => Some(DisabledReason::Manual),
                (true, true) => Some(DisabledReason::ConsecutiveFailures),
                (true, false) => None,
            };
            assert_eq!(now.disabled, disabled, "{context}");
            let told = Disabled {
                tenant,
                endpoint,
                reason: DisabledReason::ConsecutiveFailures,
            };
            assert_eq!(
                done.disabled,
                if newly { vec![told] } else { vec![] },
                "{context}"
            );
            let bumped = tenants::endpoints_versions(&session, &[tenant])
                .await
                .expect("read")[0]
                .1;
            assert_eq!(bumped, version + i64::from(newly), "{context}");
            assert_eq!(now.version, 1, "not a change by the customer");
            let news = match judged.news.filter(|_| active) {
                Some(News::Disabled) => vec!["endpoint.disabled"],
                Some(News::Failing) => vec!["endpoint.failing"],
                None => vec![],
            };
            assert_eq!(told_types(&db).await, news, "{context}");
        }
    })
    .await;
}

/// The types of the operational events that wait for the relay, the oldest first.
async fn told_types(db: &Database) -> Vec<String> {
    let waiting = outbox::unsent(&db.session().await, at_most(100))
        .await
        .expect("read");
    waiting
        .iter()
        .map(|row| row.event.event_type.to_string())
        .collect()
}

#[tokio::test]
async fn what_disables_an_endpoint_tells_of_it_in_the_same_statement_and_once() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let tenant = scene.event.tenant;
        let failed = |number, health: &[bool]| {
            let mut outcome = scene.attempted(number, Pending);
            outcome.response_status = None;
            outcome.error = Some(FailureCode::Timeout);
            let attempt = outcome.attempt.as_mut().expect("an attempt");
            (attempt.error_code, attempt.response_headers) = (Some(FailureCode::Timeout), None);
            RecordBatch {
                health: vec![(tenant, scene.endpoint, run(health))],
                disable_after: 4,
                ..batch(vec![outcome])
            }
        };
        record(&db, &failed(1, &[false])).await;
        assert_eq!(told_types(&db).await, Vec::<String>::new());
        let since = "SELECT floor(extract(epoch FROM failing_since))::bigint FROM endpoints";
        let began = db.number(since).await;

        // What cannot be recorded tells nothing either.
        let lost = Event {
            id: plumbline_domain::EventId::new(ago(400 * 86_400), [1; 10]),
            ..scene.event.clone()
        };
        let mut refused = failed(2, &[false]);
        refused
            .outcomes
            .push(attempted(&lost, scene.endpoint, 1, Succeeded));
        let session = db.session().await;
        deliveries::record(&session, &refused)
            .await
            .expect_err("no partition");
        assert_eq!(told_types(&db).await, Vec::<String>::new());

        record(&db, &failed(2, &[false])).await;
        record(&db, &failed(2, &[false])).await;
        record(&db, &failed(3, &[false])).await;
        assert_eq!(told_types(&db).await, ["endpoint.failing"], "once for the row");
        let version = tenants::endpoints_versions(&session, &[tenant])
            .await
            .expect("read")[0]
            .1;
        let done = record(&db, &failed(4, &[false])).await;
        assert_eq!(done.disabled.len(), 1);
        record(&db, &failed(4, &[false])).await;
        assert_eq!(told_types(&db).await, ["endpoint.failing", "endpoint.disabled"]);
        assert_eq!(
            db.number(since).await,
            began,
            "since the first failure of the row"
        );
        assert_eq!(db.number("SELECT count(disabled_at) FROM endpoints").await, 1);

        let told = outbox::unsent(&session, at_most(10)).await.expect("read");
        let data = |index: usize, member: &str| told[index].event.data.member(member).expect("a member");
        assert_eq!(
            (told[0].event.endpoints_version, told[1].event.endpoints_version),
            (version, version + 1),
            "who gets it knows that the endpoint is disabled"
        );
        assert_eq!(told[1].event.tenant, tenant);
        let id = scene.endpoint.to_string();
        // A query may hold a password.
        let url = r#""https://hooks.example.com/in""#;
        let reason = r#""consecutive_failures""#;
        for (member, was, is) in [
            ("id", id.as_str(), id.as_str()),
            ("url", url, url),
            ("isActive", "true", "false"),
            ("reason", reason, reason),
            ("consecutiveFailures", "2", "4"),
            ("disableAfter", "4", "4"),
            ("lastResponseStatus", "null", "null"),
            ("lastError", r#""timeout""#, r#""timeout""#),
        ] {
            assert_eq!((data(0, member), data(1, member)), (was, is), "{member}");
        }
        let since: Timestamp = data(1, "failingSince")
            .trim_matches('"')
            .parse()
            .expect("RFC 3339");
        assert_eq!(since.as_second(), began);

        // Enabled, it starts anew.
        let mut endpoint = endpoints::get(&session, tenant, scene.endpoint)
            .await
            .expect("read")
            .expect("there");
        (endpoint.disabled, endpoint.consecutive_failures) = (None, 0);
        endpoints::update(&session, &endpoint).await.expect("enabled");
        let forgotten = "SELECT count(disabled_at) + count(failing_since) FROM endpoints";
        assert_eq!(db.number(forgotten).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_healthy_endpoint_that_succeeds_is_neither_written_nor_locked() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        db.execute("BEGIN; UPDATE endpoints SET description = 'locked'")
            .await;
        let batch = RecordBatch {
            health: vec![(scene.event.tenant, scene.endpoint, run(&[true, true]))],
            ..batch(vec![scene.attempted(1, Succeeded)])
        };
        let done = tokio::time::timeout(std::time::Duration::from_secs(2), record(&db, &batch)).await;
        assert!(done.expect("does not wait").outcomes[0].applied);
        db.execute("ROLLBACK").await;
    })
    .await;
}

#[tokio::test]
async fn gone_disables_an_active_endpoint_once() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let tenant = scene.event.tenant;
        let batch = RecordBatch {
            health: vec![(tenant, scene.endpoint, run(&[false]))],
            gone: vec![(tenant, scene.endpoint)],
            ..batch(vec![scene.attempted(1, Failed)])
        };
        let told = Disabled {
            tenant,
            endpoint: scene.endpoint,
            reason: DisabledReason::Gone,
        };
        assert_eq!(record(&db, &batch).await.disabled, [told]);
        assert_eq!(told_types(&db).await, ["endpoint.disabled"]);
        let now = async || {
            let session = db.session().await;
            endpoints::get(&session, tenant, scene.endpoint)
                .await
                .expect("read")
                .expect("there")
        };
        assert_eq!(
            (now().await.disabled, now().await.consecutive_failures),
            (Some(DisabledReason::Gone), 1)
        );

        // The customer enables it again; then the same statement arrives once more.
        db.execute("UPDATE endpoints SET disabled_reason = NULL, consecutive_failures = 0")
            .await;
        assert_eq!(record(&db, &batch).await.disabled, []);
        assert_eq!(
            (now().await.disabled, now().await.consecutive_failures),
            (None, 0)
        );
    })
    .await;
}

#[tokio::test]
async fn a_run_counts_only_for_its_own_tenants_live_endpoint() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let neighbour = Scene::set(&db).await;
        let batch = RecordBatch {
            health: vec![
                (scene.event.tenant, neighbour.endpoint, run(&[false])),
                (scene.event.tenant, scene.endpoint, run(&[false])),
            ],
            disable_after: 1,
            ..batch(vec![scene.attempted(1, Pending)])
        };
        endpoints::delete(&db.session().await, scene.event.tenant, scene.endpoint)
            .await
            .expect("deleted");
        let done = record(&db, &batch).await;
        assert!(done.outcomes[0].applied && done.disabled.is_empty());
        assert_eq!(
            db.number("SELECT count(*) FROM endpoints WHERE consecutive_failures > 0")
                .await,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_replay_is_recorded_as_one() {
    with_database(async |db: Database| {
        let scene = Scene::set(&db).await;
        let original = scene.attempted(1, Exhausted);
        step(&db, &original).await;
        let replay = RecordedAttempt {
            delivery: DeliveryId::new(Timestamp::now(), rand::random()),
            kind: DeliveryKind::Replay,
            replay_of: Some(original.delivery),
            ..scene.attempted(1, Succeeded)
        };
        assert!(step(&db, &replay).await.0);
        let row = stored(&db, &replay).await.expect("there");
        assert_eq!(
            (row.kind, row.replay_of),
            (DeliveryKind::Replay, Some(original.delivery))
        );
    })
    .await;
}
