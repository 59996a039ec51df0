//! What is looked at in a cluster besides the books.

use std::time::Duration;

use plumbline_testkit::Stack;
use plumbline_testkit::stack::{Cluster, NODES};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long a cluster may take until every queue has all its copies again. No promise of speed: the end of a hang.
const WHOLE_PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What our queues' names begin with.
const OURS: &str = "plumbline.";

/// Wait until every queue of ours has a leader and all its copies, on all nodes; returns what it lacks when time is up.
pub(crate) async fn whole(cluster: &Cluster) -> Option<String> {
    whole_within(WHOLE_PATIENCE, cluster).await
}

/// The same with another patience.
pub(crate) async fn whole_within(patience: Duration, cluster: &Cluster) -> Option<String> {
    let deadline = Instant::now() + patience;
    loop {
        let lacking = lacking(cluster).await?;
        if Instant::now() >= deadline {
            return Some(lacking);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn lacking(cluster: &Cluster) -> Option<String> {
    let running = cluster.running().await;
    if running < NODES {
        return Some(format!(
            "{running} of {NODES} RabbitMQ nodes run and see each other"
        ));
    }
    let Some(copies) = cluster.copies().await else {
        return Some("no RabbitMQ node tells of its queues".to_owned());
    };
    let ours = copies.iter().filter(|copies| copies.queue.starts_with(OURS));
    let broken: Vec<String> = ours
        .filter(|copies| copies.leader.is_none() || copies.members != NODES || copies.online != NODES)
        .map(|copies| format!("{copies:?}"))
        .collect();
    (!broken.is_empty()).then(|| format!("queues without all their copies: {}", broken.join(", ")))
}

/// What `plumbline doctor` finds wrong with RabbitMQ, or that it says nothing of it.
pub(crate) async fn unwell(stack: &Stack) -> Vec<String> {
    match examined(stack).await {
        Ok(found) => found
            .into_iter()
            .filter(|check| check["status"] != "ok")
            .map(|check| format!("plumbline doctor: {check}"))
            .collect(),
        Err(failure) => vec![failure],
    }
}

/// Why `plumbline doctor` cannot be believed when RabbitMQ does not work: it found nothing.
pub(crate) async fn overlooked(stack: &Stack) -> Option<String> {
    match examined(stack).await {
        Ok(found) if found.iter().any(|check| check["status"] == "fail") => None,
        Ok(found) => Some(format!(
            "without a majority, plumbline doctor found nothing that fails: {found:?}"
        )),
        Err(failure) => Some(failure),
    }
}

/// What `plumbline doctor` says of RabbitMQ.
async fn examined(stack: &Stack) -> Result<Vec<Value>, String> {
    let ended = stack.cli_ends(&["doctor", "--json"]).await;
    let told: Value = serde_json::from_str(&ended.stdout)
        .map_err(|_| format!("plumbline doctor failed: {}", ended.stderr))?;
    let is_ours = |check: &&Value| {
        let what = check["what"].as_str().unwrap_or_default();
        what.starts_with("RabbitMQ") || what.starts_with("queue") || what == "topology"
    };
    let checks = told["checks"].as_array().into_iter().flatten();
    let ours: Vec<Value> = checks.filter(is_ours).cloned().collect();
    match ours.is_empty() {
        true => Err("plumbline doctor says nothing of RabbitMQ".to_owned()),
        false => Ok(ours),
    }
}
