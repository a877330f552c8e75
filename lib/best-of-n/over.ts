/** What the estimators of this folder share: their options, checking N, one estimate per N. */

import { rangeError, shapeError } from '../errors.ts';
import type { Estimate, MeanOptions } from '../estimate/index.ts';
import { checkInteger, checkKnownKeys, checkObject } from '../validate.ts';

const MEAN_KEYS = ['confidence', 'clusters', 'method', 'weights', 'seed', 'resamples'];

/** Refuses misspelt options. */
export function checkOptions(options: MeanOptions, more: readonly string[] = []): void {
  checkObject(options, 'options');
  checkKnownKeys(options, [...MEAN_KEYS, ...more], 'options');
}

/** N as a list of whole numbers >= 1. */
export function checkSizes(N: number | readonly number[]): readonly number[] {
  if (!Array.isArray(N)) return [checkInteger(N, 'N', 1)];
  if (N.length === 0) throw shapeError('at least one element', 'N', '0');
  return N.map((size, i) => checkInteger(size, `N[${i}]`, 1));
}

/** Refuses an N above the number of responses recorded for a problem. */
export function checkEnough(sizes: readonly number[], n: number, problem: number): void {
  for (const size of sizes) {
    if (size > n) throw rangeError(`at most ${n} (the responses recorded for problem ${problem})`, 'N', size);
  }
}

/** One estimate for one N, a list for a list. */
export function atEach(
  N: number | readonly number[],
  sizes: readonly number[],
  estimate: (size: number, index: number) => Estimate,
): Estimate | Estimate[] {
  return Array.isArray(N) ? sizes.map(estimate) : estimate(sizes[0]!, 0);
}
