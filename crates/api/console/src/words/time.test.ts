import { expect, test } from 'vitest';
import { fromLocalInput, fromNow, inUtc, milliseconds, span, toLocalInput } from './time';

test('a span is told by its two largest units', () => {
  for (const [seconds, words] of [[0, '0 s'], [0.4, '0 s'], [59, '59 s'], [60, '1 min'], [61, '1 min 1 s'], [3_600, '1 h'], [3_605, '1 h'], [12_000, '3 h 20 min'], [90_061, '1 d 1 h'], [-5, '0 s']] as const) {
    expect(span(seconds), String(seconds)).toBe(words);
  }
});

test('a time is told from now', () => {
  const now = new Date('2026-11-26T12:00:00Z');
  const at = (seconds: number) => new Date(now.getTime() + seconds * 1000);
  expect(fromNow(at(-2), now)).toBe('just now');
  expect(fromNow(at(-200), now)).toBe('3 min ago');
  expect(fromNow(at(200), now)).toBe('in 3 min');
  expect(fromNow(at(-90_000), now)).toBe('1 d ago');
});

test('durations are short', () => {
  for (const [ms, words] of [[null, '–'], [undefined, '–'], [0, '0 ms'], [0.312, '0.31 ms'], [3.14, '3.1 ms'], [12.6, '13 ms'], [999.4, '999 ms'], [1240, '1.24 s'], [12_345, '12.3 s']] as const) {
    expect(milliseconds(ms), String(ms)).toBe(words);
  }
});

test('a time is written in UTC to the millisecond', () => {
  expect(inUtc(new Date('2026-03-24T14:32:05.812Z'))).toBe('2026-03-24 14:32:05.812 UTC');
});

test('an input for a time means the same moment when it is read back', () => {
  for (const text of ['2026-03-24T14:32:05.000Z', '2026-07-01T00:00:00.000Z', '2024-02-29T23:59:59.000Z']) {
    expect(fromLocalInput(toLocalInput(new Date(text)))?.toISOString()).toBe(text);
  }
  expect(fromLocalInput('')).toBeNull();
  expect(fromLocalInput('tomorrow')).toBeNull();
});
