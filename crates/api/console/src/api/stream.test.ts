import { expect, test } from 'vitest';
import { pollDelay } from '../queries';
import { reconnectDelay } from './stream';

test('reconnections come later and later, and not in step', () => {
  expect(reconnectDelay(0, 0.5)).toBe(1_000);
  expect(reconnectDelay(3, 0.5)).toBe(8_000);
  expect(reconnectDelay(20, 0.5)).toBe(30_000);
  expect(reconnectDelay(20, 0)).toBe(22_500);
  expect(reconnectDelay(20, 1)).toBe(37_500);
});

test('a delivery is looked at while it is pending, often when an attempt is near', () => {
  const now = Date.parse('2026-11-26T12:00:00Z');
  const pending = (seconds: number) => ({ status: 'pending', nextAttemptAt: new Date(now + seconds * 1000).toISOString() });
  expect(pollDelay({ status: 'succeeded', nextAttemptAt: null }, now)).toBe(false);
  expect(pollDelay(undefined, now)).toBe(false);
  expect(pollDelay({ status: 'pending', nextAttemptAt: null }, now)).toBe(1_000);
  expect(pollDelay(pending(2), now)).toBe(1_000);
  expect(pollDelay(pending(10), now)).toBe(8_000);
  expect(pollDelay(pending(86_400), now)).toBe(15_000);
});
