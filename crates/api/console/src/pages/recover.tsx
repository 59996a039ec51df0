// Sending again what an endpoint missed: counted first, then followed while it goes.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import * as calls from '../api/calls';
import type { Endpoint } from '../api/types';
import { missedSince } from '../logic/recovery';
import { Field } from '../parts/field';
import { useSending } from '../parts/form';
import { Empty, Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { progressPath, RECOVERED_MAX, RecoveryProgress } from '../parts/recovery';
import { Time } from '../parts/time';
import { useEndpoints } from '../queries';
import { Link, navigate, useSearch } from '../router';
import { ReadOnly, useMayChange } from '../session';
import { whyDisabled } from '../words/status';
import { count, counted } from '../words/numbers';
import { fromLocalInput, toLocalInput } from '../words/time';
import { shortUrl } from '../words/urls';

export default function Recover() {
  const may = useMayChange();
  const endpoints = useEndpoints();
  const search = useSearch();
  const endpoint = endpoints.data?.find((each) => each.id === Number(search.get('endpoint')));
  const started = search.get('started');
  const deliveries = Number(search.get('deliveries') ?? Number.NaN);
  return (
    <Page title="Recover" lead="Send again what an endpoint missed: deliveries that failed, were exhausted or skipped, and have not arrived since. Each event once." isNarrow>
      {!may && <ReadOnly what="recover deliveries" />}
      <Waiting query={endpoints} />
      {endpoints.data?.length === 0 && (
        <div className="card">
          <Empty title="There is no endpoint to recover for" actions={<Link className="button" to="/endpoints">Go to the endpoints</Link>} />
        </div>
      )}
      {endpoint && started && Number.isSafeInteger(deliveries) && (
        <section className="card" aria-labelledby="progress">
          <div className="card-head">
            <h2 id="progress">{shortUrl(endpoint.url)}</h2>
            <span className="small muted">
              started <Time at={started} />
            </span>
          </div>
          <div className="card-body stack tight">
            <RecoveryProgress endpointId={endpoint.id} deliveries={deliveries} since={started} />
            <p>
              <Link to={`/deliveries?${new URLSearchParams({ endpoint: String(endpoint.id), since: started })}`}>See these deliveries</Link>
            </p>
          </div>
        </section>
      )}
      {may && endpoints.data && endpoints.data.length > 0 && <RecoverForm key={endpoint?.id} endpoints={endpoints.data} endpoint={endpoint} since={search.get('since')} />}
    </Page>
  );
}

const PRESETS = [
  { name: 'Last hour', ms: 3_600_000 },
  { name: 'Last 24 hours', ms: 86_400_000 },
  { name: 'Last 7 days', ms: 7 * 86_400_000 },
];

function RecoverForm({ endpoints, endpoint, since: asked }: { endpoints: Endpoint[]; endpoint: Endpoint | undefined; since: string | null }) {
  const disabledAt = endpoint?.disabledAt;
  const initial = asked ?? (disabledAt ? missedSince(disabledAt) : new Date(Date.now() - 86_400_000).toISOString());
  // Whole seconds: a little earlier rather than later, so that nothing is left out.
  const [from, setFrom] = useState(() => toLocalInput(new Date(initial)));
  const [to, setTo] = useState('');
  const [found, setFound] = useState<number | null>(null);
  const sending = useSending(['since', 'until']);

  const range = () => ({ since: fromLocalInput(from)?.toISOString() ?? '', until: fromLocalInput(to)?.toISOString() });
  const changed = (set: (value: string) => void) => (value: string) => {
    set(value);
    setFound(null);
  };
  const check = (): boolean => {
    const faults: Record<string, string> = {};
    const since = fromLocalInput(from);
    const until = fromLocalInput(to);
    if (!since) faults.since = 'Choose from when on.';
    else if (since.getTime() > Date.now()) faults.since = 'Choose a time in the past.';
    if (since && until && until <= since) faults.until = 'Choose a time after the beginning.';
    if (Object.keys(faults).length > 0) sending.refuse(faults);
    return Object.keys(faults).length === 0;
  };
  const countThem = async () => {
    if (!endpoint || !check()) return;
    const answer = await sending.send(`count ${from} ${to} ${Date.now()}`, () => calls.recover(endpoint.id, range(), true));
    if (answer) setFound(answer.deliveries);
  };
  const sendThem = async () => {
    if (!endpoint || !check()) return;
    const answer = await sending.send(`send ${from} ${to}`, (key) => calls.recover(endpoint.id, range(), false, key));
    if (!answer) return;
    setFound(null);
    navigate(progressPath(endpoint.id, answer));
  };

  return (
    <form
      className="card"
      onSubmit={(event) => {
        event.preventDefault();
        void countThem();
      }}
    >
      <div className="card-body stack form-body">
        <Field label="Endpoint">
          {(ids) => (
            <select {...ids} value={endpoint?.id ?? ''} onChange={(event) => navigate(event.target.value ? `/recover?endpoint=${event.target.value}` : '/recover', { replace: true })}>
              <option value="">Choose an endpoint</option>
              {endpoints.map((each) => (
                <option key={each.id} value={each.id}>
                  {shortUrl(each.url)}
                  {each.isActive ? '' : ' (disabled)'}
                </option>
              ))}
            </select>
          )}
        </Field>
        {endpoint && !endpoint.isActive && <EnableFirst endpoint={endpoint} />}
        <div className="stack tight">
          <div className="inputs">
            <Field label="From" hint={disabledAt && 'As long before it was disabled as retries last: those were cut short, too.'} fault={sending.faults.since}>
              {(ids) => <input {...ids} type="datetime-local" step="1" value={from} onChange={(event) => changed(setFrom)(event.target.value)} />}
            </Field>
            <Field label="To" hint="Empty: until now." fault={sending.faults.until}>
              {(ids) => <input {...ids} type="datetime-local" step="1" value={to} onChange={(event) => changed(setTo)(event.target.value)} />}
            </Field>
          </div>
          <div className="row">
            {disabledAt && (
              <button type="button" className="button little" onClick={() => changed(setFrom)(toLocalInput(new Date(disabledAt)))}>
                Since it was disabled
              </button>
            )}
            {PRESETS.map((preset) => (
              <button key={preset.name} type="button" className="button little" onClick={() => changed(setFrom)(toLocalInput(new Date(Date.now() - preset.ms)))}>
                {preset.name}
              </button>
            ))}
          </div>
        </div>
        {sending.error !== null && <ProblemNote error={sending.error} />}
        {found !== null && <Found found={found} />}
        <div className="row">
          <button type="submit" className={found ? 'button' : 'button primary'} disabled={!endpoint || sending.isBusy}>
            Count what would be sent
          </button>
          {found !== null && found > 0 && endpoint && (
            <button type="button" className="button primary" disabled={sending.isBusy || !endpoint.isActive} onClick={() => void sendThem()}>
              Send {counted(found, 'delivery', 'deliveries')}
            </button>
          )}
          {found !== null && found > 0 && endpoint && !endpoint.isActive && <span className="small muted">Enable the endpoint first: it would skip them again.</span>}
        </div>
      </div>
    </form>
  );
}

function Found({ found }: { found: number }) {
  if (found === 0) {
    return (
      <p className="note good" role="status">
        Nothing was missed in this range: every event arrived, or is still being tried.
      </p>
    );
  }
  return (
    <div className="note" role="status">
      <div>
        <p>
          <strong>{counted(found, 'delivery', 'deliveries')}</strong> would be sent, one for each event that did not arrive.
        </p>
        {found >= RECOVERED_MAX && (
          <p>
            {count(RECOVERED_MAX)} is the most at once, and there may be more: when these are settled, recover the same range again for the rest.
          </p>
        )}
      </div>
    </div>
  );
}

function EnableFirst({ endpoint }: { endpoint: Endpoint }) {
  const client = useQueryClient();
  const enable = useMutation({
    mutationFn: () => calls.enableEndpoint(endpoint.id),
    onSuccess: () => {
      // What the form shows of when it was disabled would be gone with the endpoint's own memory of it.
      if (endpoint.disabledAt) navigate(`/recover?${new URLSearchParams({ endpoint: String(endpoint.id), since: missedSince(endpoint.disabledAt) })}`, { replace: true });
      void client.invalidateQueries({ queryKey: ['endpoints'] });
    },
  });
  return (
    <div className="note warn">
      <div>
        <p>
          <strong>The endpoint is disabled.</strong> {whyDisabled(endpoint.disabledReason)?.what}{' '}
          {endpoint.disabledAt && (
            <>
              Since <Time at={endpoint.disabledAt} />.
            </>
          )}
        </p>
        {enable.error && <ProblemNote error={enable.error} />}
      </div>
      <button type="button" className="button" disabled={enable.isPending} onClick={() => enable.mutate()}>
        Enable it
      </button>
    </div>
  );
}
