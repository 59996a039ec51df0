//! Which acknowledgements to send for what was settled: as few as are correct.
//!
//! `multiple` settles everything up to a tag, so it is used only up to the first tag that is still open.

use std::collections::VecDeque;

use super::Verdict;

/// A frame to send to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Ack { tag: u64, multiple: bool },
    Requeue { tag: u64 },
}

/// The tags of one channel. They count from one, without gaps.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// All tags up to here are settled and sent.
    done: u64,
    /// The fate of each tag after that.
    fates: VecDeque<Fate>,
    /// Acknowledged, but not sent.
    acked: Vec<u64>,
    settled: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Acked,
    Sent,
}

impl Settling {
    /// Note what became of a message. A requeue is a frame at once; acknowledgements wait for [`Self::flush`].
    pub(super) fn settle(&mut self, tag: u64, verdict: Verdict) -> Option<Frame> {
        let index = usize::try_from(tag.checked_sub(self.done + 1)?).ok()?;
        if index >= self.fates.len() {
            self.fates.resize(index + 1, Fate::Open);
        }
        if self.fates[index] != Fate::Open {
            return None;
        }
        self.settled += 1;
        match verdict {
            Verdict::Ack => {
                self.fates[index] = Fate::Acked;
                self.acked.push(tag);
                None
            }
            Verdict::Requeue => {
                self.fates[index] = Fate::Sent;
                Some(Frame::Requeue { tag })
            }
        }
    }

    /// The frames for everything that was acknowledged.
    pub(super) fn flush(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let (mut acks, mut last) = (0, 0);
        while let Some(fate @ (Fate::Acked | Fate::Sent)) = self.fates.front().copied() {
            self.fates.pop_front();
            self.done += 1;
            if fate == Fate::Acked {
                acks += 1;
                last = self.done;
            }
        }
        if acks > 0 {
            frames.push(Frame::Ack {
                tag: last,
                multiple: acks > 1,
            });
        }
        for tag in std::mem::take(&mut self.acked) {
            let Some(index) = tag
                .checked_sub(self.done + 1)
                .and_then(|index| usize::try_from(index).ok())
            else {
                continue; // Covered above.
            };
            self.fates[index] = Fate::Sent;
            frames.push(Frame::Ack { tag, multiple: false });
        }
        frames
    }

    /// How many messages were settled.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn acks(tags: &[u64]) -> Vec<Frame> {
        let mut settling = Settling::default();
        for tag in tags {
            assert_eq!(settling.settle(*tag, Verdict::Ack), None);
        }
        settling.flush()
    }

    #[test]
    fn a_run_from_the_oldest_is_one_frame_and_the_rest_are_single() {
        let one = |tag| Frame::Ack { tag, multiple: false };
        let upto = |tag| Frame::Ack { tag, multiple: true };
        for (tags, frames) in [
            (vec![], vec![]),
            (vec![1], vec![one(1)]),
            (vec![1, 2, 3], vec![upto(3)]),
            (vec![3, 1, 2], vec![upto(3)]),
            (vec![2], vec![one(2)]),
            (vec![2, 3], vec![one(2), one(3)]),
            (vec![1, 2, 4], vec![upto(2), one(4)]),
        ] {
            assert_eq!(acks(&tags), frames, "{tags:?}");
        }
    }

    #[test]
    fn a_second_verdict_changes_nothing() {
        let mut settling = Settling::default();
        assert_eq!(
            settling.settle(1, Verdict::Requeue),
            Some(Frame::Requeue { tag: 1 })
        );
        assert_eq!(settling.settle(1, Verdict::Ack), None);
        assert_eq!((settling.flush(), settling.settled()), (vec![], 1));
        assert_eq!(settling.settle(1, Verdict::Ack), None);
        assert_eq!((settling.flush(), settling.settled()), (vec![], 1));
    }

    proptest! {
        /// A broker in miniature applies the frames: nothing is acknowledged that was not, and nothing is left.
        #[test]
        fn no_frame_touches_what_is_open(order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
                                         requeued in prop::collection::vec(prop::bool::weighted(0.2), 60),
                                         flushed in prop::collection::vec(prop::bool::weighted(0.3), 60)) {
            let mut settling = Settling::default();
            let mut unacked: BTreeSet<u64> = (1..=60).collect();
            let mut acked = BTreeSet::new();
            for (n, tag) in order.into_iter().enumerate() {
                let verdict = if requeued[n] { Verdict::Requeue } else { Verdict::Ack };
                if verdict == Verdict::Ack { acked.insert(tag); }
                let mut frames: Vec<Frame> = settling.settle(tag, verdict).into_iter().collect();
                if flushed[n] || n == 59 { frames.extend(settling.flush()); }
                for frame in frames {
                    let settled: Vec<u64> = match frame {
                        Frame::Ack { tag, multiple: true } => unacked.range(..=tag).copied().collect(),
                        Frame::Ack { tag, multiple: false } => vec![tag],
                        Frame::Requeue { tag } => { prop_assert!(unacked.remove(&tag)); continue }
                    };
                    for tag in settled {
                        prop_assert!(unacked.remove(&tag), "{} was settled twice", tag);
                        prop_assert!(acked.contains(&tag), "{} was not acknowledged", tag);
                    }
                }
            }
            prop_assert!(unacked.is_empty());
            prop_assert_eq!(settling.settled(), 60);
        }
    }
}
