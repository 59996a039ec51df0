// Code that verifies what arrives, ready to paste.

import { useState } from 'react';
import type { Profile } from '../api/types';
import { LANGUAGES, verifier } from '../words/verifiers';
import { Code } from './code';

/** `secret` is filled in where it is known, which is just after it was made. */
export default function Verifier({ profile, secret }: { profile: Profile; secret: string | null }) {
  const [language, setLanguage] = useState<(typeof LANGUAGES)[number]>(LANGUAGES[0]);
  const text = verifier(profile, language.extension, secret);
  return (
    <div className="stack tight">
      <div className="segments wrap" role="group" aria-label="Language">
        {LANGUAGES.map((each) => (
          <button key={each.extension} type="button" aria-pressed={each === language} onClick={() => setLanguage(each)}>
            {each.name}
          </button>
        ))}
      </div>
      {text === null ? <p className="note">There is no verifier in {language.name} for this product yet.</p> : <Code title={`Verifier in ${language.name}`} text={text} />}
      {secret !== null && <p className="hint">The secret is filled in so that you can try it at once. In production, read it from your secrets manager.</p>}
    </div>
  );
}
