// Code that verifies what arrives, ready to paste.

import { useState } from 'react';
import type { Profile } from '../api/types';
import { LANGUAGES, loopbackPort, runCommand, verifier } from '../words/verifiers';
import { Code } from './code';

const CHOSEN = 'plumbline-language';

/** What was chosen last in this browser. */
function storedLanguage(): (typeof LANGUAGES)[number] {
  try {
    const stored = localStorage.getItem(CHOSEN);
    return LANGUAGES.find((each) => each.extension === stored) ?? LANGUAGES[0];
  } catch {
    return LANGUAGES[0];
  }
}

interface VerifierProps {
  profile: Profile;
  /** Filled in where it is known, which is just after it was made. */
  secret: string | null;
  /** The endpoint's: a receiver on this very machine gets its port. */
  url: string;
  isPrepared?: boolean;
}

export default function Verifier({ profile, secret, url, isPrepared = false }: VerifierProps) {
  const [language, setLanguage] = useState(storedLanguage);
  const port = loopbackPort(url);
  const text = verifier(profile, language.extension, secret, port);
  const choose = (next: (typeof LANGUAGES)[number]) => {
    setLanguage(next);
    try {
      localStorage.setItem(CHOSEN, next.extension);
    } catch {
      // Without storage it is chosen again the next time.
    }
  };
  return (
    <div className="stack tight">
      <div className="segments wrap" role="group" aria-label="Language">
        {LANGUAGES.map((each) => (
          <button key={each.extension} type="button" aria-pressed={each === language} onClick={() => choose(each)}>
            {each.name}
          </button>
        ))}
      </div>
      {text === null ? <p className="note">There is no verifier in {language.name} for this product yet.</p> : <Code title={`Verifier in ${language.name}`} text={text} />}
      {text !== null && (
        <p className="hint">
          Run it with <code>{runCommand(language, port)}</code>
          {port !== null && <>: it listens on port {port}, as the endpoint's URL says</>}.
        </p>
      )}
      {secret !== null && !isPrepared && <p className="hint">The secret is filled in so that you can try it at once. In production, read it from your secrets manager.</p>}
    </div>
  );
}
