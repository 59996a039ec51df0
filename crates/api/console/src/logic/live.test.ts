import { expect, test } from 'vitest';
import type { Delivery, Status } from '../api/types';
import { arrived, isTooLong, LIVE_ROWS_MAX, loaded, loadedLater, refreshed, released, WAITING_MAX } from './live';

const delivery = (number: number, status: Status = 'succeeded', attemptCount = 1): Delivery => ({
  id: `dlv_${String(number).padStart(6, '0')}`,
  eventId: 'evt_1',
  eventType: 'bid.created',
  endpointId: 1,
  status,
  attemptCount,
  responseStatus: null,
  error: null,
  nextAttemptAt: null,
  createdAt: '2026-11-26T12:00:00Z',
  completedAt: null,
  replayOf: null,
});
const page = (...numbers: number[]) => numbers.map((number) => delivery(number));
const numbers = (rows: Delivery[]) => rows.map((row) => Number(row.id.slice(4)));

test('a new delivery is shown on top, or held back while somebody reads', () => {
  const live = loaded(page(3, 2), 'more');
  expect(numbers(arrived(live, delivery(4), true).rows)).toEqual([4, 3, 2]);
  const held = arrived(arrived(live, delivery(4), false), delivery(5), false);
  expect(numbers(held.rows)).toEqual([3, 2]);
  expect(numbers(held.waiting)).toEqual([5, 4]);
  const shown = released(held);
  expect(numbers(shown.rows)).toEqual([5, 4, 3, 2]);
  expect(shown.waiting).toEqual([]);
});

test('a known delivery changes where it stands, also while somebody reads', () => {
  const live = loaded([delivery(3), delivery(2, 'pending'), delivery(1)], 'more');
  const changed = arrived(live, delivery(2, 'exhausted', 7), false);
  expect(numbers(changed.rows)).toEqual([3, 2, 1]);
  expect(changed.rows[1]?.status).toBe('exhausted');
  expect(changed.waiting).toEqual([]);
});

test('one that is held back and changes is counted once', () => {
  const held = arrived(arrived(loaded(page(1), 'more'), delivery(2, 'pending'), false), delivery(2, 'succeeded'), false);
  expect(held.waiting).toHaveLength(1);
  expect(held.waiting[0]?.status).toBe('succeeded');
});

test('an old answer does not undo what was told since', () => {
  const live = loaded([delivery(1, 'succeeded', 3), delivery(0, 'pending', 2)], null);
  const late = refreshed(live, [delivery(1, 'pending', 2), delivery(0, 'pending', 1)], null, true);
  expect(late.rows.map((row) => [row.status, row.attemptCount])).toEqual([
    ['succeeded', 3],
    ['pending', 2],
  ]);
});

test('what belongs on a later page is left to it, unless there is none', () => {
  expect(numbers(arrived(loaded(page(5, 4), 'more'), delivery(1), true).rows)).toEqual([5, 4]);
  expect(numbers(arrived(loaded(page(5, 4), null), delivery(1), true).rows)).toEqual([5, 4, 1]);
  expect(numbers(arrived(loaded([], null), delivery(1), true).rows)).toEqual([1]);
});

test('on a later page only what is newer than all there was is news', () => {
  const live = loadedLater(page(40, 39), 'more', delivery(90).id);
  expect(arrived(live, delivery(88, 'pending'), false)).toEqual(live);
  expect(numbers(arrived(live, delivery(91), false).waiting)).toEqual([91]);
  expect(arrived(live, delivery(40, 'failed'), false).rows[0]?.status).toBe('failed');
});

test('a refresh adds what was missed, in order, and takes nothing away', () => {
  const live = refreshed(loaded(page(3, 2, 1), 'more'), page(6, 5, 3), 'other', true);
  expect(numbers(live.rows)).toEqual([6, 5, 3, 2, 1]);
  // The page after it is the one after its last row, as before.
  expect(live.next).toBe('more');
  expect(numbers(refreshed(loaded(page(3, 2), 'more'), page(6, 5, 3), 'other', false).waiting)).toEqual([6, 5]);
});

test('where more happened than a page holds, nothing is shown as if it followed', () => {
  const live = loaded(page(3, 2), 'more');
  const shown = refreshed(live, page(90, 89), 'other', true);
  expect(shown).toEqual(loaded(page(90, 89), 'other'));
  // While somebody reads, their rows stay until they ask for the new ones.
  const held = arrived(refreshed(live, page(90, 89), 'other', false), delivery(91), true);
  expect(numbers(held.rows)).toEqual([3, 2]);
  expect(numbers(held.waiting)).toEqual([91, 90, 89]);
  expect(released(held)).toEqual(loaded(page(91, 90, 89), 'other'));
  // All there is on one page is no gap.
  expect(numbers(refreshed(loaded(page(1), null), page(3, 2), null, true).rows)).toEqual([3, 2, 1]);
});

test('what is kept has a bound', () => {
  let live = loaded(page(0), 'more');
  for (let n = 1; n <= WAITING_MAX + 50; n += 1) live = arrived(live, delivery(n), false);
  expect(live.waiting).toHaveLength(WAITING_MAX);
  expect(numbers(live.waiting)[0]).toBe(WAITING_MAX + 50);
  expect(isTooLong(loaded(page(...Array(LIVE_ROWS_MAX).keys()), 'more'))).toBe(false);
  expect(isTooLong(loaded(page(...Array(LIVE_ROWS_MAX + 1).keys()), 'more'))).toBe(true);
});
