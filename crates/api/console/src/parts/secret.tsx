// A secret that is shown this once.

import { lazy, Suspense } from 'react';
import type { Profile } from '../api/types';
import { CopyButton } from './copy';
import { Loading } from './problem';

const Verifier = lazy(() => import('./verifier'));

export function OnceShown({ secret, what, children }: { secret: string; what: string; children?: React.ReactNode }) {
  return (
    <div className="stack">
      <div className="stack tight">
        <p>
          <strong>Copy {what} now and keep it in your secrets manager.</strong> It is never shown again.
        </p>
        <div className="secret">
          <code aria-label={what}>{secret}</code>
          <CopyButton text={secret} what={what} isPrimary />
        </div>
      </div>
      {children}
    </div>
  );
}

export function SecretShown({ secret, profile }: { secret: string; profile: Profile }) {
  return (
    <OnceShown secret={secret} what="the signing secret">
      <div className="stack tight">
        <h2>Verify what arrives</h2>
        <Suspense fallback={<Loading />}>
          <Verifier profile={profile} secret={secret} />
        </Suspense>
      </div>
    </OnceShown>
  );
}

/** The answer to the creation got lost, and the repetition does not contain the secret. */
export function SecretLost() {
  return (
    <p className="note warn">
      It was made, but the answer with the secret got lost on the way, and it is not shown twice. Rotate the secret to get a new one.
    </p>
  );
}
