//! State machines as tables: which step leads from which states to which state.

/// One row of a state machine.
#[derive(Debug, Clone, Copy)]
pub struct Transition<S: Lifecycle> {
    /// What is done.
    pub step: S::Step,
    /// The step as a client asks for it: the last part of its path.
    pub name: &'static str,
    /// The states in which it may be done.
    pub from: &'static [S],
    /// The state that it leads to.
    pub to: S,
}

/// The states of a record that moves by steps.
pub trait Lifecycle: Copy + Eq + 'static {
    /// What can be done to it.
    type Step: Copy + Eq + 'static;
    /// What the record is called in a sentence.
    const RECORD: &'static str;
    /// The whole state machine: one row for each step.
    const TRANSITIONS: &'static [Transition<Self>];

    /// The state as the API and the database write it.
    fn as_str(self) -> &'static str;

    /// The state after a step.
    ///
    /// # Errors
    /// [`IllegalStep`] says what the state is and what it allows.
    fn after(self, step: Self::Step) -> Result<Self, IllegalStep> {
        let wanted = Self::TRANSITIONS
            .iter()
            .find(|transition| transition.step == step);
        match wanted {
            Some(transition) if transition.from.contains(&self) => Ok(transition.to),
            _ => Err(IllegalStep {
                record: Self::RECORD,
                state: self.as_str(),
                step: wanted.map_or("change", |transition| transition.name),
                allowed: Self::TRANSITIONS
                    .iter()
                    .filter(|transition| transition.from.contains(&self))
                    .map(|transition| transition.name)
                    .collect(),
            }),
        }
    }
}

/// A step that the record's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {record} is `{state}`, which does not allow `{step}`; {}", remedy(.allowed))]
pub struct IllegalStep {
    /// What the record is called.
    pub record: &'static str,
    /// Its state.
    pub state: &'static str,
    /// What was wanted.
    pub step: &'static str,
    /// What its state allows instead.
    pub allowed: Vec<&'static str>,
}

fn remedy(steps: &[&str]) -> String {
    if steps.is_empty() {
        "nothing more can be done to it".to_owned()
    } else {
        format!("allowed now: `{}`", steps.join("`, `"))
    }
}

/// Checks a state machine against a table of every state: the states after each step, `None` where it is refused.
#[cfg(test)]
pub(super) fn check_table<S: Lifecycle + std::fmt::Debug>(steps: &[S::Step], table: &[(S, &[Option<S>])]) {
    assert_eq!(
        steps.len(),
        S::TRANSITIONS.len(),
        "every step is in the table once"
    );
    for (state, after) in table {
        for (step, expected) in steps.iter().zip(*after) {
            assert_eq!(state.after(*step).ok(), *expected, "{state:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::construction::{BidStatus, BidStep, Lifecycle as _};

    #[test]
    fn a_refusal_says_what_is_and_what_may_be() {
        let message = |state: BidStatus, step| state.after(step).expect_err("refused").to_string();
        assert_eq!(
            message(BidStatus::Sent, BidStep::Send),
            "the bid is `sent`, which does not allow `send`; allowed now: `view`, `accept`, `reject`"
        );
        assert_eq!(
            message(BidStatus::Rejected, BidStep::Accept),
            "the bid is `rejected`, which does not allow `accept`; nothing more can be done to it"
        );
    }
}
