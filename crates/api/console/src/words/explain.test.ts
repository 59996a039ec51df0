import { expect, test } from 'vitest';
import { EXPLAINED_CODES, explain } from './explain';
import { shortResult, statusWord, whyDisabled } from './status';

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
    [null, 418, /not tried again/],
    [null, 429, /rate limit/],
    [null, 500, /error log/],
    [null, 599, /tried again by itself/],
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

test('pending is retrying once it has failed', () => {
  expect(statusWord({ status: 'pending', attemptCount: 0 })).toBe('Pending');
  expect(statusWord({ status: 'pending', attemptCount: 1 })).toBe('Retrying');
  expect(statusWord({ status: 'succeeded', attemptCount: 3 })).toBe('Delivered');
});

test('a disabled endpoint says why', () => {
  expect(whyDisabled(null)).toBeNull();
  expect(whyDisabled('manual')?.what).toBe('Disabled by hand.');
  expect(whyDisabled('gone')?.what).toContain('410');
  expect(whyDisabled('consecutive_failures')?.remedy).toContain('recover');
});
