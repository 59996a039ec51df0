import { expect, test } from 'vitest';
import { count, counted, percent } from './numbers';

test('a rate is never rounded up to perfection', () => {
  for (const [part, words] of [[null, '–'], [1, '100 %'], [0.99999, '99.9 %'], [0.8785, '87.8 %'], [0.5, '50 %'], [0.0004, '0 %'], [0, '0 %']] as const) {
    expect(percent(part), String(part)).toBe(words);
  }
});

test('counts agree with their nouns', () => {
  expect(count(12_345)).toBe('12,345');
  expect(counted(1, 'delivery', 'deliveries')).toBe('1 delivery');
  expect(counted(0, 'attempt')).toBe('0 attempts');
});
