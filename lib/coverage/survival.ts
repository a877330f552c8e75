import { nonFiniteError, shapeError } from '../errors.ts';
import {
  type ClusterDesign,
  checkConfidence,
  checkWeights,
  clusterDesign,
  clusterIds,
  type Estimate,
  type EstimateOptions,
  meanEstimate,
  proportionEstimate,
  sumsProportion,
} from '../estimate/index.ts';
import { checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';

/**
 * What a profile needs to know of the survival function Cov_N of the log ratios: its values at ascending positions M_k,
 * each as the number of observations at or beyond it. A sample knows the whole step function (its positions are the steps'
 * left ends, where the step's value is reached just after M_k); an accumulator knows its thresholds.
 */
export interface Survival {
  /** Number of observations. */
  readonly n: number;
  /** Number of clusters, where observations came in clusters. */
  readonly clusters?: number;
  /** Nominal confidence level. */
  readonly confidence: number;
  /** Effective number of independent observations, for the simultaneous band. */
  readonly effective: number;
  /** Whether Cov_N is known between the positions. */
  readonly whole: boolean;
  /** Number of positions. */
  readonly positions: number;
  /** M_k >= 1, ascending; Infinity only where a finite log ratio's exponential overflows. */
  M(k: number): number;
  /** Observations at (a sample: beyond) M_k. */
  count(k: number): number;
  /** Observations with log ratio >= log N. Throws RangeError where that is not known. */
  countAt(N: number): number;
  /** The largest known count that is certain not to exceed the count at N. */
  countAtMost(N: number): number;
  /** Thresholds that show the whole profile. */
  defaultNs(): number[];
  /** Coverage that a count stands for, in [0, 1]. */
  share(count: number): number;
  /** The same with its pointwise interval. */
  estimate(count: number): Estimate;
  /** Mean log ratio. */
  kl(): Estimate;
}

/** Options of `coverageProfile`. */
export interface CoverageOptions extends EstimateOptions {
  /** Weights [n], finite, >= 0, not all 0 (importance or class weights). */
  readonly weights?: NumberList;
}

/** Refuses NaN and -Infinity: log pi_D - log pi = -Infinity would mean that pi_D never draws the response. */
export function checkLogRatio(x: unknown, name: string): void {
  if (typeof x !== 'number' || Number.isNaN(x) || x === Number.NEGATIVE_INFINITY) {
    throw nonFiniteError('a finite number or +Infinity', name, String(x));
  }
}

/** Number of entries of an ascending list that are < x. */
export function countBelow(sorted: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Number of entries of an ascending list that are <= x. */
export function countUpTo(sorted: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Clusters and weights of the observations, in the order of the sorted log ratios. */
interface Grouping {
  readonly design: ClusterDesign;
  /** Running sums over the observations from the largest down, [n + 1]; see `ProportionSums`. */
  readonly hit: Float64Array;
  readonly hitSquares: Float64Array;
  readonly cross: Float64Array;
  readonly squares: number;
  /** What the mean needs. */
  readonly mean: { readonly clusters?: Int32Array; readonly weights?: Float64Array };
}

/** The empirical survival function of a sample, sorted once. */
export class SampleSurvival implements Survival {
  readonly n: number;
  readonly clusters?: number;
  readonly confidence: number;
  readonly effective: number;
  readonly whole = true;
  readonly positions: number;
  readonly #sorted: Float64Array;
  readonly #grouping: Grouping | undefined;
  /** First index with log ratio >= 0. */
  readonly #first: number;

  constructor(logRatios: NumberList, options: CoverageOptions = {}) {
    const list = checkNumberList(logRatios, 'logRatios');
    checkObject(options, 'options');
    checkKnownKeys(options, ['confidence', 'clusters', 'weights'], 'options');
    this.n = list.length;
    if (this.n === 0) throw shapeError('at least 1 log ratio', 'logRatios', '0');
    for (let i = 0; i < this.n; i++) checkLogRatio(list[i], `logRatios[${i}]`);
    this.confidence = checkConfidence(options.confidence);
    this.#sorted = Float64Array.from(list).sort();
    this.#grouping = groupSorted(list, this.#sorted, options);
    this.effective = this.#grouping?.design.effective ?? this.n;
    if (options.clusters !== undefined && this.#grouping) this.clusters = this.#grouping.design.clusters;
    this.#first = countBelow(this.#sorted, 0);
    this.positions = 1 + countBelow(this.#sorted, Number.POSITIVE_INFINITY) - this.#first;
  }

  M(k: number): number {
    return k === 0 ? 1 : Math.exp(this.#sorted[this.#first + k - 1]!);
  }

  count(k: number): number {
    return k === 0 ? this.n - this.#first : this.n - countUpTo(this.#sorted, this.#sorted[this.#first + k - 1]!);
  }

  countAt(N: number): number {
    return this.n - countBelow(this.#sorted, Math.log(N));
  }

  countAtMost(N: number): number {
    return this.countAt(N);
  }

  /** 1, 2, 4, ... until only infinite log ratios are left, at most 64 of them. */
  defaultNs(): number[] {
    const infinite = this.n - countBelow(this.#sorted, Number.POSITIVE_INFINITY);
    const Ns = [1];
    while (Ns.length < 64 && this.countAt(Ns.at(-1)!) > infinite) Ns.push(2 ** Ns.length);
    return Ns;
  }

  share(count: number): number {
    const hit = this.#grouping?.hit;
    return hit === undefined ? count / this.n : hit[count]! / hit[this.n]!;
  }

  estimate(count: number): Estimate {
    if (this.#grouping === undefined) return proportionEstimate(count, this.n, this.confidence);
    const { design, hit, hitSquares, cross, squares } = this.#grouping;
    const sums = { hit: hit[count]!, hitSquares: hitSquares[count]!, cross: cross[count]!, squares };
    return sumsProportion(sums, design, this.n, this.confidence);
  }

  kl(): Estimate {
    return meanEstimate(this.#sorted, { confidence: this.confidence, ...this.#grouping?.mean }, 'logRatios');
  }
}

/** Brings clusters and weights into sorted order and sums them from the largest log ratio down. */
function groupSorted(list: NumberList, sorted: Float64Array, options: CoverageOptions): Grouping | undefined {
  if (options.clusters === undefined && options.weights === undefined) return undefined;
  const n = list.length;
  const weights =
    options.weights === undefined
      ? new Float64Array(n).fill(1)
      : checkWeights(checkNumberList(options.weights, 'weights'), n);
  const own = options.clusters === undefined;
  const groups = own ? { ids: Int32Array.from(weights, (_, i) => i), count: n } : clusterIds(options.clusters, n);
  const design = clusterDesign(weights, groups);
  // Each observation's place among equals is next free: cheaper than sorting indices with a comparator.
  const used = new Int32Array(n);
  const id = new Int32Array(n);
  const weight = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const start = countBelow(sorted, list[i]!);
    const place = start + used[start]!++;
    id[place] = groups.ids[i]!;
    weight[place] = weights[i]!;
  }
  const [hit, hitSquares, cross] = [new Float64Array(n + 1), new Float64Array(n + 1), new Float64Array(n + 1)];
  const inside = new Float64Array(groups.count);
  for (let c = 0; c < n; c++) {
    const g = id[n - 1 - c]!;
    const w = weight[n - 1 - c]!;
    const before = inside[g]!;
    const factor = design.factors[g]!;
    inside[g] = before + w;
    hit[c + 1] = hit[c]! + w;
    hitSquares[c + 1] = hitSquares[c]! + factor * w * (2 * before + w);
    cross[c + 1] = cross[c]! + factor * w * design.sizes[g]!;
  }
  const mean = { ...(own ? {} : { clusters: id }), ...(options.weights === undefined ? {} : { weights: weight }) };
  return { design: { ...design, total: hit[n]! }, hit, hitSquares, cross, squares: cross[n]!, mean };
}
