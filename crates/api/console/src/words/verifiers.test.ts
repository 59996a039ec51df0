import { expect, test } from 'vitest';
import type { Profile } from '../api/types';
import { PROFILES } from './profiles';
import { LANGUAGES, PLACEHOLDER, verifier } from './verifiers';

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
