// Defining an event type of one's own, or changing it.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import type { EventType } from '../api/types';
import { jsonObjectFault } from '../logic/json';
import { Field } from '../parts/field';
import { useSending } from '../parts/form';
import { Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { Link, navigate, useSearch } from '../router';
import { ReadOnly, useMayChange } from '../session';
import { typePath } from './event-types';

export default function EditEventType() {
  const name = useSearch().get('name');
  const may = useMayChange();
  const type = useQuery({ queryKey: ['event-type', name], queryFn: () => calls.eventType(name ?? ''), enabled: name !== null });
  const crumbs = [{ name: 'Event types', to: '/event-types' }, ...(name ? [{ name, to: typePath(name) }] : [])];
  return (
    <Page title={name ? 'Edit the event type' : 'Define an event type'} crumbs={crumbs} isNarrow>
      {!may && <ReadOnly what="define event types" />}
      {may && name !== null && <Waiting query={type} />}
      {may && (name === null || type.data) && <TypeForm type={type.data ?? null} />}
    </Page>
  );
}

const layOut = (value: unknown) => (value === null || value === undefined ? '' : JSON.stringify(value, null, 2));

function TypeForm({ type }: { type: EventType | null }) {
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [description, setDescription] = useState(type?.description ?? '');
  const [example, setExample] = useState(layOut(type?.example));
  const [schema, setSchema] = useState(layOut(type?.schema));
  const [isDeprecated, setIsDeprecated] = useState(type?.deprecated ?? false);
  const sending = useSending(['name', 'description', 'example', 'schema', 'deprecated']);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const faults: Record<string, string> = {};
    if (!type && !/^[a-z0-9_]+(\.[a-z0-9_]+)+$/.test(name.trim())) faults.name = 'Write lower-case words with dots between them, such as invoice.paid.';
    const exampleFault = example.trim() === '' ? null : jsonObjectFault(example);
    const schemaFault = schema.trim() === '' ? null : jsonObjectFault(schema);
    if (exampleFault) faults.example = exampleFault;
    if (schemaFault) faults.schema = schemaFault;
    if (Object.keys(faults).length > 0) return sending.refuse(faults);
    const members = [
      ...(type ? [`"deprecated":${isDeprecated}`] : [`"name":${JSON.stringify(name.trim())}`]),
      `"description":${JSON.stringify(description.trim() || null)}`,
      `"example":${example.trim() || 'null'}`,
      `"schema":${schema.trim() || 'null'}`,
    ];
    const body = `{${members.join(',')}}`;
    const saved = await sending.send(body, (key) => (type ? calls.updateEventType(type.name, body) : calls.createEventType(body, key)));
    if (!saved) return;
    client.setQueryData(['event-type', saved.name], saved);
    void client.invalidateQueries({ queryKey: ['event-types'] });
    navigate(typePath(saved.name));
  };
  return (
    <form className="card" onSubmit={(event) => void submit(event)} noValidate>
      <div className="card-body stack form-body">
        {!type && (
          <Field label="Name" hint="Lower-case words with dots between them. It cannot be changed later." fault={sending.faults.name}>
            {(ids) => <input {...ids} className="mono" value={name} placeholder="invoice.paid" autoComplete="off" spellCheck={false} onChange={(event) => setName(event.target.value)} />}
          </Field>
        )}
        <Field label="Description" hint="What it means, for those who subscribe. Optional." fault={sending.faults.description}>
          {(ids) => <input {...ids} value={description} maxLength={1000} onChange={(event) => setDescription(event.target.value)} />}
        </Field>
        <Field label="Example of data" hint="A JSON object, which has to satisfy the schema. Optional." fault={sending.faults.example}>
          {(ids) => <textarea {...ids} value={example} spellCheck={false} placeholder={'{"id": 7, "status": "paid"}'} onChange={(event) => setExample(event.target.value)} />}
        </Field>
        <Field label="JSON Schema of data" hint="Draft 2020-12 unless its $schema says otherwise. What violates it is not published. Optional." fault={sending.faults.schema}>
          {(ids) => <textarea {...ids} value={schema} spellCheck={false} placeholder={'{"type": "object", "required": ["id"]}'} onChange={(event) => setSchema(event.target.value)} />}
        </Field>
        {type && (
          <label className="check">
            <input type="checkbox" checked={isDeprecated} onChange={(event) => setIsDeprecated(event.target.checked)} />
            <span>
              Deprecated
              <span className="hint">It is published and delivered as before, but no endpoint subscribes to it anew.</span>
            </span>
          </label>
        )}
        {sending.error !== null && <ProblemNote error={sending.error} />}
        <div className="row">
          <button type="submit" className="button primary" disabled={sending.isBusy}>
            {sending.isBusy ? 'Saving…' : type ? 'Save' : 'Define the type'}
          </button>
          <Link className="button" to={type ? typePath(type.name) : '/event-types'}>
            Cancel
          </Link>
        </div>
      </div>
    </form>
  );
}
