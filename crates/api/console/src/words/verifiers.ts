// Ready-to-paste verifiers: the files of docs/receiving/verify, filled in with an endpoint's secret.

import type { Profile } from '../api/types';

const files = import.meta.glob<string>('../../../../../docs/receiving/verify/*', {
  query: '?raw',
  import: 'default',
  eager: true,
});

export const PLACEHOLDER = 'whsec_REPLACE_ME';

/** `run` is what starts the file, after its environment. */
export const LANGUAGES = [
  { extension: 'js', name: 'Node', run: 'node receiver.mjs' },
  { extension: 'py', name: 'Python', run: 'python3 receiver.py' },
  { extension: 'go', name: 'Go', run: 'go run receiver.go' },
  { extension: 'rb', name: 'Ruby', run: 'ruby receiver.rb' },
  { extension: 'php', name: 'PHP', run: 'php -S 127.0.0.1:3000 receiver.php' },
  { extension: 'rs', name: 'Rust', run: 'cargo run' },
] as const;

/** The port that a receiver listens on unless told. */
const PORT = '3000';

/** The port of a URL that leads to this very machine; null for any other. */
export function loopbackPort(url: string): string | null {
  try {
    const { hostname, port, protocol } = new URL(url);
    if (!/^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(hostname)) return null;
    return port || (protocol === 'https:' ? '443' : '80');
  } catch {
    return null;
  }
}

/** The verifier for a profile; null when there is no such file. `port` takes the place of its default. */
export function verifier(profile: Profile, extension: string, secret: string | null, port: string | null = null): string | null {
  const text = Object.entries(files).find(([path]) => path.endsWith(`/verify/${profile}.${extension}`))?.[1];
  if (text === undefined) return null;
  const ported = port === null ? text : text.replace(/\b3000\b/g, port);
  return secret === null ? ported : ported.replaceAll(PLACEHOLDER, secret);
}

/** The command that starts what was pasted. */
export const runCommand = (language: (typeof LANGUAGES)[number], port: string | null): string => language.run.replace(PORT, port ?? PORT);
