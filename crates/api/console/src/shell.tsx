// The frame around every page: navigation, who is signed in, light or dark.

import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { Icon, type IconName, Mark } from './parts/icons';
import { Link, usePath } from './router';
import { useSession, useSignOut } from './session';
import { setTheme, storedTheme, type Theme } from './theme';

interface Entry {
  to: string;
  name: string;
  icon: IconName;
}

const MAIN: Entry[] = [
  { to: '/', name: 'Overview', icon: 'overview' },
  { to: '/deliveries', name: 'Deliveries', icon: 'deliveries' },
  { to: '/events', name: 'Events', icon: 'events' },
  { to: '/event-types', name: 'Event types', icon: 'types' },
  { to: '/recover', name: 'Recover', icon: 'recover' },
];

const DEVELOPER: Entry[] = [
  { to: '/settings/developer/webhooks', name: 'Webhooks', icon: 'webhooks' },
  { to: '/settings/developer/api-keys', name: 'API Keys', icon: 'key' },
];

const PEOPLE: Entry[] = [
  { to: '/settings/users', name: 'Users', icon: 'users' },
  { to: '/settings/account', name: 'Your account', icon: 'account' },
];

export function Shell({ children }: { children: ReactNode }) {
  const session = useSession();
  const path = usePath();
  const [isOpen, setIsOpen] = useState(false);
  // A move closes the menu.
  useEffect(() => setIsOpen(false), [path]);
  return (
    <>
      <a className="skip" href="#content" onClick={skip}>
        Skip to the content
      </a>
      <div className="shell">
        <header className="top">
          <Link to="/" className="brand">
            <Mark /> Plumbline
          </Link>
          <button type="button" className="button little" aria-expanded={isOpen} aria-controls="side" onClick={() => setIsOpen(!isOpen)}>
            <Icon name={isOpen ? 'close' : 'menu'} />
            Menu
          </button>
        </header>
        <aside
          className="side"
          id="side"
          aria-label="Navigation and account"
          data-open={isOpen || undefined}
          onKeyDown={(event) => {
            if (event.key === 'Escape') setIsOpen(false);
          }}
        >
          <Link to="/" className="brand">
            <Mark />
            <span>
              Plumbline
              <span className="tenant">{session.tenantName}</span>
            </span>
          </Link>
          <nav className="nav" aria-label="Main">
            <Entries entries={MAIN} path={path} />
            <div>
              <p className="nav-title">
                Settings <span aria-hidden="true">→</span> <b>Developer</b>
              </p>
              <Entries entries={DEVELOPER} path={path} />
            </div>
            <div>
              <p className="nav-title">
                Settings <span aria-hidden="true">→</span> <b>People</b>
              </p>
              <Entries entries={PEOPLE} path={path} />
            </div>
          </nav>
          <Who />
        </aside>
        <main id="content" tabIndex={-1}>
          {children}
        </main>
      </div>
    </>
  );
}

function skip(event: React.MouseEvent): void {
  // The address must not change: it is what tells the page.
  event.preventDefault();
  document.getElementById('content')?.focus();
}

function Entries({ entries, path }: { entries: Entry[]; path: string }) {
  return (
    <ul>
      {entries.map(({ to, name, icon }) => (
        <li key={to}>
          <Link to={to} aria-current={isCurrent(to, path) ? 'page' : undefined}>
            <Icon name={icon} />
            {name}
          </Link>
        </li>
      ))}
    </ul>
  );
}

const isWithin = (to: string, path: string) => path === to || path.startsWith(`${to}/`);

/** The endpoints are under Webhooks, at whichever address one looks at them. */
function isCurrent(to: string, path: string): boolean {
  if (to === '/') return path === '/';
  return isWithin(to, path) || (to === '/settings/developer/webhooks' && isWithin('/endpoints', path));
}

function Who() {
  const session = useSession();
  const leave = useSignOut();
  const leaving = useMutation({ mutationFn: leave });
  return (
    <div className="who">
      <div>
        <div className="who-name" title={session.email}>
          {session.email}
        </div>
        <div className="muted">{session.role === 'company_admin' ? 'Admin' : 'Member, read-only'}</div>
      </div>
      <div className="who-actions">
        <button type="button" className="button little" disabled={leaving.isPending} onClick={() => leaving.mutate()}>
          Sign out
        </button>
        <Themes />
      </div>
      {leaving.error && <p className="fault" role="alert">Signing out failed: try again.</p>}
    </div>
  );
}

const THEMES: { theme: Theme; name: string; icon: IconName }[] = [
  { theme: 'light', name: 'Light', icon: 'sun' },
  { theme: 'system', name: 'As the system', icon: 'system' },
  { theme: 'dark', name: 'Dark', icon: 'moon' },
];

function Themes() {
  const [theme, choose] = useState(storedTheme);
  return (
    <div className="themes" role="group" aria-label="Colours">
      {THEMES.map((each) => (
        <button
          key={each.theme}
          type="button"
          title={each.name}
          aria-pressed={theme === each.theme}
          onClick={() => {
            setTheme(each.theme);
            choose(each.theme);
          }}
        >
          <Icon name={each.icon} size={14} />
          <span className="sr-only">{each.name}</span>
        </button>
      ))}
    </div>
  );
}
