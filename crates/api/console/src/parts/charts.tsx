// Charts drawn by hand: a line in a table cell, stacked columns and two lines over time.

import type { Stats } from '../api/types';
import { linePieces, roundUp, stack } from '../logic/scale';
import { count } from '../words/numbers';
import { dateTime, milliseconds } from '../words/time';

const points = (piece: { x: number; y: number }[]) => piece.map((point) => `${point.x},${point.y}`).join(' ');

interface Series {
  /** Whether none of what did not arrive has failed: it was skipped. */
  isSkipped?: boolean;
  series: { at: string; succeeded: number; unsuccessful: number; p95Ms: number | null }[];
}

const SPARK_HEIGHT = 22;

/** A column for each stretch of time. The words beside a sparkline say what it comes to. */
function Spark({ columns }: { columns: { key: string; parts: { className: string; height: number }[] }[] }) {
  return (
    <svg className="spark" viewBox={`0 0 ${columns.length * 4} ${SPARK_HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <line className="spark-ground" x1="0" x2={columns.length * 4} y1={SPARK_HEIGHT - 0.5} y2={SPARK_HEIGHT - 0.5} />
      {columns.map(({ key, parts }, index) => {
        let below = 0;
        return parts.map(({ className, height }) => {
          below += height;
          return height > 0 ? <rect key={`${key}${className}`} className={className} x={index * 4 + 0.5} width={3} y={SPARK_HEIGHT - below} height={height} /> : null;
        });
      })}
    </svg>
  );
}

/** Which share of each stretch's deliveries arrived. */
export function SuccessSpark({ series, isSkipped = false }: Series) {
  const columns = series.map(({ at, succeeded, unsuccessful }) => {
    const sum = succeeded + unsuccessful;
    const bad = sum === 0 || unsuccessful === 0 ? 0 : Math.max((unsuccessful / sum) * SPARK_HEIGHT, 2);
    return {
      key: at,
      parts: [
        { className: isSkipped ? 'fill-skipped' : 'fill-failed', height: bad },
        { className: 'fill-succeeded', height: sum === 0 ? 0 : SPARK_HEIGHT - bad },
      ],
    };
  });
  return <Spark columns={columns} />;
}

export function LatencySpark({ series }: Series) {
  const top = Math.max(...series.map((each) => each.p95Ms ?? 0), 1);
  const columns = series.map(({ at, p95Ms }) => ({
    key: at,
    parts: [{ className: 'fill-latency', height: p95Ms === null ? 0 : Math.max((p95Ms / top) * SPARK_HEIGHT, 2) }],
  }));
  return <Spark columns={columns} />;
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
          // One value alone is a dash.
          const line = piece.length === 1 ? [{ x: first.x - 8, y: first.y }, { x: first.x + 8, y: first.y }] : piece;
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
