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

/** A test is one attempt; what is replayed of it is a delivery like any other. */
export const isTest = (delivery: Pick<Delivery, 'eventType' | 'replayOf'>): boolean => delivery.eventType === 'webhook.test' && delivery.replayOf === null;

export type Badged = Pick<Delivery, 'status' | 'attemptCount' | 'eventType' | 'replayOf'>;

/** A pending delivery that has failed before is one that is retried; a test is sent once, and has no attempts to exhaust. */
export function statusWord(delivery: Badged): string {
  if (delivery.status === 'exhausted' && isTest(delivery)) return STATUS_WORDS.failed;
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

/** Where one delivery stands, as far as it is known: what its newest attempt ended with, not what may be. */
export function standing(delivery: Badged & Pick<Delivery, 'error' | 'responseStatus' | 'nextAttemptAt'>): string {
  const { status, error, responseStatus, attemptCount } = delivery;
  switch (status) {
    case 'pending':
      return delivery.nextAttemptAt === null ? `Attempt ${attemptCount + 1} is under way.` : `Waiting for attempt ${attemptCount + 1}.`;
    case 'failed':
    case 'exhausted': {
      if (error === 'endpoint_disabled') return 'Stopped: the endpoint was disabled.';
      if (error === 'endpoint_deleted') return 'Stopped: the endpoint was deleted.';
      const answer = responseStatus !== null ? `The receiver answered ${responseStatus}` : error === null ? 'It failed' : `No answer: ${sentencePart(SHORT[error] ?? error)}`;
      return status === 'exhausted' && !isTest(delivery) ? `${answer}, and all ${attemptCount} attempts failed.` : `${answer}.`;
    }
    default:
      return STATUS_MEANING[status];
  }
}

/** `Timeout` within a sentence; `TLS failed` stays. */
const sentencePart = (words: string) => (/^[A-Z][a-z]/.test(words) ? words.charAt(0).toLowerCase() + words.slice(1) : words);

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
