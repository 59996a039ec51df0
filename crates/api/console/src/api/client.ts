// The one place that speaks HTTP: the envelope, problems, and the Idempotency-Key of every change.

export interface FieldProblem {
  field: string;
  code: string;
  message: string;
}

/** The API answered, and it was not a yes. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly fields: FieldProblem[],
    readonly requestId: string | null,
    /** Seconds to wait, of a 429 or 503. */
    readonly retryAfter: number | null,
  ) {
    super(detail);
  }
}

/** No answer reached us. */
export class Unreachable extends Error {
  constructor() {
    super('the service cannot be reached');
  }
}

export interface Answer<T> {
  data: T;
  pagination: { cursor: string | null; has_more: boolean; count: number } | null;
  /** The body as it came, for what must stay byte for byte. */
  text: string;
}

export type Query = Record<string, string | number | undefined>;

let onSignedOut: () => void = () => {};

/** Called when an answer says that nobody is signed in (any more). */
export function whenSignedOut(act: () => void): void {
  onSignedOut = act;
}

export function url(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return `/api/v1/${path}${text ? `?${text}` : ''}`;
}

export async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<Answer<T>> {
  return send<T>(url(path, query), { method: 'GET', ...(signal && { signal }) });
}

/**
 * Makes a change. `key` makes a repetition harmless: a form passes the same one for as long as it tries to send the
 * same thing; without it each call is a change of its own.
 */
export async function change<T>(
  method: 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  key: string | null = freshKey(),
): Promise<Answer<T>> {
  const headers: Record<string, string> = {};
  if (key !== null) headers['Idempotency-Key'] = key;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  return send<T>(url(path), {
    method,
    headers,
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

export function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

async function send<T>(path: string, init: RequestInit): Promise<Answer<T>> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, { ...init, credentials: 'same-origin', cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Unreachable();
  }
  if (!response.ok) {
    const problem = problemOf(response.status, response.headers.get('retry-after'), text);
    if (problem.status === 401 && !(init.method === 'POST' && path === '/api/v1/session')) onSignedOut();
    throw problem;
  }
  const body = text ? parsed(text) : null;
  return {
    data: (body?.data ?? null) as T,
    pagination: (body?.meta as { pagination?: Answer<T>['pagination'] } | undefined)?.pagination ?? null,
    text,
  };
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}

/** A problem out of whatever came: a proxy in between answers with pages of its own. */
export function problemOf(status: number, retryAfter: string | null, text: string): Problem {
  const body = parsed(text);
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  return new Problem(
    status,
    typeof body?.code === 'string' ? body.code : 'unknown',
    typeof body?.detail === 'string' ? body.detail : `the answer was HTTP ${status}`,
    Array.isArray(body?.errors) ? (body.errors as FieldProblem[]) : [],
    typeof body?.request_id === 'string' ? body.request_id : null,
    Number.isFinite(seconds) ? seconds : null,
  );
}
