import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { curl, hasHidden, shellQuoted, verifyCommand } from './curl';

test('a quoted word is one word of the shell, whatever is in it', () => {
  for (const text of ['', 'plain', "it's", '$HOME `id` $(id)', 'a "b" \\ c', 'two\nlines', "'", "''", '!history', '*', '~', '-n', 'ä 日本', '@file', ';&|<>']) {
    const out = execFileSync('/bin/sh', ['-c', `printf %s ${shellQuoted(text)}x`]).toString();
    expect(out, text).toBe(`${text}x`);
  }
});

test('the command sends what was sent', () => {
  const body = '{"note":"it\'s","huge":12345678901234567890,"x":1e400}';
  const command = curl({
    url: 'https://example.com/hooks?a=1&b=2',
    headers: { 'Content-Type': 'application/json', 'X-Team': '[hidden]', 'X-Empty': '', Host: 'example.com', 'BuildWorkPro-Signature': 't=1,v1=ab' },
    body,
  });
  // A shell splits it as curl would get it.
  const words = execFileSync('/bin/sh', ['-c', `curl() { printf '%s\\0' "$@"; }\n${command}`]).toString().split('\0').slice(0, -1);
  expect(words).toEqual([
    '-i',
    '-X',
    'POST',
    'https://example.com/hooks?a=1&b=2',
    '-H',
    'Content-Type: application/json',
    '-H',
    'X-Team: REPLACE_X_TEAM',
    '-H',
    'X-Empty;',
    '-H',
    'BuildWorkPro-Signature: t=1,v1=ab',
    '--data-raw',
    body,
  ]);
});

test('hidden values are told of', () => {
  expect(hasHidden({ A: 'b' })).toBe(false);
  expect(hasHidden({ A: '[hidden]' })).toBe(true);
});

test('the command that checks a signature has what was signed, and no more', () => {
  const headers = { 'BuildWorkPro-Signature': 't=1,v1=abc', 'BuildWorkPro-Event': 'bid.created', Authorization: '[hidden]' };
  expect(verifyCommand('buildworkpro', headers, '2026-11-26T02:45:28Z')).toBe(
    "plumbline verify --profile buildworkpro \\\n  --secret 'whsec_…' \\\n  --header 'BuildWorkPro-Signature: t=1,v1=abc' \\\n  --at 2026-11-26T02:45:28Z < body",
  );
});
