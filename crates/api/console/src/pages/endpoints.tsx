// The endpoints with their health at a glance: Settings -> Developer -> Webhooks.

import type { Endpoint, EndpointStats } from '../api/types';
import { LatencySpark, SuccessSpark } from '../parts/charts';
import { Empty, Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { EndpointBadge } from '../parts/status';
import { Time } from '../parts/time';
import { useDayStats, useEndpoints } from '../queries';
import { Link, usePath } from '../router';
import { Controls } from '../session';
import { statusName, whyDisabledInShort } from '../words/status';
import { counted, percent } from '../words/numbers';
import { PROFILES } from '../words/profiles';
import { milliseconds } from '../words/time';
import { shortUrl } from '../words/urls';

export default function Endpoints() {
  const inSettings = usePath().startsWith('/settings');
  const endpoints = useEndpoints();
  const stats = useDayStats();
  const byId = new Map(stats.data?.endpoints.map((each) => [each.endpointId, each]));
  return (
    <Page
      title={inSettings ? 'Webhooks' : 'Endpoints'}
      {...(inSettings && { crumbs: [{ name: 'Settings' }, { name: 'Developer' }] })}
      lead="The URLs that events are sent to, with their last 24 hours."
      actions={
        <Controls what="create endpoints">
          <Link className="button primary" to="/endpoints/new">
            Create an endpoint
          </Link>
        </Controls>
      }
    >
      <Waiting query={endpoints} />
      {stats.error && <ProblemNote error={stats.error} retry={() => void stats.refetch()} />}
      {endpoints.data?.length === 0 && (
        <div className="card">
          <Empty title="No endpoints yet">
            <p>An endpoint is a URL of yours that takes POST requests. Each has a secret that signs what is sent to it.</p>
          </Empty>
        </div>
      )}
      {endpoints.data && endpoints.data.length > 0 && (
        <div className="card">
          <div className="table-wrap">
            <table>
              <caption className="sr-only">Endpoints</caption>
              <thead>
                <tr>
                  <th scope="col">Endpoint</th>
                  <th scope="col" className="w-state">Status</th>
                  <th scope="col" className="w-health only-wide">Success, 24 h</th>
                  <th scope="col" className="w-health only-wide">p95, 24 h</th>
                  <th scope="col" className="w-last only-wide">Last delivery</th>
                </tr>
              </thead>
              <tbody>
                {endpoints.data.map((endpoint) => (
                  <Row key={endpoint.id} endpoint={endpoint} stats={byId.get(endpoint.id)} isKnown={stats.data !== undefined} />
                ))}
              </tbody>
            </table>
          </div>
        </div>
      )}
    </Page>
  );
}

function Row({ endpoint, stats, isKnown }: { endpoint: Endpoint; stats: EndpointStats | undefined; isKnown: boolean }) {
  return (
    <tr className="link">
      <td>
        <Link className="cover break" to={`/endpoints/${endpoint.id}`}>
          {shortUrl(endpoint.url)}
        </Link>
        <span className="sub">
          {endpoint.description ? `${endpoint.description} · ` : ''}
          {PROFILES[endpoint.profile].name}, {endpoint.eventTypes.length === 0 ? 'every event type' : counted(endpoint.eventTypes.length, 'event type')}
        </span>
      </td>
      <td>
        <EndpointBadge endpoint={endpoint} />
        {!endpoint.isActive && (
          <span className="sub wraps">
            {whyDisabledInShort(endpoint.disabledReason)}
            {endpoint.disabledAt && (
              <>
                {', '}
                <Time at={endpoint.disabledAt} as="ago" />
              </>
            )}
          </span>
        )}
        {endpoint.isActive && endpoint.consecutiveFailures > 0 && <span className="sub wraps">{counted(endpoint.consecutiveFailures, 'failure')} in a row</span>}
        {stats && stats.successRate !== null && <span className="sub wraps only-narrow">{percent(stats.successRate)} delivered in 24 h</span>}
      </td>
      <td className="only-wide">
        <span className="health">
          <span>{percent(stats?.successRate ?? null)}</span>
          {stats && <SuccessSpark series={stats.series} isSkipped={stats.failed + stats.exhausted + stats.pending === 0} />}
        </span>
      </td>
      <td className="only-wide">
        <span className="health">
          <span className="nowrap">{milliseconds(stats?.p95Ms)}</span>
          {stats && <LatencySpark series={stats.series} />}
        </span>
      </td>
      <td className="only-wide">
        {stats?.lastDeliveryAt ? (
          <>
            <Time at={stats.lastDeliveryAt} as="ago" />
            {stats.lastStatus && <span className="sub">{statusName(stats.lastStatus)}</span>}
          </>
        ) : (
          <span className="muted">{isKnown ? 'None in 24 h' : ''}</span>
        )}
      </td>
    </tr>
  );
}
