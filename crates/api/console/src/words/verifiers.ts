// Ready-to-paste verifiers: the files of docs/receiving/verify, filled in with an endpoint's secret.

import type { Profile } from '../api/types';

const files = import.meta.glob<string>('../../../../../docs/receiving/verify/*', {
  query: '?raw',
  import: 'default',
  eager: true,
});

export const PLACEHOLDER = 'whsec_REPLACE_ME';

export const LANGUAGES = [
  { extension: 'js', name: 'Node' },
  { extension: 'py', name: 'Python' },
  { extension: 'go', name: 'Go' },
  { extension: 'rb', name: 'Ruby' },
  { extension: 'php', name: 'PHP' },
  { extension: 'rs', name: 'Rust' },
] as const;

/** The verifier for a profile; null when there is no such file. */
export function verifier(profile: Profile, extension: string, secret: string | null): string | null {
  const text = Object.entries(files).find(([path]) => path.endsWith(`/verify/${profile}.${extension}`))?.[1];
  if (text === undefined) return null;
  return secret === null ? text : text.replaceAll(PLACEHOLDER, secret);
}
