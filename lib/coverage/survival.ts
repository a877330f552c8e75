import { nonFiniteError, shapeError } from '../errors.ts';
import {
  type ClusterDesign,
  checkConfidence,
  clusterDesign,
  degreesFactor,
  type Estimate,
  type EstimateOptions,
  effectiveSize,
  exactLimits,
  type GroupedRows,
  groupedRows,
  HitSums,
  meanEstimate,
  type ProportionSums,
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
  /** Number of observations (of positive weight). */
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
  /** Limits that the intervals at positions i <= k <= j do not leave; for i = j that interval's own. */
  hull(i: number, j: number): { lower: number; upper: number };
  /** Mean log ratio. */
  kl(): Estimate;
}

/** Options of `coverageProfile`. */
export interface CoverageOptions extends EstimateOptions {
  /** Weights [n], finite, >= 0, not all 0 (importance or class weights). Responses of weight 0 change nothing. */
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
  /** `degreesFactor` of the design. */
  readonly factor: number;
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
    if (list.length === 0) throw shapeError('at least 1 log ratio', 'logRatios', '0');
    for (let i = 0; i < list.length; i++) checkLogRatio(list[i], `logRatios[${i}]`);
    this.confidence = checkConfidence(options.confidence);
    const plain = options.clusters === undefined && options.weights === undefined;
    const rows = plain ? undefined : groupedRows(list, options);
    this.#sorted = Float64Array.from(rows?.values ?? list).sort();
    this.n = this.#sorted.length;
    this.#grouping = rows && groupSorted(rows, this.#sorted, options, this.confidence);
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
    return sumsProportion(sumsAt(this.#grouping, count), this.#grouping.design, this.confidence);
  }

  /** With clusters the interval of a smaller count may reach higher; the smallest effective size bounds them all. */
  hull(i: number, j: number): { lower: number; upper: number } {
    const [few, many] = [this.count(j), this.count(i)];
    const grouping = this.#grouping;
    if (grouping === undefined) return { lower: this.estimate(few).lower, upper: this.estimate(many).upper };
    const { design, factor } = grouping;
    let size = Number.POSITIVE_INFINITY;
    for (let c = few; c <= many; c++) size = Math.min(size, effectiveSize(sumsAt(grouping, c), design, factor));
    const limits = (count: number) => exactLimits(this.share(count) * size, size, this.confidence);
    return { lower: limits(few).lower, upper: limits(many).upper };
  }

  kl(): Estimate {
    return meanEstimate(this.#sorted, { confidence: this.confidence, ...this.#grouping?.mean }, 'logRatios');
  }
}

function sumsAt({ hit, hitSquares, cross, squares }: Grouping, count: number): ProportionSums {
  const total = hit[hit.length - 1]!;
  return { hit: hit[count]!, total, hitSquares: hitSquares[count]!, cross: cross[count]!, squares };
}

/** Brings clusters and weights into sorted order and sums them from the largest log ratio down. */
function groupSorted(
  { values, weights, groups }: GroupedRows,
  sorted: Float64Array,
  options: CoverageOptions,
  confidence: number,
): Grouping {
  const n = sorted.length;
  const design = clusterDesign(weights, groups);
  // Each observation's place among equals is next free: cheaper than sorting indices with a comparator.
  const used = new Int32Array(n);
  const id = new Int32Array(n);
  const weight = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const start = countBelow(sorted, values[i]!);
    const place = start + used[start]!++;
    id[place] = groups.ids[i]!;
    weight[place] = weights[i]!;
  }
  const [hit, hitSquares, cross] = [new Float64Array(n + 1), new Float64Array(n + 1), new Float64Array(n + 1)];
  const running = new HitSums(design);
  for (let c = 1; c <= n; c++) {
    running.add(id[n - c]!, weight[n - c]!);
    hit[c] = running.hit;
    hitSquares[c] = running.hitSquares;
    cross[c] = running.cross;
  }
  const clusters = options.clusters === undefined ? {} : { clusters: id };
  const mean = { ...clusters, ...(options.weights === undefined ? {} : { weights: weight }) };
  const factor = degreesFactor(design, confidence);
  return { design, factor, hit, hitSquares, cross, squares: running.squares, mean };
}
