// Deliveries in rows. The columns' widths are fixed, so that nothing moves when one arrives.

import type { Delivery } from '../api/types';
import { useEndpoints } from '../queries';
import { Link } from '../router';
import { shortResult } from '../words/status';
import { shortUrl } from '../words/urls';
import { StatusBadge } from './status';
import { Time } from './time';

interface DeliveriesTableProps {
  deliveries: Delivery[];
  caption: string;
  /** Left out where all are of one endpoint. */
  showsEndpoint?: boolean;
  onReading?: (is: boolean) => void;
}

export function DeliveriesTable({ deliveries, caption, showsEndpoint = true, onReading }: DeliveriesTableProps) {
  const endpoints = useEndpoints();
  const urls = new Map(endpoints.data?.map((endpoint) => [endpoint.id, shortUrl(endpoint.url)]));
  const name = (id: number) => urls.get(id) ?? `Endpoint ${id}${endpoints.data ? ', deleted' : ''}`;
  return (
    <div className="table-wrap">
      <table>
        <caption className="sr-only">{caption}</caption>
        <thead>
          <tr>
            <th scope="col" className="w-status">Status</th>
            <th scope="col">Event</th>
            {showsEndpoint && <th scope="col" className="only-wide">Endpoint</th>}
            <th scope="col" className="w-result only-wide">Result</th>
            <th scope="col" className="w-count number only-wide">Attempts</th>
            <th scope="col" className="w-time">Recorded</th>
          </tr>
        </thead>
        <tbody
          onPointerEnter={() => onReading?.(true)}
          onPointerLeave={() => onReading?.(false)}
          onFocus={() => onReading?.(true)}
          onBlur={() => onReading?.(false)}
        >
          {deliveries.map((delivery) => (
            <tr key={delivery.id} className="link">
              <td>
                <StatusBadge delivery={delivery} />
              </td>
              <td className="one-line">
                <Link className="cover mono" to={`/deliveries/${delivery.id}`}>
                  {delivery.eventType}
                  <span className="sr-only">, delivery {delivery.id}</span>
                </Link>
                {delivery.replayOf && <span className="small muted"> · replay</span>}
                {showsEndpoint && <span className="sub only-narrow">{name(delivery.endpointId)}</span>}
              </td>
              {showsEndpoint && <td className="only-wide one-line muted" title={name(delivery.endpointId)}>{name(delivery.endpointId)}</td>}
              <td className="only-wide one-line">{shortResult(delivery.error, delivery.responseStatus)}</td>
              <td className="only-wide number">{delivery.attemptCount}</td>
              <td className="one-line">
                <Time at={delivery.createdAt} />
                {delivery.status === 'pending' && delivery.nextAttemptAt && delivery.attemptCount > 0 && (
                  <span className="sub">
                    next <Time at={delivery.nextAttemptAt} as="due" />
                  </span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
