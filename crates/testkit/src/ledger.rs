//! The books: what was accepted, what arrived, and whether they balance.

use std::collections::HashMap;

/// Event ids that were answered 202, and how often each arrived.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    accepted: Vec<String>,
    arrivals: HashMap<String, usize>,
}

/// How the books balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Accepted and never arrived: must be empty.
    pub lost: Vec<String>,
    /// Arrivals beyond the first of an event: at least once allows them.
    pub duplicates: usize,
    /// Arrived without a 202: an answer that broke off after the commit.
    pub unannounced: usize,
}

impl Ledger {
    /// Empty books.
    pub fn new() -> Self {
        Self::default()
    }

    /// A 202 promised this event.
    pub fn accept(&mut self, event: impl Into<String>) {
        self.accepted.push(event.into());
    }

    /// This event arrived.
    pub fn receive(&mut self, event: impl Into<String>) {
        *self.arrivals.entry(event.into()).or_default() += 1;
    }

    /// Replace the arrivals by these.
    pub fn receive_all<S: Into<String>>(&mut self, events: impl IntoIterator<Item = S>) {
        self.arrivals.clear();
        for event in events {
            self.receive(event);
        }
    }

    /// How many events a 202 promised.
    pub fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// How the books balance now.
    pub fn balance(&self) -> Balance {
        let lost: Vec<String> = self
            .accepted
            .iter()
            .filter(|event| !self.arrivals.contains_key(*event))
            .cloned()
            .collect();
        let arrivals: usize = self.arrivals.values().sum();
        Balance {
            duplicates: arrivals - self.arrivals.len(),
            unannounced: (self.arrivals.len() + lost.len()).saturating_sub(self.accepted.len()),
            lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_show_what_was_lost_doubled_and_never_announced() {
        let mut ledger = Ledger::new();
        for event in ["a", "b", "c"] {
            ledger.accept(event);
        }
        ledger.receive_all(["a", "b", "b", "x"]);
        let balance = Balance {
            lost: vec!["c".to_owned()],
            duplicates: 1,
            unannounced: 1,
        };
        assert_eq!(ledger.balance(), balance);
        ledger.receive("c");
        assert!(ledger.balance().lost.is_empty());
    }
}
