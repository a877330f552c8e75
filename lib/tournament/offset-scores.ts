/** Scores of Eq. 32 on the data and on its bootstrap replicates. */

import type { ClusterIds } from '../estimate/index.ts';
import { type Generations, type OnPolicy, offsetWeight } from './on-policy.ts';
import { type Draws, drawUnits, type Pace, type PackedWeights, unpack } from './replicates.ts';

/** What the scores are of. */
export interface OffsetData {
  /** [models, n], row-major. */
  readonly logProbs: Float64Array;
  readonly models: number;
  readonly n: number;
  /** Units of the responses. */
  readonly units: ClusterIds;
  readonly onPolicy: OnPolicy;
}

/** The units of columns `from` .. `to` in which model j exceeds model i by the threshold, a list for each j. */
async function hitLists(
  logProbs: Float64Array,
  { models, from, to, ids }: { models: number; from: number; to: number; ids: Int32Array },
  i: number,
  threshold: number,
  pace: Pace,
): Promise<Int32Array[]> {
  const columns = logProbs.length / models;
  const mine = logProbs.subarray(i * columns + from, i * columns + to);
  const found = new Int32Array(mine.length);
  const lists: Int32Array[] = [];
  for (let j = 0; j < models; j++) {
    const theirs = logProbs.subarray(j * columns + from, j * columns + to);
    let hits = 0;
    // NaN, of two -Infinity, does not count.
    for (let r = 0; r < mine.length; r++) if (theirs[r]! - mine[r]! >= threshold) found[hits++] = ids[r]!;
    lists.push(found.slice(0, hits));
    await pace();
  }
  return lists;
}

/** Two sums at a time: each addition waits for the one before. Whole numbers below 2^53 add exactly in any order. */
function sumOf(weights: Float64Array, at: number, units: Int32Array): number {
  let [even, odd] = [0, 0];
  const pairs = units.length - (units.length % 2);
  for (let k = 0; k < pairs; k += 2) {
    even += weights[at + units[k]!]!;
    odd += weights[at + units[k + 1]!]!;
  }
  return pairs < units.length ? even + odd + weights[at + units[pairs]!]! : even + odd;
}

/** Where the scores of a model on the replicates of some packs are to be written. */
export interface ScoreTarget {
  /** [packs, width]: written for the packs named. */
  readonly scores: Float64Array;
  /** Packs to score, counted from the first of the draws. */
  readonly packs: readonly number[];
}

/**
 * Scores model i: on each replicate `max over j of Cov^_N(j ‖ i) - 2 N^a Cov^^{pi_i}_N(j ‖ i)` (Eq. 32). The maximum is over
 * all models, i among them: its own value is 0 for N > 1, so no score is below that.
 *
 * @returns the opponent j != i of largest value on the first replicate of the first pack named (the lowest among equals);
 *   -1 for a single model
 */
export async function scoreModel(
  { logProbs, models, n, units, onPolicy }: OffsetData,
  i: number,
  rung: { readonly N: number; readonly threshold: number },
  responses: PackedWeights,
  draws: Draws,
  { scores, packs }: ScoreTarget,
  pace: Pace,
): Promise<number> {
  const { from, to, units: generated }: Generations = onPolicy.generations[i]!;
  const { width } = draws.packing;
  const own = await drawUnits(generated, i, draws, pace);
  const hits = await hitLists(logProbs, { models, from: 0, to: n, ids: units.ids }, i, rung.threshold, pace);
  const offsets = await hitLists(onPolicy.logProbs, { models, from, to, ids: generated.ids }, i, rung.threshold, pace);
  const weight = offsetWeight(rung.N, onPolicy.exponent);
  const [counts, offset] = [new Float64Array(width), new Float64Array(width)];
  let worst = -1;
  let largest = Number.NEGATIVE_INFINITY;
  for (const pack of packs) {
    const first = pack * width;
    scores.fill(Number.NEGATIVE_INFINITY, first, first + width);
    for (let j = 0; j < models; j++) {
      unpack(sumOf(responses.weights, pack * units.count, hits[j]!), draws.packing, counts);
      unpack(sumOf(own.weights, pack * generated.count, offsets[j]!), draws.packing, offset);
      for (let slot = 0; slot < width; slot++) {
        const at = first + slot;
        const value = counts[slot]! / responses.totals[at]! - weight * (offset[slot]! / own.totals[at]!);
        if (value > scores[at]!) scores[at] = value;
        if (pack === packs[0] && slot === 0 && j !== i && value > largest) {
          largest = value;
          worst = j;
        }
      }
    }
    await pace();
  }
  return worst;
}
