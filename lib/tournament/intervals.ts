/** Intervals of a tournament's scores and of their difference. */

import {
  type ClusterIds,
  clusteredProportion,
  type Estimate,
  meanEstimate,
  normalCdf,
  proportionEstimate,
  studentQuantile,
} from '../estimate/index.ts';
import type { NativeOutputs } from './play.ts';

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

/** Where `opponent` exceeds `model` by N: 1 or 0 for each response [n]. */
function gaps({ logProbs, n, N }: IntervalInput, model: number, opponent: number): Float64Array {
  const threshold = Math.log(N);
  const hits = new Float64Array(n);
  for (let r = 0; r < n && opponent >= 0; r++) {
    if (logProbs[opponent * n + r]! - logProbs[model * n + r]! >= threshold) hits[r] = 1;
  }
  return hits;
}

/**
 * Intervals of the scores. A score is the largest of M - 1 proportions, and no single interval is honest for it: the
 * bootstrap knows of the maximum but not of events too rare to be in the sample (a score of 0 has replicates of 0 only),
 * the exact interval (Clopper-Pearson, Korn-Graubard with clusters) of the worst opponent knows of those but not of the
 * maximum. The interval is the smallest that holds both.
 */
export function scoreIntervals(input: IntervalInput, { limits, worstOpponent }: NativeOutputs): Estimate[] {
  return Array.from(worstOpponent, (opponent, model) => {
    const { confidence, clusters, n } = input;
    const hits = gaps(input, model, opponent);
    const exact = clusters
      ? clusteredProportion(hits, { clusters: clusters.ids, confidence })
      : proportionEstimate(
          hits.reduce((a, b) => a + b, 0),
          n,
          confidence,
        );
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
 * bootstrap's and that of the mean of the paired differences of gaps, each -1, 0 or 1, against the worst opponents of the
 * data (`meanEstimate`, which allows for rare events and for few clusters as the bootstrap does not).
 */
export function differenceInterval(input: IntervalInput, { choices, limits, worstOpponent }: NativeOutputs): Estimate {
  const { confidence, n, models, clusters } = input;
  const [winner, other] = [choices[0]!, choices[1]!];
  if (winner === other) return { value: 0, lower: 0, upper: 0, confidence, method: 'the same model', n };
  const ofWinner = gaps(input, winner, worstOpponent[winner]!);
  const differences = gaps(input, other, worstOpponent[other]!).map((gap, r) => gap - ofWinner[r]!);
  const mean = meanEstimate(differences, { confidence, range: [-1, 1], ...(clusters && { clusters: clusters.ids }) });
  return {
    ...mean,
    value: differences.reduce((a, b) => a + b, 0) / n, // whole numbers: without the rounding of a running mean
    lower: Math.min(mean.lower, limits[2 * models]!),
    upper: Math.max(mean.upper, limits[2 * models + 1]!),
    method: `paired bootstrap + ${mean.method}`,
  };
}
