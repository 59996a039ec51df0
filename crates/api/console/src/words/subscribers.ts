// Who receives an event of a type.

import type { Endpoint } from '../api/types';
import { counted } from './numbers';

export interface Subscribers {
  active: number;
  disabled: number;
}

/** How many endpoints want a type. One without types wants everything. */
export function subscribers(endpoints: Pick<Endpoint, 'eventTypes' | 'isActive'>[], type: string): Subscribers {
  const wanting = endpoints.filter(({ eventTypes }) => eventTypes.length === 0 || eventTypes.includes(type));
  const active = wanting.filter((endpoint) => endpoint.isActive).length;
  return { active, disabled: wanting.length - active };
}

/** What publishing will come to, before it is done. */
export function whoWants({ active, disabled }: Subscribers): string {
  if (active === 0 && disabled === 0) return 'No endpoint subscribes to this type: it will be sent to nobody.';
  const skipped = disabled === 0 ? '' : ` For ${counted(disabled, 'disabled endpoint')} it will be recorded as skipped.`;
  if (active === 0) return `No active endpoint subscribes to this type: it will be sent to nobody.${skipped}`;
  return `${counted(active, 'endpoint subscribes', 'endpoints subscribe')} to this type.${skipped}`;
}
