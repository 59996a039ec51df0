//! What RabbitMQ tells, by AMQP.

use std::collections::BTreeMap;

use plumbline_broker::dead::{self, DeadLetter, DeadReason};
use plumbline_broker::inspect::{self, Found, InspectedQueue, Inspection, Publishing, Purpose, Unreachable};
use plumbline_broker::{AmqpUrl, BrokerConfig, LinkError};

use super::{Finding, NAMED_MAX, counted};
use crate::story;

/// Messages that wait in a work queue; more is a backlog that somebody should know of.
const WAITING_MAX: u64 = 10_000;
/// Dead letters that are read for their reasons.
const LETTERS_MAX: usize = 1_000;

pub(super) async fn examine(config: &BrokerConfig) -> Vec<Finding> {
    let inspection = match inspect::inspect(config).await {
        Ok(inspection) => inspection,
        Err(error) => return vec![unreachable(config, &error)],
    };
    let mut findings = vec![publishing(config, inspection.publishing)];
    findings.extend(nodes(&inspect::nodes(config).await));
    findings.extend(topology(&inspection));
    findings.extend(dead_letters(config, &inspection).await);
    findings
}

fn unreachable(config: &BrokerConfig, error: &LinkError) -> Finding {
    let remedy = match Unreachable::of(error) {
        Unreachable::Credentials => {
            "check the user and the password in PLUMBLINE_AMQP_URL: `rabbitmqctl list_users`"
        }
        Unreachable::VirtualHost => {
            "check the virtual host in PLUMBLINE_AMQP_URL and its permissions: `rabbitmqctl list_vhosts`, `set_permissions`"
        }
        Unreachable::Network => {
            "check that RabbitMQ runs, and that host, port and TLS settings in PLUMBLINE_AMQP_URL reach it from here"
        }
    };
    Finding::fail(
        "RabbitMQ",
        format!("{}: {}", config.amqp_url, story(error)),
        remedy,
    )
}

fn publishing(config: &BrokerConfig, publishing: Publishing) -> Finding {
    let what = "RabbitMQ";
    let address = &config.amqp_url;
    match publishing {
        Publishing::Confirmed => Finding::ok(
            what,
            format!("{address} reached, and it confirms what is published"),
        ),
        Publishing::Blocked => Finding::fail(
            what,
            format!("{address} reached, but it accepts no messages: an alarm of its memory or its disk"),
            "free memory or disk on its nodes: `rabbitmq-diagnostics alarms` names them; everything goes on by itself then",
        ),
        Publishing::Unconfirmed => Finding::fail(
            what,
            format!("{address} reached, but it does not confirm what is published"),
            "see its log and `rabbitmq-diagnostics cluster_status`: a quorum may be missing, or a disk too slow",
        ),
    }
}

/// Every node of a cluster that was not reached, though another one was.
fn nodes(nodes: &[(AmqpUrl, Option<LinkError>)]) -> Option<Finding> {
    let what = "RabbitMQ nodes";
    let away: Vec<String> = nodes
        .iter()
        .filter_map(|(address, error)| Some(format!("{address}: {}", story(error.as_ref()?))))
        .collect();
    let count = nodes.len();
    match away.len() {
        _ if count == 0 => None,
        0 => Some(Finding::ok(what, format!("all {count} reached"))),
        _ => Some(Finding::warn(
            what,
            format!("{} of {count} not reached: {}", away.len(), away.join("; ")),
            "start them before another one fails: `rabbitmq-diagnostics cluster_status`, and `rabbitmq-queues \
             check_if_node_is_quorum_critical` on those that run",
        )),
    }
}

/// One finding for each queue in trouble, and one for all the others.
fn topology(inspection: &Inspection) -> Vec<Finding> {
    let mut findings = vec![];
    let exchanges = inspection
        .missing_exchanges
        .iter()
        .map(|name| format!("exchange {name}"));
    let queues = inspection
        .queues
        .iter()
        .filter(|queue| queue.found == Found::Missing);
    let missing: Vec<String> = exchanges
        .chain(queues.map(|queue| format!("queue {}", queue.name)))
        .collect();
    findings.extend(missing_of(&missing));
    let (mut sound, mut in_work, mut in_delay) = (0, 0, 0);
    for queue in &inspection.queues {
        if let Found::Present { ready, .. } = queue.found {
            match queue.purpose {
                Purpose::Work(_) => in_work += ready,
                Purpose::Delay => in_delay += ready,
                Purpose::Dead => {}
            }
        }
        match judge(queue) {
            Some(finding) => findings.push(finding),
            None => sound += u64::from(queue.found != Found::Missing),
        }
    }
    if sound > 0 {
        let sound = counted(sound, "queue is", "queues are");
        let waiting = counted(in_work, "message waits", "messages wait");
        findings.push(Finding::ok(
            "queues",
            format!(
                "{sound} as declared and consumed; {waiting} for dispatchers, {in_delay} for their retries"
            ),
        ));
    }
    findings
}

/// Everything that is missing in one line: usually it is all, because nothing has been started yet.
fn missing_of(missing: &[String]) -> Option<Finding> {
    let more = missing.len().saturating_sub(NAMED_MAX);
    let mut names: Vec<String> = missing.iter().take(NAMED_MAX).cloned().collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    (!missing.is_empty()).then(|| {
        Finding::fail(
            "topology",
            format!("{} not exist: {}", counted(missing.len() as u64, "thing does", "things do"), names.join(", ")),
            "start plumbline-dispatcher or plumbline-api, which declare what is missing whenever they connect",
        )
    })
}

fn judge(queue: &InspectedQueue) -> Option<Finding> {
    let what = format!("queue {}", queue.name);
    let (ready, consumers) = match &queue.found {
        // Told of with all the others.
        Found::Missing => return None,
        Found::Unknown(reason) => {
            return Some(Finding::fail(
                &what,
                format!("the broker does not answer for it: {reason}"),
                "see `rabbitmq-queues check_if_node_is_quorum_critical` and the broker's log: it may have no leader",
            ));
        }
        Found::Present {
            difference: Some(difference),
            ready,
            ..
        } => {
            let waiting = counted(*ready, "message", "messages");
            return Some(Finding::fail(
                &what,
                format!("its arguments are not those that we declare: {difference}"),
                format!(
                    "stop the services, empty it ({waiting} now), delete it, and start them: they declare it anew; unfinished \
                     work is published again from PostgreSQL"
                ),
            ));
        }
        Found::Present { ready, consumers, .. } => (*ready, *consumers),
    };
    let Purpose::Work(_) = queue.purpose else {
        return None;
    };
    let waiting = counted(ready, "message waits", "messages wait");
    if consumers == 0 {
        return Some(Finding::fail(
            &what,
            format!("no dispatcher is consuming; {waiting}"),
            // By AMQP, a queue without a leader looks the same.
            "start plumbline-dispatcher, with the same PLUMBLINE_EVENT_SHARDS as here; if it runs, see its log and /readyz, and \
             whether the queue has a leader: `rabbitmqctl list_queues name leader online`",
        ));
    }
    if ready > WAITING_MAX {
        let consumers = counted(consumers.into(), "dispatcher consumes", "dispatchers consume");
        return Some(Finding::warn(
            &what,
            format!("{waiting}, though {consumers}"),
            "run more dispatchers, or wait: see `outbox` here for how late the oldest is",
        ));
    }
    None
}

async fn dead_letters(config: &BrokerConfig, inspection: &Inspection) -> Option<Finding> {
    let found = inspection
        .queues
        .iter()
        .find(|queue| queue.purpose == Purpose::Dead)
        .map(|queue| &queue.found);
    let count = match found {
        Some(Found::Present { ready, .. }) => *ready,
        _ => return None,
    };
    if count == 0 {
        return Some(Finding::ok("dead messages", "none"));
    }
    Some(match dead::peek(config, LETTERS_MAX).await {
        Ok(letters) => dead(count, &letters),
        Err(error) => Finding::warn(
            "dead messages",
            format!("{count}, which could not be read: {}", story(&error)),
            "try `plumbline dead list`",
        ),
    })
}

/// The reasons, the most frequent first.
fn dead(count: u64, letters: &[DeadLetter]) -> Finding {
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for letter in letters {
        let queue = letter.queue.as_deref().unwrap_or("an unknown queue");
        let reason = match &letter.reason {
            DeadReason::Consumer(reason) => format!("`{reason}`"),
            DeadReason::Broker(reason) if reason == "delivery_limit" => {
                "`delivery_limit`: whoever took them crashed".to_owned()
            }
            DeadReason::Broker(reason) => format!("`{reason}`"),
            DeadReason::Unknown => "nobody said why".to_owned(),
        };
        *reasons.entry(format!("{reason} (from {queue})")).or_default() += 1;
    }
    let mut reasons: Vec<(String, u64)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = reasons.len().saturating_sub(NAMED_MAX);
    let mut told: Vec<String> = reasons
        .into_iter()
        .take(NAMED_MAX)
        .map(|(reason, count)| format!("{count} × {reason}"))
        .collect();
    if more > 0 {
        told.push(counted(more as u64, "other reason", "other reasons"));
    }
    Finding::warn(
        "dead messages",
        format!("{}: {}", counted(count, "message", "messages"), told.join("; ")),
        "look at them with `plumbline dead list`; then `plumbline dead requeue` once the cause is gone, or `dead drop`",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use plumbline_broker::WorkQueue;

    fn queue(purpose: Purpose, found: Found) -> InspectedQueue {
        InspectedQueue {
            name: "a.queue".to_owned(),
            purpose,
            found,
        }
    }

    fn present(ready: u64, consumers: u32) -> Found {
        Found::Present {
            ready,
            consumers,
            difference: None,
        }
    }

    #[test]
    fn a_queue_is_judged_by_what_it_is_for() {
        let work = Purpose::Work(WorkQueue::Retries);
        let different = Found::Present {
            ready: 3,
            consumers: 1,
            difference: Some("inequivalent arg 'x-delivery-limit'".to_owned()),
        };
        for (purpose, found, expected) in [
            (work, present(0, 1), None),
            (work, present(5, 0), Some((Level::Fail, "5 messages wait"))),
            (
                work,
                present(10_001, 2),
                Some((Level::Warn, "2 dispatchers consume")),
            ),
            (work, Found::Missing, None),
            (Purpose::Delay, present(99_999, 0), None),
            (Purpose::Dead, present(4, 0), None),
            (Purpose::Delay, different, Some((Level::Fail, "x-delivery-limit"))),
            (
                work,
                Found::Unknown("no leader".to_owned()),
                Some((Level::Fail, "no leader")),
            ),
        ] {
            let judged = judge(&queue(purpose, found.clone()));
            let says = expected.map(|(_, says)| says).unwrap_or_default();
            assert_eq!(
                judged.as_ref().map(|it| it.level),
                expected.map(|(level, _)| level),
                "{found:?}"
            );
            assert!(
                judged.is_none_or(|it| it.explanation.contains(says) && it.remedy.is_some()),
                "{found:?}"
            );
        }
    }

    #[test]
    fn sound_queues_are_one_line() {
        let found = topology(&Inspection {
            publishing: Publishing::Confirmed,
            missing_exchanges: vec!["an.exchange".to_owned()],
            queues: vec![
                queue(Purpose::Work(WorkQueue::Retries), present(2, 1)),
                queue(Purpose::Delay, present(7, 0)),
                queue(Purpose::Dead, Found::Missing),
            ],
        });
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Fail, Level::Ok]);
        assert_eq!(
            found[0].explanation,
            "2 things do not exist: exchange an.exchange, queue a.queue"
        );
        assert_eq!(
            found[1].explanation,
            "2 queues are as declared and consumed; 2 messages wait for dispatchers, 7 for their retries"
        );
    }
}
