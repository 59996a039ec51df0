// What several pages ask for, and how answers are kept.

import { QueryClient, useQuery } from '@tanstack/react-query';
import * as calls from './api/calls';
import { Problem } from './api/client';
import type { Profile } from './api/types';

/** A refusal stays one however often it is asked; an outage does not. */
const mayHelp = (failures: number, error: unknown) =>
  failures < 2 && !(error instanceof Problem && error.status < 500);

export const newClient = () =>
  new QueryClient({
    defaultOptions: {
      // Without a network a request fails, and says so; the library would rather wait and say nothing.
      mutations: { networkMode: 'always' },
      queries: { networkMode: 'always', staleTime: 5_000, retry: mayHelp, retryDelay: (attempt) => 500 * 2 ** attempt },
    },
  });

export const useEndpoints = () => useQuery({ queryKey: ['endpoints'], queryFn: calls.endpoints, staleTime: 10_000 });

export const useEndpoint = (id: number) =>
  useQuery({ queryKey: ['endpoints', id], queryFn: () => calls.endpoint(id) });

export const useEventTypes = (profile: Profile | 'plumbline') =>
  useQuery({ queryKey: ['event-types', profile], queryFn: () => calls.eventTypes(profile), staleTime: 60_000 });

/** The last 24 hours by endpoint: the figures at a glance. */
export const useDayStats = () =>
  useQuery({ queryKey: ['stats', '24h'], queryFn: () => calls.stats({}), staleTime: 15_000, refetchInterval: 30_000 });

/** Deliveries that were asked for a moment ago, and may not be on record yet. */
const expected = new Set<string>();
export const expectSoon = (id: string) => expected.add(id);

export const useDelivery = (id: string) =>
  useQuery({
    queryKey: ['delivery', id],
    queryFn: () => calls.delivery(id),
    retry: (failures, error) =>
      error instanceof Problem && error.status === 404 ? expected.has(id) && failures < 20 : mayHelp(failures, error),
    retryDelay: 300,
    staleTime: 0,
    refetchInterval: (query) => pollDelay(query.state.data),
  });

/** Milliseconds until a delivery that is not settled is worth another look. */
export function pollDelay(delivery: { status: string; nextAttemptAt: string | null } | undefined, now = Date.now()): number | false {
  if (delivery?.status !== 'pending') return false;
  const untilDue = delivery.nextAttemptAt === null ? 0 : Date.parse(delivery.nextAttemptAt) - now;
  return untilDue > 4_000 ? Math.min(untilDue - 2_000, 15_000) : 1_000;
}
