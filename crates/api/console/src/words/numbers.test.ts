import { expect, test } from 'vitest';
import { count, counted, percent } from './numbers';

test('a rate is rounded to the nearest tenth, and never to all or nothing', () => {
  for (const [part, words] of [[null, '–'], [1, '100 %'], [0.99999, '99.9 %'], [0.8786, '87.9 %'], [2 / 3, '66.7 %'], [1 / 3, '33.3 %'], [0.5, '50 %'], [0.0004, '0.1 %'], [0, '0 %']] as const) {
    expect(percent(part), String(part)).toBe(words);
  }
});

test('counts agree with their nouns', () => {
  expect(count(12_345)).toBe('12,345');
  expect(counted(1, 'delivery', 'deliveries')).toBe('1 delivery');
  expect(counted(0, 'attempt')).toBe('0 attempts');
});
