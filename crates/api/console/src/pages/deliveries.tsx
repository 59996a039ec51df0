// The delivery log: newest first, as it happens.

import { useState } from 'react';
import { type Filters, filtersOf, isFiltered, NO_FILTERS, RANGES, type Range, reachesNow, searchOf, STATUSES } from '../logic/filters';
import { DeliveriesTable } from '../parts/deliveries-table';
import { Field } from '../parts/field';
import { type LiveState, useLiveDeliveries } from '../parts/live-deliveries';
import { Empty, Page } from '../parts/page';
import { Loading, ProblemNote } from '../parts/problem';
import { useEndpoints, useEventTypes } from '../queries';
import { Link, navigate, useSearch } from '../router';
import { statusName } from '../words/status';
import { counted } from '../words/numbers';
import { fromLocalInput, toLocalInput } from '../words/time';
import { shortUrl } from '../words/urls';
import { WAITING_MAX } from '../logic/live';

export default function Deliveries() {
  const search = useSearch();
  const filters = filtersOf(search);
  const cursor = search.get('cursor');
  const { live, page, state, pause, release, reading } = useLiveDeliveries(filters, cursor);

  const apply = (changes: Partial<Filters>) => navigate(path({ ...filters, ...changes }), { replace: true });
  const waiting = live?.waiting.length ?? 0;
  const showNew = () => {
    if (cursor === null) {
      release();
      window.scrollTo({ top: 0 });
    } else {
      navigate(path(filters));
    }
  };
  return (
    <Page
      title="Deliveries"
      lead="One event to one endpoint, over all its attempts. Newest first."
      actions={<LiveControl state={state} pause={pause} />}
    >
      <div className="card">
        <FilterBar filters={filters} apply={apply} />
        {page.error && <ProblemNote error={page.error} retry={() => void page.refetch()} />}
        {!live && !page.error && <Loading />}
        {live && live.rows.length === 0 && waiting === 0 && <NoDeliveries filters={filters} isFirst={cursor === null} />}
        {live && (live.rows.length > 0 || waiting > 0) && (
          <DeliveriesTable deliveries={live.rows} caption="Deliveries, newest first" onReading={reading} />
        )}
        {live && (
          <div className="more">
            {cursor === null ? <span>{counted(live.rows.length, 'delivery', 'deliveries')} on this page</span> : <Link to={path(filters)}>Newest</Link>}
            {live.next !== null && (
              <Link className="button little" to={path(filters, live.next)}>
                Older
              </Link>
            )}
          </div>
        )}
      </div>
      <div className="news" role="status">
        {waiting > 0 && (
          <button type="button" className="button primary" onClick={showNew}>
            {waiting >= WAITING_MAX ? `${WAITING_MAX}+ new` : `${waiting} new`}
            <span className="sr-only"> deliveries: show them</span>
          </button>
        )}
      </div>
    </Page>
  );
}

function path(filters: Filters, cursor?: string): string {
  const search = searchOf(filters);
  if (cursor) search.set('cursor', cursor);
  return search.size ? `/deliveries?${search}` : '/deliveries';
}

const STATE_WORDS: Record<LiveState, string> = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  paused: 'Paused',
  fixed: 'A past range',
};

function LiveControl({ state, pause }: { state: LiveState; pause: (is: boolean) => void }) {
  return (
    <>
      <span className="live" data-state={state} role="status">
        <span className={state === 'live' ? 'live-dot pulse' : 'live-dot'} />
        {STATE_WORDS[state]}
      </span>
      {state !== 'fixed' && (
        <button type="button" className="button little w-pause" onClick={() => pause(state !== 'paused')}>
          {state === 'paused' ? 'Resume' : 'Pause'}
        </button>
      )}
    </>
  );
}

function NoDeliveries({ filters, isFirst }: { filters: Filters; isFirst: boolean }) {
  if (isFiltered(filters)) {
    return (
      <Empty
        title="No delivery matches"
        actions={
          <button type="button" className="button" onClick={() => navigate(path(NO_FILTERS))}>
            Clear the filters
          </button>
        }
      >
        <p>{reachesNow(filters, Date.now()) ? 'New ones that match appear here by themselves.' : 'Choose a longer range, or other filters.'}</p>
      </Empty>
    );
  }
  return (
    <Empty
      title={isFirst ? 'No deliveries yet' : 'There are no older ones'}
      actions={
        <Link className="button" to="/endpoints">
          Go to the endpoints
        </Link>
      }
    >
      <p>They appear here as soon as an event is published that an endpoint subscribes to. A test event shows whether the receiver is in order.</p>
    </Empty>
  );
}

type Chosen = Range | '' | 'custom';

function FilterBar({ filters, apply }: { filters: Filters; apply: (changes: Partial<Filters>) => void }) {
  const endpoints = useEndpoints();
  const types = useEventTypes('buildworkpro');
  const [isCustom, setIsCustom] = useState(filters.since !== null || filters.until !== null);
  const chosen: Chosen = filters.range ?? (isCustom ? 'custom' : '');
  const choose = (value: Chosen) => {
    setIsCustom(value === 'custom');
    if (value === 'custom') {
      apply({ range: null, since: new Date(Date.now() - 3_600_000).toISOString(), until: null });
    } else {
      apply({ range: value === '' ? null : value, since: null, until: null });
    }
  };
  return (
    <div className="filters" role="search" aria-label="Filter deliveries">
      <Field label="Status">
        {(ids) => (
          <select {...ids} value={filters.status ?? ''} onChange={(event) => apply({ status: (event.target.value || null) as Filters['status'] })}>
            <option value="">Any</option>
            {STATUSES.map((status) => (
              <option key={status} value={status}>
                {statusName(status)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Endpoint">
        {(ids) => (
          <select {...ids} value={filters.endpointId ?? ''} onChange={(event) => apply({ endpointId: Number(event.target.value) || null })}>
            <option value="">Any</option>
            {filters.endpointId && !endpoints.data?.some((endpoint) => endpoint.id === filters.endpointId) && (
              <option value={filters.endpointId}>Endpoint {filters.endpointId}</option>
            )}
            {endpoints.data?.map((endpoint) => (
              <option key={endpoint.id} value={endpoint.id}>
                {shortUrl(endpoint.url)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Event type">
        {(ids) => <Typed {...ids} value={filters.eventType ?? ''} list="filter-types" placeholder="Any" apply={(value) => apply({ eventType: value || null })} />}
      </Field>
      <Field label="Event id">
        {(ids) => <Typed {...ids} value={filters.eventId ?? ''} placeholder="evt_…" apply={(value) => apply({ eventId: value || null })} />}
      </Field>
      <Field label="Time">
        {(ids) => (
          <select {...ids} value={chosen} onChange={(event) => choose(event.target.value as Chosen)}>
            <option value="">Any</option>
            {Object.entries(RANGES).map(([range, { label }]) => (
              <option key={range} value={range}>
                {label}
              </option>
            ))}
            <option value="custom">From … to …</option>
          </select>
        )}
      </Field>
      {chosen === 'custom' && (
        <>
          <Field label="From">
            {(ids) => <input {...ids} type="datetime-local" step="1" value={filters.since ? toLocalInput(new Date(filters.since)) : ''} onChange={(event) => apply({ since: fromLocalInput(event.target.value)?.toISOString() ?? null })} />}
          </Field>
          <Field label="To">
            {(ids) => <input {...ids} type="datetime-local" step="1" value={filters.until ? toLocalInput(new Date(filters.until)) : ''} onChange={(event) => apply({ until: fromLocalInput(event.target.value)?.toISOString() ?? null })} />}
          </Field>
        </>
      )}
      <datalist id="filter-types">
        {types.data?.map((type) => <option key={type.name} value={type.name} />)}
        <option value="webhook.test" />
      </datalist>
    </div>
  );
}

interface TypedProps {
  id: string;
  value: string;
  list?: string;
  placeholder: string;
  apply: (value: string) => void;
}

/** Text that counts when the reader has finished it: a list that is asked at each letter answers in the wrong order. */
function Typed({ value, apply, ...rest }: TypedProps) {
  const [text, setText] = useState(value);
  const [known, setKnown] = useState(value);
  if (known !== value) {
    setKnown(value);
    setText(value);
  }
  return (
    <input
      {...rest}
      type="search"
      value={text}
      autoComplete="off"
      spellCheck={false}
      onChange={(event) => {
        setText(event.target.value);
        // Choosing from the list, and the little cross, say "input" without a key.
        const kind = (event.nativeEvent as InputEvent).inputType;
        if (kind === 'insertReplacementText' || kind === undefined || event.target.value === '') apply(event.target.value.trim());
      }}
      onBlur={() => apply(text.trim())}
      onKeyDown={(event) => {
        if (event.key === 'Enter') apply(text.trim());
      }}
    />
  );
}
