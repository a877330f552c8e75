/**
 * Conversions between coverage, divergences and Best-of-N regret (arXiv 2510.15020). Arguments are exact population
 * quantities or estimates of them; bounds on probabilities are capped at 1. Divergences are in nats. All throw TypeError
 * or RangeError outside the stated domains.
 */

import { rangeError } from '../errors.ts';
import { checkNumber, checkObject } from '../validate.ts';

/** A divergence or ratio that may be +Infinity. */
function checkExtended(value: unknown, name: string, min: number): number {
  return value === Number.POSITIVE_INFINITY ? value : checkNumber(value, name, min);
}

function checkAbove(value: unknown, name: string, min: number, label: string): number {
  const number = checkNumber(value, name);
  if (!(number > min)) throw rangeError(`a number > ${label}`, name, number);
  return number;
}

/**
 * Prop 3.1 / D.1: `Cov_N <= D_KL / (log N - 1 + 1/N)`.
 * @param kl D_KL(pi_D ‖ pi) in nats, >= 0, possibly Infinity
 * @param N > 1
 * @returns an upper bound of Cov_N in [0, 1]
 */
export function klToCoverage(kl: number, N: number): number {
  checkExtended(kl, 'kl', 0);
  const d = checkAbove(N, 'N', 1, '1') - 1;
  // log N - 1 + 1/N cancels near N = 1: its series is d^2 / 2 - 2 d^3 / 3 + 3 d^4 / 4 - ...
  const divisor = d < 1e-4 ? d * d * (0.5 - d * (2 / 3 - d * 0.75)) : Math.log1p(d) - d / (1 + d);
  return kl === 0 ? 0 : Math.min(1, kl / divisor);
}

/**
 * Prop D.4: `Cov_N <= 2 N / (sqrt N - 1)^2 * D_H^2`, with `D_H^2 = 1/2 sum (sqrt p - sqrt q)^2`.
 * @param h2 squared Hellinger distance of the sequence distributions, in [0, 1]
 * @param N > 1
 * @returns an upper bound of Cov_N in [0, 1]
 */
export function hellingerToCoverage(h2: number, N: number): number {
  checkNumber(h2, 'h2', 0, 1);
  const root = Math.sqrt(checkAbove(N, 'N', 1, '1'));
  return h2 === 0 ? 0 : Math.min(1, (2 * h2) / (1 - 1 / root) ** 2);
}

/**
 * Prop D.11: `Cov_N >= P[ sum_h D_H^2(step h) >= log(N / delta) ] - delta` under y ~ pi_D.
 * @param probability that event's probability at `log(N / delta)` (see `hellingerThreshold`), in [0, 1]
 * @param delta in (0, 1)
 * @returns a lower bound of Cov_N in [0, 1]
 */
export function hellingerToCoverageLower(probability: number, delta: number): number {
  checkNumber(probability, 'probability', 0, 1);
  return Math.max(0, probability - checkNumber(delta, 'delta', 0, 1, true));
}

/** The threshold `log(N / delta)` of Prop D.11, for N >= 1 and delta in (0, 1), in units of summed squared Hellinger. */
export function hellingerThreshold(N: number, delta: number): number {
  return Math.log(checkNumber(N, 'N', 1)) - Math.log(checkNumber(delta, 'delta', 0, 1, true));
}

/**
 * Prop D.10: `Cov_N <= 2 / (log N - 1) * D_seq,N`, the stopped KL of Eq. 50.
 * @param stoppedKl `E[min(log N, sum_h KL(step h))]` in nats, >= 0, computed for the same N
 * @param N > e
 * @returns an upper bound of Cov_N in [0, 1]
 */
export function stoppedKlToCoverage(stoppedKl: number, N: number): number {
  checkNumber(stoppedKl, 'stoppedKl', 0);
  const log = Math.log(checkAbove(N, 'N', Math.E, 'e'));
  return stoppedKl === 0 ? 0 : Math.min(1, (2 * stoppedKl) / (log - 1));
}

/**
 * Prop D.3: `D_KL <= C (1 + log(log W / C))`.
 * @param C `sup over N of Cov_N log N`, in [0, log W] (it cannot be more: Cov_N = 0 beyond W)
 * @param W `sup pi_D / pi`, >= 1, possibly Infinity
 * @returns an upper bound of D_KL in nats, Infinity for unbounded ratios
 */
export function coverageToKl(C: number, W: number): number {
  const log = Math.log(checkExtended(W, 'W', 1));
  checkNumber(C, 'C', 0);
  if (C > log) throw rangeError(`a number in [0, log W] = [0, ${log}]`, 'C', C);
  return C === 0 ? 0 : C * (1 + Math.log(log / C));
}

/** Arguments of `chainRule`. */
export interface ChainRuleInput {
  /** Threshold of the bounded coverage, M1 >= M2. */
  readonly M1: number;
  /** Threshold of the comparator's coverage, >= 1. */
  readonly M2: number;
  /** `Cov_{M1/M2}(pi_D ‖ pi)` in [0, 1]. */
  readonly coverage: number;
  /** `Cov_{M2}(pi_T ‖ pi_D)` in [0, 1]. */
  readonly comparator: number;
}

/**
 * Prop D.5: `Cov_{M1}(pi_T ‖ pi) <= M2 Cov_{M1/M2}(pi_D ‖ pi) + Cov_{M2}(pi_T ‖ pi_D)`.
 * @returns an upper bound of the comparator's coverage by pi, in [0, 1]
 */
export function chainRule(input: ChainRuleInput): number {
  checkObject(input, 'the input');
  const { M1, M2, coverage, comparator } = input;
  checkNumber(M2, 'M2', 1);
  checkNumber(M1, 'M1', M2);
  checkNumber(coverage, 'coverage', 0, 1);
  checkNumber(comparator, 'comparator', 0, 1);
  return Math.min(1, M2 * coverage + comparator);
}

/**
 * Prop D.6: with `Cov_M <= 1/2`, the regret of Best-of-N for any reward in [0, 1] is at most `Cov_M + exp(-N / (2 M))`.
 * @param coverage Cov_M(pi_T ‖ pi) in [0, 1]
 * @param M >= 1
 * @param N number of draws, >= 1
 * @returns an upper bound of the regret in [0, 1]; 1 where coverage > 1/2
 */
export function bestOfNUpper(coverage: number, M: number, N: number): number {
  checkNumber(coverage, 'coverage', 0, 1);
  checkExtended(M, 'M', 1);
  checkNumber(N, 'N', 1);
  return coverage > 0.5 ? 1 : Math.min(1, coverage + Math.exp(-N / (2 * M)));
}

/**
 * Prop D.7: for N >= 2 some 0/1 reward gives Best-of-N a regret of at least `Cov_{2N} / 2`.
 * @param coverage Cov_{2N}(pi_T ‖ pi) in [0, 1]
 * @param N number of draws, >= 1
 * @returns a lower bound of the worst regret in [0, 1/2]; 0 where N < 2
 */
export function bestOfNLower(coverage: number, N: number): number {
  checkNumber(coverage, 'coverage', 0, 1);
  return checkNumber(N, 'N', 1) < 2 ? 0 : coverage / 2;
}

/**
 * Eq. 5: the number of draws `exp(D_KL / eps)` that KL alone suggests for a regret eps. Vacuous for long sequences.
 * @param kl in nats, >= 0, possibly Infinity
 * @param eps > 0
 */
export function naiveKlN(kl: number, eps: number): number {
  return Math.exp(checkExtended(kl, 'kl', 0) / checkAbove(eps, 'eps', 0, '0'));
}
