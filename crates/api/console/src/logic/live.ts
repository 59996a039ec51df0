// How rows that arrive while somebody reads join those on the page: known ones change where they stand, new ones
// are shown on top or held back until the reader asks. Ids sort by time.

import type { Delivery } from '../api/types';

export interface Live {
  /** What is on the page, newest first. */
  rows: Delivery[];
  /** What arrived since and is held back, newest first. */
  waiting: Delivery[];
  /** Where the page after `rows` begins; null when they reach back to the first delivery there is. */
  next: string | null;
  /**
   * There are deliveries between `waiting` and `rows` that nobody told of: then what is waiting takes the place of the
   * rows, and this is where the page after it begins.
   */
  gap?: { next: string | null };
  /** On a page that is not the first: the newest delivery when it was loaded. Older ones that change are no news. */
  newest?: string;
}

export const LIVE_ROWS_MAX = 200;
/** Beyond this, only that there are more is of interest. */
export const WAITING_MAX = 999;

const newestFirst = (a: Delivery, b: Delivery) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);

/** The first page as it was just loaded. */
export const loaded = (rows: Delivery[], next: string | null): Live => ({ rows, waiting: [], next });

/** A later page as it was just loaded. */
export const loadedLater = (rows: Delivery[], next: string | null, newest: string): Live => ({ rows, waiting: [], next, newest });

/** A delivery that is new or has changed. `show`: whether a new one may appear at once. */
export function arrived(live: Live, delivery: Delivery, show: boolean): Live {
  const at = live.rows.findIndex((row) => row.id === delivery.id);
  if (at >= 0) return { ...live, rows: live.rows.with(at, newer(live.rows[at], delivery)) };
  const oldest = live.rows.at(-1);
  if (oldest && delivery.id < oldest.id && live.next !== null) return live; // It belongs on a later page.
  if (live.newest !== undefined && delivery.id <= live.newest) return live; // It belongs on an earlier one.
  if (show && !live.gap) return { ...live, rows: [...live.rows, delivery].sort(newestFirst) };
  const known = live.waiting.findIndex((row) => row.id === delivery.id);
  const waiting =
    known >= 0
      ? live.waiting.with(known, delivery)
      : [...live.waiting, delivery].sort(newestFirst).slice(0, WAITING_MAX);
  return { ...live, waiting };
}

/** A slow answer must not undo what the stream told in the meantime. */
function newer(known: Delivery | undefined, told: Delivery): Delivery {
  if (known && known.status !== 'pending' && told.status === 'pending') return known;
  return known && known.attemptCount > told.attemptCount ? known : told;
}

/** Show what was held back. */
export function released(live: Live): Live {
  if (live.gap) return loaded(live.waiting, live.gap.next);
  return { ...live, rows: [...live.waiting, ...live.rows].sort(newestFirst), waiting: [] };
}

/** Whether the page has become so long that it should be loaded anew. */
export const isTooLong = (live: Live): boolean => live.rows.length > LIVE_ROWS_MAX;

/**
 * A fresh first page over what is shown: what is on both changes in place, and what is new is treated as arrived.
 * Rows that are gone from it stay, because somebody may be reading them.
 */
export function refreshed(live: Live, rows: Delivery[], next: string | null, show: boolean): Live {
  const known = new Set([...live.rows, ...live.waiting].map((row) => row.id));
  const isApart = live.newest === undefined && live.rows.length > 0 && next !== null && !rows.some((row) => known.has(row.id));
  if (!isApart) return rows.reduceRight((state, row) => arrived(state, row, show), live);
  // A page was not enough for what happened meanwhile: a long outage, or an old page that was kept.
  return show ? loaded(rows, next) : { ...live, waiting: rows, gap: { next } };
}
