// Where deliveries and endpoints stand, in few words. What to do about it is in explain.ts, which is longer and comes later.

import type { Delivery, Status } from '../api/types';

export interface Explanation {
  /** What happened, in one sentence. */
  what: string;
  /** What the reader can do about it. */
  remedy: string;
}

const SHORT: Record<string, string> = {
  timeout: 'Timeout',
  connect_failed: 'No connection',
  dns_failed: 'Name not found',
  tls_failed: 'TLS failed',
  reset: 'Connection broke',
  address_forbidden: 'Address forbidden',
  bad_response: 'Not HTTP',
  endpoint_disabled: 'Endpoint disabled',
  endpoint_deleted: 'Endpoint deleted',
};

/** The result in a word or two, for a table: `200`, `Timeout`. */
export function shortResult(error: string | null, status: number | null): string {
  if (error === 'endpoint_disabled' || error === 'endpoint_deleted') return SHORT[error] ?? error;
  if (status !== null) return String(status);
  return error === null ? '–' : (SHORT[error] ?? error);
}

const STATUS_WORDS: Record<Status, string> = {
  pending: 'Pending',
  succeeded: 'Delivered',
  failed: 'Failed',
  exhausted: 'Exhausted',
  skipped: 'Skipped',
};

/** A pending delivery that has failed before is one that is retried. */
export function statusWord(delivery: Pick<Delivery, 'status' | 'attemptCount'>): string {
  return delivery.status === 'pending' && delivery.attemptCount > 0 ? 'Retrying' : STATUS_WORDS[delivery.status];
}

export const statusName = (status: Status): string => STATUS_WORDS[status];

/** What a status means, in a sentence. */
export const STATUS_MEANING: Record<Status, string> = {
  pending: 'On its way, or waiting for its next attempt.',
  succeeded: 'The receiver answered with a 2xx.',
  failed: 'Stopped: the receiver refused it for good, or the endpoint was disabled or deleted.',
  exhausted: 'All attempts of the retry schedule failed.',
  skipped: 'The endpoint was disabled at the time, so nothing was sent.',
};

/** Why an endpoint is disabled, in a few words for a table. */
export function whyDisabledInShort(reason: string | null): string {
  switch (reason) {
    case 'consecutive_failures':
      return 'Too many failures in a row';
    case 'gone':
      return 'Answered 410 Gone';
    default:
      return 'By hand';
  }
}

/** Why an endpoint is disabled, and what to do; null while it is active. */
export function whyDisabled(reason: string | null): Explanation | null {
  switch (reason) {
    case null:
      return null;
    case 'consecutive_failures':
      return {
        what: 'Disabled by itself after too many failed attempts in a row.',
        remedy: 'Correct the receiver, enable the endpoint, then recover what it missed.',
      };
    case 'gone':
      return {
        what: 'Disabled because the receiver answered 410 Gone.',
        remedy: 'If it is not gone, correct its answer, enable the endpoint, then recover what it missed. Otherwise delete the endpoint.',
      };
    default:
      return { what: 'Disabled by hand.', remedy: 'Enable it when it should receive events again.' };
  }
}
