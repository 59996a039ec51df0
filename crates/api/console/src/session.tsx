// Who is signed in, and what they may do.

import { QueryClient, useQueryClient } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext } from 'react';
import { signOut } from './api/calls';
import { Problem } from './api/client';
import type { Session } from './api/types';
import { Icon } from './parts/icons';

const Current = createContext<Session | null>(null);
export const SessionProvider = Current.Provider;

/** The signed-in user. Pages are shown to nobody else. */
export function useSession(): Session {
  const session = useContext(Current);
  if (!session) throw new Error('no page without a session');
  return session;
}

/** Whether the reader may change things: a member only reads. */
export const useMayChange = (): boolean => useSession().role === 'company_admin';

/** Controls for those who may use them; the others are told why they see none. */
export function Controls({ children, what = 'change this' }: { children: ReactNode; what?: string }) {
  return useMayChange() ? children : <ReadOnly what={what} />;
}

export function ReadOnly({ what }: { what: string }) {
  return (
    <p className="row small muted">
      <Icon name="lock" size={14} />
      <span>You are a member: only a company_admin can {what}.</span>
    </p>
  );
}

export function useSignOut(): () => Promise<void> {
  const client = useQueryClient();
  return async () => {
    try {
      await signOut();
    } catch (error) {
      // Signed out already is what was wanted.
      if (!(error instanceof Problem && error.status === 401)) throw error;
    }
    door.isByHand = true;
    forget(client);
  };
}

/** How the reader came to the door: whoever signed out by hand does not go on where they were, and is not asked to. */
export const door = { isByHand: false };

/** Nothing that one user saw may greet the next. */
export function forget(client: QueryClient): void {
  client.setQueryData(['session'], null);
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== 'session' });
}
