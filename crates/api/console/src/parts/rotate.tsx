// Another signing secret: at once, or prepared so that the receiver learns it first.

import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import type { Endpoint, Rotation } from '../api/types';
import { PROFILES } from '../words/profiles';
import { shortUrl } from '../words/urls';
import { Dialog } from './dialog';
import { Field } from './field';
import { useSending } from './form';
import { ProblemNote } from './problem';
import { SecretLost, SecretShown } from './secret';
import { Time } from './time';

const DELAYS = [
  { seconds: 3_600, name: 'in 1 hour' },
  { seconds: 6 * 3_600, name: 'in 6 hours' },
  { seconds: 86_400, name: 'in 1 day' },
  { seconds: 7 * 86_400, name: 'in 7 days' },
  { seconds: 30 * 86_400, name: 'in 30 days' },
];

export function RotateDialog({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }) {
  const [rotation, setRotation] = useState<(Rotation & { isPrepared: boolean }) | null>(null);
  return (
    <Dialog title={rotation ? 'The new secret' : 'Rotate the signing secret'} onClose={onClose} isBig={rotation !== null} isHeld={rotation?.signingSecret !== undefined}>
      {rotation ? <Rotated endpoint={endpoint} rotation={rotation} onClose={onClose} /> : <Choose endpoint={endpoint} done={setRotation} onClose={onClose} />}
    </Dialog>
  );
}

interface ChooseProps {
  endpoint: Endpoint;
  done: (rotation: Rotation & { isPrepared: boolean }) => void;
  onClose: () => void;
}

function Choose({ endpoint, done, onClose }: ChooseProps) {
  const [isPrepared, setIsPrepared] = useState(true);
  const [seconds, setSeconds] = useState(86_400);
  const [isActivated, setIsActivated] = useState(false);
  const sending = useSending(['activateInSeconds']);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const delay = isPrepared ? seconds : null;
    const answer = await sending.send(String(delay), (key) => calls.rotateSecret(endpoint.id, delay, key));
    if (answer) done({ ...answer, isPrepared });
  };
  if (isActivated) {
    return (
      <>
        <p className="note good" role="status">
          The prepared secret signs from now on.
        </p>
        <div className="row end">
          <button type="button" className="button primary" onClick={onClose}>
            Done
          </button>
        </div>
      </>
    );
  }
  return (
    <form className="stack" onSubmit={(event) => void submit(event)}>
      <p>
        For <b className="break">{shortUrl(endpoint.url)}</b>.{' '}
        {PROFILES[endpoint.profile].bothSign && 'Once the new secret signs, the old one signs beside it for 24 hours.'}
      </p>
      <fieldset className="field stack tight">
        <legend>When does the new secret sign?</legend>
        <label className="check">
          <input type="radio" name="when" checked={isPrepared} onChange={() => setIsPrepared(true)} />
          <span>
            Later: prepare it
            <span className="hint">You see it now and give it to the receiver; the old one signs until the time comes, or until you activate it.</span>
          </span>
        </label>
        <label className="check">
          <input type="radio" name="when" checked={!isPrepared} onChange={() => setIsPrepared(false)} />
          <span>
            At once
            <span className="hint">For a secret that leaked. {PROFILES[endpoint.profile].bothSign ? 'Receivers with the old one go on for a day.' : 'The receiver refuses what is sent until it has the new one.'}</span>
          </span>
        </label>
      </fieldset>
      {isPrepared && (
        <Field label="It takes over" fault={sending.faults.activateInSeconds}>
          {(ids) => (
            <select {...ids} value={seconds} onChange={(event) => setSeconds(Number(event.target.value))}>
              {DELAYS.map((delay) => (
                <option key={delay.seconds} value={delay.seconds}>
                  {delay.name}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {sending.error !== null && <ProblemNote error={sending.error} />}
      <Prepared endpoint={endpoint} activated={() => setIsActivated(true)} />
      <div className="row end">
        <button type="button" className="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" className="button primary" disabled={sending.isBusy}>
          {isPrepared ? 'Prepare a new secret' : 'Rotate now'}
        </button>
      </div>
    </form>
  );
}

/** For a secret that was prepared before: its receiver is ready. */
function Prepared({ endpoint, activated }: { endpoint: Endpoint; activated: () => void }) {
  const activate = useMutation({ mutationFn: () => calls.activateSecret(endpoint.id), onSuccess: activated });
  return (
    <details>
      <summary>A secret is prepared already, and the receiver has it</summary>
      <div className="stack tight prepared">
        <p className="muted">Then let it take over now.</p>
        <div>
          <button type="button" className="button" disabled={activate.isPending} onClick={() => activate.mutate()}>
            Activate the prepared secret
          </button>
        </div>
        {activate.error && <ProblemNote error={activate.error} />}
      </div>
    </details>
  );
}

function Rotated({ endpoint, rotation, onClose }: { endpoint: Endpoint; rotation: Rotation & { isPrepared: boolean }; onClose: () => void }) {
  const activate = useMutation({ mutationFn: () => calls.activateSecret(endpoint.id) });
  const isWaiting = rotation.isPrepared && !activate.data;
  return (
    <>
      {isWaiting ? (
        <div className="note">
          <p>
            The old secret signs until <Time at={rotation.activatesAt} />; then the new one takes over.{' '}
            {PROFILES[endpoint.profile].bothSign
              ? 'For 24 hours after that both sign: give the receiver the new one in that time.'
              : 'Give the receiver both now. Activate the new one here once the receiver has it, or let the time come.'}
          </p>
          <button type="button" className="button" disabled={activate.isPending} onClick={() => activate.mutate()}>
            Activate it now
          </button>
        </div>
      ) : (
        <p className="note good" role="status">
          It signs from now on.
        </p>
      )}
      {activate.error && <ProblemNote error={activate.error} />}
      {rotation.signingSecret ? <SecretShown secret={rotation.signingSecret} profile={endpoint.profile} url={endpoint.url} isPrepared={isWaiting} /> : <SecretLost />}
      <div className="row end">
        <button type="button" className="button primary" onClick={onClose}>
          I have saved it
        </button>
      </div>
    </>
  );
}
