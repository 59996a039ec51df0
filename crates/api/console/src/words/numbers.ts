// Numbers in words.

const whole = new Intl.NumberFormat('en');

/** `12,345`. */
export const count = (value: number): string => whole.format(value);

/** `1 delivery`, `2 deliveries`. */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** `99.9 %`. Never rounded up to 100: one failure in ten thousand is still one. */
export function percent(part: number | null): string {
  if (part === null) return '–';
  if (part === 1) return '100 %';
  const floored = Math.floor(part * 1000) / 10;
  return `${Number.isInteger(floored) ? floored : floored.toFixed(1)} %`;
}
