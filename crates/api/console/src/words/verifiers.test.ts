import { expect, test } from 'vitest';
import type { Profile } from '../api/types';
import { PROFILES } from './profiles';
import { LANGUAGES, loopbackPort, PLACEHOLDER, runCommand, verifier } from './verifiers';

test('there is a verifier for each product in each language, with a place for the secret', () => {
  for (const profile of Object.keys(PROFILES) as Profile[]) {
    for (const { extension, name } of LANGUAGES) {
      const text = verifier(profile, extension, null);
      expect(text, `docs/receiving/verify/${profile}.${extension} is missing`).not.toBeNull();
      expect(text, `${profile} ${name}`).toContain(PLACEHOLDER);
      const filled = verifier(profile, extension, 'whsec_abc');
      expect(filled).toContain('whsec_abc');
      expect(filled).not.toContain(PLACEHOLDER);
    }
  }
});

test('a receiver on this machine listens where the endpoint sends to', () => {
  for (const profile of Object.keys(PROFILES) as Profile[]) {
    for (const language of LANGUAGES) {
      const text = verifier(profile, language.extension, null, '4017');
      expect(text, `${profile} ${language.name}`).toContain('4017');
      expect(text, `${profile} ${language.name}`).not.toMatch(/\b3000\b/);
    }
  }
  expect(LANGUAGES.map((language) => runCommand(language, '4017'))).toContain('php -S 127.0.0.1:4017 receiver.php');
  expect(loopbackPort('http://127.0.0.1:4017/hooks')).toBe('4017');
  expect(loopbackPort('http://localhost/hooks')).toBe('80');
  expect(loopbackPort('https://hooks.example.com:8443/')).toBeNull();
  expect(loopbackPort('nonsense')).toBeNull();
});

test('a receiver that takes two secrets refuses to start until the old one is filled in', () => {
  for (const { extension, name } of LANGUAGES) {
    // Each compares the end of every secret with this.
    expect(verifier('buildworkpro', extension, 'whsec_abc'), name).toContain('_REPLACE_ME');
  }
});
