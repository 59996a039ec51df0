// What a page shows when a request failed, and while it waits.

import { Problem } from '../api/client';
import { said } from '../words/problems';

interface ProblemNoteProps {
  error: unknown;
  /** Tries again; offered where that may help. */
  retry?: (() => void) | undefined;
}

export function ProblemNote({ error, retry }: ProblemNoteProps) {
  const words = said(error);
  const requestId = error instanceof Problem ? error.requestId : null;
  return (
    <div className="note bad" role="alert">
      <div>
        <p>
          <strong>{words.title}.</strong> {words.detail}
        </p>
        {requestId && error instanceof Problem && error.status >= 500 && (
          <p className="small muted">
            Request <code>{requestId}</code>: name it when you ask for help.
          </p>
        )}
      </div>
      {retry && words.mayRetry && (
        <button type="button" className="button little" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading({ what = 'Loading' }: { what?: string }) {
  return (
    <p className="empty" role="status">
      {what}…
    </p>
  );
}

interface Asked {
  isPending: boolean;
  error: unknown;
  data: unknown;
  refetch: () => unknown;
}

/** What stands in for a query's answer until there is one; null once there is. */
export function Waiting({ query }: { query: Asked }) {
  if (query.data !== undefined) return query.error ? <ProblemNote error={query.error} retry={() => void query.refetch()} /> : null;
  if (query.error) return <ProblemNote error={query.error} retry={() => void query.refetch()} />;
  return <Loading />;
}
