/** Where the ticks of an axis are. */

import type { Axis } from './figure.ts';

/** A number as an axis has it: 0.001, 1e-5, 16. */
export function tickText(value: number): string {
  const rounded = +value.toPrecision(6);
  const size = Math.abs(rounded);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return rounded.toExponential().replace('e+', 'e');
  return `${rounded}`;
}

/** Whether a point has a place on the axis. */
export const hasPlace = (axis: Axis, value: number): boolean =>
  Number.isFinite(value) && (axis.scale !== 'log' || value > 0);

/** The ends of an axis: as given, or what the values need. */
export function domainOf(axis: Axis, values: readonly number[]): [number, number] {
  if (axis.domain) return [...axis.domain];
  if (axis.categories) return [-0.5, axis.categories.length - 0.5];
  const placed = values.filter((value) => hasPlace(axis, value));
  if (placed.length === 0) return axis.scale === 'log' ? [1, 10] : [0, 1];
  let [low, high] = [Math.min(...placed), Math.max(...placed)];
  if (axis.scale === 'log') return low < high ? [low / 1.15, high * 1.15] : [low / 2, high * 2];
  if (low === high) [low, high] = [low - 1, high + 1];
  const margin = 0.04 * (high - low);
  // An axis of values that are never negative begins at 0 where they come near it.
  return [low >= 0 && low < 0.5 * high ? 0 : low - margin, high + margin];
}

/** Ticks of a logarithmic axis: powers of its base, thinned to at most nine; 2 and 5 between where few powers are. */
function logTicks([low, high]: readonly [number, number], base: number): number[] {
  const from = Math.ceil(Math.log(low) / Math.log(base) - 1e-9);
  const to = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
  const step = Math.max(1, Math.ceil((to - from + 1) / 9));
  const powers = Array.from(
    { length: Math.max(0, Math.floor((to - from) / step) + 1) },
    (_, k) => base ** (from + k * step),
  );
  if (base !== 10 || powers.length > 2) return powers;
  const between = Array.from({ length: to - from + 3 }, (_, k) => from - 1 + k).flatMap((k) =>
    [1, 2, 5].map((f) => f * 10 ** k),
  );
  return between.filter((tick) => tick >= low && tick <= high);
}

/** Where on the axis a value is, as Plot is told: logarithms are taken here, where ticks are chosen too. */
export const placeOf = (axis: Axis, value: number): number => (axis.scale === 'log' ? Math.log(value) : value);

/** Options of an axis for Plot. */
export function scaleOptions(axis: Axis, values: readonly number[]) {
  const [low, high] = domainOf(axis, values);
  const domain: readonly [number, number] = [placeOf(axis, low), placeOf(axis, high)];
  const { categories } = axis;
  if (categories) {
    const tickFormat = (place: number) => categories[place] ?? '';
    return { domain, ticks: categories.map((_, place) => place), tickFormat };
  }
  if (axis.scale !== 'log') return { domain, ticks: 6, tickFormat: tickText };
  const ticks = logTicks([low, high], axis.base ?? 10).map(Math.log);
  return { domain, ticks, tickFormat: (place: number) => tickText(Math.exp(place)) };
}
