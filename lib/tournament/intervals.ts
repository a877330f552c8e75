/** Intervals of a tournament's scores and of their difference. */

import {
  type ClusterIds,
  clusteredProportion,
  type Estimate,
  normalCdf,
  proportionEstimate,
  studentQuantile,
} from '../estimate/index.ts';
import type { NativeOutputs } from './result.ts';

export interface IntervalInput {
  /** [models, n], row-major. */
  readonly logProbs: Float64Array;
  readonly models: number;
  readonly n: number;
  readonly N: number;
  readonly confidence: number;
  /** Clusters of the responses, where given. */
  readonly clusters: ClusterIds | undefined;
}

/**
 * The rank, from either end of `replicates` sorted values, of the limits of Hesterberg's expanded percentile interval
 * (2015, The American Statistician 69:371-386): its tails allow for the number of units drawn as Student's t does. (A plain
 * percentile interval over 20 clusters covered 0.90 instead of 0.95.)
 */
export function tailRank(replicates: number, units: number, confidence: number): number {
  if (units < 2) return 1;
  const quantile = studentQuantile((1 - confidence) / 2, units - 1) * Math.sqrt(units / (units - 1));
  return Math.max(1, Math.floor(normalCdf(quantile) * (replicates + 1)));
}

/** The share of responses where `opponent` exceeds `model` by N, with its exact interval. */
function gap({ logProbs, n, N, confidence, clusters }: IntervalInput, model: number, opponent: number): Estimate {
  const threshold = Math.log(N);
  const hits = new Uint8Array(n);
  let count = 0;
  for (let r = 0; r < n && opponent >= 0; r++) {
    if (logProbs[opponent * n + r]! - logProbs[model * n + r]! >= threshold) {
      hits[r] = 1;
      count++;
    }
  }
  return clusters
    ? clusteredProportion(hits, { clusters: clusters.ids, confidence })
    : proportionEstimate(count, n, confidence);
}

/**
 * Intervals of the scores. A score is the largest of M - 1 proportions, and no single interval is honest for it: the
 * bootstrap knows of the maximum but not of events too rare to be in the sample (a score of 0 has replicates of 0 only),
 * the exact interval (Clopper-Pearson, Korn-Graubard with clusters) of the worst opponent knows of those but not of the
 * maximum. The interval is the smallest that holds both.
 */
export function scoreIntervals(input: IntervalInput, { limits, worstOpponent }: NativeOutputs): Estimate[] {
  return Array.from(worstOpponent, (opponent, model) => {
    const exact = gap(input, model, opponent);
    return {
      ...exact,
      lower: Math.min(exact.lower, limits[2 * model]!),
      upper: Math.max(exact.upper, limits[2 * model + 1]!),
      method: `bootstrap + ${exact.method}`,
    };
  });
}

/**
 * The interval of the score of the least-cross-entropy model minus that of the winner: the smallest that holds the paired
 * bootstrap's and the one that two exact intervals give by the method of variance estimates recovery (Newcombe 1998,
 * Statistics in Medicine 17:2635-2650, method 10), which again knows of rare events.
 */
export function differenceInterval(input: IntervalInput, { choices, limits, worstOpponent }: NativeOutputs): Estimate {
  const { confidence, n, models } = input;
  const [winner, other] = [choices[0]!, choices[1]!];
  if (winner === other) return { value: 0, lower: 0, upper: 0, confidence, method: 'the same model', n };
  const a = gap(input, other, worstOpponent[other]!);
  const b = gap(input, winner, worstOpponent[winner]!);
  const value = a.value - b.value;
  const lower = value - Math.hypot(a.value - a.lower, b.upper - b.value);
  const upper = value + Math.hypot(a.upper - a.value, b.value - b.lower);
  return {
    value,
    lower: Math.max(-1, Math.min(lower, limits[2 * models]!)),
    upper: Math.min(1, Math.max(upper, limits[2 * models + 1]!)),
    confidence,
    method: `paired bootstrap + ${a.method}`,
    n,
  };
}
