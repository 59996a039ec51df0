import { expect, test } from 'vitest';
import { EXPLAINED_CODES, explain, thenOf } from './explain';
import { shortResult, standing, statusWord, whyDisabled } from './status';

/** As domain::FailureCode has them. */
const CODES = ['timeout', 'connect_failed', 'dns_failed', 'tls_failed', 'reset', 'address_forbidden', 'bad_response', 'endpoint_disabled', 'endpoint_deleted'];

test('every error code has words of its own, and a remedy', () => {
  expect([...EXPLAINED_CODES].sort()).toEqual([...CODES].sort());
  for (const code of CODES) {
    const explanation = explain(code, null);
    expect(explanation?.what, code).toMatch(/\.$/);
    expect(explanation?.remedy, code).toMatch(/\.$/);
    expect(shortResult(code, null), code).not.toBe(code);
  }
});

test('every status says what to do, and a success nothing', () => {
  for (let status = 100; status < 600; status += 1) {
    const explanation = explain('bad_response', status);
    if (status >= 200 && status < 300) expect(explanation, String(status)).toBeNull();
    else expect(explanation?.remedy, String(status)).toMatch(/\.$/);
  }
});

test('what matters most is said', () => {
  const cases: [string | null, number | null, RegExp][] = [
    [null, 301, /never followed/],
    [null, 308, /never followed/],
    [null, 401, /secret, over the raw body/],
    [null, 403, /firewall/],
    [null, 404, /nothing at this path/],
    [null, 410, /gone for good/],
    [null, 418, /then replay/],
    [null, 429, /rate limit/],
    [null, 500, /error log/],
    [null, 599, /failed with 599/],
    ['tls_failed', null, /certificate/],
    ['address_forbidden', null, /not public/],
    // The state of the endpoint says more than the last answer before it.
    ['endpoint_disabled', 500, /Enable the endpoint/],
    ['something_new', null, /something new/],
  ];
  for (const [error, status, words] of cases) {
    const explanation = explain(error, status);
    expect(`${explanation?.what} ${explanation?.remedy}`, `${error} ${status}`).toMatch(words);
  }
  expect(explain(null, null)).toBeNull();
});

const DELIVERY = { eventType: 'bid.created', replayOf: null, error: null, responseStatus: null, nextAttemptAt: null };

test('pending is retrying once it has failed', () => {
  expect(statusWord({ ...DELIVERY, status: 'pending', attemptCount: 0 })).toBe('Pending');
  expect(statusWord({ ...DELIVERY, status: 'pending', attemptCount: 1 })).toBe('Retrying');
  expect(statusWord({ ...DELIVERY, status: 'succeeded', attemptCount: 3 })).toBe('Delivered');
  expect(statusWord({ ...DELIVERY, status: 'exhausted', attemptCount: 8 })).toBe('Exhausted');
});

test('that it is tried again is said only while it is', () => {
  const AGAIN = /tried again by itself/;
  for (const then of ['exhausted', 'test', 'settled'] as const) {
    for (const code of CODES) expect(explain(code, null, then)?.remedy, `${code} ${then}`).not.toMatch(AGAIN);
    for (let status = 300; status < 600; status += 1) {
      const explanation = explain(null, status, then);
      expect(`${explanation?.what} ${explanation?.remedy}`, `${status} ${then}`).not.toMatch(/is tried again/);
    }
  }
  for (const status of [408, 418, 429, 500, 502, 503, 504, 599]) {
    const explanation = explain(null, status, 'retried');
    expect(explanation?.remedy, String(status)).toMatch(AGAIN);
    expect(`${explanation?.what} ${explanation?.remedy}`, String(status)).not.toMatch(/not tried again/);
  }
  // An endpoint that is disabled gets nothing more.
  expect(explain('endpoint_disabled', 500, 'retried')?.remedy).not.toMatch(AGAIN);
});

test('a test is sent once, and what is replayed of it is not a test', () => {
  const sent = { ...DELIVERY, eventType: 'webhook.test', status: 'exhausted', attemptCount: 1, responseStatus: 500 } as const;
  expect(statusWord(sent)).toBe('Failed');
  expect(standing(sent)).toBe('The receiver answered 500.');
  expect(explain(null, 500, thenOf(sent))?.remedy).toMatch(/A test is sent once: repair the receiver and send another\.$/);
  const replayed = { ...sent, replayOf: 'dlv_1', attemptCount: 8 };
  expect(statusWord(replayed)).toBe('Exhausted');
  expect(thenOf(replayed)).toBe('exhausted');
  expect(thenOf({ ...replayed, status: 'pending' })).toBe('retried');
});

test('where a delivery stands is one thing, not what it may be', () => {
  const failed = { ...DELIVERY, status: 'failed', attemptCount: 1 } as const;
  expect(standing({ ...failed, responseStatus: 400 })).toBe('The receiver answered 400.');
  expect(standing({ ...failed, error: 'tls_failed' })).toBe('No answer: TLS failed.');
  expect(standing({ ...failed, error: 'endpoint_deleted', responseStatus: 500 })).toBe('Stopped: the endpoint was deleted.');
  expect(standing({ ...failed, status: 'exhausted', attemptCount: 8, error: 'timeout' })).toBe('No answer: timeout, and all 8 attempts failed.');
  expect(standing({ ...failed, status: 'pending' })).toBe('Attempt 2 is under way.');
  expect(standing({ ...failed, status: 'pending', nextAttemptAt: '2026-11-26T04:00:00Z' })).toBe('Waiting for attempt 2.');
});

test('a disabled endpoint says why', () => {
  expect(whyDisabled(null)).toBeNull();
  expect(whyDisabled('manual')?.what).toBe('Disabled by hand.');
  expect(whyDisabled('gone')?.what).toContain('410');
  expect(whyDisabled('consecutive_failures')?.remedy).toContain('recover');
});
