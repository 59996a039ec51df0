// How deliveries go: what arrived, what failed, how fast, and what needs somebody.

import { keepPreviousData, useQuery } from '@tanstack/react-query';
import * as calls from '../api/calls';
import type { Endpoint, Stats } from '../api/types';
import { RANGES } from '../logic/filters';
import { DeliveriesChart, FiguresTable, LatencyChart } from '../parts/charts';
import { OneClickRecovery } from '../parts/recovery';
import { Empty, Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { Time } from '../parts/time';
import { useEndpoints } from '../queries';
import { Link, navigate, useSearch } from '../router';
import { useMayChange } from '../session';
import { whyDisabled } from '../words/status';
import { count, percent } from '../words/numbers';
import { milliseconds } from '../words/time';
import { shortUrl } from '../words/urls';

type Shown = '1h' | '24h' | '7d' | '30d';
const SHOWN: Shown[] = ['1h', '24h', '7d', '30d'];

export default function Overview() {
  const asked = useSearch().get('range') as Shown | null;
  const range = asked && SHOWN.includes(asked) ? asked : '24h';
  const endpoints = useEndpoints();
  const stats = useQuery({
    queryKey: ['stats', 'overview', range],
    queryFn: () => calls.stats({ since: new Date(Date.now() - RANGES[range].ms).toISOString() }),
    refetchInterval: 15_000,
    placeholderData: keepPreviousData,
  });
  const isNew = endpoints.data?.length === 0;
  return (
    <Page
      title="Overview"
      actions={
        <div className="segments" role="group" aria-label="Time range">
          {SHOWN.map((each) => (
            <button key={each} type="button" aria-pressed={range === each} onClick={() => navigate(`/?range=${each}`, { replace: true })}>
              <span aria-hidden="true">{each}</span>
              <span className="sr-only">{RANGES[each].label}</span>
            </button>
          ))}
        </div>
      }
    >
      {isNew ? (
        <FirstSteps />
      ) : (
        <>
          {endpoints.data && <Disabled endpoints={endpoints.data} />}
          {endpoints.error && <ProblemNote error={endpoints.error} retry={() => void endpoints.refetch()} />}
          <Waiting query={stats} />
          {stats.data && <Figures stats={stats.data} range={range} endpoints={endpoints.data ?? []} />}
        </>
      )}
    </Page>
  );
}

function FirstSteps() {
  const may = useMayChange();
  return (
    <div className="card">
      <Empty
        title="Nothing is delivered yet"
        actions={
          may && (
            <Link className="button primary" to="/endpoints/new">
              Create an endpoint
            </Link>
          )
        }
      >
        <ol className="steps">
          <li>Create an endpoint: the URL that events are sent to.</li>
          <li>Save its signing secret, and verify with it what arrives.</li>
          <li>Send a test event and see what your receiver answers.</li>
          <li>
            Read the receivers' guide before real events come: <code>docs/receiving</code> in the documentation.
          </li>
        </ol>
      </Empty>
    </div>
  );
}

function Disabled({ endpoints }: { endpoints: Endpoint[] }) {
  const byItself = endpoints.filter((endpoint) => !endpoint.isActive && endpoint.disabledReason !== 'manual');
  return byItself.map((endpoint) => (
    <div className="note bad" key={endpoint.id}>
      <div>
        <p>
          <strong>
            <Link to={`/endpoints/${endpoint.id}`}>{shortUrl(endpoint.url)}</Link> receives nothing.
          </strong>{' '}
          {whyDisabled(endpoint.disabledReason)?.what}{' '}
          {endpoint.disabledAt && (
            <>
              Since <Time at={endpoint.disabledAt} />.
            </>
          )}
        </p>
        <p className="small">Once the receiver is in order: enable the endpoint and send what it missed.</p>
      </div>
      <OneClickRecovery endpoint={endpoint} />
    </div>
  ));
}

function Figures({ stats, range, endpoints }: { stats: Stats; range: Shown; endpoints: Endpoint[] }) {
  const { totals, latency } = stats;
  const link = (status: string) => `/deliveries?${new URLSearchParams({ status, range })}`;
  const failed = totals.failed + totals.exhausted;
  const settled = totals.succeeded + failed;
  return (
    <>
      {settled + totals.pending + totals.skipped === 0 && (
        <p className="note">
          <span>
            <strong>Nothing was sent in this range</strong>, tests aside. <Link to="/settings/developer/webhooks">Choose an endpoint</Link> to send it a test event, or{' '}
            <Link to="/events/publish">publish an event</Link>. What a receiver has to do is in <code>docs/receiving</code> of the documentation.
          </span>
        </p>
      )}
      {!stats.complete && (
        <p className="note warn">
          <span>
            These are the newest 200,000 deliveries, since <Time at={stats.since} />. Choose a shorter range to see all of it.
          </span>
        </p>
      )}
      <div className="tiles">
        <Tile name="Delivered" kind="succeeded" value={count(totals.succeeded)} more={settled ? `${percent(totals.succeeded / settled)} of the settled` : 'nothing settled'} to={link('succeeded')} />
        <Tile name="Failed" kind="failed" value={count(failed)} more={`${count(totals.exhausted)} of them exhausted`} to={link(totals.exhausted > totals.failed ? 'exhausted' : 'failed')} />
        <Tile name="Retrying" kind="pending" value={count(totals.pending)} more="or on their way" to={link('pending')} />
        <Tile name="Skipped" kind="skipped" value={count(totals.skipped)} more="endpoint disabled" to={link('skipped')} />
        <Tile name="Latency, p50" value={milliseconds(latency?.p50Ms)} more="until the answer" />
        <Tile name="Latency, p95" value={milliseconds(latency?.p95Ms)} more={`p99 ${milliseconds(latency?.p99Ms)}`} />
      </div>
      <section className="card" aria-labelledby="over-time">
        <div className="card-head">
          <h2 id="over-time">Deliveries over time</h2>
          <div className="legend">
            <span><i className="swatch succeeded" /> Delivered</span>
            <span><i className="swatch failed" /> Failed</span>
            <span><i className="swatch pending" /> Retrying</span>
            <span><i className="swatch skipped" /> Skipped</span>
          </div>
        </div>
        <div className="card-body stack tight">
          <DeliveriesChart stats={stats} />
          <FiguresTable stats={stats} />
        </div>
      </section>
      <div className="columns">
        <section className="card" aria-labelledby="latency">
          <div className="card-head">
            <h2 id="latency">Latency</h2>
            <div className="legend">
              <span><i className="swatch p50" /> p50</span>
              <span><i className="swatch p95" /> p95</span>
            </div>
          </div>
          <div className="card-body">
            <LatencyChart stats={stats} />
          </div>
        </section>
        <Failing stats={stats} endpoints={endpoints} />
      </div>
    </>
  );
}

function Tile({ name, kind, value, more, to }: { name: string; kind?: string; value: string; more: string; to?: string }) {
  const inside = (
    <>
      <span className="tile-name">
        {kind && <i className={`swatch ${kind}`} />}
        {name}
      </span>
      <span className="tile-value">{value}</span>
      <span className="tile-more">{more}</span>
    </>
  );
  return to ? (
    <Link className="tile" to={to}>
      {inside}
    </Link>
  ) : (
    <div className="tile">{inside}</div>
  );
}

function Failing({ stats, endpoints }: { stats: Stats; endpoints: Endpoint[] }) {
  const byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  const failing = stats.endpoints
    .map((each) => ({ ...each, unsuccessful: each.failed + each.exhausted + each.pending }))
    .filter((each) => each.failed + each.exhausted > 0 || (each.pending > 0 && each.succeeded === 0))
    .sort((a, b) => b.unsuccessful - a.unsuccessful)
    .slice(0, 6);
  return (
    <section className="card" aria-labelledby="failing">
      <div className="card-head">
        <h2 id="failing">Endpoints that fail most</h2>
      </div>
      {failing.length === 0 ? (
        <div className="card-body">
          <p className="muted">None: every delivery in this range arrived or is on its way.</p>
        </div>
      ) : (
        <div className="table-wrap">
          <table>
            <thead>
              <tr>
                <th scope="col">Endpoint</th>
                <th scope="col" className="number w-count">Failed</th>
                <th scope="col" className="number w-count only-wide">Retrying</th>
                <th scope="col" className="number w-count">Success</th>
              </tr>
            </thead>
            <tbody>
              {failing.map((each) => {
                const endpoint = byId.get(each.endpointId);
                return (
                  <tr key={each.endpointId} className="link">
                    <td className="one-line">
                      <Link className="cover" to={endpoint ? `/endpoints/${each.endpointId}` : `/deliveries?endpoint=${each.endpointId}`}>
                        {endpoint ? shortUrl(endpoint.url) : `Endpoint ${each.endpointId}, deleted`}
                      </Link>
                    </td>
                    <td className="number">{count(each.failed + each.exhausted)}</td>
                    <td className="number only-wide">{count(each.pending)}</td>
                    <td className="number">{percent(each.successRate)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
