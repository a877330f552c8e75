import { rangeError, shapeError } from '../errors.ts';
import { checkInteger, checkNumber, checkNumberList, type NumberList } from '../validate.ts';
import { type ClusterDesign, clusterDesign, groupedRows } from './clusters.ts';
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
  /** Sum of W_g, taken in the same order as `hit`, so that all hits give exactly 1. */
  readonly total: number;
  /** Sum of factors_g H_g^2, factors of `ClusterDesign`. */
  readonly hitSquares: number;
  /** Sum of factors_g H_g W_g. */
  readonly cross: number;
  /** Sum of factors_g W_g^2. */
  readonly squares: number;
}

/** Running sums over observations that become hits one after another. */
export class HitSums {
  hit = 0;
  hitSquares = 0;
  cross = 0;
  readonly squares: number;
  readonly #design: ClusterDesign;
  /** Hit weight so far in each cluster. */
  readonly #inside: Float64Array;

  constructor(design: ClusterDesign) {
    this.#design = design;
    this.#inside = new Float64Array(design.sizes.length);
    this.squares = design.sizes.reduce((sum, size, g) => sum + design.factors[g]! * size * size, 0);
  }

  /** One more hit, of weight w in cluster g. */
  add(g: number, w: number): void {
    const { factors, sizes } = this.#design;
    const before = this.#inside[g]!;
    this.#inside[g] = before + w;
    this.hit += w;
    this.hitSquares += factors[g]! * w * (2 * before + w);
    this.cross += factors[g]! * w * sizes[g]!;
  }
}

/** Korn & Graubard's (t_{n-1} / t_df)^2, by which fewer degrees of freedom than n - 1 shrink the effective sample size. */
export function degreesFactor(design: ClusterDesign, confidence: number): number {
  const tail = (1 - confidence) / 2;
  return (studentQuantile(tail, design.n - 1) / studentQuantile(tail, design.proportionDf)) ** 2;
}

/**
 * Korn & Graubard's effective sample size: p (1 - p) / var(p), times the `degreesFactor`, and at most Kish's effective
 * number of observations (n for equal weights). Where no observation or every one is a hit, the data say nothing about
 * how alike the members of a cluster are, so it is the effective number of clusters (the worst case, a hit shared by
 * all of a cluster).
 */
export function effectiveSize(sums: ProportionSums, design: ClusterDesign, factor: number): number {
  const p = sums.hit / sums.total;
  if (p <= 0 || p >= 1) return design.effective;
  const quadratic = sums.hitSquares - 2 * p * sums.cross + p * p * sums.squares;
  const variance = Math.max(0, quadratic) / sums.total ** 2;
  return Math.min(design.observations, ((p * (1 - p)) / variance) * factor);
}

/**
 * A clustered or weighted proportion with Korn & Graubard's interval (1998, Survey Methodology 24:193-201): the
 * Clopper-Pearson limits at the `effectiveSize`. `n` is the number of observations of positive weight.
 */
export function sumsProportion(sums: ProportionSums, design: ClusterDesign, confidence: number): Estimate {
  const value = Math.min(1, sums.hit / sums.total);
  const size = effectiveSize(sums, design, degreesFactor(design, confidence));
  return { value, ...exactLimits(value * size, size, confidence), confidence, method: 'korn-graubard', n: design.n };
}

/**
 * The proportion of hits among dependent or weighted observations (method 'korn-graubard'). Observations of weight 0
 * change nothing.
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
  const { values, weights, groups } = groupedRows(hits, options);
  const design = clusterDesign(weights, groups);
  const running = new HitSums(design);
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    total += weights[i]!;
    if (values[i] === 1) running.add(groups.ids[i]!, weights[i]!);
  }
  const { hit, hitSquares, cross, squares } = running;
  return sumsProportion({ hit, total, hitSquares, cross, squares }, design, confidence);
}
