import { nonFiniteError, rangeError, shapeError, typeError } from '../errors.ts';
import { checkInteger, checkNumberList, type NumberList } from '../validate.ts';
import { bcaLimits } from './bootstrap.ts';
import { checkSeveralClusters, checkWeights, clusterDesign, clusterIds, groupSums } from './clusters.ts';
import { checkConfidence, exactLimits } from './proportion.ts';
import { studentQuantile } from './special.ts';
import type { Estimate, EstimateOptions } from './types.ts';

/** Options of `meanEstimate`. */
export interface MeanOptions extends EstimateOptions {
  /** 'auto' (default): 'bca' for fewer than 30 independent unweighted values, else 't' (with clusters: 'cluster-t'). */
  readonly method?: 'auto' | 't' | 'bca';
  /** Weights [n], finite, >= 0, not all 0: the weighted mean, with a linearised variance. */
  readonly weights?: NumberList;
  /** Ends that the values cannot leave, in their own unit: refuses values outside and clips the interval to them. */
  readonly range?: readonly [number, number];
  /** Seed of the bootstrap, whole, in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Number of bootstrap resamples. Default 2000. */
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
 * - Independent values: Student's t for n >= 30, else (or with `method: 'bca'`) the BCa bootstrap.
 * - `clusters` or `weights`: the ratio mean sum(w x) / sum(w) with the CR2 linearised variance and Satterthwaite degrees
 *   of freedom (Bell & McCaffrey 2002), method 'cluster-t' ('weighted-t' without clusters); `method: 'bca'` resamples
 *   whole clusters.
 * - A value of +Infinity makes value, lower and upper +Infinity (the caller decides whether that is allowed).
 * - n = 1 without `range`: the interval is (-Infinity, Infinity), method 'undefined (n = 1)'.
 * - `range` and no variation in the sample (all problems solved, say): a zero width would be false, so the interval is
 *   Clopper-Pearson's at hits = n (x - a) / (b - a) of n (of the effective number of clusters), method 'bounded'. At the
 *   ends of the range it is exact for any distribution on it: P(all values are b) <= mean^n.
 *
 * @param values observations [n], n >= 1, in any unit
 * @param name what errors call the values
 * @throws CovnError ERR_COVN_NON_FINITE for NaN or -Infinity; RangeError for no values, values outside `range`, a single
 *   cluster, labels or weights of another length
 */
export function meanEstimate(values: NumberList, options: MeanOptions = {}, name = 'values'): Estimate {
  const n = checkNumberList(values, name).length;
  if (n === 0) throw shapeError('at least 1 value', name, '0');
  const confidence = checkConfidence(options.confidence);
  const { method = 'auto', range, seed = 0, resamples = 2000 } = options;
  if (!['auto', 't', 'bca'].includes(method)) throw typeError("'auto', 't' or 'bca'", 'method', method);
  checkInteger(seed, 'seed', 0);
  checkInteger(resamples, 'resamples', 1, 2 ** 32);
  checkValues(values, range, name);
  const design = checkDesign(values, options);
  if (hasInfinite(values, design?.weights)) return infiniteEstimate(confidence, n);
  const moments = design === undefined ? plainMoments(values) : clusterMoments(values, design);
  if (range !== undefined && (n === 1 || moments.error === 0)) return boundedEstimate(moments, range, confidence, n);
  if (n === 1) return undefinedEstimate(moments.value, confidence);
  let estimate: Estimate;
  if (method === 'bca' || (method === 'auto' && design === undefined && n < 30)) {
    const { totals, sizes } = design === undefined ? unitSizes(values) : clusterTotals(values, design);
    const limits = bcaLimits(totals, sizes, { confidence, seed, resamples });
    estimate = { value: moments.value, ...limits, confidence, method: 'bca', n };
  } else {
    const label = design === undefined ? 't' : options.clusters === undefined ? 'weighted-t' : 'cluster-t';
    estimate = tEstimate(moments.value, moments.error, moments.df, confidence, n, label);
  }
  if (range === undefined) return estimate;
  return { ...estimate, lower: Math.max(estimate.lower, range[0]), upper: Math.min(estimate.upper, range[1]) };
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

/** Whether a value of positive weight is +Infinity. */
function hasInfinite(values: NumberList, weights?: Float64Array): boolean {
  for (let i = 0; i < values.length; i++) {
    if (values[i] === Number.POSITIVE_INFINITY && weights?.[i] !== 0) return true;
  }
  return false;
}

/** Cluster of each observation and its weight; undefined for independent unweighted observations. */
interface Grouping {
  readonly groups: ReturnType<typeof clusterIds>;
  readonly weights: Float64Array;
}

function checkDesign(values: NumberList, { clusters, weights }: MeanOptions): Grouping | undefined {
  const n = values.length;
  if (clusters === undefined && weights === undefined) return undefined;
  const checked = weights === undefined ? new Float64Array(n).fill(1) : checkWeights(weights, n);
  const groups =
    clusters === undefined ? { ids: Int32Array.from(checked, (_, i) => i), count: n } : clusterIds(clusters, n);
  if (n > 1) checkSeveralClusters(groups.count);
  return n > 1 ? { groups, weights: checked } : undefined;
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

function clusterMoments(values: NumberList, { groups, weights }: Grouping): Moments {
  const { total, factors, meanDf, effective } = clusterDesign(weights, groups);
  let value = 0;
  let seen = 0;
  for (let i = 0; i < weights.length; i++) {
    seen += weights[i]!;
    if (weights[i]! > 0) value += (values[i]! - value) * (weights[i]! / seen);
  }
  const residuals = groupSums(
    weights.map((w, i) => (w === 0 ? 0 : w * (values[i]! - value))),
    groups,
  );
  let squares = 0;
  for (let g = 0; g < residuals.length; g++) squares += factors[g]! * residuals[g]! ** 2;
  return { value, error: Math.sqrt(squares) / total, df: meanDf, units: effective };
}

function unitSizes(values: NumberList): { totals: NumberList; sizes: NumberList } {
  return { totals: values, sizes: new Float64Array(values.length).fill(1) };
}

function clusterTotals(values: NumberList, { groups, weights }: Grouping): { totals: NumberList; sizes: NumberList } {
  const totals = groupSums(
    weights.map((w, i) => (w === 0 ? 0 : w * values[i]!)),
    groups,
  );
  return { totals, sizes: groupSums(weights, groups) };
}

/** The interval of a sample without variation on a known range; see `meanEstimate`. */
function boundedEstimate(
  { value, units }: Moments,
  [a, b]: readonly [number, number],
  confidence: number,
  n: number,
): Estimate {
  const scale = b - a;
  const { lower, upper } = exactLimits(((value - a) / scale) * units, units, confidence);
  return { value, lower: a + lower * scale, upper: a + upper * scale, confidence, method: 'bounded', n };
}
