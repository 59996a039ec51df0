//! What an operator does when something is wrong, or is to be put away.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

use plumbline_domain::TenantId;
use plumbline_engine::administration::Administration;
use plumbline_engine::assembly::{BrokerSettings, DatabaseSettings};
use plumbline_engine::dead::{DeadLetter, DeadLetters, DeadReason, Selection, Settled};
use plumbline_engine::doctor::{self, Expectations, Finding, Level};
use plumbline_engine::queues::{Purged, Queues};
use plumbline_engine::rekey::MasterKeys;
use plumbline_runtime::config::MasterKeysArgs;
use serde_json::{Map, Value, json};

use super::Said;
use crate::arguments::{DeadCommand, DoctorArgs, QueueArgs, WhichDead};
use crate::outcome::Failure;

/// What our connections are called in the broker's own lists.
const CONNECTION: &str = "plumbline";

/// Say what is wrong.
pub(super) async fn doctor(database: &DatabaseSettings, asked: &DoctorArgs) -> Result<Said, Failure> {
    let broker = BrokerSettings {
        amqp_url: asked.broker.amqp_url.expose(),
        connection_name: CONNECTION,
        event_shards: asked.event_shards,
    };
    let expectations = Expectations {
        recovery_grace: asked.recovery_grace,
        disable_after: asked.disable_after,
        retention_days: asked.retention_days,
    };
    let master_keys = asked.master_keys.master_keys.expose();
    let findings = doctor::examine(database, &broker, master_keys, expectations).await?;
    let worst = findings
        .iter()
        .map(|finding| finding.level)
        .max()
        .unwrap_or(Level::Ok);
    let checks: Vec<Value> = findings.iter().map(check).collect();
    let lines: Vec<String> = findings.iter().map(line).collect();
    let exit_code = match worst {
        Level::Ok => 0,
        Level::Warn => 1,
        Level::Fail => 2,
    };
    Ok((
        json!({ "status": worst.as_str(), "checks": checks }),
        lines.join("\n"),
        exit_code,
    ))
}

fn check(finding: &Finding) -> Value {
    json!({
        "status": finding.level.as_str(),
        "what": finding.what,
        "explanation": finding.explanation,
        "remedy": finding.remedy,
    })
}

fn line(finding: &Finding) -> String {
    let Finding {
        level,
        what,
        explanation,
        remedy,
    } = finding;
    let remedy = remedy
        .as_ref()
        .map(|remedy| format!("; {remedy}"))
        .unwrap_or_default();
    format!("{} {what} - {explanation}{remedy}", level.as_str())
}

/// Deal with dead messages.
pub(super) async fn dead(command: DeadCommand) -> Result<Said, Failure> {
    match command {
        DeadCommand::List { at, limit } => {
            let letters = letters(&at)?;
            let total = letters.count().await?;
            Ok(listed(total, &letters.list(limit).await?))
        }
        DeadCommand::Requeue { at, which } => {
            let selection = selection(&which);
            let settled = letters(&at)?.requeue(&selection).await?;
            Ok(settlement("requeued", &selection, &settled))
        }
        DeadCommand::Drop { at, which, yes } => {
            let letters = letters(&at)?;
            if !yes {
                let count = match which.all {
                    true => letters.count().await?,
                    false => which.ids.len() as u64,
                };
                let question = format!("{count} dead messages would be forgotten for ever");
                return Err(Failure::Unconfirmed(question));
            }
            let selection = selection(&which);
            let settled = letters.forget(&selection).await?;
            Ok(settlement("dropped", &selection, &settled))
        }
    }
}

fn letters(at: &QueueArgs) -> Result<DeadLetters, Failure> {
    Ok(DeadLetters::at(&broker(at))?)
}

fn broker(at: &QueueArgs) -> BrokerSettings<'_> {
    BrokerSettings {
        amqp_url: at.broker.amqp_url.expose(),
        connection_name: CONNECTION,
        event_shards: at.event_shards,
    }
}

fn selection(which: &WhichDead) -> Selection {
    match which.all {
        true => Selection::All,
        false => Selection::These(which.ids.iter().cloned().collect()),
    }
}

fn listed(total: u64, letters: &[DeadLetter]) -> Said {
    let messages: Vec<Value> = letters.iter().map(message).collect();
    let mut lines: Vec<String> = letters.iter().map(message_line).collect();
    lines.push(match total {
        0 => "There are no dead messages.".to_owned(),
        total => format!("{} of {total} dead messages.", letters.len()),
    });
    (
        json!({ "total": total, "messages": messages }),
        lines.join("\n"),
        0,
    )
}

fn message(letter: &DeadLetter) -> Value {
    let about = letter.about();
    let (by, reason) = reason(&letter.reason);
    let events: Vec<String> = about.events.iter().map(ToString::to_string).collect();
    json!({
        "id": letter.id,
        "diedAt": letter.died_at.map(|at| at.to_string()),
        "queue": letter.queue,
        "bytes": letter.body.len(),
        "tenantId": about.tenant.map(|tenant| tenant.0),
        "events": events,
        "delivery": about.delivery.map(|delivery| delivery.to_string()),
        "reason": reason,
        "by": by,
    })
}

fn message_line(letter: &DeadLetter) -> String {
    let about = letter.about();
    let mut subject: Vec<String> = vec![];
    subject.extend(about.tenant.map(|tenant| format!("tenant {tenant}")));
    subject.extend(about.delivery.map(|delivery| delivery.to_string()));
    match about.events.as_slice() {
        [] => {}
        [event] => subject.push(event.to_string()),
        [event, more @ ..] => subject.push(format!("{event} and {} more", more.len())),
    }
    if subject.is_empty() {
        subject.push("unreadable".to_owned());
    }
    let (by, reason) = reason(&letter.reason);
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "{}  {}  {}  {} bytes  {}  {by}{reason}",
        letter.id,
        letter.died_at.map_or("-".to_owned(), |at| format!("{at:.0}")),
        letter.queue.as_deref().unwrap_or("-"),
        letter.body.len(),
        subject.join(", "),
    )
}

/// Who gave it up, and why.
fn reason(reason: &DeadReason) -> (&'static str, Option<&str>) {
    match reason {
        DeadReason::Consumer(reason) => ("consumer", Some(reason)),
        DeadReason::Broker(reason) => ("broker", Some(reason)),
        DeadReason::Unknown => ("unknown", None),
    }
}

/// What became of those that were meant.
fn settlement(done: &'static str, selection: &Selection, settled: &[Settled]) -> Said {
    let well: Vec<&str> = settled
        .iter()
        .filter(|one| one.result.is_ok())
        .map(|one| one.id.as_str())
        .collect();
    let failed: Vec<(&Settled, String)> = settled
        .iter()
        .filter_map(|one| Some((one, one.result.as_ref().err()?.to_string())))
        .collect();
    let found: BTreeSet<&str> = settled.iter().map(|one| one.id.as_str()).collect();
    let unknown: Vec<&str> = match selection {
        Selection::All => vec![],
        Selection::These(ids) => ids
            .iter()
            .map(String::as_str)
            .filter(|id| !found.contains(id))
            .collect(),
    };
    let mut lines = vec![format!("{} {done}.", well.len())];
    let left = |(one, reason): &(&Settled, String)| format!("{} stays: {reason}.", one.id);
    lines.extend(failed.iter().map(left));
    lines.extend(
        unknown
            .iter()
            .map(|id| format!("{id} is no dead message: see `plumbline dead list`.")),
    );
    let mut json = Map::new();
    json.insert(done.to_owned(), json!(well));
    if done == "requeued" {
        let failed = failed
            .iter()
            .map(|(one, reason)| json!({ "id": one.id, "queue": one.queue, "reason": reason }));
        json.insert("failed".to_owned(), failed.collect());
    }
    json.insert("unknown".to_owned(), json!(unknown));
    let exit_code = u8::from(!failed.is_empty() || !unknown.is_empty());
    (Value::Object(json), lines.join("\n"), exit_code)
}

/// Empty all queues.
pub(super) async fn purge(at: &QueueArgs, yes: bool) -> Result<(Value, String), Failure> {
    let queues = Queues::at(&broker(at))?;
    if !yes {
        let messages = total(&queues.contents().await?);
        let question = format!("{messages} messages would be thrown away");
        return Err(Failure::Unconfirmed(question));
    }
    let mut purged = queues.purge().await?;
    purged.retain(|queue| queue.messages > 0);
    let messages = total(&purged);
    let line = |purged: &Purged| format!("{}: {}", purged.queue, purged.messages);
    let mut lines: Vec<String> = purged.iter().map(line).collect();
    lines.push(format!(
        "All queues are empty; {messages} messages were thrown away."
    ));
    let queues: Vec<Value> = purged
        .iter()
        .map(|purged| json!({ "queue": purged.queue, "messages": purged.messages }))
        .collect();
    Ok((
        json!({ "messages": messages, "queues": queues }),
        lines.join("\n"),
    ))
}

fn total(queues: &[Purged]) -> u64 {
    queues.iter().map(|queue| queue.messages).sum()
}

/// Seal secrets anew.
pub(super) async fn rekey(
    administration: &Administration,
    master_keys: &MasterKeysArgs,
) -> Result<Said, Failure> {
    let keys = MasterKeys::parse(master_keys.master_keys.expose())?;
    let done = administration
        .rekey(&keys, |done, total| {
            tell(&format!("{done} of {total} secrets sealed anew"))
        })
        .await?;
    let mut lines = vec![format!(
        "{} secrets sealed anew with the master key `{}`.",
        done.sealed, done.key
    )];
    for (key, count) in &done.by_key {
        lines.push(format!("`{key}` seals {count}."));
    }
    for key in &done.removable {
        lines.push(format!(
            "No secret needs `{key}` any more: once every process has `{}` first, take `{key}` out of \
             PLUMBLINE_MASTER_KEYS.",
            done.key
        ));
    }
    if done.unopened > 0 {
        lines.push(format!(
            "{} secrets do not open with the keys given, and stay as they are: give the original keys, or rotate these \
             endpoints' secrets.",
            done.unopened
        ));
        for (tenant, endpoint, key) in &done.examples {
            lines.push(format!(
                "endpoint {endpoint} of tenant {tenant}, sealed by `{key}`"
            ));
        }
    }
    let unopened: Vec<Value> = done
        .examples
        .iter()
        .map(|(tenant, endpoint, key)| json!({ "tenantId": tenant.0, "endpointId": endpoint.0, "key": key }))
        .collect();
    Ok((
        json!({
            "key": done.key,
            "sealed": done.sealed,
            "byKey": done.by_key,
            "removable": done.removable,
            "unopened": unopened,
            "unopenedCount": done.unopened,
        }),
        lines.join("\n"),
        u8::from(done.unopened > 0),
    ))
}

/// Delete a tenant.
pub(super) async fn delete_tenant(
    administration: &Administration,
    tenant: TenantId,
    yes: bool,
    attempt_timeout: Duration,
) -> Result<(Value, String), Failure> {
    if !yes {
        let name = administration.tenant_name(tenant).await?;
        let question =
            format!("tenant {tenant} ({name}) would be deleted for ever, with everything that is its own");
        return Err(Failure::Unconfirmed(question));
    }
    let deleted = administration
        .delete_tenant(tenant, attempt_timeout, |table, rows| {
            tell(&format!("{table}: {rows} deleted"))
        })
        .await?;
    let rows: Map<String, Value> = deleted
        .rows
        .iter()
        .map(|(table, rows)| ((*table).to_owned(), json!(rows)))
        .collect();
    let counts: Vec<String> = deleted
        .rows
        .iter()
        .map(|(table, rows)| format!("{rows} of {table}"))
        .collect();
    let name = deleted.name.as_deref().unwrap_or("already deleted");
    let counts = match counts.is_empty() {
        true => String::new(),
        false => format!(", with {}", counts.join(", ")),
    };
    Ok((
        json!({ "id": tenant.0, "name": deleted.name, "deleted": rows }),
        format!("Tenant {tenant} ({name}) is deleted{counts}."),
    ))
}

/// Say how far it is, to whoever watches.
fn tell(progress: &str) {
    // If the stream is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "{progress}");
}
