// API keys: Settings -> Developer -> API Keys.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import type { ApiKey } from '../api/types';
import { Confirm } from '../parts/confirm';
import { Dialog } from '../parts/dialog';
import { Field } from '../parts/field';
import { useSending } from '../parts/form';
import { Empty, Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { OnceShown } from '../parts/secret';
import { Time } from '../parts/time';
import { Controls, useMayChange } from '../session';
import { SCOPE_GROUPS } from '../words/scopes';

export default function ApiKeys() {
  const keys = useQuery({ queryKey: ['api-keys'], queryFn: calls.apiKeys });
  const [isCreating, setIsCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const client = useQueryClient();
  const may = useMayChange();
  return (
    <Page
      title="API Keys"
      crumbs={[{ name: 'Settings' }, { name: 'Developer' }]}
      lead="What programs sign in with. A key is shown once and may do what its scopes say."
      actions={
        <Controls what="make and revoke keys">
          <button type="button" className="button primary" onClick={() => setIsCreating(true)}>
            Create a key
          </button>
        </Controls>
      }
    >
      <div className="card">
        <Waiting query={keys} />
        {keys.data?.length === 0 && (
          <Empty title="No API keys yet">
            <p>Your application needs one to publish events. Give it only the scopes that it uses.</p>
          </Empty>
        )}
        {keys.data && keys.data.length > 0 && (
          <div className="table-wrap">
            <table>
              <caption className="sr-only">API keys</caption>
              <thead>
                <tr>
                  <th scope="col">Key</th>
                  <th scope="col" className="only-wide">Scopes</th>
                  <th scope="col" className="w-last only-wide">Allowed IPs</th>
                  <th scope="col" className="w-last only-wide">Last used</th>
                  <th scope="col" className="w-revoke">{may ? <span className="sr-only">Actions</span> : 'Status'}</th>
                </tr>
              </thead>
              <tbody>
                {keys.data.map((key) => (
                  <tr key={key.id}>
                    <td>
                      <b>{key.name}</b>
                      <span className="sub mono">{key.hint}</span>
                      <span className="sub wraps break only-narrow">{key.scopes.includes('*') ? 'Everything' : key.scopes.join(', ')}</span>
                      <span className="sub">
                        made <Time at={key.createdAt} />
                      </span>
                    </td>
                    <td className="only-wide small break">{key.scopes.includes('*') ? 'Everything' : key.scopes.join(', ')}</td>
                    <td className="only-wide small break">{key.allowedIps.length === 0 ? <span className="muted">Anywhere</span> : key.allowedIps.join(', ')}</td>
                    <td className="only-wide">{key.lastUsedAt ? <Time at={key.lastUsedAt} as="ago" /> : <span className="muted">Never</span>}</td>
                    <td>
                      {key.revokedAt ? (
                        <span className="muted small">
                          Revoked <Time at={key.revokedAt} />
                        </span>
                      ) : may ? (
                        <button type="button" className="button little" onClick={() => setRevoking(key)}>
                          Revoke<span className="sr-only"> {key.name}</span>
                        </button>
                      ) : (
                        <span className="badge good">Active</span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {isCreating && <CreateKey onClose={() => setIsCreating(false)} />}
      {revoking && (
        <Confirm
          title={`Revoke ${revoking.name}?`}
          verb="Revoke for good"
          act={async () => {
            await calls.revokeApiKey(revoking.id);
            await client.invalidateQueries({ queryKey: ['api-keys'] });
          }}
          onClose={() => setRevoking(null)}
        >
          <p>
            From now on no request with <code>{revoking.hint}</code> is accepted. Whatever still uses it stops working. This cannot be taken back.
          </p>
        </Confirm>
      )}
    </Page>
  );
}

function CreateKey({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<string[]>([]);
  const [isAll, setIsAll] = useState(false);
  const [ips, setIps] = useState('');
  const [mode, setMode] = useState<'live' | 'test'>('live');
  const [created, setCreated] = useState<(ApiKey & { key?: string }) | null>(null);
  const sending = useSending(['name', 'scopes', 'allowedIps', 'mode']);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const faults: Record<string, string> = {};
    if (name.trim() === '') faults.name = 'Write what the key is for.';
    if (!isAll && scopes.length === 0) faults.scopes = 'Choose at least one.';
    if (Object.keys(faults).length > 0) return sending.refuse(faults);
    const input = { name: name.trim(), scopes: isAll ? ['*'] : scopes, allowedIps: ips.split(/[\s,]+/).filter(Boolean), mode };
    const answer = await sending.send(JSON.stringify(input), (key) => calls.createApiKey(input, key));
    if (!answer) return;
    setCreated(answer);
    void client.invalidateQueries({ queryKey: ['api-keys'] });
  };

  if (created) {
    return (
      <Dialog key="created" title={`The key “${created.name}”`} onClose={onClose} isHeld={created.key !== undefined}>
        {created.key ? (
          <OnceShown secret={created.key} what="the API key">
            <p className="muted">
              Programs send it as <code>Authorization: Bearer {created.hint}</code>.
            </p>
          </OnceShown>
        ) : (
          <p className="note warn">The key was made, but the answer with it got lost on the way, and it is not shown twice. Revoke it and make another one.</p>
        )}
        <div className="row end">
          <button type="button" className="button primary" onClick={onClose}>
            I have saved it
          </button>
        </div>
      </Dialog>
    );
  }
  const toggle = (scope: string) => setScopes(scopes.includes(scope) ? scopes.filter((each) => each !== scope) : [...scopes, scope]);
  return (
    <Dialog title="Create an API key" onClose={onClose} isBig>
      <form className="stack" onSubmit={(event) => void submit(event)} noValidate>
        <Field label="Name" hint="What it is for." fault={sending.faults.name}>
          {(ids) => <input {...ids} value={name} maxLength={200} placeholder="Billing service" autoComplete="off" onChange={(event) => setName(event.target.value)} />}
        </Field>
        <fieldset className="field">
          <legend>Scopes</legend>
          {sending.faults.scopes && (
            <p className="fault" tabIndex={-1} aria-invalid="true">
              {sending.faults.scopes}
            </p>
          )}
          <label className="check">
            <input type="checkbox" checked={isAll} onChange={(event) => setIsAll(event.target.checked)} />
            <span>
              <code>*</code> Everything, also what is added later
            </span>
          </label>
          {!isAll &&
            SCOPE_GROUPS.map((group) => (
              <div key={group.title} className="scope-group">
                <h3 className="small">{group.title}</h3>
                <div className="scopes">
                  {group.scopes.map(({ scope, what }) => (
                    <label key={scope} className="check">
                      <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
                      <span>
                        <code>{scope}</code>
                        <span className="hint">{what}</span>
                      </span>
                    </label>
                  ))}
                </div>
              </div>
            ))}
        </fieldset>
        <Field label="Allowed IPs" hint="Addresses and CIDR ranges, such as 203.0.113.0/24, with spaces or commas between. Empty: anywhere." fault={sending.faults.allowedIps}>
          {(ids) => <input {...ids} className="mono" value={ips} autoComplete="off" spellCheck={false} onChange={(event) => setIps(event.target.value)} />}
        </Field>
        <Field label="Mode" hint="What the key's first letters say. It changes nothing about what the key may do.">
          {(ids) => (
            <select {...ids} value={mode} onChange={(event) => setMode(event.target.value as 'live' | 'test')}>
              <option value="live">plk_live_…</option>
              <option value="test">plk_test_…</option>
            </select>
          )}
        </Field>
        {sending.error !== null && <ProblemNote error={sending.error} />}
        <div className="row end">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={sending.isBusy}>
            Create the key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
