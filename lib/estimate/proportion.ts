import { rangeError, shapeError } from '../errors.ts';
import { checkInteger, checkNumber, checkNumberList, type NumberList } from '../validate.ts';
import { type ClusterDesign, checkWeights, clusterDesign, clusterIds, groupSums } from './clusters.ts';
import { betaQuantile, studentQuantile } from './special.ts';
import type { Estimate, EstimateOptions } from './types.ts';

/** Checks a confidence level in (0, 1); undefined gives the default 0.95. */
export function checkConfidence(confidence: unknown): number {
  return confidence === undefined ? 0.95 : checkNumber(confidence, 'confidence', 0, 1, true);
}

/** The Clopper-Pearson limits for `hits` (possibly fractional) of `n`. */
export function exactLimits(hits: number, n: number, confidence: number): { lower: number; upper: number } {
  const tail = (1 - confidence) / 2;
  const misses = n - hits;
  return {
    lower: hits <= 0 ? 0 : betaQuantile(tail, hits, misses + 1),
    upper: misses <= 0 ? 1 : betaQuantile(tail, hits + 1, misses, 'upper'),
  };
}

/**
 * A proportion with its exact interval (Clopper & Pearson 1934): covers with at least the stated confidence for
 * independent observations, at any n.
 *
 * @param hits whole number in [0, n]
 * @param n number of independent observations, >= 1
 * @param confidence in (0, 1), default 0.95
 * @throws RangeError for arguments outside these ranges
 */
export function proportionEstimate(hits: number, n: number, confidence = 0.95): Estimate {
  checkInteger(n, 'n', 1);
  checkInteger(hits, 'hits', 0, n);
  checkConfidence(confidence);
  return { value: hits / n, ...exactLimits(hits, n, confidence), confidence, method: 'clopper-pearson', n };
}

/** The sums that a clustered or weighted proportion depends on; H_g and W_g are a cluster's hit and total weight. */
export interface ProportionSums {
  /** Sum of H_g. */
  readonly hit: number;
  /** Sum of factors_g H_g^2, factors of `ClusterDesign`. */
  readonly hitSquares: number;
  /** Sum of factors_g H_g W_g. */
  readonly cross: number;
  /** Sum of factors_g W_g^2. */
  readonly squares: number;
}

/**
 * A clustered or weighted proportion with Korn & Graubard's interval (1998, Survey Methodology 24:193-201): the
 * Clopper-Pearson limits at the effective sample size p (1 - p) / var(p), times (t_{n-1} / t_df)^2 for the degrees of
 * freedom that the clusters give, and at most n. Where no observation or every one is a hit, the data say nothing about
 * how alike the members of a cluster are, so the effective sample size is the effective number of clusters (the
 * worst case, a hit shared by all of a cluster).
 */
export function sumsProportion(sums: ProportionSums, design: ClusterDesign, n: number, confidence: number): Estimate {
  const method = 'korn-graubard';
  const value = Math.min(1, sums.hit / design.total);
  if (value === 0 || value === 1) {
    return { value, ...exactLimits(value * design.effective, design.effective, confidence), confidence, method, n };
  }
  const quadratic = sums.hitSquares - 2 * value * sums.cross + value * value * sums.squares;
  const variance = Math.max(0, quadratic) / design.total ** 2;
  const tail = (1 - confidence) / 2;
  const ratio = studentQuantile(tail, n - 1) / studentQuantile(tail, design.proportionDf);
  const size = Math.min(n, ((value * (1 - value)) / variance) * ratio * ratio);
  return { value, ...exactLimits(value * size, size, confidence), confidence, method, n };
}

/**
 * The proportion of hits among dependent or weighted observations (method 'korn-graubard').
 *
 * @param hits one entry per observation [n], 0 or 1
 * @param options `clusters` labels [n] (at least 2 different ones), `weights` [n] (finite, >= 0, not all 0), `confidence`
 * @throws RangeError for a single cluster, another length, bad weights or entries other than 0 and 1
 */
export function clusteredProportion(
  hits: NumberList,
  options: EstimateOptions & { readonly weights?: NumberList } = {},
): Estimate {
  const n = checkNumberList(hits, 'hits').length;
  if (n === 0) throw shapeError('at least 1 observation', 'hits', '0');
  const confidence = checkConfidence(options.confidence);
  for (let i = 0; i < n; i++) if (hits[i] !== 0 && hits[i] !== 1) throw rangeError('0 or 1', `hits[${i}]`, hits[i]);
  const weights = options.weights === undefined ? new Float64Array(n).fill(1) : checkWeights(options.weights, n);
  const groups = clusterIds(options.clusters ?? Int32Array.from({ length: n }, (_, i) => i), n);
  const hit = groupSums(
    weights.map((w, i) => w * hits[i]!),
    groups,
  );
  const design = clusterDesign(weights, groups);
  const sums = { hit: 0, hitSquares: 0, cross: 0, squares: 0 };
  for (let g = 0; g < hit.length; g++) {
    const f = design.factors[g]!;
    sums.hit += hit[g]!;
    sums.hitSquares += f * hit[g]! ** 2;
    sums.cross += f * hit[g]! * design.sizes[g]!;
    sums.squares += f * design.sizes[g]! ** 2;
  }
  return sumsProportion(sums, design, n, confidence);
}
