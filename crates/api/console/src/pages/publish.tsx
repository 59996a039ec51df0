// Publishing an event by hand: from the example of its type, as text, so that it is sent as it was written.

import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import type { Endpoint, EventType } from '../api/types';
import { jsonObjectFault, prettyText } from '../logic/json';
import { Field } from '../parts/field';
import { useSending } from '../parts/form';
import { Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { Prose } from '../parts/prose';
import { useEndpoints, useEventTypes } from '../queries';
import { Link, navigate, useSearch } from '../router';
import { ReadOnly, useMayChange } from '../session';
import { subscribers, whoWants } from '../words/subscribers';

const CRUMBS = [{ name: 'Events', to: '/events' }];

export default function Publish() {
  const may = useMayChange();
  const search = useSearch();
  const wanted = search.get('type');
  const like = search.get('like');
  const own = useEventTypes('buildworkpro');
  const buildr = useEventTypes('buildr');
  const buildmarkets = useEventTypes('buildmarkets');
  const endpoints = useEndpoints();
  const model = useQuery({ queryKey: ['event', like], queryFn: () => calls.event(like ?? ''), enabled: like !== null });
  const isReady = own.data && buildr.data && buildmarkets.data && (endpoints.data || endpoints.error) && (like === null || model.data || model.error);
  const types = unique([...(own.data ?? []), ...(buildr.data ?? []), ...(buildmarkets.data ?? [])]);
  return (
    <Page title="Publish an event" crumbs={CRUMBS} lead="It goes to every active endpoint that subscribes to its type, like an event that your application publishes." isNarrow>
      {!may && <ReadOnly what="publish events" />}
      {may && !isReady && <Waiting query={own.data ? (buildr.data ? buildmarkets : buildr) : own} />}
      {may && isReady && <PublishForm key={`${wanted} ${like}`} types={types} wanted={wanted} data={model.data?.dataText ?? null} endpoints={endpoints.data ?? null} />}
    </Page>
  );
}

function unique(types: EventType[]): EventType[] {
  return [...new Map(types.map((type) => [type.name, type])).values()].sort((a, b) => a.name.localeCompare(b.name));
}

const exampleOf = (type: EventType | undefined) => (type?.example ? JSON.stringify(type.example, null, 2) : '{}');

interface PublishFormProps {
  types: EventType[];
  wanted: string | null;
  data: string | null;
  /** Null where they could not be asked for. */
  endpoints: Endpoint[] | null;
}

function PublishForm({ types, wanted, data, endpoints }: PublishFormProps) {
  // One that arrives somewhere, where there is one: what is published is to be seen.
  const arrives = (type: EventType) => endpoints !== null && subscribers(endpoints, type.name).active > 0;
  const first = types.find((type) => type.name === wanted) ?? types.find(arrives) ?? types[0];
  const [name, setName] = useState(first?.name ?? '');
  const [text, setText] = useState(data === null ? exampleOf(first) : prettyText(data));
  const [isTouched, setIsTouched] = useState(data !== null);
  const [previous, setPrevious] = useState('');
  const sending = useSending(['type', 'data', 'previous_attributes']);
  const type = types.find((each) => each.name === name);
  const wanting = endpoints && subscribers(endpoints, name);

  const choose = (next: string) => {
    setName(next);
    // What somebody wrote is not thrown away.
    if (!isTouched) setText(exampleOf(types.find((each) => each.name === next)));
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const faults: Record<string, string> = {};
    const fault = jsonObjectFault(text);
    if (fault) faults.data = fault;
    const previousFault = previous.trim() === '' ? null : jsonObjectFault(previous);
    if (previousFault) faults.previous_attributes = previousFault;
    if (Object.keys(faults).length > 0) return sending.refuse(faults);
    // Put together as text: the data goes out byte for byte.
    const body = `{"type":${JSON.stringify(name)},"data":${text.trim()}${previous.trim() === '' ? '' : `,"previous_attributes":${previous.trim()}`}}`;
    const published = await sending.send(body, (key) => calls.publish(body, key));
    if (published) navigate(`/events/${published.id}`);
  };
  const fault = sending.faults.data ?? (isTouched ? (jsonObjectFault(text) ?? undefined) : undefined);
  return (
    <form className="card" onSubmit={(event) => void submit(event)} noValidate>
      <div className="card-body stack form-body">
        <Field label="Type" hint={type?.description && <Prose text={type.description} />} fault={sending.faults.type}>
          {(ids) => (
            <select {...ids} value={name} onChange={(event) => choose(event.target.value)}>
              {types.map((each) => (
                <option key={each.name} value={each.name}>
                  {each.name}
                  {each.isCustom ? ' (yours)' : ''}
                </option>
              ))}
            </select>
          )}
        </Field>
        {wanting && (
          <p className={wanting.active === 0 ? 'note warn' : 'hint'} role="status">
            {whoWants(wanting)}
          </p>
        )}
        <Field label="Data" hint={type?.schema ? 'Checked against the schema of the type when it is published.' : 'A JSON object. It is delivered byte for byte as it stands here.'} fault={fault}>
          {(ids) => (
            <textarea
              {...ids}
              rows={16}
              value={text}
              spellCheck={false}
              onChange={(event) => {
                setText(event.target.value);
                setIsTouched(true);
              }}
            />
          )}
        </Field>
        <div className="row">
          <button
            type="button"
            className="button little"
            onClick={() => {
              setText(exampleOf(type));
              setIsTouched(false);
            }}
          >
            Start from the example
          </button>
          <button type="button" className="button little" disabled={jsonObjectFault(text) !== null} onClick={() => setText(prettyText(text))}>
            Lay it out
          </button>
        </div>
        <details>
          <summary>Previous attributes</summary>
          <div className="prepared">
            <Field label="The prior values of what changed" hint="A JSON object, or nothing." fault={sending.faults.previous_attributes}>
              {(ids) => <textarea {...ids} value={previous} spellCheck={false} onChange={(event) => setPrevious(event.target.value)} />}
            </Field>
          </div>
        </details>
        {sending.error !== null && <ProblemNote error={sending.error} />}
        {sending.others.map((other) => (
          <p key={other} className="fault" role="alert">
            {other}
          </p>
        ))}
        <div className="row">
          <button type="submit" className="button primary" disabled={sending.isBusy}>
            {sending.isBusy ? 'Publishing…' : 'Publish'}
          </button>
          <Link className="button" to="/events">
            Cancel
          </Link>
        </div>
      </div>
    </form>
  );
}
