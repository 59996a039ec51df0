// What the API answers, as docs/API.md has it. Times are RFC 3339 in UTC.

export type Role = 'company_admin' | 'member';
export type Profile = 'buildworkpro' | 'buildr' | 'buildmarkets';
export type Status = 'pending' | 'succeeded' | 'failed' | 'exhausted' | 'skipped';
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface User {
  id: number;
  email: string;
  role: Role;
  createdAt: string;
}

export interface Session extends User {
  tenantId: number;
  tenantName: string;
  expiresAt: string;
}

export interface ApiKey {
  id: number;
  name: string;
  hint: string;
  scopes: string[];
  allowedIps: string[];
  createdAt: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

export interface Endpoint {
  id: number;
  uid: string;
  url: string;
  /** Empty: everything that the tenant emits. */
  eventTypes: string[];
  description: string | null;
  isActive: boolean;
  disabledReason: 'manual' | 'consecutive_failures' | 'gone' | null;
  disabledAt?: string | null;
  profile: Profile;
  rateLimit: number | null;
  headerNames: string[];
  consecutiveFailures: number;
  createdAt: string;
  updatedAt: string;
}

export interface EndpointInput {
  url: string;
  eventTypes: string[];
  description: string | null;
  rateLimit: number | null;
  headers?: Record<string, string>;
}

export interface Rotation {
  id: number;
  signingSecret?: string;
  activatesAt: string;
}

export interface Delivery {
  id: string;
  eventId: string;
  eventType: string;
  endpointId: number;
  status: Status;
  attemptCount: number;
  responseStatus: number | null;
  error: string | null;
  nextAttemptAt: string | null;
  createdAt: string;
  completedAt: string | null;
  replayOf: string | null;
}

export interface Timing {
  dnsMs: number | null;
  connectMs: number | null;
  tlsMs: number | null;
  waitMs: number | null;
  readMs: number | null;
}

export interface Attempt {
  number: number;
  startedAt: string;
  durationMs: number;
  requestHeaders: Record<string, string>;
  responseStatus: number | null;
  responseHeaders: Record<string, string> | null;
  responseBody: string | null;
  error: { code: string; message: string } | null;
  timing?: Timing | null;
}

export interface DeliveryDetail extends Delivery {
  payload: Json | null;
  /** The payload byte for byte, which a parsed number would not be. */
  payloadText: string | null;
  attempts: Attempt[];
  endpointUrl?: string | null;
  profile?: Profile;
}

export interface Event {
  id: string;
  type: string;
  createdAt: string;
  data: Json;
  dataText: string;
  previousAttributes: Json | null;
  previousAttributesText: string | null;
}

export interface EventType {
  name: string;
  description: string | null;
  schema: Json | null;
  example: Json | null;
  isCustom: boolean;
  deprecated: boolean;
  createdAt: string;
}

export interface Counts {
  succeeded: number;
  failed: number;
  exhausted: number;
  pending: number;
  skipped: number;
}

export interface EndpointStats extends Counts {
  endpointId: number;
  successRate: number | null;
  p95Ms: number | null;
  lastDeliveryAt: string | null;
  lastStatus: Status | null;
  series: { at: string; succeeded: number; unsuccessful: number; p95Ms: number | null }[];
}

export interface Stats {
  since: string;
  until: string;
  bucketSeconds: number;
  complete: boolean;
  totals: Counts;
  latency: { p50Ms: number; p95Ms: number; p99Ms: number } | null;
  buckets: (Counts & { at: string; p50Ms: number | null; p95Ms: number | null })[];
  endpoints: EndpointStats[];
}

export interface Page<T> {
  items: T[];
  cursor: string | null;
  hasMore: boolean;
}
