// One's own account: who one is, and another password.

import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import { Field } from '../parts/field';
import { useSending } from '../parts/form';
import { Page } from '../parts/page';
import { ProblemNote } from '../parts/problem';
import { Time } from '../parts/time';
import { useSession } from '../session';
import { PASSWORD_HINT } from './users';

export default function Account() {
  const me = useSession();
  return (
    <Page title="Your account" crumbs={[{ name: 'Settings' }, { name: 'People' }]} isNarrow>
      <div className="card">
        <dl className="facts card-body facts-body">
          <div>
            <dt>E-mail</dt>
            <dd>{me.email}</dd>
          </div>
          <div>
            <dt>Role</dt>
            <dd>{me.role === 'company_admin' ? 'Admin (company_admin)' : 'Member: you read everything and change nothing'}</dd>
          </div>
          <div>
            <dt>Company</dt>
            <dd>
              {me.tenantName} <span className="muted">· tenant {me.tenantId}</span>
            </dd>
          </div>
          <div>
            <dt>Signed in until</dt>
            <dd>
              <Time at={me.expiresAt} />, later if you go on
            </dd>
          </div>
        </dl>
      </div>
      <ChangePassword />
    </Page>
  );
}

function ChangePassword() {
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const [isDone, setIsDone] = useState(false);
  const sending = useSending(['currentPassword', 'newPassword', 'again']);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setIsDone(false);
    if (next !== again) return sending.refuse({ again: 'This is not the same as the new password.' });
    const done = await sending.send(`${current} ${next}`, () => calls.changePassword(current, next));
    if (!done) return;
    setIsDone(true);
    setCurrent('');
    setNext('');
    setAgain('');
  };
  return (
    <section className="card" aria-labelledby="password">
      <div className="card-head">
        <h2 id="password">Change your password</h2>
      </div>
      <div className="card-body">
        <form className="stack" onSubmit={(event) => void submit(event)} noValidate>
          <Field label="Present password" fault={sending.faults.currentPassword}>
            {(ids) => <input {...ids} type="password" autoComplete="current-password" value={current} onChange={(event) => setCurrent(event.target.value)} />}
          </Field>
          <Field label="New password" hint={PASSWORD_HINT} fault={sending.faults.newPassword}>
            {(ids) => <input {...ids} type="password" autoComplete="new-password" value={next} onChange={(event) => setNext(event.target.value)} />}
          </Field>
          <Field label="New password, again" fault={sending.faults.again}>
            {(ids) => <input {...ids} type="password" autoComplete="new-password" value={again} onChange={(event) => setAgain(event.target.value)} />}
          </Field>
          {sending.error !== null && <ProblemNote error={sending.error} />}
          {isDone && (
            <p className="note good" role="status">
              The new password counts from now on. Your other sessions have ended.
            </p>
          )}
          <div>
            <button type="submit" className="button primary" disabled={sending.isBusy}>
              Change the password
            </button>
          </div>
        </form>
      </div>
    </section>
  );
}
