// One endpoint: how it does, what it is, and everything that can be done with it.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, useState } from 'react';
import * as calls from '../api/calls';
import { Problem } from '../api/client';
import type { Endpoint } from '../api/types';
import { LatencySpark, SuccessSpark } from '../parts/charts';
import { Confirm } from '../parts/confirm';
import { DeliveriesTable } from '../parts/deliveries-table';
import { Empty, Page } from '../parts/page';
import { Loading, ProblemNote, Waiting } from '../parts/problem';
import { OneClickRecovery } from '../parts/recovery';
import { RotateDialog } from '../parts/rotate';
import { EndpointBadge } from '../parts/status';
import { TestDialog } from '../parts/test-event';
import { Time } from '../parts/time';
import { useDayStats, useEndpoint } from '../queries';
import { Link, navigate } from '../router';
import { Controls, useMayChange } from '../session';
import { whyDisabled } from '../words/status';
import { count, counted, percent } from '../words/numbers';
import { PROFILES } from '../words/profiles';
import { milliseconds } from '../words/time';
import { hostOf, shortUrl } from '../words/urls';

const Verifier = lazy(() => import('../parts/verifier'));
const CRUMBS = [{ name: 'Endpoints', to: '/endpoints' }];

type Open = 'test' | 'rotate' | 'delete' | null;

export default function EndpointPage({ id = '' }: Record<string, string>) {
  const number = Number(id);
  const endpoint = useEndpoint(number);
  const [open, setOpen] = useState<Open>(null);
  if (!endpoint.data) {
    const isMissing = endpoint.error instanceof Problem && endpoint.error.status === 404;
    return (
      <Page title={isMissing ? 'No such endpoint' : 'Endpoint'} crumbs={CRUMBS}>
        <Waiting query={endpoint} />
      </Page>
    );
  }
  const { data } = endpoint;
  return (
    <Page
      title={shortUrl(data.url)}
      crumbs={CRUMBS}
      lead={data.description ?? undefined}
      actions={
        <Controls what="change this endpoint">
          <button type="button" className="button primary" onClick={() => setOpen('test')}>
            Send a test event
          </button>
          <Link className="button" to={`/endpoints/${data.id}/edit`}>
            Edit
          </Link>
          <button type="button" className="button" onClick={() => setOpen('rotate')}>
            Rotate the secret
          </button>
          <Switch endpoint={data} />
          <button type="button" className="button" onClick={() => setOpen('delete')}>
            Delete
          </button>
        </Controls>
      }
    >
      {endpoint.error && <ProblemNote error={endpoint.error} retry={() => void endpoint.refetch()} />}
      <State endpoint={data} />
      <Health endpoint={data} />
      <What endpoint={data} />
      <Latest endpoint={data} />
      <section className="card" aria-labelledby="verify">
        <div className="card-head">
          <h2 id="verify">Verify what arrives</h2>
        </div>
        <div className="card-body stack tight">
          <p className="muted">
            Each request is signed in its headers: {PROFILES[data.profile].signature}. Put this endpoint's secret in place of <code>whsec_REPLACE_ME</code>: it was shown when it was made.
          </p>
          <Suspense fallback={<Loading />}>
            <Verifier profile={data.profile} secret={null} url={data.url} />
          </Suspense>
        </div>
      </section>
      {open === 'test' && <TestDialog endpoint={data} onClose={() => setOpen(null)} />}
      {open === 'rotate' && <RotateDialog endpoint={data} onClose={() => setOpen(null)} />}
      {open === 'delete' && <Delete endpoint={data} onClose={() => setOpen(null)} />}
    </Page>
  );
}

function useChanged(id: number) {
  const client = useQueryClient();
  return (endpoint: Endpoint) => {
    client.setQueryData(['endpoints', id], endpoint);
    void client.invalidateQueries({ queryKey: ['endpoints'] });
  };
}

function Switch({ endpoint }: { endpoint: Endpoint }) {
  const changed = useChanged(endpoint.id);
  const [isAsking, setIsAsking] = useState(false);
  const enable = useMutation({ mutationFn: () => calls.enableEndpoint(endpoint.id), onSuccess: changed });
  if (!endpoint.isActive) {
    return (
      <>
        <button type="button" className="button" disabled={enable.isPending} onClick={() => enable.mutate()}>
          Enable
        </button>
        {enable.error && <ProblemNote error={enable.error} />}
      </>
    );
  }
  return (
    <>
      <button type="button" className="button" onClick={() => setIsAsking(true)}>
        Disable
      </button>
      {isAsking && (
        <Confirm title="Disable the endpoint?" verb="Disable" act={async () => changed(await calls.updateEndpoint(endpoint.id, { isActive: false }))} onClose={() => setIsAsking(false)}>
          <p>
            Nothing more is sent to <b className="break">{shortUrl(endpoint.url)}</b>. What happens meanwhile is recorded as skipped, and Recover sends it once the endpoint
            is enabled again.
          </p>
        </Confirm>
      )}
    </>
  );
}

function Delete({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }) {
  const client = useQueryClient();
  return (
    <Confirm
      title="Delete the endpoint?"
      verb="Delete for good"
      typed={hostOf(endpoint.url)}
      act={async () => {
        await calls.deleteEndpoint(endpoint.id);
        client.removeQueries({ queryKey: ['endpoints', endpoint.id] });
        void client.invalidateQueries({ queryKey: ['endpoints'] });
        navigate('/endpoints', { replace: true });
      }}
      onClose={onClose}
    >
      <p>
        No request is sent any more, and what waits for a retry ends as failed. The log of what was delivered stays. This cannot be taken back: to stop for a while, disable
        it instead.
      </p>
    </Confirm>
  );
}

function State({ endpoint }: { endpoint: Endpoint }) {
  const may = useMayChange();
  const reason = whyDisabled(endpoint.disabledReason);
  if (endpoint.isActive) {
    if (endpoint.consecutiveFailures === 0) return null;
    return (
      <p className="note warn">
        <span>
          <strong>{counted(endpoint.consecutiveFailures, 'attempt')} failed in a row.</strong> After 20 (unless your operator chose otherwise) the endpoint is disabled by
          itself. <Link to={`/deliveries?endpoint=${endpoint.id}`}>Look at its deliveries</Link>
        </span>
      </p>
    );
  }
  return (
    <div className={endpoint.disabledReason === 'manual' ? 'note' : 'note bad'}>
      <div>
        <p>
          <strong>{reason?.what}</strong>{' '}
          {endpoint.disabledAt && (
            <>
              Since <Time at={endpoint.disabledAt} />.
            </>
          )}
        </p>
        <p>{reason?.remedy}</p>
      </div>
      {may && <OneClickRecovery endpoint={endpoint} />}
    </div>
  );
}

function Health({ endpoint }: { endpoint: Endpoint }) {
  const stats = useDayStats();
  const mine = stats.data?.endpoints.find((each) => each.endpointId === endpoint.id);
  if (stats.error) return <ProblemNote error={stats.error} retry={() => void stats.refetch()} />;
  return (
    <div className="tiles">
      <div className="tile">
        <span className="tile-name">Success, 24 h</span>
        <span className="tile-value">{percent(mine?.successRate ?? null)}</span>
        {mine ? <SuccessSpark series={mine.series} isSkipped={mine.failed + mine.exhausted + mine.pending === 0} /> : <span className="spark" />}
      </div>
      <div className="tile">
        <span className="tile-name">p95, 24 h</span>
        <span className="tile-value">{milliseconds(mine?.p95Ms)}</span>
        {mine ? <LatencySpark series={mine.series} /> : <span className="spark" />}
      </div>
      <div className="tile">
        <span className="tile-name">
          <i className="swatch succeeded" /> Delivered
        </span>
        <span className="tile-value">{count(mine?.succeeded ?? 0)}</span>
        <span className="tile-more">in 24 h</span>
      </div>
      <div className="tile">
        <span className="tile-name">
          <i className="swatch failed" /> Failed
        </span>
        <span className="tile-value">{count((mine?.failed ?? 0) + (mine?.exhausted ?? 0))}</span>
        <span className="tile-more">{count(mine?.pending ?? 0)} retrying</span>
      </div>
      <div className="tile">
        <span className="tile-name">Last delivery</span>
        <span className="tile-value small-value">{mine?.lastDeliveryAt ? <Time at={mine.lastDeliveryAt} as="ago" /> : '–'}</span>
        <span className="tile-more">{mine?.lastDeliveryAt ? <Time at={mine.lastDeliveryAt} /> : 'none in 24 h'}</span>
      </div>
    </div>
  );
}

function What({ endpoint }: { endpoint: Endpoint }) {
  return (
    <section className="card" aria-label="Settings of the endpoint">
      <dl className="facts card-body facts-body">
        <div className="wide">
          <dt>URL</dt>
          <dd className="mono break">{endpoint.url}</dd>
        </div>
        <div>
          <dt>Status</dt>
          <dd>
            <EndpointBadge endpoint={endpoint} />
          </dd>
        </div>
        <div>
          <dt>Product</dt>
          <dd>{PROFILES[endpoint.profile].name}</dd>
        </div>
        <div>
          <dt>Rate limit</dt>
          <dd>{endpoint.rateLimit === null ? 'None' : `${count(endpoint.rateLimit)} a minute`}</dd>
        </div>
        <div>
          <dt>Custom headers</dt>
          <dd>{endpoint.headerNames.length === 0 ? 'None' : endpoint.headerNames.join(', ')}</dd>
        </div>
        <div>
          <dt>Created</dt>
          <dd>
            <Time at={endpoint.createdAt} />
          </dd>
        </div>
        <div>
          <dt>Number</dt>
          <dd>{endpoint.id}</dd>
        </div>
        <div className="double">
          <dt>UUID</dt>
          <dd className="mono">{endpoint.uid}</dd>
        </div>
        <div className="wide">
          <dt>Event types</dt>
          <dd className="chips">
            {endpoint.eventTypes.length === 0 && 'Everything, also types that are added later'}
            {endpoint.eventTypes.map((type) => (
              <Link key={type} className="chip mono" to={`/event-types/type?${new URLSearchParams({ name: type })}`}>
                {type}
              </Link>
            ))}
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Latest({ endpoint }: { endpoint: Endpoint }) {
  const latest = useQuery({
    queryKey: ['deliveries', 'of-endpoint', endpoint.id],
    queryFn: () => calls.deliveries({ endpointId: endpoint.id, limit: 10 }),
    refetchInterval: 5_000,
  });
  return (
    <section className="card" aria-labelledby="latest">
      <div className="card-head">
        <h2 id="latest">Latest deliveries</h2>
        <Link to={`/deliveries?endpoint=${endpoint.id}`}>All deliveries</Link>
      </div>
      <Waiting query={latest} />
      {latest.data?.items.length === 0 && (
        <Empty title="Nothing was sent yet">
          <p>Send a test event to see whether the receiver is in order.</p>
        </Empty>
      )}
      {latest.data && latest.data.items.length > 0 && <DeliveriesTable deliveries={latest.data.items} caption="Latest deliveries" showsEndpoint={false} />}
    </section>
  );
}
