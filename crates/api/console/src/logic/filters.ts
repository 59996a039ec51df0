// The delivery log's filters, kept in the page's address so that a link shows what its sender saw.

import type { Query } from '../api/client';
import type { Status } from '../api/types';

export const STATUSES: readonly Status[] = ['pending', 'succeeded', 'failed', 'exhausted', 'skipped'];

/** Ranges that end now: a link with one shows the same stretch of time whenever it is opened. */
export const RANGES = {
  '1h': { label: 'Last hour', ms: 3_600_000 },
  '24h': { label: 'Last 24 hours', ms: 86_400_000 },
  '7d': { label: 'Last 7 days', ms: 7 * 86_400_000 },
  '30d': { label: 'Last 30 days', ms: 30 * 86_400_000 },
} as const;
export type Range = keyof typeof RANGES;

export interface Filters {
  status: Status | null;
  eventType: string | null;
  endpointId: number | null;
  eventId: string | null;
  range: Range | null;
  /** RFC 3339, in UTC; of a range that was chosen by its ends. */
  since: string | null;
  until: string | null;
}

export const NO_FILTERS: Filters = {
  status: null,
  eventType: null,
  endpointId: null,
  eventId: null,
  range: null,
  since: null,
  until: null,
};

/** What an address says; what cannot be understood is left out. */
export function filtersOf(search: URLSearchParams): Filters {
  const status = search.get('status') as Status | null;
  const endpointId = Number(search.get('endpoint') ?? Number.NaN);
  const range = search.get('range') as Range | null;
  return {
    status: status !== null && STATUSES.includes(status) ? status : null,
    eventType: search.get('type') || null,
    endpointId: Number.isSafeInteger(endpointId) && endpointId > 0 ? endpointId : null,
    eventId: search.get('event') || null,
    range: range !== null && Object.hasOwn(RANGES, range) ? range : null,
    since: instant(search.get('since')),
    until: instant(search.get('until')),
  };
}

function instant(text: string | null): string | null {
  const at = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? null : new Date(at).toISOString();
}

/** The same filters as an address; empty when there are none. */
export function searchOf(filters: Filters): URLSearchParams {
  const search = new URLSearchParams();
  if (filters.status) search.set('status', filters.status);
  if (filters.eventType) search.set('type', filters.eventType);
  if (filters.endpointId) search.set('endpoint', String(filters.endpointId));
  if (filters.eventId) search.set('event', filters.eventId);
  if (filters.range) search.set('range', filters.range);
  if (filters.since) search.set('since', filters.since);
  if (filters.until) search.set('until', filters.until);
  return search;
}

/** What the API is asked. `now` settles the ranges that end now. */
export function queryOf(filters: Filters, now: number): Query {
  const since = filters.range ? new Date(now - RANGES[filters.range].ms).toISOString() : filters.since;
  return {
    status: filters.status ?? undefined,
    eventType: filters.eventType ?? undefined,
    endpointId: filters.endpointId ?? undefined,
    eventId: filters.eventId ?? undefined,
    since: since ?? undefined,
    until: filters.range ? undefined : (filters.until ?? undefined),
  };
}

export const isFiltered = (filters: Filters): boolean => searchOf(filters).size > 0;

/** Whether the newest deliveries belong to what is shown, so that following them makes sense. */
export const reachesNow = (filters: Filters, now: number): boolean =>
  filters.range !== null || filters.until === null || Date.parse(filters.until) > now;
