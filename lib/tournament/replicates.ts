/** Bootstrap replicates in TypeScript: several side by side in each double, so that one addition serves them all. */

import { type ClusterIds, PhiloxStream, philox } from '../estimate/index.ts';

/**
 * Fourth word of the Philox counter: that of the native bootstrap for responses, then one for each model, far from those
 * that draw tokens (2 in native/kernels/sample_logits.cpp, 4 and 5 in rollout_lanes.hpp).
 */
const RESPONSES = 1;
const GENERATIONS = 2 ** 16;

/** Draws, or rows, between two looks at the time. */
export const STRETCH = 2 ** 14;

/** Whole numbers below `radix`, `width` of them side by side in the 53 bits of a double. */
export interface Packing {
  readonly width: number;
  readonly radix: number;
}

/** As many as fit, for sums up to `largest`. */
export function packingFor(largest: number): Packing {
  const bits = Math.floor(Math.log2(largest)) + 1;
  return { width: Math.max(1, Math.floor(53 / bits)), radix: 2 ** bits };
}

/** Writes the numbers of a packed sum to out[at], out[at + 1], ... */
export function unpack(sum: number, { width, radix }: Packing, out: Float64Array, at = 0): void {
  let left = sum;
  for (let slot = 0; slot < width; slot++) {
    const rest = Math.floor(left / radix);
    out[at + slot] = left - rest * radix;
    left = rest;
  }
}

/** Number of rows of each unit, [units]. */
export function unitSizes({ ids, count }: ClusterIds): Float64Array {
  const sizes = new Float64Array(count);
  for (const id of ids) sizes[id]!++;
  return sizes;
}

/** The most rows that a replicate can have. */
export const mostRows = (units: ClusterIds): number => units.count * unitSizes(units).reduce((a, b) => Math.max(a, b));

/** Weights of units in the replicates of some packs. */
export interface PackedWeights {
  /** [packs, units]: how often each unit was drawn. */
  readonly weights: Float64Array;
  /** [packs, width]: rows of each replicate, with multiplicity; 0 after the last one. */
  readonly totals: Float64Array;
}

/** Lets the event loop run when it is time. */
export type Pace = () => Promise<void> | undefined;

/** Which replicates to draw: those of packs first .. first + packs. Replicate 0 is the data, every unit once. */
export interface Draws {
  readonly packing: Packing;
  readonly first: number;
  readonly packs: number;
  readonly replicates: number;
  readonly seed: number;
}

/**
 * Draws as many units as there are, with replacement, in each replicate. A draw depends on the seed, the replicate and its
 * number alone, so that weights can be drawn again in place of being kept. Those of responses are the native
 * bootstrap's (to the draw up to 2^21 units).
 * @param model whose generations the units are; undefined for responses
 * @param pace called often
 */
export async function drawUnits(
  units: ClusterIds,
  model: number | undefined,
  { packing, first, packs, replicates, seed }: Draws,
  pace: Pace,
): Promise<PackedWeights> {
  const weights = new Float64Array(packs * units.count);
  const totals = new Float64Array(packs * packing.width);
  const sizes = unitSizes(units);
  for (let pack = 0; pack < packs; pack++) {
    const row = weights.subarray(pack * units.count, (pack + 1) * units.count);
    for (let slot = 0, unit = 1; slot < packing.width; slot++, unit *= packing.radix) {
      const replicate = (first + pack) * packing.width + slot;
      if (replicate > replicates) break;
      if (replicate === 0) row.fill(1);
      else if (model === undefined) await drawResponses(row, unit, replicate, seed, pace);
      else await drawGenerations(row, unit, new PhiloxStream(seed, replicate, GENERATIONS + model), pace);
      await pace();
    }
    let total = 0;
    for (let u = 0; u < row.length; u++) total += row[u]! * sizes[u]!;
    unpack(total, packing, totals, pack * packing.width);
  }
  return { weights, totals };
}

const counter = new Uint32Array(4);
const words = new Uint32Array(4);

/** As draw_units of native/kernels/bootstrap.inl.hpp: a block of Philox for each draw, 64 bits of it. */
async function drawResponses(
  row: Float64Array,
  unit: number,
  replicate: number,
  seed: number,
  pace: Pace,
): Promise<void> {
  const n = row.length;
  const [low, high] = [seed >>> 0, Math.floor(seed / 2 ** 32)];
  for (let i = 0; i < n; ) {
    counter[1] = 0; // n < 2^31
    counter[2] = replicate;
    counter[3] = RESPONSES;
    for (const end = Math.min(n, i + STRETCH); i < end; i++) {
      counter[0] = i;
      philox(counter, low, high, words);
      const drawn = Math.floor((words[0]! * n + Math.floor((words[1]! * n) / 2 ** 32)) / 2 ** 32);
      row[drawn]! += unit;
    }
    await pace();
  }
}

async function drawGenerations(row: Float64Array, unit: number, stream: PhiloxStream, pace: Pace): Promise<void> {
  for (let i = 0; i < row.length; ) {
    for (const end = Math.min(row.length, i + STRETCH); i < end; i++) row[stream.below(row.length)]! += unit;
    await pace();
  }
}
