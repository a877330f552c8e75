/** Pass@N and pass^N from recorded samples: unbiased, never extrapolated. */

import { shapeError } from '../errors.ts';
import { type Estimate, type MeanOptions, meanEstimate } from '../estimate/index.ts';
import { checkInteger, checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';
import { atEach, checkEnough, checkOptions, checkSizes } from './over.ts';

/** Options of the mean over problems; its range is [0, 1]. */
export type PassOptions = Omit<MeanOptions, 'range'>;

/** How many responses were drawn for each problem, and how many of them were right. */
export interface SampleCounts {
  /** n: responses drawn per problem, one number for all problems or an array [problems]. Whole numbers >= 1. */
  readonly samples: number | NumberList;
  /** c: right responses per problem, [problems], whole numbers in [0, n]. */
  readonly correct: NumberList;
}

/**
 * log [ C(n - marked, N) / C(n, N) ]: the log-probability that N of n responses drawn without replacement avoid all
 * `marked` ones. The ratio is prod_{i < min(marked, N)} (1 - max(marked, N) / (n - i)), so it takes min(marked, N)
 * terms and no factorial. Relative error of the result below 1e-11 for n up to 1e6.
 */
function logAvoid(n: number, marked: number, N: number): number {
  if (n - marked < N) return Number.NEGATIVE_INFINITY;
  const larger = Math.max(marked, N);
  const terms = Math.min(marked, N);
  let sum = 0;
  for (let i = 0; i < terms; i++) {
    const left = n - i;
    // log1p(-x) loses digits as x nears 1, the quotient of two exact whole numbers does not.
    sum += 2 * larger > left ? Math.log((left - larger) / left) : Math.log1p(-larger / left);
  }
  return sum;
}

function checkCounts(counts: SampleCounts): { n: (problem: number) => number; correct: NumberList } {
  checkObject(counts, 'counts');
  checkKnownKeys(counts, ['samples', 'correct'], 'counts');
  const correct = checkNumberList(counts.correct, 'correct');
  if (correct.length === 0) throw shapeError('at least one problem', 'correct', '0');
  const { samples } = counts;
  if (typeof samples === 'number') {
    checkInteger(samples, 'samples', 1);
  } else {
    checkNumberList(samples, 'samples', correct.length);
    for (let i = 0; i < correct.length; i++) checkInteger(samples[i], `samples[${i}]`, 1);
  }
  const n = (problem: number) => (typeof samples === 'number' ? samples : samples[problem]!);
  for (let i = 0; i < correct.length; i++) checkInteger(correct[i], `correct[${i}]`, 0, n(i));
  return { n, correct };
}

function perProblem(
  counts: SampleCounts,
  N: number | readonly number[],
  options: PassOptions,
  name: string,
  value: (n: number, correct: number, N: number) => number,
): Estimate | Estimate[] {
  checkOptions(options);
  const { n, correct } = checkCounts(counts);
  const sizes = checkSizes(N);
  for (let i = 0; i < correct.length; i++) checkEnough(sizes, n(i), i);
  return atEach(N, sizes, (size) => {
    const values = Float64Array.from(correct, (c, i) => value(n(i), c, size));
    return meanEstimate(values, { ...options, range: [0, 1] }, name);
  });
}

/**
 * Pass@N: the probability that at least one of N responses is right, averaged over problems. Per problem
 * 1 - C(n - c, N) / C(n, N), unbiased for N <= n (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
 * eq. 1), computed as -expm1 of a sum of log1p.
 *
 * @param counts whole numbers n_i >= 1 and 0 <= c_i <= n_i.
 * @param N a whole number >= 1, or a list of them (the result is then a list).
 * @param options confidence, clusters (one label per problem), method, seed; see meanEstimate.
 * @returns an Estimate over problems, in [0, 1].
 * @throws RangeError ERR_COVN_RANGE where N exceeds a problem's n: no estimate without extrapolation exists.
 */
export function passAtN(counts: SampleCounts, N: number, options?: PassOptions): Estimate;
export function passAtN(counts: SampleCounts, N: readonly number[], options?: PassOptions): Estimate[];
export function passAtN(
  counts: SampleCounts,
  N: number | readonly number[],
  options?: PassOptions,
): Estimate | Estimate[];
export function passAtN(counts: SampleCounts, N: number | readonly number[], options: PassOptions = {}) {
  return perProblem(counts, N, options, 'Pass@N', (n, c, size) => -Math.expm1(logAvoid(n, c, size)));
}

/**
 * pass^N: the probability that all of N responses are right, averaged over problems. Per problem C(c, N) / C(n, N),
 * unbiased for N <= n (Yao et al. 2024, "tau-bench", pass^k). Arguments, result and errors as {@link passAtN}.
 */
export function passHatN(counts: SampleCounts, N: number, options?: PassOptions): Estimate;
export function passHatN(counts: SampleCounts, N: readonly number[], options?: PassOptions): Estimate[];
export function passHatN(
  counts: SampleCounts,
  N: number | readonly number[],
  options?: PassOptions,
): Estimate | Estimate[];
export function passHatN(counts: SampleCounts, N: number | readonly number[], options: PassOptions = {}) {
  return perProblem(counts, N, options, 'pass^N', (n, c, size) => Math.exp(logAvoid(n, n - c, size)));
}
