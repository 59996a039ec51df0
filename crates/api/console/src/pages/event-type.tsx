// One event type: what it means, an example, its schema.

import { useQuery } from '@tanstack/react-query';
import * as calls from '../api/calls';
import { JsonCode } from '../parts/code';
import { Page } from '../parts/page';
import { Waiting } from '../parts/problem';
import { Prose } from '../parts/prose';
import { Link, useSearch } from '../router';
import { Controls } from '../session';

const CRUMBS = [{ name: 'Event types', to: '/event-types' }];

export default function EventTypePage() {
  const name = useSearch().get('name') ?? '';
  const type = useQuery({ queryKey: ['event-type', name], queryFn: () => calls.eventType(name) });
  const { data } = type;
  const isPublic = data && !name.startsWith('endpoint.') && !name.startsWith('webhook.');
  return (
    <Page
      title={name}
      crumbs={CRUMBS}
      lead={data?.description && <Prose text={data.description} />}
      isNarrow
      actions={
        isPublic && (
          <Controls what="publish events and define types">
            {data.isCustom && (
              <Link className="button" to={`/event-types/edit?${new URLSearchParams({ name })}`}>
                Edit
              </Link>
            )}
            <Link className="button" to={`/events/publish?${new URLSearchParams({ type: name })}`}>
              Publish one
            </Link>
          </Controls>
        )
      }
    >
      <Waiting query={type} />
      {data && (
        <>
          <p className="row">
            <span className="badge plain">{data.isCustom ? 'Yours' : 'Built in'}</span>
            {data.deprecated && <span className="badge warn">Deprecated: no endpoint subscribes to it anew</span>}
            <Link to={`/events?${new URLSearchParams({ type: name })}`}>Its events</Link>
            <Link to={`/deliveries?${new URLSearchParams({ type: name })}`}>Its deliveries</Link>
          </p>
          {data.example !== null ? <JsonCode title="Example of data" text={JSON.stringify(data.example)} /> : <p className="muted">There is no example.</p>}
          {data.schema !== null ? (
            <JsonCode title="JSON Schema of data, enforced when it is published" text={JSON.stringify(data.schema)} />
          ) : (
            <p className="muted">There is no schema: any JSON object may be published.</p>
          )}
        </>
      )}
    </Page>
  );
}
