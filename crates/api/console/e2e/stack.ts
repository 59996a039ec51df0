// The running stack that the console is tried against, as `.local/dev.env` of `make up` describes it.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start a stack with \`make up\` and source .local/dev.env, or run deploy/dev/console.sh e2e`);
  return value;
}

/** Where the console is served: by the API itself, unless it is being developed. */
export const CONSOLE = process.env.PLUMBLINE_CONSOLE_URL ?? required('PLUMBLINE_URL');
export const API = required('PLUMBLINE_URL');

export interface Person {
  email: string;
  password: string;
}

function plumbline(args: string[], input = ''): Record<string, unknown> {
  const out = execFileSync(`${required('PLUMBLINE_BIN')}/plumbline`, [...args, '--json'], {
    input,
    env: process.env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return JSON.parse(out.toString()) as Record<string, unknown>;
}

/** A company of its own for each run, with an admin: what earlier runs left behind is not seen. */
export function company(name: string): { tenant: number; admin: Person } {
  const tenant = plumbline(['tenant', 'create', '--name', name]).id as number;
  return { tenant, admin: person(tenant, 'company_admin') };
}

export function person(tenant: number, role: 'company_admin' | 'member'): Person {
  const who = {
    email: `${role === 'member' ? 'mia' : 'ada'}-${randomBytes(4).toString('hex')}@example.com`,
    password: `correct horse ${randomBytes(6).toString('hex')}`,
  };
  plumbline(['user', 'create', '--tenant', String(tenant), '--email', who.email, '--role', role, '--password-stdin'], `${who.password}\n`);
  return who;
}

/** An API key with every scope, for what happens outside of the console. */
export function apiKey(tenant: number): string {
  return plumbline(['api-key', 'create', '--tenant', String(tenant), '--name', 'e2e', '--scopes', '*']).key as string;
}

/** A request as a program makes it. */
export async function api<T>(key: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${API}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text ? (JSON.parse(text) as { data: T }).data : null) as T;
}

/** Waits until something holds. */
export async function until<T>(what: string, look: () => Promise<T | null | false | undefined> | T | null | false | undefined, seconds = 60): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
