//! An endpoint's rate limit: which request may leave when, so that no 60 s see more than the limit.
//!
//! Time is cut into cells of a second. A request reserves a [`Slot`], which is a cell, and leaves in it; the window
//! counts the slots of each cell. Slots are handed out for about a minute ahead. Whoever finds none there takes a
//! [`Place`] in a line and asks again when its turn is near: a line can be as long as it likes and costs no memory.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;

/// How long after the end of its cell a request may still leave, by the clock that handed the slot out.
pub const LATENESS: Duration = Duration::from_secs(1);
/// How many consecutive cells hold no more slots than the limit.
///
/// A request of cell `c` arrives in `[c, c + 2)`: the cell, and [`LATENESS`]. So what arrives in the 60 s from `t` is
/// of cells with `t - 2 < c < t + 60`: an open interval of 62 s, which holds at most 62 whole numbers.
pub const SPAN_CELLS: i64 = 62;
/// How many cells ahead of the present one slots are handed out. A changed limit takes effect after as many seconds.
pub const HORIZON_CELLS: i64 = 62;
/// The longest that somebody in the line is told to stay away, unless the line is very long: what a raised limit
/// takes to reach everybody.
pub const ASK_AGAIN_MAX: Duration = Duration::from_secs(5 * 60);
/// The shortest: who is next asks no more often than this.
pub const ASK_AGAIN_MIN: Duration = Duration::from_secs(1);
/// How many of one endpoint's line ask again in a second at most; a line too long for that and [`ASK_AGAIN_MAX`]
/// stays away for longer.
pub const ASKING_PER_SECOND_MAX: i64 = 20;

/// The fraction of a turn that positions in the line are counted in.
const TURN: i64 = 1_000_000;
/// A clock that was set back by no more than this is waited for; by more, the window starts anew.
const SET_BACK_MAX: Duration = Duration::from_secs(5 * 60);
/// Those told to stay away for the longest time come back over the last quarter of it, this many groups of them.
const GROUPS: u32 = 64;

/// Leave to send one request in one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub i64);

impl Slot {
    /// The first moment at which the request may leave.
    pub fn opens_at(self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// The moment at which it may leave no more: 2 s later.
    pub fn closes_at(self) -> Timestamp {
        Slot(self.0.saturating_add(1))
            .opens_at()
            .checked_add(LATENESS)
            .unwrap_or(Timestamp::MAX)
    }
}

/// Where somebody stands in an endpoint's line. Whoever keeps it is not overtaken by newcomers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub i64);

impl Place {
    /// Before everybody: for who had a slot and missed it.
    pub const FRONT: Self = Self(i64::MIN);
}

/// What a request that waits holds, so that it is not forgotten meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Leave to be sent.
    Slot(Slot),
    /// A place in the line.
    Place(Place),
}

/// What a request that asks for a slot gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The slot.
    Slot(Slot),
    /// There is none yet.
    Later {
        /// What to show at the next time.
        place: Place,
        /// When that is, at the earliest.
        ask_again_at: Timestamp,
    },
}

/// An endpoint's slots and line, as they stand between two reservations.
///
/// The line is measured in turns, not in times, so that a changed limit makes everybody in it move faster or slower.
/// Its head moves with time whether those that it passes come or not: nobody who has vanished holds up the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateWindow {
    /// The cell of the first count, in seconds since 1970.
    pub first_second: i64,
    /// How many slots of each cell are taken, from the first such cell to the last; at most some 130.
    pub counts: Vec<u32>,
    /// Up to here, those in the line may have a slot; in millionths of a turn.
    pub head: i64,
    /// The last place in the line that was given away; never below the head, and equal when nobody waits.
    pub tail: i64,
    /// When slots were last asked for.
    pub at: Timestamp,
}

impl RateWindow {
    /// A window in which nothing has been sent.
    pub fn new(at: Timestamp) -> Self {
        Self {
            first_second: at.as_second(),
            counts: vec![],
            head: 0,
            tail: 0,
            at,
        }
    }

    /// Hand out slots for a limit in requests per minute; an answer for each of `asks`, in their order. `None` asks for
    /// the first time. Those with a place go first, in the order of their places.
    pub fn reserve(&mut self, limit: NonZeroU32, now: Timestamp, asks: &[Option<Place>]) -> Vec<Turn> {
        let mut cells = self.advance(limit, now);
        let horizon = cells.present + HORIZON_CELLS;
        let mut order: Vec<usize> = (0..asks.len()).collect();
        order.sort_by_key(|index| asks[*index].map_or((true, Place::FRONT), |place| (false, place)));

        let mut turns = vec![None; asks.len()];
        for index in order {
            let ask = asks[index];
            let admitted = match ask {
                Some(Place(place)) => place <= self.head,
                None => self.head >= self.tail,
            };
            let found = admitted.then(|| cells.take());
            turns[index] = Some(match (found, ask) {
                (Some(second), _) if second <= horizon => {
                    // A slot that the line did not reckon with: it comes up one turn later.
                    if ask == Some(Place::FRONT) && self.head < self.tail {
                        self.head = self.head.saturating_sub(TURN);
                    }
                    Turn::Slot(Slot(second))
                }
                // Its turn, but no slot: the limit was lowered, or others needed a second one. When the cell that it
                // would get comes within the horizon, it is the first to ask.
                (Some(second), Some(place)) => self.later(place, Slot(second - HORIZON_CELLS).opens_at()),
                (None, Some(place)) => self.later(place, self.turn_of(place, limit)),
                (_, None) => {
                    self.tail = self.tail.saturating_add(TURN);
                    let place = Place(self.tail);
                    self.later(place, self.turn_of(place, limit))
                }
            });
        }
        (self.first_second, self.counts) = cells.taken_until(horizon);
        turns
            .into_iter()
            .map(|turn| turn.expect("each ask is in the order once"))
            .collect()
    }

    /// Let the line move on until now, and look at the cells from there.
    fn advance(&mut self, limit: NonZeroU32, now: Timestamp) -> Cells {
        if now < self.at {
            match Duration::try_from(self.at.duration_since(now)) {
                Ok(set_back) if set_back <= SET_BACK_MAX => {}
                _ => *self = Self::new(now),
            }
        }
        let now = now.max(self.at);
        let passed_us = i128::from(now.as_microsecond() - self.at.as_microsecond());
        let passed_turns = passed_us * i128::from(limit.get()) / i128::from(SPAN_CELLS);
        let head = i128::from(self.head) + passed_turns;
        self.head = i64::try_from(head).unwrap_or(i64::MAX).min(self.tail);
        self.at = now;

        let cells = Cells::new(self, limit, now.as_second());
        if cells.are_empty() {
            // Somebody in a real line would have had a slot within the last minute.
            self.head = self.tail;
        }
        cells
    }

    /// When the head comes to a place.
    fn turn_of(&self, place: Place, limit: NonZeroU32) -> Timestamp {
        let turns = i128::from(place.0) - i128::from(self.head);
        let wait_us = turns * i128::from(SPAN_CELLS) / i128::from(limit.get()) + 1;
        self.at
            .checked_add(Duration::from_micros(u64::try_from(wait_us).unwrap_or(0)))
            .unwrap_or(Timestamp::MAX)
    }

    fn later(&self, place: Place, wanted: Timestamp) -> Turn {
        let line_seconds = self.tail.saturating_sub(self.head) / TURN / ASKING_PER_SECOND_MAX;
        let longest = ASK_AGAIN_MAX.max(Duration::from_secs(u64::try_from(line_seconds).unwrap_or(0)));
        let group = u32::try_from((place.0 / TURN).rem_euclid(i64::from(GROUPS))).unwrap_or(0);
        let longest = longest - longest / 4 * group / GROUPS;
        let wait = Duration::try_from(wanted.duration_since(self.at)).unwrap_or_default();
        let wait = wait.clamp(ASK_AGAIN_MIN, longest);
        let ask_again_at = self.at.checked_add(wait).unwrap_or(Timestamp::MAX);
        Turn::Later { place, ask_again_at }
    }
}

/// The cells that matter to who asks now, the earliest with room found first.
struct Cells {
    limit: u32,
    /// How many slots a cell has at most that is not the present one: what waited together leaves spread, which costs
    /// nothing where it goes on for a minute.
    pace: u32,
    /// The cell of the first count.
    first: i64,
    counts: Vec<u32>,
    present: i64,
    /// No earlier cell has room.
    cursor: i64,
    room: u32,
}

impl Cells {
    fn new(window: &RateWindow, limit: NonZeroU32, present: i64) -> Self {
        let first = present - (SPAN_CELLS - 1);
        let mut counts = vec![0; usize::try_from(2 * SPAN_CELLS + HORIZON_CELLS).unwrap_or(0)];
        for (second, count) in (window.first_second..).zip(&window.counts) {
            if let Some(cell) = usize::try_from(second - first)
                .ok()
                .and_then(|index| counts.get_mut(index))
            {
                *cell = *count;
            }
        }
        let limit = limit.get();
        let mut cells = Self {
            limit,
            pace: limit.div_ceil(u32::try_from(SPAN_CELLS).unwrap_or(u32::MAX)),
            first,
            counts,
            present,
            cursor: present,
            room: 0,
        };
        cells.room = cells.room_at(present);
        cells
    }

    fn are_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The earliest cell with room, whose slot is taken now; it may lie beyond the horizon.
    fn take(&mut self) -> i64 {
        while self.room == 0 {
            self.cursor += 1;
            self.room = self.room_at(self.cursor);
        }
        self.room -= 1;
        *self.count_mut(self.cursor) += 1;
        self.cursor
    }

    /// How many more slots a cell has: the least that any span with it has left.
    fn room_at(&mut self, cell: i64) -> u32 {
        self.count_mut(cell + SPAN_CELLS - 1);
        let index = usize::try_from(cell - self.first).unwrap_or(0);
        let span = usize::try_from(SPAN_CELLS).unwrap_or(0);
        let around = &self.counts[index + 1 - span..index + span];
        let mut sum: u64 = around[..span].iter().map(|count| u64::from(*count)).sum();
        let mut fullest = sum;
        for (left, entered) in around.iter().zip(&around[span..]) {
            sum = sum + u64::from(*entered) - u64::from(*left);
            fullest = fullest.max(sum);
        }
        let left = u64::from(self.limit).saturating_sub(fullest);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        if cell == self.present {
            left
        } else {
            left.min(self.pace.saturating_sub(self.counts[index]))
        }
    }

    fn count_mut(&mut self, cell: i64) -> &mut u32 {
        let index = usize::try_from(cell - self.first).unwrap_or(0);
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        &mut self.counts[index]
    }

    /// The cells up to `last`, without the empty ones at either end.
    fn taken_until(mut self, last: i64) -> (i64, Vec<u32>) {
        self.counts
            .truncate(usize::try_from(last - self.first + 1).unwrap_or(0));
        let end = self
            .counts
            .iter()
            .rposition(|count| *count > 0)
            .map_or(0, |index| index + 1);
        self.counts.truncate(end);
        let empty = self.counts.iter().take_while(|count| **count == 0).count();
        self.counts.drain(..empty);
        (self.first + i64::try_from(empty).unwrap_or(0), self.counts)
    }
}

#[cfg(test)]
mod tests;
