//! What PostgreSQL tells.

use std::time::Duration;

use plumbline_domain::DisabledReason;
use plumbline_domain::health::warn_from;
use plumbline_store::inspection::{
    self, Backlog, Overdue, Partitions, SERVER_VERSION_MIN, Schema, Secrets, Server, TroubledEndpoints,
};
use plumbline_store::leadership::Duty;
use plumbline_store::secrets::Vault;
use plumbline_store::{Session, Store, StoreError};

use super::{Expectations, Finding, Level, NAMED_MAX, counted, lasting, lateness};
use crate::story;

/// Endpoints that were disabled within this time are told of.
const DISABLED_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// Failures that are worth a word where none disable.
const FAILING_FROM: u32 = 10;
/// Days ahead that the maintenance makes; fewer than these say that it does not run.
const DAYS_AHEAD_MIN: u32 = 3;
/// Unsent events are published at once: older ones say that nobody does.
const UNSENT_AGE_MAX: Duration = Duration::from_secs(10);
/// A lead changes hands within seconds.
const LEADERLESS_MAX: Duration = Duration::from_secs(5);
/// How often it is asked meanwhile.
const LEADER_ASKED_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn examine(store: &Store, vault: &Vault, expectations: Expectations) -> Vec<Finding> {
    let mut findings = vec![];
    if let Err(error) = collect(store, vault, expectations, &mut findings).await {
        findings.push(unreachable(&error));
    }
    findings
}

/// Everything, until the database does not answer.
async fn collect(
    store: &Store,
    vault: &Vault,
    expectations: Expectations,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let session = store.session().await?;
    let found = server(&inspection::server(&session).await?);
    let usable = found.level != Level::Fail;
    findings.push(found);
    if !usable {
        return Ok(());
    }
    let found = schema(&inspection::schema(&session).await?);
    let complete = found.level != Level::Fail;
    findings.push(found);
    if !complete {
        return Ok(());
    }
    findings.push(partitions(
        inspection::partitions(&session, expectations.retention_days).await?,
    ));
    findings.push(relay(leader(&session, Duty::Relay).await?));
    findings.push(outbox(
        inspection::outbox(&session).await?,
        expectations.recovery_grace,
    ));
    findings.push(sweep(leader(&session, Duty::Sweep).await?));
    findings.push(overdue(
        inspection::overdue(&session, expectations.recovery_grace).await?,
        expectations.recovery_grace,
    ));
    findings.push(disabled(
        &inspection::disabled_within(&session, DISABLED_WITHIN, NAMED_MAX).await?,
    ));
    let from = warn_from(expectations.disable_after).unwrap_or(FAILING_FROM);
    findings.push(failing(
        &inspection::failing_from(&session, from, NAMED_MAX).await?,
        from,
    ));
    findings.push(secrets(&inspection::secrets(&session, vault).await?, vault));
    Ok(())
}

/// Who leads; asked again for as long as a lead may take to change hands.
async fn leader(session: &Session, duty: Duty) -> Result<Option<String>, StoreError> {
    let deadline = tokio::time::Instant::now() + LEADERLESS_MAX;
    loop {
        let leader = inspection::leader(session, duty).await?;
        if leader.is_some() || tokio::time::Instant::now() >= deadline {
            return Ok(leader);
        }
        tokio::time::sleep(LEADER_ASKED_EVERY).await;
    }
}

fn unreachable(error: &StoreError) -> Finding {
    let said = match error {
        StoreError::Unavailable(cause) | StoreError::Other(cause) | StoreError::Retry(cause) => {
            cause.sqlstate()
        }
        StoreError::Conflict { .. } | StoreError::Corrupt(_) => None,
    };
    let remedy = match said {
        Some(code) if code.starts_with("28") => {
            "check the user and the password in PLUMBLINE_DATABASE_URL, and the server's pg_hba.conf"
        }
        Some("3D000") => {
            "create the database, or correct its name in PLUMBLINE_DATABASE_URL, then `plumbline migrate`"
        }
        Some("53300") => "raise max_connections, or lower PLUMBLINE_DATABASE_POOL_SIZE of the services",
        Some("42501") => {
            "grant this user the rights of the schema's owner, or use the services' own PLUMBLINE_DATABASE_URL"
        }
        Some(_) => "see the server's log",
        None => {
            "check that PostgreSQL runs, and that host, port and TLS settings in PLUMBLINE_DATABASE_URL reach it from here"
        }
    };
    Finding::fail("PostgreSQL", story(error), remedy)
}

fn server(server: &Server) -> Finding {
    let what = "PostgreSQL";
    let Server { version, .. } = server;
    if server.version_number < SERVER_VERSION_MIN {
        let explanation = format!("the server is version {version}, and 15 is the oldest that works");
        return Finding::fail(what, explanation, "upgrade the server to PostgreSQL 15 or newer");
    }
    if server.is_standby {
        return Finding::fail(
            what,
            format!("reached, version {version}, but it is a standby and takes no writes"),
            "name the primary in PLUMBLINE_DATABASE_URL, or several hosts with target_session_attrs=read-write",
        );
    }
    Finding::ok(what, format!("reached, version {version}"))
}

fn schema(schema: &Schema) -> Finding {
    let what = "schema";
    if !schema.missing.is_empty() {
        return Finding::fail(
            what,
            format!("migrations are missing: {}", schema.missing.join(", ")),
            "run `plumbline migrate` of the newest release in use",
        );
    }
    if schema.unknown > 0 {
        let newer = counted(schema.unknown as u64, "migration", "migrations");
        return Finding::warn(
            what,
            format!("it has {newer} that this program does not know"),
            "use the `plumbline` of the release that migrated; older services go on working meanwhile",
        );
    }
    Finding::ok(what, "up to date")
}

fn partitions(found: Partitions) -> Finding {
    let what = "partitions";
    let Partitions {
        today,
        days_ahead,
        days_over,
    } = found;
    let remedy = "start plumbline-api, whose maintenance makes them every 15 minutes, and look into its log for `upkeep`";
    if !today {
        return Finding::fail(what, "today's are missing: nothing can be accepted", remedy);
    }
    if days_ahead < DAYS_AHEAD_MIN {
        let ahead = counted(days_ahead.into(), "day is", "days are");
        return Finding::warn(
            what,
            format!("only {ahead} made ahead: maintenance does not run"),
            remedy,
        );
    }
    // The newest of them is dropped within a quarter of an hour of its time.
    if days_over > 1 {
        return Finding::warn(
            what,
            format!("{days_over} days are older than the retention and still there"),
            "they go when their last pending delivery has ended: see `deliveries` here; and plumbline-api must run",
        );
    }
    Finding::ok(what, format!("there for today and {days_ahead} days ahead"))
}

fn relay(leader: Option<String>) -> Finding {
    let what = "relay";
    match leader {
        Some(name) => Finding::ok(what, led_by(&name)),
        None => Finding::fail(
            what,
            "nobody leads it: events emitted by SQL, and those that the broker lost, are not published",
            "start plumbline-api; if it runs, see its log and /readyz",
        ),
    }
}

fn sweep(leader: Option<String>) -> Finding {
    let what = "sweep";
    match leader {
        Some(name) => Finding::ok(what, led_by(&name)),
        None => Finding::fail(
            what,
            "nobody leads it: retries that the broker lost are not published again",
            "start plumbline-dispatcher; if it runs, see its log and /readyz",
        ),
    }
}

fn led_by(name: &str) -> String {
    match name {
        "" => "a process leads it".to_owned(),
        name => format!("led by a {name}"),
    }
}

fn outbox(backlog: Backlog, grace: Duration) -> Finding {
    let what = "outbox";
    let Backlog {
        count,
        unsent,
        oldest,
        oldest_unsent,
    } = backlog;
    let Some(oldest) = oldest else {
        return Finding::ok(what, "empty: every accepted event is recorded");
    };
    let rows = match count {
        inspection::COUNT_MAX => format!("at least {count} rows"),
        count => counted(count, "row", "rows"),
    };
    if let Some(age) = oldest_unsent
        && age > UNSENT_AGE_MAX
    {
        return Finding::fail(
            what,
            format!(
                "{rows}, of which {unsent} were never published, the oldest {} ago",
                lasting(age)
            ),
            "see `relay` and `RabbitMQ` here: the leader publishes them as soon as the broker takes them",
        );
    }
    let explanation = format!("{rows}, the oldest accepted {} ago", lasting(oldest));
    match lateness(oldest, grace) {
        Level::Ok => Finding::ok(what, explanation),
        level => Finding::trouble(
            level,
            what,
            format!("{explanation}: events wait for their dispatchers"),
            "see `queue` here: where messages wait, run more dispatchers; where none do, the relay publishes them again",
        ),
    }
}

fn overdue(found: Overdue, grace: Duration) -> Finding {
    let what = "deliveries";
    let Some(longest) = found.longest else {
        return Finding::ok(what, "none is past its time");
    };
    let count = match found.count {
        inspection::COUNT_MAX => format!("at least {} deliveries", found.count),
        count => counted(count, "delivery", "deliveries"),
    };
    Finding::trouble(
        lateness(longest, grace).max(Level::Warn),
        what,
        format!("{count} past due, the oldest by {}", lasting(longest)),
        "see `sweep` and the queue of retries here: where messages wait, run more dispatchers; where none do, the sweep \
         publishes them again",
    )
}

fn disabled(found: &TroubledEndpoints) -> Finding {
    let what = "disabled endpoints";
    if found.count == 0 {
        return Finding::ok(what, "none was disabled by itself in the last 24 h");
    }
    Finding::warn(
        what,
        format!(
            "{} disabled by itself in the last 24 h: {}",
            counted(found.count, "was", "were"),
            named(found)
        ),
        "their owners repair them, enable them (POST /api/v1/webhook-endpoints/{id}/enable) and recover what was missed; \
         `endpoint.disabled` tells them",
    )
}

fn failing(found: &TroubledEndpoints, from: u32) -> Finding {
    let what = "failing endpoints";
    if found.count == 0 {
        return Finding::ok(what, format!("none has failed {from} times in a row"));
    }
    Finding::warn(
        what,
        format!(
            "{} failed {from} times in a row or more: {}",
            counted(found.count, "has", "have"),
            named(found)
        ),
        "see their deliveries (GET /api/v1/webhook-endpoints/{id}/deliveries): `endpoint.failing` tells their owners",
    )
}

/// Some of them, by number: URLs may hold passwords.
fn named(found: &TroubledEndpoints) -> String {
    let mut names: Vec<String> = found
        .some
        .iter()
        .map(|endpoint| {
            let reason = match endpoint.reason {
                Some(DisabledReason::Gone) => "gone".to_owned(),
                _ => counted(endpoint.consecutive_failures.into(), "failure", "failures"),
            };
            format!("{} of tenant {} ({reason})", endpoint.endpoint, endpoint.tenant)
        })
        .collect();
    let more = found.count.saturating_sub(names.len() as u64);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

fn secrets(found: &Secrets, vault: &Vault) -> Finding {
    let what = "master keys";
    let total: u64 = found.by_key.values().sum();
    if let Some((tenant, endpoint)) = found.example {
        let unopened: Vec<String> = found
            .unopened
            .iter()
            .map(|(key, count)| {
                let why = match vault.key_ids().any(|id| id == key) {
                    true => "which has other bytes here",
                    false => "which is not given",
                };
                format!("{count} sealed by `{key}`, {why}")
            })
            .collect();
        return Finding::fail(
            what,
            format!(
                "of {total} secrets some do not open: {}; endpoint {endpoint} of tenant {tenant} is one: its deliveries wait",
                unopened.join("; ")
            ),
            "give the services the original key in PLUMBLINE_MASTER_KEYS; where it is lost, rotate those secrets",
        );
    }
    let older: u64 = found
        .by_key
        .iter()
        .filter(|(key, _)| *key != vault.encrypting_key())
        .map(|(_, count)| count)
        .sum();
    if older > 0 {
        let older = counted(older, "is", "are");
        return Finding::ok(
            what,
            format!(
                "all {total} secrets open; {older} sealed by an older key than `{}`: `plumbline secrets rekey` ends that",
                vault.encrypting_key()
            ),
        );
    }
    Finding::ok(what, format!("all {total} secrets open"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plumbline_domain::{EndpointId, TenantId};
    use plumbline_store::inspection::Troubled;
    use plumbline_store::secrets::MasterKey;

    const GRACE: Duration = Duration::from_secs(60);

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn check(found: &Finding, level: Level, says: &str) {
        assert_eq!(found.level, level, "{found:?}");
        assert!(found.explanation.contains(says), "{found:?}");
        assert_eq!(found.remedy.is_some(), level != Level::Ok, "{found:?}");
    }

    #[test]
    fn a_server_must_be_new_enough_and_take_writes() {
        let found = |version_number, is_standby| {
            server(&Server {
                version: "15.4".to_owned(),
                version_number,
                is_standby,
            })
        };
        check(&found(150_004, false), Level::Ok, "15.4");
        check(&found(149_999, false), Level::Fail, "oldest");
        check(&found(150_004, true), Level::Fail, "standby");
    }

    #[test]
    fn the_schema_is_complete_missing_or_newer() {
        let found = |missing: &[&str], unknown| {
            schema(&Schema {
                missing: missing.iter().map(|name| (*name).to_owned()).collect(),
                unknown,
            })
        };
        check(&found(&[], 0), Level::Ok, "up to date");
        check(&found(&["V8__x", "V9__y"], 0), Level::Fail, "V8__x, V9__y");
        check(&found(&[], 1), Level::Warn, "1 migration ");
    }

    #[test]
    fn partitions_are_made_in_time() {
        let found = |today, days_ahead, days_over| {
            partitions(Partitions {
                today,
                days_ahead,
                days_over,
            })
        };
        check(&found(true, 8, 1), Level::Ok, "8 days");
        check(&found(false, 0, 0), Level::Fail, "today");
        check(&found(true, 1, 0), Level::Warn, "1 day is");
        check(&found(true, 8, 2), Level::Warn, "2 days");
    }

    #[test]
    fn an_old_outbox_is_bad_by_its_age_and_unsent_events_at_once() {
        let found = |oldest, oldest_unsent| {
            let backlog = Backlog {
                count: 3,
                unsent: 2,
                oldest,
                oldest_unsent,
            };
            outbox(backlog, GRACE)
        };
        check(&outbox(Backlog::default(), GRACE), Level::Ok, "empty");
        check(&found(seconds(5), seconds(5)), Level::Ok, "3 rows");
        check(&found(seconds(61), None), Level::Warn, "61 s");
        check(&found(seconds(301), None), Level::Fail, "5 min");
        check(&found(seconds(11), seconds(11)), Level::Fail, "never published");
    }

    #[test]
    fn what_is_past_due_is_told_with_its_age() {
        let found = |longest| overdue(Overdue { count: 1, longest }, GRACE);
        check(&found(None), Level::Ok, "none");
        check(&found(seconds(61)), Level::Warn, "1 delivery");
        check(&found(seconds(7_300)), Level::Fail, "2 h");
    }

    #[test]
    fn nobody_leading_is_a_failure() {
        for found in [relay(None), sweep(None)] {
            check(&found, Level::Fail, "nobody leads");
        }
        check(
            &relay(Some("plumbline-api".to_owned())),
            Level::Ok,
            "plumbline-api",
        );
        check(&sweep(Some(String::new())), Level::Ok, "a process");
    }

    #[test]
    fn endpoints_in_trouble_are_named_by_number() {
        let some = |reason| {
            let endpoint = Troubled {
                tenant: TenantId(3),
                endpoint: EndpointId(17),
                consecutive_failures: 20,
                reason,
            };
            TroubledEndpoints {
                count: 7,
                some: vec![endpoint],
            }
        };
        let gone = disabled(&some(Some(DisabledReason::Gone)));
        check(
            &gone,
            Level::Warn,
            "7 were disabled by itself in the last 24 h: 17 of tenant 3 (gone), 6 more",
        );
        check(
            &failing(&some(None), 10),
            Level::Warn,
            "17 of tenant 3 (20 failures)",
        );
        check(&disabled(&TroubledEndpoints::default()), Level::Ok, "24 h");
        check(&failing(&TroubledEndpoints::default(), 10), Level::Ok, "10 times");
    }

    #[test]
    fn a_key_that_is_missing_or_another_is_named_and_an_older_one_is_no_trouble() {
        let key = |id: &str| MasterKey {
            id: id.to_owned(),
            key: [1; 32],
        };
        let vault = Vault::new(&[key("new"), key("old")]).expect("two keys");
        let with = |by_key: &[(&str, u64)], unopened: &[(&str, u64)]| {
            let map = |of: &[(&str, u64)]| {
                of.iter()
                    .map(|(key, count)| ((*key).to_owned(), *count))
                    .collect()
            };
            secrets(
                &Secrets {
                    by_key: map(by_key),
                    unopened: map(unopened),
                    example: (!unopened.is_empty()).then_some((TenantId(3), EndpointId(17))),
                },
                &vault,
            )
        };
        check(&with(&[("new", 2)], &[]), Level::Ok, "all 2 secrets open");
        check(
            &with(&[("new", 2), ("old", 1)], &[]),
            Level::Ok,
            "1 is sealed by an older key",
        );
        check(
            &with(&[("lost", 2)], &[("lost", 2)]),
            Level::Fail,
            "`lost`, which is not given",
        );
        check(
            &with(&[("old", 2)], &[("old", 1)]),
            Level::Fail,
            "1 sealed by `old`, which has other bytes",
        );
    }

    #[test]
    fn an_error_of_the_server_has_its_own_remedy() {
        let found = unreachable(&StoreError::unavailable("connection refused"));
        check(&found, Level::Fail, "connection refused");
        assert!(
            found
                .remedy
                .is_some_and(|remedy| remedy.contains("PostgreSQL runs"))
        );
    }
}
