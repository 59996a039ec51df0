// An attempt as a command that a shell takes as it is.

import type { Profile } from '../api/types';

/** What the delivery log shows in place of the values of an endpoint's own headers. */
const HIDDEN = '[hidden]';
/** What curl sets by itself, and rightly so. */
const LEFT_TO_CURL = new Set(['content-length', 'host', 'connection', 'transfer-encoding', 'accept-encoding']);

/** One word of a POSIX shell, whatever is in it. */
export function shellQuoted(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export interface CurlRequest {
  url: string;
  headers: Record<string, string>;
  body: string | null;
}

/** A hidden value becomes a placeholder to fill in: `REPLACE_AUTHORIZATION`. */
export function curl({ url, headers, body }: CurlRequest): string {
  const parts = ['curl -i -X POST', shellQuoted(url)];
  for (const [name, value] of Object.entries(headers)) {
    if (LEFT_TO_CURL.has(name.toLowerCase())) continue;
    const shown = value === HIDDEN ? `REPLACE_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}` : value;
    // `-H 'Name;'` is how curl sends a header without a value.
    parts.push(`-H ${shellQuoted(shown === '' ? `${name};` : `${name}: ${shown}`)}`);
  }
  // Not --data: it drops line ends, and takes a leading @ for a file.
  if (body !== null) parts.push(`--data-raw ${shellQuoted(body)}`);
  return parts.join(' \\\n  ');
}

/** What a profile signs with, in lower case. */
const SIGNATURE_HEADERS: Record<Profile, string[]> = {
  buildworkpro: ['buildworkpro-signature'],
  buildr: ['svix-id', 'svix-timestamp', 'svix-signature'],
  buildmarkets: ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
};

/** The command that says why a signature does not fit, as of the moment when it was sent. The secret is left to fill in. */
export function verifyCommand(profile: Profile, headers: Record<string, string>, sentAt: string): string {
  const signed = Object.entries(headers).filter(([name]) => SIGNATURE_HEADERS[profile].includes(name.toLowerCase()));
  const parts = [`plumbline verify --profile ${profile}`, `--secret 'whsec_…'`, ...signed.map(([name, value]) => `--header ${shellQuoted(`${name}: ${value}`)}`)];
  return `${parts.join(' \\\n  ')} \\\n  --at ${sentAt} < body`;
}

export const hasHidden = (headers: Record<string, string>): boolean => Object.values(headers).includes(HIDDEN);
