use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

const MINUTE_US: i64 = 60_000_000;

fn limit(per_minute: u32) -> NonZeroU32 {
    NonZeroU32::new(per_minute).expect("not zero")
}

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_000 + ms).expect("a time")
}

/// The second of a slot since the beginning, or how long the request is told to stay away, in ms.
fn told(turn: &Turn, now: Timestamp) -> Result<i64, i64> {
    match turn {
        Turn::Slot(slot) => Ok(slot.0 - at_ms(0).as_second()),
        Turn::Later { ask_again_at, .. } => Err(ask_again_at.as_millisecond() - now.as_millisecond()),
    }
}

fn new(window: &mut RateWindow, per_minute: u32, ms: i64, count: usize) -> Vec<Result<i64, i64>> {
    let now = at_ms(ms);
    let turns = window.reserve(limit(per_minute), now, &vec![None; count]);
    turns.iter().map(|turn| told(turn, now)).collect()
}

fn place(turn: &Turn) -> Place {
    match turn {
        Turn::Later { place, .. } => *place,
        Turn::Slot(slot) => panic!("a place expected, not {slot:?}"),
    }
}

#[test]
fn a_burst_within_the_limit_leaves_at_once_and_the_rest_spread_over_the_next_minute() {
    let mut window = RateWindow::new(at_ms(0));
    assert_eq!(new(&mut window, 3, 500, 3), [Ok(0), Ok(0), Ok(0)]);
    // One more finds a slot at the horizon; who comes then waits in the line, 62 s / 3 for each turn.
    assert_eq!(new(&mut window, 3, 900, 3), [Ok(62), Err(20_666), Err(41_333)]);
    assert_eq!((window.head, window.tail), (0, 2 * TURN));
}

#[test]
fn a_slot_is_free_again_when_its_cell_leaves_the_span() {
    let mut window = RateWindow::new(at_ms(0));
    assert_eq!(new(&mut window, 2, 0, 1), [Ok(0)]);
    assert_eq!(new(&mut window, 2, 30_000, 2), [Ok(30), Ok(62)]);
    assert_eq!(new(&mut window, 2, 61_999, 1), [Ok(92)]);
    assert_eq!(window.counts.len(), 93, "from cell 0 to cell 92");
    // What is older than a span is forgotten.
    assert_eq!(new(&mut window, 2, 500_000, 1), [Ok(500)]);
    assert_eq!(
        (window.first_second, window.counts.as_slice()),
        (at_ms(500_000).as_second(), &[1][..])
    );
}

#[test]
fn newcomers_do_not_overtake_the_line() {
    let mut window = RateWindow::new(at_ms(0));
    let turns = window.reserve(limit(1), at_ms(0), &[None; 4]);
    assert_eq!(told(&turns[1], at_ms(0)), Ok(62));
    let waiting = [place(&turns[2]), place(&turns[3])];
    // At 62 s one slot comes within reach. The first of the line has it, though a newcomer asks at the same time, and
    // though it is named last.
    let now = at_ms(62_000);
    let turns = window.reserve(limit(1), now, &[None, Some(waiting[1]), Some(waiting[0])]);
    assert_eq!(told(&turns[2], now), Ok(124));
    assert_eq!(told(&turns[1], now), Err(62_000));
    assert_eq!(told(&turns[0], now), Err(124_000));
    assert_eq!(place(&turns[1]), waiting[1], "a place is kept");
}

#[test]
fn who_missed_a_slot_goes_before_the_line() {
    let mut window = RateWindow::new(at_ms(0));
    let turns = window.reserve(limit(1), at_ms(0), &[None; 3]);
    let now = at_ms(64_500);
    let turns = window.reserve(limit(1), now, &[Some(place(&turns[2])), Some(Place::FRONT)]);
    assert_eq!(told(&turns[1], now), Ok(124));
    // The line has lost a turn by it; whoever stands in it keeps the place and asks when there is a cell again.
    assert_eq!(told(&turns[0], now), Err(59_500));
}

#[test]
fn a_changed_limit_applies_to_what_is_handed_out_after_it() {
    // Raised: the line moves faster, and nobody in it is passed.
    let mut window = RateWindow::new(at_ms(0));
    let turns = window.reserve(limit(1), at_ms(0), &[None; 5]);
    let first = place(&turns[2]);
    assert_eq!(new(&mut window, 62, 1_000, 1), [Err(3_000)]);
    let now = at_ms(2_100);
    assert_eq!(
        told(&window.reserve(limit(62), now, &[Some(first)])[0], now),
        Ok(2)
    );

    // Lowered: what was handed out stands, and the line slows down.
    let mut window = RateWindow::new(at_ms(0));
    let turns = window.reserve(limit(62), at_ms(0), &[None; 64]);
    let waiting = place(&turns[63]);
    assert_eq!(told(&turns[63], at_ms(0)), Err(1_000));
    let now = at_ms(1_000);
    let turns = window.reserve(limit(2), now, &[Some(waiting), None]);
    // Its turn would have come now.
    assert_eq!(told(&turns[0], now), Err(30_000));
    assert_eq!(told(&turns[1], now), Err(61_000));
}

#[test]
fn nobody_is_sent_away_for_long_unless_the_line_is_very_long() {
    for (length, longest_s) in [(100, 300), (6_000, 300), (60_000, 3_000)] {
        let mut window = RateWindow::new(at_ms(0));
        let turns = window.reserve(limit(1), at_ms(0), &vec![None; length]);
        let waits: Vec<i64> = turns
            .iter()
            .filter_map(|turn| told(turn, at_ms(0)).err())
            .collect();
        let longest = waits.iter().max().expect("somebody waits");
        assert!(*longest <= longest_s * 1_000, "{longest} ms of {length}");
        // Nor do they come back all at once.
        let mut seconds: Vec<i64> = waits.iter().map(|wait| wait / 1_000).collect();
        seconds.sort_unstable();
        let together = seconds.chunk_by(|a, b| a == b).map(<[i64]>::len).max();
        assert!(
            together.is_some_and(|together| together <= length / 50 + 1),
            "{together:?} of {length}"
        );
    }
}

#[test]
fn a_line_that_nobody_stands_in_any_more_is_forgotten() {
    let mut window = RateWindow::new(at_ms(0));
    new(&mut window, 1, 0, 10_000);
    // Their endpoint was disabled, and none of them came back.
    assert_eq!(new(&mut window, 1, 200_000, 1), [Ok(200)]);
}

#[test]
fn a_clock_that_is_set_back_is_waited_for_within_reason() {
    let mut window = RateWindow::new(at_ms(0));
    assert_eq!(new(&mut window, 1, 100_000, 1), [Ok(100)]);
    assert_eq!(new(&mut window, 1, 90_000, 1), [Ok(162)]);
    assert_eq!(new(&mut window, 1, -1_000_000, 1), [Ok(-1_000)]);
}

#[test]
fn the_largest_limit_and_the_longest_wait_do_not_overflow() {
    let mut window = RateWindow::new(Timestamp::UNIX_EPOCH);
    let most = NonZeroU32::new(u32::MAX).expect("not zero");
    for now in [Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        assert!(matches!(window.reserve(most, now, &[None])[0], Turn::Slot(_)));
        window.tail = i64::MAX;
        let turns = window.reserve(limit(1), now, &[Some(Place(i64::MAX)), Some(Place::FRONT), None]);
        assert_eq!(turns.len(), 3);
    }
    assert!(Slot(i64::MAX).closes_at() >= Slot(i64::MAX).opens_at());
}

/// One request of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    number: usize,
    place: Option<Place>,
    asked: usize,
}

/// What a simulation observed.
struct Observed {
    /// When requests left, in µs, in order.
    sent: Vec<i64>,
    /// How often each asked at most.
    asked_max: usize,
}

/// Let requests arrive, ask, wait and leave; each comes back a little late, leaves at any moment that its slot allows,
/// and now and then misses it. `limit_at` is the limit in force at a time.
fn simulate(
    arrivals_us: &[i64],
    limit_at: impl Fn(i64) -> u32,
    mut chance: impl FnMut() -> f64,
    misses: f64,
) -> Observed {
    let time = |us: i64| Timestamp::from_microsecond(1_700_000_000_000_000 + us).expect("a time");
    let us = |time: Timestamp| time.as_microsecond() - 1_700_000_000_000_000;
    let mut window = RateWindow::new(time(0));
    let mut due: BinaryHeap<Reverse<(i64, Request)>> = arrivals_us
        .iter()
        .enumerate()
        .map(|(number, at)| {
            Reverse((
                *at,
                Request {
                    number,
                    place: None,
                    asked: 0,
                },
            ))
        })
        .collect();
    let mut observed = Observed {
        sent: vec![],
        asked_max: 0,
    };
    while let Some(Reverse((now, first))) = due.pop() {
        let mut together = vec![first];
        // Requests of the same moment, and a few of the next, share a reservation.
        while let Some(Reverse((at, _))) = due.peek()
            && *at <= now + 2_000
            && together.len() < 256
        {
            together.extend(due.pop().map(|Reverse((_, request))| request));
        }
        let now = now + 2_000;
        let asks: Vec<_> = together.iter().map(|request| request.place).collect();
        let turns = window.reserve(limit(limit_at(now)), time(now), &asks);
        assert!(window.counts.len() <= 130 && window.head <= window.tail);
        for (mut request, turn) in together.into_iter().zip(turns) {
            request.asked += 1;
            observed.asked_max = observed.asked_max.max(request.asked);
            assert!(request.asked < 10_000, "{request:?} starves");
            let back = match turn {
                Turn::Slot(slot) if chance() >= misses => {
                    let (from, until) = (us(slot.opens_at()).max(now), us(slot.closes_at()) - 1);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_precision_loss,
                        reason = "two seconds"
                    )]
                    observed
                        .sent
                        .push(from + ((until - from) as f64 * chance()) as i64);
                    continue;
                }
                Turn::Slot(slot) => {
                    request.place = Some(Place::FRONT);
                    us(slot.closes_at())
                }
                Turn::Later { place, ask_again_at } => {
                    assert!(request.place.is_none_or(|kept| kept == place));
                    request.place = Some(place);
                    us(ask_again_at)
                }
            };
            #[expect(clippy::cast_possible_truncation, reason = "below a second")]
            let late = (chance() * 300_000.0) as i64;
            due.push(Reverse((back.max(now) + late, request)));
        }
    }
    observed.sent.sort_unstable();
    observed
}

/// The most that left in any 60 s.
fn busiest(sent: &[i64]) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (index, at) in sent.iter().enumerate() {
        while sent[from] <= at - MINUTE_US {
            from += 1;
        }
        most = most.max(index + 1 - from);
    }
    most
}

/// Numbers in `0.0..1.0`, reproducible.
fn chances(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let share = (state >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn never_more_than_the_limit_in_any_60_s_and_everybody_leaves(
        per_minute in prop_oneof![1_u32..5, 1_u32..200, 200_u32..2_000],
        crowds in prop::collection::vec((0_i64..400_000_000, 1_usize..120), 1..12),
        seed: u64,
        misses in prop_oneof![Just(0.0), Just(0.05), Just(0.3)],
    ) {
        let arrivals: Vec<i64> = crowds.iter().flat_map(|(at, size)| vec![*at; *size]).collect();
        let observed = simulate(&arrivals, |_| per_minute, chances(seed), misses);
        prop_assert_eq!(observed.sent.len(), arrivals.len());
        let most = busiest(&observed.sent);
        prop_assert!(most <= per_minute as usize, "{} of {}", most, per_minute);
    }

    #[test]
    fn whatever_the_limit_becomes_it_holds_for_what_is_handed_out(
        limits in prop::collection::vec(1_u32..150, 1..6),
        crowds in prop::collection::vec((0_i64..600_000_000, 1_usize..100), 1..10),
        seed: u64,
    ) {
        let arrivals: Vec<i64> = crowds.iter().flat_map(|(at, size)| vec![*at; *size]).collect();
        let period = 600_000_000 / i64::try_from(limits.len()).expect("few");
        let limit_at = |us: i64| {
            let index = usize::try_from(us / period).unwrap_or(0).min(limits.len() - 1);
            limits[index]
        };
        let observed = simulate(&arrivals, limit_at, chances(seed), 0.02);
        prop_assert_eq!(observed.sent.len(), arrivals.len());
        // From a horizon after the last change on, nothing that an earlier limit handed out is left.
        let settled = 600_000_000 - period + (HORIZON_CELLS + 3) * 1_000_000;
        let late: Vec<i64> = observed.sent.iter().copied().filter(|at| *at >= settled).collect();
        let last = limits[limits.len() - 1] as usize;
        prop_assert!(busiest(&late) <= last, "{} of {}", busiest(&late), last);
    }

    #[test]
    fn a_backlog_moves_at_the_limit_and_each_asks_only_a_few_times(per_minute in 1_u32..300, seed: u64) {
        let count = per_minute as usize * 5;
        let observed = simulate(&vec![0; count], |_| per_minute, chances(seed), 0.0);
        prop_assert_eq!(observed.sent.len(), count);
        // Five times the limit takes four spans, and what of a fifth the spreading takes.
        let took = observed.sent[count - 1] / 1_000_000;
        prop_assert!(took <= 5 * SPAN_CELLS + 5, "{} s", took);
        prop_assert!(observed.asked_max <= 12, "{} times", observed.asked_max);
    }
}
