import { expect, test } from 'vitest';
import { subscribers, whoWants } from './subscribers';

test('who receives an event is told before it is published', () => {
  const endpoints = [
    { isActive: true, eventTypes: ['bid.created'] },
    { isActive: true, eventTypes: ['bid.created', 'bid.accepted'] },
    { isActive: false, eventTypes: ['bid.created', 'bid.rejected'] },
  ];
  expect(whoWants(subscribers(endpoints, 'bid.created'))).toBe('2 endpoints subscribe to this type. For 1 disabled endpoint it will be recorded as skipped.');
  expect(whoWants(subscribers(endpoints, 'bid.accepted'))).toBe('1 endpoint subscribes to this type.');
  expect(whoWants(subscribers(endpoints, 'bid.rejected'))).toMatch(/^No active endpoint .* sent to nobody\. For 1 disabled/);
  expect(whoWants(subscribers(endpoints, 'bid'))).toBe('No endpoint subscribes to this type: it will be sent to nobody.');
  // Without types it is subscribed to everything.
  expect(subscribers([{ isActive: true, eventTypes: [] }], 'anything')).toEqual({ active: 1, disabled: 0 });
});
