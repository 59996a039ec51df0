// Enable an endpoint and send what it missed, after a look at how much that is; and how far a recovery has come.

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import * as calls from '../api/calls';
import { freshKey } from '../api/client';
import type { Endpoint } from '../api/types';
import { missedSince, RETRIED_FOR_MS } from '../logic/recovery';
import { Link, navigate } from '../router';
import { useMayChange } from '../session';
import { count, counted } from '../words/numbers';
import { shortUrl } from '../words/urls';
import { Dialog } from './dialog';
import { ProblemNote } from './problem';
import { Time } from './time';

/** What the service sends again at once at most. */
export const RECOVERED_MAX = 50_000;

export function OneClickRecovery({ endpoint }: { endpoint: Endpoint }) {
  const may = useMayChange();
  const [isAsking, setIsAsking] = useState(false);
  const { disabledAt } = endpoint;
  if (!may) return <span className="small muted">Only a company_admin can enable it.</span>;
  if (!disabledAt) {
    return (
      <Link className="button" to={`/recover?endpoint=${endpoint.id}`}>
        Enable and recover…
      </Link>
    );
  }
  return (
    <>
      <button type="button" className="button primary" onClick={() => setIsAsking(true)}>
        Enable and recover
      </button>
      {isAsking && <AskFirst endpoint={endpoint} since={missedSince(disabledAt)} onClose={() => setIsAsking(false)} />}
    </>
  );
}

/** How much would be sent, and from when, before it is. */
function AskFirst({ endpoint, since, onClose }: { endpoint: Endpoint; since: string; onClose: () => void }) {
  const client = useQueryClient();
  const [key] = useState(freshKey);
  const missed = useQuery({ queryKey: ['missed', endpoint.id, since], queryFn: () => calls.recover(endpoint.id, { since }, true), staleTime: 0, gcTime: 0 });
  const recovery = useMutation({
    mutationFn: async () => {
      await calls.enableEndpoint(endpoint.id);
      return calls.recover(endpoint.id, { since }, false, key);
    },
    onSuccess: (recovered) => {
      navigate(progressPath(endpoint.id, recovered));
      refresh();
    },
  });
  // Not as soon as it fails: once the endpoint is known as enabled, this and what it says is gone.
  const refresh = () => void client.invalidateQueries({ queryKey: ['endpoints'] });
  const close = () => {
    if (recovery.error) refresh();
    onClose();
  };
  return (
    <Dialog title="Enable and recover?" onClose={close}>
      <p>
        <b className="break">{shortUrl(endpoint.url)}</b> is enabled, and what it missed is sent at once: repair the receiver first.
      </p>
      {missed.data ? (
        <p role="status">
          <strong>{missed.data.deliveries === 0 ? 'Nothing was missed so far.' : `${counted(missed.data.deliveries, 'delivery', 'deliveries')} will be sent.`}</strong> The range
          begins at <Time at={since} />: {RETRIED_FOR_MS / 3_600_000} h before it was disabled, since retries take that long. What has arrived is not sent again.
        </p>
      ) : (
        !missed.error && <p role="status">Counting what was missed…</p>
      )}
      {missed.error && <ProblemNote error={missed.error} retry={() => void missed.refetch()} />}
      {recovery.error && <ProblemNote error={recovery.error} />}
      <div className="row end">
        <button type="button" className="button" onClick={close}>
          Cancel
        </button>
        <button type="button" className="button primary" disabled={!missed.data || recovery.isPending} onClick={() => recovery.mutate()}>
          {recovery.isPending ? 'Recovering…' : missed.data?.deliveries === 0 ? 'Enable it' : 'Enable and send'}
        </button>
      </div>
    </Dialog>
  );
}

/** Where the progress of a recovery is shown: an address, so that it is still there after a reload. */
export function progressPath(endpointId: number, { deliveries, startedAt }: { deliveries: number; startedAt?: string }): string {
  const started = startedAt ?? new Date().toISOString();
  return `/recover?${new URLSearchParams({ endpoint: String(endpointId), deliveries: String(deliveries), started })}`;
}

interface ProgressProps {
  endpointId: number;
  deliveries: number;
  since: string;
}

export function RecoveryProgress({ endpointId, deliveries, since }: ProgressProps) {
  const stats = useQuery({
    queryKey: ['stats', 'recovery', endpointId, since],
    queryFn: () => calls.stats({ endpointId, since, kind: 'replay' }),
    enabled: deliveries > 0,
    refetchInterval: (query) => {
      const totals = query.state.data?.totals;
      return totals && totals.succeeded + totals.failed + totals.exhausted + totals.skipped >= deliveries ? false : 1_500;
    },
  });
  if (deliveries === 0) return <p role="status">Nothing was missed: there is nothing to send.</p>;
  const totals = stats.data?.totals ?? { succeeded: 0, failed: 0, exhausted: 0, pending: 0, skipped: 0 };
  const failed = totals.failed + totals.exhausted;
  const settled = Math.min(totals.succeeded + failed + totals.skipped, deliveries);
  const width = (part: number) => ({ width: `${Math.min(100, (part / deliveries) * 100)}%` });
  return (
    <div className="stack tight">
      <p role="status">
        <strong>
          {settled === deliveries ? 'Done' : 'Sending'}: {count(settled)} of {counted(deliveries, 'delivery', 'deliveries')} settled.
        </strong>
      </p>
      <div className="progress" role="progressbar" aria-label="Recovery" aria-valuenow={settled} aria-valuemin={0} aria-valuemax={deliveries}>
        <span className="succeeded" style={width(totals.succeeded)} />
        <span className="failed" style={width(failed)} />
        <span className="skipped" style={width(totals.skipped)} />
      </div>
      <div className="legend">
        <span><i className="swatch succeeded" /> {count(totals.succeeded)} delivered</span>
        <span><i className="swatch failed" /> {count(failed)} failed</span>
        <span><i className="swatch" /> {count(Math.max(deliveries - settled, 0))} on their way</span>
      </div>
      {stats.error && <ProblemNote error={stats.error} retry={() => void stats.refetch()} />}
      {deliveries >= RECOVERED_MAX && (
        <p className="note warn">
          {count(RECOVERED_MAX)} is the most at once. When these are settled, recover the same range again for the rest: nothing is sent twice.
        </p>
      )}
    </div>
  );
}
