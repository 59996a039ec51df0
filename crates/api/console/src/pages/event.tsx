// One event, and where it went.

import { useQuery } from '@tanstack/react-query';
import * as calls from '../api/calls';
import { Problem } from '../api/client';
import type { Event } from '../api/types';
import { JsonCode } from '../parts/code';
import { DeliveriesTable } from '../parts/deliveries-table';
import { Empty, Page } from '../parts/page';
import { Waiting } from '../parts/problem';
import { Time, useNow } from '../parts/time';
import { Link } from '../router';
import { Controls } from '../session';

const CRUMBS = [{ name: 'Events', to: '/events' }];

export default function EventPage({ id = '' }: Record<string, string>) {
  const event = useQuery({ queryKey: ['event', id], queryFn: () => calls.event(id) });
  const isMissing = event.error instanceof Problem && event.error.status === 404;
  return (
    <Page
      title={event.data?.type ?? (isMissing ? 'No such event' : 'Event')}
      crumbs={CRUMBS}
      actions={
        event.data && (
          <Controls what="publish events">
            <Link className="button" to={`/events/publish?${new URLSearchParams({ type: event.data.type, like: id })}`}>
              Publish one like it
            </Link>
          </Controls>
        )
      }
    >
      <Waiting query={event} />
      {event.data && <About event={event.data} />}
      {/* An operational event has deliveries, too; one past retention may still have some. */}
      {!isMissing && <Where id={id} publishedAt={event.data?.createdAt ?? null} />}
      {event.data && (
        <>
          <JsonCode title="Data, as it was published" text={event.data.dataText} />
          {event.data.previousAttributesText && <JsonCode title="Previous attributes" text={event.data.previousAttributesText} />}
        </>
      )}
    </Page>
  );
}

function About({ event }: { event: Event }) {
  return (
    <div className="card">
      <dl className="facts card-body facts-body">
        <div className="wide">
          <dt>Event id</dt>
          <dd className="mono break">{event.id}</dd>
        </div>
        <div>
          <dt>Type</dt>
          <dd>
            <Link className="mono" to={`/event-types/type?${new URLSearchParams({ name: event.type })}`}>
              {event.type}
            </Link>
          </dd>
        </div>
        <div>
          <dt>Occurred</dt>
          <dd>
            <Time at={event.createdAt} />
          </dd>
        </div>
      </dl>
    </div>
  );
}

/** How long the first delivery of an event may take to be on record. */
const FRESH_MS = 10_000;

function Nobody({ publishedAt }: { publishedAt: string | null }) {
  const now = useNow().getTime();
  if (publishedAt !== null && now - Date.parse(publishedAt) < FRESH_MS) {
    return (
      <Empty title="Nothing was sent yet">
        <p>It was published a moment ago: deliveries appear here by themselves.</p>
      </Empty>
    );
  }
  return (
    <Empty title="It was sent to nobody">
      <p>No endpoint subscribed to its type when it was published.</p>
    </Empty>
  );
}

function Where({ id, publishedAt }: { id: string; publishedAt: string | null }) {
  const deliveries = useQuery({
    queryKey: ['event-deliveries', id],
    queryFn: () => calls.deliveries({ eventId: id, limit: 100 }),
    refetchInterval: (query) => (query.state.data?.items.some((each) => each.status === 'pending') || query.state.data?.items.length === 0 ? 2_000 : 15_000),
  });
  return (
    <section className="card" aria-labelledby="where">
      <div className="card-head">
        <h2 id="where">Deliveries</h2>
        {deliveries.data?.hasMore && <Link to={`/deliveries?event=${id}`}>All of them</Link>}
      </div>
      <Waiting query={deliveries} />
      {deliveries.data?.items.length === 0 && (
        <Nobody publishedAt={publishedAt} />
      )}
      {deliveries.data && deliveries.data.items.length > 0 && <DeliveriesTable deliveries={deliveries.data.items} caption="Deliveries of this event" />}
    </section>
  );
}
