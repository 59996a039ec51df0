//! Clients that publish and change things through whatever happens, and keep books.

use std::time::Duration;

use hyper::Method;
use plumbline_testkit::Api;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::books::{Answer, Publication};
use crate::event;
use crate::journal::{Journal, now};
use crate::reconcile::Violation;

/// How long a client waits for an answer: less than an outage lasts, so that some answers are never heard.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How soon a client asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How much of a refusal is told.
const TEXT_MAX: usize = 300;

/// How long a client goes on asking: until somebody says that it is of no use.
#[derive(Debug, Clone)]
pub(crate) struct Patience(watch::Receiver<bool>);

/// Ends the patience of all its clients.
#[derive(Debug)]
pub(crate) struct End(watch::Sender<bool>);

impl Patience {
    pub(crate) fn new() -> (End, Self) {
        let (end, patience) = watch::channel(false);
        (End(end), Self(patience))
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    /// Sleep; `false` when it is over.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        let mut over = self.0.clone();
        tokio::select! {
            () = sleep(pause) => !self.is_over(),
            _ = over.wait_for(|over| *over) => false,
        }
    }
}

impl End {
    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }
}

/// A definite answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: Value,
    text: String,
}

/// A request that was in order, and was refused.
pub(crate) fn refused(what: &str, answer: &Told) -> Violation {
    Violation::Refused {
        mark: what.to_owned(),
        status: answer.status,
        text: answer.text.clone(),
    }
}

/// Send a request once. `None` when nothing definite was heard.
async fn ask(api: &Api, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Option<Told> {
    let answer = timeout(ANSWER_PATIENCE, api.try_send(method, path, headers, body)).await;
    let answer = answer.ok()?.ok()?;
    let status = answer.status.as_u16();
    // 408 is no answer to this request: the server closes a connection on which it has waited for one for too long.
    if status >= 500 || matches!(status, 408 | 429) {
        return None;
    }
    let text: String = answer.text().chars().take(TEXT_MAX).collect();
    Some(Told {
        status,
        body: serde_json::from_slice(&answer.body).unwrap_or(Value::Null),
        text,
    })
}

/// Ask for something to be read. `None` when nothing definite was heard.
pub(crate) async fn read(api: &Api, path: &str) -> Option<Value> {
    let told = ask(api, Method::GET, path, &[], String::new()).await?;
    (told.status == 200).then_some(told.body)
}

/// Change something, once, however often it has to be asked for. `None` when time ran out.
pub(crate) async fn change(
    api: &Api,
    method: Method,
    path: &str,
    body: &Value,
    patience: &Patience,
) -> Option<Told> {
    let key = key();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    loop {
        let headers = [("idempotency-key", key.as_str())];
        if let Some(told) = ask(api, method.clone(), path, &headers, body.clone()).await {
            return Some(told);
        }
        if !patience.pause(AGAIN_AFTER).await {
            return None;
        }
    }
}

fn key() -> String {
    format!("chaos-{:032x}", rand::random::<u128>())
}

/// Whether a client insists on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insistence {
    /// Asks once, and never knows when it hears nothing.
    Once,
    /// Asks with an idempotency key until it knows.
    UntilAnswered,
}

/// Publish an event, or a batch when there are several marks, and write down what was promised.
pub(crate) async fn publish(
    journal: &Journal,
    api: &Api,
    event_type: &'static str,
    marks: Vec<String>,
    insistence: Insistence,
    patience: &Patience,
) -> Answer {
    let event = |mark: &String| format!(r#"{{"type":"{event_type}","data":{}}}"#, event::data(mark));
    let body = match marks.as_slice() {
        [mark] => event(mark),
        _ => format!(
            r#"{{"events":[{}]}}"#,
            marks.iter().map(event).collect::<Vec<_>>().join(",")
        ),
    };
    let asked = now();
    let key = key();
    let told = loop {
        let headers = match insistence {
            Insistence::Once => vec![],
            Insistence::UntilAnswered => vec![("idempotency-key", key.as_str())],
        };
        let told = ask(api, Method::POST, "events", &headers, body.clone()).await;
        if told.is_some() || insistence == Insistence::Once || !patience.pause(AGAIN_AFTER).await {
            break told;
        }
    };
    let answer = match told {
        None => Answer::Unknown,
        Some(told) if told.status == 202 => Answer::Accepted {
            at: now(),
            events: ids(&told.body["data"]),
        },
        Some(told) => Answer::Refused {
            status: told.status,
            text: told.text,
        },
    };
    journal.publication(Publication {
        marks,
        tenant: api.tenant(),
        event_type,
        asked,
        answer: answer.clone(),
    });
    answer
}

/// The ids in an answer to one event or to a batch.
fn ids(data: &Value) -> Vec<String> {
    let one = std::slice::from_ref(data);
    let all = data.as_array().map_or(one, Vec::as_slice);
    all.iter()
        .filter_map(|event| event["id"].as_str().map(str::to_owned))
        .collect()
}
