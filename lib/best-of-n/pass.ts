/** Pass@N and pass^N: unbiased from recorded samples, never extrapolated; exact from success probabilities. */

import { rangeError, shapeError } from '../errors.ts';
import {
  type Estimate,
  type MeanOptions,
  meanEstimate,
  orderIsIrrelevant,
  talliedMeanEstimate,
} from '../estimate/index.ts';
import { checkInteger, checkKnownKeys, checkNumberList, checkObject, type NumberList } from '../validate.ts';
import { logAvoid } from './avoid.ts';
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

/** Exact success probabilities, where they are known (a model whose responses can be enumerated, say). */
export interface SuccessProbabilities {
  /** p: the probability that a response is right, per problem, [problems], in [0, 1]. */
  readonly probability: NumberList;
}

/** What {@link passAtN} and {@link passHatN} take. */
export type PassInput = SampleCounts | SuccessProbabilities;

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

function checkProbabilities(input: SuccessProbabilities): NumberList {
  checkKnownKeys(input, ['probability'], 'the input');
  const probability = checkNumberList(input.probability, 'probability');
  if (probability.length === 0) throw shapeError('at least one problem', 'probability', '0');
  for (let i = 0; i < probability.length; i++) {
    const p = probability[i]!;
    if (!(p >= 0 && p <= 1)) throw rangeError('a number in [0, 1]', `probability[${i}]`, p);
  }
  return probability;
}

/** A statistic of one problem, from its counts and from its success probability. */
interface Rule {
  readonly name: string;
  readonly ofCounts: Value;
  readonly ofProbability: (p: number, N: number) => number;
}

function perProblem(
  input: PassInput,
  N: number | readonly number[],
  options: PassOptions,
  rule: Rule,
): Estimate | Estimate[] {
  checkOptions(options);
  checkObject(input, 'the input');
  if ((input as SuccessProbabilities).probability !== undefined) {
    const probability = checkProbabilities(input as SuccessProbabilities);
    return atEach(N, checkSizes(N), (size) => {
      const values = Float64Array.from(probability, (p) => rule.ofProbability(p, size));
      return meanEstimate(values, { ...options, range: [0, 1] }, rule.name);
    });
  }
  return fromCounts(input as SampleCounts, N, options, rule);
}

function fromCounts(
  counts: SampleCounts,
  N: number | readonly number[],
  options: PassOptions,
  { name, ofCounts }: Rule,
): Estimate | Estimate[] {
  const { samples, correct, tallies } = checkCounts(counts);
  const sizes = checkSizes(N);
  checkSamplesSuffice(sizes, samples);
  const meanOptions = { ...options, range: [0, 1] } as const;
  return atEach(N, sizes, (size) => {
    const distinct = tallies && distinctValues(tallies, size, ofCounts);
    if (distinct && orderIsIrrelevant(meanOptions, correct.length)) {
      return talliedMeanEstimate(distinct.values, distinct.problems, meanOptions, name);
    }
    const values = new Float64Array(correct.length);
    for (let i = 0; i < values.length; i++) {
      const n = typeof samples === 'number' ? samples : samples[i]!;
      const c = correct[i]!;
      values[i] = distinct ? distinct.tables.get(n)![c]! : ofCounts(n, c, size);
    }
    return meanEstimate(values, meanOptions, name);
  });
}

const anyRight: Rule = {
  name: 'Pass@N',
  ofCounts: (n, c, N) => -Math.expm1(logAvoid(n, c, N)),
  ofProbability: (p, N) => -Math.expm1(N * Math.log1p(-p)),
};

const allRight: Rule = {
  name: 'pass^N',
  ofCounts: (n, c, N) => Math.exp(logAvoid(n, n - c, N)),
  ofProbability: (p, N) => p ** N,
};

/**
 * Pass@N: the probability that at least one of N responses is right, averaged over problems. From counts, per problem
 * 1 - C(n - c, N) / C(n, N), unbiased for N <= n (Chen et al. 2021, "Evaluating Large Language Models Trained on Code",
 * eq. 1); from success probabilities 1 - (1 - p)^N. Both by expm1, so that small values keep their digits.
 *
 * @param input counts, whole numbers n_i >= 1 and 0 <= c_i <= n_i; or success probabilities p_i in [0, 1].
 * @param N a whole number >= 1, below 2^53, or a list of them (the result is then a list).
 * @param options confidence, clusters (one label per problem), method, seed; see meanEstimate.
 * @returns an Estimate over problems, in [0, 1].
 * @throws RangeError ERR_COVN_RANGE where N exceeds a problem's n: no estimate without extrapolation exists.
 */
export function passAtN(input: PassInput, N: number, options?: PassOptions): Estimate;
export function passAtN(input: PassInput, N: readonly number[], options?: PassOptions): Estimate[];
export function passAtN(input: PassInput, N: number | readonly number[], options?: PassOptions): Estimate | Estimate[];
export function passAtN(input: PassInput, N: number | readonly number[], options: PassOptions = {}) {
  return perProblem(input, N, options, anyRight);
}

/**
 * pass^N: the probability that all of N responses are right, averaged over problems. From counts, per problem
 * C(c, N) / C(n, N), unbiased for N <= n (Yao et al. 2024, "tau-bench", pass^k); from success probabilities p^N.
 * Arguments, result and errors as {@link passAtN}.
 */
export function passHatN(input: PassInput, N: number, options?: PassOptions): Estimate;
export function passHatN(input: PassInput, N: readonly number[], options?: PassOptions): Estimate[];
export function passHatN(input: PassInput, N: number | readonly number[], options?: PassOptions): Estimate | Estimate[];
export function passHatN(input: PassInput, N: number | readonly number[], options: PassOptions = {}) {
  return perProblem(input, N, options, allRight);
}
