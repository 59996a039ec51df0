// Where a delivery or an endpoint stands, in a word and a colour.

import type { Endpoint, Status } from '../api/types';
import { type Badged, isTest, STATUS_MEANING, statusWord, whyDisabled } from '../words/status';

const TONES: Record<Status, string> = {
  pending: 'warn',
  succeeded: 'good',
  failed: 'bad',
  exhausted: 'bad',
  skipped: '',
};

export function StatusBadge({ delivery }: { delivery: Badged }) {
  return (
    <span className={`badge ${TONES[delivery.status]}`} title={isTest(delivery) && delivery.status === 'exhausted' ? 'A test is sent once, and this one failed.' : STATUS_MEANING[delivery.status]}>
      {statusWord(delivery)}
    </span>
  );
}

export function EndpointBadge({ endpoint }: { endpoint: Pick<Endpoint, 'isActive' | 'disabledReason'> }) {
  if (endpoint.isActive) return <span className="badge good">Active</span>;
  const isByItself = endpoint.disabledReason !== 'manual';
  return (
    <span className={isByItself ? 'badge bad' : 'badge'} title={whyDisabled(endpoint.disabledReason)?.what}>
      Disabled
    </span>
  );
}
