//! The publishes that wait to be sent, and those that await their confirms, in the order in which they were sent.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::reply::Reply;
use super::{Job, Route};
use crate::WorkQueue;
use plumbline_domain::lane::Lane;

/// How many messages of the bulk lane await their confirms at most: what the broker has in hand already, everybody
/// else's messages stand behind.
const BULK_MAX: usize = 8;

/// Jobs that wait to be sent. Those of the bulk lane go when no other waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    urgent: VecDeque<Job>,
    bulk: VecDeque<Job>,
}

impl Waiting {
    pub(super) fn add(&mut self, job: Job) {
        if job.is_bulk() {
            self.bulk.push_back(job);
        } else {
            self.urgent.push_back(job);
        }
    }

    /// The next to be sent beside those of the window.
    pub(super) fn next(&mut self, window: &Window) -> Option<Job> {
        self.urgent
            .pop_front()
            .or_else(|| (window.bulk < BULK_MAX).then(|| self.bulk.pop_front()).flatten())
    }

    /// Remove the oldest of either kind if its time limit has passed.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Option<Job> {
        [&mut self.urgent, &mut self.bulk]
            .into_iter()
            .find_map(|jobs| jobs.pop_front_if(|job| job.deadline <= now))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.bulk.is_empty()
    }
}

impl Job {
    pub(super) fn is_bulk(&self) -> bool {
        let bulk = |queue: WorkQueue| matches!(queue, WorkQueue::Events { lane: Lane::Bulk, .. });
        matches!(self.message.route, Route::Work(queue) if bulk(queue))
    }
}

/// One publish that awaits its confirm.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) message_id: String,
    pub(super) deadline: Instant,
    pub(super) reply: Reply,
    pub(super) is_bulk: bool,
}

/// Outstanding publishes by number. Numbers grow with the deadlines, so the oldest is in front.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    slots: VecDeque<Option<Outstanding>>,
    /// How many of them are of the bulk lane.
    bulk: usize,
}

impl Window {
    /// Add one; returns its number.
    pub(super) fn add(&mut self, outstanding: Outstanding) -> u64 {
        self.bulk += usize::from(outstanding.is_bulk);
        self.slots.push_back(Some(outstanding));
        self.first + self.slots.len() as u64 - 1
    }

    /// Remove one, unless that happened already.
    pub(super) fn take(&mut self, number: u64) -> Option<Outstanding> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let taken = self.slots.get_mut(index)?.take();
        self.bulk -= usize::from(taken.as_ref().is_some_and(|taken| taken.is_bulk));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Semaphore;

    use super::super::Message;
    use super::*;

    fn job(route: Route, id: &str, deadline: Instant) -> Job {
        let room = Arc::new(Semaphore::new(1))
            .try_acquire_owned()
            .expect("it is free");
        Job {
            message: Message {
                route,
                id: id.to_owned(),
                body: vec![],
                headers: None,
            },
            deadline,
            reply: Reply::one().0,
            room,
        }
    }

    fn send(waiting: &mut Waiting, window: &mut Window) -> Option<String> {
        let job = waiting.next(window)?;
        let id = job.message.id.clone();
        window.add(Outstanding {
            message_id: id.clone(),
            deadline: job.deadline,
            is_bulk: job.is_bulk(),
            reply: job.reply,
        });
        Some(id)
    }

    #[test]
    fn the_bulk_lane_goes_when_no_other_waits_and_never_fills_the_brokers_hands() {
        let queue = |lane| Route::Work(WorkQueue::Events { lane, shard: 0 });
        let (mut waiting, mut window, now) = (Waiting::default(), Window::default(), Instant::now());
        for n in 0..BULK_MAX + 2 {
            waiting.add(job(queue(Lane::Bulk), &format!("bulk {n}"), now));
        }
        waiting.add(job(queue(Lane::Fast), "fast", now + Duration::from_secs(1)));
        waiting.add(job(
            Route::Retries { after_ms: 250 },
            "retry",
            now + Duration::from_secs(1),
        ));
        assert_eq!(send(&mut waiting, &mut window).as_deref(), Some("fast"));
        assert_eq!(send(&mut waiting, &mut window).as_deref(), Some("retry"));
        for n in 0..BULK_MAX {
            assert_eq!(send(&mut waiting, &mut window), Some(format!("bulk {n}")));
        }
        assert_eq!(send(&mut waiting, &mut window), None);
        waiting.add(job(queue(Lane::Fast), "later", now + Duration::from_secs(1)));
        assert_eq!(send(&mut waiting, &mut window).as_deref(), Some("later"));
        assert!(window.take(2).is_some(), "the first of the bulk is confirmed");
        assert_eq!(send(&mut waiting, &mut window), Some(format!("bulk {BULK_MAX}")));
        assert!(
            waiting.take_overdue(now).is_some(),
            "what waits may wait too long"
        );
        assert!(waiting.is_empty());
    }
}
