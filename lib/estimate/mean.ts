import { nonFiniteError, rangeError, shapeError, typeError } from '../errors.ts';
import { checkInteger, checkNumberList, type NumberList } from '../validate.ts';
import { bcaLimits } from './bootstrap.ts';
import { checkSeveralClusters, clusterDesign, type GroupedRows, groupedRows, groupSums } from './clusters.ts';
import { checkConfidence } from './proportion.ts';
import { normalQuantile, studentQuantile } from './special.ts';
import type { Estimate, EstimateOptions } from './types.ts';

/** From this many independent values on, 'auto' is Student's t. */
const LEAST_FOR_T = 30;

/** Options of `meanEstimate`. */
export interface MeanOptions extends EstimateOptions {
  /** 'auto' (default): 'bca' for fewer than 30 independent unweighted values, else 't' (with clusters: 'cluster-t'). */
  readonly method?: 'auto' | 't' | 'bca';
  /** Weights [n], finite, >= 0, not all 0: the weighted mean, with a linearised variance. */
  readonly weights?: NumberList;
  /**
   * Ends that the values cannot leave, in their own unit: refuses values outside, clips the interval to them, and widens
   * it by what a rare value that the sample missed could change.
   */
  readonly range?: readonly [number, number];
  /** Seed of the bootstrap, whole, in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Number of bootstrap resamples, >= 100 and >= 2 / (1 - confidence). Default 2000, or more where that asks for it. */
  readonly resamples?: number;
}

/** The interval value +- t_{df} * error, as an Estimate. */
export function tEstimate(
  value: number,
  error: number,
  df: number,
  confidence: number,
  n: number,
  method = 't',
): Estimate {
  const half = -studentQuantile((1 - confidence) / 2, df) * error;
  return { value, lower: value - half, upper: value + half, confidence, method, n };
}

/** A mean with no interval, because one observation says nothing about its variation. */
export function undefinedEstimate(value: number, confidence: number): Estimate {
  const [lower, upper] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  return { value, lower, upper, confidence, method: 'undefined (n = 1)', n: 1 };
}

/** A mean that is +Infinity because an observation is. */
export function infiniteEstimate(confidence: number, n: number): Estimate {
  const infinity = Number.POSITIVE_INFINITY;
  return { value: infinity, lower: infinity, upper: infinity, confidence, method: 'infinite', n };
}

/**
 * A mean with its confidence interval.
 *
 * - Independent values: Student's t for n >= 30, else (or with `method: 'bca'`) the BCa bootstrap, whose distances from
 *   the mean are stretched by sqrt(n / (n - 1)) t_{n-1} / z: resamples of few values vary too little.
 * - `clusters` or `weights`: the ratio mean sum(w x) / sum(w) with the CR2 linearised variance and Satterthwaite degrees
 *   of freedom (Bell & McCaffrey 2002), method 'cluster-t' ('weighted-t' without clusters); `method: 'bca'` resamples
 *   whole clusters. Observations of weight 0 change nothing; `n` counts the others.
 * - A value of +Infinity makes value, lower and upper +Infinity (the caller decides whether that is allowed).
 * - n = 1 without `range`: the interval is (-Infinity, Infinity), method 'undefined (n = 1)'.
 * - `range` [a, b]: a sample of n units misses a value that is drawn with probability q = 1 - ((1 - confidence) / 2)^(1/n)
 *   or more only with probability (1 - confidence) / 2. So the interval holds at least (1 - q) value + q a and
 *   (1 - q) value + q b, whatever the spread seen (for clusters n is their effective number). Where nothing varies (all
 *   problems solved, say) this alone is the interval, method 'bounded': exact for any distribution on the range.
 *
 * @param values observations [n], n >= 1, in any unit
 * @param name what errors call the values
 * @throws CovnError ERR_COVN_NON_FINITE for NaN or -Infinity; RangeError for no values, values outside `range`, a single
 *   cluster, labels or weights of another length, too few resamples
 */
export function meanEstimate(values: NumberList, options: MeanOptions = {}, name = 'values'): Estimate {
  const all = checkNumberList(values, name);
  if (all.length === 0) throw shapeError('at least 1 value', name, '0');
  const { confidence, method, range, seed } = checkMeanOptions(options);
  checkValues(all, range, name);
  const rows = checkDesign(all, options);
  const kept = rows?.values ?? all;
  const n = kept.length;
  const design = n > 1 ? rows : undefined;
  if (hasInfinite(kept)) return infiniteEstimate(confidence, n);
  const moments = design === undefined ? plainMoments(kept) : clusterMoments(design);
  const point = withoutSpread(moments, confidence, n, range);
  if (point !== undefined) return point;
  let estimate: Estimate;
  if (method === 'bca' || (method === 'auto' && design === undefined && n < LEAST_FOR_T)) {
    const { totals, sizes } = design === undefined ? unitSizes(kept) : clusterTotals(design);
    const resamples = enoughResamples(options.resamples, confidence);
    const limits = bcaLimits(totals, sizes, { confidence, seed, resamples });
    estimate = { ...stretch(limits, moments, confidence), confidence, method: 'bca', n };
  } else {
    const label = design === undefined ? 't' : options.clusters === undefined ? 'weighted-t' : 'cluster-t';
    estimate = tEstimate(moments.value, moments.error, moments.df, confidence, n, label);
  }
  return range === undefined ? estimate : allowRare(estimate, moments.units, range);
}

/** Whether the estimate from n values needs none but the values and how often each occurs. */
export function orderIsIrrelevant({ method = 'auto', clusters, weights }: MeanOptions, n: number): boolean {
  return clusters === undefined && weights === undefined && (method === 't' || (method === 'auto' && n >= LEAST_FOR_T));
}

/**
 * {@link meanEstimate} where {@link orderIsIrrelevant}: of value values[k], finite, occurring counts[k] >= 1 times.
 */
export function talliedMeanEstimate(
  values: Float64Array,
  counts: Float64Array,
  options: MeanOptions,
  name: string,
): Estimate {
  const { confidence, range } = checkMeanOptions(options);
  checkValues(values, range, name);
  const moments = talliedMoments(values, counts);
  const n = moments.units;
  const point = withoutSpread(moments, confidence, n, range);
  if (point !== undefined) return point;
  const estimate = tEstimate(moments.value, moments.error, moments.df, confidence, n);
  return range === undefined ? estimate : allowRare(estimate, n, range);
}

function checkMeanOptions(options: MeanOptions) {
  const confidence = checkConfidence(options.confidence);
  const { method = 'auto', range, seed = 0 } = options;
  if (!['auto', 't', 'bca'].includes(method)) throw typeError("'auto', 't' or 'bca'", 'method', method);
  checkInteger(seed, 'seed', 0);
  if (options.resamples !== undefined) checkInteger(options.resamples, 'resamples', 100, 2 ** 32);
  return { confidence, method, range, seed };
}

/** The estimate where one observation, or equal ones in a known range, leave no spread to measure. */
function withoutSpread(
  { value, error, units }: Moments,
  confidence: number,
  n: number,
  range: readonly [number, number] | undefined,
): Estimate | undefined {
  if (range === undefined) return n === 1 ? undefinedEstimate(value, confidence) : undefined;
  if (n > 1 && error !== 0) return undefined;
  return allowRare({ value, lower: value, upper: value, confidence, method: 'bounded', n }, units, range);
}

/** The given number of resamples, checked against the confidence: each tail needs at least one of them. */
function enoughResamples(resamples: number | undefined, confidence: number): number {
  const least = Math.ceil((2 / (1 - confidence)) * (1 - 1e-12)); // 1 - 0.95 rounds to less than 0.05
  const number = resamples ?? Math.max(2000, Math.min(least, 1_000_000));
  if (number < least) throw rangeError(`at least ${least} (2 / (1 - confidence))`, 'resamples', number);
  return number;
}

/**
 * Limits of the bootstrap moved from the mean by sqrt((df + 1) / df) t_df / z: the variance of a resample lacks n / (n - 1),
 * and its tails are the normal's. The factor is Hesterberg's (2015, The American Statistician 69:371-386), who widens the
 * percentiles by it; at n = 2 all of them lie between the two values, which hold the mean half of the time.
 */
function stretch(limits: { lower: number; upper: number }, { value, df }: Moments, confidence: number) {
  const tail = (1 - confidence) / 2;
  const factor = (Math.sqrt((df + 1) / df) * studentQuantile(tail, df)) / normalQuantile(tail);
  return { value, lower: value + factor * (limits.lower - value), upper: value + factor * (limits.upper - value) };
}

/** The interval within the range, widened by what a rare value that the sample missed could change; see `meanEstimate`. */
function allowRare(estimate: Estimate, units: number, [a, b]: readonly [number, number]): Estimate {
  const { value, confidence } = estimate;
  const q = -Math.expm1(Math.log((1 - confidence) / 2) / units);
  const lower = Math.min(estimate.lower, value - q * (value - a));
  const upper = Math.max(estimate.upper, value + q * (b - value));
  return { ...estimate, lower: Math.max(a, lower), upper: Math.min(b, upper) };
}

/** Refuses NaN, -Infinity and values outside the range. */
function checkValues(values: NumberList, range: readonly [number, number] | undefined, name: string): void {
  if (range !== undefined && !(Number.isFinite(range[0]) && Number.isFinite(range[1]) && range[0] < range[1])) {
    throw rangeError('[a, b] with finite a < b', 'range', range, `[${range}]`);
  }
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (Number.isNaN(x) || x === Number.NEGATIVE_INFINITY) {
      throw nonFiniteError('a number or +Infinity', `${name}[${i}]`, String(x));
    }
    if (range !== undefined && !(x >= range[0] && x <= range[1])) {
      throw rangeError(`a number in [${range[0]}, ${range[1]}]`, `${name}[${i}]`, x);
    }
  }
}

function hasInfinite(values: NumberList): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] === Number.POSITIVE_INFINITY) return true;
  return false;
}

/** Rows, clusters and weights; undefined for independent unweighted observations. */
function checkDesign(values: NumberList, options: MeanOptions): GroupedRows | undefined {
  if (options.clusters === undefined && options.weights === undefined) return undefined;
  const rows = groupedRows(values, options);
  if (rows.values.length > 1) checkSeveralClusters(rows.groups.count);
  return rows;
}

/** A mean, its standard error, that error's degrees of freedom, and the number of independent units it is worth. */
interface Moments {
  readonly value: number;
  readonly error: number;
  readonly df: number;
  readonly units: number;
}

function plainMoments(values: NumberList): Moments {
  const n = values.length;
  let value = 0;
  for (let i = 0; i < n; i++) value += (values[i]! - value) / (i + 1);
  let drift = 0;
  for (let i = 0; i < n; i++) drift += values[i]! - value;
  value += drift / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (values[i]! - value) ** 2;
  return { value, error: Math.sqrt(squares / (n - 1) / n), df: n - 1, units: n };
}

function talliedMoments(values: Float64Array, counts: Float64Array): Moments {
  let n = 0;
  let value = 0;
  for (let k = 0; k < values.length; k++) {
    n += counts[k]!;
    value += (values[k]! - value) * (counts[k]! / n);
  }
  let drift = 0;
  for (let k = 0; k < values.length; k++) drift += counts[k]! * (values[k]! - value);
  value += drift / n;
  let squares = 0;
  for (let k = 0; k < values.length; k++) squares += counts[k]! * (values[k]! - value) ** 2;
  return { value, error: Math.sqrt(squares / (n - 1) / n), df: n - 1, units: n };
}

function clusterMoments({ values, groups, weights }: GroupedRows): Moments {
  const { total, factors, meanDf, effective } = clusterDesign(weights, groups);
  let value = 0;
  let seen = 0;
  for (let i = 0; i < weights.length; i++) {
    seen += weights[i]!;
    value += (values[i]! - value) * (weights[i]! / seen);
  }
  const residuals = groupSums(
    weights.map((w, i) => w * (values[i]! - value)),
    groups,
  );
  let squares = 0;
  for (let g = 0; g < residuals.length; g++) squares += factors[g]! * residuals[g]! ** 2;
  return { value, error: Math.sqrt(squares) / total, df: meanDf, units: effective };
}

function unitSizes(values: NumberList): { totals: NumberList; sizes: NumberList } {
  return { totals: values, sizes: new Float64Array(values.length).fill(1) };
}

function clusterTotals({ values, groups, weights }: GroupedRows): { totals: NumberList; sizes: NumberList } {
  const totals = groupSums(
    weights.map((w, i) => w * values[i]!),
    groups,
  );
  return { totals, sizes: groupSums(weights, groups) };
}
