// What an API key may do, in the words of the form that makes one.

export interface ScopeWords {
  scope: string;
  what: string;
}

export const SCOPE_GROUPS: { title: string; scopes: ScopeWords[] }[] = [
  {
    title: 'Webhooks and events',
    scopes: [
      { scope: 'webhooks:manage', what: 'Manage endpoints, secrets and deliveries' },
      { scope: 'events:write', what: 'Publish events' },
      { scope: 'events:read', what: 'Read events' },
      { scope: 'event_types:write', what: 'Define event types of your own' },
    ],
  },
  {
    title: 'Records',
    scopes: ['contacts', 'companies', 'opportunities', 'projects', 'bids', 'pay_apps', 'change_orders'].flatMap((family) => {
      const name = family.replaceAll('_', ' ');
      return [
        { scope: `${family}:read`, what: `Read ${name}` },
        { scope: `${family}:write`, what: `Create and change ${name}` },
      ];
    }),
  },
  {
    title: 'Decisions',
    scopes: [
      { scope: 'bids:send', what: 'Send bids' },
      { scope: 'bids:accept_reject', what: 'Accept and reject bids' },
      { scope: 'pay_apps:approve', what: 'Approve pay applications' },
      { scope: 'change_orders:approve', what: 'Approve change orders' },
    ],
  },
];
