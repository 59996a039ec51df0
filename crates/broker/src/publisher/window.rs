//! The publishes that await their confirms, in the order in which they were sent.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::reply::Reply;

/// One publish that awaits its confirm.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) message_id: String,
    pub(super) deadline: Instant,
    pub(super) reply: Reply,
}

/// Outstanding publishes by number. Numbers grow with the deadlines, so the oldest is in front.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    slots: VecDeque<Option<Outstanding>>,
}

impl Window {
    /// Add one; returns its number.
    pub(super) fn add(&mut self, outstanding: Outstanding) -> u64 {
        self.slots.push_back(Some(outstanding));
        self.first + self.slots.len() as u64 - 1
    }

    /// Remove one, unless that happened already.
    pub(super) fn take(&mut self, number: u64) -> Option<Outstanding> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let taken = self.slots.get_mut(index)?.take();
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        taken
    }

    /// Remove the oldest if its time limit has passed.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Option<Outstanding> {
        match self.slots.front() {
            Some(Some(oldest)) if oldest.deadline <= now => self.take(self.first),
            _ => None,
        }
    }

    /// Remove the one with this message id.
    pub(super) fn take_message(&mut self, message_id: &str) -> Option<Outstanding> {
        let named =
            |slot: &Option<Outstanding>| slot.as_ref().is_some_and(|one| one.message_id == message_id);
        let index = self.slots.iter().position(named)?;
        self.take(self.first + index as u64)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
