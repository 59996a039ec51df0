// The door: shown at whatever address one came to, and gone once one is in.

import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { signIn } from '../api/calls';
import { Problem } from '../api/client';
import { Field } from '../parts/field';
import { Mark } from '../parts/icons';
import { useNow } from '../parts/time';
import { navigate } from '../router';
import { said } from '../words/problems';
import { span } from '../words/time';

interface SignInProps {
  /** The session ended by itself: one goes on where one was. */
  hasEnded: boolean;
  /** Signed out by hand: the next one, who may be somebody else, begins at the beginning. */
  hasLeft: boolean;
}

export default function SignIn({ hasEnded, hasLeft }: SignInProps) {
  const client = useQueryClient();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setIsBusy] = useState(false);
  const [blockedUntil, setBlockedUntil] = useState(0);
  const now = useNow().getTime();
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = 'Sign in · Plumbline';
    first.current?.focus();
  }, []);
  useEffect(() => {
    if (hasLeft) navigate('/', { replace: true });
  }, [hasLeft]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setIsBusy(true);
    setError(null);
    try {
      client.setQueryData(['session'], await signIn(email.trim(), password));
    } catch (failure) {
      setError(failure);
      setIsBusy(false);
      if (failure instanceof Problem && failure.retryAfter !== null) setBlockedUntil(Date.now() + failure.retryAfter * 1000);
    }
  };
  const wait = Math.ceil((blockedUntil - now) / 1000);

  return (
    <main className="door">
      <div className="door-card">
        <span className="brand">
          <Mark size={32} /> Plumbline
        </span>
        <h1>Sign in</h1>
        {hasEnded && (
          <p className="note" role="status">
            You are signed out. Sign in to go on where you were.
          </p>
        )}
        <form className="stack" onSubmit={(event) => void submit(event)}>
          <Field label="E-mail">
            {(ids) => (
              <input {...ids} ref={first} type="email" name="email" autoComplete="username" required value={email} onChange={(event) => setEmail(event.target.value)} />
            )}
          </Field>
          <Field label="Password">
            {(ids) => (
              <input {...ids} type="password" name="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
            )}
          </Field>
          {error !== null && (
            <p className="note bad" role="alert">
              {words(error)}
            </p>
          )}
          <button type="submit" className="button primary" disabled={isBusy || wait > 0}>
            {wait > 0 ? `Try again in ${span(wait)}` : isBusy ? 'Signing in…' : 'Sign in'}
          </button>
          <p className="hint">Without an account, or with a forgotten password: an administrator of your company gives you one.</p>
        </form>
      </div>
    </main>
  );
}

function words(error: unknown): string {
  if (error instanceof Problem && (error.status === 401 || error.status === 422)) {
    return 'The e-mail address or the password is not right.';
  }
  const { title, detail } = said(error);
  return `${title}. ${detail}`;
}
