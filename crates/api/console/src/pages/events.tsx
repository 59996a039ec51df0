// The events that were accepted, newest first.

import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import * as calls from '../api/calls';
import { Field } from '../parts/field';
import { Empty, Page } from '../parts/page';
import { Waiting } from '../parts/problem';
import { Time } from '../parts/time';
import { useEventTypes } from '../queries';
import { Link, navigate, useSearch } from '../router';
import { Controls } from '../session';

const EVENT_ID = /^evt_[0-9a-f]+$/;

function path(type: string | null, cursor?: string | null): string {
  const search = new URLSearchParams();
  if (type) search.set('type', type);
  if (cursor) search.set('cursor', cursor);
  return search.size ? `/events?${search}` : '/events';
}

export default function Events() {
  const search = useSearch();
  const type = search.get('type');
  const cursor = search.get('cursor');
  const events = useQuery({
    queryKey: ['events', type, cursor],
    queryFn: () => calls.events({ type: type ?? undefined, cursor: cursor ?? undefined, limit: 25 }),
    refetchInterval: cursor ? false : 5_000,
  });
  return (
    <Page
      title="Events"
      lead="Facts that were published, each with an id that every receiver sees."
      actions={
        <Controls what="publish events">
          <Link className="button primary" to="/events/publish">
            Publish an event
          </Link>
        </Controls>
      }
    >
      <div className="card">
        <Search type={type} />
        <Waiting query={events} />
        {events.data?.items.length === 0 && (
          <Empty title={type || cursor ? 'No event matches' : 'No events yet'}>
            <p>{type || cursor ? 'Choose another type, or go back to the newest.' : 'They appear here as soon as they are published.'}</p>
          </Empty>
        )}
        {events.data && events.data.items.length > 0 && (
          <div className="table-wrap">
            <table>
              <caption className="sr-only">Events, newest first</caption>
              <thead>
                <tr>
                  <th scope="col">Type</th>
                  <th scope="col" className="only-wide">Id</th>
                  <th scope="col" className="only-wide">Data</th>
                  <th scope="col" className="w-time">Occurred</th>
                </tr>
              </thead>
              <tbody>
                {events.data.items.map((event) => (
                  <tr key={event.id} className="link">
                    <td className="one-line">
                      <Link className="cover mono" to={`/events/${event.id}`}>
                        {event.type}
                        <span className="sr-only">, {event.id}</span>
                      </Link>
                      <span className="sub mono only-narrow">{event.id}</span>
                    </td>
                    <td className="only-wide mono one-line muted">{event.id}</td>
                    <td className="only-wide mono one-line muted">{JSON.stringify(event.data).slice(0, 200)}</td>
                    <td className="one-line">
                      <Time at={event.createdAt} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        <div className="more">
          {cursor ? <Link to={path(type)}>Newest</Link> : <span />}
          {events.data?.hasMore && (
            <Link className="button little" to={path(type, events.data.cursor)}>
              Older
            </Link>
          )}
        </div>
      </div>
    </Page>
  );
}

function Search({ type }: { type: string | null }) {
  const types = useEventTypes('buildworkpro');
  const [id, setId] = useState('');
  const [fault, setFault] = useState<string>();
  const find = (event: FormEvent) => {
    event.preventDefault();
    const wanted = id.trim();
    if (EVENT_ID.test(wanted)) navigate(`/events/${wanted}`);
    else setFault('An event id begins with evt_, as receivers see it.');
  };
  return (
    <form className="filters" role="search" aria-label="Find events" onSubmit={find}>
      <Field label="Type">
        {(ids) => (
          <select {...ids} value={type ?? ''} onChange={(event) => navigate(path(event.target.value || null), { replace: true })}>
            <option value="">Any</option>
            {type && !types.data?.some((each) => each.name === type) && <option value={type}>{type}</option>}
            {types.data?.map((each) => (
              <option key={each.name} value={each.name}>
                {each.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Event id" fault={fault}>
        {(ids) => (
          <span className="row nowrap find">
            <input {...ids} type="search" className="grow" value={id} placeholder="evt_…" autoComplete="off" spellCheck={false} onChange={(event) => (setId(event.target.value), setFault(undefined))} />
            <button type="submit" className="button" disabled={id.trim() === ''}>
              Find
            </button>
          </span>
        )}
      </Field>
    </form>
  );
}
