// One delivery: where it stands, every attempt, and what to do.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import * as calls from '../api/calls';
import { Problem } from '../api/client';
import type { DeliveryDetail } from '../api/types';
import { Attempts } from '../parts/attempts';
import { JsonCode } from '../parts/code';
import { Page } from '../parts/page';
import { ProblemNote, Waiting } from '../parts/problem';
import { StatusBadge } from '../parts/status';
import { Time, useNow } from '../parts/time';
import { expectSoon, useDelivery, useEndpoints } from '../queries';
import { Link, navigate } from '../router';
import { ReadOnly, useMayChange } from '../session';
import { explain, thenOf } from '../words/explain';
import { isTest, standing } from '../words/status';
import { counted } from '../words/numbers';
import { PROFILES } from '../words/profiles';
import { span } from '../words/time';
import { shortUrl } from '../words/urls';

const CRUMBS = [{ name: 'Deliveries', to: '/deliveries' }];

export default function DeliveryPage({ id = '' }: Record<string, string>) {
  const delivery = useDelivery(id);
  const may = useMayChange();
  if (!delivery.data) {
    const isMissing = delivery.error instanceof Problem && delivery.error.status === 404;
    return (
      <Page title={isMissing ? 'No such delivery' : 'Delivery'} crumbs={CRUMBS}>
        <Waiting query={delivery} />
      </Page>
    );
  }
  return (
    <Page title={delivery.data.eventType} crumbs={CRUMBS} actions={may ? <Replay delivery={delivery.data} /> : <ReadOnly what="replay it" />}>
      {delivery.error && <ProblemNote error={delivery.error} retry={() => void delivery.refetch()} />}
      <Standing delivery={delivery.data} />
      <Facts delivery={delivery.data} />
      <Body delivery={delivery.data} />
    </Page>
  );
}

function Replay({ delivery }: { delivery: DeliveryDetail }) {
  const client = useQueryClient();
  const replay = useMutation({
    mutationFn: () => calls.replay(delivery.id),
    onSuccess: (created) => {
      expectSoon(created.id);
      void client.invalidateQueries({ queryKey: ['event-deliveries'] });
      navigate(`/deliveries/${created.id}`);
    },
  });
  return (
    <div className="stack tight">
      <button type="button" className="button primary" disabled={replay.isPending} onClick={() => replay.mutate()}>
        {replay.isPending ? 'Sending…' : 'Replay'}
      </button>
      {replay.error && <ProblemNote error={replay.error} />}
    </div>
  );
}

/** What happened, and what comes next. */
function Standing({ delivery }: { delivery: DeliveryDetail }) {
  const last = delivery.attempts.at(-1);
  const reason = explain(delivery.error, delivery.responseStatus, thenOf(delivery));
  const tone = { pending: reason ? 'warn' : '', succeeded: 'good', failed: 'bad', exhausted: 'bad', skipped: '' }[delivery.status];
  return (
    <div className={`note ${tone}`}>
      <div>
        <p className="row">
          <StatusBadge delivery={delivery} />
          <strong>
            {delivery.status === 'succeeded' && last
              ? `The receiver answered ${last.responseStatus} to ${delivery.attemptCount === 1 ? 'the first attempt' : `attempt ${delivery.attemptCount}`}.`
              : standing(delivery)}
          </strong>
          {delivery.status === 'pending' && <NextAttempt delivery={delivery} />}
        </p>
        {reason && delivery.status !== 'succeeded' && (
          <p>
            {reason.what} {reason.remedy}
          </p>
        )}
        {delivery.status === 'skipped' && (
          <p>
            Enable the endpoint, then <Link to={`/recover?endpoint=${delivery.endpointId}`}>recover what it missed</Link>.
          </p>
        )}
        {(delivery.error === 'endpoint_disabled' || (delivery.status === 'exhausted' && !isTest(delivery))) && (
          <p>
            Were there more like it? <Link to={`/recover?endpoint=${delivery.endpointId}`}>Recover</Link> sends all that the endpoint missed.
          </p>
        )}
      </div>
    </div>
  );
}

function NextAttempt({ delivery }: { delivery: DeliveryDetail }) {
  const now = useNow();
  if (!delivery.nextAttemptAt) return null;
  const seconds = (Date.parse(delivery.nextAttemptAt) - now.getTime()) / 1000;
  return (
    <span>
      Attempt {delivery.attemptCount + 1} {seconds > 0.5 ? <>in <b>{span(seconds)}</b>, at <Time at={delivery.nextAttemptAt} /></> : 'is due now'}.
    </span>
  );
}

function Facts({ delivery }: { delivery: DeliveryDetail }) {
  const endpoints = useEndpoints();
  const endpoint = endpoints.data?.find((each) => each.id === delivery.endpointId);
  const url = delivery.endpointUrl ?? endpoint?.url;
  const profile = delivery.profile ?? endpoint?.profile;
  return (
    <div className="card">
      <dl className="facts card-body facts-body">
        <div className="wide">
          <dt>Endpoint</dt>
          <dd>
            {url ? <Link to={`/endpoints/${delivery.endpointId}`}>{shortUrl(url)}</Link> : `Endpoint ${delivery.endpointId}, which was deleted`}
            {profile && <span className="muted"> · {PROFILES[profile].name}</span>}
          </dd>
        </div>
        <div className="double">
          <dt>Event</dt>
          <dd>
            <Link className="mono break" to={`/events/${delivery.eventId}`}>{delivery.eventId}</Link>
          </dd>
        </div>
        <div className="double">
          <dt>Delivery</dt>
          <dd className="mono break">{delivery.id}</dd>
        </div>
        <div>
          <dt>Attempts</dt>
          <dd>{counted(delivery.attemptCount, 'attempt')}</dd>
        </div>
        <div>
          <dt>Recorded</dt>
          <dd>
            <Time at={delivery.createdAt} />
          </dd>
        </div>
        {delivery.completedAt && (
          <div>
            <dt>Settled</dt>
            <dd>
              <Time at={delivery.completedAt} />
            </dd>
          </div>
        )}
        {delivery.replayOf && (
          <div className="double">
            <dt>Replay of</dt>
            <dd>
              <Link className="mono break" to={`/deliveries/${delivery.replayOf}`}>{delivery.replayOf}</Link>
            </dd>
          </div>
        )}
      </dl>
    </div>
  );
}

function Body({ delivery }: { delivery: DeliveryDetail }) {
  const endpoints = useEndpoints();
  const url = delivery.endpointUrl ?? endpoints.data?.find((each) => each.id === delivery.endpointId)?.url ?? null;
  return (
    <>
      <section className="card" aria-labelledby="attempts">
        <div className="card-head">
          <h2 id="attempts">Attempts</h2>
          <span className="small muted">the newest first</span>
        </div>
        {delivery.attempts.length === 0 ? (
          <div className="card-body">
            <p className="muted">{delivery.status === 'pending' ? 'The first one has not ended yet.' : 'None was made.'}</p>
          </div>
        ) : (
          <Attempts delivery={delivery} url={url} isExplained={delivery.status !== 'succeeded' && !delivery.error?.startsWith('endpoint_')} />
        )}
      </section>
      {delivery.payloadText === null ? (
        <p className="note">The payload is past retention, and no longer kept.</p>
      ) : (
        <JsonCode title="Payload, as it was sent" text={delivery.payloadText} />
      )}
    </>
  );
}
