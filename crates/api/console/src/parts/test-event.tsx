// A test event, and what the receiver makes of it, as it happens.

import { useMutation } from '@tanstack/react-query';
import { useEffect } from 'react';
import * as calls from '../api/calls';
import type { Endpoint } from '../api/types';
import { expectSoon, useDelivery } from '../queries';
import { Link } from '../router';
import { explain } from '../words/explain';
import { shortUrl } from '../words/urls';
import { Code } from './code';
import { Dialog } from './dialog';
import { ProblemNote } from './problem';
import { StatusBadge } from './status';
import { TimingBar } from './timing';

export function TestDialog({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }) {
  const test = useMutation({
    mutationFn: () => calls.testEndpoint(endpoint.id),
    onSuccess: (sent) => expectSoon(sent.deliveryId),
  });
  const { mutate } = test;
  // Opening the dialog is the wish; a second render in development must not send a second one.
  useEffect(() => {
    const timer = setTimeout(() => mutate(), 0);
    return () => clearTimeout(timer);
  }, [mutate]);
  return (
    <Dialog title="Test event" onClose={onClose}>
      <p className="muted">
        A <code>webhook.test</code> event goes to {shortUrl(endpoint.url)}: one attempt, signed like any other, which does not count in the endpoint's health.
      </p>
      {test.error && <ProblemNote error={test.error} />}
      {test.data ? <Result key={test.data.deliveryId} id={test.data.deliveryId} /> : !test.error && <p role="status">Sending…</p>}
      <div className="row end">
        <button type="button" className="button" disabled={test.isPending} onClick={() => test.mutate()}>
          Send another
        </button>
        <button type="button" className="button primary" onClick={onClose}>
          Done
        </button>
      </div>
    </Dialog>
  );
}

function Result({ id }: { id: string }) {
  const delivery = useDelivery(id);
  if (delivery.error && !delivery.data) return <ProblemNote error={delivery.error} retry={() => void delivery.refetch()} />;
  const attempt = delivery.data?.attempts[0];
  if (!delivery.data || !attempt) return <p role="status">Waiting for the receiver…</p>;
  const explanation = explain(delivery.data.error, delivery.data.responseStatus, 'test');
  return (
    <div className="stack" role="status">
      <div className={`note ${explanation ? 'bad' : 'good'}`}>
        <div>
          <p className="row">
            <StatusBadge delivery={delivery.data} />
            <strong>{attempt.responseStatus === null ? 'No answer' : `The receiver answered ${attempt.responseStatus}`}</strong>
          </p>
          {explanation && (
            <p>
              {explanation.what} {explanation.remedy}
            </p>
          )}
          {attempt.error?.message && <p className="small muted">In detail: {attempt.error.message}</p>}
        </div>
      </div>
      <TimingBar attempt={attempt} />
      {attempt.responseBody && <Code title="Response body" text={attempt.responseBody} doesWrap />}
      <p>
        <Link to={`/deliveries/${id}`}>See the whole delivery</Link>
      </p>
    </div>
  );
}
