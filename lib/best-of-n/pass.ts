/** Pass@N and pass^N from recorded samples: unbiased, never extrapolated. */

import { shapeError } from '../errors.ts';
import {
  type Estimate,
  type MeanOptions,
  meanEstimate,
  orderIsIrrelevant,
  talliedMeanEstimate,
} from '../estimate/index.ts';
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

type Samples = SampleCounts['samples'];

function checkCounts(counts: SampleCounts): { samples: Samples; correct: NumberList; tallies: Tallies | undefined } {
  checkObject(counts, 'counts');
  checkKnownKeys(counts, ['samples', 'correct'], 'counts');
  const correct = checkNumberList(counts.correct, 'correct');
  if (correct.length === 0) throw shapeError('at least one problem', 'correct', '0');
  const { samples } = counts;
  if (typeof samples === 'number') {
    checkInteger(samples, 'samples', 1);
    return { samples, correct, tallies: tallyEqual(samples, correct) };
  }
  checkNumberList(samples, 'samples', correct.length);
  for (let i = 0; i < correct.length; i++) {
    const n = samples[i]!;
    // Names are spelt out only for what is refused: a million strings would take longer than the estimate.
    if (!(Number.isSafeInteger(n) && n >= 1)) checkInteger(n, `samples[${i}]`, 1);
  }
  return { samples, correct, tallies: tallyEach(samples, correct) };
}

/** Refuses an N above the samples of a problem, naming the first such problem. */
function checkSamplesSuffice(sizes: readonly number[], samples: Samples): void {
  if (typeof samples === 'number') {
    checkEnough(sizes, samples, 0);
    return;
  }
  const largest = sizes.reduce((a, b) => Math.max(a, b));
  for (let i = 0; i < samples.length; i++) if (samples[i]! < largest) checkEnough(sizes, samples[i]!, i);
}

/** [n + 1] for each n: how many of its problems have c right responses. */
type Tallies = ReadonlyMap<number, Float64Array>;

/** Tallies longer than this would be mostly empty: each problem is then evaluated by itself. */
const room = (problems: number) => 4 * problems + 4096;

/** Checks the right responses of problems with n samples each, and tallies them. */
function tallyEqual(n: number, correct: NumberList): Tallies | undefined {
  const counts = n < room(correct.length) ? new Float64Array(n + 1) : undefined;
  for (let i = 0; i < correct.length; i++) {
    const c = correct[i]!;
    if (!(c >= 0 && c <= n && Math.floor(c) === c)) checkInteger(c, `correct[${i}]`, 0, n);
    if (counts !== undefined) counts[c]!++;
  }
  return counts && new Map([[n, counts]]);
}

/** The same for problems with numbers of samples of their own. */
function tallyEach(samples: NumberList, correct: NumberList): Tallies | undefined {
  const tallies = new Map<number, Float64Array>();
  let left = room(correct.length);
  let n = 0;
  let counts: Float64Array = new Float64Array(1);
  for (let i = 0; i < correct.length; i++) {
    const c = correct[i]!;
    if (!(c >= 0 && c <= samples[i]! && Math.floor(c) === c)) checkInteger(c, `correct[${i}]`, 0, samples[i]!);
    if (left < 0) continue;
    if (samples[i] !== n) {
      n = samples[i]!;
      let known = tallies.get(n);
      if (known === undefined) {
        left -= n + 1;
        if (left < 0) continue;
        known = new Float64Array(n + 1);
        tallies.set(n, known);
      }
      counts = known;
    }
    counts[c]!++;
  }
  return left < 0 ? undefined : tallies;
}

type Value = (n: number, correct: number, N: number) => number;

/** The value of every n and c that occurs, and how many problems have it; `tables` holds the values by n and c. */
function distinctValues(tallies: Tallies, N: number, value: Value) {
  const values: number[] = [];
  const problems: number[] = [];
  const tables = new Map<number, Float64Array>();
  for (const [n, counts] of tallies) {
    const table = new Float64Array(n + 1);
    tables.set(n, table);
    for (let c = 0; c <= n; c++) {
      if (counts[c] === 0) continue;
      table[c] = value(n, c, N);
      values.push(table[c]!);
      problems.push(counts[c]!);
    }
  }
  return { values: Float64Array.from(values), problems: Float64Array.from(problems), tables };
}

function perProblem(
  counts: SampleCounts,
  N: number | readonly number[],
  options: PassOptions,
  name: string,
  value: Value,
): Estimate | Estimate[] {
  checkOptions(options);
  const { samples, correct, tallies } = checkCounts(counts);
  const sizes = checkSizes(N);
  checkSamplesSuffice(sizes, samples);
  const meanOptions = { ...options, range: [0, 1] } as const;
  return atEach(N, sizes, (size) => {
    const distinct = tallies && distinctValues(tallies, size, value);
    if (distinct && orderIsIrrelevant(meanOptions, correct.length)) {
      return talliedMeanEstimate(distinct.values, distinct.problems, meanOptions, name);
    }
    const values = new Float64Array(correct.length);
    for (let i = 0; i < values.length; i++) {
      const n = typeof samples === 'number' ? samples : samples[i]!;
      const c = correct[i]!;
      values[i] = distinct ? distinct.tables.get(n)![c]! : value(n, c, size);
    }
    return meanEstimate(values, meanOptions, name);
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
