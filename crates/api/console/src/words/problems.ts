// What the console says when the API refuses a request or does not answer.

import { Problem, Unreachable } from '../api/client';
import { span } from './time';

export interface Said {
  title: string;
  detail: string;
  /** Whether the same request may succeed later. */
  mayRetry: boolean;
}

export function said(error: unknown): Said {
  if (error instanceof Unreachable) {
    return {
      title: 'The service cannot be reached',
      detail: 'Check your network connection. If it works, the service may be restarting: try again in a moment.',
      mayRetry: true,
    };
  }
  if (!(error instanceof Problem)) {
    return { title: 'Something went wrong in this page', detail: String(error), mayRetry: true };
  }
  const wait = error.retryAfter === null ? 'in a moment' : `in ${span(error.retryAfter)}`;
  switch (error.status) {
    case 401:
      return { title: 'You are not signed in', detail: 'Sign in to go on.', mayRetry: false };
    case 403:
      return {
        title: 'You may not do this',
        detail: `${sentence(error.detail)} A company_admin of your company can do it, or give you the role.`,
        mayRetry: false,
      };
    case 404:
      return {
        title: 'There is nothing here',
        detail: `${sentence(error.detail)} It may have been deleted, be past retention, or belong to another company.`,
        mayRetry: false,
      };
    case 429:
      return { title: 'Too many requests', detail: `${sentence(error.detail)} Try again ${wait}.`, mayRetry: true };
    default:
      if (error.status >= 500) {
        return {
          title: error.status === 503 ? 'Not possible at the moment' : 'A fault of the service',
          detail: `${sentence(error.detail)} Try again ${wait}.`,
          mayRetry: true,
        };
      }
      return {
        title: 'That was not accepted',
        detail: error.fields.map((fault) => ended(`${fault.field} ${fault.message}`)).join(' ') || sentence(error.detail),
        mayRetry: false,
      };
  }
}

/** The API writes lower case without a full stop; a page does not. */
export const sentence = (text: string): string => ended(text.charAt(0).toUpperCase() + text.slice(1));

const ended = (text: string) => (/[.!?…]$/.test(text) ? text : `${text}.`);

/**
 * A 422's messages by field, and those of fields that the form does not have. `eventTypes[2]` belongs to `eventTypes`,
 * `data.items[0]` to `data`.
 */
export function fieldFaults(error: unknown, known: readonly string[]): { by: Record<string, string>; rest: string[] } {
  const by: Record<string, string> = {};
  const rest: string[] = [];
  if (!(error instanceof Problem)) return { by, rest };
  for (const fault of error.fields) {
    const root = known.find((name) => fault.field === name || fault.field.startsWith(`${name}.`) || fault.field.startsWith(`${name}[`));
    if (root === undefined) {
      rest.push(ended(`${fault.field} ${fault.message}`));
      continue;
    }
    const text = fault.field === root ? ended(`This ${fault.message}`) : ended(`${fault.field} ${fault.message}`);
    by[root] = by[root] ? `${by[root]} ${text}` : text;
  }
  return { by, rest };
}
