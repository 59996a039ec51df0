// Charts drawn by hand: a line in a table cell, stacked columns and two lines over time.

import type { Stats } from '../api/types';
import { linePieces, roundUp, stack } from '../logic/scale';
import { count } from '../words/numbers';
import { dateTime, milliseconds } from '../words/time';

const points = (piece: { x: number; y: number }[]) => piece.map((point) => `${point.x},${point.y}`).join(' ');

/** A line without axes; the words beside it say what it comes to. */
export function Spark({ values, most }: { values: (number | null)[]; most?: number }) {
  const pieces = linePieces(values, 100, 20, most);
  return (
    <svg className="spark" viewBox="-1 -2 102 24" preserveAspectRatio="none" aria-hidden="true">
      {pieces.map((piece) => {
        const first = piece[0];
        const last = piece.at(-1);
        if (!first || !last) return null;
        const line = piece.length === 1 ? [first, { x: first.x + 1.5, y: first.y }] : piece;
        return (
          <g key={first.x}>
            <polygon className="spark-area" points={`${first.x},21 ${points(line)} ${line.at(-1)?.x ?? 0},21`} />
            <polyline className="spark-line" points={points(line)} />
          </g>
        );
      })}
    </svg>
  );
}

const WIDTH = 960;
const HEIGHT = 180;

function Frame({ stats, top, label, children, format }: { stats: Stats; top: number; label: string; children: React.ReactNode; format: (value: number) => string }) {
  const first = stats.buckets[0];
  const middle = stats.buckets[Math.floor(stats.buckets.length / 2)];
  const now = new Date();
  return (
    <div className="chart-frame">
      <div className="chart-y" aria-hidden="true">
        <span>{format(top)}</span>
        <span>{format(top / 2)}</span>
        <span>0</span>
      </div>
      <svg className="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" height={HEIGHT} role="img" aria-label={label}>
        {[0, 0.5, 1].map((at) => (
          <line key={at} className="chart-grid" x1="0" x2={WIDTH} y1={at * HEIGHT} y2={at * HEIGHT} vectorEffect="non-scaling-stroke" />
        ))}
        {children}
      </svg>
      <div className="chart-x" aria-hidden="true">
        <span>{first && shortTime(first.at, stats, now)}</span>
        <span className="only-wide">{middle && shortTime(middle.at, stats, now)}</span>
        <span>{shortTime(stats.until, stats, now)}</span>
      </div>
    </div>
  );
}

function shortTime(at: string, stats: Stats, now: Date): string {
  const text = dateTime(new Date(at), now).replace(/:\d\d$/, '');
  return stats.bucketSeconds * stats.buckets.length > 2 * 86_400 ? (text.split(', ')[0] ?? text) : text;
}

export function DeliveriesChart({ stats }: { stats: Stats }) {
  const sums = stats.buckets.map((b) => b.succeeded + b.failed + b.exhausted + b.pending + b.skipped);
  const top = roundUp(Math.max(...sums, 1));
  const step = WIDTH / Math.max(stats.buckets.length, 1);
  const { totals } = stats;
  return (
    <Frame
      stats={stats}
      top={top}
      format={compact}
      label={`Deliveries over time: ${count(totals.succeeded)} delivered, ${count(totals.failed + totals.exhausted)} failed, ${count(totals.pending)} retrying, ${count(totals.skipped)} skipped. The table below has the figures.`}
    >
      {stats.buckets.map((bucket, index) => {
        const parts = stack([bucket.succeeded, bucket.failed + bucket.exhausted, bucket.pending, bucket.skipped], top, HEIGHT);
        const names = ['succeeded', 'failed', 'pending', 'skipped'];
        return (
          <g key={bucket.at} className="column">
            <rect x={index * step} y={0} width={step} height={HEIGHT} fill="transparent" />
            <title>{`${dateTime(new Date(bucket.at), new Date())}: ${count(bucket.succeeded)} delivered, ${count(bucket.failed + bucket.exhausted)} failed, ${count(bucket.pending)} retrying, ${count(bucket.skipped)} skipped`}</title>
            {parts.map((part, layer) =>
              part.height > 0 ? (
                <rect key={names[layer]} className={`fill-${names[layer]}`} x={index * step + step * 0.14} width={step * 0.72} y={part.y} height={part.height} />
              ) : null,
            )}
          </g>
        );
      })}
    </Frame>
  );
}

export function LatencyChart({ stats }: { stats: Stats }) {
  const p50 = stats.buckets.map((bucket) => bucket.p50Ms);
  const p95 = stats.buckets.map((bucket) => bucket.p95Ms);
  const top = roundUp(Math.max(...p95.map((value) => value ?? 0), 1));
  const words = stats.latency
    ? `Half of the answers came within ${milliseconds(stats.latency.p50Ms)}, 95 % within ${milliseconds(stats.latency.p95Ms)}.`
    : 'Nothing answered.';
  return (
    <Frame stats={stats} top={top} format={milliseconds} label={`Latency over time. ${words}`}>
      {[
        { name: 'line-p95', values: p95 },
        { name: 'line-p50', values: p50 },
      ].map(({ name, values }) =>
        linePieces(values, WIDTH, HEIGHT, top).map((piece) => {
          const first = piece[0];
          if (!first) return null;
          const line = piece.length === 1 ? [first, { x: first.x + 6, y: first.y }] : piece;
          return <polyline key={`${name}${first.x}`} className={name} points={points(line)} />;
        }),
      )}
    </Frame>
  );
}

function compact(value: number): string {
  if (value >= 1_000_000) return `${value / 1_000_000} M`;
  if (value >= 10_000) return `${value / 1_000} k`;
  return count(Math.round(value * 10) / 10);
}

/** The chart's figures, for whom a picture says nothing. */
export function FiguresTable({ stats }: { stats: Stats }) {
  const rows = stats.buckets.filter((b) => b.succeeded + b.failed + b.exhausted + b.pending + b.skipped > 0);
  return (
    <details>
      <summary className="small">Show the figures</summary>
      <div className="figures" tabIndex={0} role="region" aria-label="Figures">
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col" className="number">Delivered</th>
              <th scope="col" className="number">Failed</th>
              <th scope="col" className="number">Retrying</th>
              <th scope="col" className="number">Skipped</th>
              <th scope="col" className="number">p50</th>
              <th scope="col" className="number">p95</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((bucket) => (
              <tr key={bucket.at}>
                <th scope="row">{dateTime(new Date(bucket.at), new Date())}</th>
                <td className="number">{count(bucket.succeeded)}</td>
                <td className="number">{count(bucket.failed + bucket.exhausted)}</td>
                <td className="number">{count(bucket.pending)}</td>
                <td className="number">{count(bucket.skipped)}</td>
                <td className="number">{milliseconds(bucket.p50Ms)}</td>
                <td className="number">{milliseconds(bucket.p95Ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
