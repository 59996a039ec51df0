// The catalogue of event types: the products', the service's, and one's own.

import { useState } from 'react';
import type { Profile } from '../api/types';
import { Empty, Page } from '../parts/page';
import { Waiting } from '../parts/problem';
import { Prose } from '../parts/prose';
import { useEventTypes } from '../queries';
import { Link, navigate, useSearch } from '../router';
import { Controls } from '../session';
import { PROFILES } from '../words/profiles';

type Shelf = Profile | 'plumbline';
const SHELVES: [Shelf, string][] = [...Object.entries(PROFILES).map(([shelf, { name }]) => [shelf as Shelf, name] as [Shelf, string]), ['plumbline', 'Plumbline']];

export const typePath = (name: string) => `/event-types/type?${new URLSearchParams({ name })}`;

export default function EventTypes() {
  const asked = useSearch().get('of') as Shelf | null;
  const shelf = SHELVES.find(([each]) => each === asked)?.[0] ?? 'buildworkpro';
  const types = useEventTypes(shelf);
  const [search, setSearch] = useState('');
  const wanted = search.trim().toLowerCase();
  const shown = types.data?.filter((type) => type.name.includes(wanted) || type.description?.toLowerCase().includes(wanted)) ?? [];
  return (
    <Page
      title="Event types"
      lead={shelf === 'plumbline' ? 'What the service itself tells of your endpoints.' : 'What can happen, and what receivers are told of it. Each list has your own types, too.'}
      actions={
        <Controls what="define event types">
          <Link className="button primary" to="/event-types/edit">
            Define a type
          </Link>
        </Controls>
      }
    >
      <div className="row between">
        <div className="segments wrap" role="group" aria-label="Product">
          {SHELVES.map(([each, name]) => (
            <button key={each} type="button" aria-pressed={each === shelf} onClick={() => navigate(`/event-types?of=${each}`, { replace: true })}>
              {name}
            </button>
          ))}
        </div>
        <input className="search" type="search" aria-label="Search the event types" placeholder="Search by name or meaning" value={search} onChange={(event) => setSearch(event.target.value)} />
      </div>
      <div className="card">
        <Waiting query={types} />
        {types.data && shown.length === 0 && <Empty title="No event type matches" />}
        {shown.length > 0 && (
          <div className="table-wrap">
            <table>
              <caption className="sr-only">Event types</caption>
              <thead>
                <tr>
                  <th scope="col" className="w-type">Name</th>
                  <th scope="col" className="only-wide">Meaning</th>
                  <th scope="col" className="w-kind">Whose</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((type) => (
                  <tr key={type.name} className="link">
                    <td>
                      <Link className="cover mono break" to={typePath(type.name)}>
                        {type.name}
                      </Link>
                      <span className="sub wraps only-narrow"><Prose text={type.description ?? ''} /></span>
                    </td>
                    <td className="only-wide muted"><Prose text={type.description ?? ''} /></td>
                    <td>
                      {type.isCustom ? 'Yours' : 'Built in'}
                      {type.deprecated && <span className="sub">Deprecated</span>}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </Page>
  );
}
