/** Arguments shared by pairwiseCoverage and tournament. */

import { nonFiniteError, rangeError, shapeError, typeError } from '../errors.ts';
import { checkJobOptions, checkOwnership, type JobOptions, type Ownership } from '../native/index.ts';
import { checkInteger } from '../validate.ts';

/** Log-probs of several models on the same responses. */
export interface LogProbMatrix {
  /** [models, n], row-major, nats: log pi_m(y_i | x_i) for responses y_i from pi_D. -Infinity is fine; NaN is not. */
  readonly logProbs: Float64Array;
  /** Number of models M. */
  readonly models: number;
}

export interface MatrixOptions extends JobOptions {
  /** What becomes of `logProbs` while the call runs. Default 'copy'. */
  readonly ownership?: Ownership;
}

export const matrixKeys = ['logProbs', 'models', 'N', 'threads', 'signal', 'onProgress', 'ownership'];

/** The number of responses of a matrix whose shape, and whose job's options, are sound. */
export function checkMatrix({ logProbs, models }: LogProbMatrix, options: MatrixOptions): number {
  if (!(logProbs instanceof Float64Array)) throw typeError('a Float64Array', 'logProbs', logProbs);
  checkInteger(models, 'models', 1, 65535);
  if (logProbs.length === 0 || logProbs.length % models !== 0) {
    throw shapeError(`models * n = ${models} * n elements, n >= 1`, 'logProbs', `${logProbs.length}`);
  }
  checkJobOptions(options);
  checkOwnership(logProbs, options.ownership ?? 'copy', 'logProbs');
  return logProbs.length / models;
}

/** Refuses NaN and +Infinity, naming the first place; n is the number of responses (or whatever the columns are). */
export function checkLogProbs(logProbs: Float64Array, n: number, name = 'logProbs', column = 'response'): void {
  for (let i = 0; i < logProbs.length; i++) {
    // False for NaN and for +Infinity.
    if (!(logProbs[i]! < Number.POSITIVE_INFINITY)) {
      const place = `${name}[${i}] (model ${Math.floor(i / n)}, ${column} ${i % n})`;
      throw nonFiniteError('a log-prob in nats (below +Infinity)', place, String(logProbs[i]));
    }
  }
}

/** The list of N, each a finite real number >= 1. */
export function checkNs(N: unknown): number[] {
  const list = Array.isArray(N) || ArrayBuffer.isView(N) ? Array.from(N as ArrayLike<number>) : [N];
  if (list.length === 0) throw shapeError('at least one number', 'N', '0');
  return list.map((value, i) => {
    const name = list.length > 1 ? `N[${i}]` : 'N';
    if (typeof value !== 'number') throw typeError('a number >= 1', name, value);
    if (!(value >= 1) || value === Number.POSITIVE_INFINITY) throw rangeError('a number >= 1', name, value);
    return value;
  });
}
