// The routes, and the door before them. Whoever is not signed in sees the form to sign in at the very address they
// came to, so that they are where they wanted to be once they have.

import { useQuery } from '@tanstack/react-query';
import { Component, type ComponentType, lazy, type ReactNode, Suspense, useRef } from 'react';
import { session as askSession } from './api/calls';
import { Problem } from './api/client';
import type { Session } from './api/types';
import { Empty, Page } from './parts/page';
import { Loading, ProblemNote } from './parts/problem';
import { Link, match, usePath } from './router';
import { door, SessionProvider } from './session';
import { Shell } from './shell';

type RouteProps = Record<string, string>;
type Load = () => Promise<{ default: ComponentType<RouteProps> }>;

const page = (load: Load) => lazy(load);

const SignIn = lazy(() => import('./pages/sign-in'));

const ROUTES: [string, ComponentType<RouteProps>][] = [
  ['/', page(() => import('./pages/overview'))],
  ['/deliveries', page(() => import('./pages/deliveries'))],
  ['/deliveries/:id', page(() => import('./pages/delivery') as ReturnType<Load>)],
  ['/endpoints', page(() => import('./pages/endpoints'))],
  ['/endpoints/new', page(() => import('./pages/endpoint-new'))],
  ['/endpoints/:id', page(() => import('./pages/endpoint') as ReturnType<Load>)],
  ['/endpoints/:id/edit', page(() => import('./pages/endpoint-edit') as ReturnType<Load>)],
  ['/events', page(() => import('./pages/events'))],
  ['/events/publish', page(() => import('./pages/publish'))],
  ['/events/:id', page(() => import('./pages/event') as ReturnType<Load>)],
  ['/event-types', page(() => import('./pages/event-types'))],
  // A name has dots, and what looks like a file's name is not served: so it is a parameter.
  ['/event-types/type', page(() => import('./pages/event-type'))],
  ['/event-types/edit', page(() => import('./pages/event-type-edit'))],
  ['/recover', page(() => import('./pages/recover'))],
  ['/settings/developer/webhooks', page(() => import('./pages/endpoints'))],
  ['/settings/developer/api-keys', page(() => import('./pages/api-keys'))],
  ['/settings/users', page(() => import('./pages/users'))],
  ['/settings/account', page(() => import('./pages/account'))],
];

export function App() {
  const session = useQuery({
    queryKey: ['session'],
    queryFn: async (): Promise<Session | null> => {
      try {
        return await askSession();
      } catch (error) {
        if (error instanceof Problem && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: 60_000,
    refetchOnWindowFocus: 'always',
  });
  const wasSignedIn = useRef(false);
  if (session.data) {
    wasSignedIn.current = true;
    door.isByHand = false;
  }

  if (session.data === undefined) {
    return (
      <main className="door">
        {session.error ? <ProblemNote error={session.error} retry={() => void session.refetch()} /> : <Loading />}
      </main>
    );
  }
  if (session.data === null) {
    return (
      <Suspense fallback={null}>
        <SignIn hasEnded={wasSignedIn.current && !door.isByHand} hasLeft={door.isByHand} />
      </Suspense>
    );
  }
  return (
    <SessionProvider value={session.data}>
      <Shell>
        <CurrentPage />
      </Shell>
    </SessionProvider>
  );
}

function CurrentPage() {
  const path = usePath();
  for (const [pattern, Route] of ROUTES) {
    const values = match(pattern, path);
    if (!values) continue;
    return (
      // A page keeps no state from the one before, also when both are of one route.
      <Net key={path}>
        <Suspense fallback={<Loading />}>
          <Route {...values} />
        </Suspense>
      </Net>
    );
  }
  return (
    <Page title="No such page">
      <Empty title="There is nothing at this address" actions={<Link className="button" to="/">Go to the overview</Link>}>
        <p>The link may be old, or mistyped.</p>
      </Empty>
    </Page>
  );
}

/** Catches what a page throws: most often a part of the console that cannot be loaded any more after an update. */
class Net extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <Page title="This page did not load">
        <div className="note bad" role="alert">
          <p>
            <strong>The console may have been updated meanwhile.</strong> Load the page again; if that does not help, the network or the
            service is down.
          </p>
          <button type="button" className="button" onClick={() => location.reload()}>
            Load again
          </button>
        </div>
      </Page>
    );
  }
}
