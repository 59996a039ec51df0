// What an endpoint is, to create or to change it.

import { type FormEvent, type ReactNode, useState } from 'react';
import type { Endpoint, EndpointInput } from '../api/types';
import { EventTypePicker } from './event-type-picker';
import { Field } from './field';
import { type Sending } from './form';
import { Icon } from './icons';
import { ProblemNote } from './problem';

export const ENDPOINT_FIELDS = ['url', 'eventTypes', 'description', 'rateLimit', 'headers'] as const;

interface HeaderRow {
  key: number;
  name: string;
  value: string;
}

interface EndpointFormProps {
  /** The endpoint that is changed; left out for a new one. */
  endpoint?: Endpoint;
  sending: Sending;
  verb: string;
  submit: (input: EndpointInput) => void;
  cancel: ReactNode;
}

export function EndpointForm({ endpoint, sending, verb, submit, cancel }: EndpointFormProps) {
  const [url, setUrl] = useState(endpoint?.url ?? '');
  const [description, setDescription] = useState(endpoint?.description ?? '');
  const [types, setTypes] = useState(endpoint?.eventTypes ?? []);
  const [rateLimit, setRateLimit] = useState(endpoint?.rateLimit?.toString() ?? '');
  const [rows, setRows] = useState<HeaderRow[]>([]);
  const [nextKey, setNextKey] = useState(1);
  const [replaces, setReplaces] = useState(!endpoint || endpoint.headerNames.length === 0);
  const { faults } = sending;
  // Everything, now and later: what an endpoint of Buildmarkets may have, and keeps until somebody chooses.
  const isEverything = endpoint?.eventTypes.length === 0;

  const send = (event: FormEvent) => {
    event.preventDefault();
    const found = check({ url, types, rateLimit, rows, isEverything });
    if (Object.keys(found).length > 0) return sending.refuse(found);
    const named = rows.filter((row) => row.name.trim() !== '');
    submit({
      url: url.trim(),
      eventTypes: types,
      description: description.trim() || null,
      rateLimit: rateLimit.trim() === '' ? null : Number(rateLimit),
      // Left out, they stay as they are: their values are not known here.
      ...((endpoint ? replaces && (named.length > 0 || endpoint.headerNames.length > 0) : named.length > 0) && {
        headers: Object.fromEntries(named.map((row) => [row.name.trim(), row.value])),
      }),
    });
  };
  const setRow = (key: number, changes: Partial<HeaderRow>) => setRows(rows.map((row) => (row.key === key ? { ...row, ...changes } : row)));

  return (
    <form className="card" onSubmit={send} noValidate>
      <div className="card-body stack form-body">
        <Field label="URL" hint="A public https URL on port 443 or 8443, unless your operator allows others." fault={faults.url}>
          {(ids) => <input {...ids} type="url" inputMode="url" value={url} placeholder="https://hooks.example.com/plumbline" autoComplete="off" spellCheck={false} onChange={(event) => setUrl(event.target.value)} />}
        </Field>
        {faults.url && isLocalhost(url) && (
          <p className="hint">
            Write <code>127.0.0.1</code> instead of <code>localhost</code> on a development stack, or use <code>plumbline listen</code>, which brings events to this machine.
          </p>
        )}
        <Field label="Description" hint="What it is for. Optional." fault={faults.description}>
          {(ids) => <input {...ids} value={description} maxLength={1000} placeholder="Notify sales when a bid is won" onChange={(event) => setDescription(event.target.value)} />}
        </Field>
        <div className="field">
          <span className="label">Event types</span>
          {faults.eventTypes && <p className="fault" id="types-fault">{faults.eventTypes}</p>}
          <EventTypePicker profile={endpoint?.profile ?? 'buildworkpro'} chosen={types} choose={setTypes} isInvalid={Boolean(faults.eventTypes)} describedBy="types-hint" />
          <p className="hint" id="types-hint">
            {isEverything && types.length === 0 ? 'Nothing chosen: it receives everything, also types that are added later.' : 'Subscribe only to what the receiver uses.'}
          </p>
        </div>
        <Field label="Rate limit" hint="Requests a minute at most. What exceeds it is delayed, never dropped. Empty: no limit." fault={faults.rateLimit}>
          {(ids) => <input {...ids} className="short" type="number" inputMode="numeric" min={1} step={1} value={rateLimit} placeholder="No limit" onChange={(event) => setRateLimit(event.target.value)} />}
        </Field>
        <fieldset className="field" aria-describedby="headers-hint">
          <legend>Custom headers</legend>
          {!replaces && endpoint ? (
            <div className="row">
              <span>
                {endpoint.headerNames.map((name) => (
                  <code key={name} className="chip">
                    {name}: •••
                  </code>
                ))}
              </span>
              <button type="button" className="button little" onClick={() => setReplaces(true)}>
                Replace them
              </button>
            </div>
          ) : (
            <div className="stack tight">
              {endpoint && endpoint.headerNames.length > 0 && (
                <p className="note warn">
                  <span>What stands here when you save replaces all present headers: {endpoint.headerNames.join(', ')}. With none, they are removed.</span>
                  <button type="button" className="button little" onClick={() => (setReplaces(false), setRows([]))}>
                    Keep them
                  </button>
                </p>
              )}
              {rows.map((row, index) => (
                <div key={row.key} className="header-row">
                  <input aria-label={`Name of header ${index + 1}`} aria-invalid={faults.headers ? true : undefined} value={row.name} placeholder="Authorization" autoComplete="off" spellCheck={false} onChange={(event) => setRow(row.key, { name: event.target.value })} />
                  <input aria-label={`Value of header ${index + 1}`} value={row.value} placeholder="Bearer …" autoComplete="off" spellCheck={false} onChange={(event) => setRow(row.key, { value: event.target.value })} />
                  <button type="button" className="button" onClick={() => setRows(rows.filter((each) => each.key !== row.key))}>
                    <Icon name="close" size={14} />
                    <span className="sr-only">Remove header {index + 1}</span>
                  </button>
                </div>
              ))}
              {faults.headers && <p className="fault">{faults.headers}</p>}
              {rows.length < 20 && (
                <div>
                  <button
                    type="button"
                    className="button little"
                    onClick={() => {
                      setRows([...rows, { key: nextKey, name: '', value: '' }]);
                      setNextKey(nextKey + 1);
                    }}
                  >
                    Add a header
                  </button>
                </div>
              )}
            </div>
          )}
          <p className="hint" id="headers-hint">Sent with every request to this endpoint. Values are encrypted, and never shown again.</p>
        </fieldset>
        {sending.error !== null && <ProblemNote error={sending.error} />}
        {sending.others.map((other) => (
          <p key={other} className="fault" role="alert">
            {other}
          </p>
        ))}
        <div className="row">
          <button type="submit" className="button primary" disabled={sending.isBusy}>
            {sending.isBusy ? 'Saving…' : verb}
          </button>
          {cancel}
        </div>
      </div>
    </form>
  );
}

const isLocalhost = (url: string) => /^https?:\/\/localhost([:/]|$)/i.test(url.trim());

interface Checked {
  url: string;
  types: string[];
  rateLimit: string;
  rows: HeaderRow[];
  isEverything: boolean;
}

/** What can be told without asking; the server has the last word. */
function check({ url, types, rateLimit, rows, isEverything }: Checked): Record<string, string> {
  const faults: Record<string, string> = {};
  if (url.trim() === '') faults.url = 'Write the URL that events are sent to.';
  else if (!/^https?:\/\/[^/\s]+/i.test(url.trim())) faults.url = 'Write a whole URL, such as https://hooks.example.com/plumbline.';
  if (types.length === 0 && !isEverything) faults.eventTypes = 'Choose at least one event type.';
  if (rateLimit.trim() !== '' && !/^[1-9]\d*$/.test(rateLimit.trim())) faults.rateLimit = 'Write a whole number from 1, or nothing.';
  if (rows.some((row) => row.name.trim() === '' && row.value !== '')) faults.headers = 'Each header needs a name.';
  const names = rows.map((row) => row.name.trim().toLowerCase()).filter(Boolean);
  if (new Set(names).size < names.length) faults.headers = 'Each header may be there once.';
  return faults;
}
