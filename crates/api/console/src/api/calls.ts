// One function for each route that the console uses.

import { rawMember } from '../logic/json';
import { type Answer, change, get, type Query } from './client';
import type {
  ApiKey,
  Delivery,
  DeliveryDetail,
  Endpoint,
  EndpointInput,
  Event,
  EventType,
  Page,
  Role,
  Rotation,
  Session,
  Stats,
  User,
} from './types';

const page = <T>(answer: Answer<T[]>): Page<T> => ({
  items: answer.data,
  cursor: answer.pagination?.cursor ?? null,
  hasMore: answer.pagination?.has_more ?? false,
});

/** Every page of a list that is short by its nature; `most` guards against one that is not. */
async function all<T>(path: string, query: Query = {}, most = 1_000): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const next: Page<T> = page(await get<T[]>(path, { ...query, limit: 100, cursor }));
    items.push(...next.items);
    cursor = next.hasMore ? (next.cursor ?? undefined) : undefined;
  } while (cursor !== undefined && items.length < most);
  return items;
}

// Sessions and users

export const session = async () => (await get<Session>('session')).data;
export const signIn = async (email: string, password: string) =>
  (await change<Session>('POST', 'session', { email, password }, null)).data;
export const signOut = () => change<null>('DELETE', 'session');
export const changePassword = (currentPassword: string, newPassword: string) =>
  change<null>('POST', 'session/password', { currentPassword, newPassword });
export const users = () => all<User>('users');
export const createUser = async (user: { email: string; role: Role; password: string }, key: string) =>
  (await change<User>('POST', 'users', user, key)).data;
export const updateUser = async (id: number, changes: Partial<{ role: Role; password: string }>) =>
  (await change<User>('PATCH', `users/${id}`, changes)).data;
export const deleteUser = (id: number) => change<null>('DELETE', `users/${id}`);

// API keys

export const apiKeys = () => all<ApiKey>('api-keys');
export const createApiKey = async (
  input: { name: string; scopes: string[]; allowedIps: string[]; mode: 'live' | 'test' },
  key: string,
) => (await change<ApiKey & { key?: string }>('POST', 'api-keys', input, key)).data;
export const revokeApiKey = (id: number) => change<null>('DELETE', `api-keys/${id}`);

// Endpoints

export const endpoints = () => all<Endpoint>('webhook-endpoints');
export const endpoint = async (id: number) => (await get<Endpoint>(`webhook-endpoints/${id}`)).data;
export const createEndpoint = async (input: EndpointInput, key: string) =>
  (await change<Endpoint & { signingSecret?: string }>('POST', 'webhook-endpoints', input, key)).data;
export const updateEndpoint = async (id: number, changes: Partial<EndpointInput & { isActive: boolean }>) =>
  (await change<Endpoint>('PATCH', `webhook-endpoints/${id}`, changes)).data;
export const enableEndpoint = async (id: number) =>
  (await change<Endpoint>('POST', `webhook-endpoints/${id}/enable`)).data;
export const deleteEndpoint = (id: number) => change<null>('DELETE', `webhook-endpoints/${id}`);
export const rotateSecret = async (id: number, activateInSeconds: number | null, key: string) =>
  (
    await change<Rotation>(
      'POST',
      `webhook-endpoints/${id}/rotate-secret`,
      activateInSeconds === null ? {} : { activateInSeconds },
      key,
    )
  ).data;
export const activateSecret = async (id: number) =>
  (await change<Rotation>('POST', `webhook-endpoints/${id}/activate-secret`)).data;
export const testEndpoint = async (id: number) =>
  (await change<{ eventId: string; deliveryId: string }>('POST', `webhook-endpoints/${id}/test`)).data;
export const recover = async (
  id: number,
  range: { since: string; until?: string | undefined },
  dryRun: boolean,
  key?: string,
) =>
  (
    await change<{ deliveries: number; startedAt?: string }>(
      'POST',
      `webhook-endpoints/${id}/recover`,
      { since: range.since, ...(range.until && { until: range.until }), dryRun },
      key,
    )
  ).data;

// Deliveries

export const deliveries = async (query: Query, signal?: AbortSignal) =>
  page(await get<Delivery[]>('webhook-deliveries', query, signal));
export const delivery = async (id: string): Promise<DeliveryDetail> => {
  const answer = await get<DeliveryDetail>(`webhook-deliveries/${encodeURIComponent(id)}`);
  const text = rawMember(answer.text, ['data', 'payload']);
  return { ...answer.data, payloadText: text === 'null' ? null : text };
};
export const replay = async (id: string) =>
  (await change<Delivery>('POST', `webhook-deliveries/${encodeURIComponent(id)}/replay`)).data;

// Events and their types

export const events = async (query: Query) => page(await get<Event[]>('events', query));
export const event = async (id: string): Promise<Event> => {
  const answer = await get<Event>(`events/${encodeURIComponent(id)}`);
  return {
    ...answer.data,
    dataText: rawMember(answer.text, ['data', 'data']) ?? 'null',
    previousAttributesText:
      answer.data.previousAttributes === null ? null : rawMember(answer.text, ['data', 'previousAttributes']),
  };
};
/** `body` is JSON text, so that the data goes out as it was typed. */
export const publish = async (body: string, key: string) =>
  (await change<{ id: string }>('POST', 'events', body, key)).data;
export const eventTypes = (profile: string) => all<EventType>('webhook-event-types', { profile });
export const eventType = async (name: string) =>
  (await get<EventType>(`webhook-event-types/${encodeURIComponent(name)}`)).data;
export const createEventType = async (body: string, key: string) =>
  (await change<EventType>('POST', 'webhook-event-types', body, key)).data;
export const updateEventType = async (name: string, body: string) =>
  (await change<EventType>('PATCH', `webhook-event-types/${encodeURIComponent(name)}`, body)).data;

// Figures

export const stats = async (query: Query) => (await get<Stats>('webhook-stats', query)).data;
