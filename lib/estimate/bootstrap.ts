import { PhiloxStream } from './philox.ts';
import { normalCdf, normalQuantile } from './special.ts';

/** Settings of a bootstrap, already checked. */
export interface BootstrapSettings {
  /** Nominal confidence level in (0, 1). */
  readonly confidence: number;
  /** Key of the generator, whole, in [0, 2^53). The same seed and data give the same interval. */
  readonly seed: number;
  /** Number of resamples, >= 1. */
  readonly resamples: number;
}

/**
 * The bias-corrected and accelerated bootstrap interval (Efron 1987) of the ratio sum(totals) / sum(sizes), resampling
 * the G units (observations with size 1, or clusters with their sizes) with replacement; acceleration by the jackknife.
 * Resamples whose sizes sum to 0 are drawn as 0 weight and skipped.
 */
export function bcaLimits(
  totals: ArrayLike<number>,
  sizes: ArrayLike<number>,
  { confidence, seed, resamples }: BootstrapSettings,
): { lower: number; upper: number } {
  const units = totals.length;
  let total = 0;
  let size = 0;
  for (let g = 0; g < units; g++) {
    total += totals[g]!;
    size += sizes[g]!;
  }
  const draws = resample(totals, sizes, seed, resamples);
  const value = total / size;
  let below = 0;
  // Sums in another order round differently: draws this near to the value are ties with it.
  const near = 1e-10 * (draws.at(-1)! - draws[0]!);
  for (const draw of draws) below += Math.abs(draw - value) <= near ? 0.5 : draw < value ? 1 : 0;
  const share = Math.min(Math.max(below, 0.5), draws.length - 0.5) / draws.length;
  const bias = normalQuantile(share);
  const acceleration = jackknifeAcceleration(totals, sizes, total, size);
  const limit = (p: number): number => {
    const z = bias + normalQuantile(p);
    const adjusted = normalCdf(bias + z / Math.max(1 - acceleration * z, 1e-9));
    const place = adjusted * (draws.length + 1) - 1;
    const floor = Math.min(Math.max(Math.floor(place), 0), draws.length - 1);
    const next = Math.min(floor + 1, draws.length - 1);
    return draws[floor]! + Math.min(Math.max(place - floor, 0), 1) * (draws[next]! - draws[floor]!);
  };
  const tail = (1 - confidence) / 2;
  return { lower: limit(tail), upper: limit(1 - tail) };
}

/** Ratios of resamples [resamples], sorted. */
function resample(totals: ArrayLike<number>, sizes: ArrayLike<number>, seed: number, resamples: number): Float64Array {
  const units = totals.length;
  const draws = new Float64Array(resamples);
  let kept = 0;
  for (let b = 0; b < resamples; b++) {
    const stream = new PhiloxStream(seed, b);
    let total = 0;
    let size = 0;
    for (let g = 0; g < units; g++) {
      const k = stream.below(units);
      total += totals[k]!;
      size += sizes[k]!;
    }
    if (size > 0) draws[kept++] = total / size;
  }
  return draws.subarray(0, kept).sort();
}

function jackknifeAcceleration(
  totals: ArrayLike<number>,
  sizes: ArrayLike<number>,
  total: number,
  size: number,
): number {
  const units = totals.length;
  const values = new Float64Array(units);
  let mean = 0;
  for (let g = 0; g < units; g++) {
    const rest = size - sizes[g]!;
    values[g] = rest > 0 ? (total - totals[g]!) / rest : total / size;
    mean += values[g]! / units;
  }
  let squares = 0;
  let cubes = 0;
  for (const value of values) {
    const gap = mean - value;
    squares += gap * gap;
    cubes += gap ** 3;
  }
  return squares > 0 ? cubes / (6 * squares ** 1.5) : 0;
}
