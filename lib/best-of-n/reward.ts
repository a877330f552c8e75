/** Best-of-N from recorded rewards: the exact expectation over which N of the n responses are drawn. */

import { nonFiniteError, shapeError, typeError } from '../errors.ts';
import { type Estimate, type MeanOptions, meanEstimate } from '../estimate/index.ts';
import {
  checkKnownKeys,
  checkNoNaN,
  checkNumberList,
  checkObject,
  checkOffsets,
  type NumberList,
} from '../validate.ts';
import { atEach, checkEnough, checkOptions, checkSizes } from './over.ts';

/** The recorded responses of all problems, one problem after another. */
export interface RewardedResponses {
  /** What the choice goes by, [total]: the highest wins. Any number, infinities included; NaN is refused. */
  readonly rewards: NumberList;
  /** What the chosen response is worth, [total], finite. Default: `rewards`. Example: whether it is right, 0 or 1. */
  readonly values?: NumberList;
  /** Row ranges, [problems + 1]: problem p holds responses offsets[p] to offsets[p + 1] - 1. Starts at 0, never falls. */
  readonly offsets: NumberList;
}

/** Options of {@link bestOfNReward}. */
export interface RewardOptions extends MeanOptions {
  /** Equal rewards: 'average' (default) picks one of them at random, 'first' picks the lowest index. */
  readonly ties?: 'average' | 'first';
}

interface Checked {
  readonly rewards: NumberList;
  readonly values: NumberList;
  readonly offsets: NumberList;
}

function check(responses: RewardedResponses): Checked {
  checkObject(responses, 'responses');
  checkKnownKeys(responses, ['rewards', 'values', 'offsets'], 'responses');
  const rewards = checkNumberList(responses.rewards, 'rewards');
  const offsets = checkOffsets(responses.offsets, rewards.length);
  if (offsets.length < 2) throw shapeError('at least 2 elements', 'offsets', `${offsets.length}`);
  checkNoNaN(rewards, 'rewards');
  const name = responses.values === undefined ? 'rewards' : 'values';
  const values = checkNumberList(responses.values ?? rewards, name, rewards.length);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) throw nonFiniteError('a finite number', `${name}[${i}]`, String(values[i]));
  }
  return { rewards, values, offsets };
}

/**
 * Values of one problem in order of preference, [n]: highest reward first, ties by index. With 'average', each value is
 * replaced by the mean of its ties: whichever of them are drawn, the one picked at random is any of them equally often.
 */
function inOrder({ rewards, values }: Checked, start: number, end: number, ties: 'average' | 'first'): Float64Array {
  if (values === rewards) {
    // Equal rewards are equal values, so that the order among them is nobody's concern: no comparison function is needed.
    const sorted = new Float64Array(end - start);
    for (let i = 0; i < sorted.length; i++) sorted[i] = rewards[start + i]!;
    return sorted.sort().reverse();
  }
  const order = new Float64Array(end - start).map((_, i) => start + i);
  order.sort((a, b) => (rewards[a]! === rewards[b]! ? a - b : rewards[a]! < rewards[b]! ? 1 : -1));
  const sorted = order.map((row) => values[row]!);
  if (ties === 'first') return sorted;
  for (let from = 0; from < sorted.length; ) {
    let to = from + 1;
    while (to < sorted.length && rewards[order[to]!] === rewards[order[from]!]) to++;
    if (to > from + 1) {
      let mean = 0;
      for (let i = from; i < to; i++) mean += (sorted[i]! - mean) / (i - from + 1);
      sorted.fill(mean, from, to);
    }
    from = to;
  }
  return sorted;
}

/**
 * sum_k w_k v_k with w_k = C(n-1-k, N-1) / C(n, N), the probability that the k-th best is drawn and none better is.
 * w_0 = N/n is the largest weight, and w_{k+1} = w_k (n-N-k) / (n-1-k): no factorial, an error of k rounding units.
 */
function expectedBest(sorted: Float64Array, N: number): number {
  const n = sorted.length;
  let weight = N / n;
  let sum = 0;
  let low = sorted[0]!;
  let high = low;
  for (let k = 0; k <= n - N; k++) {
    const value = sorted[k]!;
    sum += weight * value;
    if (value < low) low = value;
    if (value > high) high = value;
    weight *= (n - N - k) / (n - 1 - k);
  }
  return Math.min(high, Math.max(low, sum)); // a weighted mean, whatever the rounding
}

/**
 * The expected value of the response that Best-of-N picks, averaged over problems: N of a problem's n responses are
 * drawn without replacement and the one of highest reward is kept. The expectation over the draw is exact (a sum over
 * order statistics, O(n log n) a problem), so nothing but the problems and their responses is random.
 *
 * @param N a whole number >= 1, or a list of them (the result is then a list).
 * @param options ties; confidence, clusters (one label per problem), method, seed, range: see meanEstimate.
 * @returns an Estimate over problems, in the unit of `values`.
 * @throws RangeError ERR_COVN_RANGE where N exceeds a problem's responses or offsets fall, ERR_COVN_SHAPE where lengths
 *   disagree; CovnError ERR_COVN_NON_FINITE for NaN, naming the place.
 */
export function bestOfNReward(responses: RewardedResponses, N: number, options?: RewardOptions): Estimate;
export function bestOfNReward(responses: RewardedResponses, N: readonly number[], options?: RewardOptions): Estimate[];
export function bestOfNReward(
  responses: RewardedResponses,
  N: number | readonly number[],
  options?: RewardOptions,
): Estimate | Estimate[];
export function bestOfNReward(
  responses: RewardedResponses,
  N: number | readonly number[],
  options: RewardOptions = {},
): Estimate | Estimate[] {
  checkOptions(options, ['ties', 'range']);
  const { ties = 'average', ...mean } = options;
  if (ties !== 'average' && ties !== 'first') throw typeError("'average' or 'first'", 'ties', ties);
  const checked = check(responses);
  const sizes = checkSizes(N);
  const problems = checked.offsets.length - 1;
  const best = sizes.map(() => new Float64Array(problems));
  for (let p = 0; p < problems; p++) {
    const [start, end] = [checked.offsets[p]!, checked.offsets[p + 1]!];
    checkEnough(sizes, end - start, p);
    const sorted = inOrder(checked, start, end, ties);
    for (const [i, size] of sizes.entries()) best[i]![p] = expectedBest(sorted, size);
  }
  return atEach(N, sizes, (_, i) => meanEstimate(best[i]!, mean, 'Best-of-N'));
}
