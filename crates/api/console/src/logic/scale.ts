// The arithmetic of the small charts.

export interface Point {
  x: number;
  y: number;
}

/** A line's unbroken pieces. A missing value breaks it; values fill the height from the bottom. */
export function linePieces(values: (number | null)[], width: number, height: number, most?: number): Point[][] {
  const top = Math.max(most ?? 0, ...values.map((value) => value ?? 0)) || 1;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const pieces: Point[][] = [];
  let piece: Point[] = [];
  values.forEach((value, index) => {
    if (value === null) {
      if (piece.length > 0) pieces.push(piece);
      piece = [];
    } else {
      piece.push({ x: round(index * step), y: round(height - (value / top) * height) });
    }
  });
  if (piece.length > 0) pieces.push(piece);
  return pieces;
}

const round = (value: number) => Math.round(value * 100) / 100;

/** The next round number that is at least `value`: 1, 2 or 5 with zeros. */
export function roundUp(value: number): number {
  if (value <= 1) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((factor) => factor * unit >= value) ?? 10) * unit;
}

/** Heights of a stack's parts, from the bottom; what is not nothing is seen. */
export function stack(counts: number[], top: number, height: number): { y: number; height: number }[] {
  let below = 0;
  return counts.map((count) => {
    const part = count === 0 ? 0 : Math.max((count / top) * height, 1.5);
    below += part;
    return { y: round(height - below), height: round(part) };
  });
}
