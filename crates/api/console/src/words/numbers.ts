// Numbers in words.

const whole = new Intl.NumberFormat('en');

/** `12,345`. */
export const count = (value: number): string => whole.format(value);

/** `1 delivery`, `2 deliveries`. */
export const counted = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** `99.9 %`, to the nearest tenth. Never rounded to 100 nor to 0: one failure in ten thousand is still one. */
export function percent(part: number | null): string {
  if (part === null) return '–';
  if (part <= 0) return '0 %';
  if (part >= 1) return '100 %';
  const tenths = Math.min(999, Math.max(1, Math.round(part * 1000)));
  return `${tenths % 10 === 0 ? tenths / 10 : (tenths / 10).toFixed(1)} %`;
}
