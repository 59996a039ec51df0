// A secret that is shown this once.

import { lazy, Suspense } from 'react';
import type { Profile } from '../api/types';
import { PROFILES } from '../words/profiles';
import { Code } from './code';
import { CopyButton } from './copy';
import { Loading } from './problem';

/** A verifier refuses to start while a secret ends like this. */
const OLD_SECRET = 'OLD_SECRET_REPLACE_ME';

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

interface SecretShownProps {
  secret: string;
  profile: Profile;
  url: string;
  /** Whether the one before signs still: what verifies only with this one would refuse everything. */
  isPrepared?: boolean;
}

export function SecretShown({ secret, profile, url, isPrepared = false }: SecretShownProps) {
  const takesBoth = !PROFILES[profile].bothSign;
  return (
    <OnceShown secret={secret} what="the signing secret">
      <div className="stack tight">
        <h2>{isPrepared ? 'Verify with both until then' : 'Verify what arrives'}</h2>
        {isPrepared && takesBoth && (
          <>
            <p>
              The receivers below take both secrets, separated by a comma. Put the old one in place of <code>{OLD_SECRET}</code>.
            </p>
            <Code title="Setting of the receiver" text={`WEBHOOK_SECRET=${OLD_SECRET},${secret}`} doesWrap />
          </>
        )}
        {isPrepared && !takesBoth ? (
          <p>Leave the old secret in the receiver until the new one signs. A receiver that has only the new one refuses what is sent before.</p>
        ) : (
          <Suspense fallback={<Loading />}>
            <Verifier profile={profile} secret={isPrepared ? `${OLD_SECRET},${secret}` : secret} url={url} isPrepared={isPrepared} />
          </Suspense>
        )}
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
