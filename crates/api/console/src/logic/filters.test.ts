import { expect, test } from 'vitest';
import { type Filters, filtersOf, isFiltered, NO_FILTERS, queryOf, reachesNow, searchOf } from './filters';

const NOW = Date.parse('2026-11-26T12:00:00Z');

test('filters read back from the address they are written to', () => {
  const cases: Partial<Filters>[] = [
    {},
    { status: 'exhausted' },
    { eventType: 'bid.accepted', endpointId: 17 },
    { eventId: 'evt_0190', range: '24h' },
    { since: '2026-11-25T00:00:00.000Z', until: '2026-11-26T00:00:00.000Z' },
    { eventType: 'a&b=c d', status: 'pending' },
  ];
  for (const changes of cases) {
    const filters = { ...NO_FILTERS, ...changes };
    expect(filtersOf(new URLSearchParams(searchOf(filters).toString()))).toEqual(filters);
  }
  expect(searchOf(NO_FILTERS).toString()).toBe('');
});

test('what an address says and nobody understands is left out', () => {
  for (const search of ['status=lost', 'endpoint=abc', 'endpoint=-1', 'endpoint=1.5', 'range=99y', 'range=toString', 'since=yesterday', 'event=', 'other=1']) {
    expect(isFiltered(filtersOf(new URLSearchParams(search))), search).toBe(false);
  }
});

test('a range ends now and takes the place of chosen ends', () => {
  const query = queryOf({ ...NO_FILTERS, range: '1h', until: '2020-01-01T00:00:00.000Z' }, NOW);
  expect(query).toMatchObject({ since: '2026-11-26T11:00:00.000Z', until: undefined });
});

test('only a list that reaches now is followed', () => {
  expect(reachesNow(NO_FILTERS, NOW)).toBe(true);
  expect(reachesNow({ ...NO_FILTERS, range: '7d' }, NOW)).toBe(true);
  expect(reachesNow({ ...NO_FILTERS, until: '2026-11-26T11:00:00.000Z' }, NOW)).toBe(false);
  expect(reachesNow({ ...NO_FILTERS, until: '2026-11-26T13:00:00.000Z' }, NOW)).toBe(true);
});
