// A page of the delivery log that stays up to date without moving under the reader.

import { useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useReducer, useRef, useState } from 'react';
import * as calls from '../api/calls';
import { follow, type StreamState } from '../api/stream';
import type { Delivery } from '../api/types';
import { type Filters, queryOf, reachesNow, searchOf } from '../logic/filters';
import { arrived, isTooLong, type Live, loaded, loadedLater, refreshed, released } from '../logic/live';

export const PAGE_ROWS = 50;
/** What leaves a filter is not told by the stream, so a page of what is pending looks again by itself. */
const PENDING_LOOK_MS = 10_000;
/** Without a stream the page looks this often. */
const FALLBACK_LOOK_MS = 15_000;

type Action =
  | { do: 'load'; rows: Delivery[]; next: string | null; newest: string | null }
  | { do: 'refresh'; rows: Delivery[]; next: string | null; show: boolean }
  /** `isPendingOnly`: what is not pending is news only of rows that are on the page. */
  | { do: 'arrive'; deliveries: Delivery[]; isPendingOnly: boolean; show: boolean }
  | { do: 'release' };

function reduce(live: Live | null, action: Action): Live | null {
  if (action.do === 'load') {
    return action.newest === null ? loaded(action.rows, action.next) : loadedLater(action.rows, action.next, action.newest);
  }
  if (!live) return live;
  if (action.do === 'release') return released(live);
  if (action.do === 'refresh') return refreshed(live, action.rows, action.next, action.show);
  return action.deliveries
    .filter((told) => !action.isPendingOnly || told.status === 'pending' || live.rows.some((row) => row.id === told.id))
    .reduce((state, delivery) => arrived(state, delivery, action.show), live);
}

export type LiveState = StreamState | 'paused' | 'fixed';

export function useLiveDeliveries(filters: Filters, cursor: string | null) {
  const key = `${searchOf(filters)}#${cursor ?? ''}`;
  const [live, dispatch] = useReducer(reduce, null);
  const [stream, setStream] = useState<StreamState>('connecting');
  const [isPaused, setIsPaused] = useState(false);
  const isReading = useRef(false);
  const isFirst = cursor === null;
  const followsNow = reachesNow(filters, Date.now());
  const show = useCallback(() => isFirst && !isReading.current && window.scrollY < 120, [isFirst]);

  const page = useQuery({
    queryKey: ['deliveries', key],
    queryFn: async ({ signal }) => {
      const query = queryOf(filters, Date.now());
      const [asked, first] = await Promise.all([
        calls.deliveries({ ...query, limit: PAGE_ROWS, cursor: cursor ?? undefined }, signal),
        isFirst ? null : calls.deliveries({ ...query, limit: 1 }, signal),
      ]);
      return { ...asked, newest: first ? (first.items[0]?.id ?? '') : null };
    },
    staleTime: 0,
    refetchInterval: () => {
      if (!followsNow || isPaused || !isFirst) return false;
      return stream !== 'live' ? FALLBACK_LOOK_MS : filters.status === 'pending' ? PENDING_LOOK_MS : false;
    },
    refetchOnWindowFocus: false,
  });

  // The first answer for this key is the page; later ones are news about it.
  const shownKey = useRef<string | null>(null);
  const [loadedKey, setLoadedKey] = useState<string | null>(null);
  useEffect(() => {
    if (!page.data) return;
    const { items: rows, newest } = page.data;
    const next = page.data.hasMore ? page.data.cursor : null;
    if (shownKey.current !== key) {
      shownKey.current = key;
      dispatch({ do: 'load', rows, next, newest });
      setLoadedKey(key);
    } else {
      dispatch({ do: 'refresh', rows, next, show: show() });
    }
  }, [page.data, key, show]);

  const refetch = useRef(page.refetch);
  refetch.current = page.refetch;
  const { status, endpointId, eventType, eventId } = filters;
  useEffect(() => {
    if (isPaused || !followsNow) return;
    return follow(
      {
        endpointId: endpointId ?? undefined,
        eventType: eventType ?? undefined,
        eventId: eventId ?? undefined,
        // A delivery that stops being pending would be told to nobody who asked for pending ones.
        status: status === null || status === 'pending' ? undefined : status,
      },
      {
        onState: setStream,
        onReady: () => void refetch.current(),
        onDeliveries: (deliveries) =>
          dispatch({ do: 'arrive', deliveries, isPendingOnly: status === 'pending', show: show() }),
      },
    );
  }, [isPaused, followsNow, endpointId, eventType, eventId, status, show]);

  const reload = useCallback(() => {
    shownKey.current = null;
    void refetch.current();
  }, []);

  useEffect(() => {
    if (live && isTooLong(live) && show()) reload();
  }, [live, show, reload]);

  const state: LiveState = !followsNow ? 'fixed' : isPaused ? 'paused' : stream;
  return {
    live: loadedKey === key ? live : null,
    page,
    state,
    pause: setIsPaused,
    release: () => dispatch({ do: 'release' }),
    /** Told while the pointer or the focus is on the rows: a row must not move from under a click. */
    reading: (is: boolean) => {
      isReading.current = is;
    },
  };
}
