// A time in the reader's zone, with UTC on hover.

import { useSyncExternalStore } from 'react';
import { dateTime, fromNow, inUtc } from '../words/time';

let now = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const tell of listeners) tell();
  }, 1000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time, each second. One timer serves the page. */
export function useNow(): Date {
  return new Date(useSyncExternalStore(subscribe, () => now));
}

interface TimeProps {
  at: string;
  /** `clock` is the date and time, `ago` how long it is from now, `due` the same of something to come. */
  as?: 'clock' | 'ago' | 'due';
}

export function Time({ at, as = 'clock' }: TimeProps) {
  const date = new Date(at);
  return (
    <time dateTime={at} title={inUtc(date)} className="nowrap">
      {as === 'clock' ? dateTime(date, new Date()) : <Ago date={date} isDue={as === 'due'} />}
    </time>
  );
}

function Ago({ date, isDue }: { date: Date; isDue: boolean }) {
  const at = useNow();
  if (isDue && date.getTime() - at.getTime() < 5_000) return <>due now</>;
  // The clock ticks each second, and a row may be newer than its last tick.
  return <>{fromNow(date, at < date && date.getTime() - at.getTime() < 1500 ? date : at)}</>;
}
