/** What the theorems prescribe, and the weights of Eq. 24-26. */

import { typeError } from '../errors.ts';
import {
  checkInteger,
  checkKnownKeys,
  checkNumber,
  checkNumberList,
  checkObject,
  type NumberList,
} from '../validate.ts';

/** What the theorems' step sizes are made of. */
export interface TheoryInput {
  /** The largest norm of a feature vector, B >= 1. */
  readonly B: number;
  /** Number of steps. */
  readonly T: number;
  /** sigma*^2 (Eq. 8): what `inherentVariance` gives, over prompts. */
  readonly variance: number;
  /** The most tokens of a response: for 'sgd'. */
  readonly H?: number;
  /** At which coverage is wanted, > 1: for 'normalized-sgd' and 'truncated-sgd'. */
  readonly N?: number;
}

export interface TheoryStep {
  readonly stepSize: number;
  /** 'normalized-sgd' */
  readonly lambda?: number;
  /** 'truncated-sgd': log N. */
  readonly A?: number;
}

/**
 * The step sizes of the theorems:
 * - 'sgd' (Prop 5.1): min(1/(2 H B^2), sqrt(2/(T sigma*^2)))
 * - 'normalized-sgd' (Thm 5.1): min(1/(128 B), (log N/(sigma*^2 T))^(1/4)), with lambda = log N/(16 stepSize)
 * - 'token-sgd' (Thm 6.1), also of test-time training: min(1/(2 B^2), 1/sqrt(sigma*^2 T))
 * - 'truncated-sgd' (Thm 6.2): min(1/((64 log N + 2) B^2), 1/sqrt(T sigma*^2 log N)), with A = log N
 *
 * @throws TypeError (another rule, or one without what it needs), RangeError
 */
export function theoryStep(
  rule: 'sgd' | 'normalized-sgd' | 'token-sgd' | 'truncated-sgd',
  input: TheoryInput,
): TheoryStep {
  checkObject(input, 'the input');
  checkKnownKeys(input, ['B', 'T', 'variance', 'H', 'N'], 'the input');
  const B = checkNumber(input.B, 'B', 0, Number.POSITIVE_INFINITY, true);
  const T = checkInteger(input.T, 'T', 1);
  const variance = checkNumber(input.variance, 'variance', 0);
  const logN = () => Math.log(checkNumber(input.N, 'N', 1, Number.POSITIVE_INFINITY, true));
  switch (rule) {
    case 'sgd': {
      const H = checkInteger(input.H, 'H', 1);
      return { stepSize: Math.min(1 / (2 * H * B * B), Math.sqrt(2 / (T * variance))) };
    }
    case 'normalized-sgd': {
      const stepSize = Math.min(1 / (128 * B), (logN() / (variance * T)) ** 0.25);
      return { stepSize, lambda: logN() / (16 * stepSize) };
    }
    case 'token-sgd':
      return { stepSize: Math.min(1 / (2 * B * B), 1 / Math.sqrt(variance * T)) };
    case 'truncated-sgd': {
      const A = logN();
      return { stepSize: Math.min(1 / ((64 * A + 2) * B * B), 1 / Math.sqrt(T * variance * A)), A };
    }
    default:
      throw typeError("'sgd', 'normalized-sgd', 'token-sgd' or 'truncated-sgd'", 'rule', rule);
  }
}

/**
 * The weights of truncated SGD (Eq. 24-26) for a response whose prefixes have the KLs epsilon_h: 1 while their sum stays
 * at most A, a fraction for the token that crosses it, 0 after, so that sum_h alpha_h epsilon_h = min(A, sum_h epsilon_h).
 */
export function truncationWeights(epsilon: NumberList, A: number): Float64Array {
  checkNumberList(epsilon, 'epsilon');
  checkNumber(A, 'A', 0);
  let sum = 0;
  return Float64Array.from({ length: epsilon.length }, (_, h) => {
    const each = checkNumber(epsilon[h], `epsilon[${h}]`, 0);
    const weight = sum + each <= A ? 1 : sum < A ? (A - sum) / each : 0;
    sum = Math.min(A, sum + each);
    return weight;
  });
}
