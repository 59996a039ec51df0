// The console's few icons, drawn on a 16 by 16 grid. Each is decoration: the words beside it say the same.

const PATHS = {
  overview: 'M2 13V9M6 13V5M10 13V7M14 13V3',
  deliveries: 'M2 8h11M9 4l4 4-4 4',
  events: 'M9 2 3.5 9H8l-1 5 5.500-7H8z',
  types: 'M3 3h10M3 8h10M3 13h6',
  recover: 'M3 8a5 5 0 1 0 1.600-3.700M3 2.500V5.500h3',
  webhooks: 'M8 2v5M8 14a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM4 2h8',
  key: 'M10 10a3.500 3.500 0 1 0-3.300-2.400L2 12.300V14h2.500v-1.500H6V11l.9-.9A3.500 3.500 0 0 0 10 10Z',
  users: 'M8 7.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5ZM3 14c0-2.800 2.200-4.500 5-4.500s5 1.700 5 4.500',
  account: 'M8 7.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5ZM3 14c0-2.800 2.200-4.500 5-4.500s5 1.700 5 4.500',
  menu: 'M2 4h12M2 8h12M2 12h12',
  close: 'm4 4 8 8M12 4l-8 8',
  chevron: 'm6 3.500 4.500 4.500L6 12.500',
  sun: 'M8 10.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5ZM8 1.500v1M8 13.500v1M1.500 8h1M13.500 8h1M3.400 3.400l.7.7M11.900 11.900l.7.7M3.400 12.600l.7-.7M11.900 4.100l.7-.7',
  moon: 'M13.500 9.500A6 6 0 0 1 6.500 2.500a6 6 0 1 0 7 7Z',
  system: 'M2 3h12v8H2zM6 14h4M8 11v3',
  copy: 'M5.500 5.500h8v8h-8zM3 10.500H2.500v-8h8V3',
  lock: 'M4 7h8v6.500H4zM5.500 7V5a2.500 2.500 0 0 1 5 0v2',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark({ size = 26 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#1d4f5c" />
      <path d="M16 4v12" stroke="#fff" strokeWidth="2" />
      <path d="M11 15h10l-2 7-3 6-3-6z" fill="#f2b544" />
    </svg>
  );
}
