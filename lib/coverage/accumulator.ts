import { CovnError, describe, rangeError, shapeError, typeError } from '../errors.ts';
import {
  checkConfidence,
  type Estimate,
  infiniteEstimate,
  proportionEstimate,
  tEstimate,
  undefinedEstimate,
} from '../estimate/index.ts';
import {
  checkInteger,
  checkKnownKeys,
  checkNumber,
  checkNumberList,
  checkObject,
  type NumberList,
} from '../validate.ts';
import { CoverageProfile } from './profile.ts';
import { checkLogRatio, countBelow, countUpTo, type Survival } from './survival.ts';

/** Options of `CoverageAccumulator`. */
export interface AccumulatorOptions {
  /** Values of N, each finite and >= 1, at least one; kept sorted, without repeats. */
  readonly thresholds: NumberList;
  /** Nominal confidence level in (0, 1). Default 0.95. */
  readonly confidence?: number;
}

/** An accumulator as JSON data: all numbers finite. */
export interface AccumulatorState {
  readonly thresholds: number[];
  readonly confidence: number;
  /** Log ratios between the thresholds [thresholds + 1]: below the first, from the first to the second, ... */
  readonly counts: number[];
  /** How many log ratios were +Infinity (also counted in the last of `counts`). */
  readonly infinite: number;
  /** Mean of the finite log ratios, nats; 0 where there are none. */
  readonly mean: number;
  /** Sum of squared deviations from it. */
  readonly squares: number;
}

/**
 * Coverage at fixed thresholds in bounded memory: feed it log ratios as they come, merge accumulators from shards. Counts
 * are exact, so any split gives the same coverage as the whole; the mean log ratio is merged stably (Chan et al. 1983).
 * Responses are taken as independent: it knows no clusters.
 */
export class CoverageAccumulator {
  /** The values of N, ascending [K]. */
  readonly thresholds: Float64Array;
  readonly confidence: number;
  readonly #logs: Float64Array;
  readonly #counts: Float64Array;
  #n = 0;
  #infinite = 0;
  #mean = 0;
  #squares = 0;

  /** @throws TypeError or RangeError for missing, empty, non-finite or < 1 thresholds, or a confidence outside (0, 1) */
  constructor(options: AccumulatorOptions) {
    checkObject(options, 'options');
    checkKnownKeys(options, ['thresholds', 'confidence'], 'options');
    const list = Array.from(checkNumberList(options.thresholds, 'thresholds'));
    if (list.length === 0) throw shapeError('at least 1 threshold', 'thresholds', '0');
    list.forEach((N, i) => {
      checkNumber(N, `thresholds[${i}]`, 1);
    });
    this.confidence = checkConfidence(options.confidence);
    this.thresholds = Float64Array.from(new Set(list)).sort();
    this.#logs = this.thresholds.map(Math.log);
    this.#counts = new Float64Array(this.thresholds.length + 1);
  }

  /** Number of log ratios added. */
  get n(): number {
    return this.#n;
  }

  /**
   * Adds log pi_D - log pi of one response, or of several. All are checked before any is added.
   * @throws CovnError ERR_COVN_NON_FINITE for NaN or -Infinity, TypeError for anything else
   */
  add(logRatios: number | NumberList): this {
    const list = typeof logRatios === 'number' ? [logRatios] : checkNumberList(logRatios, 'logRatios');
    for (let i = 0; i < list.length; i++) checkLogRatio(list[i], `logRatios[${i}]`);
    for (let i = 0; i < list.length; i++) {
      const x = list[i]!;
      this.#counts[countUpTo(this.#logs, x)]!++;
      this.#n++;
      if (x === Number.POSITIVE_INFINITY) {
        this.#infinite++;
        continue;
      }
      const gap = x - this.#mean;
      this.#mean += gap / (this.#n - this.#infinite);
      this.#squares += gap * (x - this.#mean);
    }
    return this;
  }

  /**
   * Adds everything that another accumulator has seen.
   * @throws RangeError where the thresholds (ERR_COVN_SHAPE) or the confidences (ERR_COVN_RANGE) differ
   */
  merge(other: CoverageAccumulator): this {
    if (!(other instanceof CoverageAccumulator)) throw typeError('a CoverageAccumulator', 'other', other);
    const same = (N: number, i: number): boolean => N === this.thresholds[i];
    if (other.thresholds.length !== this.thresholds.length || !other.thresholds.every(same)) {
      throw shapeError(`thresholds ${this.thresholds.join(', ')}`, 'other', other.thresholds.join(', '));
    }
    if (other.confidence !== this.confidence) {
      throw rangeError(`an accumulator of confidence ${this.confidence}`, 'other', other.confidence);
    }
    const [a, b] = [this.#n - this.#infinite, other.#n - other.#infinite];
    if (b > 0) {
      const gap = other.#mean - this.#mean;
      this.#mean += gap * (b / (a + b));
      this.#squares += other.#squares + gap * gap * ((a * b) / (a + b));
    }
    for (let i = 0; i < this.#counts.length; i++) this.#counts[i]! += other.#counts[i]!;
    this.#n += other.#n;
    this.#infinite += other.#infinite;
    return this;
  }

  /**
   * The profile so far; later additions do not change it. It has the face of `coverageProfile`'s, but knows Cov_N only at
   * the thresholds: `at` refuses another N, and `inverse`, `bestOfN` and `plan` stay on the safe side.
   * @throws RangeError where nothing was added
   */
  profile(): CoverageProfile {
    if (this.#n === 0) throw rangeError('at least 1 log ratio', 'the accumulator', 0);
    return new CoverageProfile(new ThresholdSurvival(this.toJSON()));
  }

  /** The state as plain JSON data, for `fromJSON`. */
  toJSON(): AccumulatorState {
    return {
      thresholds: Array.from(this.thresholds),
      confidence: this.confidence,
      counts: Array.from(this.#counts),
      infinite: this.#infinite,
      mean: this.#mean,
      squares: this.#squares,
    };
  }

  /**
   * An accumulator from the data of `toJSON`, which is checked as if anybody had written it.
   * @throws CovnError ERR_COVN_FORMAT for anything that is not such data; the cause says what
   */
  static fromJSON(json: unknown): CoverageAccumulator {
    try {
      const state = checkState(json);
      const { thresholds, confidence, counts } = state;
      const restored = new CoverageAccumulator({ thresholds, confidence });
      const sorted = restored.thresholds.length === thresholds.length;
      if (!sorted || !restored.thresholds.every((N, i) => N === thresholds[i])) {
        throw rangeError('ascending numbers', 'thresholds', thresholds);
      }
      restored.#counts.set(counts);
      restored.#n = counts.reduce((sum, count) => sum + count, 0);
      restored.#infinite = state.infinite;
      restored.#mean = state.mean;
      restored.#squares = state.squares;
      return restored;
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      const message = `Expected accumulator data for json but received ${describe(json)} (${cause.message})`;
      throw new CovnError('ERR_COVN_FORMAT', message, { cause });
    }
  }
}

/** The fields of untrusted accumulator data, each checked, and consistent with one another. */
function checkState(json: unknown): AccumulatorState {
  checkObject(json, 'json');
  checkKnownKeys(json, ['thresholds', 'confidence', 'counts', 'infinite', 'mean', 'squares'], 'json');
  const thresholds = Array.from(checkNumberList(json.thresholds, 'thresholds'));
  const counts = Array.from(checkNumberList(json.counts, 'counts', thresholds.length + 1));
  let n = 0;
  counts.forEach((count, i) => {
    n += checkInteger(count, `counts[${i}]`, 0);
  });
  checkInteger(n, 'the sum of counts', 0);
  const infinite = checkInteger(json.infinite, 'infinite', 0, counts.at(-1) ?? 0);
  const spread = n - infinite > 1 ? Number.MAX_VALUE : 0;
  const mean = checkNumber(json.mean, 'mean', ...(n > infinite ? [] : [0, 0]));
  const squares = checkNumber(json.squares, 'squares', 0, spread);
  return {
    thresholds,
    confidence: checkNumber(json.confidence, 'confidence', 0, 1, true),
    counts,
    infinite,
    mean,
    squares,
  };
}

/** What an accumulator knows of the survival function. */
class ThresholdSurvival implements Survival {
  readonly n: number;
  readonly confidence: number;
  readonly effective: number;
  readonly whole = false;
  readonly positions: number;
  readonly #state: AccumulatorState;
  /** Observations at or beyond each threshold [K], and 0 at last [K + 1]. */
  readonly #tails: Float64Array;

  constructor(state: AccumulatorState) {
    this.#state = state;
    this.confidence = state.confidence;
    this.positions = state.thresholds.length;
    this.#tails = new Float64Array(this.positions + 1);
    for (let k = this.positions - 1; k >= 0; k--) this.#tails[k] = this.#tails[k + 1]! + state.counts[k + 1]!;
    this.n = this.#tails[0]! + state.counts[0]!;
    this.effective = this.n;
  }

  M(k: number): number {
    return this.#state.thresholds[k]!;
  }

  count(k: number): number {
    return this.#tails[k]!;
  }

  countAt(N: number): number {
    const k = this.#state.thresholds.indexOf(N);
    if (k < 0) throw rangeError(`one of the thresholds ${this.#state.thresholds.join(', ')}`, 'N', N);
    return this.#tails[k]!;
  }

  /** Cov is decreasing, so the next threshold bounds it from below; past the last one nothing is known. */
  countAtMost(N: number): number {
    return this.#tails[countBelow(this.#state.thresholds, N)]!;
  }

  defaultNs(): number[] {
    return this.#state.thresholds;
  }

  share(count: number): number {
    return count / this.n;
  }

  estimate(count: number): Estimate {
    return proportionEstimate(count, this.n, this.confidence);
  }

  hull(i: number, j: number): { lower: number; upper: number } {
    return { lower: this.estimate(this.count(j)).lower, upper: this.estimate(this.count(i)).upper };
  }

  kl(): Estimate {
    const { confidence, infinite, mean, squares } = this.#state;
    if (infinite > 0) return infiniteEstimate(confidence, this.n);
    if (this.n === 1) return undefinedEstimate(mean, confidence);
    return tEstimate(mean, Math.sqrt(squares / (this.n - 1) / this.n), this.n - 1, confidence, this.n);
  }
}
