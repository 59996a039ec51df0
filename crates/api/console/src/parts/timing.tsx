// How an attempt spent its time.

import type { Attempt } from '../api/types';
import { milliseconds } from '../words/time';

const PHASES = [
  { key: 'dnsMs', name: 'DNS', className: 'phase-dns' },
  { key: 'connectMs', name: 'Connect', className: 'phase-connect' },
  { key: 'tlsMs', name: 'TLS', className: 'phase-tls' },
  { key: 'waitMs', name: 'Wait', className: 'phase-wait' },
  { key: 'readMs', name: 'Read', className: 'phase-read' },
] as const;

export function TimingBar({ attempt }: { attempt: Attempt }) {
  const { timing } = attempt;
  if (!timing) {
    return <p className="small muted">Took {milliseconds(attempt.durationMs)}. How it was spent was not recorded.</p>;
  }
  const phases = PHASES.flatMap((phase) => {
    const ms = timing[phase.key];
    return ms === null ? [] : [{ ...phase, ms }];
  });
  const parts = phases.reduce((total, phase) => total + phase.ms, 0);
  const sum = parts || 1;
  // The record has whole milliseconds, which may be less than the parts: below 10 ms they tell it better.
  const total = attempt.durationMs < 10 && Math.abs(parts - attempt.durationMs) < 1 ? parts : attempt.durationMs;
  const isKept = timing.dnsMs === null && timing.connectMs === null && timing.waitMs !== null;
  return (
    <div className="stack tight">
      <div className="timing-bar" aria-hidden="true">
        {phases.map((phase) => (
          <span key={phase.key} className={phase.className} style={{ flexGrow: phase.ms / sum }} title={`${phase.name} ${milliseconds(phase.ms)}`} />
        ))}
      </div>
      <div className="legend">
        {phases.map((phase) => (
          <span key={phase.key}>
            <i className={`swatch ${phase.className}`} /> {phase.name} {milliseconds(phase.ms)}
          </span>
        ))}
        <span>in all {milliseconds(total)}</span>
      </div>
      {isKept && <p className="small muted">A connection that was kept from an earlier request was used: nothing to look up or to open.</p>}
    </div>
  );
}
