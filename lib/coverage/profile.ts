import type { Estimate } from '../estimate/index.ts';
import { checkKnownKeys, checkNumber, checkNumberList, checkObject, type NumberList } from '../validate.ts';
import { bestOfNLower, bestOfNUpper } from './bounds.ts';
import { type CoverageOptions, SampleSurvival, type Survival } from './survival.ts';

/** One point of a coverage curve: Cov_N with its pointwise interval, and the simultaneous band there. */
export interface CurvePoint extends Estimate {
  readonly N: number;
  /** Lower edge of the simultaneous band, in [0, 1]. */
  readonly bandLower: number;
  /** Upper edge of the simultaneous band, in [0, 1]. */
  readonly bandUpper: number;
}

/** Bounds on the regret of Best-of-N against pi_D for the worst reward in [0, 1]. */
export interface RegretBracket {
  /** Number of draws. */
  readonly N: number;
  /** Prop D.7 at the empirical profile: some 0/1 reward has at least this regret. */
  readonly lower: number;
  /** Prop D.6 at the empirical profile: no reward in [0, 1] has more regret. */
  readonly upper: number;
  /** The M of Prop D.6 (approached from above) that gives `upper`; Infinity where no M has Cov_M <= 1/2. */
  readonly M: number;
  /** The same through the simultaneous band: holds with the profile's confidence. */
  readonly band: { readonly lower: number; readonly upper: number };
}

/** Plain data of a whole profile. Infinite ends are Infinity here, and null in JSON text, which has no infinity. */
export interface CoverageReport {
  readonly n: number;
  /** Number of clusters, or null for independent responses. */
  readonly clusters: number | null;
  readonly confidence: number;
  readonly band: number;
  readonly kl: Estimate;
  readonly curve: CurvePoint[];
  readonly inverse: { readonly coverage: number; readonly N: Estimate }[];
  readonly bestOfN: RegretBracket[];
}

/**
 * A coverage profile Cov_N = P[log pi_D(y|x) - log pi(y|x) >= log N] (Eq. 1, arXiv 2510.15020), estimated. Smaller is
 * better. Made by `coverageProfile` or `CoverageAccumulator.profile`.
 */
export class CoverageProfile {
  /** Number of responses (of positive weight). */
  readonly n: number;
  /** Nominal confidence level of every interval. */
  readonly confidence: number;
  /**
   * Half-width of the simultaneous band, sqrt(log(2 / (1 - confidence)) / (2 n)) (Dvoretzky-Kiefer-Wolfowitz with
   * Massart's constant), at most 1: with the stated confidence it holds Cov_N for all N at once. This is a theorem for
   * independent unweighted responses. With clusters n is Kish's effective number of clusters, (sum W_g)^2 / sum W_g^2,
   * W_g the weight of a cluster (its size), as if its responses were all alike; with weights alone it is
   * (sum w)^2 / sum w^2. Where these differ the band is an approximation (docs/estimates.md has its measured coverage).
   */
  readonly band: number;
  readonly #survival: Survival;
  #kl: Estimate | undefined;

  constructor(survival: Survival) {
    this.#survival = survival;
    this.n = survival.n;
    this.confidence = survival.confidence;
    this.band = Math.min(1, Math.sqrt(Math.log(2 / (1 - survival.confidence)) / (2 * survival.effective)));
  }

  /**
   * Cov_N with its pointwise interval: Clopper-Pearson; Korn-Graubard with clusters or weights. Ties at log N count.
   * @param N real, >= 1 (an accumulator: one of its thresholds)
   * @throws RangeError for another N
   */
  at(N: number): Estimate {
    checkNumber(N, 'N', 1);
    return this.#survival.estimate(this.#survival.countAt(N));
  }

  /**
   * Cov_N at several N.
   * @param Ns each as for `at`. Default: 1, 2, 4, ... up to the first power of two where the coverage is 0, or no finite
   *   log ratio is left, or 2^63; an accumulator: its thresholds
   */
  curve(Ns?: NumberList): CurvePoint[] {
    const list = Ns === undefined ? this.#survival.defaultNs() : Array.from(checkNumberList(Ns, 'Ns'));
    return list.map((N) => {
      const estimate = this.at(N);
      const [bandLower, bandUpper] = [estimate.value - this.band, estimate.value + this.band];
      return { N, ...estimate, bandLower: Math.max(0, bandLower), bandUpper: Math.min(1, bandUpper) };
    });
  }

  /**
   * D_KL(pi_D ‖ pi) = mean log ratio in nats (Rem. 2.1), with the interval of `meanEstimate`; Infinity where pi gave a
   * response probability 0. The estimate of a small KL can be negative. An accumulator has the t-interval at every n.
   */
  get kl(): Estimate {
    this.#kl ??= this.#survival.kl();
    return this.#kl;
  }

  /**
   * The smallest N, as an infimum, with Cov_N <= coverage: the number of draws at which all but this share of pi_D is
   * covered. The interval inverts the pointwise intervals of `at`: below `lower` all of their lower limits exceed
   * `coverage`, beyond `upper` none of their upper limits does. (With clusters or weights the limits do not fall steadily
   * with N; without, the ends are two order statistics.) An accumulator gives thresholds: `value` and `upper` are the first
   * that reach it, `lower` the last that cannot.
   * @param coverage in [0, 1]
   * @returns N >= 1; Infinity where no N is enough, or none is known to be
   */
  inverse(coverage: number): Estimate {
    checkNumber(coverage, 'coverage', 0, 1);
    const s = this.#survival;
    const last = s.positions - 1;
    const value = firstOf(0, last, (_, j) => s.share(s.count(j)) <= coverage) ?? s.positions;
    const low = firstOf(0, last, (i, j) => s.hull(i, j).lower <= coverage) ?? s.positions;
    // From the end backwards: positions mirrored.
    const back = firstOf(0, last, (i, j) => s.hull(last - j, last - i).upper > coverage);
    const high = back === undefined ? 0 : s.positions - back;
    const place = (k: number): number => (k < s.positions ? s.M(k) : Number.POSITIVE_INFINITY);
    const lower = s.whole ? place(low) : low === 0 ? 1 : place(low - 1);
    const { method } = s.estimate(0);
    return { value: place(value), lower, upper: place(high), confidence: this.confidence, method, n: this.n };
  }

  /**
   * What the profile says about the regret of Best-of-N with the worst reward in [0, 1] against pi_D: at most
   * `min over M of Cov_M + exp(-N / (2 M))`, Cov_M <= 1/2 (Prop D.6; the infimum over the whole step function, or over an
   * accumulator's thresholds; at most 1), and for some reward at least `Cov_{2N} / 2` (Prop D.7; 0 for N < 2).
   * @param N number of draws, >= 1
   */
  bestOfN(N: number): RegretBracket {
    checkNumber(N, 'N', 1);
    const s = this.#survival;
    const { upper, M } = this.#upper(N, 0);
    const tail = s.share(s.countAtMost(2 * N));
    const band = { lower: bestOfNLower(Math.max(0, tail - this.band), N), upper: this.#upper(N, this.band).upper };
    return { N, lower: bestOfNLower(tail, N), upper, M, band };
  }

  /**
   * The smallest whole N whose upper regret bound (`bestOfN(N).upper`, or with `confident` its `band.upper`) is at most
   * `regret`, up to float64 rounding at large N; Infinity where no N is enough.
   * @param options `regret` in [0, 1]; `confident` default false
   */
  plan(options: { readonly regret: number; readonly confident?: boolean }): number {
    checkObject(options, 'options');
    checkKnownKeys(options, ['regret', 'confident'], 'options');
    const regret = checkNumber(options.regret, 'regret', 0, 1);
    if (regret === 1) return 1;
    const offset = options.confident ? this.band : 0;
    const draws = (M: number, share: number): number => {
      const rest = regret - share - offset;
      return rest > 0 && share + offset <= 0.5 ? -2 * M * Math.log(rest) : Number.POSITIVE_INFINITY;
    };
    let N = Math.max(1, Math.ceil(minimise(this.#survival, draws).value));
    if (N < Number.MAX_SAFE_INTEGER) {
      // The closed form and the bound round differently: the answer is the one that bestOfN confirms.
      if (N > 1 && this.#upper(N - 1, offset).upper <= regret) N--;
      else if (this.#upper(N, offset).upper > regret) N++;
    }
    return N;
  }

  /** Everything that a report needs, as plain data. */
  toJSON(): CoverageReport {
    const curve = this.curve();
    return {
      n: this.n,
      clusters: this.#survival.clusters ?? null,
      confidence: this.confidence,
      band: this.band,
      kl: this.kl,
      curve,
      inverse: [0.5, 0.2, 0.1, 0.05, 0.01].map((coverage) => ({ coverage, N: this.inverse(coverage) })),
      bestOfN: curve.map(({ N }) => this.bestOfN(N)),
    };
  }

  /** Prop D.6 with every coverage raised by `offset`. */
  #upper(N: number, offset: number): { upper: number; M: number } {
    const bound = (M: number, share: number): number =>
      share + offset > 0.5 ? Number.POSITIVE_INFINITY : bestOfNUpper(share + offset, M, N);
    const { value, k } = minimise(this.#survival, bound);
    return { upper: Math.min(1, value), M: k < 0 ? Number.POSITIVE_INFINITY : this.#survival.M(k) };
  }
}

/** The first k in i .. j that holds(k, k); `holds(i, j)` may be false only where no k in i .. j has it. */
function firstOf(i: number, j: number, holds: (i: number, j: number) => boolean): number | undefined {
  if (!holds(i, j)) return undefined;
  if (i === j) return i;
  const middle = Math.floor((i + j) / 2);
  return firstOf(i, middle, holds) ?? firstOf(middle + 1, j, holds);
}

/**
 * The least value of `cost(M_k, Cov at k)` over the positions and where it is, for a cost that grows with both. As
 * M_k ascends and Cov descends, cost(M_i, Cov_j) bounds the cost on i .. j from below: branch and bound visits
 * few of the positions. k = -1 where every cost is Infinity.
 */
function minimise(s: Survival, cost: (M: number, share: number) => number): { value: number; k: number } {
  const at = (i: number, j: number): number => cost(s.M(i), s.share(s.count(j)));
  let value = Number.POSITIVE_INFINITY;
  let k = -1;
  const stack: [number, number, number][] = [[0, s.positions - 1, at(0, s.positions - 1)]];
  while (stack.length > 0) {
    const [i, j, bound] = stack.pop()!;
    if (i > j || bound >= value) continue;
    const middle = Math.floor((i + j) / 2);
    const here = at(middle, middle);
    if (here < value) [value, k] = [here, middle];
    const halves: [number, number, number][] = [];
    if (i < middle) halves.push([i, middle - 1, at(i, middle - 1)]);
    if (middle < j) halves.push([middle + 1, j, at(middle + 1, j)]);
    stack.push(...halves.sort((a, b) => b[2] - a[2]));
  }
  return { value, k };
}

/**
 * The coverage profile of a model from log density ratios.
 *
 * @param logRatios log pi_D(y|x) - log pi(y|x) in nats [n], n >= 1, of responses drawn from pi_D; +Infinity where pi gives
 *   the response probability 0
 * @param options `confidence` in (0, 1), default 0.95; `clusters` one label per response [n], at least 2 different ones;
 *   `weights` [n], finite, >= 0, not all 0
 * @throws CovnError ERR_COVN_NON_FINITE for NaN or -Infinity (impossible under y ~ pi_D); RangeError for no log ratios,
 *   labels or weights of another length, a single cluster, bad weights or confidence
 */
export function coverageProfile(logRatios: NumberList, options: CoverageOptions = {}): CoverageProfile {
  return new CoverageProfile(new SampleSurvival(logRatios, options));
}
