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
import { type OnPolicy, offsetWeight } from './on-policy.ts';
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
  /** Of the offset tournament. */
  readonly onPolicy: OnPolicy | undefined;
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

/** Where `opponent` exceeds `model` by N: 1 or 0 for each of the columns `from` .. `to`. */
function gaps(
  logProbs: Float64Array,
  { models, N }: IntervalInput,
  model: number,
  opponent: number,
  from = 0,
  to = logProbs.length / models,
) {
  const threshold = Math.log(N);
  const columns = logProbs.length / models;
  const hits = new Float64Array(to - from);
  for (let r = from; r < to && opponent >= 0; r++) {
    if (logProbs[opponent * columns + r]! - logProbs[model * columns + r]! >= threshold) hits[r - from] = 1;
  }
  return hits;
}

/** A share of hits with its exact interval: Clopper-Pearson, Korn-Graubard with clusters. */
function exactShare(hits: Float64Array, clusters: ClusterIds | undefined, confidence: number): Estimate {
  if (clusters) return clusteredProportion(hits, { clusters: clusters.ids, confidence });
  return proportionEstimate(
    hits.reduce((a, b) => a + b, 0),
    hits.length,
    confidence,
  );
}

/** The offset 2 N^a Cov^^{pi_i}_N of Eq. 32 with the interval of the share; 0 without an opponent. */
function offset(input: IntervalInput, model: number, opponent: number): Estimate {
  const { onPolicy, N, confidence } = input;
  if (!onPolicy || opponent < 0) return { value: 0, lower: 0, upper: 0, confidence, method: 'none', n: 0 };
  const { from, to, units, clustered } = onPolicy.generations[model]!;
  const hits = gaps(onPolicy.logProbs, input, model, opponent, from, to);
  const share = exactShare(hits, clustered ? units : undefined, confidence);
  const weight = offsetWeight(N, onPolicy.exponent);
  return { ...share, value: weight * share.value, lower: weight * share.lower, upper: weight * share.upper };
}

/**
 * The sum of independent estimates of which some are subtracted, by the distances of their limits in squares (MOVER; Donner
 * & Zou 2012, Statistical Methods in Medical Research 21:347-359). Exact where one of them alone has an interval.
 */
function combine(plus: readonly Estimate[], minus: readonly Estimate[]): { lower: number; upper: number } {
  const value = plus.reduce((sum, e) => sum + e.value, 0) - minus.reduce((sum, e) => sum + e.value, 0);
  const down = [...plus.map((e) => e.value - e.lower), ...minus.map((e) => e.upper - e.value)];
  const up = [...plus.map((e) => e.upper - e.value), ...minus.map((e) => e.value - e.lower)];
  return { lower: value - Math.hypot(...down), upper: value + Math.hypot(...up) };
}

/**
 * Intervals of the scores. A score is the largest of M - 1 proportions, and no single interval is honest for it: the
 * bootstrap knows of the maximum but not of events too rare to be in the sample (a score of 0 has replicates of 0 only),
 * the exact interval (Clopper-Pearson, Korn-Graubard with clusters) of the worst opponent knows of those but not of the
 * maximum. The interval is the smallest that holds both. In the offset tournament the exact one combines those of the two
 * shares, and ends at the least score that there can be: 0 for N > 1.
 */
export function scoreIntervals(
  input: IntervalInput,
  { limits, ladderScores, worstOpponent }: NativeOutputs,
): Estimate[] {
  const { confidence, clusters, logProbs, models, onPolicy, N } = input;
  const scores = ladderScores.subarray(-models);
  return Array.from(worstOpponent, (opponent, model) => {
    const share = exactShare(gaps(logProbs, input, model, opponent), clusters, confidence);
    const least = onPolicy && N === 1 ? scores[model]! : 0;
    const exact = onPolicy ? combine([share], [offset(input, model, opponent)]) : share;
    return {
      ...share,
      value: scores[model]!,
      lower: Math.min(Math.max(exact.lower, least), limits[2 * model]!),
      upper: Math.max(exact.upper, least, limits[2 * model + 1]!),
      method: `bootstrap + ${share.method}`,
    };
  });
}

/**
 * The interval of the score of the least-cross-entropy model minus that of the winner: the smallest that holds the paired
 * bootstrap's and that of the mean of the paired differences of gaps, each -1, 0 or 1, against the worst opponents of the
 * data (`meanEstimate`, which allows for rare events and for few clusters as the bootstrap does not); in the offset
 * tournament combined with the intervals of the two offsets.
 */
export function differenceInterval(input: IntervalInput, outputs: NativeOutputs): Estimate {
  const { choices, ladderScores, limits, worstOpponent } = outputs;
  const { confidence, n, models, clusters, logProbs, onPolicy } = input;
  const [winner, other] = [choices[0]!, choices[1]!];
  if (winner === other) return { value: 0, lower: 0, upper: 0, confidence, method: 'the same model', n };
  const scores = ladderScores.subarray(-models);
  const against = [winner, other].map((model) => {
    const opponent = worstOpponent[model]!;
    const hits = gaps(logProbs, input, model, opponent).reduce((a, b) => a + b, 0);
    // A score above its opponent's value is the model's own against itself, which is not estimated.
    return onPolicy && hits / n - offset(input, model, opponent).value < scores[model]! ? -1 : opponent;
  });
  const ofWinner = gaps(logProbs, input, winner, against[0]!);
  const differences = gaps(logProbs, input, other, against[1]!).map((gap, r) => gap - ofWinner[r]!);
  const mean = meanEstimate(differences, { confidence, range: [-1, 1], ...(clusters && { clusters: clusters.ids }) });
  const [offsetOfWinner, offsetOfOther] = [winner, other].map((model, k) => offset(input, model, against[k]!));
  const exact = onPolicy ? combine([mean, offsetOfWinner!], [offsetOfOther!]) : mean;
  return {
    ...mean,
    // Without offsets from whole numbers: without the rounding of a running mean.
    value: onPolicy ? scores[other]! - scores[winner]! : differences.reduce((a, b) => a + b, 0) / n,
    lower: Math.min(exact.lower, limits[2 * models]!),
    upper: Math.max(exact.upper, limits[2 * models + 1]!),
    method: `paired bootstrap + ${mean.method}`,
  };
}
