//! What a run came to: for people, and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::books::{Books, Fault};
use crate::reconcile::{Figures, Violation};
use crate::witness::Confirms;

/// Violations that are told one by one.
const TOLD_MAX: usize = 50;

/// A run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) minutes: f64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) figures: Figures,
    /// Of a publisher whose messages nobody consumes, if there was one.
    pub(crate) confirms: Option<Confirms>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) recoveries: Vec<Duration>,
    pub(crate) struck_for: Duration,
    pub(crate) settled_in: Duration,
    /// Where the logs were kept.
    pub(crate) logs: Option<PathBuf>,
    /// What is typed to see the same faults again.
    again: String,
    is_hopeless: bool,
}

impl Report {
    pub(crate) fn new(seed: u64, arguments: &Arguments) -> Self {
        Self {
            seed,
            minutes: arguments.minutes,
            again: arguments.again(seed),
            violations: vec![],
            figures: Figures::default(),
            confirms: None,
            faults: vec![],
            recoveries: vec![],
            struck_for: Duration::ZERO,
            settled_in: Duration::ZERO,
            logs: None,
            is_hopeless: false,
        }
    }

    /// How long a recovery took, or why there was none.
    pub(crate) fn recovered(&mut self, outcome: Result<Duration, Violation>) {
        match outcome {
            Ok(took) => self.recoveries.push(took),
            Err(violation) => {
                self.is_hopeless = true;
                self.violations.push(violation);
            }
        }
    }

    /// Whether another fault would prove nothing.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.is_hopeless
    }

    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    fn longest_recovery(&self) -> Duration {
        self.recoveries.iter().max().copied().unwrap_or_default()
    }

    fn faults_by_kind(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for fault in &self.faults {
            *counts.entry(fault.kind.words()).or_default() += 1;
        }
        counts
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        let figures = &self.figures;
        let mut text = String::new();
        let mut line = |label: &str, value: String| {
            let _ = writeln!(text, "{label:<22} {value}");
        };
        line("seed", self.seed.to_string());
        line(
            "time",
            format!(
                "{:.0} s of faults, {:.0} s until everything had ended",
                self.struck_for.as_secs_f64(),
                self.settled_in.as_secs_f64()
            ),
        );
        line("faults struck", self.faults.len().to_string());
        for (kind, count) in self.faults_by_kind() {
            line("", format!("{count:>4}  {kind}"));
        }
        line(
            "longest recovery",
            format!("{:.1} s", self.longest_recovery().as_secs_f64()),
        );
        line(
            "events accepted",
            format!(
                "{} answered 202; without an answer: {} accepted, {} not",
                figures.events_accepted, figures.events_unannounced, figures.events_not_accepted
            ),
        );
        let deliveries: usize = figures.deliveries.values().sum();
        let by_status: Vec<String> = figures
            .deliveries
            .iter()
            .map(|(status, count)| format!("{count} {}", format!("{status:?}").to_lowercase()))
            .collect();
        line(
            "deliveries",
            format!(
                "{deliveries}, {} of them replays: {}",
                figures.replays,
                by_status.join(", ")
            ),
        );
        line(
            "attempts",
            format!(
                "{} recorded, {} requests received, {} of them kept from being recorded by a fault",
                figures.attempts, figures.arrivals, figures.unrecorded
            ),
        );
        line("lost", figures.lost.to_string());
        line(
            "duplicated",
            figures.duplicates.values().sum::<usize>().to_string(),
        );
        for (explanation, count) in &figures.duplicates {
            line("", format!("{count:>4}  {explanation}"));
        }
        if let Some(confirms) = &self.confirms {
            line(
                "confirms",
                format!(
                    "{} given by RabbitMQ, {} of them false; {} messages without one, {} of them kept all the same",
                    confirms.confirmed, confirms.lost, confirms.unconfirmed, confirms.there_all_the_same
                ),
            );
        }
        line(
            "covered",
            format!(
                "a fault would explain a duplicate during {:.0} % of the time",
                figures.covered * 100.0
            ),
        );
        if self.is_good() {
            text.push_str("every promise was kept\n");
        } else {
            let _ = writeln!(text, "\n{} promises were not kept:", self.violations.len());
            for violation in self.violations.iter().take(TOLD_MAX) {
                let _ = writeln!(text, "  {violation}");
            }
            if self.violations.len() > TOLD_MAX {
                let _ = writeln!(text, "  and {} more", self.violations.len() - TOLD_MAX);
            }
            if let Some(logs) = &self.logs {
                let _ = writeln!(text, "the logs are in {}", logs.display());
            }
            let _ = writeln!(text, "the same faults again: {}", self.again);
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let began = self.faults.iter().map(|fault| fault.struck).min();
        let timeline: Vec<Value> = self
            .faults
            .iter()
            .map(|fault| {
                let from = began.unwrap_or(fault.struck);
                json!({
                    "kind": fault.kind,
                    "struck_ms": fault.struck.since(from),
                    "lifted_ms": fault.lifted.since(from),
                    "recovered_ms": fault.recovered.map(|recovered| recovered.since(from)),
                })
            })
            .collect();
        json!({
            "seed": self.seed,
            "minutes": self.minutes,
            "good": self.is_good(),
            "seconds_of_faults": self.struck_for.as_secs_f64(),
            "seconds_to_settle": self.settled_in.as_secs_f64(),
            "longest_recovery_seconds": self.longest_recovery().as_secs_f64(),
            "faults_by_kind": self.faults_by_kind(),
            "faults": timeline,
            "figures": self.figures,
            "confirms": self.confirms,
            "violations": self.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "again": self.again,
        })
    }
}

/// Everything that the ledgers say of the delivery that a violation is about.
pub(crate) fn history(books: &Books, violation: &Violation) -> String {
    let mut text = format!("{violation}\n");
    let about = violation.to_string();
    let is_named = |id: &str| !id.is_empty() && about.contains(id);
    for event in books
        .events
        .iter()
        .filter(|event| is_named(&event.id) || is_named(&event.mark))
    {
        let _ = writeln!(text, "  {event:?}");
    }
    for delivery in books
        .deliveries
        .iter()
        .filter(|row| is_named(&row.id) || is_named(&row.event))
    {
        let _ = writeln!(text, "  {delivery:?}");
    }
    for attempt in books.attempts.iter().filter(|row| is_named(&row.delivery)) {
        let _ = writeln!(text, "  {attempt:?}");
    }
    for arrival in books.arrivals.iter().filter(|row| is_named(&row.delivery)) {
        let _ = writeln!(text, "  {arrival:?}");
        let near = |fault: &&Fault| {
            fault.struck <= arrival.at.plus(30_000) && fault.lifted.plus(30_000) >= arrival.at
        };
        for fault in books.faults.iter().filter(near) {
            let _ = writeln!(text, "    near {fault:?}");
        }
    }
    text
}
