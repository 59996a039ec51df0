import { expect, test } from 'vitest';
import { linePieces, roundUp, stack } from './scale';

test('a line breaks where there is no value', () => {
  expect(linePieces([0, 10, null, 5], 30, 10)).toEqual([
    [
      { x: 0, y: 10 },
      { x: 10, y: 0 },
    ],
    [{ x: 30, y: 5 }],
  ]);
  expect(linePieces([], 30, 10)).toEqual([]);
  expect(linePieces([null, null], 30, 10)).toEqual([]);
  expect(linePieces([0, 0], 30, 10)[0]?.[1]).toEqual({ x: 30, y: 10 });
});

test('an axis ends at a round number', () => {
  for (const [value, round] of [[0, 1], [1, 1], [1.2, 2], [3, 5], [7, 10], [10, 10], [11, 20], [480, 500], [100_001, 200_000]] as const) {
    expect(roundUp(value), String(value)).toBe(round);
  }
});

test('the parts of a stack touch, and what is not nothing is seen', () => {
  const parts = stack([50, 0, 25, 1], 100, 200);
  expect(parts.map((part) => part.height)).toEqual([100, 0, 50, 2]);
  expect(parts.map((part) => part.y)).toEqual([100, 100, 50, 48]);
  expect(stack([1], 1_000_000, 200)[0]?.height).toBeGreaterThan(1);
});
