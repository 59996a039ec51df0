import { expect, test } from 'vitest';
import { Problem, problemOf, Unreachable } from '../api/client';
import { fieldFaults, said, sentence } from './problems';

const problem = (status: number, body: object, retryAfter: string | null = null) => problemOf(status, retryAfter, JSON.stringify(body));

test('every refusal is said in words, and whether another try may help', () => {
  expect(said(new Unreachable())).toMatchObject({ mayRetry: true, title: 'The service cannot be reached' });
  expect(said(problem(429, { code: 'rate_limited', detail: 'too many requests' }, '90'))).toMatchObject({
    mayRetry: true,
    detail: 'Too many requests. Try again in 1 min 30 s.',
  });
  expect(said(problem(403, { detail: 'the role `member` does not allow it' })).detail).toContain('company_admin');
  expect(said(problem(404, { detail: 'no such delivery' })).mayRetry).toBe(false);
  expect(said(problem(503, { detail: 'the database is away' }))).toMatchObject({ mayRetry: true, title: 'Not possible at the moment' });
  expect(said(problem(409, { detail: 'no secret is prepared' })).detail).toBe('No secret is prepared.');
  expect(said(new Error('oops')).mayRetry).toBe(true);
});

test('an answer that is not ours is a problem all the same', () => {
  const found = problemOf(502, 'Wed, 21 Oct 2026 07:28:00 GMT', '<html>bad gateway</html>');
  expect(found).toBeInstanceOf(Problem);
  expect(found).toMatchObject({ status: 502, code: 'unknown', fields: [], retryAfter: null, requestId: null });
});

test('faults stand at their fields', () => {
  const refused = problem(422, {
    errors: [
      { field: 'url', code: 'invalid', message: 'must be https' },
      { field: 'eventTypes[1]', code: 'unknown_event_type', message: 'is not an event type' },
      { field: 'eventTypes[2]', code: 'unknown_event_type', message: 'is not an event type' },
      { field: 'data.items[0].price', code: 'schema_violation', message: 'must be a number' },
      { field: 'dataset', code: 'unknown', message: 'is not a field of this request: leave it out' },
    ],
  });
  const { by, rest } = fieldFaults(refused, ['url', 'eventTypes', 'data']);
  expect(by).toEqual({
    url: 'This must be https.',
    eventTypes: 'eventTypes[1] is not an event type. eventTypes[2] is not an event type.',
    data: 'data.items[0].price must be a number.',
  });
  expect(rest).toEqual(['dataset is not a field of this request: leave it out.']);
});

test('a sentence begins and ends as one', () => {
  expect(sentence('is required')).toBe('Is required.');
  expect(sentence('Really?')).toBe('Really?');
});
