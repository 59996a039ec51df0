// Following deliveries as they happen, over server-sent events, for as long as somebody looks.

import { session } from './calls';
import { Problem, type Query, url } from './client';
import type { Delivery } from './types';

export type StreamState = 'connecting' | 'live' | 'reconnecting';

export interface Follower {
  onState: (state: StreamState) => void;
  /** The stream is open, perhaps again: what happened before has to be loaded. */
  onReady: () => void;
  /** Deliveries that are new or have changed, the oldest first, a few times a second at most. */
  onDeliveries: (deliveries: Delivery[]) => void;
}

const GATHER_MS = 200;
const RECONNECT_MS_MAX = 30_000;

/** How long to wait before the next connection, after so many that failed in a row. */
export const reconnectDelay = (failures: number, random = Math.random()): number =>
  Math.min(1_000 * 2 ** failures, RECONNECT_MS_MAX) * (0.75 + random / 2);

/** Follows until the returned function is called. */
export function follow(query: Query, follower: Follower): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let gathering: ReturnType<typeof setTimeout> | undefined;
  let gathered: Delivery[] = [];
  let failures = 0;
  let isOver = false;

  const flush = () => {
    gathering = undefined;
    const deliveries = gathered;
    gathered = [];
    follower.onDeliveries(deliveries);
  };

  const again = (delay: number) => {
    source?.close();
    source = null;
    if (isOver) return;
    follower.onState('reconnecting');
    clearTimeout(timer);
    timer = setTimeout(open, delay);
  };

  const open = () => {
    source = new EventSource(url('webhook-deliveries/stream', query));
    source.addEventListener('ready', () => {
      failures = 0;
      follower.onState('live');
      follower.onReady();
    });
    source.addEventListener('delivery', (event) => {
      gathered.push(JSON.parse((event as MessageEvent<string>).data) as Delivery);
      gathering ??= setTimeout(flush, GATHER_MS);
    });
    source.addEventListener('end', () => {
      // Signed out, or an ordinary end: asking who is signed in tells which, and shows the door if need be.
      void whoIsThere().then((isSomebody) => isSomebody && again(1_000));
      source?.close();
    });
    source.addEventListener('error', () => {
      // The browser would try again by itself, but in step with everybody else's.
      failures += 1;
      const delay = reconnectDelay(failures);
      source?.close();
      void whoIsThere().then((isSomebody) => isSomebody && again(delay));
      follower.onState('reconnecting');
    });
  };

  follower.onState('connecting');
  open();
  return () => {
    isOver = true;
    clearTimeout(timer);
    clearTimeout(gathering);
    source?.close();
  };
}

/** An EventSource does not tell a 401 from an outage. */
async function whoIsThere(): Promise<boolean> {
  try {
    await session();
  } catch (error) {
    return !(error instanceof Problem && error.status === 401);
  }
  return true;
}
