// What each product's endpoints are like, as docs/API.md has it.

import type { Profile } from '../api/types';

export interface ProfileWords {
  name: string;
  /** The headers that carry the signature. */
  signature: string;
  /** Whether a generated rotation leaves the old secret signing beside the new one for a day. */
  bothSign: boolean;
}

export const PROFILES: Record<Profile, ProfileWords> = {
  buildworkpro: { name: 'BuildWorkPro', signature: 'BuildWorkPro-Signature', bothSign: false },
  buildr: { name: 'Buildr', signature: 'svix-id, svix-timestamp, svix-signature', bothSign: true },
  buildmarkets: {
    name: 'Buildmarkets',
    signature: 'webhook-id, webhook-timestamp, webhook-signature',
    bothSign: true,
  },
};
